"""Reductions: many values to one, along some axes."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ...backend import is_array
from ...engine.gradient_pool import SMALL
from ...engine.primitive import composed, primitive, to_common_backend
from ...engine.tensor import Tensor, tensor_view
from ..elementwise.arithmetic import subtract

Array = Any
__all__ = ["amax", "amin", "logsumexp", "max", "mean", "min", "prod", "ptp", "std", "sum", "var"]


def as_tensor(x: Any) -> Tensor:
    """A tensor as it is; an array, a number or a list of numbers as a constant."""
    return x if isinstance(x, Tensor) else tensor_view(x if is_array(x) else to_common_backend(None, [x])[1][0])


def axes_of(axis: Any, ndim: int) -> tuple[int, ...]:
    """`axis` as NumPy's reductions take it, as axes counted from the front."""
    if axis is None:
        return tuple(range(ndim))
    axes, n = axis if isinstance(axis, tuple) else (axis,), ndim or 1  # a number has an axis 0 to NumPy
    for a in axes:
        if not -n <= a < n:
            raise np.exceptions.AxisError(int(a), ndim)
    found = tuple(int(a) % n for a in axes if ndim)
    if len(set(found)) < len(found):
        raise ValueError(f"axis: got {axis}, want each axis once")
    return found


def _kept(shape: tuple[int, ...], axis: Any) -> tuple[int, ...]:
    """The shape after reducing `axis` with `keepdims=True`."""
    if axis is None:
        return (1,) * len(shape)
    axes = {a % (len(shape) or 1) for a in (axis if isinstance(axis, tuple) else (axis,))}
    return tuple(1 if k in axes else n for k, n in enumerate(shape))


def _spread(xp: Any, g: Array, kept: tuple[int, ...], shape: tuple[int, ...]) -> Array:
    """A reduction's gradient over the axes that it took away, of lengths 1 in `kept`."""
    g = g.reshape(kept)
    if math.prod(shape) <= SMALL and not isinstance(g, Tensor):  # NumPy takes 2 µs to make a view of this kind
        return g - xp.zeros(shape, dtype=g.dtype)
    return xp.broadcast_to(g, shape)


def want_inexact(x: Array, dtype: Any) -> None:
    """Whole numbers have no derivative: of a sum of floats in an integer dtype none could come back."""
    if x.dtype.kind in "fc" and np.dtype(dtype).kind not in "fc":
        raise TypeError(f"dtype: got {np.dtype(dtype)} for {x.dtype} values, want a dtype of floats, or x.astype first")


@primitive
def sum(xp: Any, x: Array, axis: Any = None, dtype: Any = None, keepdims: bool = False) -> Any:
    """The sum along `axis`, or of everything; added up in `dtype` where one is given."""
    shape = x.shape
    if dtype is not None:
        want_inexact(x, dtype)
    return (
        x.sum(axis=axis, dtype=dtype, keepdims=keepdims),
        (),
        lambda xp, g: _spread(xp, g, _kept(shape, axis), shape),
    )


@primitive
def mean(xp: Any, x: Array, axis: Any = None, dtype: Any = None, keepdims: bool = False) -> Any:
    """The mean along `axis`, or of everything; added up in `dtype` where one is given."""
    shape, kept = x.shape, _kept(x.shape, axis)
    share = math.prod(kept) / (math.prod(shape) or 1)
    if dtype is not None:
        want_inexact(x, dtype)
    return (
        x.mean(axis=axis, dtype=dtype, keepdims=keepdims),
        (),
        lambda xp, g: _spread(xp, g * share, kept, shape),
    )


@primitive
def prod(xp: Any, x: Array, axis: Any = None, dtype: Any = None, keepdims: bool = False) -> Any:
    """The product along `axis`, or of everything. The rule divides by nothing: it is right at zeros, however many."""
    shape, kept, axes = x.shape, _kept(x.shape, axis), axes_of(axis, x.ndim)
    if dtype is not None:
        want_inexact(x, dtype)
    order = (*(k for k in range(x.ndim) if k not in axes), *axes)
    back = tuple(sorted(range(x.ndim), key=lambda k: order[k]))
    lead = tuple(shape[k] for k in order[: x.ndim - len(axes)])
    n = math.prod(shape[k] for k in axes)

    def by_x(xp: Any, g: Array, x: Array) -> Array:
        # The product of all others is that of those before times that of those behind.
        rows = xp.reshape(xp.transpose(x, order), (*lead, n))
        others = products_before(xp, rows) * xp.flip(products_before(xp, xp.flip(rows, -1)), -1)
        others = xp.reshape(others, tuple(shape[k] for k in order))
        return xp.reshape(g, kept) * xp.transpose(others, back)

    return xp.prod(x, axis=axis, dtype=dtype, keepdims=keepdims), (x,), by_x


def products_before(xp: Any, x: Array) -> Array:
    """Along the last axis, the product of all values before each; 1 before the first."""
    one = xp.ones_like(x[..., :1])
    if x.size == 0 or x.shape[-1] == 1:
        return one
    return xp.concatenate([one, xp.cumprod(x[..., :-1], axis=-1)], axis=-1)


