"""Time `rnn(xs, lengths=...)` against `rnn(xs)`, forward and backward, with the fused implementation.

Lengths are drawn from T/2 … T, at least one of them T.
"""

from __future__ import annotations

from functools import partial

import numpy as np

from .contestant import Contestant, Work
from .fused import GATES
from .page import Benchmark, Options, Tables, timing_tables
from .sizes import QUICK_SIZES, SIZES, numbers
from .timing import contest

BATCHES = [size for size in SIZES if size["B"] > 1]


def work(cell: str, with_lengths: bool, T: int, B: int, I: int, H: int) -> Work:
    import minigrad as mg
    import minigrad_rnn

    model = getattr(minigrad_rnn, cell)(I, H, impl="fused", rng=np.random.default_rng(0))
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


def measure(options: Options) -> Tables:
    sizes = [size for size in QUICK_SIZES if size["B"] > 1] if options.quick else BATCHES
    parts, quiet = [], True
    for cell in GATES:
        options.report(cell)
        both = [
            Contestant("with lengths", partial(work, cell, True), "minigrad_rnn"),
            Contestant("without", partial(work, cell, False), "minigrad_rnn"),
        ]
        results = contest(both, sizes, options.plan, options.one_process, options.report)
        tables = timing_tables(sizes, results, [])
        parts += [f"### {cell}", tables.text]
        quiet = quiet and tables.quiet
    return Tables("\n\n".join(parts), quiet)


BENCHMARK = Benchmark("lengths", measure, ())
