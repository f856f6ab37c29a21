"""Order statistics: medians and quantiles. Each is a mean of one or two values, which share its gradient."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ...backend import backend_of, is_array
from ...engine.primitive import composed
from ...engine.tensor import Tensor
from ..arrays.shape import axes_in, broadcast_to, reshape, transpose
from ..elementwise.arithmetic import add, astype, multiply, where
from ..indexing.gather import take_along_axis
from .reductions import as_tensor, axes_of, mean, sum as total
from .sorting import gathered

Array = Any
__all__ = ["median", "nanmedian", "nanpercentile", "nanquantile", "percentile", "quantile"]


def _in_one_axis(x: Tensor, axis: Any) -> tuple[Tensor, tuple[int, ...]]:
    """`x` with the reduced axes as one last axis, and the shape of what remains with `keepdims=True`."""
    axes = axes_of(axis, x.ndim) if x.ndim or axis is None else axes_in(axis, 0)  # a number has no axis here
    kept = tuple(1 if k in axes else n for k, n in enumerate(x.shape))
    rest = tuple(k for k in range(x.ndim) if k not in axes)
    order = (*rest, *axes)
    moved = x if order == tuple(range(x.ndim)) else transpose(x, order)
    if len(axes) != 1:
        moved = reshape(moved, (*(x.shape[k] for k in rest), math.prod(x.shape[k] for k in axes)))
    return moved, kept


@composed
def median(a: Any, axis: Any = None, keepdims: bool = False) -> Tensor:
    """The middle value along `axis`, or the mean of the two in the middle; NaN where there is one.

    The gradient goes to those one or two values; of equal ones, to those that the partition put there.
    """
    x = as_tensor(a)
    if x.size == 0:
        return mean(x, axis=axis, keepdims=keepdims)
    return _quantile(x, np.asarray(0.5), axis, "midpoint", keepdims)


@composed
def quantile(a: Any, q: Any, axis: Any = None, method: str = "linear", keepdims: bool = False) -> Tensor:
    """The value below which a share `q` of the values along `axis` lies, by any of NumPy's methods.

    `q` is a constant: a number, or an array, whose axes come first in the result. NaN where there is one. The gradient
    goes to the one or two values beside the place; of equal ones, to those that the partition put there. The result
    has the dtype of `a`, whatever that of `q` is. A `q` on the device is fetched.

    Raises:
        ValueError: `q` is not within 0 to 1, the method is unknown, or there is no value.
    """
    return _quantile(as_tensor(a), _fractions(q, method, 1.0), axis, method, keepdims)


@composed
def percentile(a: Any, q: Any, axis: Any = None, method: str = "linear", keepdims: bool = False) -> Tensor:
    """`quantile` with `q` in hundredths."""
    return _quantile(as_tensor(a), _fractions(q, method, 100.0), axis, method, keepdims)


@composed
def nanmedian(a: Any, axis: Any = None, keepdims: bool = False) -> Tensor:
    """`median` of what is no NaN; NaN, without a warning, where nothing is."""
    return _nanquantile(as_tensor(a), np.asarray(0.5), axis, "midpoint", keepdims)


@composed
def nanquantile(a: Any, q: Any, axis: Any = None, method: str = "linear", keepdims: bool = False) -> Tensor:
    """`quantile` of what is no NaN; NaN, without a warning, where nothing is."""
    return _nanquantile(as_tensor(a), _fractions(q, method, 1.0), axis, method, keepdims)


@composed
def nanpercentile(a: Any, q: Any, axis: Any = None, method: str = "linear", keepdims: bool = False) -> Tensor:
    """`percentile` of what is no NaN; NaN, without a warning, where nothing is."""
    return _nanquantile(as_tensor(a), _fractions(q, method, 100.0), axis, method, keepdims)


_CONTINUOUS = {
    "interpolated_inverted_cdf": (0.0, 1.0),
    "hazen": (0.5, 0.5),
    "weibull": (0.0, 0.0),
    "median_unbiased": (1 / 3, 1 / 3),
    "normal_unbiased": (3 / 8, 3 / 8),
}
"""Hyndman and Fan's α and β (Sample quantiles in statistical packages, 1996)."""
DISCRETE = ("lower", "higher", "nearest", "inverted_cdf", "closest_observation")
METHODS = (
    *_CONTINUOUS,
    *("linear", "midpoint", "averaged_inverted_cdf"),
    *DISCRETE,
)


