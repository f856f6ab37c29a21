"""Indices of nonzero elements, diagonals, triangles and grids, and the joining brackets `r_` and `c_`."""

from __future__ import annotations

from typing import Any

import numpy as np

from ...backend import backend_of, default_backend, is_array, nonzero as nonzero_of
from ...engine.primitive import COMPOSED, nondifferentiable
from ...engine.tensor import Tensor
from ..arrays.conversion import to_array, to_tensor
from ..arrays.creation import array
from ..arrays.joining import concatenate
from ..arrays.shape import ndim, reshape, shape, vector_shape
from ..elementwise.arithmetic import astype

__all__ = ["argwhere", "c_", "diag_indices", "diag_indices_from", "flatnonzero", "indices", "ix_", "nonzero", "r_"]
__all__ += ["ravel_multi_index", "tril_indices", "tril_indices_from", "triu_indices", "triu_indices_from"]
__all__ += ["unravel_index"]


def _tensors(arrays: Any) -> tuple[Tensor, ...]:
    return tuple(Tensor(to_array(a)) for a in arrays)


@nondifferentiable
def nonzero(x: Any) -> tuple[Tensor, ...]:
    """The indices of all elements that are not zero, one vector per axis. Synchronises with the device."""
    return _tensors(nonzero_of(to_array(x)))


@nondifferentiable
def argwhere(x: Any) -> Tensor:
    """The indices of all elements that are not zero, one row for each. Synchronises with the device."""
    x = to_array(x)
    y = Tensor(backend_of(x).xp.argwhere(x))
    backend_of(x).check()
    return y


@nondifferentiable
def flatnonzero(x: Any) -> Tensor:
    """The positions in row-major order of all elements that are not zero. Synchronises with the device."""
    return nonzero(to_array(x).reshape(-1))[0]


@nondifferentiable
def indices(dimensions: Any, dtype: Any = int, sparse: bool = False) -> Any:
    """For each axis of a shape the index along it at every element, stacked; `sparse` gives a tuple that broadcasts."""
    xp, n = default_backend().xp, len(dimensions)
    grids = [xp.arange(d, dtype=dtype).reshape(vector_shape(axis, n)) for axis, d in enumerate(dimensions)]
    if sparse:
        return _tensors(grids)
    full = [xp.broadcast_to(grid, tuple(dimensions)) for grid in grids]
    return Tensor(xp.stack(full) if full else xp.zeros((0,), dtype=dtype))


@nondifferentiable
def ix_(*args: Any) -> tuple[Tensor, ...]:
    """The index of all combinations of several vectors of positions or masks. Masks synchronise with the device."""
    vectors = []
    for k, arg in enumerate(args):
        a = to_array(arg)
        if a.ndim != 1:
            raise ValueError(f"ix_: argument {k}: got shape {tuple(a.shape)}, want one axis")
        if a.dtype == bool:
            a = nonzero_of(a)[0]
        elif not a.shape[0]:
            a = a.astype(np.intp)
        vectors.append(a.reshape(vector_shape(k, len(args))))
    return _tensors(vectors)


@nondifferentiable
def diag_indices(n: int, ndim: int = 2) -> tuple[Tensor, ...]:
    """The index of the main diagonal of an array with `ndim` axes of length n."""
    return _tensors([default_backend().xp.arange(n)] * ndim)


@nondifferentiable
def diag_indices_from(x: Any) -> tuple[Tensor, ...]:
    """The index of the main diagonal of an array like `x`, with at least two axes, all of one length."""
    if ndim(x) < 2 or len(set(shape(x))) > 1:
        raise ValueError(f"diag_indices_from: got shape {shape(x)}, want at least two axes, all of one length")
    return diag_indices(shape(x)[0], ndim(x))


# Triangles are made on the host, since their element count would synchronise with a device.
@nondifferentiable
def tril_indices(n: int, k: int = 0, m: int | None = None) -> tuple[Tensor, ...]:
    """The index of the lower triangle of an (n, m) matrix, up to the `k`-th diagonal above the main one."""
    return _tensors(map(default_backend().from_numpy, np.tril_indices(n, k, m)))


@nondifferentiable
def triu_indices(n: int, k: int = 0, m: int | None = None) -> tuple[Tensor, ...]:
    """The index of the upper triangle of an (n, m) matrix, from the `k`-th diagonal above the main one."""
    return _tensors(map(default_backend().from_numpy, np.triu_indices(n, k, m)))


@nondifferentiable
def tril_indices_from(x: Any, k: int = 0) -> tuple[Tensor, ...]:
    """The index of the lower triangle of a matrix like `x`."""
    n, m = _matrix_shape(x)
    return tril_indices(n, k, m)


