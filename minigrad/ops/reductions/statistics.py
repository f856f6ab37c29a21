"""NaN-ignoring reductions, weighted averages, counts, covariance, correlation and the trapezoidal rule."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import wraps
from typing import Any, ParamSpec

import numpy as np

from ...backend import backend_of, scalar
from ...engine.primitive import composed, primitive
from ...engine.slope import slope_at_kinks
from ...engine.summation import half_to_single
from ...engine.tensor import Tensor
from ..arrays.conversion import array_like, to_tensor
from ..arrays.joining import concatenate
from ..arrays.shape import along, axis_in, broadcast_to, expand_dims, reshape, squeeze, transpose, vector_shape
from ..elementwise.arithmetic import add, astype, clip, divide, multiply, sqrt, subtract, where
from ..elementwise.complex import conj, imag, real
from ..elementwise.nondifferentiable import isnan, logical_not, ones_like
from ..indexing.gather import getitem, sum_rows
from ..products.matrix_products import matmul
from .cumulative import without_nan
from .reductions import axes_of, degrees_of_freedom, max, mean, min, prod, sum, want_inexact

P = ParamSpec("P")
__all__ = ["average", "bincount", "corrcoef", "cov", "nanmax", "nanmean", "nanmin", "nanprod", "nanstd", "nansum"]
__all__ += ["nanvar", "trapezoid"]


def _present(x: Any, dtype: Any = None) -> tuple[Tensor, Tensor | None]:
    """`x` as a tensor, in `dtype`, and where it is not NaN; None for an integer dtype."""
    x = to_tensor(x)
    if dtype is not None:
        want_inexact(x, dtype)
        x = astype(x, dtype)
    return x, logical_not(isnan(x)) if x.dtype.kind in "fc" else None


def _in_single(function: Callable[P, Tensor]) -> Callable[P, Tensor]:
    """Compute `function` of float16 in float32, since its sums leave float16's range, and round the result."""

    @wraps(function)
    def in_single(*args: P.args, **options: P.kwargs) -> Tensor:
        if not args or to_tensor(args[0]).dtype.char != "e":
            return function(*args, **options)
        y = function(astype(args[0], np.float32), *args[1:], **options)  # type: ignore[arg-type]
        return y if "dtype" in options else astype(y, np.float16)

    return in_single


def _rounded(y: Tensor, dtype: Any) -> Tensor:
    """`y`, as float16 if `dtype` is that."""
    return astype(y, dtype) if dtype.char == "e" else y


def _size(x: Tensor, axis: Any) -> int:
    """The number of values along `axis`."""
    return math.prod(x.shape[k] for k in axes_of(axis, x.ndim))


def _count(present: Tensor, like: Tensor, axis: Any, keepdims: bool, ddof: float = 0.0) -> Tensor:
    """The number of values that are not NaN less `ddof`; NaN if that is not positive."""
    count = sum(present, axis=axis, dtype=like.dtype, keepdims=keepdims)
    count = count - ddof if ddof else count
    return where(count > 0, count, math.nan)


@composed
def nansum(x: Any, axis: Any = None, dtype: Any = None, keepdims: bool = False) -> Tensor:
    """The sum along `axis` of the values that are not NaN; 0 if there are none. A NaN gets no gradient."""
    return sum(without_nan(x, 0.0), axis=axis, dtype=dtype, keepdims=keepdims)


@composed
def nanprod(x: Any, axis: Any = None, dtype: Any = None, keepdims: bool = False) -> Tensor:
    """The product along `axis` of the values that are not NaN; 1 if there are none. A NaN gets no gradient."""
    return prod(without_nan(x, 1.0), axis=axis, dtype=dtype, keepdims=keepdims)


@composed
@_in_single
def nanmean(x: Any, axis: Any = None, dtype: Any = None, keepdims: bool = False) -> Tensor:
    """The mean along `axis` of the values that are not NaN; NaN, without a warning, if there are none."""
    x, present = _present(x, dtype)
    if present is None:
        if _size(x, axis):
            return mean(x, axis=axis, keepdims=keepdims)
        return _quiet_divide(sum(x, axis=axis, keepdims=keepdims), 0)
    total = sum(where(present, x, 0.0), axis=axis, keepdims=keepdims)
    return divide(total, _count(present, x, axis, keepdims))


