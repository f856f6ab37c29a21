"""Back-propagation through time of the LSTM's fused sequence (`lstm.py`), on blocks of H rows, one column per example:

S  saved by the forward pass, a row of blocks per step: the four gates (`Blocks`), c(t−1), tanh(c(t))
P  the products that several factors share: i·g, f·c(t−1), o·tanh(c(t))
K  the factors of BPTT, which multiply dc(t) and dh(t) (`lstm_factors`)
D  the resulting gradients: dc(t−1), dz_i, dz_f, dz_g, dz_o
"""

from __future__ import annotations

from typing import Any, NamedTuple

from minigrad.engine.gradient_pool import PerStepSum
from minigrad.engine.summation import accurate_sum

from .feature_major import copy_columns, per_step
from .fused_sequence import FusedSequence

Array = Any


class Blocks(NamedTuple):
    """Where the gates lie among the six blocks of S; i and f come first, c(t−1) and tanh(c(t)) last."""

    o: int
    g: int
    g_c: slice
    """g and c(t−1), which i and f multiply."""
    i_o: slice
    g_tanh: slice
    """g and tanh(c(t)), from which the slopes of i and o in BPTT are made."""
    i_f: slice = slice(0, 2)


ORDERED = Blocks(2, 3, slice(3, 5), slice(0, 3, 2), slice(3, 6, 2))
"""i, f, o, g: the three σ gates are neighbours, and one call serves them."""
AS_STORED = Blocks(3, 2, slice(2, 5, 2), slice(0, 4, 3), slice(2, 6, 3))
"""i, f, g, o, as in the weights and in dz."""


def peepholes(p: Array, B: int) -> tuple[Any, Any]:
    """p of i and f (2, H), and of o (H,), in shapes that multiply a `per_step` c."""
    H = p.shape[0] // 3
    p_if, p_o = p[: 2 * H].reshape(2, H), p[2 * H :]
    return (p_if, p_o) if B == 1 else (p_if[:, :, None], p_o[:, None])


