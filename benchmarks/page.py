"""Format measurements as Markdown tables and write them into their blocks of README.md."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from .sizes import label
from .timing import Plan, Result, ratio

README = Path(__file__).with_name("README.md")


@dataclass(frozen=True)
class Options:
    """The options of the command line."""

    plan: Plan
    quick: bool = False
    one_process: bool = False
    report: Callable[[str], None] = lambda line: None
    """Receives each line of progress."""


class Tables(NamedTuple):
    """A benchmark's results in Markdown, and whether the machine was quiet enough to judge by them."""

    text: str
    quiet: bool = True


@dataclass(frozen=True)
class Benchmark:
    """A named benchmark: `measure(options)` runs it; `others` are the packages that it compares with."""

    name: str
    measure: Callable[[Options], Tables]
    others: tuple[str, ...] = ()


@dataclass(frozen=True)
class Target:
    """The least wanted ratio of a contestant's time to ours at a size."""

    contestant: str
    size: tuple[int, ...]
    least: float


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a Markdown table: the first column aligned left, the others right."""
    widths = [max(len(row[k]) for row in (head, *rows)) for k in range(len(head))]

    def line(row: Sequence[str]) -> str:
        cells = (cell.rjust(w) if k else cell.ljust(w) for k, (cell, w) in enumerate(zip(row, widths)))
        return "| " + " | ".join(cells) + " |"

    rule = "|" + "|".join("-" * (w + 1) + ("-" if not k else ":") for k, w in enumerate(widths)) + "|"
    return "\n".join([line(head), rule, *(line(row) for row in rows)])


def milliseconds(seconds: float) -> str:
    """Return the time in milliseconds with three figures: 0.0123, 0.123, 1.23, 12.3, 123, 1234."""
    value = 1000 * seconds
    return f"{value:.{max(0, 2 - math.floor(math.log10(value))) if value else 0}f}"


def our_place(results: Sequence[list[Result]]) -> int:
    """Return the place of the contestant that the others are compared with: the first that has a time."""
    places = range(len(results[0]))
    return next((k for k in places if any(at_size[k].rounds for at_size in results)), 0)


def timing_tables(
    sizes: Sequence[dict[str, int]],
    results: Sequence[list[Result]],
    targets: Sequence[Target],
    *,
    each: str = "call",
    count: int = 1,
    compared: str = "gradients",
) -> Tables:
    """Return the table of medians, the table of ratios, and which targets were met.

    Ours is the first contestant that has a time. A ratio is theirs/ours with its quartiles over the rounds in brackets.

    Args:
        each, count: a call does `count` of what `each` names, for one of which the times stand.
        compared: what `Work.gradients` returns.
    """
    ours = our_place(results)
    first = results[0]
    times, ratios, missed, remarks = [], [], [], []
    met = 0
    least = {(target.contestant, target.size): target.least for target in targets}
    for size, at_size in zip(sizes, results):
        us = at_size[ours]
        cells = []
        for result in at_size:
            cells.append(milliseconds(result.quartiles[1] / count) if result.rounds else "–")
            if result.remark:
                remarks.append((result.name, result.remark, label(size)))
        times.append([label(size), *cells])
        cells = []
        for result in at_size[ours + 1 :]:
            target = least.get((result.name, tuple(size.values())))
            wanted = f" (≥ {target:g})" if target else ""
            if not (result.rounds and us.rounds):
                cells.append("–" + wanted)
                continue
            low, middle, high = ratio(result, us)
            mark = "**" if target and middle < target else ""
            cells.append(f"{mark}{middle:.2f}{mark} [{low:.2f}, {high:.2f}]{wanted}")
            if target and middle < target:
                missed.append(f"{result.name} at {label(size)}: {middle:.2f}, wanted {target:g}")
            elif target:
                met += 1
        ratios.append([label(size), *cells])
    timed = [with_times[0] for at_size in results if (with_times := [r for r in at_size if r.rounds])]
    disturbed, rounds = sum(r.disturbed for r in timed), sum(len(r.rounds) for r in timed)
    quiet = is_quiet(disturbed, rounds)
    agree = max((r.difference for at_size in results for r in at_size if r.rounds), default=0.0)
    stand_in = f"; ours is {first[ours].name}" if ours else ""
    parts = [
        f"Median of a {each}, ms:",
        table([", ".join(sizes[0]), *(r.name for r in first)], times),
        f"Theirs / ours, median over the rounds [quartiles] (target){stand_in}:",
        table([", ".join(sizes[0]), *(r.name for r in first[ours + 1 :])], ratios),
        *remark_list(remarks),
        *disturbance(disturbed, rounds),
        *(verdict(met, missed) if quiet else []),
        f"The contestants' {compared} differ by at most {agree:.0e} of an array's largest entry.",
    ]
    return Tables("\n\n".join(parts), quiet)


def remark_list(remarks: Sequence[tuple[str, str, str]]) -> list[str]:
    """Return one paragraph that lists the contestants without a time, with the reason and the sizes."""
    grouped: dict[tuple[str, str], list[str]] = {}
    for name, remark, size in remarks:
        grouped.setdefault((name, remark), []).append(size)
    lines = [
        f"- {name}: {remark} (at {'; '.join(sizes) if len(sizes) <= 12 else f'{len(sizes)} sizes'})"
        for (name, remark), sizes in grouped.items()
    ]
    return ["\n".join(lines)] if lines else []


def is_quiet(disturbed: int, rounds: int) -> bool:
    """Return whether at most a tenth of the rounds were disturbed by other programs."""
    return 10 * disturbed <= rounds


def disturbance(disturbed: int, rounds: int) -> list[str]:
    """Return a paragraph that says how many rounds were disturbed, if any."""
    if not disturbed:
        return []
    verdict = "" if is_quiet(disturbed, rounds) else " Too many to judge by: the targets are not judged."
    return [f"Other programs were at work beside {disturbed} of {rounds} rounds.{verdict}"]


def verdict(met: int, missed: Sequence[str]) -> list[str]:
    """Return paragraphs that say how many targets were met, and list those that were missed."""
    if missed:
        return [f"Targets: {met} met, {len(missed)} **missed**:", "\n".join(f"- {line}" for line in missed)]
    return [f"Targets: all {met} met."] if met else []


# The blocks of README.md


def block(name: str, program: str = "benchmarks") -> tuple[str, str]:
    """Return the two marker lines around a benchmark's generated text."""
    return f"<!-- begin {name}: written by python -m {program} {name} --write -->", f"<!-- end {name} -->"


def replace_block(page: str, name: str, text: str, program: str = "benchmarks") -> str:
    """Return the page with the text in the benchmark's block.

    Raises:
        ValueError: the page has not exactly one such block.
    """
    begin, end = block(name, program)
    pattern = re.escape(begin) + ".*?" + re.escape(end)
    blocks = re.findall(pattern, page, re.DOTALL)
    if len(blocks) != 1:
        raise ValueError(
            f"replace_block: page: got {len(blocks)} blocks {name!r}, want one between {begin!r} and {end!r}"
        )
    return re.sub(pattern, lambda _: f"{begin}\n\n{text}\n\n{end}", page, flags=re.DOTALL)
