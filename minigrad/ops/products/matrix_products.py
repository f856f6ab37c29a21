"""Matrix and tensor products. A weight's gradient is kept as two factors, which the gradient pool multiplies."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from ...engine.gradient_pool import OuterProduct, RowSum, unbroadcast
from ...engine.matrix_product import array_dot
from ...engine.primitive import FUNCTION_OF, call_in, composed, primitive
from ...engine.summation import LONG, accurate_sum, half_to_single, long_product
from ...engine.tensor import Tensor
from ..arrays.shape import axis_in, expand_dims, moveaxis, ndim, reshape, shape, squeeze, transpose
from ..elementwise.arithmetic import astype, multiply
from ..elementwise.complex import conj

Array = Any
__all__ = ["linear", "linear_sum", "matmul", "outer", "tensordot"]
__all__ += ["cross", "dot", "inner", "kron", "matvec", "trace", "vdot", "vecdot", "vecmat"]


@primitive
def matmul(xp: Any, a: Array, b: Array) -> Any:
    """`a @ b` by NumPy's rules: vectors, matrices, and stacks of matrices that broadcast."""
    return _product(xp, a, b), (a, b), (_by_left, _by_right)


def _product(xp: Any, a: Array, b: Array) -> Array:
    """`a @ b`; a stack times one matrix is one product of all its rows, which is faster in both libraries.

    For two matrices the method `dot` costs 0.5 µs less than NumPy's `matmul`.
    """
    if a.ndim == 2 and b.ndim == 2:
        return array_dot(a, b) if len(b) <= LONG else long_product(a, b)
    if a.ndim <= 2 and b.ndim <= 2 and a.ndim and b.ndim and len(b) > LONG:
        return long_product(a, b)
    if a.ndim > 2 and b.ndim == 2:
        return xp.reshape(array_dot(_rows(xp, a), b), (*a.shape[:-1], b.shape[1]))
    return xp.matmul(a, b)


def _by_left(xp: Any, g: Array, a: Array, b: Array) -> Any:
    if a.ndim == 2 and b.ndim <= 2:
        return OuterProduct(g.T, b.T) if b.ndim == 2 else OuterProduct(g[None], b[None])
    if b.ndim == 1:
        return xp.expand_dims(g, -1) * b if a.ndim > 1 else g * b
    if a.ndim == 1:
        g = xp.expand_dims(g, -2)
        return unbroadcast(xp, _product(xp, g, xp.swapaxes(b, -1, -2)), (1, *a.shape), defer=False)[0]
    return _product(xp, g, b.T if b.ndim == 2 else xp.swapaxes(b, -1, -2))


def _by_right(xp: Any, g: Array, a: Array, b: Array) -> Any:
    if b.ndim == 2:
        return OuterProduct(_rows(xp, a), _rows(xp, g)) if a.ndim > 1 else OuterProduct(a[None], g[None])
    if a.ndim == 1:
        return xp.expand_dims(a, -1) * xp.expand_dims(g, -2) if b.ndim > 1 else g * a
    if b.ndim == 1:
        g = xp.expand_dims(g, -1)
        return unbroadcast(xp, _product(xp, xp.swapaxes(a, -1, -2), g), (*b.shape, 1), defer=False)[..., 0]
    return xp.matmul(xp.swapaxes(a, -1, -2), g)


def _rows(xp: Any, x: Array) -> Array:
    return x if x.ndim == 2 else xp.reshape(x, (math.prod(x.shape[:-1]), x.shape[-1]))


@primitive
def linear(xp: Any, x: Array, W: Array, b: Array = None) -> Any:
    """`x @ W.T + b`, which is the lecture's `W x + b` for each row of `x`.

    Shapes: x (..., n), W (m, n), b (m,) or None; the result (..., m), in the dtype of `x @ W.T + b`.
    """
    if b is not None and tuple(b.shape) != W.shape[:1]:
        raise ValueError(f"want b of shape {W.shape[:1]} for W of shape {W.shape}")
    y = array_dot(x, W.T) if x.ndim <= 2 else _product(xp, x, W.T)
    if b is not None:
        row = y[0] if len(y) == 1 and y.ndim == 2 else y  # adding two vectors costs half of a broadcast
        if b.dtype is y.dtype or b.dtype == y.dtype:
            row += b
        else:
            y = y + b
    return y, (x, W), _LINEAR


_LINEAR = (
    lambda xp, g, x, W: _product(xp, g, W),
    lambda xp, g, x, W: OuterProduct(g, x) if g.ndim == 2 else OuterProduct(_rows(xp, g), _rows(xp, x)),
    lambda xp, g, x, W: RowSum(g) if g.ndim == 2 else g if g.ndim == 1 else RowSum(_rows(xp, g)),
)


