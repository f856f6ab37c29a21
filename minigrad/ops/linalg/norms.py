"""Norms of vectors and matrices. Their gradient at zero, where they have a corner, is zero."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ...engine.primitive import composed, primitive
from ...engine.slope import slope_at_kinks
from ...engine.summation import CHUNK, accurate_sum, half_to_single, long_product
from ...engine.tensor import Tensor
from ..arrays.conversion import to_tensor
from ..arrays.joining import stack
from ..arrays.shape import axes_in, expand_dims, squeeze, transpose
from ..elementwise.arithmetic import abs as absolute, astype
from ..elementwise.nondifferentiable import not_equal
from ..reductions.reductions import max as largest, min as smallest, sum as sum_over
from .decompositions import svdvals

Array = Any
__all__ = ["matrix_norm", "norm", "vector_norm"]

SAFE = {"f": 1e-12, "d": 1e-142}
"""Norms above this lose nothing where the squares of single values are too small for their dtype."""


@primitive
def _euclidean_norm(xp: Any, x: Array, axis: Any = None, keepdims: bool = False) -> Any:
    """The root of the sum of squares over a tuple of axes, or over all."""
    real = x.dtype.kind != "c"
    y = root_of_squares(xp, x, axis, keepdims)

    def rule(xp: Any, g: Array, x: Array, y: Array) -> Array:
        slope = slope_at_kinks(g, y)
        g, x, y = half_to_single(g), half_to_single(x if real else xp.conj(x)), half_to_single(y)
        zero = y == 0
        g, y = xp.where(zero, 0, g), xp.where(zero, 1, y)
        if xp is np and (y > SAFE[y.dtype.char]).all():
            return _with_axes(xp, g / y, axis, keepdims) * x
        g = _with_axes(xp, g, axis, keepdims) * (x / _with_axes(xp, y, axis, keepdims))  # 1 / y may be infinite
        return g if slope is None else g + _with_axes(xp, slope, axis, keepdims) * x

    y = xp.asarray(y.astype(x.dtype) if x.dtype.char == "e" else y)
    return y, (x, y), rule


def root_of_squares(xp: Any, x: Array, axis: Any = None, keepdims: bool = False) -> Array:
    """The root of the sum of squares, though the squares may be too large or too small; float32 if x is float16."""
    x = half_to_single(x)
    if xp is np:
        if axis is None and not keepdims and x.size <= CHUNK:
            y = np.sqrt(np.vdot(x, x).real)  # no array of squares, and no warning of an overflow
        else:
            with np.errstate(over="ignore"):
                y = np.sqrt(_sum_of_squares(x, axis, keepdims))
        low = SAFE.get(y.dtype.char, 0.0)
        if (low < y < math.inf) if not y.ndim else ((y > low) & (y < math.inf)).all():
            return y
    size = xp.abs(x)
    if size.dtype.char == "f":
        return xp.sqrt(xp.sum(xp.square(size.astype(np.float64)), axis=axis, keepdims=keepdims)).astype(size.dtype)
    size, scale = _scaled(xp, size, axis)
    return _with_scale(xp, xp.sqrt(xp.sum(xp.square(size), axis=axis, keepdims=True)), scale, axis, keepdims)


def _sum_of_squares(x: Array, axis: Any, keepdims: bool) -> Array:
    if x.dtype.kind == "c":
        return accurate_sum(np.square(x.real) + np.square(x.imag), axis, keepdims)
    if axis is None and not keepdims:
        flat = x.reshape(-1)
        return long_product(flat, flat)
    return accurate_sum(np.square(x), axis, keepdims)


def root_of_powers(xp: Any, x: Array, p: float, axis: Any = None, keepdims: bool = False) -> Array:
    """`sum(|x| ** p) ** (1 / p)` without overflow for p > 0; float32 if x is float16."""
    size = xp.abs(half_to_single(x))
    if p < 0:
        return xp.power(accurate_sum(xp.power(size, p), axis, keepdims), 1.0 / p)
    size, scale = _scaled(xp, size, axis)
    return _with_scale(
        xp, xp.power(accurate_sum(xp.power(size, p), axis, keepdims=True), 1.0 / p), scale, axis, keepdims
    )


def _scaled(xp: Any, size: Array, axis: Any) -> tuple[Array, Array]:
    """Nonnegative numbers divided by the largest along `axis`, and that; 1 in place of 0, infinity and NaN."""
    if not size.size:
        return size, 1.0
    top = xp.max(size, axis=axis, keepdims=True)
    scale = xp.where(xp.logical_and(top > 0, top < math.inf), top, xp.ones_like(top))
    return size / scale, scale


def _with_scale(xp: Any, y: Array, scale: Array, axis: Any, keepdims: bool) -> Array:
    y = y * scale
    return y if keepdims else xp.squeeze(y, axis=axis)


def _with_axes(xp: Any, y: Array, axis: Any, keepdims: bool) -> Array:
    """A norm or its gradient with axes of length one in place of those it was taken over, to broadcast with x."""
    return y if keepdims or axis is None else xp.expand_dims(y, axis)


@primitive
def _power_norm(xp: Any, x: Array, p: float, axis: Any = None, keepdims: bool = False) -> Any:
    """`sum(|x| ** p) ** (1 / p)`. Where x is 0 the derivative is 0, its limit for p > 1."""
    y = root_of_powers(xp, x, p, axis, keepdims)
    y = xp.asarray(y.astype(x.dtype) if x.dtype.char == "e" else y)

    def rule(xp: Any, g: Array, x: Array, y: Array) -> Array:
        g, x, y = (half_to_single(a) for a in (g, x, y))
        sign, (g, y) = xp.sign(x), (_with_axes(xp, v, axis, keepdims) for v in (g, y))
        share = xp.abs(x) / xp.where(y == 0, 1, y)
        return g * sign * xp.power(xp.where(sign == 0, 1, share), p - 1.0)

    return y, (x, y), (rule, None)


def _largest(size: Tensor, axis: Any, keepdims: bool) -> Tensor:
    """The largest of nonnegative numbers, and 0 if there are none."""
    return (largest if size.size else sum_over)(size, axis=axis, keepdims=keepdims)


def _of_vectors(x: Any, ord: Any, axis: Any, keepdims: bool) -> Tensor:
    if ord is None or ord == 2:
        return _euclidean_norm(x, axis=axis, keepdims=keepdims)
    if isinstance(ord, str):
        raise ValueError(f"norm: ord: got {ord!r} for vectors, want a number or None")
    if ord == 0:
        return sum_over(astype(not_equal(x, 0), x.dtype), axis=axis, keepdims=keepdims)
    size = absolute(x)
    if ord in (math.inf, -math.inf):
        return (_largest if ord > 0 else smallest)(size, axis=axis, keepdims=keepdims)
    if ord == 1:
        return sum_over(size, axis=axis, keepdims=keepdims)
    return _power_norm(size if x.dtype.kind == "c" else x, float(ord), axis=axis, keepdims=keepdims)


def _of_matrices(x: Any, ord: Any, axis: tuple[int, ...], keepdims: bool) -> Tensor:
    if ord in (None, "fro", "f"):
        return _euclidean_norm(x, axis=axis, keepdims=keepdims)
    row, column = axis
    if ord in (1, -1, math.inf, -math.inf):
        if abs(ord) != 1:
            row, column = column, row
        sums = sum_over(absolute(x), axis=row, keepdims=True)
        y = (_largest if ord > 0 else smallest)(sums, axis=column, keepdims=True)
        return y if keepdims else squeeze(y, axis)
    if ord not in ("nuc", 2, -2):
        raise ValueError(f"norm: ord: got {ord!r} for matrices, want 'fro', 'nuc', 1, 2, inf, or their negatives")
    rest = [k for k in range(x.ndim) if k not in axis]
    s = svdvals(transpose(x, (*rest, row, column)))
    if ord == "nuc" or s.shape[-1] == 0:
        y = (smallest if ord == -2 else sum_over)(s, axis=-1)
    else:
        y = s[..., 0] if ord == 2 else s[..., -1]
    return expand_dims(y, tuple(sorted(axis))) if keepdims else y


def _as_float_tensor(x: Any) -> Any:
    """One tensor from an array or a list of numbers or tensors; integers become float64, as in NumPy's norms."""
    if isinstance(x, (list, tuple)) and len(x):
        return stack([_as_float_tensor(part) for part in x])
    x = to_tensor(x)
    return x if x.dtype.kind in "fc" else astype(x, np.float64)


