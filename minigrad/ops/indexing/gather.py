"""Gather elements at indices, and the adjoint of that, which adds gradients up at the indices."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ...backend import BY_ARRAY_TYPE, backend_of, is_array, nonzero
from ...engine.gradient_pool import IndexedSlice
from ...engine.primitive import call_in, composed, primitive
from ...engine.summation import half_to_single
from ...engine.tensor import Tensor
from ...foreign_arrays import import_array, is_foreign
from ...validation import check_choice
from ..arrays.conversion import backend_at, to_array
from ..arrays.shape import broadcast_arrays, ndim, ravel, reshape, shape as shape_of, vector_shape
from ..elementwise.arithmetic import clip, where
from ..elementwise.nondifferentiable import less

Array = Any
__all__ = ["choose", "compress", "extract", "getitem", "take", "take_along_axis"]

BASIC = frozenset((int, bool, slice, type(None), type(...)))
"""An index made of these types only picks every element at most once."""
FEW = 1024
"""Up to this many elements `np.add.at` with the index itself is faster than computing flat positions first."""
MANY = 4096
"""Rows of float32 with one id above which all are added up in float64."""
BLOCK = 1 << 14
"""Elements that are added at once: their flat positions take eight bytes each."""


def is_basic(index: Any) -> bool:
    """Whether an index consists of integers, slices, None and Ellipsis only."""
    if type(index) is tuple:
        return BASIC.issuperset(map(type, index))
    return type(index) in BASIC


def is_unique(index: Any) -> bool:
    """Whether an index certainly picks no element twice: a basic index, or one whose arrays are masks."""
    parts = index if type(index) is tuple else (index,)
    return all(type(part) in BASIC or (is_array(part) and part.dtype == bool) for part in parts)


def constant_index(x: Any, index: Any) -> Any:
    """An index to `x` with copies of its arrays, which the user may write into before the backward pass."""
    if type(index) is tuple:
        return tuple(part if type(part) in BASIC else _constant_part(x, part) for part in index)
    return index if type(index) in BASIC else _constant_part(x, index)


def _constant_part(x: Any, part: Any) -> Any:
    """One part of an index to `x`: tensors, arrays and lists become new arrays, NumPy's scalars Python's."""
    if isinstance(part, Tensor):
        part = part._array
    if is_array(part):
        return part.copy()
    if is_foreign(part):
        return backend_at(x).from_numpy(import_array("getitem", "index", part).copy())
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
        return x.take(index, axis=0), (), (lambda xp, g: call_in(xp, sum_rows, g, index, n=shape[0]), None)
    if not is_basic(index):
        y = x[index]
        if xp is not np:
            backend_of(x).check()  # a mask was waited for
        return y, (), (lambda xp, g: call_in(xp, put, g, index=index, shape=shape), None)

    def by_x(xp: Any, g: Array) -> Any:  # of arrays: the gradient pool adds the slice itself
        return put(g, index=index, shape=shape) if isinstance(g, Tensor) else IndexedSlice(xp, g, index, shape)

    return x[index], (), (by_x, None)


@primitive
def put(xp: Any, g: Array, index: Any, shape: Any) -> Any:
    """Zeros of `shape` with `g` at `index`, added up where the index names an element more than once."""
    if is_unique(index):
        y = xp.zeros(shape, dtype=g.dtype)
        y[index] = g
        if xp is not np:
            backend_of(g).check()
    else:
        y = put_repeated(xp, g, index, shape)
    return y, (), lambda xp, g: g[index]


def put_repeated(xp: Any, g: Array, index: Any, shape: tuple[int, ...]) -> Array:
    """Zeros of `shape` with `g` added up at an index that may name an element more than once."""
    if xp is np and g.size < FEW:
        return _add_at(shape, index, g)
    parts = index if type(index) is tuple else (index,)
    lead = len(parts)
    if lead <= len(shape) and all(type(p) is int or (is_array(p) and p.dtype != bool) for p in parts):
        rows = _row_numbers(xp, parts, shape[:lead])
        y = add_rows(xp, g.reshape((rows.size, *shape[lead:])), rows.reshape(-1), math.prod(shape[:lead]))
    else:
        y = add_rows(xp, g.reshape(-1), flat_positions(xp, index, shape), math.prod(shape))
    return y.reshape(shape)


def _add_at(shape: tuple[int, ...], index: Any, g: Array) -> Array:
    wide = half_to_single(g)
    y = np.zeros(shape, wide.dtype)
    np.add.at(y, index, wide)
    return y if wide is g else y.astype(g.dtype)


def _row_numbers(xp: Any, parts: Any, shape: tuple[int, ...]) -> Array:
    """The flat positions in `shape` that integer arrays, one for each axis, name together."""
    rows: Any = 0
    for part, n in zip(parts, shape):
        part = part % n if type(part) is int else xp.where(part < 0, part + n, part)
        rows = rows * n + part
    return rows


def flat_positions(xp: Any, index: Any, shape: tuple[int, ...]) -> Array:
    """The positions in row-major order that an index of any kind picks, along one axis."""
    return xp.arange(math.prod(shape)).reshape(shape)[index].reshape(-1)


def add_rows(xp: Any, rows: Array, ids: Array, n: int) -> Array:
    """(n, …): row k is the sum of those of `rows` (m, …) whose id is k, always in the same order.

    A device would add in any order, so there the rows are sorted by id and summed in segments. On the host `np.add.at`
    adds in order and is fast for flat positions of single elements; long rows are added one by one. float16 is added
    up in float32, many rows of float32 in float64.
    """
    m, width, dtype = ids.shape[0], rows.shape[1:], rows.dtype
    if dtype.char == "e":
        return add_rows(xp, rows.astype(np.float32), ids, n).astype(dtype)
    if xp is np and m > MANY and dtype.char == "f" and np.bincount(ids).max() > MANY:
        rows = rows.astype(np.float64)
        if n <= m:
            return add_rows(xp, rows, ids, n).astype(dtype)
        y = np.zeros((n, *width), dtype)
        present, ids = np.unique(ids, return_inverse=True)  # so that no large table is widened for a few rows
        y[present] = add_rows(xp, rows, ids, len(present))
        return y
    y = xp.zeros((n, *width), dtype=dtype)
    if not m or not rows.size:
        return y
    if xp is np:
        length = math.prod(width)
        if not width or rows.size < FEW:
            np.add.at(y, ids, rows)
        elif length < 1024:
            flat, columns, step = y.reshape(-1), np.arange(length), max(BLOCK // length, 1)
            for k in range(0, m, step):
                positions = ids[k : k + step, None] * length + columns
                np.add.at(flat, positions.reshape(-1), rows[k : k + step].reshape(-1))
        else:
            for k, row in zip(ids.tolist(), rows):
                y[k] += row
        return y
    order = xp.argsort(ids, kind="stable")
    starts = xp.searchsorted(ids[order], xp.arange(n + 1))
    # An empty segment gets its neighbour's first row from `reduceat`, which is masked afterwards. The row of zeros at
    # the end is for empty segments behind the last row.
    padded = xp.concatenate([rows[order], xp.zeros((1, *width), dtype=rows.dtype)])
    nonempty = (starts[1:] > starts[:-1]).reshape((-1,) + (1,) * len(width))
    return xp.where(nonempty, xp.add.reduceat(padded, starts[:-1], axis=0), y)


def getitem(x: Any, index: Any) -> Tensor:
    """`x[index]`: NumPy's basic, integer-array or boolean indexing. Tensors in the index are constants."""
    if is_basic(index):
        return _getitem(x, index)
    return _getitem(x, index=constant_index(x, index))


