"""Inverses and linear systems."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ...engine.primitive import JointRule, call_in, composed, primitive, primitive_with_outputs
from ...engine.tensor import Tensor
from ..arrays.shape import reshape, shape, transpose

Array = Any
__all__ = ["inv", "lstsq", "pinv", "solve", "solve_triangular", "tensorinv", "tensorsolve"]


def turned(xp: Any, x: Array) -> Array:
    """Every matrix of a stack transposed."""
    return xp.swapaxes(x, -1, -2)


def want_matrices(name: str, a: Any, square: bool = False) -> None:
    """Raise NumPy's error for what is no matrix, or none that is square."""
    n = shape(a)[-2:]
    if len(n) < 2 or (square and n[0] != n[1]):
        raise np.linalg.LinAlgError(f"{name}: got shape {shape(a)}, want {'square ' if square else ''}matrices")


def real_only(name: str, x: Array) -> None:
    """Refuse the rule of a function that is not analytic, rather than be wrong: with complex matrices it is another."""
    if x.dtype.kind == "c":
        raise TypeError(f"{name}: got a {x.dtype} matrix; its rule is for real ones")


@primitive
def inv(xp: Any, a: Array) -> Any:
    """The inverse of every matrix of a stack."""

    def rule(xp: Any, g: Array, y: Array) -> Array:
        y = turned(xp, y)
        return -xp.matmul(y, xp.matmul(g, y))

    y = xp.linalg.inv(a)
    return y, (y,), rule


@primitive
def pinv(xp: Any, a: Array, rcond: Any = None) -> Any:
    """The Moore-Penrose inverse; singular values below `rcond` times the largest count as zero.

    The rule (Golub and Pereyra 1973) holds where the rank does not change, as at a matrix of full rank.
    """

    def rule(xp: Any, g: Array, a: Array, p: Array) -> Array:
        real_only("pinv", a)
        q, g = turned(xp, p), turned(xp, g)
        by_range = xp.matmul(xp.matmul(g - xp.matmul(a, xp.matmul(p, g)), p), q)
        h = xp.matmul(q, xp.matmul(p, g))
        by_kernel = h - xp.matmul(xp.matmul(h, p), a)
        return by_range + by_kernel - xp.matmul(q, xp.matmul(turned(xp, g), q))

    p = xp.linalg.pinv(a) if rcond is None else xp.linalg.pinv(a, rcond)
    return p, (a, p), rule


def _solved(xp: Any, a: Array, b: Array) -> Array:
    """The solutions for stacks of matrices that broadcast; of one matrix and a stack, with a single factorization."""
    if a.shape[:-2] == b.shape[:-2]:
        return xp.linalg.solve(a, b)
    if a.ndim == 2:
        order = (b.ndim - 2, *range(b.ndim - 2), b.ndim - 1)
        b = xp.transpose(b, order)
        x = xp.linalg.solve(a, xp.reshape(b, (b.shape[0], math.prod(b.shape[1:]))))
        return xp.transpose(xp.reshape(x, b.shape), tuple(np.argsort(order).tolist()))
    batch = np.broadcast_shapes(a.shape[:-2], b.shape[:-2])
    return xp.linalg.solve(*(xp.broadcast_to(x, (*batch, *x.shape[-2:])) for x in (a, b)))


@primitive
def solve(xp: Any, a: Array, b: Array) -> Any:
    """The `x` with `a @ x = b`. A `b` of one axis is a vector, else matrices in a stack that broadcasts with `a`'s."""
    vector = b.ndim == 1

    def rule(xp: Any, g: Array, needs: Any, a: Array, x: Array) -> Any:
        if vector:
            g, x = xp.expand_dims(g, -1), xp.expand_dims(x, -1)
        by_b = _solved(xp, turned(xp, a), g)
        by_a = -xp.matmul(by_b, turned(xp, x)) if needs[0] else None
        return by_a, by_b[..., 0] if vector else by_b

    x = _solved(xp, a, xp.expand_dims(b, -1))[..., 0] if vector else _solved(xp, a, b)
    return x, (a, x), JointRule(rule)


