"""The long short-term memory cell (Hochreiter & Schmidhuber 1997; forget gate: Gers et al. 2000), torch's equations:

i, f, o = σ(z_i), σ(z_f), σ(z_o);  g = tanh(z_g)      with z(t) = Wc x(t) + Wr h(t−1) + b, rows in the order i f g o
c(t) = f · c(t−1) + i · g;         h(t) = o · tanh(c(t))
"""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np

import minigrad as mg
from minigrad import Tensor

from .cell import Cell, rule_through_graph, unroll
from .layout import CHUNK, batch_major, copy_columns, product, shares, stacked_inputs, time_buffer, weight_buffer

Array = Any


class LSTMCell(Cell):
    """One step of the LSTM (equations above).

    Args:
        input_size: features I of x(t).
        hidden_size: units H of h(t) and c(t).
        bias: whether there is a b. (torch has two biases there; one is enough.)
        initial_state: "zeros", or "learned": `h_init` and `c_init` (H,) are parameters, one for every sequence.
        rng: where the initial weights, uniform in ±1/√H, are drawn from; the library's own generator by default.
        dtype: of the parameters.

    Parameters: `Wc` (4H, I), `Wr` (4H, H), `b` (4H,), gate rows in the order i, f, g, o. State: (h, c), (B, H) each.
    """

    gates = 4
    state_names = ("h", "c")

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        bias: bool = True,
        initial_state: str = "zeros",
        rng: np.random.Generator | None = None,
        dtype: Any = "float32",
    ) -> None:
        super().__init__(input_size, hidden_size, bias, initial_state, rng, dtype)

    def step(self, x: Any, state: tuple[Any, ...]) -> tuple[Tensor, ...]:
        return lstm_step(x, state, self.Wc, self.Wr, self.b)

    def sequence(self, xs: Any, state: tuple[Any, ...], backward: bool = False) -> tuple[Tensor, ...]:
        return lstm_sequence(xs, state[0], state[1], self.Wc, self.Wr, self.b, backward)


def lstm_step(x: Any, state: tuple[Any, ...], Wc: Any, Wr: Any, b: Any) -> tuple[Tensor, ...]:
    """(h, c) at t from x(t) and (h, c) at t−1, op by op."""
    h, c = state
    H = Wr.shape[1]
    z = mg.linear(x, Wc, b) + mg.linear(h, Wr)
    i, f, g, o = (z[:, k * H : (k + 1) * H] for k in range(4))
    c = mg.sigmoid(f) * c + mg.sigmoid(i) * mg.tanh(g)
    return mg.sigmoid(o) * mg.tanh(c), c


@mg.primitive_with_outputs
def lstm_sequence(
    xp: Any, xs: Array, h0: Array, c0: Array, Wc: Array, Wr: Array, b: Array, backward: bool = False
) -> Any:
    """The whole sequence as one primitive: every h(t), stacked (T, B, H), and the last h and c (B, H).

    With `backward` time runs from T − 1 to 0 (slide 108). Its rule is back-propagation through time on arrays; in a
    recorded walk (`create_graph`) the rule runs the sequence op by op instead.

    Shapes: xs (T, B, I), h0 and c0 (B, H), Wc (4H, I), Wr (4H, H), b (4H,) or None.
    """
    turn = slice(None, None, -1 if backward else 1)
    hs, cT, v, S = lstm_forward(xp, xs[turn], h0, c0, Wc, Wr, b)
    T = xs.shape[0]

    def rule(xp: Any, gs: Any, needs: Any, xs: Any, h0: Any, c0: Any, Wc: Any, Wr: Any, b: Any) -> Any:
        if isinstance(gs[0], Tensor):
            return rule_through_graph(partial(unroll, lstm_step, 2, backward), (xs, h0, c0, Wc, Wr, b), gs, needs)
        dz, dh0, dc0 = lstm_bptt(xp, gs[0][turn], gs[1], gs[2], S, Wr)
        dxs, *dweights = shares(xp, dz, v, Wc, Wr.shape[1], (needs[0], *needs[3:]), range(T)[turn])
        return (None if dxs is None else dxs[turn], dh0, dc0, *dweights)

    # The last states are copies: a state carried on would otherwise keep the whole sequence's memory alive.
    return (hs[turn], hs[T - 1].copy(), cT.copy()), (xs, h0, c0, Wc, Wr, b), mg.Joint(rule)


def stacked_weights(xp: Any, Wc: Array, Wr: Array, b: Array, B: int) -> Array:
    """[Wc Wr b] with the gates in the order i, f, o, g and the rows of the three σ gates halved.

    σ(z) = tanh(z/2)/2 + 1/2, so after halving one tanh serves all four gates.
    """
    H, I = Wr.shape[1], Wc.shape[1]
    W = weight_buffer(xp, 4 * H, I + H + (b is not None), B, Wc.dtype)
    columns = [(Wc, W[:, :I]), (Wr, W[:, I : I + H])] + ([(b, W[:, I + H])] if b is not None else [])
    for given, kept in columns:
        kept[: 2 * H], kept[2 * H : 3 * H], kept[3 * H :] = given[: 2 * H], given[3 * H :], given[2 * H : 3 * H]
    W[: 3 * H] *= 0.5
    return W