@primitive
def max(xp: Any, x: Array, axis: Any = None, keepdims: bool = False) -> Any:
    """The largest value along `axis`; equal ones share the gradient."""
    return _extremum(xp, x, xp.max(x, axis=axis, keepdims=True), axis, keepdims)


@primitive
def min(xp: Any, x: Array, axis: Any = None, keepdims: bool = False) -> Any:
    """The smallest value along `axis`; equal ones share the gradient."""
    return _extremum(xp, x, xp.min(x, axis=axis, keepdims=True), axis, keepdims)


amax, amin = max, min


def _extremum(xp: Any, x: Array, y: Array, axis: Any, keepdims: bool) -> Any:
    kept = y.shape
    chosen = x == y
    # Of a NaN nothing is chosen, since it equals nothing: no gradient passes.
    share = chosen / xp.maximum(xp.sum(chosen, axis=axis, keepdims=True, dtype=x.dtype), 1)
    value = y if keepdims else xp.squeeze(y, axis=tuple(range(x.ndim)) if axis is None else axis)
    return value, (share.astype(x.dtype),), lambda xp, g, share: xp.reshape(g, kept) * share


@composed
def ptp(x: Any, axis: Any = None, keepdims: bool = False) -> Tensor:
    """The largest value less the smallest along `axis` ("peak to peak"); equal ones share the gradient."""
    return subtract(max(x, axis=axis, keepdims=keepdims), min(x, axis=axis, keepdims=keepdims))


@primitive
def logsumexp(xp: Any, x: Array, axis: Any = None, keepdims: bool = False) -> Any:
    """`log(sum(exp(x)))` along `axis`, without overflow; −inf, with no gradient, where all of x is −inf."""
    shift = finite_or_zero(xp, xp.max(x, axis=axis, keepdims=True))
    total = xp.sum(xp.exp(x - shift), axis=axis, keepdims=True)
    y = xp.where(total > 0, xp.log(xp.where(total > 0, total, 1)) + shift, -math.inf).astype(x.dtype)
    kept = y.shape
    value = y if keepdims else xp.squeeze(y, axis=tuple(range(x.ndim)) if axis is None else axis)
    return (
        value,
        (x, value),
        lambda xp, g, x, value: xp.reshape(g, kept) * xp.exp(x - xp.reshape(finite_or_zero(xp, value), kept)),
    )


def finite_or_zero(xp: Any, x: Array) -> Array:
    return xp.where(xp.isfinite(x), x, xp.zeros_like(x))


def degrees_of_freedom(ddof: float, correction: float | None) -> float:
    """What is taken off the number of values; `correction` is its other name."""
    if correction is None:
        return ddof
    if ddof != 0:
        raise ValueError("ddof and correction can't be provided simultaneously.")
    return correction


def _deviations(xp: Any, x: Array, axis: Any, by: float) -> Array:
    """`x` less its mean, divided by the number of values less what `by` takes off; the conjugate of a complex one.

    |z|² moves by 2 Re(z̄·dz).
    """
    n = math.prod(x.shape[k] for k in axes_of(axis, x.ndim))
    x = xp.conj(x) if x.dtype.kind == "c" else x
    return (x - xp.mean(x, axis=axis, keepdims=True)) * (1.0 / (n - by) if n != by else math.inf)


@primitive
def var(
    xp: Any,
    x: Array,
    axis: Any = None,
    dtype: Any = None,
    ddof: float = 0,
    keepdims: bool = False,
    correction: float | None = None,
) -> Any:
    """The mean squared deviation from the mean along `axis`, with `n - ddof` as divisor."""
    kept, by = _kept(x.shape, axis), degrees_of_freedom(ddof, correction)
    if dtype is not None:
        want_inexact(x, dtype)
    return (
        xp.var(x, axis=axis, dtype=dtype, ddof=by, keepdims=keepdims),
        (x,),
        lambda xp, g, x: xp.reshape(g, kept) * 2 * _deviations(xp, x, axis, by),
    )


@primitive
def std(
    xp: Any,
    x: Array,
    axis: Any = None,
    dtype: Any = None,
    ddof: float = 0,
    keepdims: bool = False,
    correction: float | None = None,
) -> Any:
    """The root of `var`. Where all values are equal it has a kink, with 0 for its derivative."""
    kept, by = _kept(x.shape, axis), degrees_of_freedom(ddof, correction)
    if dtype is not None:
        want_inexact(x, dtype)
    y = xp.asarray(xp.std(x, axis=axis, dtype=dtype, ddof=by, keepdims=keepdims))

    def by_x(xp: Any, g: Array, x: Array, y: Array) -> Array:
        scale = g / xp.where(y == 0, xp.ones_like(y), y)
        return xp.reshape(scale, kept) * _deviations(xp, x, axis, by)

    return y, (x, y), by_x
