"""What the tests of the lecture's procedures share: stacks run by them, divergences, differences."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from minigrad_rnn.manual_bptt import ReferenceResult, lecture

CELLS = [("rnn", "tanh"), ("rnn", "relu"), ("lstm", "tanh")]
IDS = ["tanh", "relu", "lstm"]
I, H = 3, 4


@dataclass(frozen=True)
class Case:
    """A network, its data, and a divergence that is no sum over time: sin⟨u, everything⟩ + ½⟨v, everything²⟩."""

    cell: str
    nonlinearity: str
    num_layers: int
    bidirectional: bool
    values: dict[str, np.ndarray]  # every parameter, "xs", "h_init" (and "c_init")
    u: tuple[np.ndarray, ...]  # one array for the output, then one for each part of the final state
    v: tuple[np.ndarray, ...]

    def divergence(self, output: np.ndarray, final_state: Any) -> float:
        seen = (output, *parts(final_state))
        inner = sum(float((u * a).sum()) for u, a in zip(self.u, seen))
        return np.sin(inner) + sum(0.5 * float((v * a * a).sum()) for v, a in zip(self.v, seen))

    def divergence_gradient(self, output: np.ndarray, final_state: Any) -> tuple[np.ndarray, Any]:
        seen = (output, *parts(final_state))
        cos = np.cos(sum(float((u * a).sum()) for u, a in zip(self.u, seen)))
        d_output, *d_final = (cos.astype(a.dtype) * u + v * a for u, v, a in zip(self.u, self.v, seen))
        return d_output, tuple(d_final) if self.cell == "lstm" else d_final[0]

    def run(self, module: Any = lecture, **changed: np.ndarray) -> ReferenceResult:
        values = {**self.values, **changed}
        xs, *states = (values.pop(name) for name in ("xs", "h_init", "c_init") if name in values)
        kind = {"tanh": module.RNN, "relu": module.RNN_RELU}[self.nonlinearity] if self.cell == "rnn" else module.LSTM
        return by_the_slides(
            module, kind, values, xs, states, self.divergence_gradient, self.num_layers, self.bidirectional
        )  # fmt: skip


def by_the_slides(
    module: Any, kind: Any, parameters: dict[str, np.ndarray], xs: np.ndarray, init: list[np.ndarray],
    divergence_gradient: Callable[..., Any], num_layers: int, bidirectional: bool,
) -> ReferenceResult:  # fmt: skip
    """Run a stack of layers by the procedures of `module`, the lecture's or a copy with a fault.

    `kind` is the module's RNN, RNN_RELU or LSTM. A one-way stack is one deep net (slides 107 and 116), a two-way stack
    a pile of blocks of depth one (108 and 117).
    """
    directions = ("forward", "backward") if bidirectional else ("forward",)
    layers = [f"{direction}{l}" for l in range(num_layers) for direction in directions]  # the states' rows, in order
    D, depth = len(directions), 1 if bidirectional else num_layers
    blocks = [[slice(r + d, r + d + depth) for d in range(D)] for r in range(0, len(layers), D * depth)]
    T = len(xs)

    def net(rows: slice) -> tuple[Any, ...]:
        Wc, Wr, b = ([parameters.get(f"{layer}.{W}") for layer in layers[rows]] for W in ("Wc", "Wr", "b"))
        return depth, Wc, Wr, b, *(state[rows] for state in init)

    x, final, trace_by_block = xs, [np.zeros_like(state) for state in init], []
    for block in blocks:
        nets = [net(rows) for rows in block]
        if bidirectional:
            output, *traces = module.bidirectional_forward(kind, nets[0], nets[1], x, T)
        else:
            traces = [kind.forward(*nets[0], x, T, **kind.options)]
            output = np.stack([traces[0][0][t, depth] for t in range(T)])
        for rows, trace, last in zip(block, traces, (T - 1, 0)):
            for state, grid in zip(final, trace):  # h (and c); the trace's last grid is z
                state[rows] = [grid[last, l] for l in range(1, depth + 1)]
        trace_by_block.append((block, nets, x, traces))
        x = output

    final_state = (final[0], final[1]) if len(final) > 1 else final[0]
    dx, d_final_state = divergence_gradient(output, final_state)
    gradients, d_init = dict[str, np.ndarray](), [np.zeros_like(state) for state in init]
    for block, nets, x, traces in reversed(trace_by_block):
        finals = [{f"d{s}final": state[rows] for s, state in zip(kind.states, parts(d_final_state))} for rows in block]
        if bidirectional:
            dx, *grads = module.bidirectional_bptt(kind, nets[0], nets[1], x, T, dx, *traces, *finals)
        else:
            dx, *grad = kind.bptt(*nets[0], x, T, dx, *traces[0], **finals[0], **kind.options)
            grads = [tuple(grad)]
        for rows, (dWc, dWr, db, *dinit) in zip(block, grads):
            for W, dW in (("Wc", dWc), ("Wr", dWr), ("b", db)):
                gradients |= {f"{layer}.{W}": g for layer, g in zip(layers[rows], dW)}
            for state, g in zip(d_init, dinit):
                state[rows] = g
    gradients = {name: gradients[name] for name in parameters}
    gradients |= {"xs": dx, **{f"{s}_init": state for s, state in zip(kind.states, d_init)}}
    return ReferenceResult(output, final_state, gradients)


def parts(state: Any) -> tuple[np.ndarray, ...]:
    return state if isinstance(state, tuple) else (state,)


def make_case(
    cell: str, nonlinearity: str, num_layers: int = 2, bidirectional: bool = False, bias: bool = True,
    B: int = 2, T: int = 4, dtype: Any = np.float64,
) -> Case:  # fmt: skip
    rng = np.random.default_rng([num_layers, bidirectional, bias, B, T, len(cell)])
    directions = ("forward", "backward") if bidirectional else ("forward",)
    D, gates = len(directions), 4 if cell == "lstm" else 1
    shapes = {}
    for layer, direction in itertools.product(range(num_layers), directions):
        shapes[f"{direction}{layer}.Wc"] = (gates * H, I if layer == 0 else D * H)
        shapes[f"{direction}{layer}.Wr"] = (gates * H, H)
        if bias:
            shapes[f"{direction}{layer}.b"] = (gates * H,)
    values = {name: rng.uniform(-0.7, 0.7, shape).astype(dtype) for name, shape in shapes.items()}
    state = (num_layers * D, B, H)
    values["xs"] = rng.standard_normal((T, B, I)).astype(dtype)
    for name in ("h_init", "c_init")[: 2 if cell == "lstm" else 1]:
        values[name] = rng.standard_normal(state).astype(dtype)
    seen = [(T, B, D * H), *[state] * (2 if cell == "lstm" else 1)]
    u, v = (tuple(rng.uniform(-1, 1, shape).astype(dtype) / 4 for shape in seen) for _ in range(2))
    return Case(cell, nonlinearity, num_layers, bidirectional, values, u, v)


def errors_by_name(
    value: Callable[..., float], values: dict[str, np.ndarray], gradients: dict[str, np.ndarray], step: float = 1e-4
) -> dict[str, float]:
    """For every named array, how far its gradient is, relatively, from the central difference along one direction.

    The difference is the one of fourth order, (8 (f(1) − f(−1)) − (f(2) − f(−2))) / 12 steps, good to about 1e-10.
    """
    assert values.keys() == gradients.keys()
    rng = np.random.default_rng(7)
    errors = {}
    for name, a in values.items():
        assert gradients[name].shape == a.shape, name
        direction = rng.standard_normal(a.shape)
        near, far = (
            value(**{name: a + k * step * direction}) - value(**{name: a - k * step * direction}) for k in (1, 2)
        )
        numeric, exact = (8.0 * near - far) / (12.0 * step), float((gradients[name] * direction).sum())
        errors[name] = abs(numeric - exact) / max(abs(numeric), abs(exact), 1e-3)
    return errors


def reference_errors(case: Case, module: Any = lecture) -> dict[str, float]:
    """`errors_by_name` of the reference in `module`; what it differentiates is always the true forward pass."""

    def value(**changed: np.ndarray) -> float:
        result = case.run(**changed)
        return case.divergence(result.output, result.final_state)

    return errors_by_name(value, case.values, case.run(module).gradients)


def guilty(errors: dict[str, float]) -> set[str]:
    return {name for name, error in errors.items() if error > 1e-6}
