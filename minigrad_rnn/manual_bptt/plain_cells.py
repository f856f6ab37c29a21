"""Cells without normalisation, one step each and its derivative by hand: RNN, LSTM, GRU, MGU, IndRNN.

Gates are blocks of H rows, in the order that each cell names. σ' = σ (1 − σ), tanh' = 1 − tanh².
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

import numpy as np

from .activations import SIGMOID, TANH, Activation
from .lecture import Array, sigma
from .step import Parameters, Pooled, Saved, States, Step, bias, pool


# --- Elman's recurrence: z = Wc x + Wr h(t−1) + b + br, h = f(z) -----------------------------------------------------
def rnn_step(p: Parameters, x: Array, hr: Array, before: States, *, f: Activation) -> tuple[States, Saved]:
    """Slide 107's step, with torch's second bias br where there is one."""
    z = x @ p["Wc"].T + hr @ p["Wr"].T + bias(p, "b") + bias(p, "br")
    return (f(z),), (x, hr, z)


def rnn_back(p: Parameters, saved: Saved, d: States, pooled: Pooled, *, f: Activation) -> tuple[Array, Array, States]:
    """Slide 116's step."""
    x, hr, z = saved
    dz = d[0] * f.slope(z)
    db = dz.sum(axis=0)
    pool(pooled, Wc=dz.T @ x, Wr=dz.T @ hr, b=db, br=db)
    return dz @ p["Wc"], dz @ p["Wr"], (np.zeros_like(z),)


# --- LSTM, rows i f g o; peepholes p and a projection Wp where there are any -----------------------------------------
@dataclass(frozen=True)
class Gates:
    """The LSTM's activations: of i, f and o; of g; of c(t), which nothing clips; and whether f = 1 − i."""

    gate: Activation = SIGMOID
    of_g: Activation = TANH
    of_c: Activation = TANH
    coupled: bool = False


def lstm_step(p: Parameters, x: Array, hr: Array, before: States, *, a: Gates) -> tuple[States, Saved]:
    """c = f c(t−1) + i g, h = Wp (o tanh(c)).

    Gates i and f see p_i c(t−1) and p_f c(t−1), gate o sees p_o c(t) (Gers & Schmidhuber 2000; Graves 2013), with p
    (3H,) in rows i f o. Wp is (P, H) (Sak et al. 2014); without it h = o tanh(c).
    """
    c0 = before[1]
    z = x @ p["Wc"].T + hr @ p["Wr"].T + bias(p, "b") + bias(p, "br")
    zi, zf, zg, zo = np.split(z, 4, axis=1)
    if "p" in p:
        p_i, p_f, p_o = np.split(p["p"], 3)
        zi, zf = zi + p_i * c0, zf + p_f * c0
    i, g = a.gate(zi), a.of_g(zg)
    f = 1.0 - i if a.coupled else a.gate(zf)
    c = f * c0 + i * g
    if "p" in p:
        zo = zo + p_o * c
    o = a.gate(zo)
    m = o * a.of_c(c)
    return (m @ p["Wp"].T if "Wp" in p else m, c), (x, hr, c0, zi, zf, zg, zo, i, f, g, o, c, m)


def lstm_back(p: Parameters, saved: Saved, d: States, pooled: Pooled, *, a: Gates) -> tuple[Array, Array, States]:
    """c(t) is reached from h(t) by tanh(c) and, with a peephole, by the gate o; c(t−1) by f c and the gates i, f."""
    x, hr, c0, zi, zf, zg, zo, i, f, g, o, c, m = saved
    dh, dc = d
    dm = dh @ p["Wp"] if "Wp" in p else dh
    dzo = dm * a.of_c(c) * a.gate.slope(zo)
    dc = dc + dm * o * a.of_c.slope(c)
    if "p" in p:
        p_i, p_f, p_o = np.split(p["p"], 3)
        dc = dc + dzo * p_o
    di, df = dc * g, dc * c0
    if a.coupled:
        di, df = di - df, np.zeros_like(df)
    dzi, dzf, dzg = di * a.gate.slope(zi), df * a.gate.slope(zf), dc * i * a.of_g.slope(zg)
    dc0 = dc * f
    if "p" in p:
        dc0 = dc0 + dzi * p_i + dzf * p_f
        pool(pooled, p=np.concatenate([(dzi * c0).sum(axis=0), (dzf * c0).sum(axis=0), (dzo * c).sum(axis=0)]))
    dz = np.concatenate([dzi, dzf, dzg, dzo], axis=1)
    db = dz.sum(axis=0)
    pool(pooled, Wc=dz.T @ x, Wr=dz.T @ hr, b=db, br=db, Wp=dh.T @ m)
    return dz @ p["Wc"], dz @ p["Wr"], (np.zeros_like(dh), dc0)


