"""Memory layout of the fused sequences: feature-major blocks, and buffers that BLAS and NumPy read fastest.

Inside a fused sequence a step is *feature-major*, as in the lecture: x(t) and h(t) are columns, one per example, of a
block (F, B). `R(4H, H) @ h(H, B)` runs 10–25 % faster than `h(B, H) @ R.T`, and each gate is a block of rows.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from minigrad.engine.summation import SMALL_PRODUCT

Array = Any
Product = Callable[[Array, Array], Any]
"""`product(a, out)`: out = W a for `per_step` arrays a and out."""

FEW = 6
"""Columns up to which a large matrix may meet one after the other."""


def _keep_freed_memory() -> None:
    """Make glibc keep a sequence's buffers after each call instead of returning them to the system.

    glibc returns freed memory above thresholds that it learns from the largest block freed so far, and every new page
    then costs a fault: a quarter of an LSTM's whole time at (T, B, I, H) = (50, 32, 64, 64). Freeing one untouched
    block of nearly 32 MiB, the largest that it learns from, makes it keep up to 64 MiB. Elsewhere this does nothing.
    """
    np.empty((1 << 25) - (1 << 16), np.uint8)


_keep_freed_memory()


def time_buffer(xp: Any, T: int, F: int, B: int, dtype: Any) -> Array:
    """An empty array indexed [t, feature, example], laid out so that `flat` never copies.

    For B > 1 the memory is (F, T, B), so that a weight's gradient over all steps is one product. For B = 1 it is
    (T, F), where a step is contiguous and a NumPy call takes its fast path.
    """
    if B == 1:
        return xp.empty((T, F, 1), dtype)
    return xp.empty((F, T, B), dtype).transpose(1, 0, 2)


def per_step(a: Array) -> Array:
    """[..., feature, example] without the last axis if there is one example: NumPy calls on plain vectors cost half."""
    return a[..., 0] if a.shape[-1] == 1 else a


def flat(a: Array) -> Array:
    """[t, feature, example] as the matrix (F, T·B) of all columns; a view of a `time_buffer`."""
    T, F, B = a.shape
    return a.transpose(1, 0, 2).reshape(F, T * B)


def batch_major(a: Array) -> Array:
    """(T, F, B) seen as (T, B, F), or back."""
    return a.transpose(0, 2, 1)


def copy_columns(xp: Any, rows: Array, out: Array) -> None:
    """out[t] = rows[t].T for every step: (T, B, F) into (T, F, B).

    It copies through a padded row: rows a power of two apart share cache sets, and a plain transposed copy of them is
    several times slower.
    """
    _, B, F = rows.shape
    if B == 1:
        out[...] = batch_major(rows)
        return
    padded = xp.empty((B, F + 16), rows.dtype)[:, :F]
    for rows_t, out_t in zip(rows, out):
        padded[...] = rows_t
        out_t[...] = padded.T


def weight_buffer(xp: Any, rows: int, columns: int, B: int, dtype: Any) -> Array:
    """An empty matrix in the order that BLAS multiplies fastest: by columns for a vector, by rows for a block."""
    return xp.empty((columns, rows), dtype).T if B == 1 else xp.empty((rows, columns), dtype)


def product_with(xp: Any, W: Array, B: int) -> Product:
    """The product with W as stored, for B examples."""
    if B == 1:  # a vector's method has the least overhead
        dot: Product = W.dot
        return dot
    if xp is np and by_columns(W, B):
        return _product_by_columns(W, B)
    return partial(xp.matmul, W)  # matmul takes strided blocks


def by_columns(W: Array, B: int) -> bool:
    """Whether W times B columns is faster column by column: BLAS copies a large matrix for each product."""
    return bool(B <= FEW and W.size * B > SMALL_PRODUCT)


def _product_by_columns(W: Array, B: int) -> Product:
    rows, columns = W.shape
    a_rows, out_rows = np.empty((B, columns), W.dtype), np.empty((B, rows), W.dtype)

    def product(a: Array, out: Array) -> None:
        a_rows[...] = a.T
        for a_row, out_row in zip(a_rows, out_rows):
            W.dot(a_row, out_row)
        out[...] = out_rows.T

    return product
