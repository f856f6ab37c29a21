"""Medians and quantiles. Each is a weighted mean of one or two values, which share its gradient."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from ...backend import backend_of
from ...engine.primitive import composed, primitive
from ...engine.tensor import Tensor
from ..arrays.conversion import as_host_array, to_tensor
from ..arrays.shape import axes_in, broadcast_to, reshape, transpose
from ..elementwise.arithmetic import add, astype, divide, multiply, subtract, where
from ..indexing.gather import in_order, take_along_axis
from .reductions import axes_of, mean, sum as total

Array = Any
__all__ = ["median", "nanmedian", "nanpercentile", "nanquantile", "percentile", "quantile"]


def _in_one_axis(x: Tensor, axis: Any) -> tuple[Tensor, tuple[int, ...]]:
    """`x` with the reduced axes as one last axis, and the shape of the result with `keepdims=True`."""
    axes = axes_of(axis, x.ndim) if x.ndim or axis is None else axes_in(axis, 0)  # NumPy gives a number no axis here
    keepdims_shape = tuple(1 if k in axes else n for k, n in enumerate(x.shape))
    rest = tuple(k for k in range(x.ndim) if k not in axes)
    order = (*rest, *axes)
    moved = x if order == tuple(range(x.ndim)) else transpose(x, order)
    if len(axes) != 1:
        moved = reshape(moved, (*(x.shape[k] for k in rest), math.prod(x.shape[k] for k in axes)))
    return moved, keepdims_shape


@composed
def median(a: Any, axis: Any = None, keepdims: bool = False) -> Tensor:
    """The middle value along `axis`, or the mean of the two in the middle; NaN if a value is NaN.

    The gradient flows to these one or two values; among equal values, to those that the partition picks.
    """
    x = to_tensor(a)
    if x.size == 0:
        return mean(x, axis=axis, keepdims=keepdims)
    return _quantile(x, HALF, axis, "midpoint", keepdims)


@composed
def quantile(a: Any, q: Any, axis: Any = None, method: str = "linear", keepdims: bool = False) -> Tensor:
    """The value below which a fraction `q` of the values along `axis` lies, by any of NumPy's methods.

    `q` is a number, or an array, whose axes come first in the result. NaN if a value is NaN. The gradient flows to the
    one or two neighbouring values; among equal values, to those that the partition picks. To `q` it flows where the
    method interpolates; at a value, where the slope changes, it is that above it. The result has the dtype of `a`,
    whatever that of `q` is. Synchronises with the device if `q` is there.

    Raises:
        ValueError: `q` is not within 0 to 1, the method is unknown, or there are no values.
    """
    return _quantile(to_tensor(a), _fractions(q, method, 1.0), axis, method, keepdims)


@composed
def percentile(a: Any, q: Any, axis: Any = None, method: str = "linear", keepdims: bool = False) -> Tensor:
    """`quantile` with `q` in percent."""
    return _quantile(to_tensor(a), _fractions(q, method, 100.0), axis, method, keepdims)


@composed
def nanmedian(a: Any, axis: Any = None, keepdims: bool = False) -> Tensor:
    """`median` of the values that are not NaN; NaN, without a warning, if there are none."""
    return _nanquantile(to_tensor(a), HALF, axis, "midpoint", keepdims)


@composed
def nanquantile(a: Any, q: Any, axis: Any = None, method: str = "linear", keepdims: bool = False) -> Tensor:
    """`quantile` of the values that are not NaN; NaN, without a warning, if there are none."""
    return _nanquantile(to_tensor(a), _fractions(q, method, 1.0), axis, method, keepdims)


@composed
def nanpercentile(a: Any, q: Any, axis: Any = None, method: str = "linear", keepdims: bool = False) -> Tensor:
    """`percentile` of the values that are not NaN; NaN, without a warning, if there are none."""
    return _nanquantile(to_tensor(a), _fractions(q, method, 100.0), axis, method, keepdims)


def _continuous(alpha: float, beta: float) -> Callable[[Any, Array], Array]:
    """The rank for Hyndman and Fan's α and β (Sample quantiles in statistical packages, 1996)."""
    return lambda n, q: n * q + (alpha + q * (1 - alpha - beta)) - 1