# --- GRU, rows r z n: h = (1 − z) n + z h(t−1) -----------------------------------------------------------------------
def gru_step(
    p: Parameters, x: Array, hr: Array, before: States, *, gate: Activation, of_n: Activation
) -> tuple[States, Saved]:
    """The form of cuDNN and torch, where r multiplies Wr h: n = tanh(Wc_n x + b_n + r (Wr_n h(t−1) + br_n))."""
    h0 = before[0]
    ar, az, an = np.split(x @ p["Wc"].T + bias(p, "b"), 3, axis=1)
    ur, uz, un = np.split(hr @ p["Wr"].T + bias(p, "br"), 3, axis=1)
    zr, zz = ar + ur, az + uz
    r, z = gate(zr), gate(zz)
    zn = an + r * un
    n = of_n(zn)
    return ((1.0 - z) * n + z * h0,), (x, hr, h0, zr, zz, zn, r, z, n, un)


def gru_back(
    p: Parameters, saved: Saved, d: States, pooled: Pooled, *, gate: Activation, of_n: Activation
) -> tuple[Array, Array, States]:
    """The current and the recurrent half of row block n receive different gradients: the recurrent one r times."""
    x, hr, h0, zr, zz, zn, r, z, n, un = saved
    dh = d[0]
    dan = dh * (1.0 - z) * of_n.slope(zn)
    daz = dh * (h0 - n) * gate.slope(zz)
    dar = dan * un * gate.slope(zr)
    da, du = np.concatenate([dar, daz, dan], axis=1), np.concatenate([dar, daz, dan * r], axis=1)
    pool(pooled, Wc=da.T @ x, Wr=du.T @ hr, b=da.sum(axis=0), br=du.sum(axis=0))
    return da @ p["Wc"], du @ p["Wr"], (dh * z,)


def gru_reset_first_step(
    p: Parameters, x: Array, hr: Array, before: States, *, gate: Activation, of_n: Activation
) -> tuple[States, Saved]:
    """As published (Cho et al. 2014), where r multiplies h: n = tanh(Wc_n x + b_n + Wr_n (r h(t−1)))."""
    h0, H = before[0], hr.shape[1]
    Wr_rz, Wr_n = p["Wr"][: 2 * H], p["Wr"][2 * H :]
    ar, az, an = np.split(x @ p["Wc"].T + bias(p, "b"), 3, axis=1)
    ur, uz = np.split(hr @ Wr_rz.T, 2, axis=1)
    zr, zz = ar + ur, az + uz
    r, z = gate(zr), gate(zz)
    zn = an + (r * hr) @ Wr_n.T
    n = of_n(zn)
    return ((1.0 - z) * n + z * h0,), (x, hr, h0, zr, zz, zn, r, z, n)


def gru_reset_first_back(
    p: Parameters, saved: Saved, d: States, pooled: Pooled, *, gate: Activation, of_n: Activation
) -> tuple[Array, Array, States]:
    """With q = r hr: dq = dz_n Wr_n, and q's two factors share it."""
    x, hr, h0, zr, zz, zn, r, z, n = saved
    dh, H = d[0], hr.shape[1]
    Wr_rz, Wr_n = p["Wr"][: 2 * H], p["Wr"][2 * H :]
    dan = dh * (1.0 - z) * of_n.slope(zn)
    daz = dh * (h0 - n) * gate.slope(zz)
    dq = dan @ Wr_n
    dar = dq * hr * gate.slope(zr)
    drz = np.concatenate([dar, daz], axis=1)
    da = np.concatenate([drz, dan], axis=1)
    pool(pooled, Wc=da.T @ x, Wr=np.concatenate([drz.T @ hr, dan.T @ (r * hr)]), b=da.sum(axis=0))
    return da @ p["Wc"], drz @ Wr_rz + dq * r, (dh * z,)