@primitive
def linear_sum(xp: Any, x: Array, Wx: Array, h: Array, Wh: Array, b: Array = None) -> Any:
    """`x @ Wx.T + b + h @ Wh.T`: what two inputs of a recurrent net contribute together, as one operation.

    Shapes: x (..., n), Wx (m, n), h (..., k), Wh (m, k), b (m,) or None; the result (..., m). The axes before the last
    are the same in both inputs.
    """
    of_arrays = FUNCTION_OF[linear]
    y, z = of_arrays(xp, x, Wx, b)[0], of_arrays(xp, h, Wh)[0]
    if y.shape != z.shape:
        raise ValueError(f"want equal shapes: x with Wx gives {y.shape}, h with Wh {z.shape}")
    if z.dtype is y.dtype or z.dtype == y.dtype:
        y += z
    else:
        y = y + z
    return y, (x, Wx, h, Wh), _LINEAR_SUM


_LINEAR_SUM = (
    lambda xp, g, x, Wx, h, Wh: _product(xp, g, Wx),
    lambda xp, g, x, Wx, h, Wh: _LINEAR[1](xp, g, x, Wx),
    lambda xp, g, x, Wx, h, Wh: _product(xp, g, Wh),
    lambda xp, g, x, Wx, h, Wh: _LINEAR[1](xp, g, h, Wh),
    lambda xp, g, x, Wx, h, Wh: _LINEAR[2](xp, g, x, Wx),
)


@primitive
def outer(xp: Any, a: Array, b: Array) -> Any:
    """All products of the elements of two vectors, (n,) and (m,) → (n, m). Other arrays are flattened first."""
    n, m = a.shape, b.shape
    return (
        xp.outer(a, b),
        (a, b),
        (
            lambda xp, g, a, b: xp.reshape(_product(xp, g, xp.reshape(b, (-1,))), n),
            lambda xp, g, a, b: xp.reshape(_product(xp, xp.reshape(a, (-1,)), g), m),
        ),
    )


@primitive
def tensordot(xp: Any, a: Array, b: Array, axes: Any = 2) -> Any:
    """The sum of products over pairs of axes: the last N of `a` and first N of `b` for a number N, else `(a's, b's)`.

    The result has the other axes of `a`, then those of `b`. The gradient of a matrix with one summed axis, which may be
    a weight, is kept as factors.
    """
    left, right = _summed_axes(axes, a.ndim, b.ndim)
    rows, columns = _without(a.ndim, left), _without(b.ndim, right)
    n = len(rows)
    # The axes of a and of b in the order in which the products with g leave them
    order_a = [*rows, *(left[right.index(k)] for k in sorted(right))]
    order_b = [*(right[left.index(k)] for k in sorted(left)), *columns]

    def by_left(xp: Any, g: Array, a: Array, b: Array) -> Any:
        if len(left) == 1 and a.ndim == 2:
            count = math.prod(g.shape[1:])
            x = xp.reshape(xp.transpose(b, (*columns, *right)), (count, b.shape[right[0]]))
            g = xp.reshape(g, (g.shape[0], count)).T
            return OuterProduct(g, x) if left[0] == 1 else OuterProduct(x, g)
        y = _contraction(xp, g, b, range(n, g.ndim), columns)
        return xp.transpose(y, tuple(np.argsort(order_a).tolist()))

    def by_right(xp: Any, g: Array, a: Array, b: Array) -> Any:
        if len(right) == 1 and b.ndim == 2:
            x = xp.reshape(xp.transpose(a, (*rows, *left)), (math.prod(g.shape[:-1]), a.shape[left[0]]))
            g = _rows(xp, g) if g.ndim > 1 else g[None]
            return OuterProduct(x, g) if right[0] == 0 else OuterProduct(g, x)
        y = _contraction(xp, a, g, rows, range(n))
        return xp.transpose(y, tuple(np.argsort(order_b).tolist()))

    is_matmul = b.ndim == 2 and (left, right) == ([a.ndim - 1], [0])
    y = _product(xp, a, b) if is_matmul else _contraction(xp, a, b, left, right)
    return y, (a, b), (by_left, by_right)