@composed
def norm(x: Any, ord: Any = None, axis: Any = None, keepdims: bool = False) -> Tensor:
    """NumPy's norm: of vectors along one axis, of matrices over two, or of all of `x` if `axis` is None.

    `ord` for vectors: None, a number, inf, -inf; for matrices: None, "fro", "nuc", 1, -1, 2, -2, inf, -inf. Equal
    largest or smallest values share the gradient. The norm of an empty array is 0; its smallest value is an error.
    """
    x = _as_float_tensor(x)
    if axis is None:
        if ord is None or (ord in ("fro", "f") and x.ndim == 2) or (ord == 2 and x.ndim == 1):
            return _euclidean_norm(x, keepdims=keepdims)
        axis = tuple(range(x.ndim))
    axis = (axis,) if isinstance(axis, (int, np.integer)) else tuple(axis)
    if len(axis) not in (1, 2):
        raise ValueError(f"norm: axis: got {len(axis)} axes, want one for vectors or two for matrices")
    axis = axes_in(axis, x.ndim, "norm: axis")
    return (_of_vectors if len(axis) == 1 else _of_matrices)(x, ord, axis, keepdims)


@composed
def vector_norm(x: Any, axis: Any = None, keepdims: bool = False, ord: Any = 2) -> Tensor:
    """The norm of vectors along any number of axes, or of all values as one vector."""
    x = _as_float_tensor(x)
    if axis is not None:
        axis = axes_in(axis, x.ndim, "vector_norm: axis")
    return _of_vectors(x, ord, axis, keepdims)


@composed
def matrix_norm(x: Any, keepdims: bool = False, ord: Any = "fro") -> Tensor:
    """The norm of every matrix of a stack."""
    return norm(x, ord, axis=(-2, -1), keepdims=keepdims)
