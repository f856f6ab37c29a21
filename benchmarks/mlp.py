"""Time a perceptron of eight small layers, h ← tanh(W h + b), forward and backward.

The gradients are those of every W and b. The loss is the mean of the squared outputs. Sizes are B rows and H units
a layer.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from .contestant import Gradients, Work
from .page import Benchmark, Options, Tables, timing_tables
from .tapes import OTHERS, contestants, targets
from .timing import contest

SIZES = [{"B": 1, "H": 16}, {"B": 16, "H": 16}, {"B": 32, "H": 64}]
LAYERS = 8


def numbers(B: int, H: int) -> tuple[Any, list[Any]]:
    """Return x (B, H) and the layers' weights (H, H) and biases (H,), alternating."""
    rng = np.random.default_rng(0)
    weights = [rng.uniform(-(H**-0.5), H**-0.5, shape) for _ in range(LAYERS) for shape in ((H, H), (H,))]
    return rng.standard_normal((B, H)).astype(np.float32), [array.astype(np.float32) for array in weights]


def loss_of(tanh: Any, linear: Any, x: Any, parameters: Any) -> Any:
    h = x
    for k in range(0, 2 * LAYERS, 2):
        h = tanh(linear(h, parameters[k], parameters[k + 1]))
    return (h * h).mean()


def _named(loss: Any, gradients: Any) -> Gradients:
    return {"loss": loss, **{f"{'Wb'[k % 2]}{k // 2}": g for k, g in enumerate(gradients)}}


def ours(B: int, H: int) -> Work:
    import minigrad as mg

    host, weights = numbers(B, H)
    x, leaves = mg.tensor(host), [mg.tensor(array, requires_grad=True) for array in weights]

    def run() -> Any:
        for leaf in leaves:
            leaf.grad = None
        loss = loss_of(mg.tanh, mg.linear, x, leaves)
        loss.backward()
        return loss, [leaf.grad for leaf in leaves]

    return Work(run, lambda result: _named(result[0].numpy(), [g.numpy() for g in result[1]]))


def torch_eager(B: int, H: int) -> Work:
    import torch
    from torch.nn.functional import linear

    host, weights = numbers(B, H)
    x, leaves = torch.from_numpy(host), [torch.from_numpy(array).requires_grad_() for array in weights]

    def run() -> Any:
        for leaf in leaves:
            leaf.grad = None
        loss = loss_of(torch.tanh, linear, x, leaves)
        loss.backward()
        return loss, [leaf.grad for leaf in leaves]

    return Work(run, lambda result: _named(result[0].detach().numpy(), [g.numpy() for g in result[1]]))


def autograd(B: int, H: int) -> Work:
    import autograd.numpy as anp
    from autograd import value_and_grad

    x, weights = numbers(B, H)

    both = value_and_grad(lambda parameters: loss_of(anp.tanh, lambda h, W, b: anp.dot(h, W.T) + b, x, parameters))
    return Work(lambda: both(weights), lambda result: _named(result[0], result[1]))


def mygrad(B: int, H: int) -> Work:
    import mygrad as mg

    mg.turn_memory_guarding_off()  # its documentation's advice where speed counts
    x, weights = numbers(B, H)
    leaves = [mg.tensor(array) for array in weights]

    def run() -> Any:
        loss = loss_of(mg.tanh, lambda h, W, b: mg.matmul(h, W.T) + b, x, leaves)
        loss.backward()
        return loss, [leaf.grad for leaf in leaves]

    return Work(run, lambda result: _named(result[0].data, result[1]))


CONTESTANTS = contestants(ours, torch_eager, autograd, mygrad)
TARGETS = targets(SIZES)


def measure(options: Options) -> Tables:
    sizes = SIZES[:2] if options.quick else SIZES
    results = contest(CONTESTANTS, sizes, options.plan, options.one_process, options.report)
    return timing_tables(sizes, results, TARGETS)


BENCHMARK = Benchmark("mlp", measure, OTHERS)
