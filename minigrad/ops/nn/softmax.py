"""Softmax, log-softmax and the negative log-likelihood: one primitive each, to save memory for large vocabularies."""

from __future__ import annotations

from typing import Any

import numpy as np

from ...engine.primitive import call_in, primitive
from ...engine.summation import accurate_sum, half_to_single
from ..indexing.gather import add_at_rows

Array = Any
__all__ = ["log_softmax", "negative_log_likelihood", "softmax"]

REST = {"e": 1e-2, "f": 1e-4, "d": 1e-9}
"""Below which rest 1 − p, by the dtype's letter, the largest probability of a row is rounded too much for its rule."""


def _saturated(total: Array) -> bool:
    """Whether one probability of a row is nearly 1, from the sum of exp(x − max); on a device that is not looked at."""
    if type(total) is not np.ndarray or not total.size:
        return False
    return bool(total.item(total.argmin()) < 1 + REST[total.dtype.char])


def _sum_to_zero(xp: Any, g: Array, y: Array, axis: int) -> Array:
    """`g` less its share of its sum along `axis`, which is 0 by definition.

    It has what the entry with y near 1 lost: its p − 1 rounds to 0, the p of the others does not.
    """
    return g - y * accurate_sum(g, axis, keepdims=True)


@primitive
def softmax(xp: Any, x: Array, axis: int = -1) -> Any:
    """`exp(x) / sum(exp(x))` along `axis`. Its Jacobian is y_i (δ_ij − y_j)."""
    dtype, x = x.dtype, half_to_single(x)
    y = xp.exp(x - xp.max(x, axis=axis, keepdims=True))
    total = accurate_sum(y, axis, keepdims=True)
    y /= total
    y = y.astype(dtype) if dtype.char == "e" else y
    saturated = _saturated(total)

    def rule(xp: Any, g: Array, y: Array) -> Array:
        g = y * (g - accurate_sum(g * y, axis, keepdims=True))
        return _sum_to_zero(xp, g, y, axis) if saturated else g

    return y, (y,), rule


@primitive
def log_softmax(xp: Any, x: Array, axis: int = -1) -> Any:
    """The logarithm of `softmax` along `axis`, without overflow."""
    dtype, x = x.dtype, half_to_single(x)
    y = x - xp.max(x, axis=axis, keepdims=True)
    total = accurate_sum(xp.exp(y), axis, keepdims=True)
    y = y - xp.log(total)
    y = y.astype(dtype) if dtype.char == "e" else y
    saturated = _saturated(total)

    def rule(xp: Any, g: Array, y: Array) -> Array:
        p = xp.exp(y)
        g = g - p * accurate_sum(g, axis, keepdims=True)
        return _sum_to_zero(xp, g, p, axis) if saturated else g

    return y, (y,), rule


@primitive
def negative_log_likelihood(xp: Any, logits: Array, targets: Array, ignore_index: int = -100) -> Any:
    """`-log softmax(logits)[target]` for every row; 0 where that is `ignore_index`, even in rows of NaN or inf.

    Shapes: logits (N, C), integer targets (N,); the result (N,).
    """
    counted = targets != ignore_index
    safe = xp.where(counted, targets, 0)
    if isinstance(counted, np.ndarray) and counted.all():  # on a device, asking would synchronise with it
        counted = None
    x = half_to_single(logits if counted is None else call_in(xp, _counted_rows, logits, counted))
    shifted = x - xp.max(x, axis=-1, keepdims=True)
    total = accurate_sum(xp.exp(shifted), -1)
    value = xp.log(total) - shifted[xp.arange(targets.shape[0]), safe]
    if counted is not None:
        value *= counted
    saturated = _saturated(total)

    def rule(xp: Any, g: Array, logits: Array) -> Array:
        if counted is not None:
            g, logits = g * counted, call_in(xp, _counted_rows, logits, counted)
        result = call_in(xp, add_at_rows, xp.expand_dims(g, -1) * call_in(xp, softmax, logits), -g, safe)
        return _sum_to_zero(xp, result, call_in(xp, softmax, logits), -1) if saturated else result

    return value.astype(logits.dtype), (logits,), (rule, None)


@primitive
def _counted_rows(xp: Any, x: Array, counted: Array) -> Any:
    """A copy of `x` (N, …) with zeros in the rows that do not count; a product with a mask would keep NaN and inf."""
    y = x.copy()
    y[~counted] = 0
    return y, (), (lambda xp, g: call_in(xp, _counted_rows, g, counted), None)
