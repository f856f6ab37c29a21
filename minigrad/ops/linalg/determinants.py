"""Determinants, and how far a matrix is from a singular one."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from ...engine.primitive import JointRule, call_in, composed, nondifferentiable, primitive, primitive_with_outputs
from ...engine.tensor import Tensor
from ..arrays.shape import shape
from ..elementwise.arithmetic import astype, divide, multiply, where
from ..elementwise.nondifferentiable import any as any_of, equal, greater, not_equal
from ..reductions.reductions import as_tensor, max as largest, sum as sum_over
from .decompositions import svdvals
from .norms import norm
from .solving import inv, turned, want_matrices

Array = Any
__all__ = ["cond", "det", "matrix_rank", "slogdet"]


class SlogdetResult(NamedTuple):
    """What `slogdet` gives."""

    sign: Tensor
    logabsdet: Tensor


@primitive
def det(xp: Any, a: Array) -> Any:
    """The determinant of every matrix of a stack; first and second derivative are right at singular matrices too."""
    return xp.linalg.det(a), (a,), lambda xp, g, a: xp.reshape(g, (*g.shape, 1, 1)) * call_in(xp, _cofactors, a)


@primitive
def _cofactors(xp: Any, a: Array) -> Any:
    """`det(a) * inv(a).T` without a division: with `a = U S Vt`, U times the products of the other values times Vt."""

    def of_any(a: Array) -> Array:
        u, s, vt, turns = _frame(xp, a)
        return xp.matmul(u * _products_of_others(xp, s)[..., None, :], vt) * turns

    def of_regular(a: Array, inverse: Array, size: Array) -> Array:
        return size * turned(xp, inverse)

    return _either(xp, of_any, of_regular, a), (a,), lambda xp, g, a: call_in(xp, _cofactors_change, a, g)


@primitive
def _cofactors_change(xp: Any, a: Array, h: Array) -> Any:
    """How the cofactors change when `a` moves by `h`, which is a symmetric map of `h`; by the minors of one rank less.

    In the frame of the singular values, with p[i, j] the product of all others: of the diagonal of h, p; of the rest
    -p * h.T. The rule by `a`, for the third derivative of a determinant, needs the inverse.
    """

    def of_any(a: Array, h: Array) -> Array:
        u, s, vt, turns = _frame(xp, a)
        one = xp.eye(s.shape[-1], dtype=bool)
        p = xp.where(one, 0, _products_of_others(xp, xp.where(one, 1, s[..., None, :])))
        h_s = xp.matmul(xp.matmul(turned(xp, u), h), turned(xp, vt))
        along = xp.sum(p * xp.sum(xp.where(one, h_s, 0), axis=-1)[..., None, :], axis=-1)
        change = u * along[..., None, :] - xp.matmul(u, p * turned(xp, h_s))
        return xp.matmul(change, vt) * turns

    def of_regular(a: Array, h: Array, inverse: Array, size: Array) -> Array:
        moved = xp.matmul(inverse, h)
        return size * turned(xp, _trace(xp, moved) * inverse - xp.matmul(moved, inverse))

    def by_a(xp: Any, g: Array, a: Array, h: Array) -> Array:
        inverse = xp.linalg.inv(a)
        size = xp.reshape(xp.linalg.det(a), (*a.shape[:-2], 1, 1))
        of_g, of_h = xp.matmul(inverse, g), xp.matmul(inverse, h)
        trace_g, trace_h, both = (_trace(xp, x) for x in (of_g, of_h, xp.matmul(of_g, of_h)))
        inner = xp.matmul(of_g, of_h) + xp.matmul(of_h, of_g) - trace_g * of_h - trace_h * of_g
        return size * turned(xp, (trace_g * trace_h - both) * inverse + xp.matmul(inner, inverse))

    rules = (by_a, lambda xp, g, a, h: call_in(xp, _cofactors_change, a, g))
    return _either(xp, of_any, of_regular, a, h), (a, h), rules


def _either(xp: Any, of_any: Callable[..., Array], of_regular: Callable[..., Array], a: Array, *more: Array) -> Array:
    """`of_any(a, ...)`, or `of_regular(a, ..., inverse, determinant)`, which is some eight times as fast, for matrices
    of which that is right to two thirds of the dtype's digits. A device would have to be waited for, to know which.
    """
    if xp is not np or not a.size:
        return of_any(a, *more)
    limits = np.finfo(a.dtype)
    with np.errstate(all="ignore"):
        try:
            inverse = np.linalg.inv(a)
        except np.linalg.LinAlgError:
            return of_any(a, *more)
        det = np.linalg.det(a)[..., None, None]
        condition = _norm(a) * _norm(inverse)
        size = np.abs(det)
        regular = (condition < limits.eps ** (-1 / 3)) & (size > limits.tiny) & (size < limits.max)
    if regular.all():
        return of_regular(a, *more, inverse, det)
    if a.ndim == 2 or not regular.any():
        return of_any(a, *more)
    regular, y = regular[..., 0, 0], np.empty(a.shape, np.result_type(a, *more))
    y[regular] = of_regular(*(x[regular] for x in (a, *more, inverse, det)))
    y[~regular] = of_any(*(x[~regular] for x in (a, *more)))
    return y


def _norm(a: Array) -> Array:
    return np.max(np.sum(np.abs(a), axis=-2, keepdims=True), axis=-1, keepdims=True)


def _trace(xp: Any, x: Array) -> Array:
    return xp.reshape(xp.trace(x, 0, -2, -1), (*x.shape[:-2], 1, 1))


def _products_of_others(xp: Any, s: Array) -> Array:
    """For each value along the last axis the product of all others."""
    one = xp.ones_like(s[..., :1])
    before = xp.concatenate([one, xp.cumprod(s, axis=-1)[..., :-1]], axis=-1)
    after = xp.concatenate([one, xp.cumprod(s[..., ::-1], axis=-1)[..., :-1]], axis=-1)
    return before * after[..., ::-1]


def _frame(xp: Any, a: Array) -> tuple[Array, Array, Array, Array]:
    """The singular values and what turns them to the matrix of cofactors: 1 or -1 (a phase), and two rotations."""
    u, s, vt = xp.linalg.svd(a)
    turns = xp.sign(xp.linalg.det(u) * xp.linalg.det(vt))[..., None, None]
    return (xp.conj(u), s, xp.conj(vt), turns) if a.dtype.kind == "c" else (u, s, vt, turns)


@primitive_with_outputs
def _slogdet(xp: Any, a: Array) -> Any:
    def rule(xp: Any, gs: Any, needs: Any, a: Array) -> Any:
        return (xp.reshape(gs[1], (*gs[1].shape, 1, 1)) * xp.linalg.inv(turned(xp, a)),)

    sign, size = xp.linalg.slogdet(a)
    return (sign, size), (a,), JointRule(rule)


def slogdet(a: Any) -> SlogdetResult:
    """`(sign, log |det|)` without overflow; the sign is a constant. A singular matrix has no derivative here."""
    sign, size = _slogdet(a)
    return SlogdetResult(sign.detach(), size)


@composed
def cond(x: Any, p: Any = None) -> Tensor:
    """The condition number by the norm `p`: for None, 2 and -2 by singular values, else `norm(x) * norm(inv(x))`.

    Infinite for a singular matrix, where the values' quotient is asked for; the other norms raise as `inv` does.
    """
    want_matrices("cond", x)
    if not math.prod(shape(x)[-2:]):
        raise np.linalg.LinAlgError(f"cond: got shape {shape(x)}, want matrices that are not empty")
    if p not in (None, 2, -2):
        return multiply(norm(x, p, axis=(-2, -1)), norm(inv(x), p, axis=(-2, -1)))
    s = svdvals(x)
    top, bottom = (s[..., -1], s[..., 0]) if p == -2 else (s[..., 0], s[..., -1])
    none = equal(bottom, 0)
    return where(none, math.inf, divide(top, where(none, 1, bottom)))


@nondifferentiable
def matrix_rank(A: Any, tol: Any = None, *, rtol: Any = None) -> Tensor:
    """How many singular values are above `tol`, or `rtol` times the largest. Constant; of a vector, whether not 0."""
    A = as_tensor(A).detach()
    if A.ndim < 2:
        return astype(any_of(not_equal(A, 0)), np.int64)
    s = svdvals(A)
    if not s.shape[-1]:
        return sum_over(astype(s, np.int64), axis=-1)
    if tol is None:
        share = max(A.shape[-2:]) * float(np.finfo(s.dtype).eps) if rtol is None else rtol
        tol = multiply(largest(s, axis=-1, keepdims=True), share)
    elif getattr(tol, "ndim", 0):
        tol = tol[..., None]
    return sum_over(astype(greater(s, tol), np.int64), axis=-1)
