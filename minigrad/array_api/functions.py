"""Functions of the array API whose arguments differ from NumPy's."""

from __future__ import annotations

from typing import Any

import numpy as np

from .. import ops
from ..engine.tensor import Tensor
from .sets import on_constants

Axis = int | tuple[int, ...] | None


def reshape(x: Tensor, /, shape: tuple[int, ...], *, copy: bool | None = None) -> Tensor:
    """Return the values in another shape, in C order; a view if possible, or with `copy=True` always a copy.

    Raises:
        ValueError: `copy=False` where the memory's layout needs a copy.
    """
    y = ops.reshape(ops.copy(x) if copy else x, shape)
    if copy is False and y.size and not np.may_share_memory(y._array, x._array):
        raise ValueError("reshape: copy=False: the memory's layout needs a copy")
    return y


def clip(x: Tensor, /, min: Any = None, max: Any = None) -> Tensor:
    """Return the values limited to `min` and `max`, which broadcast; None is no limit."""
    return ops.clip(x, min, max)


def sort(x: Tensor, /, *, axis: int = -1, descending: bool = False, stable: bool = True) -> Tensor:
    """Return the values in order along `axis`. NaN counts as the largest."""
    if not descending:
        return ops.sort(x, axis, stable=stable)
    return ops.take_along_axis(x, argsort(x, axis=axis, descending=True, stable=stable), axis)


def argsort(x: Tensor, /, *, axis: int = -1, descending: bool = False, stable: bool = True) -> Tensor:
    """Return the positions that `sort` takes its values from. A constant."""
    kind = "stable" if stable else None
    if not descending:
        return ops.argsort(x, axis=axis, kind=kind)
    backwards = ops.argsort(ops.flip(x, axis=axis), axis=axis, kind=kind)
    return ops.flip(x.shape[axis] - 1 - backwards, axis=axis)


def std(x: Tensor, /, *, axis: Axis = None, correction: float = 0.0, keepdims: bool = False) -> Tensor:
    """Return the standard deviation; the mean square is a sum divided by the number of values less `correction`."""
    return ops.std(x, axis=axis, ddof=correction, keepdims=keepdims)


def var(x: Tensor, /, *, axis: Axis = None, correction: float = 0.0, keepdims: bool = False) -> Tensor:
    """Return the variance: a sum of squares divided by the number of values less `correction`."""
    return ops.var(x, axis=axis, ddof=correction, keepdims=keepdims)


def cumulative_sum(
    x: Tensor, /, *, axis: int | None = None, dtype: Any = None, include_initial: bool = False
) -> Tensor:
    """Return the sum of all values up to each along `axis`, which only a vector may leave out.

    `include_initial` puts the sum of no values, 0, in front.
    """
    return _cumulative("cumulative_sum", ops.cumsum, 0, x, axis, dtype, include_initial)


def cumulative_prod(
    x: Tensor, /, *, axis: int | None = None, dtype: Any = None, include_initial: bool = False
) -> Tensor:
    """Return the product of all values up to each along `axis`, as `cumulative_sum` the sum."""
    return _cumulative("cumulative_prod", ops.cumprod, 1, x, axis, dtype, include_initial)


def _cumulative(
    name: str, operation: Any, initial: int, x: Tensor, axis: int | None, dtype: Any, include_initial: bool
) -> Tensor:
    if axis is None:
        if x.ndim != 1:
            raise ValueError(f"{name}: axis: got None for shape {x.shape}, want an axis unless there is one only")
        axis = 0
    y: Tensor = operation(x if dtype is None else ops.astype(x, dtype), axis=axis)
    if include_initial:
        first = [1 if k == axis % x.ndim else n for k, n in enumerate(x.shape)]
        y = ops.concatenate([ops.broadcast_to(ops.full_like(y, initial, shape=()), tuple(first)), y], axis=axis)
    return y


def nextafter(x1: Any, x2: Any, /) -> Tensor:
    """Return the next number after `x1` in the direction of `x2`. Of constants only, as NumPy's."""
    return on_constants("nextafter", "nextafter", x1, x2)  # type: ignore[no-any-return]
