"""Matrices taken apart.

The factors of `svd`, `eigh` and `eig` are not unique: columns may change their signs (phases), and those that belong
to equal values may be rotated. A loss must not depend on that choice; then its gradient is right where the values
that it keeps apart are distinct. Between values that are exactly equal nothing flows, rather than an infinity. Complex
matrices have a gradient in `eig` alone.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from ...engine.primitive import JointRule, call_in, composed, primitive, primitive_with_outputs
from ...engine.tensor import Tensor
from ..arrays.shape import swapaxes
from .solving import real_only, solve_triangular, turned, want_matrices

Array = Any
__all__ = ["cholesky", "eig", "eigh", "eigvals", "eigvalsh", "qr", "svd", "svdvals"]


class QRResult(NamedTuple):
    """What `qr` gives."""

    Q: Tensor
    R: Tensor


class SVDResult(NamedTuple):
    """What `svd` gives."""

    U: Tensor
    S: Tensor
    Vh: Tensor


class EigResult(NamedTuple):
    """What `eig` gives."""

    eigenvalues: Tensor
    eigenvectors: Tensor


class EighResult(NamedTuple):
    """What `eigh` gives."""

    eigenvalues: Tensor
    eigenvectors: Tensor


def _halves(xp: Any, n: int, dtype: Any, upper: bool = False) -> Array:
    """Ones below the diagonal (above, for `upper`) and halves on it: a triangle of a sum of a matrix and its turn."""
    y = xp.tri(n, dtype=dtype) - 0.5 * xp.eye(n, dtype=dtype)
    return y.T if upper else y


def _of_triangle(xp: Any, g: Array, halves: Array) -> Array:
    """The gradient of a symmetric matrix, by the one triangle that was read of it."""
    return (g + turned(xp, g)) * halves


def _gaps(xp: Any, values: Array) -> Array:
    """`1 / (values[j] - values[i])`, and 0 where they are equal, as on the diagonal."""
    gaps = xp.expand_dims(values, -2) - xp.expand_dims(values, -1)
    return _inverse_or_zero(xp, gaps)


def _inverse_or_zero(xp: Any, x: Array) -> Array:
    none = x == 0
    return xp.where(none, 0, 1 / xp.where(none, 1, x))


# Cholesky


@primitive
def _cholesky(xp: Any, a: Array) -> Any:
    def rule(xp: Any, g: Array, y: Array, halves: Array) -> Array:
        """Murray, Differentiation of the Cholesky decomposition (2016), equation 10."""
        real_only("cholesky", y)
        inner = xp.matmul(turned(xp, y), g) * halves
        inner = call_in(xp, solve_triangular, y, inner, trans=1, lower=True)
        outer = call_in(xp, solve_triangular, y, turned(xp, inner), trans=1, lower=True)
        return _of_triangle(xp, outer, halves)

    y = xp.linalg.cholesky(a)
    return y, (y, _halves(xp, a.shape[-1], a.dtype)), rule


@composed
def cholesky(a: Any, upper: bool = False) -> Tensor:
    """The lower triangular `L` with `L @ L.T = a`, or the upper one with `U.T @ U = a`.

    Of `a`, taken for symmetric, only that triangle is read, and so it alone has a gradient.
    """
    return swapaxes(_cholesky(swapaxes(a, -1, -2)), -1, -2) if upper else _cholesky(a)


# QR


@primitive_with_outputs
def _qr(xp: Any, a: Array, mode: str) -> Any:
    m, n = a.shape[-2:]
    k = min(m, n)

    def tall(xp: Any, g_q: Array, g_r: Array, q: Array, r: Array, halves: Array) -> Array:
        """Walter and Lehmann, Algorithmic differentiation of linear algebra functions (2010), section 3.4."""
        inner = (xp.matmul(r, turned(xp, g_r)) - xp.matmul(turned(xp, g_q), q)) * halves
        g = g_q + xp.matmul(q, inner + turned(xp, inner))
        return turned(xp, call_in(xp, solve_triangular, r, turned(xp, g)))

    def rule(xp: Any, gs: Any, needs: Any, a: Array, q: Array, r: Array, halves: Array) -> Any:
        real_only("qr", a)
        g_q, g_r = gs
        if q.shape[-1] > k:  # `complete`: the further columns turn as the first ones do
            rest, q = q[..., k:], q[..., :k]
            g_q = g_q[..., :k] - xp.matmul(rest, xp.matmul(turned(xp, g_q[..., k:]), q))
            g_r, r = g_r[..., :k, :], r[..., :k, :]
        if m >= n:
            return (tall(xp, g_q, g_r, q, r, halves),)
        # The first columns make q; the others are q times theirs of r.
        g_q = g_q + xp.matmul(a[..., m:], turned(xp, g_r[..., m:]))
        first = tall(xp, g_q, g_r[..., :m], q, r[..., :m], halves)
        return (xp.concatenate([first, xp.matmul(q, g_r[..., m:])], axis=-1),)

    q, r = xp.linalg.qr(a, mode)
    return (q, r), (a, q, r, _halves(xp, k, a.dtype)), JointRule(rule)


def qr(a: Any, mode: str = "reduced") -> Any:
    """`(Q, R)` with orthonormal columns and an upper triangle, or R alone in mode "r"; modes "reduced" and "complete".

    Differentiable where the first min(m, n) columns of `a` are independent. Of the further columns of a complete Q only
    the space that they span has a derivative.
    """
    if mode not in ("reduced", "complete", "r"):
        raise ValueError(f"qr: mode: got {mode!r}, want 'reduced', 'complete' or 'r'")
    want_matrices("qr", a)
    q, r = _qr(a, mode="reduced" if mode == "r" else mode)
    return r if mode == "r" else QRResult(q, r)


# Singular values


@primitive_with_outputs
def _svd(xp: Any, a: Array, full_matrices: bool = True) -> Any:
    m, n = a.shape[-2:]
    k = min(m, n)

    def rule(xp: Any, gs: Any, needs: Any, u: Array, s: Array, vt: Array) -> Any:
        """Townsend, Differentiating the singular value decomposition (2016)."""
        real_only("svd", u)
        v, (g_u, g_s, g_v) = turned(xp, vt), (gs[0], gs[1], turned(xp, gs[2]))
        (u, g_u), (v, g_v) = _leading(xp, u, g_u, k), _leading(xp, v, g_v, k)
        ut, vt = turned(xp, u), turned(xp, v)
        row, column = xp.expand_dims(s, -2), xp.expand_dims(s, -1)
        apart = _gaps(xp, s) * _inverse_or_zero(xp, row + column)
        in_u, in_v = xp.matmul(ut, g_u), xp.matmul(vt, g_v)
        inner = apart * (in_u - turned(xp, in_u)) * row + column * (apart * (in_v - turned(xp, in_v)))
        g = xp.matmul(xp.matmul(u, inner) + u * xp.expand_dims(g_s, -2), vt)
        shares = _inverse_or_zero(xp, row)
        if m > k:
            g = g + xp.matmul((g_u - xp.matmul(u, in_u)) * shares, vt)
        if n > k:
            g = g + xp.matmul(u, turned(xp, (g_v - xp.matmul(v, in_v)) * shares))
        return (g,)

    u, s, vt = xp.linalg.svd(a, full_matrices)
    return (u, s, vt), (u, s, vt), JointRule(rule)


def _leading(xp: Any, q: Array, g: Array, k: int) -> tuple[Array, Array]:
    """The first k columns and their gradient; the others turn as these do, within the space that these leave."""
    if q.shape[-1] == k:
        return q, g
    rest, q = q[..., k:], q[..., :k]
    return q, g[..., :k] - xp.matmul(rest, xp.matmul(turned(xp, g[..., k:]), q))


def svd(a: Any, full_matrices: bool = True, compute_uv: bool = True) -> Any:
    """`(U, S, Vh)` with `a = U @ diag(S) @ Vh`, the values falling; S alone without `compute_uv`.

    Of the further columns of full matrices only the space that they span has a derivative.
    """
    want_matrices("svd", a)
    return SVDResult(*_svd(a, full_matrices=full_matrices)) if compute_uv else svdvals(a)


@primitive
def svdvals(xp: Any, a: Array) -> Any:
    """The singular values, falling. At a value of exactly 0 the derivative is taken as 0."""

    def rule(xp: Any, g: Array, a: Array) -> Array:
        real_only("svdvals", a)
        u, s, vt = xp.linalg.svd(a, False)
        return xp.matmul(u * xp.expand_dims(xp.where(s > 0, g, 0), -2), vt)

    return xp.linalg.svd(a, False, False), (a,), rule


# Eigenvalues


@primitive_with_outputs
def _eigh(xp: Any, a: Array, UPLO: str = "L") -> Any:
    def rule(xp: Any, gs: Any, needs: Any, w: Array, v: Array, halves: Array) -> Any:
        real_only("eigh", v)
        g_w, g_v = gs
        vt = turned(xp, v)
        inner = xp.matmul(v, _gaps(xp, w) * xp.matmul(vt, g_v)) + v * xp.expand_dims(g_w, -2)
        return (_of_triangle(xp, xp.matmul(inner, vt), halves),)

    w, v = xp.linalg.eigh(a, UPLO)
    return (w, v), (w, v, _halves(xp, a.shape[-1], w.dtype, UPLO.upper() == "U")), JointRule(rule)


def eigh(a: Any, UPLO: str = "L") -> EighResult:
    """`(values, vectors)` of a symmetric matrix, the values rising, the vectors in columns.

    Of `a`, taken for symmetric, only the triangle `UPLO` is read, and so it alone has a gradient.
    """
    return EighResult(*_eigh(a, UPLO=UPLO))


@primitive
def eigvalsh(xp: Any, a: Array, UPLO: str = "L") -> Any:
    """The eigenvalues of a symmetric matrix, rising; see `eigh`."""

    def rule(xp: Any, g: Array, a: Array, halves: Array) -> Array:
        real_only("eigvalsh", a)
        v = xp.linalg.eigh(a, UPLO)[1]
        return _of_triangle(xp, xp.matmul(v * xp.expand_dims(g, -2), turned(xp, v)), halves)

    w = xp.linalg.eigvalsh(a, UPLO)
    return w, (a, _halves(xp, a.shape[-1], w.dtype, UPLO.upper() == "U")), rule


@primitive_with_outputs
def _eig(xp: Any, a: Array) -> Any:
    def rule(xp: Any, gs: Any, needs: Any, w: Array, v: Array) -> Any:
        """Boeddeker et al., On the computation of complex-valued gradients (2017); the columns keep their lengths."""
        g_w, g_v = gs
        along = xp.real(xp.sum(g_v * v, axis=-2, keepdims=True))
        g_v = g_v - xp.conj(v) * along
        vt = turned(xp, v)
        inner = xp.matmul(_gaps(xp, w) * xp.matmul(vt, g_v), vt) + xp.expand_dims(g_w, -1) * vt
        return (xp.linalg.solve(vt, inner),)

    w, v = xp.linalg.eig(a)
    return (w, v), (w, v), JointRule(rule)


def eig(a: Any) -> EigResult:
    """`(values, vectors)` of any square matrix: complex, or real where NumPy gives real ones; vectors of length 1."""
    return EigResult(*_eig(a))


@composed
def eigvals(a: Any) -> Tensor:
    """The eigenvalues of any square matrix; see `eig`."""
    return eig(a).eigenvalues