@nondifferentiable
def triu_indices_from(x: Any, k: int = 0) -> tuple[Tensor, ...]:
    """The index of the upper triangle of a matrix like `x`."""
    n, m = _matrix_shape(x)
    return triu_indices(n, k, m)


def _matrix_shape(x: Any) -> tuple[int, ...]:
    if ndim(x) != 2:
        raise ValueError(f"x: got shape {shape(x)}, want a matrix")
    return shape(x)


@nondifferentiable
def unravel_index(indices: Any, shape: Any) -> tuple[Tensor, ...]:
    """Convert positions in row-major order to indices, one array for each axis of a shape."""
    a = to_array(indices)
    return _tensors(backend_of(a).xp.unravel_index(a, shape))


@nondifferentiable
def ravel_multi_index(multi_index: Any, dims: Any) -> Tensor:
    """Convert indices, one array for each axis of a shape, to positions in row-major order."""
    positions: Any = 0
    for index, n in zip(multi_index, dims):
        positions = positions * n + to_array(index)
    return Tensor(positions)


class _Brackets:
    """An object whose `[...]` joins its items; `directive` is the default directive of NumPy's kind.

    A directive "axis,ndmin,start" joins along `axis`, after padding each part with axes of length 1 to `ndmin` axes;
    its own axes begin at position `start`. Numbers and ranges take the dtype of the arrays in the brackets.
    """

    def __init__(self, name: str, directive: str, doc: str) -> None:
        self.__name__, self.__doc__ = name, doc
        self.directive = directive

    def __getitem__(self, key: Any) -> Tensor:
        items = key if isinstance(key, tuple) else (key,)
        directive = self.directive
        if items and isinstance(items[0], str):
            directive, items = items[0], items[1:]
        axis, ndmin, start = self._parse(directive)
        parts = [self._part(item) for item in items]
        if not parts:
            raise ValueError(f"{self.__name__}[...]: got nothing to join, want at least one array, number or range")
        backend = next((backend_of(p._array) for p in parts if isinstance(p, Tensor)), default_backend())
        dtype = np.result_type(*(_dtype_of(item, part) for item, part in zip(items, parts)))
        tensors = []
        for part in parts:
            if not isinstance(part, Tensor):
                part = Tensor(backend.from_numpy(np.asarray(part, dtype)))
            elif part.dtype != dtype:
                part = astype(part, dtype=dtype)
            if missing := max(ndmin - part.ndim, 0):
                first = start if start >= 0 else start + missing + 1
                part = reshape(part, (1,) * first + part.shape + (1,) * (missing - first))
            tensors.append(part)
        return concatenate(tensors, axis=axis)

    def _parse(self, directive: str) -> tuple[int, int, int]:
        try:
            numbers = [int(number) for number in directive.split(",")]
        except ValueError:
            numbers = []
        if not 1 <= len(numbers) <= 3:
            raise ValueError(f"{self.__name__}[...]: got {directive!r}, want a directive such as '-1' or '0,2,-1'")
        axis, ndmin, start = (*numbers, *(0, 1, -1)[len(numbers) :])
        return axis, ndmin, start

    def _part(self, item: Any) -> Any:
        """A tensor, or a number or host array without a backend of its own."""
        if isinstance(item, str):
            raise ValueError(f"{self.__name__}[...]: got {item!r} after the first item, want directives only first")
        if isinstance(item, slice):
            start, step = item.start or 0, 1 if item.step is None else item.step
            if isinstance(step, complex):
                return np.linspace(start, item.stop, int(abs(step)))
            return np.arange(start, item.stop, step)
        if isinstance(item, (Tensor, list, tuple)):
            return array(item) if _has_tensors(item) else np.asarray(item)
        return to_tensor(item) if is_array(item) else item


def _has_tensors(item: Any) -> bool:
    return isinstance(item, Tensor) or (isinstance(item, (list, tuple)) and any(map(_has_tensors, item)))


def _dtype_of(item: Any, part: Any) -> Any:
    """An array's dtype, or a Python number, which is weak, also for lists and ranges."""
    if isinstance(item, (list, tuple, slice)) and not isinstance(part, Tensor):
        return part.dtype.type(0).item()
    return part.dtype if hasattr(part, "dtype") else part


r_: Any = _Brackets(
    "r_",
    "0,1,-1",
    "Join arrays, numbers and ranges along the first axis: `r_[a, 1.0, 0:3]`; `r_['-1,2,0', a, b]` by a directive.",
)
c_: Any = _Brackets("c_", "-1,2,0", "Join arrays along the last axis, vectors as columns: `c_[a, b]`.")
COMPOSED.update({brackets.__name__: brackets for brackets in (r_, c_)})
