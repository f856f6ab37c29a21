"""Index tricks: the indices at which a condition holds, of diagonals, triangles and grids; `r_`, `c_` and `ix_`."""

from __future__ import annotations

from typing import Any

import numpy as np

from ...backend import backend_of, default_backend, is_array
from ...engine.primitive import COMPOSED, nondifferentiable
from ...engine.tensor import Tensor
from ..arrays.creation import array
from ..arrays.joining import concatenate
from ..arrays.shape import ndim, reshape, shape
from ..elementwise.arithmetic import astype

__all__ = [
    "argwhere",
    "c_",
    "diag_indices",
    "diag_indices_from",
    "flatnonzero",
    "indices",
    "ix_",
    "nonzero",
    "r_",
    "ravel_multi_index",
    "tril_indices",
    "tril_indices_from",
    "triu_indices",
    "triu_indices_from",
    "unravel_index",
]


def _array(x: Any) -> Any:
    x = x._data if isinstance(x, Tensor) else x
    return x if is_array(x) else default_backend().from_numpy(np.asarray(x))


def _tensors(arrays: Any) -> tuple[Tensor, ...]:
    return tuple(Tensor(_array(a)) for a in arrays)


@nondifferentiable
def nonzero(x: Any) -> tuple[Tensor, ...]:
    """The places of all elements that are not zero, one vector per axis. A device is waited for."""
    x = _array(x)
    return _tensors(backend_of(x).xp.nonzero(x))


@nondifferentiable
def argwhere(x: Any) -> Tensor:
    """The places of all elements that are not zero, one row each. A device is waited for."""
    x = _array(x)
    return Tensor(backend_of(x).xp.argwhere(x))


@nondifferentiable
def flatnonzero(x: Any) -> Tensor:
    """The places in row-major order of all elements that are not zero. A device is waited for."""
    return nonzero(_array(x).reshape(-1))[0]


@nondifferentiable
def indices(dimensions: Any, dtype: Any = int, sparse: bool = False) -> Any:
    """For each axis of a shape every place's number along it, stacked; `sparse` gives a tuple that broadcasts."""
    xp = default_backend().xp
    n = len(dimensions)
    along = [[-1 if k == j else 1 for k in range(n)] for j in range(n)]
    each = [xp.arange(d, dtype=dtype).reshape(way) for d, way in zip(dimensions, along)]
    if sparse:
        return _tensors(each)
    whole = tuple(dimensions)
    return Tensor(xp.stack([xp.broadcast_to(e, whole) for e in each]) if each else xp.zeros((0,), dtype=dtype))


@nondifferentiable
def ix_(*args: Any) -> tuple[Tensor, ...]:
    """An index to all combinations of several vectors of places, or of masks (for which a device is waited)."""
    made = []
    for k, arg in enumerate(args):
        a = _array(arg)
        if a.ndim != 1:
            raise ValueError(f"ix_: argument {k}: got shape {tuple(a.shape)}, want one axis")
        if a.dtype == bool:
            a = backend_of(a).xp.nonzero(a)[0]
        elif not a.shape[0]:
            a = a.astype(np.intp)
        made.append(a.reshape([-1 if j == k else 1 for j in range(len(args))]))
    return _tensors(made)


@nondifferentiable
def diag_indices(n: int, ndim: int = 2) -> tuple[Tensor, ...]:
    """The index to the main diagonal of an array with `ndim` axes of length n."""
    return _tensors([default_backend().xp.arange(n)] * ndim)


@nondifferentiable
def diag_indices_from(x: Any) -> tuple[Tensor, ...]:
    """The index to the main diagonal of an array like `x`, with at least two axes, all of one length."""
    if ndim(x) < 2 or len(set(shape(x))) > 1:
        raise ValueError(f"diag_indices_from: got shape {shape(x)}, want at least two axes, all of one length")
    return diag_indices(shape(x)[0], ndim(x))


@nondifferentiable
def tril_indices(n: int, k: int = 0, m: int | None = None) -> tuple[Tensor, ...]:
    """The index to the lower triangle of an (n, m) matrix, up to `k` places right of the main diagonal."""
    return _triangle(np.tril_indices(n, k, m))


@nondifferentiable
def triu_indices(n: int, k: int = 0, m: int | None = None) -> tuple[Tensor, ...]:
    """The index to the upper triangle of an (n, m) matrix, from `k` places right of the main diagonal."""
    return _triangle(np.triu_indices(n, k, m))


def _triangle(found: Any) -> tuple[Tensor, ...]:
    return _tensors(map(default_backend().from_numpy, found))  # made on the host: a device would be waited for


@nondifferentiable
def tril_indices_from(x: Any, k: int = 0) -> tuple[Tensor, ...]:
    """The index to the lower triangle of a matrix like `x`."""
    n, m = _of_matrix(x)
    return tril_indices(n, k, m)


