"""Time a chain of 1,000 elementwise operations, y ← sin(tanh(y · x) + x) 250 times, on n numbers.

Forward and backward: the gradient of the sum with respect to x. At n = 1 this is the overhead of an operation; at
n = 10,000 the arithmetic begins to count.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from .contestant import Work
from .page import Benchmark, Options, Tables, timing_tables
from .tapes import OTHERS, contestants, targets
from .timing import contest

SIZES = [{"n": 1}, {"n": 100}, {"n": 10_000}]
ROUNDS = 250


def start(n: int) -> Any:
    return np.random.default_rng(0).uniform(0.1, 0.9, n).astype(np.float32)


def chain(m: Any, x: Any) -> Any:
    """Return the sum of the chain, computed with the library `m`."""
    y = x
    for _ in range(ROUNDS):
        y = m.sin(m.tanh(y * x) + x)
    return y.sum()


def ours(n: int) -> Work:
    import minigrad as mg

    x = mg.tensor(start(n), requires_grad=True)

    def run() -> Any:
        x.grad = None
        loss = chain(mg, x)
        loss.backward()
        return loss, x.grad

    return Work(run, lambda result: {"loss": result[0].numpy(), "x": result[1].numpy()})


def torch_eager(n: int) -> Work:
    import torch

    x = torch.from_numpy(start(n)).requires_grad_()

    def run() -> Any:
        x.grad = None
        loss = chain(torch, x)
        loss.backward()
        return loss, x.grad

    return Work(run, lambda result: {"loss": result[0].detach().numpy(), "x": result[1].numpy()})


def autograd(n: int) -> Work:
    import autograd.numpy as anp
    from autograd import value_and_grad

    both, x = value_and_grad(lambda x: chain(anp, x)), start(n)
    return Work(lambda: both(x), lambda result: {"loss": result[0], "x": result[1]})


def mygrad(n: int) -> Work:
    import mygrad as mg

    mg.turn_memory_guarding_off()  # its documentation's advice where speed counts
    x = mg.tensor(start(n))

    def run() -> Any:
        loss = chain(mg, x)
        loss.backward()
        return loss, x.grad

    return Work(run, lambda result: {"loss": result[0].data, "x": result[1]})


CONTESTANTS = contestants(ours, torch_eager, autograd, mygrad)
TARGETS = targets(SIZES)


def measure(options: Options) -> Tables:
    sizes = SIZES[:2] if options.quick else SIZES
    results = contest(CONTESTANTS, sizes, options.plan, options.one_process, options.report)
    return timing_tables(sizes, results, TARGETS)


BENCHMARK = Benchmark("chain", measure, OTHERS)
