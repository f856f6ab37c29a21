"""Indices to places of an array: where a condition holds, diagonals, triangles, grids. Constants, all of them."""

from __future__ import annotations

from typing import Any

import numpy as np

from .. import backend as seam
from ..tensor import Tensor
from .shape import ndim, shape

__all__ = [
    "argwhere",
    "diag_indices",
    "diag_indices_from",
    "flatnonzero",
    "indices",
    "ix_",
    "nonzero",
    "ravel_multi_index",
    "tril_indices",
    "tril_indices_from",
    "triu_indices",
    "triu_indices_from",
    "unravel_index",
]


def _array(x: Any) -> Any:
    x = x._data if isinstance(x, Tensor) else x
    return x if seam.is_array(x) else seam.default_backend().from_numpy(np.asarray(x))


def _tensors(arrays: Any) -> tuple[Tensor, ...]:
    return tuple(Tensor(_array(a)) for a in arrays)


def nonzero(x: Any) -> tuple[Tensor, ...]:
    """The places of all elements that are not zero, one vector per axis. A device is waited for."""
    x = _array(x)
    return _tensors(seam.backend_of(x).xp.nonzero(x))


def argwhere(x: Any) -> Tensor:
    """The places of all elements that are not zero, one row each. A device is waited for."""
    x = _array(x)
    return Tensor(seam.backend_of(x).xp.argwhere(x))


def flatnonzero(x: Any) -> Tensor:
    """The places in row-major order of all elements that are not zero. A device is waited for."""
    return nonzero(_array(x).reshape(-1))[0]


def indices(dimensions: Any, dtype: Any = int, sparse: bool = False) -> Any:
    """For each axis of a shape every place's number along it, stacked; `sparse` gives a tuple that broadcasts."""
    xp = seam.default_backend().xp
    n = len(dimensions)
    along = [[-1 if k == j else 1 for k in range(n)] for j in range(n)]
    each = [xp.arange(d, dtype=dtype).reshape(way) for d, way in zip(dimensions, along)]
    if sparse:
        return _tensors(each)
    whole = tuple(dimensions)
    return Tensor(xp.stack([xp.broadcast_to(e, whole) for e in each]) if each else xp.zeros((0,), dtype=dtype))


def ix_(*args: Any) -> tuple[Tensor, ...]:
    """An index to all combinations of several vectors of places, or of masks (for which a device is waited)."""
    made = []
    for k, arg in enumerate(args):
        a = _array(arg)
        if a.ndim != 1:
            raise ValueError(f"ix_: argument {k}: got shape {tuple(a.shape)}, want one axis")
        if a.dtype == bool:
            a = seam.backend_of(a).xp.nonzero(a)[0]
        elif not a.shape[0]:
            a = a.astype(np.intp)
        made.append(a.reshape([-1 if j == k else 1 for j in range(len(args))]))
    return _tensors(made)


def diag_indices(n: int, ndim: int = 2) -> tuple[Tensor, ...]:
    """The index to the main diagonal of an array with `ndim` axes of length n."""
    return _tensors([seam.default_backend().xp.arange(n)] * ndim)


def diag_indices_from(x: Any) -> tuple[Tensor, ...]:
    """The index to the main diagonal of an array like `x`, with at least two axes, all of one length."""
    if ndim(x) < 2 or len(set(shape(x))) > 1:
        raise ValueError(f"diag_indices_from: got shape {shape(x)}, want at least two axes, all of one length")
    return diag_indices(shape(x)[0], ndim(x))


def tril_indices(n: int, k: int = 0, m: int | None = None) -> tuple[Tensor, ...]:
    """The index to the lower triangle of an (n, m) matrix, up to `k` places right of the main diagonal."""
    return _triangle(np.tril_indices(n, k, m))


def triu_indices(n: int, k: int = 0, m: int | None = None) -> tuple[Tensor, ...]:
    """The index to the upper triangle of an (n, m) matrix, from `k` places right of the main diagonal."""
    return _triangle(np.triu_indices(n, k, m))


def _triangle(found: Any) -> tuple[Tensor, ...]:
    return _tensors(map(seam.default_backend().from_numpy, found))  # made on the host: a device would be waited for


def tril_indices_from(x: Any, k: int = 0) -> tuple[Tensor, ...]:
    """The index to the lower triangle of a matrix like `x`."""
    n, m = _of_matrix(x)
    return tril_indices(n, k, m)


def triu_indices_from(x: Any, k: int = 0) -> tuple[Tensor, ...]:
    """The index to the upper triangle of a matrix like `x`."""
    n, m = _of_matrix(x)
    return triu_indices(n, k, m)


def _of_matrix(x: Any) -> tuple[int, ...]:
    if ndim(x) != 2:
        raise ValueError(f"x: got shape {shape(x)}, want a matrix")
    return shape(x)


def unravel_index(indices: Any, shape: Any) -> tuple[Tensor, ...]:
    """Numbers of places in row-major order as one index per axis of a shape."""
    a = _array(indices)
    return _tensors(seam.backend_of(a).xp.unravel_index(a, shape))


def ravel_multi_index(multi_index: Any, dims: Any) -> Tensor:
    """One index per axis of a shape as the number of the place in row-major order."""
    places: Any = 0
    for index, n in zip(multi_index, dims):
        places = places * n + _array(index)
    return Tensor(places)
