"""Matrix powers, chain products and exponentials, and `numpy.linalg`'s variants of functions that NumPy has too."""

from __future__ import annotations

import math
import operator
from collections.abc import Sequence
from typing import Any

import numpy as np

from ...backend import backend_of
from ...engine.primitive import composed
from ...engine.tensor import Tensor
from ..arrays.conversion import to_tensor
from ..arrays.shape import matrix_transpose as matrix_transpose, reshape, shape, size
from ..elementwise.arithmetic import multiply, positive, where
from ..manipulation import diagonals
from ..products import matrix_products as products
from ..products.matrix_products import matmul, tensordot as tensordot, vecdot as vecdot
from ..reductions.reductions import max as largest, sum as sum_over
from .solving import inv, solve, want_matrices

Array = Any
__all__ = ["expm", "matrix_power", "multi_dot"]
__all__ += ["cross", "diagonal", "matmul", "matrix_transpose", "outer", "tensordot", "trace", "vecdot"]


@composed
def matrix_power(a: Any, n: int) -> Tensor:
    """The product of `n` factors `a` by repeated squaring, of the inverse for negative n; for n = 0 a constant."""
    a = to_tensor(a)
    want_matrices("matrix_power", a, square=True)
    n = operator.index(n)
    if n == 0:
        xp = backend_of(a._array).xp
        return Tensor(xp.zeros(a.shape, dtype=a.dtype) + xp.eye(a.shape[-1], dtype=a.dtype))
    square, n = (inv(a), -n) if n < 0 else (a, n)
    while n % 2 == 0:
        square, n = matmul(square, square), n // 2
    power = square
    while n := n // 2:
        square = matmul(square, square)
        power = matmul(power, square) if n % 2 else power
    return power


@composed
def multi_dot(arrays: Sequence[Any]) -> Tensor:
    """The product of matrices in the cheapest order; the first and the last may be vectors."""
    if len(arrays) < 2:
        raise ValueError(f"multi_dot: arrays: got {len(arrays)}, want at least two")
    arrays = [to_tensor(a) for a in arrays]
    if len(arrays) == 2:
        return products.dot(*arrays)
    first, last = arrays[0].ndim == 1, arrays[-1].ndim == 1
    chain = list(arrays)
    chain[0] = reshape(chain[0], (1, -1)) if first else chain[0]
    chain[-1] = reshape(chain[-1], (-1, 1)) if last else chain[-1]
    y = _multiply(chain, _cuts([a.shape[0] for a in chain] + [chain[-1].shape[1]]), 0, len(chain) - 1)
    return reshape(y, y.shape[first : 2 - last]) if first or last else y


def _cuts(sizes: list[int]) -> dict[tuple[int, int], int]:
    """After which matrix to split the product of matrices i to j (Cormen et al., Introduction to Algorithms, 15.2)."""
    n = len(sizes) - 1
    cost = {(i, i): 0 for i in range(n)}
    cuts = {}
    for length in range(1, n):
        for i in range(n - length):
            j = i + length
            cost[i, j], cuts[i, j] = min(
                (cost[i, k] + cost[k + 1, j] + sizes[i] * sizes[k + 1] * sizes[j + 1], k) for k in range(i, j)
            )
    return cuts


def _multiply(chain: list[Any], cuts: dict[tuple[int, int], int], i: int, j: int) -> Any:
    if i == j:
        return chain[i]
    k = cuts[i, j]
    return matmul(_multiply(chain, cuts, i, k), _multiply(chain, cuts, k + 1, j))


PADE = [
    math.factorial(26 - k) * math.factorial(13) / (math.factorial(26) * math.factorial(k) * math.factorial(13 - k))
    for k in range(14)
]
"""The coefficients of the numerator of the [13/13] Padé approximant of exp."""
MAX_NORM = 5.371920351148152
"""The norm up to which the approximant is exact to double precision."""


@composed
def expm(a: Any) -> Tensor:
    """The exponential of every matrix of a stack, by scaling and squaring with the [13/13] Padé approximant.

    Higham, The scaling and squaring method for the matrix exponential revisited (2005). The norm of each matrix decides
    how often it is halved, which synchronises with the device.
    """
    a = to_tensor(a)
    want_matrices("expm", a, square=True)
    if not a.size:
        return positive(a)
    backend = backend_of(a._array)
    norms = largest(sum_over(abs(a.detach()), axis=-2), axis=-1).numpy().astype(np.float64)
    halvings = np.ceil(np.log2(np.maximum(np.where(np.isfinite(norms), norms, 0) / MAX_NORM, 1)))[..., None, None]
    most = int(halvings.max())
    dtype = a.dtype if a.dtype.kind in "fc" else np.dtype(np.float64)
    one = Tensor(backend.xp.eye(a.shape[-1], dtype=dtype))
    a = multiply(a, Tensor(backend.from_numpy(np.asarray(0.5**halvings, dtype))) if most else 1.0)
    a2 = matmul(a, a)
    a4 = matmul(a2, a2)
    a6 = matmul(a4, a2)

    def even(c: Sequence[float]) -> Any:
        high = a6 * c[12] + a4 * c[10] + a2 * c[8]
        return matmul(a6, high) + a6 * c[6] + a4 * c[4] + a2 * c[2] + one * c[0]

    # exp(a) ≈ p(a) / p(−a), where p is the sum of an even part v and an odd part u, as in Higham's paper
    u, v = matmul(a, even([*PADE[1:], 0.0])), even(PADE)
    y = solve(v - u, v + u)
    for k in range(most):
        squared, again = matmul(y, y), halvings > k
        y = squared if again.all() else where(Tensor(backend.from_numpy(again)), squared, y)
    return y


def trace(x: Any, offset: int = 0) -> Tensor:
    """The sum along a diagonal of every matrix of a stack (`minigrad.trace` takes the first two axes)."""
    return products.trace(x, offset, -2, -1)


def diagonal(x: Any, offset: int = 0) -> Tensor:
    """A diagonal of every matrix of a stack (`minigrad.diagonal` takes the first two axes)."""
    return diagonals.diagonal(x, offset, -2, -1)


def outer(x1: Any, x2: Any) -> Tensor:
    """All products of the elements of two vectors (`minigrad.outer` also accepts other arrays and flattens them)."""
    if shape(x1) != (size(x1),) or shape(x2) != (size(x2),):
        raise ValueError(f"outer: got shapes {shape(x1)} and {shape(x2)}, want two vectors")
    return products.outer(x1, x2)


def cross(x1: Any, x2: Any, axis: int = -1) -> Tensor:
    """The cross product of vectors of three elements."""
    for x in (x1, x2):
        if not -x.ndim <= axis < x.ndim:
            raise np.exceptions.AxisError(f"cross: axis: got {axis} for shape {x.shape}")
    if x1.shape[axis] != 3 or x2.shape[axis] != 3:
        raise ValueError(f"cross: got shapes {x1.shape} and {x2.shape}, want three coordinates along axis {axis}")
    return products.cross(x1, x2, axis=axis)