RANKS: dict[str, Callable[[Any, Array], Array]] = {
    "interpolated_inverted_cdf": _continuous(0.0, 1.0),
    "hazen": _continuous(0.5, 0.5),
    "weibull": _continuous(0.0, 0.0),
    "median_unbiased": _continuous(1 / 3, 1 / 3),
    "normal_unbiased": _continuous(3 / 8, 3 / 8),
    **dict.fromkeys(("inverted_cdf", "averaged_inverted_cdf"), lambda n, q: n * q - 1),
    "closest_observation": lambda n, q: n * q - 1.5,
    **dict.fromkeys(("linear", "lower", "higher", "midpoint", "nearest"), lambda n, q: (n - 1) * q),
}
"""The fractional rank, counted from 0, of the quantile `q` of `n` values, by the method."""
WEIGHTS: dict[str, Callable[[Any, Array, Array], Array]] = {
    "lower": lambda xp, low, part: part * 0,
    **dict.fromkeys(("higher", "inverted_cdf"), lambda xp, low, part: 1.0 - (part == 0)),
    "midpoint": lambda xp, low, part: 0.5 * (1.0 - (part == 0)),
    "nearest": lambda xp, low, part: xp.rint(low + part) - low,
    "averaged_inverted_cdf": lambda xp, low, part: xp.where(part == 0, 0.5, 1.0),
    "closest_observation": lambda xp, low, part: 1.0 - xp.where(low % 2 == 1, part == 0, False),
}
"""The weight of the upper neighbour of a rank `low + part`, where it is not `part` itself."""
DISCRETE = ("lower", "higher", "nearest", "inverted_cdf", "closest_observation")
METHODS = tuple(RANKS)


def _neighbours(xp: Any, n: Any, q: Array, method: str) -> tuple[Array, Array, Array]:
    """The ranks, as floats, of the two of `n` values next to a quantile, and the weight of the upper one."""
    rank = RANKS[method](n, q)
    low = xp.floor(rank)
    weight = rank - low
    if method in WEIGHTS:
        weight = WEIGHTS[method](xp, low, weight)
    # A rank of weight 0 is replaced by the other one, so that an infinity there does no harm.
    high = xp.where(weight > 0, low + 1, low)
    low = xp.where(weight < 1, low, high)
    low, high = xp.clip(low, 0, n - 1), xp.clip(high, 0, n - 1)
    return low, high, xp.where(low == high, 0.5, weight)


class _Fractions(NamedTuple):
    """The fractions that are asked for: on the host, and as a tensor if they require a gradient."""

    host: np.ndarray[Any, Any]
    tensor: Tensor | None = None


HALF = _Fractions(np.asarray(0.5))


def _fractions(q: Any, method: str, scale: float) -> _Fractions:
    """`q / scale`, checked."""
    if method not in METHODS:
        raise ValueError(f"method: got {method!r}, want one of {', '.join(METHODS)}")
    tensor = divide(q, scale) if isinstance(q, Tensor) and q.requires_grad and method not in WEIGHTS else None
    q = as_host_array(q.detach() if isinstance(q, Tensor) else q)
    if q.dtype.kind == "c":
        raise TypeError(f"q: got dtype {q.dtype}, want real numbers")
    fractions = np.asarray(q, np.float64) / scale
    if not np.all((fractions >= 0) & (fractions <= 1)):
        raise ValueError(f"q: got {q.tolist()}, want 0 to {scale:g}")
    return _Fractions(fractions, tensor)


@primitive
def _by_fraction(xp: Any, y: Array, q: Array, slope: Array, q0: Array) -> Any:
    """The quantiles `y`, with their slope (…, Q) by the fractions `q` (Q,), which are `q0`: y + slope · (q − q0)."""
    return (
        y,
        (q, slope),
        (lambda xp, g, q, slope: g, lambda xp, g, q, slope: g * slope, lambda xp, g, q, slope: g * (q - q0), None),
    )


def _slope(method: str, n: Any, q: Array, rows: Tensor, order: Array) -> Tensor:
    """The slope of the quantiles of `n` values each by their fractions `q` (Q,): 0 beyond the outermost values."""
    xp = backend_of(order).xp
    rank = RANKS[method](n, q)
    low = xp.clip(xp.floor(rank), 0, xp.maximum(xp.asarray(n) - 2, 0))
    high = xp.minimum(low + 1, xp.asarray(n) - 1)
    inside = xp.logical_and(rank >= 0, rank <= n - 1) * (RANKS[method](n, 1.0) - RANKS[method](n, 0.0))
    shape = (*order.shape[:-1], low.shape[-1])
    above, below = (
        take_along_axis(rows, xp.take_along_axis(order, xp.broadcast_to(k, shape).astype(np.intp), axis=-1), axis=-1)
        for k in (high, low)
    )
    return multiply(subtract(above, below), inside.astype(rows.dtype if rows.dtype.kind == "f" else np.float64))


