"""Time `impl="auto"` against each implementation by name, for short sequences under no_grad.

The table shows how much slower the choice is than the best of the implementations would have been. A ratio above the
limit is measured once more, with the whole plan, and the second measurement counts, whichever way it comes out.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from functools import partial
from itertools import product
from typing import Any, NamedTuple

import numpy as np

from .contestant import Contestant, Work
from .fused import GATES
from .page import Benchmark, Options, Tables, disturbance, is_quiet, milliseconds, remark_list, table
from .sizes import label
from .timing import Plan, Result, contest, ratio

IMPLEMENTATIONS = ("auto", "graph", "fused", "native")
STEPS, BATCHES, HIDDEN = (1, 2, 8, 32), (1, 2, 8), (64, 128, 256, 512, 1024)
QUICK = ((1, 8), (2,), (64,))
LIMIT = 1.05
"""The most wanted ratio of auto's time to that of the best."""


def work(cell: str, impl: str, T: int, B: int, H: int) -> Work:
    """Run the layer over T steps of H features from the zero state."""
    import minigrad as mg
    import minigrad_rnn

    model = getattr(minigrad_rnn, cell)(H, H, impl=impl, rng=0)
    xs = np.random.default_rng(1).standard_normal((T, B, H)).astype(np.float32)

    def run() -> Any:
        with mg.no_grad():
            return model(xs)

    def arrays(result: Any) -> dict[str, Any]:
        output, state = result
        parts = state if isinstance(state, tuple) else (state,)
        return {"output": output.numpy(), **{f"state{k}": part.numpy() for k, part in enumerate(parts)}}

    return Work(run, arrays)


def brief(plan: Plan) -> Plan:
    """Return a plan for many sizes: a quarter of the time, and one process for each contestant."""
    return dataclasses.replace(plan, total=plan.total / 4, turn=plan.turn / 2, rounds=min(plan.rounds, 9), restarts=1)


class Choice(NamedTuple):
    """How good the choice was: auto's seconds, its time over that of the best implementation, and the best's name."""

    seconds: float
    cost: float
    best: str


def judged(results: Sequence[Result]) -> Choice | None:
    """Return how auto, the first, compares with the best of the others; None without times."""
    auto, *others = results
    timed = [result for result in others if result.rounds]
    if not auto.rounds or not timed:
        return None
    best = min(timed, key=lambda result: result.quartiles[1])
    return Choice(auto.quartiles[1], ratio(auto, best)[1], best.name)


def choice_table(sizes: Sequence[dict[str, int]], choices: Sequence[Choice | None]) -> str:
    """Return the table of choices: a row for each T and B, a column for each H."""
    hidden = sorted({size["H"] for size in sizes})
    rows: dict[tuple[int, int], list[str]] = {(size["T"], size["B"]): ["–"] * len(hidden) for size in sizes}
    for size, choice in zip(sizes, choices):
        if choice is not None:
            mark = "**" if choice.cost > LIMIT else ""
            text = f"{milliseconds(choice.seconds)}: {mark}{choice.cost:.2f}{mark} {choice.best}"
            rows[size["T"], size["B"]][hidden.index(size["H"])] = text
    head = ["T, B", *(f"H = {H}" for H in hidden)]
    return table(head, [[f"{T}, {B}", *cells] for (T, B), cells in rows.items()])


def worst_choice(found: Sequence[tuple[str, Choice]]) -> list[str]:
    """Return paragraphs with the worst choice and those above the limit."""
    if not found:
        return []
    where, worst = max(found, key=lambda pair: pair[1].cost)
    text = f"The worst choice is that for {where}: {worst.cost:.2f} × the time of {worst.best}."
    above = [f"- {where}: {choice.cost:.2f} × {choice.best}" for where, choice in found if choice.cost > LIMIT]
    if not above:
        return [f"{text} Target, at most {LIMIT:g}: met in all {len(found)} cells."]
    return [f"{text} Target, at most {LIMIT:g}: **missed** in {len(above)} of {len(found)} cells:", "\n".join(above)]


def measure(options: Options) -> Tables:
    grid = QUICK if options.quick else (STEPS, BATCHES, HIDDEN)
    sizes = [dict(zip("TBH", size)) for size in product(*grid)]
    parts, found, disturbed, rounds = [], [], 0, 0
    for cell in GATES:
        options.report(cell)
        contestants = [Contestant(impl, partial(work, cell, impl), "minigrad_rnn") for impl in IMPLEMENTATIONS]
        choices, without = [], []
        for size in sizes:
            for plan in (brief(options.plan), options.plan):
                (results,) = contest(contestants, [size], plan, options.one_process, options.report)
                choice = judged(results)
                if choice is None or choice.cost <= LIMIT or options.quick:
                    break
            choices.append(choice)
            without += [(r.name, r.remark, label(size)) for r in results if r.remark]
            disturbed, rounds = disturbed + results[0].disturbed, rounds + len(results[0].rounds)
            if choice is not None:
                found.append((f"{cell}, T, B, H = {label(size)}", choice))
        parts += [f"### {cell}", choice_table(sizes, choices), *remark_list(without)]
    quiet = is_quiet(disturbed, rounds)
    head = "The time of auto in ms: its ratio to that of the best implementation by name, and which that is."
    end = [*disturbance(disturbed, rounds), *(worst_choice(found) if quiet else [])]
    return Tables("\n\n".join([head, *parts, *end]), quiet)


BENCHMARK = Benchmark("auto_choice", measure)
