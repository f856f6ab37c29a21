"""Picking values out, and its adjoint, putting them back: each is the other's rule."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..backend import backend_of, default_backend, is_array
from ..primitive import primitive, within
from ..tensor import Tensor
from .shape import reshape, swapaxes

Array = Any
__all__ = ["getitem", "take", "take_along_axis"]


def _is_basic(index: Any) -> bool:
    """Whether an index picks every element at most once: numbers, slices, None and Ellipsis only."""
    parts = index if isinstance(index, tuple) else (index,)
    return all(p is None or p is Ellipsis or isinstance(p, (int, slice)) for p in parts)


@primitive
def _getitem(xp: Any, x: Array, index: Any) -> Any:
    shape = x.shape
    return x[index], (), (lambda xp, g: within(xp, _put, g, index=index, shape=shape), None)


@primitive
def _put(xp: Any, g: Array, index: Any, shape: Any) -> Any:
    """`g` put at `index` into zeros of `shape`; added up where the index names a place more than once."""
    y = xp.zeros(shape, dtype=g.dtype)
    if _is_basic(index):
        y[index] = g
    else:
        xp.add.at(y, index, g)
    return y, (), lambda xp, g: g[index]


def getitem(x: Any, index: Any) -> Tensor:
    """`x[index]`: basic, integer-array or boolean indexing, as NumPy's. Tensors in the index are constants."""
    if isinstance(index, tuple):
        index = tuple(_constant(part) for part in index)
    else:
        index = _constant(index)
    return _getitem(x, index=index)


def _constant(part: Any) -> Any:
    """An index as the rule may keep it: the user may write into his own array before the walk comes."""
    part = part._data if isinstance(part, Tensor) else part
    return part.copy() if is_array(part) else part


@primitive
def _rows_at(xp: Any, W: Array, ids: Array) -> Any:
    n = W.shape[0]
    return (
        xp.take(W, ids, axis=0),
        (ids,),
        (lambda xp, g, ids: within(xp, _sum_rows, g, ids, n=n), None),
    )


@primitive
def _sum_rows(xp: Any, g: Array, ids: Array, n: int) -> Any:
    """Row k of the result is the sum of the rows of `g` whose id is k.

    Sorted and summed in segments: the same order on every run and backend, which scattered additions on a device are
    not.
    """
    width = g.shape[ids.ndim :]
    flat = ids.reshape(-1)
    flat, rows = xp.where(flat < 0, flat + n, flat), g.reshape((flat.shape[0], *width))
    y = xp.zeros((n, *width), dtype=g.dtype)
    if flat.shape[0]:
        order = xp.argsort(flat, kind="stable")
        starts = xp.searchsorted(flat[order], xp.arange(n + 1))
        # A segment of length zero repeats its neighbour's first row: give the last one a row to find, then mask them.
        padded = xp.concatenate([rows[order], xp.zeros((1, *width), dtype=g.dtype)])
        filled = (starts[1:] > starts[:-1]).reshape((-1,) + (1,) * len(width))
        y = xp.where(filled, xp.add.reduceat(padded, starts[:-1], axis=0), y)
    return y, (ids,), (lambda xp, g, ids: xp.take(g, ids, axis=0), None)


def take(x: Any, indices: Any, axis: int | None = None) -> Tensor:
    """The elements of `x` at integer positions along `axis` (of the flattened `x` where there is none)."""
    if axis is None:
        x, axis = reshape(x, (-1,)), 0
    if not -x.ndim <= axis < x.ndim:
        raise ValueError(f"take: axis: got {axis}, want one of the {x.ndim} axes of shape {tuple(x.shape)}")
    axis = axis % x.ndim
    indices = _constant(indices)
    if not is_array(indices):
        indices = (backend_of(x._data) if isinstance(x, Tensor) else default_backend()).from_numpy(np.asarray(indices))
    if axis == 0:
        return _rows_at(x, indices)
    if indices.ndim != 1:
        return getitem(x, (*(slice(None),) * axis, indices))
    return swapaxes(_rows_at(swapaxes(x, 0, axis), indices), 0, axis)


@primitive
def take_along_axis(xp: Any, x: Array, indices: Array, axis: int) -> Any:
    """One element of `x` per element of `indices`, matched along all axes but `axis` (as NumPy's)."""
    shape = x.shape
    return (
        xp.take_along_axis(x, indices, axis=axis),
        (indices,),
        (lambda xp, g, indices: within(xp, _put_along_axis, g, indices, axis=axis, shape=shape), None, None),
    )


@primitive
def _put_along_axis(xp: Any, g: Array, indices: Array, axis: int, shape: Any) -> Any:
    y = xp.zeros(shape, dtype=g.dtype)
    places = [xp.arange(n).reshape([-1 if k == j else 1 for j in range(g.ndim)]) for k, n in enumerate(g.shape)]
    places[axis % g.ndim] = indices
    xp.add.at(y, tuple(places), g)
    return y, (indices,), (lambda xp, g, indices: xp.take_along_axis(g, indices, axis=axis), None)


@primitive
def _add_at_rows(xp: Any, x: Array, values: Array, columns: Array) -> Any:
    """A copy of the matrix `x` with `values[k]` added to row k at `columns[k]`."""
    y = x.copy()
    rows = xp.arange(x.shape[0])
    y[rows, columns] += values
    return (
        y,
        (rows, columns),
        (
            lambda xp, g, rows, columns: g,
            lambda xp, g, rows, columns: g[rows, columns],
            None,
        ),
    )
