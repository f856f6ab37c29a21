"""Running reductions: along an axis, what each value makes with all before it."""

from __future__ import annotations

from typing import Any

import numpy as np

from ...backend import backend_of
from ...engine.primitive import composed, primitive
from ...engine.tensor import Tensor
from ..elementwise.arithmetic import where
from ..elementwise.nondifferentiable import isnan
from ..indexing.gather import take_along_axis
from .reductions import as_tensor, finite_or_zero, products_before, want_inexact

Array = Any
__all__ = ["cummax", "cummin", "cumprod", "cumsum", "logcumsumexp", "nancumprod", "nancumsum"]


@primitive
def cumsum(xp: Any, x: Array, axis: int | None = None, dtype: Any = None) -> Any:
    """The sums of the first 1, 2, … values along `axis`, or of everything in one row."""
    shape, along = x.shape, 0 if axis is None else axis
    if dtype is not None:
        want_inexact(x, dtype)

    def by_x(xp: Any, g: Array) -> Array:
        return xp.reshape(xp.flip(xp.cumsum(xp.flip(g, along), axis=along), along), shape)

    return xp.cumsum(x, axis=axis, dtype=dtype), (), by_x


@primitive
def cumprod(xp: Any, x: Array, axis: int | None = None, dtype: Any = None) -> Any:
    """The products of the first 1, 2, … values along `axis`, or of everything in one row.

    The rule divides by nothing, so it is right at zeros, however many, in every order.
    """
    if dtype is not None:
        want_inexact(x, dtype)
    y = xp.cumprod(x, axis=axis, dtype=dtype)
    shape, axis = x.shape, axis if x.ndim else None

    def by_x(xp: Any, g: Array, x: Array) -> Array:
        rows, g = (xp.reshape(x, (-1,)), g) if axis is None else (xp.swapaxes(x, axis, -1), xp.swapaxes(g, axis, -1))
        found = products_before(xp, rows) * _from_the_end(xp, rows[..., 1:], g)
        return xp.reshape(found, shape) if axis is None else xp.swapaxes(found, axis, -1)

    return y, (x,), by_x


def _from_the_end(xp: Any, a: Array, b: Array) -> Array:
    """`s` with `s[k] = b[k] + a[k] * s[k + 1]` along the last axis, of which `a` is one shorter than `b`.

    By doubling: after each round every value has met twice as many behind it (Hillis and Steele, 1986), so that no
    step waits for the one before, on a device or on the tape.
    """
    n, d = b.shape[-1], 1
    while d < n:
        b = xp.concatenate([b[..., : n - d] + a * b[..., d:], b[..., n - d :]], axis=-1)
        if 2 * d < n:
            a = a[..., : n - 2 * d] * a[..., d:]
        d *= 2
    return b


def _accumulated(xp: Any, function: Any, x: Array, axis: int) -> Array:
    """`function.accumulate` along an axis, by doubling on a device, where only sums and products have it."""
    if xp is np:
        return function.accumulate(x, axis=axis)
    x, d = xp.swapaxes(x, axis, -1), 1
    while d < x.shape[-1]:
        x = xp.concatenate([x[..., :d], function(x[..., d:], x[..., :-d])], axis=-1)
        d *= 2
    return xp.swapaxes(x, axis, -1)


@primitive
def logcumsumexp(xp: Any, x: Array, axis: int = 0) -> Any:
    """`log(cumsum(exp(x)))` along `axis`, without overflow; −inf as long as there has been nothing else."""
    y = _accumulated(xp, xp.logaddexp, x, axis)

    def by_x(xp: Any, g: Array, x: Array, y: Array) -> Array:
        x, y, g = xp.swapaxes(x, axis, -1), xp.swapaxes(y, axis, -1), xp.swapaxes(g, axis, -1)
        finite = finite_or_zero(xp, y)
        # No factor is above 1, since y never falls.
        shares = _from_the_end(xp, xp.exp(y[..., :-1] - finite[..., 1:]), g)
        return xp.swapaxes(xp.exp(x - finite) * shares, axis, -1)

    return y, (x, y), by_x


@composed
def cummax(x: Any, axis: int = 0) -> Tensor:
    """The largest so far along `axis` (`numpy.maximum.accumulate`); of equal ones the latest has the gradient."""
    return _extremes(x, axis, "maximum")


@composed
def cummin(x: Any, axis: int = 0) -> Tensor:
    """The smallest so far along `axis` (`numpy.minimum.accumulate`); of equal ones the latest has the gradient."""
    return _extremes(x, axis, "minimum")


def _extremes(x: Any, axis: int, name: str) -> Tensor:
    x = as_tensor(x)
    array = x._data
    xp = backend_of(array).xp
    y = _accumulated(xp, getattr(xp, name), array, axis)
    numbers = xp.arange(array.shape[axis]).reshape([-1 if k == axis % x.ndim else 1 for k in range(x.ndim)])
    # The latest place at which a value equalled the extreme so far, or was a NaN.
    reached = xp.where(xp.logical_or(array == y, array != array), numbers, 0)
    return take_along_axis(x, _accumulated(xp, xp.maximum, reached, axis), axis=axis)


def _without_nan(x: Tensor, instead: float) -> Tensor:
    return where(isnan(x), instead, x) if x.dtype.kind == "f" else x


@composed
def nancumsum(x: Any, axis: int | None = None, dtype: Any = None) -> Tensor:
    """`cumsum` that takes a NaN for 0; none gets a gradient."""
    return cumsum(_without_nan(as_tensor(x), 0.0), axis=axis, dtype=dtype)


@composed
def nancumprod(x: Any, axis: int | None = None, dtype: Any = None) -> Tensor:
    """`cumprod` that takes a NaN for 1; none gets a gradient."""
    return cumprod(_without_nan(as_tensor(x), 1.0), axis=axis, dtype=dtype)
