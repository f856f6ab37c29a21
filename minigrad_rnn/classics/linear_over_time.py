"""Compute a linear layer for all steps of a series at once; windows of lagged steps."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import minigrad as mg
from minigrad import Tensor
from minigrad.engine.gradient_pool import PerStepSum
from minigrad.engine.norms import StepRows, norms_of_products
from minigrad.engine.summation import accurate_sum

Array = Any


@mg.primitive
def linear_over_time(xp: Any, xs: Array, W: Array, b: Array = None) -> Any:
    """Compute `W x(t) + b` for every step of a series as one product; the ledger shows each step's share.

    Shapes: xs (T, B, n), W (m, n), b (m,) or None; the result (T, B, m).
    """
    T, B, n = xs.shape
    y = xp.reshape(xp.matmul(xp.reshape(xs, (T * B, n)), W.T), (T, B, W.shape[0]))
    if b is not None:
        y = xp.add(y, b, out=y if b.dtype == y.dtype else None)
    steps = range(T)[::-1]

    def to_xs(xp: Any, g: Array, xs: Array, W: Array) -> Array:
        return xp.reshape(xp.matmul(xp.reshape(g, (T * B, g.shape[2])), W), (T, B, n))

    def to_W(xp: Any, g: Array, xs: Array, W: Array) -> PerStepSum:
        total = xp.matmul(xp.reshape(g, (T * B, g.shape[2])).T, xp.reshape(xs, (T * B, n)))
        return PerStepSum(total, steps, lambda t: xp.matmul(g[t].T, xs[t]), lambda: norms(g, StepRows(lambda: xs)))

    def to_b(xp: Any, g: Array, xs: Array, W: Array) -> PerStepSum:
        total = accurate_sum(g, (0, 1))
        return PerStepSum(total, steps, lambda t: accurate_sum(g[t], 0), lambda: norms(g, StepRows(None)))

    def norms(g: Array, right: StepRows) -> dict[int, float]:
        return dict(zip(range(T), norms_of_products(StepRows(lambda: g), right).tolist()))

    return y, (xs, W), (to_xs, to_W, to_b)


def lagged(series: Any, lags: Iterable[int], T: int) -> Tensor:
    """Return [s(t−k) for k in lags], concatenated, for t = 0 … T−1: (T, B, lags · F).

    `series` (n + T, B, F) holds the steps t = −n … T−1; no lag is above n.
    """
    n = series.shape[0] - T
    return mg.concatenate([series[n - k : n - k + T] for k in lags], axis=-1)


def last_steps(series: Any, n: int) -> Tensor:
    """Copy the last n steps: a view that is carried on as a state would keep the whole series alive."""
    return mg.concatenate([series[series.shape[0] - n :]])