def lstm_factors(xp: Any, S: Array, blocks: Blocks, K: Array, P: Array) -> None:
    """The factors of dc and dh in BPTT, for several steps at once, into the six row blocks of K:

        f | (1−i) i g | (1−f) f c(t−1) | i − i g · g | (1−o) o tanh(c) | o − o tanh(c) · tanh(c)

    The first four multiply dc(t), to give dc(t−1), dz_i, dz_f, dz_g; the last two multiply dh(t), to give dz_o and its
    share of dc(t). Shapes: S and K (n, 6H, B); P (n, 3H, B) for the products i g, f c(t−1), o tanh(c).
    """
    n, rows, B = S.shape
    S, K, P = S.reshape(n, 6, rows // 6, B), K.reshape(n, 6, rows // 6, B), P.reshape(n, 3, rows // 6, B)
    i_f, o, i_o, g_tanh = S[:, blocks.i_f], S[:, blocks.o], S[:, blocks.i_o], S[:, blocks.g_tanh]
    xp.multiply(i_f, S[:, blocks.g_c], P[:, :2])
    xp.multiply(o, S[:, 5], P[:, 2])
    K[:, 0] = S[:, 1]
    # (1−i) i g and (1−f) f c(t−1)
    xp.subtract(1, i_f, K[:, 1:3])
    xp.multiply(K[:, 1:3], P[:, :2], K[:, 1:3])
    # (1−o) o tanh(c)
    xp.subtract(1, o, K[:, 4])
    xp.multiply(K[:, 4], P[:, 2], K[:, 4])
    # i − i g · g and o − o tanh(c) · tanh(c): blocks 3 and 5, from blocks 0 and 2 of P
    xp.multiply(P[:, ::2], g_tanh, K[:, 3::2])
    xp.subtract(i_o, K[:, 3::2], K[:, 3::2])


def lstm_bptt(
    run: FusedSequence, dhs: Array, dhT: Array, dcs: Array, dcT: Array, S: Array, blocks: Blocks, Wr: Array, p: Array,
    Wp: Array, to_state: bool = True,
) -> tuple[Array, Array, Array, Array]:  # fmt: skip
    """BPTT from the last step to the first, with the factors above (Hochreiter & Schmidhuber 1997, in full; slide 116):

        dc(t) += (o − o tanh²(c)) dh(t);      dz(t) from dc(t) and dh(t)
        dc(t−1) = f dc(t);                    dh(t−1) = Wrᵀ dz(t) + dhs(t−1)

    With peepholes dc(t) += p_o dz_o(t) and dc(t−1) += p_i dz_i(t) + p_f dz_f(t); with a projection dh(t) goes through
    Wpᵀ first.

    dhs (T, B, P), dhT (B, P) and dcT (B, H) are the gradients of the outputs, dcs (T, B, H) or None those of every
    c(t). Returns dz of every step (T, 4H, B), rows in the weights' order i, f, g, o; dh(−1) (B, P), not
    computed unless `to_state`, and dc(−1) (B, H); and with a projection dh of every step (T, P, B).
    """
    xp = run.xp
    _, B, P_units = dhs.shape
    H = dcT.shape[1]
    dz = run.buffer(4 * H)
    dh_all: Any = run.kept(P_units) if Wp is None else run.buffer(P_units)
    dc_all = run.kept(H)
    size = run.chunk(H)
    K, P, D = (xp.empty((size, rows * H, B), dhs.dtype) for rows in (6, 3, 5))
    dhs_t = xp.empty((size, P_units, B), dhs.dtype)
    dcs_t: Any = None if dcs is None else xp.empty((size, H, B), dhs.dtype)
    # Carried from step to step: dh(t), and dc(t−1) as the later step left it; dm and dc are scratch.
    dh, dc_later = run.carried(dhT), run.carried(dcT)
    dm, dc = (per_step(xp.empty((H, B), dhs.dtype)) for _ in range(2))
    product = run.product_back(Wr)
    unproject: Any = None if Wp is None else run.product_back(Wp)
    p_if, p_o = (None, None) if p is None else peepholes(p, B)
    add, multiply = xp.add, xp.multiply
    for now in run.chunks(size):
        n = now.stop - now.start
        # Everything that needs no dh or dc, for all steps of the chunk at once
        lstm_factors(xp, S[now], blocks, K[:n], P[:n])
        copy_columns(xp, dhs[now], dhs_t[:n])
        if dcs is not None:
            copy_columns(xp, dcs[now], dcs_t[:n])
        # Views of K and D from the last step to the first. Four blocks of K meet dc: (n, 4, H, B) at one call a step.
        K_back, D_back = per_step(K[:n][::-1]), per_step(D[:n][::-1])
        four = (n, 4, *dc.shape)
        to_dc, to_o, to_c = K_back[:, : 4 * H].reshape(four), K_back[:, 4 * H : 5 * H], K_back[:, 5 * H :]
        by_dc, dc_before = D_back[:, : 4 * H].reshape(four), D_back[:, :H]
        dz_o, dz_now = D_back[:, 4 * H :], D_back[:, H:]
        steps_back = zip(
            per_step(dhs_t[:n][::-1]), to_dc, to_o, to_c, by_dc, dc_before, dz_o, dz_now,
            run.products_back(product, now, to_state), run.kept_back(dh_all, now), run.kept_back(dc_all, now),
        )  # fmt: skip
        for k, (
            dh_t, to_dc_t, to_o_t, to_c_t, by_dc_t, dc_before_t, dz_o_t, dz_t, product_t, kept_dh, kept_dc
        ) in enumerate(steps_back):  # fmt: skip
            add(dh, dh_t, dh)
            if kept_dh is not None:
                kept_dh[...] = dh
            if Wp is None:
                dm = dh
            else:
                unproject(dh, dm)
            # dz_o from dm(t); dc(t) from dm(t), the later step and the outside
            multiply(to_o_t, dm, dz_o_t)
            multiply(to_c_t, dm, dc)
            add(dc, dc_later, dc)
            if dcs is not None:
                add(dc, per_step(dcs_t[n - 1 - k]), dc)
            if p is not None:
                dc += p_o * dz_o_t
            if kept_dc is not None:
                kept_dc[...] = dc
            # dc(t−1), dz_i, dz_f and dz_g from dc(t); then dh(t−1) = Wrᵀ dz(t)
            multiply(to_dc_t, dc, by_dc_t)
            product_t(dz_t, dh)
            if p is not None:
                dc_before_t += (p_if * by_dc_t[1:3]).sum(axis=0)
            dc_later = dc_before_t
        dc_later = dc_later.copy()  # the next chunk overwrites D
        dz[now] = D[:n, H:]
    run.hand_out(h=dh_all, c=dc_all)
    return dz, run.initial_gradient(dh), run.initial_gradient(dc_later), dh_all


def peephole_gradient(run: FusedSequence, dz: Array, S: Array) -> PerStepSum:
    """dp = Σ_t [dz_i(t) c(t−1); dz_f(t) c(t−1); dz_o(t) c(t)], summed over the batch: (3H,)."""
    T, rows, _ = dz.shape
    H = rows // 4
    before, after = S[:T, 4 * H : 5 * H], S[1:, 4 * H : 5 * H]
    products = run.xp.concatenate([dz[:, :H] * before, dz[:, H : 2 * H] * before, dz[:, 3 * H :] * after], axis=1)
    return PerStepSum(
        accurate_sum(products, (0, 2)), run.labels, lambda label: accurate_sum(run.step_columns(label, products), 1)
    )
