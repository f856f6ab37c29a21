"""Sums and means that stay accurate over many values, along any axes and in every memory order.

NumPy adds pairwise along the axis that lies innermost in memory and row by row, in the array's own dtype, along every
other: 10⁶ rows of float32 lose three digits, and float16 stops growing at 2048 times its addend. Here other axes are
summed by products with ones, a block of rows at a time, which is also several times faster, and float16 in float32.
The order of the additions depends on shape and memory order alone.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.lib.array_utils import normalize_axis_tuple

from .matrix_product import array_dot

Array = Any

FEW = 1024
"""Values up to which NumPy's own sum is taken (not of float16): it is as fast, and no sum has more terms than that."""
ROWS = 128
"""Rows that one product with ones adds up; as many sums of blocks are added by the next one."""
LONG = 1024
"""Values of a product with a vector that are left to BLAS at once."""
SMALL_PRODUCT = 1 << 20
"""Multiplications up to which OpenBLAS takes its kernels for small matrices, which do not divide the inner axis."""
CHUNK = 1 << 16
"""Values of float16 that are converted at once, so that they stay in the cache."""
numpy_sum: Callable[..., Any] = np.add.reduce
"""(x, axis, dtype, None, keepdims): what the method `sum` calls after half a microsecond."""
_ONES = {dtype: np.ones(ROWS, dtype) for dtype in "fd"}


def accurate_sum(x: Array, axis: Any = None, keepdims: bool = False) -> Array:
    """`x.sum(axis, keepdims=keepdims)`, accurate for NumPy arrays of floats too.

    Of a tensor it is the operation `sum`, which calls this function; a device adds in trees by itself.
    """
    if type(x) is not np.ndarray:
        return x.sum(axis=axis, keepdims=keepdims)
    if x.dtype.char == "e":
        return wide_sum(x, axis, keepdims).astype(np.float16)
    if x.size <= FEW:
        return numpy_sum(x, axis, None, None, keepdims)
    return wide_sum(x, axis, keepdims)


