"""Reduce values along axes: sums, products, extrema, moments."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ...engine.gradient_pool import SMALL
from ...engine.primitive import call_in, composed, primitive
from ...engine.slope import slope_at_kinks
from ...engine.summation import FEW, accurate_mean, accurate_sum, half_to_single, numpy_sum
from ...engine.tensor import Tensor
from ..arrays.shape import axes_in
from ..elementwise.arithmetic import subtract
from ..nn.softmax import softmax

Array = Any
__all__ = ["amax", "amin", "logsumexp", "max", "mean", "min", "prod", "ptp", "std", "sum", "var"]


def axes_of(axis: Any, ndim: int) -> tuple[int, ...]:
    """The axes that NumPy reduces for this `axis`, counted from the front."""
    if axis is None:
        return tuple(range(ndim))
    axes = axes_in(axis, ndim or 1)  # NumPy gives a number an axis 0
    return axes if ndim else ()


def _keepdims_shape(shape: tuple[int, ...], axis: Any) -> tuple[int, ...]:
    """The shape after reducing `axis` with `keepdims=True`."""
    if axis is None:
        return (1,) * len(shape)
    axes = {a % (len(shape) or 1) for a in (axis if isinstance(axis, tuple) else (axis,))}
    return tuple(1 if k in axes else n for k, n in enumerate(shape))


def _without_axes(xp: Any, y: Array, axis: Any, keepdims: bool) -> Array:
    """A result of a reduction with `keepdims=True`, without the reduced axes unless `keepdims`."""
    return y if keepdims else xp.squeeze(y, axis=tuple(range(y.ndim)) if axis is None else axis)


def _spread(xp: Any, g: Array, keepdims_shape: tuple[int, ...], shape: tuple[int, ...]) -> Array:
    """The gradient of a reduction broadcast over the reduced axes."""
    if math.prod(shape) <= SMALL and not isinstance(g, Tensor):  # `broadcast_to` takes 2 µs
        y = xp.empty(shape, dtype=g.dtype)
        y[...] = g.reshape(keepdims_shape) if g.ndim else g
        return y
    return xp.broadcast_to(g.reshape(keepdims_shape), shape)


def want_inexact(x: Array, dtype: Any) -> None:
    """Raise TypeError if floats are to be reduced in an integer dtype, through which no gradient flows."""
    if dtype is not None and x.dtype.kind in "fc" and np.dtype(dtype).kind not in "fc":
        raise TypeError(f"dtype: got {np.dtype(dtype)} for {x.dtype} values, want a float dtype, or x.astype first")


@primitive
def sum(xp: Any, x: Array, axis: Any = None, dtype: Any = None, keepdims: bool = False) -> Any:
    """The sum along `axis`, or of all values, accumulated in `dtype`."""
    shape = x.shape
    if dtype is not None:
        want_inexact(x, dtype)
        if np.dtype(dtype).kind in "fc":
            x, dtype = x.astype(dtype), None
    if dtype is not None or (x.size <= FEW and x.dtype.char != "e"):
        y = numpy_sum(x, axis, dtype, None, keepdims) if xp is np else x.sum(axis, dtype, keepdims=keepdims)
    else:
        y = accurate_sum(x, axis, keepdims)
    return y, (), lambda xp, g: _spread(xp, g, _keepdims_shape(shape, axis), shape)


@primitive
def mean(xp: Any, x: Array, axis: Any = None, dtype: Any = None, keepdims: bool = False) -> Any:
    """The mean along `axis`, or of all values, accumulated in `dtype`."""
    shape, keepdims_shape = x.shape, _keepdims_shape(x.shape, axis)
    share = math.prod(keepdims_shape) / (math.prod(shape) or 1)
    if dtype is not None:
        want_inexact(x, dtype)
        if np.dtype(dtype).kind in "fc":
            x, dtype = x.astype(dtype), None
    y = accurate_mean(x, axis, keepdims) if dtype is None else x.mean(axis=axis, dtype=dtype, keepdims=keepdims)
    return y, (), lambda xp, g: _spread(xp, g * share, keepdims_shape, shape)


@primitive
def prod(xp: Any, x: Array, axis: Any = None, dtype: Any = None, keepdims: bool = False) -> Any:
    """The product along `axis`, or of all values. The rule does not divide: it is right for any number of zeros."""
    shape, keepdims_shape, axes = x.shape, _keepdims_shape(x.shape, axis), axes_of(axis, x.ndim)
    want_inexact(x, dtype)
    order = (*(k for k in range(x.ndim) if k not in axes), *axes)  # the reduced axes last
    inverse = tuple(sorted(range(x.ndim), key=lambda k: order[k]))
    ordered_shape = tuple(shape[k] for k in order)
    rows_shape = (*ordered_shape[: x.ndim - len(axes)], math.prod(shape[k] for k in axes))

    def by_x(xp: Any, g: Array, x: Array) -> Array:
        g, x = half_to_single(g), half_to_single(x)
        # The product of all other values is that of the values before times that of the values behind.
        rows = xp.reshape(xp.transpose(x, order), rows_shape)
        others = products_before(xp, rows) * xp.flip(products_before(xp, xp.flip(rows, -1)), -1)
        return xp.reshape(g, keepdims_shape) * xp.transpose(xp.reshape(others, ordered_shape), inverse)

    if dtype is None and x.dtype.char == "e":  # in float16 each factor would be rounded once more
        return xp.prod(half_to_single(x), axis=axis, keepdims=keepdims).astype(x.dtype), (x,), by_x
    return xp.prod(x, axis=axis, dtype=dtype, keepdims=keepdims), (x,), by_x


def products_before(xp: Any, x: Array) -> Array:
    """For each value the product of all values before it along the last axis; 1 for the first."""
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
    keepdims_shape = y.shape
    chosen = x == y  # a NaN equals nothing: no gradient passes
    share = chosen / xp.maximum(xp.sum(chosen, axis=axis, keepdims=True), 1).astype(np.result_type(x.dtype, "f4"))
    rule = lambda xp, g, share: xp.reshape(g, keepdims_shape) * share  # noqa: E731
    return _without_axes(xp, y, axis, keepdims), (share.astype(x.dtype),), rule


@composed
def ptp(x: Any, axis: Any = None, keepdims: bool = False) -> Tensor:
    """The difference of the largest and the smallest value along `axis`; equal ones share the gradient."""
    return subtract(max(x, axis=axis, keepdims=keepdims), min(x, axis=axis, keepdims=keepdims))


@primitive
def logsumexp(xp: Any, x: Array, axis: Any = None, keepdims: bool = False) -> Any:
    """`log(sum(exp(x)))` along `axis`, without overflow; −inf, with no gradient, if all of x is −inf.

    The gradient's shares are the softmax of x; values of +inf share it equally.
    """
    shift = xp.max(x, axis=axis, keepdims=True)
    shift = xp.where(xp.isfinite(shift), shift, xp.zeros_like(shift))
    total = accurate_sum(half_to_single(xp.exp(x - shift)), axis, keepdims=True)
    y = xp.where(total == 0, -math.inf, xp.log(xp.where(total == 0, 1, total)) + shift).astype(x.dtype)
    keepdims_shape = y.shape
    y = _without_axes(xp, y, axis, keepdims)

    def by_x(xp: Any, g: Array, x: Array, y: Array) -> Array:
        # Not exp(x - y), which is as inexact as y: for y = 1e6 by 1e-10, in float32 by 6 %.
        y = xp.reshape(y, keepdims_shape)
        x = xp.where(xp.isfinite(y), x, xp.where(x == y, 0.0, -math.inf))
        return xp.reshape(g, keepdims_shape) * xp.where(y == -math.inf, 0.0, call_in(xp, softmax, x, axis=axis))

    return y, (x, y), by_x


def degrees_of_freedom(ddof: float, correction: float | None) -> float:
    """The number to subtract from the number of values; `correction` is the array API's name for `ddof`."""
    if correction is None:
        return ddof
    if ddof != 0:
        raise ValueError("ddof and correction can't be provided simultaneously.")
    return correction