def _contraction(xp: Any, a: Array, b: Array, left: Sequence[int], right: Sequence[int]) -> Array:
    """`xp.tensordot(a, b, axes=(left, right))` as one product of matrices."""
    rows, columns = _without(a.ndim, left), _without(b.ndim, right)
    height, width = [a.shape[k] for k in rows], [b.shape[k] for k in columns]
    depth = math.prod(a.shape[k] for k in left)
    matrix_a = xp.reshape(xp.transpose(a, (*rows, *left)), (math.prod(height), depth))
    matrix_b = xp.reshape(xp.transpose(b, (*right, *columns)), (depth, math.prod(width)))
    return xp.reshape(_product(xp, matrix_a, matrix_b), (*height, *width))


def _summed_axes(axes: Any, n: int, m: int) -> tuple[list[int], list[int]]:
    """The axes of both arrays that `tensordot` sums over, counted from the front."""
    if isinstance(axes, (int, np.integer)):
        left: Any = range(n - int(axes), n)
        right: Any = range(int(axes))
    else:
        left, right = ([part] if isinstance(part, (int, np.integer)) else part for part in axes)
    left, right = [int(k) for k in left], [int(k) for k in right]
    if len(left) != len(right) or any(not -n <= k < n for k in left) or any(not -m <= k < m for k in right):
        raise ValueError(f"axes: got {axes!r} for {n} and {m} axes, want pairs of existing axes")
    return [k % n for k in left], [k % m for k in right]


def _without(n: int, axes: Sequence[int]) -> list[int]:
    return [k for k in range(n) if k not in axes]


def _as_array(x: Any) -> Any:
    """Turn a list into a tensor; leave tensors and arrays as they are."""
    return x if hasattr(x, "shape") else reshape(x, np.shape(x))


@composed
def dot(a: Any, b: Any) -> Tensor:
    """NumPy's `dot`: the sum over the last axis of `a` and the last but one of `b`; with a scalar, the product."""
    n, m = ndim(a), ndim(b)
    if n == 0 or m == 0:
        return multiply(a, b)
    return matmul(a, b) if m <= 2 else tensordot(a, b, axes=(-1, -2))


@composed
def inner(a: Any, b: Any) -> Tensor:
    """The sum over the last axis of both; with a scalar, the product."""
    n, m = ndim(a), ndim(b)
    if n == 0 or m == 0:
        return multiply(a, b)
    if m <= 2:
        return matmul(a, b if m == 1 else transpose(b))
    return tensordot(a, b, axes=(-1, -1))


@composed
def vdot(a: Any, b: Any) -> Tensor:
    """The sum of all products of two flattened arrays of equal size; complex values of the first are conjugated."""
    return matmul(_conjugate(reshape(a, (-1,))), reshape(b, (-1,)))


def _conjugate(x: Any) -> Any:
    return conj(x) if np.dtype(getattr(x, "dtype", float)).kind == "c" else x


def _inner(xp: Any, a: Array, b: Array) -> Array:
    """The sums of products along the last axis; `einsum` would add many of them one by one, in their own dtype."""
    if a.dtype.char == b.dtype.char == "e":
        return _inner(xp, half_to_single(a), half_to_single(b)).astype(a.dtype)
    return accurate_sum(a * b, -1) if a.shape[-1] > LONG else xp.einsum("...i,...i->...", a, b)


@primitive
def _vecdot(xp: Any, a: Array, b: Array) -> Any:
    return (
        _inner(xp, a, b),
        (a, b),
        (lambda xp, g, a, b: xp.expand_dims(g, -1) * b, lambda xp, g, a, b: xp.expand_dims(g, -1) * a),
    )


@composed
def vecdot(x1: Any, x2: Any, axis: int = -1) -> Tensor:
    """The inner products of vectors along `axis`; other axes broadcast, complex values of the first are conjugated."""
    x1, x2 = (_move_axis(_as_array(x), axis, -1, "vecdot: axis") for x in (x1, x2))
    if x1.shape[-1] != x2.shape[-1]:
        raise ValueError(f"vecdot: got shapes {x1.shape} and {x2.shape}, {axis=}, want equal lengths along it")
    return _vecdot(_conjugate(x1), x2)


@composed
def matvec(x1: Any, x2: Any) -> Tensor:
    """Matrices times vectors, in stacks that broadcast: (..., m, n) and (..., n) → (..., m)."""
    x1, x2 = _as_array(x1), _as_array(x2)
    if x1.ndim < 2:
        raise ValueError(f"matvec: got shapes {x1.shape} and {x2.shape}, want a matrix first")
    if x1.ndim == 2:
        return matmul(x2, transpose(x1))
    return matmul(x1, x2) if x2.ndim == 1 else squeeze(matmul(x1, expand_dims(x2, -1)), -1)


