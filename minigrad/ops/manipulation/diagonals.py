"""Diagonals and triangles of matrices."""

from __future__ import annotations

import math
from typing import Any

from ...engine.primitive import call_in, composed, primitive
from ...engine.tensor import Tensor
from ..arrays.shape import ndim, ravel, reshape, shape
from ..indexing.scatter import at
from .tiling import resize

Array = Any
__all__ = ["diag", "diagflat", "diagonal", "fill_diagonal", "tril", "triu"]


@primitive
def diagonal(xp: Any, x: Array, offset: int = 0, axis1: int = 0, axis2: int = 1) -> Any:
    """The `offset`-th diagonal above the main one of the matrices over two axes, along a new last axis. A view."""
    shape = x.shape
    rule = lambda xp, g: call_in(xp, _put_diagonal, g, shape, offset, axis1, axis2)  # noqa: E731
    return xp.diagonal(x, offset, axis1, axis2), (), rule


@primitive
def _put_diagonal(xp: Any, g: Array, shape: Any, offset: int, axis1: int, axis2: int) -> Any:
    """The adjoint of `diagonal`: zeros of `shape` with `g` on the diagonal."""
    first, second = axis1 % len(shape), axis2 % len(shape)
    rows, columns, n = shape[first], shape[second], g.shape[-1]
    flat = xp.zeros((*g.shape[:-1], rows * columns), dtype=g.dtype)
    start = offset if offset >= 0 else -offset * columns
    if n:
        flat[..., start : start + (n - 1) * (columns + 1) + 1 : columns + 1] = g
    y = xp.moveaxis(flat.reshape((*g.shape[:-1], rows, columns)), (-2, -1), (first, second))
    return y, (), (lambda xp, g: xp.diagonal(g, offset, axis1, axis2),)


def diag(v: Any, k: int = 0) -> Tensor:
    """The `k`-th diagonal above the main one of a matrix, or the matrix with the vector `v` on that diagonal."""
    if ndim(v) == 2:
        return diagonal(v, k)
    if ndim(v) != 1:
        raise ValueError(f"diag: got shape {shape(v)}, want one axis or two")
    n = shape(v)[0] + abs(k)
    return _put_diagonal(v, (n, n), k, 0, 1)


@composed
def diagflat(v: Any, k: int = 0) -> Tensor:
    """The matrix with all values of `v` on its `k`-th diagonal above the main one."""
    return diag(ravel(v), k)


@composed
def fill_diagonal(x: Any, val: Any, wrap: bool = False) -> Tensor:
    """A copy of `x` with `val` on the main diagonal, repeated if there are too few values.

    Shapes: x (m, n), or any number of axes of one length. With `wrap` the diagonal of a tall matrix starts again after
    every n + 1 rows. NumPy's function of this name writes into its argument and returns None.
    """
    sizes = shape(x)
    if len(sizes) < 2 or (len(sizes) > 2 and len(set(sizes)) > 1):
        raise ValueError(f"fill_diagonal: got shape {sizes}, want a matrix, or more axes of one length")
    step = 1 + sum(math.prod(sizes[k:]) for k in range(1, len(sizes)))  # between diagonal elements in row-major order
    end = sizes[1] * sizes[1] if len(sizes) == 2 and not wrap else None
    diagonal_of_x = at(ravel(x))[0:end:step]
    count = len(range(*slice(0, end, step).indices(x.size)))
    return reshape(diagonal_of_x.set(val if not ndim(val) else resize(val, count)), sizes)


@primitive
def tril(xp: Any, x: Array, k: int = 0) -> Any:
    """The lower triangle of the last two axes, up to the `k`-th diagonal above the main one; zeros elsewhere."""
    return xp.tril(x, k), (), lambda xp, g: xp.tril(g, k)


@primitive
def triu(xp: Any, x: Array, k: int = 0) -> Any:
    """The upper triangle of the last two axes, from the `k`-th diagonal above the main one; zeros elsewhere."""
    return xp.triu(x, k), (), lambda xp, g: xp.triu(g, k)