def _deviations(xp: Any, x: Array, axis: Any, ddof: float, again: bool = False) -> Array:
    """`(x - mean) / (n - ddof)`, half the derivative of `var`.

    `again`: subtract the mean of the differences too, since the mean was rounded: of equal values all are 0 then.

    Conjugated for complex values, since |z|² changes by 2 Re(conj(z) · dz).
    """
    n = math.prod(x.shape[k] for k in axes_of(axis, x.ndim))
    x = xp.conj(x) if x.dtype.kind == "c" else half_to_single(x)
    x = x - accurate_mean(x, axis, keepdims=True)
    x = x - accurate_mean(x, axis, keepdims=True) if again else x
    return x * (1.0 / (n - ddof) if n != ddof else math.inf)


def _variance(xp: Any, x: Array, axis: Any, dtype: Any, ddof: float, keepdims: bool) -> Array:
    """`xp.var` from accurate sums; of float16 in float32."""
    want_inexact(x, dtype)
    x = half_to_single(x if dtype is None or np.dtype(dtype).kind not in "fc" else x.astype(dtype))
    n = math.prod(x.shape[k] for k in axes_of(axis, x.ndim))
    if type(x) is not np.ndarray or x.size <= FEW or x.dtype.char not in "fdFD" or n <= ddof:
        return xp.var(x, axis=axis, ddof=ddof, keepdims=keepdims)
    x = x - accurate_mean(x, axis, keepdims=True)
    squares = np.square(x.real) + np.square(x.imag) if x.dtype.kind == "c" else np.multiply(x, x, out=x)
    return accurate_sum(squares, axis, keepdims) / (n - ddof)


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
    """The mean squared deviation from the mean along `axis`, divided by `n - ddof`."""
    keepdims_shape, ddof = _keepdims_shape(x.shape, axis), degrees_of_freedom(ddof, correction)
    y = _variance(xp, x, axis, dtype, ddof, keepdims)
    if (x.dtype if dtype is None else np.dtype(dtype)).char == "e":
        y = y.astype(np.float16)
    return y, (x,), lambda xp, g, x: xp.reshape(half_to_single(g), keepdims_shape) * 2 * _deviations(xp, x, axis, ddof)


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
    """The square root of `var`. Its derivative is 0 at the kink where all values are equal."""
    keepdims_shape, ddof = _keepdims_shape(x.shape, axis), degrees_of_freedom(ddof, correction)
    y = xp.asarray(xp.sqrt(_variance(xp, x, axis, dtype, ddof, keepdims)))
    if (x.dtype if dtype is None else np.dtype(dtype)).char == "e":
        y = y.astype(np.float16)

    def by_x(xp: Any, g: Array, x: Array, y: Array) -> Array:
        slope = slope_at_kinks(g, y)
        g, y = half_to_single(g), half_to_single(y)
        zero = y == 0
        g = xp.where(zero, 0 if slope is None else slope, g / xp.where(zero, xp.ones_like(y), y))
        return xp.reshape(g, keepdims_shape) * _deviations(xp, x, axis, ddof, again=True)

    return y, (x, y), by_x
