"""Nets of every kind that is compiled, their inputs with gradients of every output, and all that comes of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np

import minigrad as mg
from minigrad_rnn import GRU, LSTM, RNN, Recurrence

Array = np.ndarray[Any, Any]
Results = dict[str, Array]


def projected(I: int, H: int, **options: Any) -> Recurrence:
    """An LSTM with fewer outputs than units, where there are two units or more."""
    return LSTM(I, H, proj_size=(2 * H + 1) // 3 if H > 1 else 0, **options)


KINDS: dict[str, Callable[..., Recurrence]] = {
    "rnn_tanh": RNN,
    "rnn_relu": partial(RNN, nonlinearity="relu"),
    "lstm": LSTM,
    "lstm_peephole": partial(LSTM, peephole=True),
    "lstm_projection": projected,
    "lstm_both": partial(projected, peephole=True, two_biases=True),
    "gru": GRU,
    "gru_reset_first": partial(GRU, reset_after=False),
}
DTYPES = ("float32", "float64")


def made_net(kind: str, I: int, H: int, dtype: Any = "float64", impl: str = "native", **options: Any) -> Recurrence:
    """A net whose float32 numbers are the same in either dtype and in every implementation."""
    net = KINDS[kind](I, H, impl=impl, dtype=dtype, rng=0, **options)
    rng = np.random.default_rng((I, H))
    for p in net.parameters():
        p.data[...] = (rng.uniform(-1.5, 1.5, p.shape) * H**-0.5).astype(np.float32)
    return net


@dataclass(frozen=True)
class Batch:
    """The inputs of a call, and the gradients that arrive at its outputs; axis −2 of each array is the batch's."""

    xs: Array
    state: tuple[Array, ...]
    gradients: tuple[Array, ...]
    """Of the outputs, the last state's arrays and those of every step."""
    lengths: tuple[int, ...] | None = None

    def columns(self, index: Sequence[int]) -> Batch:
        """These sequences, in this order."""
        xs, *rest = (a.take(index, axis=-2) for a in (self.xs, *self.state, *self.gradients))
        n = len(self.state)
        lengths = None if self.lengths is None else tuple(self.lengths[b] for b in index)
        return Batch(xs, tuple(rest[:n]), tuple(rest[n:]), lengths)

    def steps(self, T: int) -> Batch:
        """The first T steps, or more of them, NaN at the ends, which is then padding."""

        def cut(a: Array) -> Array:
            axis, before = a.ndim - 3, a.shape[-3]
            if before >= T:
                return a.take(range(T), axis=axis)
            more = np.full((*a.shape[:-3], T - before, *a.shape[-2:]), np.nan, a.dtype)
            return np.concatenate([a, more], axis=axis)

        n = len(self.state)
        outputs, last, every = self.gradients[:1], self.gradients[1 : 1 + n], self.gradients[1 + n :]
        gradients = (cut(outputs[0]), *last, *map(cut, every))
        return replace(self, xs=cut(self.xs), gradients=gradients)


def drawn_batch(net: Recurrence, T: int, B: int, lengths: Sequence[int] | None = None, seed: int = 0) -> Batch:
    """Normal numbers, the same in either dtype; NaN at padding, where nothing may be read."""
    rng = np.random.default_rng((seed, T, B))
    cell = net.cells[0]
    P, directions, cells = cell.state_sizes[0], len(net.directions), len(net.cells)
    shapes = [(T, B, net.input_size), *((cells, B, size) for size in cell.state_sizes)]
    shapes += [(T, B, P * directions), *((cells, B, size) for size in cell.state_sizes)]
    shapes += [(cells, T, B, size) for size in cell.state_sizes]
    dtype = cell.reference_parameter().dtype
    arrays = [rng.standard_normal(shape).astype(np.float32).astype(dtype) for shape in shapes]
    n = len(cell.state_sizes)
    outputs = arrays[1 + n :]
    for b, length in enumerate(lengths or ()):
        for a in (arrays[0], outputs[0], *outputs[1 + n :]):
            a[..., length:, b, :] = np.nan
    return Batch(arrays[0], tuple(arrays[1 : 1 + n]), tuple(outputs), None if lengths is None else tuple(lengths))


def results(net: Recurrence, batch: Batch) -> Results:
    """Outputs, last states, every state, and the gradients of xs, initial states and weights, by name."""
    names = net.cells[0].state_names
    leaves = [mg.tensor(a, requires_grad=True) for a in (batch.xs, *batch.state)]
    for leaf, a in zip(leaves, (batch.xs, *batch.state)):
        leaf.data = a.astype(leaf.dtype, copy=False)  # the array itself, in its own layout
    state = tuple(leaves[1:]) if len(names) > 1 else leaves[1]
    output, last, every = net(leaves[0], state, lengths=batch.lengths, return_states=True)
    outputs = [output, *(last if len(names) > 1 else (last,)), *(every if len(names) > 1 else (every,))]
    parameters = dict(net.named_parameters())
    gradients = mg.gradients(outputs, [*leaves, *parameters.values()], list(batch.gradients))
    keys = ["output", *(f"last {n}" for n in names), *(f"every {n}" for n in names)]
    keys += ["d xs", *(f"d initial {n}" for n in names), *(f"d {n}" for n in parameters)]
    return {key: a.numpy() for key, a in zip(keys, [*outputs, *gradients])}


def farthest(got: Results, want: Results) -> float:
    """The largest error relative to each array's largest entry; infinite if there are NaNs."""
    assert list(got) == list(want)
    errors = [np.abs(got[name] - want[name]).max() / max(np.abs(want[name]).max(), 1e-3) for name in want]
    return float("inf") if np.isnan(errors).any() else float(max(errors))


def of_sequence(found: Results, b: int, length: int, parameters: bool = False) -> Results:
    """What belongs to one sequence: its steps of the outputs, states and gradients; and the weights' gradients."""
    own: Results = {}
    for name, a in found.items():
        if name in ("output", "d xs") or name.startswith("every "):
            own[name] = a[..., :length, b, :]
        elif name.startswith(("last ", "d initial ")):
            own[name] = a[..., b, :]
        elif parameters:
            own[name] = a
    return own


def different(got: Results, want: Results) -> list[str]:
    """The names of the arrays that are not bitwise the same."""
    assert got.keys() == want.keys()
    return [name for name in want if got[name].tobytes() != want[name].tobytes()]