@nondifferentiable
def triu_indices_from(x: Any, k: int = 0) -> tuple[Tensor, ...]:
    """The index to the upper triangle of a matrix like `x`."""
    n, m = _of_matrix(x)
    return triu_indices(n, k, m)


def _of_matrix(x: Any) -> tuple[int, ...]:
    if ndim(x) != 2:
        raise ValueError(f"x: got shape {shape(x)}, want a matrix")
    return shape(x)


@nondifferentiable
def unravel_index(indices: Any, shape: Any) -> tuple[Tensor, ...]:
    """Numbers of places in row-major order as one index per axis of a shape."""
    a = _array(indices)
    return _tensors(backend_of(a).xp.unravel_index(a, shape))


@nondifferentiable
def ravel_multi_index(multi_index: Any, dims: Any) -> Tensor:
    """One index per axis of a shape as the number of the place in row-major order."""
    places: Any = 0
    for index, n in zip(multi_index, dims):
        places = places * n + _array(index)
    return Tensor(places)


class _Brackets:
    """What `x[...]` means is a joining of what stands in the brackets; `axes` is NumPy's directive for it.

    A directive "axis,ndmin,at" joins along `axis`, after each part was given axes of length 1 until it has `ndmin`,
    with its own ones beginning at place `at`. Numbers and ranges take the dtype of the arrays beside them.
    """

    def __init__(self, name: str, axes: str, doc: str) -> None:
        self.__name__, self.__doc__ = name, doc
        self.axes = axes

    def __getitem__(self, key: Any) -> Tensor:
        items = key if isinstance(key, tuple) else (key,)
        axes = self.axes
        if items and isinstance(items[0], str):
            axes, items = items[0], items[1:]
        axis, ndmin, at = self._directive(axes)
        parts = [self._part(item) for item in items]
        if not parts:
            raise ValueError(f"{self.__name__}[...]: got nothing to join, want at least one array, number or range")
        backend = next((backend_of(p._data) for p in parts if isinstance(p, Tensor)), default_backend())
        dtype = np.result_type(*(_weight(item, part) for item, part in zip(items, parts)))
        joined = []
        for part in parts:
            if not isinstance(part, Tensor):
                part = Tensor(backend.from_numpy(np.asarray(part, dtype)))
            elif part.dtype != dtype:
                part = astype(part, dtype=dtype)
            if missing := max(ndmin - part.ndim, 0):
                first = at if at >= 0 else at + missing + 1
                part = reshape(part, (1,) * first + part.shape + (1,) * (missing - first))
            joined.append(part)
        return concatenate(joined, axis=axis)

    def _directive(self, axes: str) -> tuple[int, int, int]:
        try:
            numbers = [int(number) for number in axes.split(",")]
        except ValueError:
            numbers = []
        if not 1 <= len(numbers) <= 3:
            raise ValueError(f"{self.__name__}[...]: got {axes!r}, want a directive such as '-1', '0,2' or '0,2,-1'")
        axis, ndmin, at = (*numbers, *(0, 1, -1)[len(numbers) :])
        return axis, ndmin, at

    def _part(self, item: Any) -> Any:
        """A tensor, or a number or host array of no backend yet."""
        if isinstance(item, str):
            raise ValueError(f"{self.__name__}[...]: got {item!r} after the first place, where directives stand")
        if isinstance(item, slice):
            start, step = item.start or 0, 1 if item.step is None else item.step
            if isinstance(step, complex):
                return np.linspace(start, item.stop, int(abs(step)))
            return np.arange(start, item.stop, step)
        if isinstance(item, (Tensor, list, tuple)):
            return array(item) if _holds_tensors(item) else np.asarray(item)
        return Tensor(item) if is_array(item) else item


def _holds_tensors(item: Any) -> bool:
    return isinstance(item, Tensor) or (isinstance(item, (list, tuple)) and any(map(_holds_tensors, item)))


def _weight(item: Any, part: Any) -> Any:
    """What counts in the result's dtype: that of an array; Python numbers are weak, in lists and ranges too."""
    if isinstance(item, (list, tuple, slice)) and not isinstance(part, Tensor):
        return part.dtype.type(0).item()
    return part.dtype if hasattr(part, "dtype") else part


r_: Any = _Brackets(
    "r_",
    "0,1,-1",
    "`r_[a, 1.0, 0:3]`: arrays, numbers and ranges joined along the first axis; `r_['-1,2,0', a, b]` says otherwise.",
)
c_: Any = _Brackets("c_", "-1,2,0", "`c_[a, b]`: arrays joined along the last axis, vectors as columns.")
COMPOSED.update({made.__name__: made for made in (r_, c_)})
