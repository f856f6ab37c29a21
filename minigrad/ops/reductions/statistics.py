"""Statistics: NaN-ignoring reductions, weighted averages, counts, trapezoid, covariance and correlation."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from ...backend import backend_of
from ...engine.primitive import composed
from ...engine.tensor import Tensor
from ..arrays.joining import concatenate
from ..arrays.shape import axis_in, broadcast_to, expand_dims, reshape, squeeze, transpose
from ..elementwise.arithmetic import add, astype, clip, divide, multiply, sqrt, subtract, where
from ..elementwise.complex import conj, imag, real
from ..elementwise.nondifferentiable import isnan, logical_not, ones_like
from ..indexing.gather import _sum_rows, getitem
from ..products.matrix_products import matmul
from .reductions import as_tensor, axes_of, degrees_of_freedom, max, mean, min, prod, sum, want_inexact

__all__ = [
    "average",
    "bincount",
    "corrcoef",
    "cov",
    "nanmax",
    "nanmean",
    "nanmin",
    "nanprod",
    "nanstd",
    "nansum",
    "nanvar",
    "trapezoid",
]


def _present(x: Any, dtype: Any = None) -> tuple[Tensor, Tensor | None]:
    """`x` as a tensor, in `dtype` where one is given, and where it is no NaN; None where it cannot be one."""
    x = as_tensor(x)
    if dtype is not None:
        want_inexact(x, dtype)
        x = astype(x, dtype)
    return x, logical_not(isnan(x)) if x.dtype.kind in "fc" else None


def _count(present: Tensor, like: Tensor, axis: Any, keepdims: bool) -> Tensor:
    return sum(present, axis=axis, dtype=like.dtype, keepdims=keepdims)


@composed
def nansum(x: Any, axis: Any = None, dtype: Any = None, keepdims: bool = False) -> Tensor:
    """The sum along `axis` of what is no NaN; 0 where nothing is. A NaN gets no gradient."""
    x, present = _present(x)
    x = x if present is None else where(present, x, 0.0)
    return sum(x, axis=axis, dtype=dtype, keepdims=keepdims)


@composed
def nanprod(x: Any, axis: Any = None, dtype: Any = None, keepdims: bool = False) -> Tensor:
    """The product along `axis` of what is no NaN; 1 where nothing is. A NaN gets no gradient."""
    x, present = _present(x)
    x = x if present is None else where(present, x, 1.0)
    return prod(x, axis=axis, dtype=dtype, keepdims=keepdims)


@composed
def nanmean(x: Any, axis: Any = None, dtype: Any = None, keepdims: bool = False) -> Tensor:
    """The mean along `axis` of what is no NaN; NaN, without a warning, where nothing is."""
    x, present = _present(x, dtype)
    if present is None:
        n = math.prod(x.shape[k] for k in axes_of(axis, x.ndim))
        return (mean if n else _nothing)(x, axis=axis, keepdims=keepdims)
    total = sum(where(present, x, 0.0), axis=axis, keepdims=keepdims)
    return divide(total, _or_nan(_count(present, x, axis, keepdims)))


def _nothing(x: Tensor, axis: Any, keepdims: bool) -> Tensor:
    return per(sum(x, axis=axis, keepdims=keepdims), 0)


def squares(x: Tensor) -> Tensor:
    """The squared size of each value, real or complex."""
    if x.dtype.kind != "c":
        return multiply(x, x)
    return add(multiply(real(x), real(x)), multiply(imag(x), imag(x)))


def per(total: Tensor, count: Any) -> Tensor:
    """`total / count`; where the count, a number or a tensor, is not positive, what a division by zero would give,
    without its warning."""
    if not isinstance(count, Tensor) and count > 0:
        return divide(total, count)
    none = astype(where(total == 0, math.nan, math.inf), total.dtype if total.dtype.kind == "f" else np.float64)
    if not isinstance(count, Tensor):
        return multiply(total, none)
    positive = count > 0
    return multiply(total, where(positive, divide(1.0, where(positive, count, 1.0)), none))


def _or_nan(count: Tensor) -> Tensor:
    """A divisor that makes NaN of what nothing, or less, is to be divided by."""
    return where(count > 0, count, math.nan)


@composed
def nanvar(
    x: Any,
    axis: Any = None,
    dtype: Any = None,
    ddof: float = 0,
    keepdims: bool = False,
    *,
    correction: float | None = None,
) -> Tensor:
    """`var` of what is no NaN; NaN, without a warning, where there are no more than `ddof` values."""
    x, present = _present(x, dtype)
    less = float(degrees_of_freedom(ddof, correction))
    centred = subtract(x, nanmean(x, axis=axis, keepdims=True))
    if present is None:  # whole numbers, of which NumPy divides by 0 where there are too few
        n = math.prod(x.shape[k] for k in axes_of(axis, x.ndim))
        return per(sum(squares(centred), axis=axis, keepdims=keepdims), n - less)
    total = sum(squares(where(present, centred, 0.0)), axis=axis, keepdims=keepdims)
    return divide(total, _or_nan(_count(present, total, axis, keepdims) - less))


@composed
def nanstd(
    x: Any,
    axis: Any = None,
    dtype: Any = None,
    ddof: float = 0,
    keepdims: bool = False,
    *,
    correction: float | None = None,
) -> Tensor:
    """`std` of what is no NaN; as there, its derivative is 0 where all values are equal."""
    v = nanvar(x, axis=axis, dtype=dtype, ddof=ddof, keepdims=keepdims, correction=correction)
    positive = v > 0
    return where(positive, sqrt(where(positive, v, 1.0)), v)


@composed
def nanmax(x: Any, axis: Any = None, keepdims: bool = False) -> Tensor:
    """The largest along `axis` of what is no NaN, equal ones sharing the gradient; NaN where nothing is."""
    return _extreme(max, -math.inf, x, axis, keepdims)


@composed
def nanmin(x: Any, axis: Any = None, keepdims: bool = False) -> Tensor:
    """The smallest along `axis` of what is no NaN, equal ones sharing the gradient; NaN where nothing is."""
    return _extreme(min, math.inf, x, axis, keepdims)


def _extreme(function: Callable[..., Tensor], worst: float, x: Any, axis: Any, keepdims: bool) -> Tensor:
    x, present = _present(x)
    if present is None:
        return function(x, axis=axis, keepdims=keepdims)
    found = function(where(present, x, worst), axis=axis, keepdims=keepdims)
    return where(_count(present, x, axis, keepdims) > 0, found, math.nan)


@composed
def average(a: Any, axis: Any = None, weights: Any = None, returned: bool = False, *, keepdims: bool = False) -> Any:
    """The mean along `axis`, each value with its weight: `weights` of `a`'s shape, or of the lengths of `axis`.

    Gradients flow to the weights as well. With `returned`, the sum of the weights comes along. Weights that add up to
    nothing give infinities or NaN, not NumPy's ZeroDivisionError: the device is not asked.

    Raises:
        ValueError, TypeError: the weights have another shape.
    """
    a = as_tensor(a)
    if weights is None:
        found = mean(a, axis=axis, keepdims=keepdims)
        n = math.prod(a.shape[k] for k in axes_of(axis, a.ndim))
        return (found, multiply(ones_like(found), float(n))) if returned else found
    weights = as_tensor(weights)
    if weights.shape != a.shape:
        if axis is None:
            raise TypeError("Axis must be specified when shapes of a and weights differ.")
        axes = axes_of(axis, a.ndim)
        if weights.shape != tuple(a.shape[k] for k in axes):
            raise ValueError("Shape of weights must be consistent with shape of a along specified axis.")
        weights = transpose(weights, tuple(sorted(range(len(axes)), key=lambda k: axes[k])))
        weights = reshape(weights, tuple(n if k in axes else 1 for k, n in enumerate(a.shape)))
    total = sum(weights, axis=axis, keepdims=keepdims)
    found = divide(sum(multiply(a, weights), axis=axis, keepdims=keepdims), total)
    return (found, broadcast_to(total, found.shape)) if returned else found


@composed
def bincount(x: Any, weights: Any = None, minlength: int = 0) -> Tensor:
    """How often each number 0, 1, … is in `x`, or the sum of the weights beside it, to which gradients flow.

    The weights keep their dtype, and are added up in the same order on every run. The result is as long as the largest
    number asks for, so the host waits for the device.
    """
    ids = as_tensor(x)._data
    xp = backend_of(ids).xp
    if weights is None:
        return Tensor(xp.bincount(ids, minlength=minlength))
    weights = as_tensor(weights)
    if ids.ndim != 1 or weights.shape != ids.shape:
        raise ValueError(f"bincount: got shapes {tuple(ids.shape)} and {weights.shape}, want two rows of one length")
    low, high = (int(xp.min(ids)), int(xp.max(ids))) if ids.size else (0, -1)
    if low < 0:
        raise ValueError("bincount: x: got a negative number, want 0, 1, …")
    return _sum_rows(weights, ids, n=high + 1 if high >= minlength else minlength)


@composed
def trapezoid(y: Any, x: Any = None, dx: float = 1.0, axis: int = -1) -> Tensor:
    """The area under `y` along `axis` by the trapezoidal rule, over the points `x` or with `dx` between them."""
    y = as_tensor(y)
    axis = axis_in(axis, y.ndim, "trapezoid: axis")
    front = (slice(None),) * axis
    low, high = (*front, slice(None, -1)), (*front, slice(1, None))
    pairs = add(getitem(y, high), getitem(y, low))
    if x is None:
        return sum(multiply(pairs, 0.5 * dx), axis=axis)
    x = as_tensor(x)
    if x.ndim == 1:
        steps = subtract(getitem(x, slice(1, None)), getitem(x, slice(None, -1)))
        steps = reshape(steps, [-1 if k == axis else 1 for k in range(y.ndim)])
    else:
        steps = subtract(getitem(x, high), getitem(x, low))
    return sum(multiply(multiply(steps, pairs), 0.5), axis=axis)


def _rows(m: Any, y: Any, rowvar: bool, dtype: Any) -> Tensor:
    """The variables as rows of floats."""
    parts = []
    for given in (m, y):
        if given is not None:
            x = as_tensor(given)
            if x.ndim > 2:
                raise ValueError(f"{'m' if given is m else 'y'}: got {x.ndim} axes, want at most 2")
            parts.append(reshape(x, (1, x.size)) if x.ndim < 2 else x if rowvar else transpose(x))
    x = parts[0] if len(parts) == 1 else concatenate(parts)
    if dtype is not None:
        want_inexact(x, dtype)
        return astype(x, dtype)
    return x if x.dtype.kind in "fc" else astype(x, np.float64)


def _weights(x: Tensor, fweights: Any, aweights: Any) -> tuple[Tensor | None, Tensor | None]:
    """What each observation weighs in all, and the part of it that is no count. On the host counts are looked at."""
    found: list[Tensor | None] = []
    for name, given in (("fweights", fweights), ("aweights", aweights)):
        if given is None:
            found.append(None)
            continue
        if not hasattr(given, "dtype"):  # numbers, in the dtype of what they weigh
            given = Tensor(backend_of(x._data).from_numpy(np.asarray(given, x.dtype)))
        w = as_tensor(given)
        on_host = isinstance(w._data, np.ndarray)
        if on_host and name == "fweights" and np.any(w._data != np.rint(w._data)):
            raise TypeError("cov: fweights: got fractions, want whole numbers; aweights takes others")
        if w.shape != x.shape[1:]:
            raise RuntimeError(f"cov: {name}: got shape {w.shape} for {x.shape[1]} observations, want one for each")
        if on_host and np.any(w._data < 0):
            raise ValueError(f"cov: {name}: got a negative number")
        w = w.detach() if name == "fweights" else w
        found.append(w if w.dtype.kind == "f" else astype(w, real(x).dtype))
    counts, other = found
    return (other if counts is None else counts if other is None else multiply(counts, other)), other


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
    """The covariances of the variables in the rows of `m` (and `y`), or in the columns with `rowvar=False`.

    Divided by n - 1, or by n with `bias`, or by n - `ddof`. Each observation counts `fweights` times, which are
    constants, and weighs `aweights`, to which gradients flow; n is then NumPy's. float32 stays float32, as in `var`,
    unless `dtype` says otherwise; NumPy makes float64 of it here.

    Raises:
        ValueError: `ddof` is no whole number, or an array has more than two axes.
        RuntimeError: there is not one weight for each observation.
    """
    if ddof is not None and ddof != int(ddof):
        raise ValueError(f"cov: ddof: got {ddof}, want a whole number")
    less = (0 if bias else 1) if ddof is None else ddof
    x = _rows(m, y, rowvar, dtype)
    w, other = _weights(x, fweights, aweights)
    free: Any = x.shape[1] - less
    if w is None:
        x = scaled = subtract(x, mean(x, axis=1, keepdims=True))
    else:
        x = subtract(x, expand_dims(average(x, axis=1, weights=w), 1))
        scaled, free = multiply(x, w), sum(w)
        if less:
            free = free - (less if other is None else less * sum(multiply(w, other)) / free)
    return squeeze(per(matmul(scaled, transpose(conj(x) if x.dtype.kind == "c" else x)), free))


@composed
def corrcoef(x: Any, y: Any = None, rowvar: bool = True, *, dtype: Any = None) -> Tensor:
    """The correlations of the variables in the rows of `x` (and `y`), held between -1 and 1; of nothing NaN.

    float32 stays float32, as in `var`, unless `dtype` says otherwise; NumPy makes float64 of it here.
    """
    x = _rows(x, y, rowvar, dtype)
    n = x.shape[1]
    x = subtract(x, mean(x, axis=1, keepdims=True)) if n else x
    x = divide(x, sqrt(sum(squares(x), axis=1, keepdims=True)))
    if x.dtype.kind != "c":
        r = clip(matmul(x, transpose(x)), -1.0, 1.0)
    else:
        r = matmul(x, transpose(conj(x)))
        r = add(clip(real(r), -1.0, 1.0), multiply(clip(imag(r), -1.0, 1.0), 1j))
    return squeeze(r if n else where(r == 0, math.nan, r))