def _squares(x: Tensor) -> Tensor:
    """The squared absolute values, real or complex."""
    if x.dtype.kind != "c":
        return multiply(x, x)
    return add(multiply(real(x), real(x)), multiply(imag(x), imag(x)))


def _quiet_divide(total: Tensor, count: Any) -> Tensor:
    """Return `total / count` without a warning; a count, number or tensor, that is not positive divides as 0."""
    if not isinstance(count, Tensor) and count > 0:
        return divide(total, count)
    none = astype(where(total == 0, math.nan, math.inf), total.dtype if total.dtype.kind == "f" else np.float64)
    if not isinstance(count, Tensor):
        return multiply(total, none)
    positive = count > 0
    return multiply(total, where(positive, divide(1.0, where(positive, count, 1.0)), none))


@composed
@_in_single
def nanvar(
    x: Any,
    axis: Any = None,
    dtype: Any = None,
    ddof: float = 0,
    keepdims: bool = False,
    *,
    correction: float | None = None,
) -> Tensor:
    """`var` of the values that are not NaN; NaN, without a warning, if there are no more than `ddof`."""
    x, present = _present(x, dtype)
    ddof = float(degrees_of_freedom(ddof, correction))
    centred = subtract(x, nanmean(x, axis=axis, keepdims=True))
    if present is None:  # integers, of which NumPy divides by 0 if there are too few
        return _quiet_divide(sum(_squares(centred), axis=axis, keepdims=keepdims), _size(x, axis) - ddof)
    total = sum(_squares(where(present, centred, 0.0)), axis=axis, keepdims=keepdims)
    return divide(total, _count(present, total, axis, keepdims, ddof))


@composed
@_in_single
def nanstd(
    x: Any,
    axis: Any = None,
    dtype: Any = None,
    ddof: float = 0,
    keepdims: bool = False,
    *,
    correction: float | None = None,
) -> Tensor:
    """`std` of the values that are not NaN. Its derivative is 0 at the kink where all values are equal."""
    v = nanvar(x, axis=axis, dtype=dtype, ddof=ddof, keepdims=keepdims, correction=correction)
    return _root_of_variance(v)


@primitive
def _root_of_variance(xp: Any, v: Any) -> Any:
    """The square root of what is 0 only where its own derivative is 0, too: there the derivative is 0."""

    def rule(xp: Any, g: Any, y: Any) -> Any:
        zero, slope = y == 0, slope_at_kinks(g, y)
        return xp.where(zero, 0 if slope is None else slope, g / xp.where(zero, 1, y)) * 0.5

    y = xp.sqrt(v)
    return y, (y,), rule


@composed
def nanmax(x: Any, axis: Any = None, keepdims: bool = False) -> Tensor:
    """The largest value along `axis` that is not NaN; NaN if there is none. Equal values share the gradient."""
    return _extreme(max, -math.inf, x, axis, keepdims)


@composed
def nanmin(x: Any, axis: Any = None, keepdims: bool = False) -> Tensor:
    """The smallest value along `axis` that is not NaN; NaN if there is none. Equal values share the gradient."""
    return _extreme(min, math.inf, x, axis, keepdims)


def _extreme(function: Callable[..., Tensor], worst: float, x: Any, axis: Any, keepdims: bool) -> Tensor:
    x, present = _present(x)
    if present is None:
        return function(x, axis=axis, keepdims=keepdims)
    y = function(where(present, x, worst), axis=axis, keepdims=keepdims)
    return where(_count(present, x, axis, keepdims) > 0, y, math.nan)


