"""Matrix decompositions: Cholesky, QR, singular values, eigenvalues.

The factors of `svd`, `eigh` and `eig` are not unique: columns may change their signs (phases), and those that belong
to equal values may be rotated. A loss must not depend on that choice. Its gradient is then right for (nearly) equal
values too (`equal_values`); that of a loss which does depend on it is NaN. Second derivatives at equal values are right
for what depends on the values alone, else NaN. On a device, which is not asked for its values, a first-order gradient
through vectors of equal values is NaN; one with `create_graph=True` is right. Complex matrices have a gradient in `eig`
only.
"""

from __future__ import annotations

from typing import Any, Literal, NamedTuple, overload

import numpy as np

from ...backend import backend_of
from ...engine.primitive import JointRule, call_in, composed, primitive, primitive_with_outputs
from ...engine.slope import slope_at_kinks
from ...engine.tensor import Tensor
from ..arrays.shape import swapaxes
from .equal_values import Limits, is_recording, needs_limits, plain
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


def _gaps(xp: Any, values: Array) -> Array:
    """`values[j] - values[i]`."""
    return xp.expand_dims(values, -2) - xp.expand_dims(values, -1)


def _skew(xp: Any, x: Array) -> Array:
    return x - mT(xp, x)


def _largest(*parts: Array) -> Array:
    """The largest absolute value of every matrix of stacks."""
    arrays = [plain(x) for x in parts]
    host = backend_of(arrays[0]).xp
    return sum((host.max(host.abs(x), axis=(-2, -1), keepdims=True) for x in arrays if x.size), start=0.0)


def _leading(xp: Any, q: Array, g: Array, k: int) -> tuple[Array, Array]:
    """The first k of orthonormal columns and their gradient, including what the other columns contribute.

    Only the space that the others span has a derivative: they rotate as the first k do.
    """
    if q.shape[-1] == k:
        return q, g
    rest, q = q[..., k:], q[..., :k]
    return q, g[..., :k] - xp.matmul(rest, xp.matmul(mT(xp, g[..., k:]), q))


def _is_zero(g: Array) -> bool:
    """Whether a gradient is the zeros of an output that no loss depends on; a device is not asked."""
    return (
        isinstance(plain(g), np.ndarray) and not (isinstance(g, Tensor) and g.node is not None) and not plain(g).any()
    )


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
        """Townsend, Differentiating the singular value decomposition (2016).

        Its numerators are sums and differences of those of u and v, so that only where the sum has to vanish, since u
        and v may be rotated together, the denominator is a difference.
        """
        want_real("svd", u)
        g_s, limits = gs[1], Limits(xp, s, gs[1], (u, vt))
        slope_u, slope_v = limits.slopes
        v, g_v = mT(xp, vt), mT(xp, gs[2])
        slope_v = mT(limits.host, slope_v) if hasattr(slope_v, "ndim") else limits.host.zeros_like(plain(v))
        slope_u = slope_u if hasattr(slope_u, "ndim") else limits.host.zeros_like(plain(u))
        slope_u, slope_v = (
            _leading(limits.host, plain(u), slope_u, k)[1],
            _leading(limits.host, plain(v), slope_v, k)[1],
        )
        (u, g_u), (v, g_v) = _leading(xp, u, gs[0], k), _leading(xp, v, g_v, k)
        g = xp.matmul(u * xp.expand_dims(g_s, -2), mT(xp, v))
        if _is_zero(gs[0]) and _is_zero(gs[2]):
            return (g,)

        def parts(xp: Any, u: Array, g_u: Array, v: Array, g_v: Array) -> Any:
            in_u, in_v = xp.matmul(mT(xp, u), g_u), xp.matmul(mT(xp, v), g_v)
            skew_u, skew_v = _skew(xp, in_u), _skew(xp, in_v)
            out_u, out_v = g_u - xp.matmul(u, in_u), g_v - xp.matmul(v, in_v)
            return (skew_u + skew_v) * 0.5, (skew_u - skew_v) * 0.5, out_u, out_v

        host, c = limits.host, limits.c
        limits.size = _largest(g_u, g_v)
        both, apart, out_u, out_v = parts(xp, u, g_u, v, g_v)
        slopes = parts(host, plain(u), slope_u, plain(v), slope_v)
        row, column = xp.expand_dims(s, -2), xp.expand_dims(s, -1)
        c_row, c_column = c[..., None, :], c[..., :, None]
        inner = limits.quotient(both, row - column, slopes[0], c_row - c_column)
        inner = inner + limits.quotient(apart, row + column, slopes[1], c_row + c_column)
        g = g + xp.matmul(xp.matmul(u, inner), mT(xp, v))
        if m > k:  # the part of the gradient outside the column space of u, then of v
            g = g + xp.matmul(limits.quotient(out_u, row, slopes[2], c_row), mT(xp, v))
        if n > k:
            g = g + xp.matmul(u, mT(xp, limits.quotient(out_v, row, slopes[3], c_row)))
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
    if not compute_uv:
        return svdvals(a)
    result = SVDResult(*_svd(a, full_matrices=full_matrices))
    needs_limits(result.S, (0, 2), zero=True)
    return result


