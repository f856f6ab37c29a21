"""How the fused sequences lie in memory, and the tail of BPTT that all cells share.

Inside a fused sequence a step is *feature-major*, as in the lecture: x(t) and h(t) are columns, one per example, of a
block (F, B). `R(4H, H) @ h(H, B)` runs 10–25 % faster than `h(B, H) @ R.T`, and each gate is a block of rows.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from minigrad.engine.gradient_pool import PerStepSum

from .lengths import Lengths

Array = Any

CHUNK = 1 << 15
"""Elements of one block of rows over several steps that the backward walk prepares at once, while it fits the cache."""


def _keep_freed_memory() -> None:
    """Teach glibc not to hand a sequence's buffers back to the system after every call.

    It gives freed memory back above thresholds that it learns from the largest block freed so far, and every new page
    then costs a fault: a quarter of an LSTM's whole time at (T, B, I, H) = (50, 32, 64, 64). Freeing one untouched
    block of nearly 32 MiB, the most that it learns from, makes it keep up to 64 MiB. Elsewhere this does nothing.
    """
    np.empty((1 << 25) - (1 << 16), np.uint8)


_keep_freed_memory()


def time_buffer(xp: Any, T: int, F: int, B: int, dtype: Any) -> Array:
    """An empty array indexed [t, feature, example], laid out so that `flat` never copies.

    For B > 1 memory is (F, T, B), so that a weight's gradient over all steps is one product. For B = 1 it is (T, F),
    where a step is contiguous and a NumPy call takes its short path.
    """
    if B == 1:
        return xp.empty((T, F, 1), dtype)
    return xp.empty((F, T, B), dtype).transpose(1, 0, 2)


def per_step(a: Array) -> Array:
    """[..., feature, example] without the last axis where there is one example: on plain vectors a NumPy call takes
    its short path, which costs half as much."""
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

    By way of a padded row: rows a power of two apart share cache sets, and a plain transposed copy of them is several
    times slower.
    """
    _, B, F = rows.shape
    if B == 1:
        out[...] = batch_major(rows)
        return
    padded = xp.empty((B, F + 16), rows.dtype)[:, :F]
    for rows_t, out_t in zip(rows, out):
        padded[...] = rows_t
        out_t[...] = padded.T


def stacked_inputs(xp: Any, xs: Array, h0: Array, bias: bool) -> tuple[Array, Array]:
    """v(t) = [x(t); 1; h(t−1)] for t = 0 … T, and the view of its h rows, of which only h(−1) is filled.

    With v, one product [Wc b Wr] v(t) is the whole of z(t): no input projection and no bias to add. Without a bias
    there is no row of ones.
    """
    T, B, I = xs.shape
    v = time_buffer(xp, T + 1, I + bias + h0.shape[1], B, xs.dtype)
    h = v[:, I + bias :]
    copy_columns(xp, xs, v[:T, :I])
    h[0] = h0.T
    if bias:
        v[:, I] = 1
    return v, h


def stacked_weights(xp: Any, Wc: Array, Wr: Array, b: Array, B: int) -> Array:
    """[Wc b Wr], what v(t) is multiplied with; a fresh array."""
    I = Wc.shape[1]
    first = I + (b is not None)
    W = weight_buffer(xp, Wc.shape[0], first + Wr.shape[1], B, Wc.dtype)
    W[:, :I] = Wc
    W[:, first:] = Wr
    if b is not None:
        W[:, I] = b
    return W


def weight_buffer(xp: Any, rows: int, columns: int, B: int, dtype: Any) -> Array:
    """An empty matrix in the order that BLAS multiplies fastest: by columns with one vector, by rows with a block."""
    return xp.empty((columns, rows), dtype).T if B == 1 else xp.empty((rows, columns), dtype)


def weight_copy(xp: Any, W: Array, B: int) -> Array:
    """W in that order."""
    copy = weight_buffer(xp, W.shape[0], W.shape[1], B, W.dtype)
    copy[...] = W
    return copy


def product(xp: Any, W: Array, B: int) -> Callable[[Array, Array], Any]:
    """`f(a, out)` that computes out = W a of `per_step` arrays: for a vector the method has the least overhead, and
    matmul takes strided blocks uncopied."""
    return W.dot if B == 1 else partial(xp.matmul, W)


class WeightGradients:
    """From what BPTT found at every step to what the weights receive: one product over all steps each (slide 97).

    dW = Σ_t left(t) right(t)ᵀ, as an `PerStepSum`, so that the ledger can ask for each step's share of it.

    Args:
        T: steps; position k of the arrays is the step read as number k.
        backward, lengths: in which order the steps were read.
    """

    def __init__(self, xp: Any, T: int, backward: bool, lengths: Lengths | None) -> None:
        self.xp, self.backward, self.lengths = xp, backward, lengths
        self.labels = range(T)[:: -1 if backward else 1][::-1]
        self.T = T

    def at(self, label: int, a: Array) -> Array:
        """(F, n): the columns of [t, feature, example] that step `label` has."""
        if self.backward and self.lengths is not None:
            places, sequences = self.lengths.positions(label)
            return a[places, :, sequences].T
        return a[self.T - 1 - label if self.backward else label]

    def product(self, left: Array, right: Array, needed: bool = True) -> PerStepSum | None:
        """Σ_t left(t) right(t)ᵀ of [t, feature, example] arrays laid out as a `time_buffer`; (F, 1) right gives (F,).

        For a bias `right` is the row of ones: a product is faster than a sum.
        """
        if not needed:
            return None
        matmul = self.xp.matmul
        one = right.ndim == 2
        if one:
            right = right[:, None]

        def shaped(total: Array) -> Array:
            return total[:, 0] if one else total

        total = matmul(flat(left), flat(right).T)
        return PerStepSum(
            shaped(total), self.labels, lambda label: shaped(matmul(self.at(label, left), self.at(label, right).T))
        )


def input_gradient(xp: Any, dz: Array, Wc: Array) -> Array:
    """dx(t) = Wcᵀ dz(t) for all steps: (T, B, I)."""
    T, _, B = dz.shape
    return xp.matmul(flat(dz).T, Wc).reshape(T, B, Wc.shape[1])
