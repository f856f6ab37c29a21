"""Matrix decompositions: Cholesky, QR, singular values, eigenvalues.

The factors of `svd`, `eigh` and `eig` are not unique: columns may change their signs (phases), and those that belong
to equal values may be rotated. A loss must not depend on that choice; its gradient is then correct if the values it
distinguishes are distinct. Between values that are exactly equal the gradient is 0 instead of infinite. Complex
matrices have a gradient in `eig` only.
"""

from __future__ import annotations

from typing import Any, Literal, NamedTuple, overload

from ...engine.primitive import JointRule, call_in, composed, primitive, primitive_with_outputs
from ...engine.tensor import Tensor
from ..arrays.shape import swapaxes
from .solving import mT, solve_triangular, want_matrices, want_real

Array = Any
__all__ = ["cholesky", "eig", "eigh", "eigvals", "eigvalsh", "qr", "svd", "svdvals"]


class QRResult(NamedTuple):
    """The result of `qr`."""

    Q: Tensor
    R: Tensor


class SVDResult(NamedTuple):
    """The result of `svd`."""

    U: Tensor
    S: Tensor
    Vh: Tensor


class EigResult(NamedTuple):
    """The result of `eig`."""

    eigenvalues: Tensor
    eigenvectors: Tensor


class EighResult(NamedTuple):
    """The result of `eigh`."""

    eigenvalues: Tensor
    eigenvectors: Tensor


def _half_triangle(xp: Any, n: int, dtype: Any, upper: bool = False) -> Array:
    """Ones below the diagonal (above it for `upper`) and 1/2 on it: (x + x.T) times this is one triangle of x + x.T."""
    y = xp.tri(n, dtype=dtype) - 0.5 * xp.eye(n, dtype=dtype)
    return y.T if upper else y


def _to_triangle(xp: Any, g: Array, triangle: Array) -> Array:
    """The gradient of a symmetric matrix, collected in the triangle that the operation reads."""
    return (g + mT(xp, g)) * triangle


def _inverse_gaps(xp: Any, values: Array) -> Array:
    """`1 / (values[j] - values[i])`, and 0 where they are equal, as on the diagonal."""
    return _inverse_or_zero(xp, xp.expand_dims(values, -2) - xp.expand_dims(values, -1))


def _inverse_or_zero(xp: Any, x: Array) -> Array:
    zero = x == 0
    return xp.where(zero, 0, 1 / xp.where(zero, 1, x))


def _leading(xp: Any, q: Array, g: Array, k: int) -> tuple[Array, Array]:
    """The first k of orthonormal columns and their gradient, including what the other columns contribute.

    Only the space that the others span has a derivative: they rotate as the first k do.
    """
    if q.shape[-1] == k:
        return q, g
    rest, q = q[..., k:], q[..., :k]
    return q, g[..., :k] - xp.matmul(rest, xp.matmul(mT(xp, g[..., k:]), q))


# Cholesky


@primitive
def _cholesky(xp: Any, a: Array) -> Any:
    def rule(xp: Any, g: Array, y: Array, triangle: Array) -> Array:
        """Murray, Differentiation of the Cholesky decomposition (2016), equation 10."""
        want_real("cholesky", y)
        inner = xp.matmul(mT(xp, y), g) * triangle
        inner = call_in(xp, solve_triangular, y, inner, trans=1, lower=True)
        outer = call_in(xp, solve_triangular, y, mT(xp, inner), trans=1, lower=True)
        return _to_triangle(xp, outer, triangle)

    y = xp.linalg.cholesky(a)
    return y, (y, _half_triangle(xp, a.shape[-1], a.dtype)), rule


@composed
def cholesky(a: Any, upper: bool = False) -> Tensor:
    """The lower triangular `L` with `L @ L.T = a`, or with `upper` the `U` with `U.T @ U = a`.

    `a` is assumed symmetric: only that triangle is read, and only it has a gradient.
    """
    return swapaxes(_cholesky(swapaxes(a, -1, -2)), -1, -2) if upper else _cholesky(a)


