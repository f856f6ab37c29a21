"""Reductions: many values to one, along some axes."""

from __future__ import annotations

import math
from typing import Any

from ..primitive import composed, primitive
from ..tensor import Tensor

Array = Any
__all__ = ["logsumexp", "max", "mean", "min", "sum", "var"]


def _kept(shape: tuple[int, ...], axis: Any) -> tuple[int, ...]:
    """The shape after reducing `axis` with `keepdims=True`."""
    if axis is None:
        return (1,) * len(shape)
    axes = {a % len(shape) for a in (axis if isinstance(axis, tuple) else (axis,))}
    return tuple(1 if k in axes else n for k, n in enumerate(shape))


@primitive
def sum(xp: Any, x: Array, axis: Any = None, keepdims: bool = False) -> Any:
    """The sum along `axis`, or of everything."""
    shape = x.shape
    return (
        xp.sum(x, axis=axis, keepdims=keepdims),
        (),
        lambda xp, g: xp.broadcast_to(xp.reshape(g, _kept(shape, axis)), shape),
    )


@primitive
def mean(xp: Any, x: Array, axis: Any = None, keepdims: bool = False) -> Any:
    """The mean along `axis`, or of everything."""
    shape, kept = x.shape, _kept(x.shape, axis)
    share = math.prod(kept) / (math.prod(shape) or 1)
    return (
        xp.mean(x, axis=axis, keepdims=keepdims),
        (),
        lambda xp, g: xp.broadcast_to(xp.reshape(g * share, kept), shape),
    )


@primitive
def max(xp: Any, x: Array, axis: Any = None, keepdims: bool = False) -> Any:
    """The largest value along `axis`; equal ones share the gradient."""
    return _extremum(xp, x, xp.max(x, axis=axis, keepdims=True), axis, keepdims)


@primitive
def min(xp: Any, x: Array, axis: Any = None, keepdims: bool = False) -> Any:
    """The smallest value along `axis`; equal ones share the gradient."""
    return _extremum(xp, x, xp.min(x, axis=axis, keepdims=True), axis, keepdims)


def _extremum(xp: Any, x: Array, y: Array, axis: Any, keepdims: bool) -> Any:
    kept = y.shape
    chosen = x == y
    # Of a NaN nothing is chosen, since it equals nothing: no gradient passes.
    share = chosen / xp.maximum(xp.sum(chosen, axis=axis, keepdims=True, dtype=x.dtype), 1)
    value = y if keepdims else xp.squeeze(y, axis=tuple(range(x.ndim)) if axis is None else axis)
    return value, (share.astype(x.dtype),), lambda xp, g, share: xp.reshape(g, kept) * share


@primitive
def logsumexp(xp: Any, x: Array, axis: Any = None, keepdims: bool = False) -> Any:
    """`log(sum(exp(x)))` along `axis`, without overflow; −inf, with no gradient, where all of x is −inf."""
    shift = _finite_or_zero(xp, xp.max(x, axis=axis, keepdims=True))
    total = xp.sum(xp.exp(x - shift), axis=axis, keepdims=True)
    y = xp.where(total > 0, xp.log(xp.where(total > 0, total, 1)) + shift, -math.inf).astype(x.dtype)
    kept = y.shape
    value = y if keepdims else xp.squeeze(y, axis=tuple(range(x.ndim)) if axis is None else axis)
    return (
        value,
        (x, value),
        lambda xp, g, x, value: xp.reshape(g, kept) * xp.exp(x - xp.reshape(_finite_or_zero(xp, value), kept)),
    )


def _finite_or_zero(xp: Any, x: Array) -> Array:
    return xp.where(xp.isfinite(x), x, xp.zeros_like(x))


@composed
def var(x: Any, axis: Any = None, keepdims: bool = False) -> Tensor:
    """The variance along `axis`, divided by n (NumPy's `ddof=0`)."""
    centred = x - mean(x, axis=axis, keepdims=True)
    return mean(centred * centred, axis=axis, keepdims=keepdims)
