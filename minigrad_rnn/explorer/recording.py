"""Recording holds the numbers of a model's forward and backward pass as arrays; `record` runs the backward passes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

import minigrad as mg
from minigrad import Tensor
from minigrad.engine.hooks import Handle

from .factors import Factors, Values, factors_of, read_by
from .unrolled import Quantity, Spot, Unrolled

Array = Any
LEDGER_BYTES = 1 << 28
"""Bytes of contributions that are listed one by one; of larger parameters only their norms are."""
UNLABELLED = -1
"""The row of what contributed outside any time step, such as a learned h(−1): the last one."""


@dataclass(frozen=True)
class Loss:
    """The divergence of the outputs: its value, the part of each output (n,), or None, and dY (n, B, O)."""

    name: str
    value: Array
    terms: Array | None
    dY: Tensor


@dataclass
class Pool:
    """What a parameter's uses contributed, by column; the last row is what no time step contributed.

    norms, running: ‖contribution‖ of each column, and ‖pool‖ after it in the order of the backward pass; (C + 1,). NaN
        where it is not known.
    full: the contributions themselves (C + 1, *shape), or None where they would be too large.
    factors: then, if they are known, the two factors of which each contribution is the product.
    lags: ‖contribution‖ by the column of the loss term, for those in `Recording.loss_columns`, and by column.
    """

    name: str
    total: Array
    norms: Array
    running: Array
    full: Array | None
    lags: Array
    factors: Factors | None = None


@dataclass
class Recording:
    """All numbers that a page shows."""

    unrolled: Unrolled
    loss: Loss
    order: list[tuple[int, int]]
    """(lane, column) in the order of the forward pass; the backward pass goes through it from the end."""
    values: dict[tuple[str, str], Values]
    """By the names of the lane and the quantity."""
    pools: list[Pool]
    loss_columns: list[int]


def record(unrolled: Unrolled, loss: Loss, order: list[tuple[int, int]], full_bytes: int, loss_terms: int) -> Recording:
    """Run the backward passes and collect every number.

    Args:
        full_bytes: up to how many bytes of contributions are kept in full, the smallest parameters' first.
        loss_terms: for how many of the outputs, at most, the backward pass is repeated with that loss term alone.
    """
    output, names = unrolled.output, list(unrolled.parameters)
    inputs = [unrolled.parameters[name] for name in names]
    spots = [spot for lane in unrolled.lanes for q in lane.quantities for spot in (*q.spots.values(), q.start) if spot]
    watched = [spot.tensor for spot in spots]
    leaves = [x for x in (*watched, *unrolled.leaves) if x.node is not None and x.is_leaf]
    gradients, handles = _watch(watched)
    totals = mg.gradients([output], [*inputs, *leaves], [loss.dY], retain_graph=True, allow_unused=True)
    for handle in handles:
        handle.remove()
    values = {(lane.name, q.name): _values(q, gradients) for lane in unrolled.lanes for q in lane.quantities}
    C = len(unrolled.columns)
    shown, listed = (_fitting(unrolled.parameters, C, nbytes) for nbytes in (full_bytes, LEDGER_BYTES))
    reached = {name: x for name, x, total in zip(names, inputs, totals) if total is not None}
    book = _book(output, loss.dY, [x for name, x in reached.items() if name in listed], "full")
    book_of_norms = _book(output, loss.dY, [x for name, x in reached.items() if name not in listed], "norms")
    visited = _visits(unrolled, order)
    pools = []
    for name, total in zip(names, totals):
        if total is None:
            continue
        x, visits = reached[name], visited.get(name, [])
        if name in listed:
            by_step = {t: g.numpy() for t, g in book.by_time_step(x).items()}
            pool = _pool(name, total.numpy(), by_step, C, visits, name in shown)
        else:
            pool = _pool_of_norms(name, total.numpy(), book_of_norms.norms(x), C)
        if pool.full is None:
            pool.factors = factors_of(unrolled, values, name, pool.norms)
        if name not in listed:
            _add_running(pool, values, visits)
        pools.append(pool)
    rows = _chosen(len(unrolled.output_columns), loss_terms)
    loss_columns = [unrolled.output_columns[row] for row in rows]
    terms = [mg.sum(unrolled.each_output(row) * loss.dY[row]) for row in rows]  # linear, so that its gradient is dY(t)
    by_lag = mg.lag_ledger(terms, reached, times=loss_columns)
    for pool in pools:
        pool.lags = np.zeros((len(rows), C + 1))
        pool.lags[:, by_lag.steps] = by_lag.norms(pool.name)
        pool.lags[:, UNLABELLED] = by_lag.unlabelled(pool.name)
    return Recording(unrolled, loss, order, values, pools, loss_columns)


def _fitting(parameters: Mapping[str, Tensor], C: int, room: int) -> set[str]:
    """The smallest parameters, as many as have their contributions in `room` bytes together."""
    names = set()
    for name, x in sorted(parameters.items(), key=lambda item: item[1].size):
        room -= (C + 1) * x.size * x.dtype.itemsize
        if room < 0:
            break
        names.add(name)
    return names


def _book(output: Tensor, dY: Tensor, inputs: list[Tensor], keep: Literal["full", "norms"]) -> Any:
    return mg.ledger(output, inputs, dY, retain_graph=True, keep=keep) if inputs else None


def _watch(tensors: Sequence[Tensor]) -> tuple[dict[int, Array], list[Handle]]:
    """Let the backward pass put the gradient of each tensor on the tape into a dictionary, by serial number."""
    gradients: dict[int, Array] = {}
    handles, seen = [], set()
    for x in tensors:
        if x.node is None or x.node.serial in seen:
            continue
        serial = x.node.serial
        seen.add(serial)

        def keep(g: Tensor, serial: int = serial) -> None:
            gradients[serial] = g.numpy().copy()

        handles.append(x.register_hook(keep))
    return gradients, handles


def _values(quantity: Quantity, gradients: dict[int, Array]) -> Values:
    columns = sorted(quantity.spots)
    spots = [quantity.spots[column] for column in columns]
    values = np.stack([_at(spot, spot.tensor.numpy()) for spot in spots])
    found = [None if s.tensor.node is None else gradients.get(s.tensor.node.serial) for s in spots]
    grads = None
    if any(g is not None for g in found):
        rows = [np.zeros_like(v) if g is None else _at(s, g) for s, g, v in zip(spots, found, values)]
        grads = np.stack(rows)
    first = quantity.start
    if first is None:
        return Values(columns, values, grads, None)
    g = None if first.tensor.node is None else gradients.get(first.tensor.node.serial)
    start = _at(first, first.tensor.numpy())
    return Values(columns, values, grads, start, None if g is None else _at(first, g))


def _at(spot: Spot, array: Array) -> Array:
    array = array if spot.step is None else array[spot.step]
    return array.reshape(len(array), -1)


def _visits(unrolled: Unrolled, order: list[tuple[int, int]]) -> dict[str, list[int]]:
    """For each parameter the columns at which the backward pass comes to its lane, in its order."""
    visits: dict[str, list[int]] = {}
    for lane, column in reversed(order):
        for name in unrolled.lanes[lane].parameters:
            visits.setdefault(name, []).append(column)
    return visits


def _pool(name: str, total: Array, by_step: dict[int | None, Array], C: int, visited: list[int], keep: bool) -> Pool:
    norms, running = np.zeros(C + 1), np.zeros(C + 1)
    full = np.zeros((C + 1, *total.shape), total.dtype) if keep else None
    sum_so_far = np.zeros(total.shape, np.float64)
    rest = [t for t in by_step if t not in visited]
    for t in (*visited, *rest):
        row = UNLABELLED if t is None else t
        if t in by_step:
            sum_so_far = sum_so_far + by_step[t]
            norms[row] = _norm(by_step[t])
            if full is not None:
                full[row] = by_step[t]
        running[row] = _norm(sum_so_far)
    return Pool(name, total, norms, running, full, np.zeros((0, C + 1)))


def _pool_of_norms(name: str, total: Array, by_step: Mapping[int | None, float], C: int) -> Pool:
    """The pool of a parameter whose contributions together are too large even for the memory."""
    norms = np.zeros(C + 1)
    for t, norm in by_step.items():
        norms[UNLABELLED if t is None else t] = norm
    return Pool(name, total, norms, np.full(C + 1, np.nan), None, np.zeros((0, C + 1)))


def _add_running(pool: Pool, values: Mapping[tuple[str, str], Values], visited: list[int]) -> None:
    """Compute ‖pool‖ after each step from the factors, if they are known; else only that of the complete pool."""
    if pool.factors is not None:
        dz = values[pool.factors.lane, pool.factors.quantity]
        sum_so_far = np.zeros(pool.total.shape)
        for column in visited:
            v = read_by(pool.factors, values, column)
            assert dz.gradients is not None
            sum_so_far += dz.gradients[dz.columns.index(column)].T.astype(np.float64) @ v
            pool.running[column] = _norm(sum_so_far)
    if visited:
        pool.running[visited[-1]] = _norm(pool.total)
    pool.running[UNLABELLED] = _norm(pool.total)


def _norm(a: Array) -> float:
    """The Euclidean norm; NaN or infinite where a number is."""
    with np.errstate(over="ignore", invalid="ignore"):
        return float(np.sqrt(np.sum(np.square(np.asarray(a, np.float64)))))


def _chosen(n: int, most: int) -> list[int]:
    """All of n rows, or `most` of them at equal distances, the last among them."""
    if n <= most:
        return list(range(n))
    return sorted({round(k * (n - 1) / (most - 1)) for k in range(most)}) if most > 1 else [n - 1]
