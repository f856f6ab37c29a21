"""Products. The gradient of a weight is kept as its two factors, which the pool contracts over all uses at once."""

from __future__ import annotations

import math
from typing import Any

from ..pool import Outer, RowSum, unbroadcast
from ..primitive import primitive

Array = Any
__all__ = ["linear", "matmul", "outer"]


@primitive
def matmul(xp: Any, a: Array, b: Array) -> Any:
    """`a @ b` by NumPy's rules: vectors, matrices, and stacks of matrices that broadcast."""
    return _product(xp, a, b), (a, b), (_by_left, _by_right)


def _product(xp: Any, a: Array, b: Array) -> Array:
    """`a @ b`; a stack times one matrix as a single product of all its rows, which both libraries do faster."""
    if a.ndim > 2 and b.ndim == 2:
        return xp.reshape(xp.matmul(_rows(xp, a), b), (*a.shape[:-1], b.shape[1]))
    return xp.matmul(a, b)


def _by_left(xp: Any, g: Array, a: Array, b: Array) -> Any:
    if a.ndim == 2 and b.ndim == 2:
        return Outer(g.T, b.T)
    if b.ndim == 1:
        return xp.expand_dims(g, -1) * b if a.ndim > 1 else g * b
    if a.ndim == 1:
        g = xp.expand_dims(g, -2)
        return unbroadcast(xp, xp.matmul(g, xp.swapaxes(b, -1, -2)), (1, *a.shape), defer=False)[0]
    return _product(xp, g, b.T if b.ndim == 2 else xp.swapaxes(b, -1, -2))


def _by_right(xp: Any, g: Array, a: Array, b: Array) -> Any:
    if b.ndim == 2 and a.ndim >= 2:
        return Outer(_rows(xp, a), _rows(xp, g))
    if a.ndim == 1:
        return xp.expand_dims(a, -1) * xp.expand_dims(g, -2) if b.ndim > 1 else g * a
    if b.ndim == 1:
        g = xp.expand_dims(g, -1)
        return unbroadcast(xp, xp.matmul(xp.swapaxes(a, -1, -2), g), (*b.shape, 1), defer=False)[..., 0]
    return xp.matmul(xp.swapaxes(a, -1, -2), g)


def _rows(xp: Any, x: Array) -> Array:
    return x if x.ndim == 2 else xp.reshape(x, (math.prod(x.shape[:-1]), x.shape[-1]))


@primitive
def linear(xp: Any, x: Array, W: Array, b: Array = None) -> Any:
    """`x @ W.T + b`: the lecture's `W x + b` for each row of `x`.

    Shapes: x (..., n), W (m, n), b (m,) or None; the result (..., m).
    """
    if b is not None and tuple(b.shape) != W.shape[:1]:
        raise ValueError(f"want b of shape {W.shape[:1]} for W of shape {W.shape}")
    y = xp.dot(x, W.T) if x.ndim <= 2 else _product(xp, x, W.T)
    if b is not None:
        y += b
    rules = (
        lambda xp, g, x, W: _product(xp, g, W),
        lambda xp, g, x, W: Outer(_rows(xp, g), _rows(xp, x)) if g.ndim > 1 else Outer(g[None], x[None]),
        lambda xp, g, x, W: RowSum(_rows(xp, g)) if g.ndim > 1 else g,
    )
    return y, (x, W), rules


@primitive
def outer(xp: Any, a: Array, b: Array) -> Any:
    """All products of two vectors: (n,) and (m,) give (n, m)."""
    return xp.outer(a, b), (a, b), (lambda xp, g, a, b: xp.matmul(g, b), lambda xp, g, a, b: xp.matmul(a, g))