def _quantile(x: Tensor, q: _Fractions, axis: Any, method: str, keepdims: bool) -> Tensor:
    rows, keepdims_shape = _in_one_axis(x, axis)
    n = rows.shape[-1]
    if n == 0:
        raise ValueError(f"a: got shape {x.shape}, want at least one value along axis {axis}")
    fractions = q.host.reshape(-1)
    low, high, weight = _neighbours(np, n, fractions, method)
    low, high = low.astype(np.intp), high.astype(np.intp)
    array = rows._array
    xp = backend_of(array).xp
    if q.tensor is None:
        order = xp.argpartition(array, sorted({*low.tolist(), *high.tolist(), n - 1}), axis=-1)
    else:
        order = xp.argsort(array, axis=-1)
    # NaN sorts last: if the last value is one, so is the result.
    has_nan = xp.isnan(xp.take_along_axis(array, order[..., -1:], axis=-1)) if x.dtype.kind == "f" else None
    below = xp.take(order, xp.asarray(low), axis=-1)
    if method in DISCRETE or (has_nan is not None and (low == high).all()):
        y = _values(rows, below)
    else:
        y = _weighted(rows, below, xp.take(order, xp.asarray(high), axis=-1), xp.asarray(weight))
    if q.tensor is not None:
        at = xp.asarray(fractions)
        y = _by_fraction(y, reshape(q.tensor, (-1,)), _slope(method, n, at, rows, order), at)
    return _arranged(y if has_nan is None else where(has_nan, math.nan, y), q.host.shape, keepdims_shape, keepdims)


def _nanquantile(x: Tensor, q: _Fractions, axis: Any, method: str, keepdims: bool) -> Tensor:
    if x.dtype.kind != "f":
        if x.size:
            return _quantile(x, q, axis, method, keepdims)
        x = astype(x, np.float64)
    rows, keepdims_shape = _in_one_axis(x, axis)
    array = rows._array
    if array.shape[-1] == 0:
        nan = add(total(rows, axis=-1, keepdims=True), math.nan)
        return _arranged(broadcast_to(nan, (*nan.shape[:-1], q.host.size)), q.host.shape, keepdims_shape, keepdims)
    xp = backend_of(array).xp
    order = xp.argsort(array, axis=-1)  # NaN sorts last
    n = xp.maximum(xp.sum(array == array, axis=-1, keepdims=True, dtype=np.float64), 1)
    fractions = xp.asarray(q.host.reshape(-1))
    low, high, weight = _neighbours(xp, n, fractions, method)
    below, above = (xp.take_along_axis(order, rank.astype(np.intp), axis=-1) for rank in (low, high))
    y = _values(rows, below) if method in DISCRETE else _weighted(rows, below, above, weight)
    if q.tensor is not None:
        y = _by_fraction(y, reshape(q.tensor, (-1,)), _slope(method, n, fractions, rows, order), fractions)
    return _arranged(y, q.host.shape, keepdims_shape, keepdims)


def _values(rows: Tensor, positions: Array) -> Tensor:
    """The values at these positions of every row; a single quantile names none twice."""
    if positions.shape[-1] == 1:
        return in_order(rows, positions, axis=-1)
    return take_along_axis(rows, positions, axis=-1)


def _weighted(rows: Tensor, below: Array, above: Array, weight: Array) -> Tensor:
    weight = weight.astype(rows.dtype if rows.dtype.kind == "f" else np.float64)
    return add(multiply(_values(rows, below), 1 - weight), multiply(_values(rows, above), weight))


def _arranged(y: Tensor, q_shape: tuple[int, ...], keepdims_shape: tuple[int, ...], keepdims: bool) -> Tensor:
    """The quantiles, which are along the last axis, along the axes of `q` in front."""
    shape = keepdims_shape if keepdims else y.shape[:-1]
    if not q_shape:
        return reshape(y, shape)
    return reshape(transpose(y, (y.ndim - 1, *range(y.ndim - 1))), (*q_shape, *shape))