# --- MGU, rows f n: h = (1 − f) h(t−1) + f n -------------------------------------------------------------------------
def mgu_step(p: Parameters, x: Array, hr: Array, before: States) -> tuple[States, Saved]:
    """Zhou et al. 2016: one gate f forgets and resets; n = tanh(Wc_n x + Wr_n (f h(t−1)) + b_n)."""
    h0, H = before[0], hr.shape[1]
    Wr_f, Wr_n = p["Wr"][:H], p["Wr"][H:]
    af, an = np.split(x @ p["Wc"].T + bias(p, "b"), 2, axis=1)
    f = sigma(af + hr @ Wr_f.T)
    n = np.tanh(an + (f * hr) @ Wr_n.T)
    return ((1.0 - f) * h0 + f * n,), (x, hr, h0, f, n)


def mgu_back(p: Parameters, saved: Saved, d: States, pooled: Pooled) -> tuple[Array, Array, States]:
    """f acts twice: where h(t−1) and n are mixed, and inside n through q = f hr."""
    x, hr, h0, f, n = saved
    dh, H = d[0], hr.shape[1]
    Wr_f, Wr_n = p["Wr"][:H], p["Wr"][H:]
    dan = dh * f * (1.0 - n * n)
    dq = dan @ Wr_n
    daf = (dh * (n - h0) + dq * hr) * f * (1.0 - f)
    da = np.concatenate([daf, dan], axis=1)
    pool(pooled, Wc=da.T @ x, Wr=np.concatenate([daf.T @ hr, dan.T @ (f * hr)]), b=da.sum(axis=0))
    return da @ p["Wc"], daf @ Wr_f + dq * f, (dh * (1.0 - f),)


# --- IndRNN: h = f(Wc x + Wr · h(t−1) + b), Wr (H,) ----------------------------------------------------------------
def indrnn_step(p: Parameters, x: Array, hr: Array, before: States, *, f: Activation) -> tuple[States, Saved]:
    """Li et al. 2018: each unit reads only itself, by one recurrent weight."""
    z = x @ p["Wc"].T + p["Wr"] * hr + bias(p, "b")
    return (f(z),), (x, hr, z)


def indrnn_back(
    p: Parameters, saved: Saved, d: States, pooled: Pooled, *, f: Activation
) -> tuple[Array, Array, States]:
    """Jacobian(h(t), h(t−1)) is diagonal."""
    x, hr, z = saved
    dz = d[0] * f.slope(z)
    pool(pooled, Wc=dz.T @ x, Wr=(dz * hr).sum(axis=0), b=dz.sum(axis=0))
    return dz @ p["Wc"], dz * p["Wr"], (np.zeros_like(z),)


def rnn_of(f: Activation = TANH) -> Step:
    return Step(
        ("h",), 1, lambda I, H, P: {"Wc": (H, I), "Wr": (H, H), "b": (H,), "br": (H,)},
        partial(rnn_step, f=f), partial(rnn_back, f=f),
        frozenset({"b", "br"}),
    )  # fmt: skip


def indrnn_of(f: Activation) -> Step:
    return Step(
        ("h",), 1, lambda I, H, P: {"Wc": (H, I), "Wr": (H,), "b": (H,)},
        partial(indrnn_step, f=f), partial(indrnn_back, f=f),
    )  # fmt: skip


def lstm_of(a: Gates) -> Step:
    return Step(
        ("h", "c"), 4,
        lambda I, H, P: {
            "Wc": (4 * H, I), "Wr": (4 * H, P), "b": (4 * H,), "br": (4 * H,), "p": (3 * H,), "Wp": (P, H)
        },
        partial(lstm_step, a=a), partial(lstm_back, a=a), frozenset({"b", "br", "p", "Wp"}),
    )  # fmt: skip


def gru_of(reset_after: bool, gate: Activation, of_n: Activation) -> Step:
    if reset_after:
        return Step(
            ("h",), 3, lambda I, H, P: {"Wc": (3 * H, I), "Wr": (3 * H, H), "b": (3 * H,), "br": (3 * H,)},
            partial(gru_step, gate=gate, of_n=of_n), partial(gru_back, gate=gate, of_n=of_n), frozenset({"b", "br"}),
        )  # fmt: skip
    return Step(
        ("h",), 3, lambda I, H, P: {"Wc": (3 * H, I), "Wr": (3 * H, H), "b": (3 * H,)},
        partial(gru_reset_first_step, gate=gate, of_n=of_n), partial(gru_reset_first_back, gate=gate, of_n=of_n),
    )  # fmt: skip


MGU = Step(
    ("h",), 2, lambda I, H, P: {"Wc": (2 * H, I), "Wr": (2 * H, H), "b": (2 * H,)}, mgu_step, mgu_back
)  # fmt: skip