def svdvals(a: Any) -> Tensor:
    """The singular values in descending order. The derivative of a value of exactly 0 is 0."""
    return _kink_at_zero(svd(a, full_matrices=False).S) if is_recording(a) else _svdvals(a)


@primitive
def _kink_at_zero(xp: Any, s: Array) -> Any:
    """s, whose gradient is 0 where it is 0; the gradient's own derivative passes."""

    def rule(xp: Any, g: Array, s: Array, y: Array) -> Array:
        slope = slope_at_kinks(g, y)
        return xp.where(s > 0, g, 0) if slope is None else xp.where(s > 0, g, s * slope)

    y = xp.positive(s)
    return y, (s, y), rule


@primitive
def _svdvals(xp: Any, a: Array) -> Any:
    return xp.linalg.svd(a, False, False), (), ()


# Eigenvalues


@primitive_with_outputs
def _eigh(xp: Any, a: Array, UPLO: str = "L") -> Any:
    def rule(xp: Any, gs: Any, needs: Any, w: Array, v: Array, triangle: Array) -> Any:
        want_real("eigh", v)
        g_w, g_v = gs
        inner = v * xp.expand_dims(g_w, -2)
        if not _is_zero(g_v):
            limits = Limits(xp, w, g_w, (v,))
            limits.size = _largest(g_v)
            numerator = _skew(xp, xp.matmul(mT(xp, v), g_v)) * 0.5
            slope = limits.slopes[0]
            if hasattr(slope, "ndim"):
                slope = _skew(limits.host, limits.host.matmul(mT(limits.host, plain(v)), slope)) * 0.5
            inner = inner + xp.matmul(v, limits.quotient(numerator, _gaps(xp, w), slope, _gaps(limits.host, limits.c)))
        return (_to_triangle(xp, xp.matmul(inner, mT(xp, v)), triangle),)

    w, v = xp.linalg.eigh(a, UPLO)
    return (w, v), (w, v, _half_triangle(xp, a.shape[-1], w.dtype, UPLO.upper() == "U")), JointRule(rule)


def eigh(a: Any, UPLO: str = "L") -> EighResult:
    """`(eigenvalues, eigenvectors)` of a symmetric matrix: values in ascending order, vectors in columns.

    `a` is assumed symmetric: only the triangle `UPLO` is read, and only it has a gradient.
    """
    result = EighResult(*_eigh(a, UPLO=UPLO))
    needs_limits(result.eigenvalues, (1,))
    return result


def eigvalsh(a: Any, UPLO: str = "L") -> Tensor:
    """The eigenvalues of a symmetric matrix in ascending order; see `eigh`."""
    return eigh(a, UPLO).eigenvalues if is_recording(a) else _eigvalsh(a, UPLO=UPLO)


@primitive
def _eigvalsh(xp: Any, a: Array, UPLO: str = "L") -> Any:
    return xp.linalg.eigvalsh(a, UPLO), (), ()


@primitive_with_outputs
def _eig(xp: Any, a: Array) -> Any:
    def rule(xp: Any, gs: Any, needs: Any, w: Array, v: Array) -> Any:
        """Boeddeker et al., On the computation of complex-valued gradients (2017), for vectors of length 1."""
        g_w, g_v = gs
        vt = mT(xp, v)
        inner = xp.expand_dims(g_w, -1) * vt
        if not _is_zero(g_v):

            def numerator(xp: Any, g_v: Array, v: Array) -> Array:
                along = xp.real(xp.sum(g_v * v, axis=-2, keepdims=True))
                return xp.matmul(mT(xp, v), g_v - xp.conj(v) * along)

            limits = Limits(xp, w, g_w, (v,))
            limits.size = _largest(g_v)
            slope = limits.slopes[0]
            slope = numerator(limits.host, slope, plain(v)) if hasattr(slope, "ndim") else slope
            quotient = limits.quotient(numerator(xp, g_v, v), _gaps(xp, w), slope, _gaps(limits.host, limits.c))
            diagonal = limits.host.eye(w.shape[-1], dtype=bool)
            inner = inner + xp.matmul(xp.where(diagonal, 0, quotient), vt)
        return (xp.linalg.solve(vt, inner),)

    w, v = xp.linalg.eig(a)
    return (w, v), (w, v), JointRule(rule)


def eig(a: Any) -> EigResult:
    """`(eigenvalues, eigenvectors)` of a square matrix: complex, or real if NumPy's are; vectors have length 1."""
    result = EigResult(*_eig(a))
    needs_limits(result.eigenvalues, (1,))
    return result


@composed
def eigvals(a: Any) -> Tensor:
    """The eigenvalues of a square matrix; see `eig`."""
    return eig(a).eigenvalues