@composed
def vecmat(x1: Any, x2: Any) -> Tensor:
    """Vectors (conjugated if complex) times matrices, in stacks that broadcast: (..., n) and (..., n, m) → (..., m)."""
    x1, x2 = _conjugate(_as_array(x1)), _as_array(x2)
    if x2.ndim < 2:
        raise ValueError(f"vecmat: got shapes {x1.shape} and {x2.shape}, want a matrix last")
    return matmul(x1, x2) if x2.ndim == 2 or x1.ndim == 1 else squeeze(matmul(expand_dims(x1, -2), x2), -2)


@composed
def kron(a: Any, b: Any) -> Tensor:
    """The Kronecker product: every element of `a` times all of `b`, as blocks."""
    n = max(ndim(a), ndim(b))
    sizes_a, sizes_b = ((1,) * (n - ndim(x)) + shape(x) for x in (a, b))
    a = reshape(a, tuple(size for k in sizes_a for size in (k, 1)))
    b = reshape(b, tuple(size for k in sizes_b for size in (1, k)))
    return reshape(multiply(a, b), tuple(p * q for p, q in zip(sizes_a, sizes_b)))


def _move_axis(x: Any, source: int, target: int, name: str) -> Any:
    """`moveaxis`, with `name` in its error; `x` itself where nothing moves."""
    source, target = axis_in(source, x.ndim, name), axis_in(target, x.ndim, name)
    return x if source == target else moveaxis(x, source, target)


@primitive
def _cross(xp: Any, a: Array, b: Array) -> Any:
    a0, a1, a2 = a[..., 0], a[..., 1], a[..., 2]
    b0, b1, b2 = b[..., 0], b[..., 1], b[..., 2]
    y = xp.stack([a1 * b2 - a2 * b1, a2 * b0 - a0 * b2, a0 * b1 - a1 * b0], axis=-1)
    rules = (lambda xp, g, a, b: call_in(xp, _cross, b, g), lambda xp, g, a, b: call_in(xp, _cross, g, a))
    return y, (a, b), rules


def _with_third_coordinate(x: Any) -> Tensor:
    """Vectors of two coordinates with a third one of zero, in their own dtype."""
    one = 1.0 if x.dtype.kind in "fc" else 1
    y = matmul(x, [[one, 0 * one, 0 * one], [0 * one, one, 0 * one]])
    return y if y.dtype == x.dtype else astype(y, x.dtype)


@composed
def cross(a: Any, b: Any, axisa: int = -1, axisb: int = -1, axisc: int = -1, axis: int | None = None) -> Tensor:
    """The cross product of vectors of three, along the last axis or the given ones; the other axes broadcast.

    A vector of two coordinates gets a third one of 0; for two such vectors only the product's third one is returned.
    """
    if axis is not None:
        axisa = axisb = axisc = axis
    a, b = _move_axis(_as_array(a), axisa, -1, "cross: axisa"), _move_axis(_as_array(b), axisb, -1, "cross: axisb")
    flat = a.shape[-1] == b.shape[-1] == 2
    if any(x.shape[-1] not in (2, 3) for x in (a, b)):
        raise ValueError(f"cross: got vectors of {a.shape[-1]} and {b.shape[-1]}, want two or three coordinates")
    a, b = (_with_third_coordinate(x) if x.shape[-1] == 2 else x for x in (a, b))
    c = _cross(a, b)
    return c[..., 2] if flat else _move_axis(c, -1, axisc, "cross: axisc")


@primitive
def trace(xp: Any, x: Array, offset: int = 0, axis1: int = 0, axis2: int = 1) -> Any:
    """The sum along a diagonal of two axes, `offset` positions above the main one."""
    options = {"shape": x.shape, "offset": offset, "axis1": axis1, "axis2": axis2}
    return (
        accurate_sum(xp.diagonal(x, offset, axis1, axis2), -1),
        (),
        (lambda xp, g: call_in(xp, _spread_over_diagonal, g, **options), None),
    )


@primitive
def _spread_over_diagonal(xp: Any, g: Array, shape: Any, offset: int, axis1: int, axis2: int) -> Any:
    """The adjoint of `trace`: zeros of `shape` with `g` at every position of the diagonal."""
    n, m = shape[axis1], shape[axis2]
    row, column = max(-offset, 0), max(offset, 0)
    start, count = row * m + column, max(min(n - row, m - column), 0)
    y = xp.zeros((n * m, *g.shape), dtype=g.dtype)
    y[start : start + count * (m + 1) : m + 1] = g
    y = xp.moveaxis(xp.reshape(y, (n, m, *g.shape)), (0, 1), (axis1, axis2))
    return y, (), lambda xp, g: xp.trace(g, offset, axis1, axis2)
