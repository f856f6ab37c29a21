"""How the fused sequences lie in memory, and the tail of BPTT that all cells share.

Inside a fused sequence a step is *feature-major*, as in the lecture: x(t) and h(t) are columns, one per example, of a
block (F, B). `R(4H, H) @ h(H, B)` runs 10–25 % faster than `h(B, H) @ R.T`, and each gate is a block of rows.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from minigrad.pool import OverTime

Array = Any

CHUNK = 1 << 15
"""Elements of one block of rows over several steps that the backward walk prepares at once, while it fits the cache."""


def time_buffer(xp: Any, T: int, F: int, B: int, dtype: Any) -> Array:
    """An empty array indexed [t, feature, example], laid out so that `flat` never copies.

    For B > 1 memory is (F, T, B), so that a weight's gradient over all steps is one product. For B = 1 it is (T, F),
    where a step is contiguous and a NumPy call takes its short path.
    """
    if B == 1:
        return xp.empty((T, F, 1), dtype)
    return xp.empty((F, T, B), dtype).transpose(1, 0, 2)


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
    """v(t) = [x(t); h(t−1); 1] for t = 0 … T, and the view of its h rows, of which only h(−1) is filled.

    With v, one product [Wc Wr b] v(t) is the whole of z(t): no input projection and no bias to add.
    """
    T, B, I = xs.shape
    H = h0.shape[1]
    v = time_buffer(xp, T + 1, I + H + bias, B, xs.dtype)
    h = v[:, I : I + H]
    copy_columns(xp, xs, v[:T, :I])
    h[0] = h0.T
    if bias:
        v[:, I + H] = 1
    return v, h


def weight_buffer(xp: Any, rows: int, columns: int, B: int, dtype: Any) -> Array:
    """An empty matrix in the order that BLAS multiplies fastest: by columns with one vector, by rows with a block."""
    return xp.empty((columns, rows), dtype).T if B == 1 else xp.empty((rows, columns), dtype)


def product(xp: Any, W: Array, B: int) -> Callable[[Array, Array], Any]:
    """`f(a, out)` that computes out = W a: the method has the least overhead, matmul takes strided blocks uncopied."""
    return W.dot if B == 1 else partial(xp.matmul, W)


def shares(xp: Any, dz: Array, v: Array, Wc: Array, H: int, needs: tuple[bool, ...], labels: range) -> tuple[Any, ...]:
    """From dz(t) of all steps to what xs, Wc, Wr and b receive (slide 97), one product each.

    dWc = Σ_t dz(t) x(t)ᵀ,  dWr = Σ_t dz(t) h(t−1)ᵀ,  db = Σ_t dz(t),  dx(t) = Wcᵀ dz(t). The weights' come as
    `OverTime`, so that the ledger can ask for each step's share; `labels[t]` is the time step of position t.

    Shapes: dz (T, G·H, B) and v (T + 1, I + H + 1, B), both `time_buffer`s; `needs` for xs, Wc, Wr, b.
    """
    T, _, B = dz.shape
    I = Wc.shape[1]
    all_dz, all_v = flat(dz), flat(v[:T])
    parts = (slice(0, I), slice(I, I + H), I + H)

    def share(part: Any) -> OverTime:
        def at(label: int) -> Array:
            t = labels.index(label)
            return xp.matmul(dz[t], v[t, part].T)

        # For b this is the product with the row of ones, which is faster than a sum.
        return OverTime(xp.matmul(all_dz, all_v[part].T), labels[::-1], at)

    dxs = xp.matmul(all_dz.T, Wc).reshape(T, B, I) if needs[0] else None
    return dxs, *(share(part) if need else None for part, need in zip(parts, needs[1:]))
