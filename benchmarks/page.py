"""Tables out of measurements, and the blocks of README.md that they are written into."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from .sizes import label
from .timing import Plan, Standing, ratio

README = Path(__file__).with_name("README.md")


@dataclass(frozen=True)
class Options:
    """What the command line asked for."""

    plan: Plan
    quick: bool = False
    one_process: bool = False
    told: Callable[[str], None] = lambda line: None


class Tables(NamedTuple):
    """What a benchmark found, in Markdown, and whether the machine was quiet enough to judge by it."""

    text: str
    quiet: bool = True


@dataclass(frozen=True)
class Benchmark:
    """A benchmark by its name: `measured(options)` runs it; `others` are the packages that it meets."""

    name: str
    measured: Callable[[Options], Tables]
    others: tuple[str, ...] = ()


@dataclass(frozen=True)
class Target:
    """At this size the contestant's time over ours shall be at least so much."""

    contestant: str
    size: tuple[int, ...]
    wanted: float


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table with aligned columns: the first to the left, the others to the right."""
    widths = [max(len(row[k]) for row in (head, *rows)) for k in range(len(head))]

    def line(row: Sequence[str]) -> str:
        cells = (cell.rjust(w) if k else cell.ljust(w) for k, (cell, w) in enumerate(zip(row, widths)))
        return "| " + " | ".join(cells) + " |"

    rule = "|" + "|".join("-" * (w + 1) + ("-" if not k else ":") for k, w in enumerate(widths)) + "|"
    return "\n".join([line(head), rule, *(line(row) for row in rows)])


def milliseconds(seconds: float) -> str:
    """Three figures: 0.123, 1.23, 12.3, 123."""
    value = 1000 * seconds
    return f"{value:.{max(0, 2 - max(0, len(str(int(value))) - 1) + (value < 1))}f}"


def timing_tables(
    sizes: Sequence[dict[str, int]], results: Sequence[list[Standing]], targets: Sequence[Target]
) -> Tables:
    """The table of medians, the table of ratios, and what became of the targets.

    The first contestant is ours. A ratio is theirs/ours with its quartiles over the rounds in brackets.
    """
    first = results[0]
    times, ratios, missed, remarks = [], [], [], []
    met = 0
    wanted = {(target.contestant, target.size): target.wanted for target in targets}
    for size, standings in zip(sizes, results):
        us = standings[0]
        cells = []
        for standing in standings:
            cells.append(milliseconds(standing.quartiles[1]) if standing.rounds else "–")
            if standing.remark:
                remarks.append((standing.name, standing.remark, label(size)))
        times.append([label(size), *cells])
        cells = []
        for standing in standings[1:]:
            target = wanted.get((standing.name, tuple(size.values())))
            beside = f" (≥ {target:g})" if target else ""
            if not (standing.rounds and us.rounds):
                cells.append("–" + beside)
                continue
            low, middle, high = ratio(standing, us)
            mark = "**" if target and middle < target else ""
            cells.append(f"{mark}{middle:.2f}{mark} [{low:.2f}, {high:.2f}]{beside}")
            if target and middle < target:
                missed.append(f"{standing.name} at {label(size)}: {middle:.2f}, wanted {target:g}")
            elif target:
                met += 1
        ratios.append([label(size), *cells])
    played = [running[0] for standings in results if (running := [s for s in standings if s.rounds])]
    disturbed, rounds = sum(s.disturbed for s in played), sum(len(s.rounds) for s in played)
    quiet = is_quiet(disturbed, rounds)
    agree = max((s.difference for standings in results for s in standings if s.rounds), default=0.0)
    parts = [
        "Median of a call, ms:",
        table([", ".join(sizes[0]), *(s.name for s in first)], times),
        "Theirs / ours, median over the rounds [quartiles] (target):",
        table([", ".join(sizes[0]), *(s.name for s in first[1:])], ratios),
        *_said(remarks),
        *beside_others(disturbed, rounds),
        *(_verdict(met, missed) if quiet else []),
        f"The contestants' gradients differ by at most {agree:.0e} of an array's largest entry.",
    ]
    return Tables("\n\n".join(parts), quiet)


def _said(remarks: Sequence[tuple[str, str, str]]) -> list[str]:
    """One paragraph for all who have no time, and why."""
    grouped: dict[tuple[str, str], list[str]] = {}
    for name, remark, size in remarks:
        grouped.setdefault((name, remark), []).append(size)
    lines = [f"- {name}: {remark} (at {'; '.join(sizes)})" for (name, remark), sizes in grouped.items()]
    return ["\n".join(lines)] if lines else []


def is_quiet(disturbed: int, rounds: int) -> bool:
    """Whether at most a tenth of the rounds had other programs beside them."""
    return 10 * disturbed <= rounds


def beside_others(disturbed: int, rounds: int) -> list[str]:
    """The paragraph that says how many rounds had other programs beside them, if any had."""
    if not disturbed:
        return []
    judged = "" if is_quiet(disturbed, rounds) else " Too many to judge by: the targets are not judged."
    return [f"Other programs were at work beside {disturbed} of {rounds} rounds.{judged}"]


def _verdict(met: int, missed: Sequence[str]) -> list[str]:
    if missed:
        return [f"Targets: {met} met, {len(missed)} **missed**:", "\n".join(f"- {line}" for line in missed)]
    return [f"Targets: all {met} met."] if met else []


# The blocks of README.md


def block(name: str, program: str = "benchmarks") -> tuple[str, str]:
    """The two lines between which a benchmark's generated text stands, and what writes it."""
    return f"<!-- begin {name}: written by python -m {program} {name} --write -->", f"<!-- end {name} -->"


def replaced(page: str, name: str, text: str, program: str = "benchmarks") -> str:
    """The page with the text in the benchmark's block.

    Raises:
        ValueError: the page has no such block, or two.
    """
    begin, end = block(name, program)
    pattern = re.escape(begin) + ".*?" + re.escape(end)
    found = re.findall(pattern, page, re.DOTALL)
    if len(found) != 1:
        raise ValueError(f"replaced: page: found {len(found)} blocks {name!r}, want one between {begin!r} and {end!r}")
    return re.sub(pattern, lambda _: f"{begin}\n\n{text}\n\n{end}", page, flags=re.DOTALL)