# QR


@primitive_with_outputs
def _qr(xp: Any, a: Array, mode: str) -> Any:
    m, n = a.shape[-2:]
    k = min(m, n)

    def tall(xp: Any, g_q: Array, g_r: Array, q: Array, r: Array, triangle: Array) -> Array:
        """Walter and Lehmann, Algorithmic differentiation of linear algebra functions (2010), section 3.4."""
        inner = (xp.matmul(r, mT(xp, g_r)) - xp.matmul(mT(xp, g_q), q)) * triangle
        g = g_q + xp.matmul(q, inner + mT(xp, inner))
        return mT(xp, call_in(xp, solve_triangular, r, mT(xp, g)))

    def rule(xp: Any, gs: Any, needs: Any, a: Array, q: Array, r: Array, triangle: Array) -> Any:
        want_real("qr", a)
        q, g_q = _leading(xp, q, gs[0], k)
        r, g_r = r[..., :k, :], gs[1][..., :k, :]
        if m >= n:
            return (tall(xp, g_q, g_r, q, r, triangle),)
        # A wide matrix: its first m columns determine q, the others are q times the other columns of r.
        g_q = g_q + xp.matmul(a[..., m:], mT(xp, g_r[..., m:]))
        first = tall(xp, g_q, g_r[..., :m], q, r[..., :m], triangle)
        return (xp.concatenate([first, xp.matmul(q, g_r[..., m:])], axis=-1),)

    q, r = xp.linalg.qr(a, mode)
    return (q, r), (a, q, r, _half_triangle(xp, k, a.dtype)), JointRule(rule)


