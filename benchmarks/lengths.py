"""Time `rnn(xs, lengths=...)` against `rnn(xs)`, forward and backward, in C and in NumPy.

Lengths are drawn from T/2 … T, at least one of them T.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import numpy as np

from .contestant import Contestant, Work
from .fused import GATES, NATIVE, NUMPY
from .page import Benchmark, Options, Tables, disturbance, is_quiet, milliseconds, remark_list, table, verdict
from .sizes import QUICK_SIZES, SIZES, label, numbers
from .timing import Result, contest, ratio

BATCHES = [size for size in SIZES if size["B"] > 1]
IMPLEMENTATIONS = {NATIVE: ("native", 1.05), NUMPY: ("fused", 1.15)}
"""The value of `impl`, and the most wanted ratio of the time with lengths to that without."""
CONTESTANTS = [(name, with_lengths) for name in IMPLEMENTATIONS for with_lengths in (True, False)]


def work(cell: str, impl: str, with_lengths: bool, T: int, B: int, I: int, H: int) -> Work:
    import minigrad as mg
    import minigrad_rnn

    model = getattr(minigrad_rnn, cell)(I, H, impl=impl, rng=np.random.default_rng(0))
    xs = mg.tensor(numbers(T, B, I, H)["xs"], requires_grad=True)
    lengths = np.random.default_rng(1).integers(T // 2, T + 1, B)
    lengths[0] = T
    leaves = [xs, *model.parameters()]

    def run() -> None:
        for leaf in leaves:
            leaf.grad = None
        output, _ = model(xs, lengths=lengths if with_lengths else None)
        output.sum().backward()

    # The two compute different values, so only the number of steps is compared.
    return Work(run, lambda _: {"loss": np.asarray(float(T))})


def costs(cell: str, sizes: Sequence[dict[str, int]], results: Sequence[list[Result]]) -> tuple[str, int, list[str]]:
    """Return the table of what lengths cost, the number of targets met, and those missed.

    Args:
        results: at each size, those of CONTESTANTS.
    """
    rows, missed, met = [], [], 0
    for size, at_size in zip(sizes, results):
        cells = []
        for (name, (_, most)), (padded, whole) in zip(IMPLEMENTATIONS.items(), zip(at_size[::2], at_size[1::2])):
            if not (padded.rounds and whole.rounds):
                cells += ["–", f"– (≤ {most:g})"]
                continue
            low, middle, high = ratio(padded, whole)
            mark = "**" if middle > most else ""
            cells += [
                milliseconds(padded.quartiles[1]), f"{mark}{middle:.2f}{mark} [{low:.2f}, {high:.2f}] (≤ {most:g})",
            ]  # fmt: skip
            if middle > most:
                missed.append(f"{name}, {cell} at {label(size)}: {middle:.2f}, wanted {most:g}")
            else:
                met += 1
        rows.append([label(size), *cells])
    head = [column for name in IMPLEMENTATIONS for column in (f"{name}, with lengths, ms", "with / without")]
    return table(["T, B, I, H", *head], rows), met, missed


def measure(options: Options) -> Tables:
    sizes = [size for size in QUICK_SIZES if size["B"] > 1] if options.quick else BATCHES
    parts: list[str] = []
    missed: list[str] = []
    met = disturbed = rounds = 0
    for cell in GATES:
        options.report(cell)
        contestants = [
            Contestant(
                f"{name} {'with' if with_lengths else 'without'} lengths",
                partial(work, cell, IMPLEMENTATIONS[name][0], with_lengths),
                "minigrad_rnn",
            )
            for name, with_lengths in CONTESTANTS
        ]
        results = contest(contestants, sizes, options.plan, options.one_process, options.report)
        text, met_here, missed_here = costs(cell, sizes, results)
        remarks = [(r.name, r.remark, label(s)) for s, at in zip(sizes, results) for r in at if r.remark]
        parts += [f"### {cell}", text, *remark_list(remarks)]
        met, missed = met + met_here, missed + missed_here
        timed = [with_times[0] for at_size in results if (with_times := [r for r in at_size if r.rounds])]
        disturbed, rounds = disturbed + sum(r.disturbed for r in timed), rounds + sum(len(r.rounds) for r in timed)
    quiet = is_quiet(disturbed, rounds)
    head = "Time with lengths over time without, median over the rounds [quartiles] (target)."
    end = [*disturbance(disturbed, rounds), *(verdict(met, missed) if quiet else [])]
    return Tables("\n\n".join([head, *parts, *end]), quiet)


BENCHMARK = Benchmark("lengths", measure)
