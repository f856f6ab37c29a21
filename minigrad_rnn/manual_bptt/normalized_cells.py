"""Cells with layer normalisation (Ba, Kiros & Hinton 2016), one step each and its derivative by hand.

LN(a) = (a − mean) / sqrt(var + 1e-5) over the rows of a, with the biased variance; y stands for a normalised a, s for
its divisor. Gates are blocks of H rows, in the order that each cell names.
"""

from __future__ import annotations

import numpy as np

from .lecture import Array, sigma
from .step import Parameters, Pooled, Saved, States, Step, bias, layer_norm, layer_norm_back, pool


# --- RNN: h = tanh(gain · LN(Wc x + Wr h(t−1)) + b) ------------------------------------------------------------------
def layer_norm_rnn_step(p: Parameters, x: Array, hr: Array, before: States) -> tuple[States, Saved]:
    """The paper's equation 4: one normalisation over the sum of both products."""
    y, s = layer_norm(x @ p["Wc"].T + hr @ p["Wr"].T)
    h = np.tanh(p["gain"] * y + bias(p, "b"))
    return (h,), (x, hr, y, s, h)


def layer_norm_rnn_back(p: Parameters, saved: Saved, d: States, pooled: Pooled) -> tuple[Array, Array, States]:
    """Back through the step: dz passes the gain, then the normalisation, then both weights."""
    x, hr, y, s, h = saved
    dz = d[0] * (1.0 - h * h)
    da = layer_norm_back(dz * p["gain"], y, s)
    pool(pooled, Wc=da.T @ x, Wr=da.T @ hr, gain=(dz * y).sum(axis=0), b=dz.sum(axis=0))
    return da @ p["Wc"], da @ p["Wr"], (np.zeros_like(h),)


# --- LSTM, rows i f g o: z = gain_c · LN(Wc x) + gain_r · LN(Wr h(t−1)) + b, h = o tanh(gain_h · LN(c) + shift_h) ----
def layer_norm_lstm_step(p: Parameters, x: Array, hr: Array, before: States) -> tuple[States, Saved]:
    """The paper's equations 20 to 22: each product is normalised by itself, over all 4H rows, and the cell's c too."""
    c0 = before[1]
    yc, sc = layer_norm(x @ p["Wc"].T)
    yr, sr = layer_norm(hr @ p["Wr"].T)
    zi, zf, zg, zo = np.split(p["gain_c"] * yc + p["gain_r"] * yr + bias(p, "b"), 4, axis=1)
    i, f, g, o = sigma(zi), sigma(zf), np.tanh(zg), sigma(zo)
    c = f * c0 + i * g
    yh, sh = layer_norm(c)
    v = np.tanh(p["gain_h"] * yh + bias(p, "shift_h"))
    return (o * v, c), (x, hr, c0, yc, sc, yr, sr, i, f, g, o, yh, sh, v)


def layer_norm_lstm_back(p: Parameters, saved: Saved, d: States, pooled: Pooled) -> tuple[Array, Array, States]:
    """Back through the step: h(t) reads c(t) through its normalisation; c(t+1) reads c(t) itself."""
    x, hr, c0, yc, sc, yr, sr, i, f, g, o, yh, sh, v = saved
    dh, dc = d
    dv = dh * o * (1.0 - v * v)
    dc = dc + layer_norm_back(dv * p["gain_h"], yh, sh)
    dzi, dzf, dzg = dc * g * i * (1.0 - i), dc * c0 * f * (1.0 - f), dc * i * (1.0 - g * g)
    dzo = dh * v * o * (1.0 - o)
    dz = np.concatenate([dzi, dzf, dzg, dzo], axis=1)
    da, du = layer_norm_back(dz * p["gain_c"], yc, sc), layer_norm_back(dz * p["gain_r"], yr, sr)
    pool(pooled, Wc=da.T @ x, Wr=du.T @ hr, b=dz.sum(axis=0))
    pool(pooled, gain_c=(dz * yc).sum(axis=0), gain_r=(dz * yr).sum(axis=0))
    pool(pooled, gain_h=(dv * yh).sum(axis=0), shift_h=dv.sum(axis=0))
    return da @ p["Wc"], du @ p["Wr"], (np.zeros_like(dh), dc * f)