@primitive
def _take(xp: Any, x: Array, ids: Array, axis: int = 0) -> Any:
    """The parts of `x` along `axis` whose positions are `ids`."""
    n = x.shape[axis]
    return x.take(ids, axis=axis), (), (lambda xp, g: call_in(xp, sum_rows, g, ids, n=n, axis=axis), None)


@primitive
def sum_rows(xp: Any, g: Array, ids: Array, n: int, axis: int = 0) -> Any:
    """The adjoint of `take`: part k along `axis` is the sum of the parts of `g` whose id is k.

    The axes of `ids` are those of `g` from `axis` on.
    """
    if axis or xp is not np or g.size >= FEW:
        axes = tuple(range(axis, axis + ids.ndim))
        front = xp.moveaxis(g, axes, tuple(range(ids.ndim))) if axis else g
        flat = ids.reshape(-1)
        rows = front.reshape((flat.shape[0], *front.shape[ids.ndim :]))
        y = add_rows(xp, rows, xp.where(flat < 0, flat + n, flat), n)
        y = xp.moveaxis(y, 0, axis) if axis else y
    else:
        y = _add_at((n, *g.shape[ids.ndim :]), ids, g)
    return y, (ids,), (lambda xp, g, ids: xp.take(g, ids, axis=axis), None)


def take(x: Any, indices: Any, axis: int | None = None, mode: str = "raise") -> Tensor:
    """The elements of `x` at integer positions along `axis`, or of the flattened `x`.

    `mode` says what to do with a position out of bounds: raise an error ("raise"; not checked on a device), wrap around
    ("wrap"), or take the nearest position ("clip", for which negative positions are out of bounds as well).
    """
    axes = ndim(x)
    if axes != 1 and axis is None:
        x, axes = ravel(x), 1
    if not axes:  # NumPy gives a number an axis 0
        x, axes = reshape(x, (1,)), 1
    axis = 0 if axis is None else axis
    if not -axes <= axis < axes:
        raise np.exceptions.AxisError(axis, axes, "take: axis")
    axis = int(axis) % axes
    ids = _own_array(x, indices)
    if mode != "raise":
        ids = _within_bounds("take", ids, shape_of(x)[axis], mode)
    return _take(x, ids=ids, axis=axis) if axis else _take(x, ids=ids)


