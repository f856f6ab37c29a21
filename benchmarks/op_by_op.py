"""Time a recurrent net unrolled op by op: z(t) = Wc x(t) + b + Wr h(t−1), h(t) = tanh(z(t)).

Forward and backward: the gradients of Wc, Wr, b and h0, of the sum of all outputs h(t). Every step's operations are
recorded one by one, so this shows the overhead of recording. With minigrad they are z, by `linear_sum`, and its tanh.
Each library is used as its documentation shows; where it shows two ways, the faster.
"""

from __future__ import annotations

from typing import Any

from .contestant import Gradients, Work
from .page import Benchmark, Options, Tables, timing_tables
from .sizes import QUICK_SIZES, SIZES, numbers
from .tapes import OTHERS, contestants, targets
from .timing import contest

WANTED = ("Wc", "Wr", "b", "h0")


def ours(T: int, B: int, I: int, H: int) -> Work:
    """Run the steps as `impl="graph"` does."""
    import minigrad as mg
    from minigrad_rnn.cells.rnn import rnn_step

    arrays = numbers(T, B, I, H)
    xs = mg.tensor(arrays["xs"])
    Wc, Wr, b, h0 = leaves = [mg.tensor(arrays[name], requires_grad=True) for name in WANTED]

    def run() -> Any:
        for leaf in leaves:
            leaf.grad = None
        h, hs = h0, []
        for x in xs:
            (h,) = rnn_step(x, (h,), h, Wc, Wr, b, "tanh")
            hs.append(h)
        loss = mg.stack(hs).sum()
        loss.backward()
        return loss, [leaf.grad for leaf in leaves]

    return Work(run, lambda result: _named(result[0].numpy(), [g.numpy() for g in result[1]]))


def torch_eager(T: int, B: int, I: int, H: int) -> Work:
    import torch
    from torch.nn.functional import linear

    arrays = numbers(T, B, I, H)
    xs = torch.from_numpy(arrays["xs"])
    Wc, Wr, b, h0 = leaves = [torch.from_numpy(arrays[name]).requires_grad_() for name in WANTED]

    def run() -> Any:
        for leaf in leaves:
            leaf.grad = None
        h, hs = h0, []
        for x in xs:
            h = torch.tanh(linear(x, Wc, b) + linear(h, Wr))
            hs.append(h)
        loss = torch.stack(hs).sum()
        loss.backward()
        return loss, [leaf.grad for leaf in leaves]

    return Work(run, lambda result: _named(result[0].detach().numpy(), [g.numpy() for g in result[1]]))


def autograd(T: int, B: int, I: int, H: int) -> Work:
    import autograd.numpy as anp
    from autograd import value_and_grad

    arrays = numbers(T, B, I, H)
    xs = arrays["xs"]

    def divergence(Wc: Any, Wr: Any, b: Any, h0: Any) -> Any:
        h, loss = h0, 0.0
        to_z, to_next = Wc.T, Wr.T  # once: every transpose is recorded
        for x in xs:
            h = anp.tanh(anp.dot(x, to_z) + b + anp.dot(h, to_next))
            loss = loss + anp.sum(h)  # faster here than stacking
        return loss

    both = value_and_grad(divergence, (0, 1, 2, 3))
    leaves = [arrays[name] for name in WANTED]
    return Work(lambda: both(*leaves), lambda result: _named(result[0], result[1]))


def mygrad(T: int, B: int, I: int, H: int) -> Work:
    import mygrad as mg

    mg.turn_memory_guarding_off()  # its documentation's advice where speed counts
    arrays = numbers(T, B, I, H)
    xs = arrays["xs"]
    Wc, Wr, b, h0 = leaves = [mg.tensor(arrays[name]) for name in WANTED]

    def run() -> Any:
        h, hs = h0, []
        to_z, to_next = Wc.T, Wr.T
        for x in xs:
            h = mg.tanh(mg.matmul(x, to_z) + b + mg.matmul(h, to_next))
            hs.append(h)
        loss = mg.stack(hs).sum()
        loss.backward()
        return loss, [leaf.grad for leaf in leaves]

    return Work(run, lambda result: _named(result[0].data, result[1]))


def _named(loss: Any, gradients: Any) -> Gradients:
    return {"loss": loss, **dict(zip(WANTED, gradients, strict=True))}


CONTESTANTS = contestants(ours, torch_eager, autograd, mygrad)
TARGETS = targets(SIZES[:4])


def measure(options: Options) -> Tables:
    sizes = QUICK_SIZES if options.quick else SIZES
    results = contest(CONTESTANTS, sizes, options.plan, options.one_process, options.report)
    return timing_tables(sizes, results, TARGETS)


BENCHMARK = Benchmark("op_by_op", measure, OTHERS)
