"""Order: sorting and what is near it. The order itself is a constant; the values go where it says."""

from __future__ import annotations

from typing import Any

import numpy as np

from ...backend import backend_of
from ...engine.primitive import call_in, composed, nondifferentiable, primitive
from ...engine.tensor import Tensor
from ..arrays.shape import ravel
from ..elementwise.nondifferentiable import _constant
from .reductions import as_tensor

Array = Any
__all__ = [
    "argpartition",
    "digitize",
    "kthvalue",
    "lexsort",
    "partition",
    "searchsorted",
    "sort",
    "topk",
    "unique",
]

argpartition, searchsorted, digitize = _constant("argpartition"), _constant("searchsorted"), _constant("digitize")


def _at(xp: Any, order: Array, axis: int) -> tuple[Array, ...]:
    """The index of the elements that `order` names along `axis`."""
    n = order.ndim
    places = [xp.arange(m).reshape([-1 if k == j else 1 for j in range(n)]) for k, m in enumerate(order.shape)]
    places[axis % n] = order
    return tuple(places)


@primitive
def _in_order(xp: Any, x: Array, order: Array, axis: int) -> Any:
    """The elements that `order` names along `axis`, each at most once."""
    shape = x.shape
    return (
        xp.take_along_axis(x, order, axis=axis),
        (order,),
        (lambda xp, g, order: call_in(xp, _out_of_order, g, order, axis=axis, shape=shape), None),
    )


@primitive
def _out_of_order(xp: Any, g: Array, order: Array, axis: int, shape: Any) -> Any:
    """Zeros of `shape`, with `g` where `order` names the elements: `_in_order`'s adjoint."""
    y = xp.zeros(shape, dtype=g.dtype)
    y[_at(xp, order, axis)] = g
    return y, (order,), (lambda xp, g, order: xp.take_along_axis(g, order, axis=axis), None)


def gathered(x: Tensor, order: Array, axis: int) -> Tensor:
    """The elements of `x` at the places in `order` along `axis`, no place named twice; on the tape."""
    return _in_order(x, order, axis=axis)


@primitive
def _sort(xp: Any, x: Array, axis: int, kind: str | None) -> Any:
    shape = x.shape

    def by_x(xp: Any, g: Array, x: Array) -> Array:
        return call_in(xp, _out_of_order, g, xp.argsort(x, axis=axis, kind=kind), axis=axis, shape=shape)

    return xp.sort(x, axis=axis), (x,), by_x


@composed
def sort(x: Any, axis: int | None = -1, kind: str | None = None, *, stable: bool | None = None) -> Tensor:
    """The values in rising order along `axis`, or all in one row; NaN last.

    Each gets the gradient of the place that it comes to. With `stable`, or the kind "stable", equal ones keep their
    order; without, which of them is first is not said. Other kinds change nothing.
    """
    x, kind = as_tensor(x), "stable" if stable or kind in ("stable", "mergesort") else None
    return _sort(ravel(x), axis=0, kind=kind) if axis is None else _sort(x, axis=axis, kind=kind)


@composed
def partition(x: Any, kth: Any, axis: int | None = -1) -> Tensor:
    """The values along `axis`, that of rank `kth` (or several) in its place, all before it no larger, all behind it
    no smaller."""
    x = as_tensor(x)
    x, axis = (ravel(x), 0) if axis is None else (x, axis)
    return gathered(x, argpartition(x, kth, axis=axis)._data, axis)


@composed
def topk(input: Any, k: int, dim: int = -1, largest: bool = True, sorted: bool = True) -> tuple[Tensor, Tensor]:
    """The `k` largest (or smallest) values along `dim` and their places, as `torch.topk`; the places are constants.

    The largest comes first, whether it was asked for or not; a NaN counts as larger than everything.
    """
    x = as_tensor(input)
    xp, array = backend_of(x._data).xp, x._data
    n = array.shape[dim]
    if not 0 <= k <= n:
        raise ValueError(f"topk: k: got {k}, want 0 to {n}, the length of axis {dim}")
    part: list[Any] = [slice(None)] * array.ndim
    if 0 < k < n:
        part[dim] = slice(n - k, n) if largest else slice(0, k)
        some = xp.argpartition(array, n - k if largest else k - 1, axis=dim)[tuple(part)]
        order = xp.argsort(xp.take_along_axis(array, some, axis=dim), axis=dim)
        order = xp.take_along_axis(some, order, axis=dim)
    else:
        part[dim] = slice(0, k)
        order = xp.argsort(array, axis=dim)[tuple(part)]
    order = xp.flip(order, axis=dim) if largest else order
    return gathered(x, order, dim), Tensor(order)


@composed
def kthvalue(input: Any, k: int, dim: int = -1, keepdim: bool = False) -> tuple[Tensor, Tensor]:
    """The `k`-th smallest value along `dim`, counted from 1, and its place, as `torch.kthvalue`."""
    x = as_tensor(input)
    xp, array = backend_of(x._data).xp, x._data
    n = array.shape[dim]
    if not 1 <= k <= n:
        raise ValueError(f"kthvalue: k: got {k}, want 1 to {n}, the length of axis {dim}")
    one: list[Any] = [slice(None)] * array.ndim
    one[dim] = slice(k - 1, k)
    place = xp.argpartition(array, k - 1, axis=dim)[tuple(one)]
    value = gathered(x, place, dim)
    return (value, Tensor(place)) if keepdim else (value.squeeze(dim), Tensor(xp.squeeze(place, axis=dim)))


@nondifferentiable
def lexsort(keys: Any, axis: int = -1) -> Tensor:
    """The order of a sort by the last of several keys, equal ones by the one before it, and so on. A constant."""
    if isinstance(keys, (tuple, list)):
        arrays = [as_tensor(key)._data for key in keys]
        array = backend_of(arrays[0]).xp.stack(arrays)
    else:
        array = as_tensor(keys)._data
    xp = backend_of(array).xp
    if xp is np:
        return Tensor(np.asarray(np.lexsort(array, axis=axis)))
    # A device sorts matrices of keys only, so here it is one stable sort per key.
    order = xp.argsort(array[0], axis=axis, kind="stable")
    for key in array[1:]:
        inner = xp.argsort(xp.take_along_axis(key, order, axis=axis), axis=axis, kind="stable")
        order = xp.take_along_axis(order, inner, axis=axis)
    return Tensor(order)


@nondifferentiable
def unique(
    x: Any,
    return_index: bool = False,
    return_inverse: bool = False,
    return_counts: bool = False,
    axis: int | None = None,
    *,
    equal_nan: bool = True,
) -> Any:
    """The different values in rising order, and on request where each stands first, which one each element is, and how
    often each comes. Constants; the host waits for the device."""
    array = as_tensor(x)._data
    found = backend_of(array).xp.unique(array, return_index, return_inverse, return_counts, axis, equal_nan=equal_nan)
    return tuple(map(Tensor, found)) if isinstance(found, tuple) else Tensor(found)