def lstm_forward(
    xp: Any, xs: Array, h0: Array, c0: Array, Wc: Array, Wr: Array, b: Array
) -> tuple[Array, Array, Array, Array]:
    """Every h(t) (T, B, H), the last c (B, H), and what BPTT needs: v (`stacked_inputs`) and S.

    S[t] (6H, B) holds i, f, o, g, c(t−1), tanh(c(t)) of step t, so that i, f lie beside o and g beside c: i·g and f·c
    are one call, and so are the products of BPTT.
    """
    T, B, _ = xs.shape
    H = h0.shape[1]
    v, h = stacked_inputs(xp, xs, h0, b is not None)
    S = xp.empty((T + 1, 6 * H, B), xs.dtype)
    z, ifo, i_f, o = S[:, : 4 * H], S[:, : 3 * H], S[:, : 2 * H], S[:, 2 * H : 3 * H]
    g_c, c, tanh_c = S[:, 3 * H : 5 * H], S[:, 4 * H : 5 * H], S[:, 5 * H :]
    c[0] = c0.T
    products = xp.empty((2 * H, B), xs.dtype)
    half = xp.full((), 0.5, xs.dtype)
    multiplied = product(xp, stacked_weights(xp, Wc, Wr, b, B), B)
    tanh, multiply, add = xp.tanh, xp.multiply, xp.add
    steps = zip(v, z, ifo, i_f, g_c, c[1:], tanh_c, o, h[1:])
    for v_t, z_t, ifo_t, i_f_t, g_c_t, c_t, tanh_c_t, o_t, h_t in steps:
        multiplied(v_t, z_t)
        tanh(z_t, z_t)
        multiply(ifo_t, half, ifo_t)
        add(ifo_t, half, ifo_t)
        multiply(i_f_t, g_c_t, products)
        add(products[:H], products[H:], c_t)
        tanh(c_t, tanh_c_t)
        multiply(o_t, tanh_c_t, h_t)
    return batch_major(h[1:]), c[T].T, v, S


def lstm_factors(xp: Any, S: Array, K: Array, P: Array) -> None:
    """What dh and dc are multiplied with, for several steps at once, into the six row blocks of K:

        f | (1−i) i g | (1−f) f c(t−1) | i − i g · g | (1−o) o tanh(c) | o − o tanh(c) · tanh(c)
    The first four take dc(t), to give dc(t−1), dz_i, dz_f, dz_g; the last two dh(t), to give dz_o and its share of
    dc(t). Shapes: S and K (n, 6H, B), P (n, 3H, B) for the products i g, f c(t−1), o tanh(c) that several need.
    """
    n, rows, B = S.shape
    S, K, P = S.reshape(n, 6, rows // 6, B), K.reshape(n, 6, rows // 6, B), P.reshape(n, 3, rows // 6, B)
    ifo, g_c_tanh = S[:, :3], S[:, 3:]
    xp.multiply(ifo, g_c_tanh, P)
    K[:, 0] = S[:, 1]
    xp.subtract(1, S[:, :2], K[:, 1:3])
    xp.multiply(K[:, 1:3], P[:, :2], K[:, 1:3])
    xp.subtract(1, S[:, 2], K[:, 4])
    xp.multiply(K[:, 4], P[:, 2], K[:, 4])
    xp.multiply(P[:, ::2], g_c_tanh[:, ::2], K[:, 3::2])
    xp.subtract(ifo[:, ::2], K[:, 3::2], K[:, 3::2])


def lstm_bptt(xp: Any, dhs: Array, dhT: Array, dcT: Array, S: Array, Wr: Array) -> tuple[Array, Array, Array]:
    """From the last step to the first, with the factors above:

        dc(t) += (o − o tanh²(c)) dh(t);      dz(t) from dc(t) and dh(t)
        dc(t−1) = f dc(t);                    dh(t−1) = Wrᵀ dz(t) + dhs(t−1)

    dhs (T, B, H), dhT and dcT (B, H) are the gradients of the outputs. Returns dz of every step (T, 4H, B), rows in the
    weights' order i, f, g, o, and dh(−1), dc(−1) (B, H).
    """
    T, B, H = dhs.shape
    dz = time_buffer(xp, T, 4 * H, B, dhs.dtype)
    steps = min(T, max(1, CHUNK // (H * B)))
    # D holds dc(t−1), dz_i, dz_f, dz_g, dz_o of each step
    K, P, D, arriving = (xp.empty((steps, rows * H, B), dhs.dtype) for rows in (6, 3, 5, 1))
    dh, dc_later, dc = (xp.empty((H, B), dhs.dtype) for _ in range(3))
    dh[...] = dhT.T
    dc_later[...] = dcT.T
    multiplied = product(xp, xp.ascontiguousarray(Wr.T), B)
    add, multiply = xp.add, xp.multiply
    for stop in range(T, 0, -steps):
        now = slice(max(0, stop - steps), stop)
        n = stop - now.start
        lstm_factors(xp, S[now], K[:n], P[:n])
        copy_columns(xp, dhs[now], arriving[:n])
        K_back, D_back = K[:n][::-1], D[:n][::-1]
        to_dc, to_o, to_c = K_back[:, : 4 * H].reshape(n, 4, H, B), K_back[:, 4 * H : 5 * H], K_back[:, 5 * H :]
        by_dc, dc_before, dz_o, dz_now = (
            D_back[:, : 4 * H].reshape(n, 4, H, B),
            D_back[:, :H],
            D_back[:, 4 * H :],
            D_back[:, H:],
        )
        for dh_t, to_dc_t, to_o_t, to_c_t, by_dc_t, dc_before_t, dz_o_t, dz_t in zip(
            arriving[:n][::-1], to_dc, to_o, to_c, by_dc, dc_before, dz_o, dz_now
        ):
            add(dh, dh_t, dh)
            multiply(to_o_t, dh, dz_o_t)
            multiply(to_c_t, dh, dc)
            add(dc, dc_later, dc)
            multiply(to_dc_t, dc, by_dc_t)
            multiplied(dz_t, dh)
            dc_later = dc_before_t
        dc_later = dc_later.copy()  # D is written again
        dz[now] = D[:n, H:]
    return dz, dh.T, dc_later.T