def _own_array(x: Any, indices: Any) -> Array:
    """Positions in `x` as a new array."""
    return _constant_part(x, indices if isinstance(indices, (Tensor, list, tuple)) else to_array(indices, x))


def _within_bounds(name: str, indices: Array, n: int, mode: str) -> Array:
    check_choice(name, ("raise", "wrap", "clip"), mode=mode)
    return indices % n if mode == "wrap" else clip(indices, 0, n - 1)._array


def take_along_axis(x: Any, indices: Any, axis: int | None = -1) -> Tensor:
    """For each element of `indices` the element of `x` at that position along `axis`; the other axes are matched."""
    if axis is None:
        x, axis = ravel(x), 0
    return _take_along_axis(x, indices=_own_array(x, indices), axis=axis)


def in_order(x: Any, order: Array, axis: int) -> Tensor:
    """`take_along_axis` for indices that the library made and that name no position twice."""
    return _take_along_axis(x, indices=order, axis=axis, unique=True)


@primitive
def _take_along_axis(xp: Any, x: Array, indices: Array, axis: int, unique: bool = False) -> Any:
    shape = x.shape
    rule = lambda xp, g: call_in(xp, add_along_axis, g, indices, axis=axis, shape=shape, unique=unique)  # noqa: E731
    return xp.take_along_axis(x, indices, axis=axis), (), (rule, None, None)


@primitive
def add_along_axis(xp: Any, g: Array, indices: Array, axis: int, shape: Any, unique: bool = False) -> Any:
    """The adjoint of `take_along_axis`: `g` added up in zeros of `shape`, or assigned if no position is named twice."""
    index = along_axis(xp, indices, axis, shape)
    if unique:
        y = xp.zeros(shape, dtype=g.dtype)
        y[index] = g
        if xp is not np:
            backend_of(g).check()
    elif xp is np and g.size < FEW:
        y = np.zeros(shape, g.dtype)
        np.add.at(y, index, g)
    else:
        rows = xp.broadcast_to(_row_numbers(xp, index, shape), g.shape).reshape(-1)
        y = add_rows(xp, g.reshape(-1), rows, math.prod(shape)).reshape(shape)
    return y, (indices,), (lambda xp, g, indices: xp.take_along_axis(g, indices, axis=axis), None)


def along_axis(xp: Any, indices: Array, axis: int, shape: tuple[int, ...]) -> tuple[Array, ...]:
    """The index with which `x[index]` is `take_along_axis(x, indices, axis)` for an `x` of this shape."""
    index = [xp.arange(n).reshape(vector_shape(k, len(shape))) for k, n in enumerate(shape)]
    index[axis % len(shape)] = indices
    return tuple(index)


@composed
def choose(a: Any, choices: Any, mode: str = "raise") -> Tensor:
    """For each element of `a` the element of `choices[a]`; all broadcast. `mode` is that of `take`."""
    first, *choices = broadcast_arrays(a, *choices)
    numbers = first._array
    if not choices:
        raise ValueError("choose: choices: got none, want at least one")
    if numbers.dtype.kind not in "iub":
        raise TypeError(f"choose: a: got {numbers.dtype}, want whole numbers")
    if mode != "raise":
        numbers = _within_bounds("choose", numbers, len(choices), mode)
    elif type(numbers) is np.ndarray and numbers.size and not 0 <= numbers.min() <= numbers.max() < len(choices):
        raise ValueError(f"choose: a: got {numbers.min()} to {numbers.max()}, want 0 to {len(choices) - 1}")
    chosen: Tensor = choices[0]
    for k, choice in enumerate(choices[1:], 1):
        chosen = where(less(numbers, k), chosen, choice)
    return chosen


@composed
def compress(condition: Any, x: Any, axis: int | None = None) -> Tensor:
    """The parts of `x` along `axis`, or of the flattened `x`, for which the condition, a vector, is true.

    Synchronises with the device, because the result's shape depends on values.
    """
    if ndim(condition) != 1:
        raise ValueError(f"compress: condition: got shape {shape_of(condition)}, want a vector")
    return take(x, _true_positions(x, condition), axis)


@composed
def extract(condition: Any, x: Any) -> Tensor:
    """The elements of `x` for which the condition, of the same size, is true. Synchronises with the device."""
    return take(ravel(x), _true_positions(x, ravel(condition)), 0)


def _true_positions(x: Any, condition: Any) -> Array:
    return nonzero(to_array(condition, x))[0]


@primitive
def add_at_rows(xp: Any, x: Array, values: Array, columns: Array) -> Any:
    """A copy of the matrix `x` with `values[k]` added to row k at `columns[k]`."""
    y = x.copy()
    rows = xp.arange(x.shape[0])
    y[rows, columns] += values
    rules = (lambda xp, g, rows, columns: g, lambda xp, g, rows, columns: g[rows, columns], None)
    return y, (rows, columns), rules
