"""Inverses, linear systems and least squares."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ...engine.primitive import JointRule, call_in, composed, primitive, primitive_with_outputs
from ...engine.tensor import Tensor
from ..arrays.shape import reshape, shape, transpose

Array = Any
__all__ = ["inv", "lstsq", "pinv", "solve", "solve_triangular", "tensorinv", "tensorsolve"]


def mT(xp: Any, x: Array) -> Array:
    """Transpose every matrix of a stack."""
    return xp.swapaxes(x, -1, -2)


def want_matrices(name: str, a: Any, square: bool = False) -> None:
    """Raise LinAlgError, as NumPy does, unless `a` is a matrix or a stack of matrices, square if `square` says so."""
    n = shape(a)[-2:]
    if len(n) < 2 or (square and n[0] != n[1]):
        raise np.linalg.LinAlgError(f"{name}: got shape {shape(a)}, want {'square ' if square else ''}matrices")


def want_real(name: str, x: Array) -> None:
    """Raise TypeError for a complex matrix, for which the rule of a function that is not analytic would be wrong."""
    if x.dtype.kind == "c":
        raise TypeError(f"{name}: got a {x.dtype} matrix; its rule is for real ones")


@primitive
def inv(xp: Any, a: Array) -> Any:
    """The inverse of every matrix of a stack."""

    def rule(xp: Any, g: Array, y: Array) -> Array:
        y = mT(xp, y)
        return -xp.matmul(y, xp.matmul(g, y))

    y = xp.linalg.inv(a)
    return y, (y,), rule


@primitive
def pinv(xp: Any, a: Array, rcond: Any = None) -> Any:
    """The Moore-Penrose inverse; singular values below `rcond` times the largest count as zero.

    The rule (Golub and Pereyra 1973) holds where the rank does not change, for example at a matrix of full rank.
    """

    def rule(xp: Any, g: Array, a: Array, p: Array) -> Array:
        want_real("pinv", a)
        q, g = mT(xp, p), mT(xp, g)
        by_range = xp.matmul(xp.matmul(g - xp.matmul(a, xp.matmul(p, g)), p), q)
        h = xp.matmul(q, xp.matmul(p, g))
        by_kernel = h - xp.matmul(xp.matmul(h, p), a)
        return by_range + by_kernel - xp.matmul(q, xp.matmul(mT(xp, g), q))

    p = xp.linalg.pinv(a) if rcond is None else xp.linalg.pinv(a, rcond)
    return p, (a, p), rule


def _solve(xp: Any, a: Array, b: Array) -> Array:
    """Solve for stacks of matrices that broadcast; one matrix `a` with a stack `b` is factorized only once."""
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
    """The solution `x` of `a @ x = b`. A `b` of one axis is a vector, else matrices that broadcast with `a`."""
    vector = b.ndim == 1

    def rule(xp: Any, g: Array, needs: Any, a: Array, x: Array) -> Any:
        if vector:
            g, x = xp.expand_dims(g, -1), xp.expand_dims(x, -1)
        by_b = _solve(xp, mT(xp, a), g)
        by_a = -xp.matmul(by_b, mT(xp, x)) if needs[0] else None
        return by_a, by_b[..., 0] if vector else by_b

    x = _solve(xp, a, xp.expand_dims(b, -1))[..., 0] if vector else _solve(xp, a, b)
    return x, (a, x), JointRule(rule)


@primitive
def solve_triangular(
    xp: Any, a: Array, b: Array, trans: Any = 0, lower: bool = False, unit_diagonal: bool = False
) -> Any:
    """The `x` with `a @ x = b`, or with `trans` (1 or "T") `a.T @ x = b`, where `a` is triangular; as SciPy's.

    The other triangle of `a` is ignored, and with `unit_diagonal` the diagonal too, which counts as 1. A lower
    triangular system is reversed to an upper one: elimination then has nothing to do and only substitutes back, so the
    result is as exact as substitution.
    """
    if trans not in (0, 1, "N", "T"):
        raise ValueError(f"trans: got {trans!r}, want 0, 1, 'N' or 'T'")
    vector, transposed, n = b.ndim == 1, trans in (1, "T"), a.shape[-1]
    triangle = xp.tri(n, k=-1 if unit_diagonal else 0, dtype=bool)
    triangle = triangle if lower else triangle.T

    def rule(xp: Any, g: Array, needs: Any, a: Array, x: Array, triangle: Array) -> Any:
        if vector:
            g, x = xp.expand_dims(g, -1), xp.expand_dims(x, -1)
        back = {"trans": 0 if transposed else 1, "lower": lower, "unit_diagonal": unit_diagonal}
        by_b = call_in(xp, solve_triangular, a, g, **back)
        by_a = None
        if needs[0]:
            by_a = xp.matmul(x, mT(xp, by_b)) if transposed else xp.matmul(by_b, mT(xp, x))
            by_a = xp.where(triangle, -by_a, 0)
        return by_a, by_b[..., 0] if vector else by_b

    t = xp.where(triangle, a, 0)
    t = t + xp.eye(n, dtype=a.dtype) if unit_diagonal else t
    t = mT(xp, t) if transposed else t
    b = xp.expand_dims(b, -1) if vector else b
    x = _solve(xp, t[..., ::-1, ::-1], b[..., ::-1, :])[..., ::-1, :] if lower != transposed else _solve(xp, t, b)
    x = x[..., 0] if vector else x
    return x, (a, x, triangle), JointRule(rule)


@primitive_with_outputs
def _lstsq(xp: Any, a: Array, b: Array, rcond: Any = None) -> Any:
    vector = b.ndim == 1
    x, squares, rank, s = xp.linalg.lstsq(a, b, rcond)
    with_residuals = squares.shape[0] > 0  # there are more equations than unknowns, and the rank is full

    def rule(xp: Any, gs: Any, needs: Any, a: Array, b: Array, x: Array) -> Any:
        want_real("lstsq", a)
        g, g_squares = gs[0], gs[1]
        if vector:
            g, b, x = (xp.expand_dims(v, -1) for v in (g, b, x))
        p, residual = xp.linalg.pinv(a), b - xp.matmul(a, x)
        by_b = xp.matmul(p.T, g)
        by_a = (
            xp.matmul(residual, xp.matmul(p, by_b).T)
            + xp.matmul(xp.matmul(p.T, x), (g - xp.matmul(a.T, by_b)).T)
            - xp.matmul(by_b, x.T)
        )
        if with_residuals:  # x minimises the squares, so a small change of x does not change them
            pull = 2 * residual * g_squares
            by_b, by_a = by_b + pull, by_a - xp.matmul(pull, x.T)
        return by_a, by_b[..., 0] if vector else by_b

    return (x, squares, xp.asarray(rank), s), (a, b, x), JointRule(rule)


def lstsq(a: Any, b: Any, rcond: Any = None) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """NumPy's `(x, residuals, rank, singular values)` of the least-squares solution of `a @ x = b`.

    The solution and its residuals (sums of squares, empty where NumPy's are) are differentiable where the rank of `a`
    does not change. Rank and singular values are constants; use `svdvals` for a derivative of the latter.
    """
    x, squares, rank, s = _lstsq(a, b, rcond=rcond)
    return x, squares, rank.detach(), s.detach()


@composed
def tensorinv(a: Any, ind: int = 2) -> Tensor:
    """The inverse of `a` as a map from its last axes to its first `ind` axes, for `tensordot` over `ind` axes."""
    if ind <= 0:
        raise ValueError(f"tensorinv: ind: got {ind}, want a positive number of axes")
    rows, columns = a.shape[:ind], a.shape[ind:]
    return reshape(inv(reshape(a, (math.prod(rows), math.prod(columns)))), (*columns, *rows))


@composed
def tensorsolve(a: Any, b: Any, axes: Any = None) -> Tensor:
    """The `x` with `tensordot(a, x, x.ndim) = b`; the `axes` of `a` are moved to its end first."""
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