@composed
def average(a: Any, axis: Any = None, weights: Any = None, returned: bool = False, *, keepdims: bool = False) -> Any:
    """The weighted mean along `axis`, and the sum of the weights if `returned`. Gradients flow to the weights too.

    Shapes: weights as `a`, or the lengths of `axis`. Weights whose sum is 0 give infinities or NaN, not NumPy's
    ZeroDivisionError, which would synchronise with the device.

    Raises:
        ValueError, TypeError: the weights have another shape.
    """
    a = to_tensor(a)
    if weights is None:
        y = mean(a, axis=axis, keepdims=keepdims)
        return (y, multiply(ones_like(y), float(_size(a, axis)))) if returned else y
    weights = to_tensor(weights)
    dtype = np.result_type(a.dtype, weights.dtype)
    a, weights = half_to_single(a), half_to_single(weights)
    if weights.shape != a.shape:
        if axis is None:
            raise TypeError("Axis must be specified when shapes of a and weights differ.")
        axes = axes_of(axis, a.ndim)
        if weights.shape != tuple(a.shape[k] for k in axes):
            raise ValueError("Shape of weights must be consistent with shape of a along specified axis.")
        weights = transpose(weights, tuple(sorted(range(len(axes)), key=lambda k: axes[k])))
        weights = reshape(weights, tuple(n if k in axes else 1 for k, n in enumerate(a.shape)))
    total = sum(weights, axis=axis, keepdims=keepdims)
    y = _rounded(divide(sum(multiply(a, weights), axis=axis, keepdims=keepdims), total), dtype)
    return (y, broadcast_to(_rounded(total, dtype), y.shape)) if returned else y


@composed
def bincount(x: Any, weights: Any = None, minlength: int = 0) -> Tensor:
    """The count of each integer 0, 1, … in `x`, or the sum of its weights, to which gradients flow.

    The weights keep their dtype and are added in the same order on every run. Synchronises with the device, because the
    result's length depends on the largest number.
    """
    ids = to_tensor(x)._array
    backend = backend_of(ids)
    xp = backend.xp
    if weights is None:
        counts = xp.bincount(ids, minlength=minlength)
        backend.check()
        return Tensor(counts)
    weights = to_tensor(weights)
    if ids.ndim != 1 or weights.shape != ids.shape:
        raise ValueError(f"bincount: got shapes {tuple(ids.shape)} and {weights.shape}, want two rows of one length")
    low, high = (int(scalar(xp.min(ids))), int(scalar(xp.max(ids)))) if ids.size else (0, -1)
    if low < 0:
        raise ValueError("bincount: x: got a negative number, want at least 0")
    return sum_rows(weights, ids, n=high + 1 if high >= minlength else minlength)


@composed
def trapezoid(y: Any, x: Any = None, dx: float = 1.0, axis: int = -1) -> Tensor:
    """The integral of `y` along `axis` by the trapezoidal rule, over the points `x` or with a spacing of `dx`."""
    y = to_tensor(y)
    axis = axis_in(axis, y.ndim, "trapezoid: axis")
    low, high = along(axis, slice(None, -1)), along(axis, slice(1, None))
    pairs = add(getitem(y, high), getitem(y, low))
    if x is None:
        return sum(multiply(pairs, 0.5 * dx), axis=axis)
    x = to_tensor(x)
    if x.ndim == 1:
        x = reshape(x, vector_shape(axis, y.ndim))
    steps = subtract(getitem(x, high), getitem(x, low))
    return sum(multiply(multiply(steps, pairs), 0.5), axis=axis)


def _rows(m: Any, y: Any, rowvar: bool, dtype: Any) -> Tensor:
    """The variables of `m` and `y` as rows of floats."""
    parts = []
    for name, variables in (("m", m), ("y", y)):
        if variables is not None:
            x = to_tensor(variables)
            if x.ndim > 2:
                raise ValueError(f"{name}: got {x.ndim} axes, want at most 2")
            parts.append(reshape(x, (1, x.size)) if x.ndim < 2 else x if rowvar else transpose(x))
    x = parts[0] if len(parts) == 1 else concatenate(parts)
    if dtype is not None:
        want_inexact(x, dtype)
        return astype(x, dtype)
    return x if x.dtype.kind in "fc" else astype(x, np.float64)