def accurate_mean(x: Array, axis: Any = None, keepdims: bool = False) -> Array:
    """`x.mean(axis, keepdims=keepdims)`, from the accurate sum; of float16 that sum may exceed float16's range."""
    if type(x) is not np.ndarray or x.dtype.char not in "efdFD" or not x.size or not x.ndim:
        return x.mean(axis=axis, keepdims=keepdims)
    total = wide_sum(x, axis, keepdims)
    y = total / (x.size // (total.size or 1))
    return y.astype(np.float16) if x.dtype.char == "e" else y


def product_over_rows(left: Array, right: Array) -> Array:
    """`left.T @ right` of (n, p) and (n, q), accurate over many rows; of float16 in float32."""
    if len(left) <= LONG and left.dtype.char != "e":
        return array_dot(left.T, right)  # at half the price of `@`
    if type(left) is np.ndarray and type(right) is np.ndarray and left.dtype.char == right.dtype.char == "e":
        return product_over_rows(left.astype(np.float32), right.astype(np.float32)).astype(np.float16)
    return long_product(left.T, right) if len(left) > LONG else array_dot(left.T, right)


def long_product(a: Array, b: Array) -> Array:
    """`a @ b` of vectors or matrices, (k,) or (n, k) and (k,) or (k, m), accurate for large k too.

    BLAS takes a large product of matrices in blocks, but one with a vector, or a small one, value by value. In blocks
    of `LONG`, then.
    """
    k = a.shape[-1]
    if k <= LONG:
        return array_dot(a, b)
    narrow = a.ndim == 1 or b.ndim == 1 or a.shape[0] == 1 or b.shape[1] == 1
    narrow = narrow or 4 * LONG < k <= SMALL_PRODUCT // (a.shape[0] * b.shape[1] or 1)
    if not narrow or type(a) is not np.ndarray or type(b) is not np.ndarray:
        return array_dot(a, b)
    m = k // LONG
    left = (a if a.ndim == 2 else a[None])[:, : m * LONG].reshape(-1, m, LONG).transpose(1, 0, 2)
    right = (b if b.ndim == 2 else b[:, None])[: m * LONG].reshape(m, LONG, -1)
    y = accurate_sum(np.matmul(left, right), 0).reshape(a.shape[:-1] + b.shape[1:])
    return y + a[..., m * LONG :].dot(b[m * LONG :]) if k % LONG else y


def half_to_single(x: Array) -> Array:
    """`x`, an array or a tensor, as float32 if it is float16, whose squares and sums leave its range; else itself."""
    return x.astype("float32") if x.dtype.char == "e" else x


def wide_sum(x: Array, axis: Any = None, keepdims: bool = False) -> Array:
    """The accurate sum of a NumPy array; of float16 it is not rounded to float16, but float32."""
    kind = x.dtype.char
    if kind == "e":
        if x.size <= FEW:
            return x.astype(np.float32).sum(axis=axis, keepdims=keepdims)
    elif x.size <= FEW or kind not in "fdFD":
        return x.sum(axis=axis, keepdims=keepdims)
    elif x.flags.c_contiguous:
        if axis is None or axis == -1 or axis == x.ndim - 1:
            return x.sum(axis=axis, keepdims=keepdims)  # pairwise
        if axis == 0 and x.ndim == 2 and not keepdims:
            return _sum_rows(x)
    elif axis is None and not keepdims and 0 not in x.strides:
        return x.ravel("K").sum()  # in memory order: a view of any array without gaps
    return _sum(x, axis, keepdims)


def _sum(x: Array, axis: Any, keepdims: bool) -> Array:
    """The sum of more than a few values: the axes are brought into memory order, and neighbours merged."""
    shape, ndim = x.shape, x.ndim
    axes = tuple(range(ndim)) if axis is None else normalize_axis_tuple(axis, ndim)
    if x.dtype.char != "e" and math.prod([shape[k] for k in axes]) <= ROWS // 2:
        return x.sum(axis=axis, keepdims=keepdims)
    if x.flags.c_contiguous:
        order = [k for k in range(ndim) if shape[k] != 1]
    else:
        order = [k for k in sorted(range(ndim), key=lambda k: -abs(x.strides[k])) if shape[k] != 1]
    repeats = 1
    while order and x.strides[order[-1]] == 0:  # broadcast: one value many times, as gradients of sums are
        k = order.pop()
        if k in axes:
            repeats *= shape[k]
            x = x[(slice(None),) * k + (slice(0, 1),)]
        else:
            order.insert(0, k)
            break
    sizes: list[int] = []
    summed: list[bool] = []
    stride = 0
    for k in order:
        if sizes and (k in axes) is summed[-1] and stride == x.strides[k] * shape[k]:
            sizes[-1] *= shape[k]
        else:
            sizes.append(shape[k])
            summed.append(k in axes)
        stride = x.strides[k]
    if len(order) < ndim or order != sorted(order):
        x = x.transpose(*order, *(k for k in range(ndim) if k not in order))
    x = x.reshape(sizes)
    y = _sum_half(x, summed) if x.dtype.char == "e" else _sum_merged(x, summed)
    if repeats > 1:
        y = y * repeats
    kept = [k for k in order if k not in axes]
    if kept != sorted(kept):
        y = y.reshape([shape[k] for k in kept]).transpose([kept.index(k) for k in sorted(kept)])
    if keepdims:
        return y.reshape([1 if k in axes else n for k, n in enumerate(shape)])
    return y.reshape([n for k, n in enumerate(shape) if k not in axes])


def _sum_half(x: Array, summed: list[bool]) -> Array:
    """`_sum_merged` of float16 in float32, some rows at a time."""
    step = max(CHUNK * len(x) // x.size, 1) if x.ndim else 1
    if not x.ndim or len(x) <= step:
        return _sum_merged(x.astype(np.float32), summed)
    parts = [_sum_merged(x[k : k + step].astype(np.float32), summed) for k in range(0, len(x), step)]
    if not summed[0]:
        return np.concatenate(parts)
    y = np.stack(parts)
    return _sum_merged(y, [True] + [False] * (y.ndim - 1))


def _sum_merged(x: Array, summed: list[bool]) -> Array:
    """The sum over the axes marked in `summed`, the innermost first."""
    for k in reversed(range(len(summed))):
        if summed[k]:
            if k == x.ndim - 1 or x.shape[k] <= ROWS // 2:
                x = x.sum(axis=k)  # pairwise along the innermost axis
            else:
                x = _sum_rows(x.reshape(*x.shape[: k + 1], -1)).reshape(*x.shape[:k], *x.shape[k + 1 :])
    return x


def _sum_rows(x: Array) -> Array:
    """The sum of the rows (n, p) of a stack of matrices, as a product with ones (n,)."""
    if x.dtype.kind == "c":  # a product of complex numbers would make NaN of an infinite one
        parts = np.ascontiguousarray(x).view(x.real.dtype)
        return _sum_rows(parts).view(x.dtype)
    n, p = x.shape[-2:]
    if x.strides[-1] != x.itemsize or x.strides[-2] < p * x.itemsize:
        x = np.ascontiguousarray(x)  # as BLAS wants it
    ones = _ONES[x.dtype.char]
    if n <= ROWS:
        return np.matmul(ones[:n], x)
    m, rest = divmod(n, ROWS)
    lead, blocks = x.shape[:-2], x[..., : n - rest, :]
    if x.strides[-2] == p * x.itemsize:  # row k + m, k + 2m … in one long row each: the fastest
        y = np.matmul(ones, blocks.reshape(*lead, ROWS, m * p)).reshape(*lead, m, p)
    else:
        y = np.matmul(ones, blocks.reshape(*lead, m, ROWS, p))
    y = _sum_rows(y)
    if rest:
        y += np.matmul(ones[:rest], x[..., n - rest :, :])
    return y