# --- GRU, rows r z n: r and z normalised together, n for itself; h = (1 − z) n + z h(t−1) ----------------------------
def layer_norm_gru_step(p: Parameters, x: Array, hr: Array, before: States) -> tuple[States, Saved]:
    """n = tanh(gain_c · LN(Wc_n x) + b + r (gain_r · LN(Wr_n h(t−1)) + br)); the gains' and b's last H rows are n's."""
    h0, H = before[0], hr.shape[1]
    rz, last = slice(0, 2 * H), slice(2 * H, None)
    yc, sc = layer_norm(x @ p["Wc"][rz].T)
    yr, sr = layer_norm(hr @ p["Wr"][rz].T)
    ync, snc = layer_norm(x @ p["Wc"][last].T)
    ynr, snr = layer_norm(hr @ p["Wr"][last].T)
    r, z = np.split(sigma(p["gain_c"][rz] * yc + p["gain_r"][rz] * yr + bias(p, "b", rz)), 2, axis=1)
    un = p["gain_r"][last] * ynr + bias(p, "br")
    n = np.tanh(p["gain_c"][last] * ync + bias(p, "b", last) + r * un)
    return ((1.0 - z) * n + z * h0,), (x, hr, h0, yc, sc, yr, sr, ync, snc, ynr, snr, r, z, un, n)


def layer_norm_gru_back(p: Parameters, saved: Saved, d: States, pooled: Pooled) -> tuple[Array, Array, States]:
    """Back through the step: four normalisations, each with its own rows of the gains."""
    x, hr, h0, yc, sc, yr, sr, ync, snc, ynr, snr, r, z, un, n = saved
    dh, H = d[0], hr.shape[1]
    rz, last = slice(0, 2 * H), slice(2 * H, None)
    dzn = dh * (1.0 - z) * (1.0 - n * n)
    dun = dzn * r
    drz = np.concatenate([dzn * un * r * (1.0 - r), dh * (h0 - n) * z * (1.0 - z)], axis=1)
    da = layer_norm_back(drz * p["gain_c"][rz], yc, sc), layer_norm_back(dzn * p["gain_c"][last], ync, snc)
    du = layer_norm_back(drz * p["gain_r"][rz], yr, sr), layer_norm_back(dun * p["gain_r"][last], ynr, snr)
    da_all, du_all = np.concatenate(da, axis=1), np.concatenate(du, axis=1)
    pool(pooled, Wc=da_all.T @ x, Wr=du_all.T @ hr)
    pool(pooled, b=np.concatenate([drz, dzn], axis=1).sum(axis=0), br=dun.sum(axis=0))
    pool(pooled, gain_c=np.concatenate([drz * yc, dzn * ync], axis=1).sum(axis=0))
    pool(pooled, gain_r=np.concatenate([drz * yr, dun * ynr], axis=1).sum(axis=0))
    return da_all @ p["Wc"], du_all @ p["Wr"], (dh * z,)


LAYER_NORM_RNN = Step(
    ("h",), 1, lambda I, H, P: {"Wc": (H, I), "Wr": (H, H), "gain": (H,), "b": (H,)},
    layer_norm_rnn_step, layer_norm_rnn_back,
)  # fmt: skip
LAYER_NORM_LSTM = Step(
    ("h", "c"), 4,
    lambda I, H, P: {
        "Wc": (4 * H, I), "Wr": (4 * H, H), "gain_c": (4 * H,), "gain_r": (4 * H,), "b": (4 * H,), "gain_h": (H,),
        "shift_h": (H,),
    },
    layer_norm_lstm_step, layer_norm_lstm_back, frozenset({"b", "shift_h"}),
)  # fmt: skip
LAYER_NORM_GRU = Step(
    ("h",), 3,
    lambda I, H, P: {
        "Wc": (3 * H, I), "Wr": (3 * H, H), "gain_c": (3 * H,), "gain_r": (3 * H,), "b": (3 * H,), "br": (H,)
    },
    layer_norm_gru_step, layer_norm_gru_back, frozenset({"b", "br"}),
)  # fmt: skip
