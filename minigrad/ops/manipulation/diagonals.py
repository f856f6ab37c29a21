"""Diagonals and triangles of matrices."""

from __future__ import annotations

import builtins
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
    """The diagonal of the matrices over two axes, `offset` places right of the main one, as a new last axis. A view."""
    whole = x.shape
    by_x = lambda xp, g: call_in(xp, _put_diagonal, g, whole, offset, axis1, axis2)  # noqa: E731
    return xp.diagonal(x, offset, axis1, axis2), (), by_x


@primitive
def _put_diagonal(xp: Any, g: Array, shape: Any, offset: int, axis1: int, axis2: int) -> Any:
    """Zeros of `shape` with `g` as its diagonal."""
    first, second = axis1 % len(shape), axis2 % len(shape)
    rows, columns, n = shape[first], shape[second], g.shape[-1]
    flat = xp.zeros((*g.shape[:-1], rows * columns), dtype=g.dtype)
    start = offset if offset >= 0 else -offset * columns
    if n:
        flat[..., start : start + (n - 1) * (columns + 1) + 1 : columns + 1] = g
    y = xp.moveaxis(flat.reshape((*g.shape[:-1], rows, columns)), (-2, -1), (first, second))
    return y, (), (lambda xp, g: xp.diagonal(g, offset, axis1, axis2),)


def diag(v: Any, k: int = 0) -> Tensor:
    """Of a matrix its diagonal, `k` places right of the main one; of a vector the matrix with that diagonal."""
    if ndim(v) == 2:
        return diagonal(v, k)
    if ndim(v) != 1:
        raise ValueError(f"diag: got shape {shape(v)}, want one axis or two")
    n = shape(v)[0] + builtins.abs(k)
    return _put_diagonal(v, (n, n), k, 0, 1)


@composed
def diagflat(v: Any, k: int = 0) -> Tensor:
    """The matrix that has all values of `v` as its diagonal, `k` places right of the main one."""
    return diag(ravel(v), k)


@composed
def fill_diagonal(x: Any, val: Any, wrap: bool = False) -> Tensor:
    """A copy of `x` with `val` on the main diagonal, from the beginning again where there are too few values.

    Shapes: x (m, n), or any number of axes of one length. With `wrap` a tall matrix has the diagonal again after each
    n + 1 rows. NumPy's function of this name writes into its argument and gives nothing back.
    """
    sizes = shape(x)
    if len(sizes) < 2 or (len(sizes) > 2 and len(set(sizes)) > 1):
        raise ValueError(f"fill_diagonal: got shape {sizes}, want a matrix, or more axes of one length")
    step, width = 1, 1
    for n in sizes[:0:-1]:
        width *= n
        step += width
    end = sizes[1] * sizes[1] if len(sizes) == 2 and not wrap else None
    places = at(ravel(x))[0:end:step]
    count = len(range(*slice(0, end, step).indices(x.size)))
    return reshape(places.set(val if not ndim(val) else resize(val, count)), sizes)


@primitive
def tril(xp: Any, x: Array, k: int = 0) -> Any:
    """The last two axes' lower triangle, up to `k` places right of the main diagonal; zeros elsewhere."""
    return xp.tril(x, k), (), lambda xp, g: xp.tril(g, k)


@primitive
def triu(xp: Any, x: Array, k: int = 0) -> Any:
    """The last two axes' upper triangle, from `k` places right of the main diagonal; zeros elsewhere."""
    return xp.triu(x, k), (), lambda xp, g: xp.triu(g, k)
