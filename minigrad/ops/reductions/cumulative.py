"""Cumulative sums, products and extrema along an axis."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ...backend import backend_of
from ...engine.primitive import composed, primitive
from ...engine.summation import LONG
from ...engine.tensor import Tensor
from ..arrays.conversion import to_tensor
from ..arrays.shape import axis_in, vector_shape
from ..elementwise.arithmetic import where
from ..elementwise.logistic import share_of_sum
from ..elementwise.nondifferentiable import isnan
from ..indexing.gather import take_along_axis
from .reductions import products_before, want_inexact

Array = Any
__all__ = ["cummax", "cummin", "cumprod", "cumsum", "logcumsumexp", "nancumprod", "nancumsum"]


@primitive
def cumsum(xp: Any, x: Array, axis: int | None = None, dtype: Any = None) -> Any:
    """The sums of the first 1, 2, … values along `axis`, or of the flattened values."""
    shape, g_axis = x.shape, 0 if axis is None else axis
    want_inexact(x, dtype)

    def by_x(xp: Any, g: Array) -> Array:
        return xp.reshape(xp.flip(_running_sums(xp, xp.flip(g, g_axis), g_axis), g_axis), shape)

    return _running_sums(xp, x, axis, dtype), (), by_x


def _running_sums(xp: Any, x: Array, axis: Any, dtype: Any = None) -> Array:
    """`xp.cumsum`: of float16 added up in float32, of many values of float32 in float64."""
    if isinstance(x, Tensor):
        return xp.cumsum(x, axis=axis, dtype=dtype)
    result = np.dtype(x.dtype if dtype is None else dtype)
    if result.char == "e":
        return _running_sums(xp, x.astype(np.float32), axis).astype(result)
    if result.char in "fF" and x.size > 4 * LONG and (axis is None or x.shape[axis_in(axis, x.ndim)] > 4 * LONG):
        return xp.cumsum(x, axis=axis, dtype=result.char.replace("f", "d").replace("F", "D")).astype(result)
    return xp.cumsum(x, axis=axis, dtype=dtype)


@primitive
def cumprod(xp: Any, x: Array, axis: int | None = None, dtype: Any = None) -> Any:
    """The products of the first 1, 2, … values along `axis`, or of the flattened values.

    The rule does not divide, so it is right for any number of zeros, in every order.
    """
    want_inexact(x, dtype)
    y = xp.cumprod(x, axis=axis, dtype=dtype)
    shape, axis = x.shape, axis if x.ndim else None

    def by_x(xp: Any, g: Array, x: Array) -> Array:
        rows, g = (xp.reshape(x, (-1,)), g) if axis is None else (xp.swapaxes(x, axis, -1), xp.swapaxes(g, axis, -1))
        dx = products_before(xp, rows) * _backward_recurrence(xp, rows[..., 1:], g)
        return xp.reshape(dx, shape) if axis is None else xp.swapaxes(dx, axis, -1)

    return y, (x,), by_x


def _backward_recurrence(xp: Any, a: Array, b: Array) -> Array:
    """`s` with `s[k] = b[k] + a[k] * s[k + 1]` along the last axis; `a` is one shorter than `b`.

    A parallel scan (Hillis and Steele, 1986): after each round every value includes twice as many of the values after
    it, so n values need log₂ n steps, on a device and on the tape.
    """
    n, d = b.shape[-1], 1
    while d < n:
        b = xp.concatenate([b[..., : n - d] + a * b[..., d:], b[..., n - d :]], axis=-1)
        if 2 * d < n:
            a = a[..., : n - 2 * d] * a[..., d:]
        d *= 2
    return b


def _accumulated(xp: Any, function: Any, x: Array, axis: int) -> Array:
    """`function.accumulate` along an axis; by doubling on a device, where only sums and products can accumulate."""
    if xp is np:
        return function.accumulate(x, axis=axis)
    x, d = xp.swapaxes(x, axis, -1), 1
    while d < x.shape[-1]:
        x = xp.concatenate([x[..., :d], function(x[..., d:], x[..., :-d])], axis=-1)
        d *= 2
    return xp.swapaxes(x, axis, -1)


@primitive
def logcumsumexp(xp: Any, x: Array, axis: int = 0) -> Any:
    """`log(cumsum(exp(x)))` along `axis`, without overflow; −inf as long as all values are −inf."""
    y = _accumulated(xp, xp.logaddexp, x, axis)

    def by_x(xp: Any, g: Array, x: Array, y: Array) -> Array:
        x, y, g = xp.swapaxes(x, axis, -1), xp.swapaxes(y, axis, -1), xp.swapaxes(g, axis, -1)
        before, now = y[..., :-1], x[..., 1:]
        # Each sum is of all before it and one value. Their shares are at most 1, and exact however large the sum is.
        total = _backward_recurrence(xp, share_of_sum(xp, before, now), g)
        first = xp.where(x[..., :1] == -math.inf, 0.0, xp.ones_like(x[..., :1]))
        return xp.swapaxes(xp.concatenate([first, share_of_sum(xp, now, before)], axis=-1) * total, axis, -1)

    return y, (x, y), by_x


@composed
def cummax(x: Any, axis: int = 0) -> Tensor:
    """The largest value so far along `axis` (`numpy.maximum.accumulate`); the last of equals gets the gradient."""
    return _extremes(x, axis, "maximum")


@composed
def cummin(x: Any, axis: int = 0) -> Tensor:
    """The smallest value so far along `axis` (`numpy.minimum.accumulate`); the last of equals gets the gradient."""
    return _extremes(x, axis, "minimum")


def _extremes(x: Any, axis: int, name: str) -> Tensor:
    x = to_tensor(x)
    array = x._array
    xp = backend_of(array).xp
    y = _accumulated(xp, getattr(xp, name), array, axis)
    positions = xp.arange(array.shape[axis]).reshape(vector_shape(axis % x.ndim, x.ndim))
    # The latest position at which a value equals the extreme so far, or is a NaN.
    latest = xp.where(xp.logical_or(array == y, array != array), positions, 0)
    return take_along_axis(x, _accumulated(xp, xp.maximum, latest, axis), axis=axis)


def without_nan(x: Any, value: float) -> Tensor:
    """`x` with `value` in place of NaNs, which get no gradient."""
    x = to_tensor(x)
    return where(isnan(x), value, x) if x.dtype.kind in "fc" else x


@composed
def nancumsum(x: Any, axis: int | None = None, dtype: Any = None) -> Tensor:
    """`cumsum` with 0 in place of NaNs, which get no gradient."""
    return cumsum(without_nan(x, 0.0), axis=axis, dtype=dtype)


@composed
def nancumprod(x: Any, axis: int | None = None, dtype: Any = None) -> Tensor:
    """`cumprod` with 1 in place of NaNs, which get no gradient."""
    return cumprod(without_nan(x, 1.0), axis=axis, dtype=dtype)
