"""Picking values out, and its adjoint, putting them back: each is the other's rule."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ...backend import BY_ARRAY_TYPE, Backend, backend_of, default_backend, is_array
from ...engine.gradient_pool import IndexedSlice
from ...engine.primitive import call_in, composed, primitive
from ...engine.tensor import Tensor
from ..arrays.shape import broadcast_arrays, ndim, ravel, reshape, shape as shape_of
from ..elementwise.arithmetic import clip, where
from ..elementwise.nondifferentiable import less

Array = Any
__all__ = ["choose", "compress", "extract", "getitem", "take", "take_along_axis"]

BASIC = frozenset((int, bool, slice, type(None), type(...)))
"""An index of these alone picks every element at most once."""
FEW = 1024
"""Elements that `add.at` adds faster than their places are counted out for it."""
BLOCK = 1 << 14
"""Elements that are added at their places at once: the places take eight bytes each."""


def is_basic(index: Any) -> bool:
    """Whether an index picks every element at most once: numbers, slices, None and Ellipsis only."""
    if type(index) is tuple:
        return all(map(BASIC.__contains__, map(type, index)))
    return type(index) in BASIC


def is_unique(index: Any) -> bool:
    """Whether an index surely picks no element twice: a basic one, or one whose arrays are masks."""
    parts = index if type(index) is tuple else (index,)
    return all(type(part) in BASIC or (is_array(part) and part.dtype == bool) for part in parts)


def backend_at(x: Any) -> Backend:
    """Where `x` lives, or where a new tensor would."""
    array = x._data if isinstance(x, Tensor) else x
    return backend_of(array) if is_array(array) else default_backend()


def settled(x: Any, index: Any) -> Any:
    """An index as the rule may keep it: the user may write into his own array before the walk comes."""
    if type(index) is tuple:
        return tuple(part if type(part) in BASIC else constant_part(x, part) for part in index)
    return index if type(index) in BASIC else constant_part(x, index)


def constant_part(x: Any, part: Any) -> Any:
    """One part of an index to `x`: an array of our own of a tensor, array or list, an int of NumPy's integer."""
    if isinstance(part, Tensor):
        part = part._data
    if is_array(part):
        return part.copy()
    if isinstance(part, (list, tuple)):
        part = np.asarray([p.numpy() if isinstance(p, Tensor) else p for p in part])
        return backend_at(x).from_numpy(part if part.size else part.astype(np.intp))
    if isinstance(part, np.bool_):
        return bool(part)
    return int(part) if isinstance(part, np.integer) else part


@primitive
def _getitem(xp: Any, x: Array, index: Any) -> Any:
    shape = x.shape
    if type(index) in BY_ARRAY_TYPE and index.dtype != bool and shape:
        return x.take(index, axis=0), (), (lambda xp, g: call_in(xp, _sum_rows, g, index, n=shape[0]), None)
    if is_basic(index):
        return x[index], (), (lambda xp, g: _placed(xp, g, index, shape), None)
    return x[index], (), (lambda xp, g: call_in(xp, _put, g, index=index, shape=shape), None)


def _placed(xp: Any, g: Array, index: Any, shape: tuple[int, ...]) -> Any:
    """The adjoint of a basic index: recorded, zeros with `g` in their place; else what the pool puts there itself."""
    return _put(g, index=index, shape=shape) if isinstance(g, Tensor) else IndexedSlice(xp, g, index, shape)


@primitive
def _put(xp: Any, g: Array, index: Any, shape: Any) -> Any:
    """`g` put at `index` into zeros of `shape`; added up where the index names a place more than once."""
    if is_unique(index):
        y = xp.zeros(shape, dtype=g.dtype)
        y[index] = g
    else:
        y = put_repeated(xp, g, index, shape)
    return y, (), lambda xp, g: g[index]


def put_repeated(xp: Any, g: Array, index: Any, shape: tuple[int, ...]) -> Array:
    """`g` added up at the places of an index that may name them more than once, in zeros of `shape`."""
    if xp is np and g.size < FEW:
        y = np.zeros(shape, g.dtype)
        np.add.at(y, index, g)
        return y
    parts = index if type(index) is tuple else (index,)
    lead = len(parts)
    if lead <= len(shape) and all(type(p) is int or (is_array(p) and p.dtype != bool) for p in parts):
        rows = row_numbers(xp, parts, shape[:lead])
        summed = added_rows(xp, g.reshape((rows.size, *shape[lead:])), rows.reshape(-1), math.prod(shape[:lead]))
    else:
        summed = added_rows(xp, g.reshape(-1), flat_places(xp, index, shape), math.prod(shape))
    return summed.reshape(shape)


