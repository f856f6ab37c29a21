"""Sort, partition and search. Orders and positions are constants; gradients flow to the values."""

from __future__ import annotations

from typing import Any

import numpy as np

from ...backend import backend_of
from ...engine.primitive import call_in, composed, nondifferentiable, primitive
from ...engine.tensor import Tensor
from ..arrays.conversion import to_tensor
from ..arrays.shape import along, ravel
from ..elementwise.nondifferentiable import off_tape
from ..indexing.gather import add_along_axis, in_order, take

Array = Any
__all__ = ["argpartition", "digitize", "kthvalue", "lexsort", "partition", "searchsorted", "sort", "topk", "unique"]

argpartition, searchsorted, digitize = off_tape("argpartition"), off_tape("searchsorted"), off_tape("digitize")


@primitive
def _sort(xp: Any, x: Array, axis: int, kind: str | None) -> Any:
    shape = x.shape

    def by_x(xp: Any, g: Array, x: Array) -> Array:
        order = xp.argsort(x, axis=axis, kind=kind)
        return call_in(xp, add_along_axis, g, order, axis=axis, shape=shape, unique=True)

    return xp.sort(x, axis=axis), (x,), by_x


@composed
def sort(x: Any, axis: int | None = -1, kind: str | None = None, *, stable: bool | None = None) -> Tensor:
    """The values in ascending order along `axis`, or of the flattened array; NaN last.

    Each value gets the gradient of its position in the result. With `stable=True` or `kind="stable"` equal values keep
    their order, otherwise their order is undefined. Other kinds have no effect.
    """
    x, kind = to_tensor(x), "stable" if stable or kind in ("stable", "mergesort") else None
    return _sort(ravel(x), axis=0, kind=kind) if axis is None else _sort(x, axis=axis, kind=kind)


@composed
def partition(x: Any, kth: Any, axis: int | None = -1) -> Tensor:
    """The values along `axis` with that of rank `kth` (or several) in its sorted position, no larger values before it
    and no smaller ones behind it."""
    x = to_tensor(x)
    x, axis = (ravel(x), 0) if axis is None else (x, axis)
    return in_order(x, argpartition(x, kth, axis=axis)._array, axis=axis)


@composed
def topk(input: Any, k: int, dim: int = -1, largest: bool = True, sorted: bool = True) -> tuple[Tensor, Tensor]:
    """The `k` largest (or smallest) values along `dim` and their positions, which are constants, as `torch.topk`.

    The values are sorted even if `sorted` is false; a NaN counts as the largest value.
    """
    x = to_tensor(input)
    xp, array = backend_of(x._array).xp, x._array
    n = array.shape[dim]
    if not 0 <= k <= n:
        raise ValueError(f"topk: k: got {k}, want 0 to {n}, the length of axis {dim}")
    if 0 < k < n:
        part = along(dim % x.ndim, slice(n - k, n) if largest else slice(0, k))
        top = xp.argpartition(array, n - k if largest else k - 1, axis=dim)[part]
        order = xp.argsort(xp.take_along_axis(array, top, axis=dim), axis=dim)
        order = xp.take_along_axis(top, order, axis=dim)
    else:
        order = xp.argsort(array, axis=dim)[along(dim % x.ndim, slice(0, k))]
    order = xp.flip(order, axis=dim) if largest else order
    return in_order(x, order, axis=dim), Tensor(order)


@composed
def kthvalue(input: Any, k: int, dim: int = -1, keepdim: bool = False) -> tuple[Tensor, Tensor]:
    """The `k`-th smallest value along `dim`, counted from 1, and its position, as `torch.kthvalue`."""
    x = to_tensor(input)
    xp, array = backend_of(x._array).xp, x._array
    n = array.shape[dim]
    if not 1 <= k <= n:
        raise ValueError(f"kthvalue: k: got {k}, want 1 to {n}, the length of axis {dim}")
    position = xp.argpartition(array, k - 1, axis=dim)[along(dim % x.ndim, slice(k - 1, k))]
    value = in_order(x, position, axis=dim)
    return (value, Tensor(position)) if keepdim else (value.squeeze(dim), Tensor(xp.squeeze(position, axis=dim)))


@nondifferentiable
def lexsort(keys: Any, axis: int = -1) -> Tensor:
    """The positions that sort by the last of several keys, ties by the key before it, and so on. A constant."""
    if isinstance(keys, (tuple, list)):
        arrays = [to_tensor(key)._array for key in keys]
        array = backend_of(arrays[0]).xp.stack(arrays)
    else:
        array = to_tensor(keys)._array
    xp = backend_of(array).xp
    if xp is np:
        return Tensor(np.asarray(np.lexsort(array, axis=axis)))
    # CuPy's lexsort takes matrices of keys only: one stable sort per key instead.
    order = xp.argsort(array[0], axis=axis, kind="stable")
    for key in array[1:]:
        inner = xp.argsort(xp.take_along_axis(key, order, axis=axis), axis=axis, kind="stable")
        order = xp.take_along_axis(order, inner, axis=axis)
    return Tensor(order)


@composed
def unique(
    x: Any,
    return_index: bool = False,
    return_inverse: bool = False,
    return_counts: bool = False,
    axis: int | None = None,
    *,
    equal_nan: bool = True,
) -> Any:
    """The distinct values in ascending order, and optionally the first position of each, the number of the distinct
    value for each element, and the count of each. The gradient of a value flows to its first position. Synchronises
    with the device."""
    x = to_tensor(x)
    backend, wants_index = backend_of(x._array), return_index or x.requires_grad
    y = backend.xp.unique(x._array, wants_index, return_inverse, return_counts, axis, equal_nan=equal_nan)
    backend.check()
    if not x.requires_grad:
        return tuple(map(Tensor, y)) if isinstance(y, tuple) else Tensor(y)
    _, index, *rest = y
    values = take(ravel(x) if axis is None else x, index, axis=0 if axis is None else axis)
    y = (values, *([Tensor(index)] if return_index else []), *map(Tensor, rest))
    return y if len(y) > 1 else values