@overload
def qr(a: Any, mode: Literal["reduced", "complete"] = "reduced") -> QRResult: ...
@overload
def qr(a: Any, mode: str) -> Any: ...
def qr(a: Any, mode: str = "reduced") -> Any:
    """`(Q, R)` with orthonormal columns Q and an upper triangular R; `mode` is "reduced", "complete" or "r" (only R).

    Differentiable if the first min(m, n) columns of `a` are independent. Of the additional columns of a complete Q only
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
        want_real("svd", u)
        v, (g_u, g_s, g_v) = mT(xp, vt), (gs[0], gs[1], mT(xp, gs[2]))
        (u, g_u), (v, g_v) = _leading(xp, u, g_u, k), _leading(xp, v, g_v, k)
        ut, vt = mT(xp, u), mT(xp, v)
        row, column = xp.expand_dims(s, -2), xp.expand_dims(s, -1)
        f = _inverse_gaps(xp, s) * _inverse_or_zero(xp, row + column)  # 1 / (s[j]² − s[i]²)
        in_u, in_v = xp.matmul(ut, g_u), xp.matmul(vt, g_v)
        inner = f * (in_u - mT(xp, in_u)) * row + column * (f * (in_v - mT(xp, in_v)))
        g = xp.matmul(xp.matmul(u, inner) + u * xp.expand_dims(g_s, -2), vt)
        inverse = _inverse_or_zero(xp, row)
        if m > k:  # the part of the gradient outside the column space of u, then of v
            g = g + xp.matmul((g_u - xp.matmul(u, in_u)) * inverse, vt)
        if n > k:
            g = g + xp.matmul(u, mT(xp, (g_v - xp.matmul(v, in_v)) * inverse))
        return (g,)

    u, s, vt = xp.linalg.svd(a, full_matrices)
    return (u, s, vt), (u, s, vt), JointRule(rule)


@overload
def svd(a: Any, full_matrices: bool = True, compute_uv: Literal[True] = True) -> SVDResult: ...
@overload
def svd(a: Any, full_matrices: bool = True, *, compute_uv: Literal[False]) -> Tensor: ...
@overload
def svd(a: Any, full_matrices: bool = True, compute_uv: bool = True) -> Any: ...
def svd(a: Any, full_matrices: bool = True, compute_uv: bool = True) -> Any:
    """`(U, S, Vh)` with `a = U @ diag(S) @ Vh`, singular values in descending order; only S without `compute_uv`.

    Of the additional columns of full matrices only the space that they span has a derivative.
    """
    want_matrices("svd", a)
    return SVDResult(*_svd(a, full_matrices=full_matrices)) if compute_uv else svdvals(a)


@primitive
def svdvals(xp: Any, a: Array) -> Any:
    """The singular values in descending order. The derivative of a value of exactly 0 is 0."""

    def rule(xp: Any, g: Array, a: Array) -> Array:
        want_real("svdvals", a)
        u, s, vt = xp.linalg.svd(a, False)
        return xp.matmul(u * xp.expand_dims(xp.where(s > 0, g, 0), -2), vt)

    return xp.linalg.svd(a, False, False), (a,), rule


# Eigenvalues


@primitive_with_outputs
def _eigh(xp: Any, a: Array, UPLO: str = "L") -> Any:
    def rule(xp: Any, gs: Any, needs: Any, w: Array, v: Array, triangle: Array) -> Any:
        want_real("eigh", v)
        g_w, g_v = gs
        vt = mT(xp, v)
        inner = xp.matmul(v, _inverse_gaps(xp, w) * xp.matmul(vt, g_v)) + v * xp.expand_dims(g_w, -2)
        return (_to_triangle(xp, xp.matmul(inner, vt), triangle),)

    w, v = xp.linalg.eigh(a, UPLO)
    return (w, v), (w, v, _half_triangle(xp, a.shape[-1], w.dtype, UPLO.upper() == "U")), JointRule(rule)


def eigh(a: Any, UPLO: str = "L") -> EighResult:
    """`(eigenvalues, eigenvectors)` of a symmetric matrix: values in ascending order, vectors in columns.

    `a` is assumed symmetric: only the triangle `UPLO` is read, and only it has a gradient.
    """
    return EighResult(*_eigh(a, UPLO=UPLO))


@primitive
def eigvalsh(xp: Any, a: Array, UPLO: str = "L") -> Any:
    """The eigenvalues of a symmetric matrix in ascending order; see `eigh`."""

    def rule(xp: Any, g: Array, a: Array, triangle: Array) -> Array:
        want_real("eigvalsh", a)
        v = xp.linalg.eigh(a, UPLO)[1]
        return _to_triangle(xp, xp.matmul(v * xp.expand_dims(g, -2), mT(xp, v)), triangle)

    w = xp.linalg.eigvalsh(a, UPLO)
    return w, (a, _half_triangle(xp, a.shape[-1], w.dtype, UPLO.upper() == "U")), rule


@primitive_with_outputs
def _eig(xp: Any, a: Array) -> Any:
    def rule(xp: Any, gs: Any, needs: Any, w: Array, v: Array) -> Any:
        """Boeddeker et al., On the computation of complex-valued gradients (2017), for vectors of length 1."""
        g_w, g_v = gs
        along = xp.real(xp.sum(g_v * v, axis=-2, keepdims=True))
        g_v = g_v - xp.conj(v) * along
        vt = mT(xp, v)
        inner = xp.matmul(_inverse_gaps(xp, w) * xp.matmul(vt, g_v), vt) + xp.expand_dims(g_w, -1) * vt
        return (xp.linalg.solve(vt, inner),)

    w, v = xp.linalg.eig(a)
    return (w, v), (w, v), JointRule(rule)


def eig(a: Any) -> EigResult:
    """`(eigenvalues, eigenvectors)` of a square matrix: complex, or real if NumPy's are; vectors have length 1."""
    return EigResult(*_eig(a))


@composed
def eigvals(a: Any) -> Tensor:
    """The eigenvalues of a square matrix; see `eig`."""
    return eig(a).eigenvalues