@primitive
def solve_triangular(
    xp: Any, a: Array, b: Array, trans: Any = 0, lower: bool = False, unit_diagonal: bool = False
) -> Any:
    """The `x` with `a @ x = b`, or with `trans` (1 or "T") `a.T @ x = b`, where `a` is triangular; as SciPy's.

    The other triangle of `a` is not looked at, and with `unit_diagonal` neither is the diagonal, which is taken as 1.
    The system is turned so that its triangle is the upper one: there elimination has nothing to do and substitutes
    back at once, which is as exact as substitution is.
    """
    if trans not in (0, 1, "N", "T"):
        raise ValueError(f"trans: got {trans!r}, want 0, 1, 'N' or 'T'")
    vector, turn, n = b.ndim == 1, trans in (1, "T"), a.shape[-1]
    seen = xp.tri(n, k=-1 if unit_diagonal else 0, dtype=bool)
    seen = seen if lower else seen.T

    def rule(xp: Any, g: Array, needs: Any, a: Array, x: Array, seen: Array) -> Any:
        if vector:
            g, x = xp.expand_dims(g, -1), xp.expand_dims(x, -1)
        by_b = call_in(xp, solve_triangular, a, g, trans=0 if turn else 1, lower=lower, unit_diagonal=unit_diagonal)
        by_a = None
        if needs[0]:
            by_a = xp.matmul(x, turned(xp, by_b)) if turn else xp.matmul(by_b, turned(xp, x))
            by_a = xp.where(seen, -by_a, 0)
        return by_a, by_b[..., 0] if vector else by_b

    t = xp.where(seen, a, 0)
    t = t + xp.eye(n, dtype=a.dtype) if unit_diagonal else t
    t = turned(xp, t) if turn else t
    b = xp.expand_dims(b, -1) if vector else b
    x = _solved(xp, t[..., ::-1, ::-1], b[..., ::-1, :])[..., ::-1, :] if lower != turn else _solved(xp, t, b)
    x = x[..., 0] if vector else x
    return x, (a, x, seen), JointRule(rule)


@primitive_with_outputs
def _lstsq(xp: Any, a: Array, b: Array, rcond: Any = None) -> Any:
    vector = b.ndim == 1
    x, squares, rank, s = xp.linalg.lstsq(a, b, rcond)
    counted = squares.shape[0] > 0  # where the equations are more than the unknowns, and the rank is full

    def rule(xp: Any, gs: Any, needs: Any, a: Array, b: Array, x: Array) -> Any:
        real_only("lstsq", a)
        g, g_squares = gs[0], gs[1]
        if vector:
            g, b, x = (xp.expand_dims(v, -1) for v in (g, b, x))
        p, left = xp.linalg.pinv(a), b - xp.matmul(a, x)
        by_b = xp.matmul(p.T, g)
        by_a = (
            xp.matmul(left, xp.matmul(p, by_b).T)
            + xp.matmul(xp.matmul(p.T, x), (g - xp.matmul(a.T, by_b)).T)
            - xp.matmul(by_b, x.T)
        )
        if counted:  # x is at the minimum of the squares, so they change with a and b alone
            pull = 2 * left * g_squares
            by_b, by_a = by_b + pull, by_a - xp.matmul(pull, x.T)
        return by_a, by_b[..., 0] if vector else by_b

    return (x, squares, xp.asarray(rank), s), (a, b, x), JointRule(rule)


def lstsq(a: Any, b: Any, rcond: Any = None) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """NumPy's `(x, residuals, rank, singular values)` of the least-squares solution of `a @ x = b`.

    The solution and its residuals (sums of squares, none where NumPy gives none) are differentiable where the rank of
    `a` does not change; rank and singular values are constants: `svdvals` has the latter's derivative.
    """
    x, squares, rank, s = _lstsq(a, b, rcond=rcond)
    return x, squares, rank.detach(), s.detach()


@composed
def tensorinv(a: Any, ind: int = 2) -> Tensor:
    """The inverse of `a` as a map from its last axes to its first `ind`, for `tensordot` over `ind` axes."""
    if ind <= 0:
        raise ValueError(f"tensorinv: ind: got {ind}, want a positive number of axes")
    rows, columns = a.shape[:ind], a.shape[ind:]
    return reshape(inv(reshape(a, (math.prod(rows), math.prod(columns)))), (*columns, *rows))


@composed
def tensorsolve(a: Any, b: Any, axes: Any = None) -> Tensor:
    """The `x` with `tensordot(a, x, x.ndim) = b`; `axes` of `a` are moved to its end first."""
    if axes is not None:
        last = [k % a.ndim for k in axes]
        a = transpose(a, (*(k for k in range(a.ndim) if k not in last), *last))
    shape = a.shape[b.ndim :]
    if math.prod(shape) != math.prod(b.shape) or math.prod(a.shape[: b.ndim]) != math.prod(b.shape):
        raise np.linalg.LinAlgError(
            f"tensorsolve: got shapes {a.shape} and {b.shape}, want as many unknowns as equations"
        )
    n = math.prod(shape)
    return reshape(solve(reshape(a, (n, n)), reshape(b, (n,))), shape)