def _weights(x: Tensor, fweights: Any, aweights: Any) -> tuple[Tensor | None, Tensor | None]:
    """The product of both weights of each observation, and `aweights`. Values are checked on the host only."""
    tensors: list[Tensor | None] = []
    for name, weights in (("fweights", fweights), ("aweights", aweights)):
        if weights is None:
            tensors.append(None)
            continue
        w = to_tensor(array_like(weights, x))
        on_host = isinstance(w._array, np.ndarray)
        if on_host and name == "fweights" and np.any(w._array != np.rint(w._array)):
            raise TypeError("cov: fweights: got fractions, want whole numbers; aweights takes fractions")
        if w.shape != x.shape[1:]:
            raise RuntimeError(f"cov: {name}: got shape {w.shape} for {x.shape[1]} observations, want one for each")
        if on_host and np.any(w._array < 0):
            raise ValueError(f"cov: {name}: got a negative number, want at least 0")
        w = w.detach() if name == "fweights" else w
        tensors.append(w if w.dtype.kind == "f" else astype(w, real(x).dtype))
    f, a = tensors
    return (a if f is None else f if a is None else multiply(f, a)), a


@composed
def cov(
    m: Any,
    y: Any = None,
    rowvar: bool = True,
    bias: bool = False,
    ddof: int | None = None,
    fweights: Any = None,
    aweights: Any = None,
    *,
    dtype: Any = None,
) -> Tensor:
    """The covariance matrix of the variables in the rows of `m` (and `y`), or in the columns with `rowvar=False`.

    The divisor is n - 1, or n with `bias`, or n - `ddof`. Each observation counts `fweights` times, a constant, with
    the weight `aweights`, to which gradients flow; n is then NumPy's. float32 stays float32, as in `var`, unless
    `dtype` is given; NumPy's result is float64.

    Raises:
        ValueError: `ddof` is not a whole number, or an array has more than two axes.
        RuntimeError: there is not one weight for each observation.
    """
    if ddof is not None and ddof != int(ddof):
        raise ValueError(f"cov: ddof: got {ddof}, want a whole number")
    ddof = (0 if bias else 1) if ddof is None else ddof
    x = _rows(m, y, rowvar, dtype)
    result, x = x.dtype, half_to_single(x)
    w, a = _weights(x, fweights, aweights)
    divisor: Any = x.shape[1] - ddof
    if w is None:
        x = scaled = subtract(x, mean(x, axis=1, keepdims=True))
    else:
        x = subtract(x, expand_dims(average(x, axis=1, weights=w), 1))
        scaled, divisor = multiply(x, w), sum(w)
        if ddof:
            divisor = divisor - (ddof if a is None else ddof * sum(multiply(w, a)) / divisor)
    products = matmul(scaled, transpose(conj(x) if x.dtype.kind == "c" else x))
    return _rounded(squeeze(_quiet_divide(products, divisor)), result)


@composed
def corrcoef(x: Any, y: Any = None, rowvar: bool = True, *, dtype: Any = None) -> Tensor:
    """The correlation coefficients of the variables in the rows of `x` (and `y`), clipped to [-1, 1].

    NaN without observations. float32 stays float32, as in `var`, unless `dtype` is given; NumPy's result is float64.
    """
    x = _rows(x, y, rowvar, dtype)
    n, result, x = x.shape[1], x.dtype, half_to_single(x)
    x = subtract(x, mean(x, axis=1, keepdims=True)) if n else x
    x = divide(x, sqrt(sum(_squares(x), axis=1, keepdims=True)))
    if x.dtype.kind != "c":
        r = clip(matmul(x, transpose(x)), -1.0, 1.0)
    else:
        r = matmul(x, transpose(conj(x)))
        r = add(clip(real(r), -1.0, 1.0), multiply(clip(imag(r), -1.0, 1.0), 1j))
    return _rounded(squeeze(r if n else where(r == 0, math.nan, r)), result)