def _neighbours(xp: Any, n: Any, q: Array, method: str) -> tuple[Array, Array, Array]:
    """The ranks, as floats, between which a quantile lies of `n` values, and the share of the upper one."""
    last = n - 1
    if method in _CONTINUOUS:
        alpha, beta = _CONTINUOUS[method]
        at = n * q + (alpha + q * (1 - alpha - beta)) - 1
    elif method in ("inverted_cdf", "averaged_inverted_cdf"):
        at = n * q - 1
    elif method == "closest_observation":
        at = n * q - 1.5
    else:
        at = last * q
    low = xp.floor(at)
    share = at - low
    whole = share == 0
    if method == "lower":
        share = share * 0
    elif method == "higher":
        share = 1.0 - whole
    elif method == "midpoint":
        share = 0.5 * (1.0 - whole)
    elif method == "nearest":
        share = xp.rint(at) - low
    elif method == "inverted_cdf":
        share = 1.0 - whole
    elif method == "averaged_inverted_cdf":
        share = xp.where(whole, 0.5, 1.0)
    elif method == "closest_observation":
        share = 1.0 - xp.where(low % 2 == 1, whole, False)
    # A rank that the result has no share of is not looked at, so that an infinity there does no harm.
    upper = xp.where(share > 0, low + 1, low)
    low = xp.where(share < 1, low, upper)
    low, upper = xp.clip(low, 0, last), xp.clip(upper, 0, last)
    return low, upper, xp.where(low == upper, 0.5, share)


def _fractions(q: Any, method: str, whole: float) -> np.ndarray[Any, Any]:
    """`q` on the host, as a share of the values."""
    if method not in METHODS:
        raise ValueError(f"method: got {method!r}, want one of {', '.join(METHODS)}")
    array = q._data if isinstance(q, Tensor) else q
    if is_array(array):
        array = backend_of(array).to_numpy(array)
    fractions = np.asarray(array, np.float64) / whole
    if not np.all((fractions >= 0) & (fractions <= 1)):
        raise ValueError(f"q: got {np.asarray(array).tolist()}, want 0 to {whole:g}")
    return fractions


def _quantile(x: Tensor, q: np.ndarray[Any, Any], axis: Any, method: str, keepdims: bool) -> Tensor:
    rows, kept = _in_one_axis(x, axis)
    n = rows.shape[-1]
    if n == 0:
        raise ValueError(f"a: got shape {x.shape}, want one value at least along axis {axis}")
    low, high, share = _neighbours(np, n, q.reshape(-1), method)
    low, high = low.astype(np.intp), high.astype(np.intp)
    array = rows._data
    xp = backend_of(array).xp
    order = xp.argpartition(array, sorted({*low.tolist(), *high.tolist(), n - 1}), axis=-1)
    # NaN stands behind everything: where the last value is one, so is the result.
    spoilt = xp.isnan(xp.take_along_axis(array, order[..., -1:], axis=-1)) if x.dtype.kind == "f" else None
    below = xp.take(order, xp.asarray(low), axis=-1)
    if method in DISCRETE or (spoilt is not None and (low == high).all()):
        found = _valued(rows, below)
    else:
        found = _mixed(rows, below, xp.take(order, xp.asarray(high), axis=-1), xp.asarray(share))
    if spoilt is not None:
        found = where(spoilt, math.nan, found)
    return _arranged(found, q.shape, kept, keepdims)


def _nanquantile(x: Tensor, q: np.ndarray[Any, Any], axis: Any, method: str, keepdims: bool) -> Tensor:
    if x.dtype.kind != "f":
        if x.size:
            return _quantile(x, q, axis, method, keepdims)
        x = astype(x, np.float64)
    rows, kept = _in_one_axis(x, axis)
    array = rows._data
    if array.shape[-1] == 0:
        nothing = add(total(rows, axis=-1, keepdims=True), math.nan)
        return _arranged(broadcast_to(nothing, (*nothing.shape[:-1], q.size)), q.shape, kept, keepdims)
    xp = backend_of(array).xp
    order = xp.argsort(array, axis=-1)  # NaN stands last
    n = xp.maximum(xp.sum(array == array, axis=-1, keepdims=True, dtype=np.float64), 1)
    low, high, share = _neighbours(xp, n, xp.asarray(q.reshape(-1)), method)
    below, above = (xp.take_along_axis(order, rank.astype(np.intp), axis=-1) for rank in (low, high))
    found = _valued(rows, below) if method in DISCRETE else _mixed(rows, below, above, share)
    return _arranged(found, q.shape, kept, keepdims)


def _valued(rows: Tensor, places: Array) -> Tensor:
    """The values at these places of every row: with one quantile, none is named twice."""
    return gathered(rows, places, -1) if places.shape[-1] == 1 else take_along_axis(rows, places, axis=-1)


def _mixed(rows: Tensor, below: Array, above: Array, share: Array) -> Tensor:
    share = share.astype(rows.dtype if rows.dtype.kind == "f" else np.float64)
    return add(multiply(_valued(rows, below), 1 - share), multiply(_valued(rows, above), share))


def _arranged(found: Tensor, many: tuple[int, ...], kept: tuple[int, ...], keepdims: bool) -> Tensor:
    """The quantiles, which stand in the last axis, in axes of their own in front."""
    rest = kept if keepdims else found.shape[:-1]
    if not many:
        return reshape(found, rest)
    return reshape(transpose(found, (found.ndim - 1, *range(found.ndim - 1))), (*many, *rest))
