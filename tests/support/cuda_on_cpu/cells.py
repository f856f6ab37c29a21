"""Cells that have kernels, with the same numbers on every backend, and the results of their sequences."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

import minigrad as mg
from minigrad import Tensor
from minigrad.backend import Backend
from minigrad_rnn.cells import Cell, GRUCell, Lengths, LSTMCell, RNNCell
from minigrad_rnn.cuda import sequence
from minigrad_rnn.cuda.planner import PERSISTENT, TWO_LAUNCHES, PassPlan, Plan, Shape, Tile

KINDS: dict[str, Callable[..., Cell]] = {
    "rnn_tanh": RNNCell,
    "rnn_relu": partial(RNNCell, nonlinearity="relu"),
    "lstm": LSTMCell,
    "gru": GRUCell,
    "gru_reset_first": partial(GRUCell, reset_after=False),
}
DIRECTIONS = {"forward": [False], "backward": [True], "both": [False, True]}
I = 3


def made_cell(kind: str, H: int, seed: int, dtype: Any, backend: str) -> Cell:
    """Return a cell with the same float32 numbers in every dtype and on every backend."""
    cell = KINDS[kind](I, H, dtype=dtype)
    rng = np.random.default_rng(seed)
    for p in cell.parameters():
        p.data[...] = (rng.uniform(-1, 1, p.shape) * H**-0.5).astype(np.float32)
    return cell.to(backend)


def planned(kind: str, H: int, B: int, dtype: Any, directions: int, tile: Tile | None) -> Plan:
    """Return a plan of one launch with this tile, or of two launches a step without one."""
    shape = Shape(kind, B, H, np.dtype(dtype), directions)
    implementations = [
        PassPlan(TWO_LAUNCHES, "requested")
        if tile is None
        else PassPlan(PERSISTENT, "requested", tile, tile.grid(shape), tile.shared_memory(shape, backward))
        for backward in (False, True)
    ]
    return Plan(shape, *implementations)


def drawn(rng: np.random.Generator, *shape: int) -> np.ndarray[Any, Any]:
    return rng.standard_normal(shape).astype(np.float32)


def results(
    kind: str,
    H: int,
    T: int,
    B: int,
    direction: str,
    steps: list[int] | None,
    dtype: Any,
    backend: Backend,
    tile: Tile | None = None,
) -> dict[str, np.ndarray[Any, Any]]:
    """Return the outputs and gradients of a sequence from a state, by name; with kernels if the backend has them."""
    rng = np.random.default_rng(T * 100 + B)
    reads = DIRECTIONS[direction]
    cells = [made_cell(kind, H, 5 + k, dtype, backend.name) for k in range(len(reads))]
    lengths = None if steps is None else Lengths(steps, T, B, backend, "test")

    def leaf(host: Any) -> Tensor:
        return mg.tensor(backend.from_numpy(host.astype(dtype)), requires_grad=True)

    xs_host = drawn(rng, T, B, I)
    if steps is not None:
        for b, length in enumerate(steps):
            xs_host[length:, b] = np.nan  # what stands at padding influences nothing
    xs = leaf(xs_host)
    states = [tuple(leaf(drawn(rng, B, H)) for _ in cell.state_names) for cell in cells]
    every_state = kind == "lstm"
    if backend.kernels is None:
        results = [
            cell.sequence(xs, state, back, lengths, every_state) for cell, state, back in zip(cells, states, reads)
        ]
    else:
        plan = planned(kind, H, B, dtype, len(cells), tile)
        inputs = [(xs, state) for state in states]
        results = sequence.run(backend, plan, cells, inputs, reads == [True], lengths, every_state)
    loss = sum(
        ((y * leaf(drawn(rng, *y.shape)).detach()).sum() for outputs in results for y in outputs),
        start=xs.detach()[0, 0, 0] * 0,
    )
    named = {"xs": xs}
    for k, (cell, state) in enumerate(zip(cells, states)):
        named |= {f"{k} {name}": part for name, part in zip(cell.state_names, state)}
        named |= {f"{k} {name}": p for name, p in cell.named_parameters()}
    arrays = {f"output {k} {j}": y for k, outputs in enumerate(results) for j, y in enumerate(outputs)}
    arrays |= dict(zip(named, mg.gradients(loss, list(named.values()))))
    return {name: y.numpy() for name, y in arrays.items()}


def farthest(got: dict[str, Any], want: dict[str, Any]) -> float:
    """Return the largest error relative to each array's largest entry; infinite if there are NaNs."""
    assert list(got) == list(want)
    errors = [np.abs(got[name] - want[name]).max() / max(np.abs(want[name]).max(), 1e-3) for name in want]
    return float("inf") if np.isnan(errors).any() else float(max(errors))