def row_numbers(xp: Any, parts: Any, shape: tuple[int, ...]) -> Array:
    """Which row each of some integer arrays together names, where the leading axes of `shape` are one."""
    rows: Any = 0
    for part, n in zip(parts, shape):
        part = part % n if type(part) is int else xp.where(part < 0, part + n, part)
        rows = rows * n + part
    return rows


def flat_places(xp: Any, index: Any, shape: tuple[int, ...]) -> Array:
    """The places in row-major order that an index of any kind picks, as one axis."""
    return xp.arange(math.prod(shape)).reshape(shape)[index].reshape(-1)


def added_rows(xp: Any, rows: Array, ids: Array, n: int) -> Array:
    """(n, …): row k is the sum of those of `rows` (m, …) whose id is k, always in the same order.

    A device would scatter additions in any order: there they are sorted and summed in segments. On the host adding at
    places is in order, and fast where the places are numbers of single elements; long rows are added one by one.
    """
    m, width = ids.shape[0], rows.shape[1:]
    y = xp.zeros((n, *width), dtype=rows.dtype)
    if not m or not rows.size:
        return y
    if xp is np:
        length = math.prod(width)
        if not width or rows.size < FEW:
            np.add.at(y, ids, rows)
        elif length < 1024:
            flat, columns, step = y.reshape(-1), np.arange(length), max(BLOCK // length, 1)
            for k in range(0, m, step):
                places = ids[k : k + step, None] * length + columns
                np.add.at(flat, places.reshape(-1), rows[k : k + step].reshape(-1))
        else:
            for k, row in zip(ids.tolist(), rows):
                y[k] += row
        return y
    order = xp.argsort(ids, kind="stable")
    starts = xp.searchsorted(ids[order], xp.arange(n + 1))
    # A segment of length zero repeats its neighbour's first row: give the last one a row to find, then mask them.
    padded = xp.concatenate([rows[order], xp.zeros((1, *width), dtype=rows.dtype)])
    filled = (starts[1:] > starts[:-1]).reshape((-1,) + (1,) * len(width))
    return xp.where(filled, xp.add.reduceat(padded, starts[:-1], axis=0), y)


def getitem(x: Any, index: Any) -> Tensor:
    """`x[index]`: basic, integer-array or boolean indexing, as NumPy's. Tensors in the index are constants."""
    if is_basic(index):
        return _getitem(x, index)
    return _getitem(x, index=settled(x, index))


@primitive
def _take(xp: Any, x: Array, ids: Array, axis: int = 0) -> Any:
    """The parts of `x` along `axis` with these numbers."""
    n = x.shape[axis]
    return x.take(ids, axis=axis), (), (lambda xp, g: call_in(xp, _sum_rows, g, ids, n=n, axis=axis), None)


@primitive
def _sum_rows(xp: Any, g: Array, ids: Array, n: int, axis: int = 0) -> Any:
    """Part k along `axis` of the result is the sum of the parts of `g` whose id is k. Of `g` the axes of `ids` are
    those from `axis` on."""
    if axis or xp is not np or g.size >= FEW:
        axes = tuple(range(axis, axis + ids.ndim))
        front = xp.moveaxis(g, axes, tuple(range(ids.ndim))) if axis else g
        flat = ids.reshape(-1)
        rows = front.reshape((flat.shape[0], *front.shape[ids.ndim :]))
        y = added_rows(xp, rows, xp.where(flat < 0, flat + n, flat), n)
        y = xp.moveaxis(y, 0, axis) if axis else y
    else:
        y = np.zeros((n, *g.shape[ids.ndim :]), g.dtype)
        np.add.at(y, ids, g)
    return y, (ids,), (lambda xp, g, ids: xp.take(g, ids, axis=axis), None)


def take(x: Any, indices: Any, axis: int | None = None, mode: str = "raise") -> Tensor:
    """The elements of `x` at integer positions along `axis` (of the flattened `x` where there is none).

    `mode` says what becomes of a position that is none: an error ("raise"; a device does not look), the next one round
    the circle ("wrap"), or the nearest ("clip", which knows no negative positions either).
    """
    axes = ndim(x)
    if axes != 1 and axis is None:
        x, axes = ravel(x), 1
    if not axes:  # a number has an axis 0 to NumPy
        x, axes = reshape(x, (1,)), 1
    axis = 0 if axis is None else axis
    if not -axes <= axis < axes:
        raise np.exceptions.AxisError(axis, axes, "take: axis")
    axis = int(axis) % axes
    indices = _numbers(x, indices)
    if mode != "raise":
        indices = _within_bounds("take", indices, shape_of(x)[axis], mode)
    return _take(x, ids=indices, axis=axis) if axis else _take(x, ids=indices)


def _numbers(x: Any, indices: Any) -> Array:
    """An array of our own of positions in `x`."""
    return constant_part(x, indices if isinstance(indices, (Tensor, list, tuple)) else _array(x, indices))


def _array(x: Any, indices: Any) -> Array:
    return indices if is_array(indices) else backend_at(x).from_numpy(np.asarray(indices))


def _within_bounds(name: str, indices: Array, n: int, mode: str) -> Array:
    if mode not in ("wrap", "clip"):
        raise ValueError(f"{name}: mode: got {mode!r}, want 'raise', 'wrap' or 'clip'")
    return indices % n if mode == "wrap" else clip(indices, 0, n - 1)._data


def take_along_axis(x: Any, indices: Any, axis: int | None = -1) -> Tensor:
    """One element of `x` per element of `indices`, matched along all axes but `axis` (as NumPy's)."""
    if axis is None:
        x, axis = ravel(x), 0
    return _take_along_axis(x, indices=_numbers(x, indices), axis=axis)


@primitive
def _take_along_axis(xp: Any, x: Array, indices: Array, axis: int) -> Any:
    shape = x.shape
    return (
        xp.take_along_axis(x, indices, axis=axis),
        (),
        (lambda xp, g: call_in(xp, _add_along_axis, g, indices, axis=axis, shape=shape), None, None),
    )


@primitive
def _add_along_axis(xp: Any, g: Array, indices: Array, axis: int, shape: Any) -> Any:
    """`g` added up in zeros of `shape` where `take_along_axis` with these indices would take."""
    places = along_axis(xp, indices, axis, shape)
    if xp is np and g.size < FEW:
        y = np.zeros(shape, g.dtype)
        np.add.at(y, places, g)
    else:
        rows = xp.broadcast_to(row_numbers(xp, places, shape), g.shape).reshape(-1)
        y = added_rows(xp, g.reshape(-1), rows, math.prod(shape)).reshape(shape)
    return y, (indices,), (lambda xp, g, indices: xp.take_along_axis(g, indices, axis=axis), None)


def along_axis(xp: Any, indices: Array, axis: int, shape: tuple[int, ...]) -> tuple[Array, ...]:
    """The index to an array of `shape` that picks `indices` along `axis`, and along the others place by place."""
    axes = len(shape)
    places = [xp.arange(n).reshape([-1 if k == j else 1 for j in range(axes)]) for k, n in enumerate(shape)]
    places[axis % axes] = indices
    return tuple(places)


@composed
def choose(a: Any, choices: Any, mode: str = "raise") -> Tensor:
    """At each place the element of that one of `choices` whose number `a` names; all broadcast.

    `mode` is that of `take`.
    """
    first, *choices = broadcast_arrays(a, *choices)
    numbers = first._data
    if not choices:
        raise ValueError("choose: choices: got none, want at least one")
    if numbers.dtype.kind not in "iub":
        raise TypeError(f"choose: a: got {numbers.dtype}, want whole numbers")
    if mode != "raise":
        numbers = _within_bounds("choose", numbers, len(choices), mode)
    elif type(numbers) is np.ndarray and numbers.size and not 0 <= numbers.min() <= numbers.max() < len(choices):
        raise ValueError(f"choose: got numbers from {numbers.min()} to {numbers.max()} of {len(choices)} choices")
    chosen: Tensor = choices[0]
    for k, choice in enumerate(choices[1:], 1):
        chosen = where(less(numbers, k), chosen, choice)
    return chosen


@composed
def compress(condition: Any, x: Any, axis: int | None = None) -> Tensor:
    """The parts of `x` along `axis`, or the elements where there is none, at whose place the condition holds.

    A device is waited for: the result's shape depends on values.
    """
    if ndim(condition) != 1:
        raise ValueError(f"compress: condition: got shape {shape_of(condition)}, want a vector")
    return take(x, _holds(x, condition), axis)


@composed
def extract(condition: Any, x: Any) -> Tensor:
    """The elements of `x` where the condition of the same size holds, as one axis. A device is waited for."""
    return take(ravel(x), _holds(x, ravel(condition)), 0)


def _holds(x: Any, condition: Any) -> Array:
    condition = _array(x, condition._data if isinstance(condition, Tensor) else condition)
    return backend_of(condition).xp.nonzero(condition)[0]


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
