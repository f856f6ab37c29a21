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
from .layout import CHUNK, batch_major, shares, stacked_inputs, time_buffer, weight_buffer

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

    return (hs[turn], hs[T - 1], cT), (xs, h0, c0, Wc, Wr, b), mg.Joint(rule)


def stacked_weights(xp: Any, Wc: Array, Wr: Array, b: Array, B: int) -> Array:
    """[Wc Wr b] with the gates in the order o, i, f, g and the rows of the three σ gates halved.

    σ(z) = tanh(z/2)/2 + 1/2, so after halving one tanh serves all four gates.
    """
    H, I = Wr.shape[1], Wc.shape[1]
    W = weight_buffer(xp, 4 * H, I + H + (b is not None), B, Wc.dtype)
    for source, target in ((Wc, W[:, :I]), (Wr, W[:, I : I + H])):
        target[:H], target[H:] = source[3 * H :], source[: 3 * H]
    if b is not None:
        W[:H, I + H], W[H:, I + H] = b[3 * H :], b[: 3 * H]
    W[: 3 * H] *= 0.5
    return W


def lstm_forward(
    xp: Any, xs: Array, h0: Array, c0: Array, Wc: Array, Wr: Array, b: Array
) -> tuple[Array, Array, Array, Array]:
    """Every h(t) (T, B, H), the last c (B, H), and what BPTT needs: v (`stacked_inputs`) and S.

    S[t] (5H, B) holds o(t), i(t), f(t), g(t), c(t−1): so i, f and g, c lie side by side, and i·g and f·c are one call.
    """
    T, B, _ = xs.shape
    H = h0.shape[1]
    v, h = stacked_inputs(xp, xs, h0, b is not None)
    W = stacked_weights(xp, Wc, Wr, b, B)
    S = xp.empty((T + 1, 5 * H, B), xs.dtype)
    c = S[:, 4 * H :]
    c[0] = c0.T
    products = xp.empty((2 * H, B), xs.dtype)
    tanh_c = xp.empty((H, B), xs.dtype)
    half = xp.full((), 0.5, xs.dtype)
    steps = zip(v, S[:, : 4 * H], S[:, : 3 * H], S[:, H : 3 * H], S[:, 3 * H :], c[1:], S[:, :H], h[1:])
    for v_t, z, oif, i_f, g_c, c_t, o, h_t in steps:
        W.dot(v_t, z)
        xp.tanh(z, z)
        xp.multiply(oif, half, oif)
        xp.add(oif, half, oif)
        xp.multiply(i_f, g_c, products)
        xp.add(products[:H], products[H:], c_t)
        xp.tanh(c_t, tanh_c)
        xp.multiply(o, tanh_c, h_t)
    return batch_major(h[1:]), c[T].T, v, S


def lstm_factors(xp: Any, S: Array, c: Array, K: Array) -> None:
    """What dh and dc are multiplied with, for several steps at once, into the six row blocks of K:

        f | g i(1−i) | c(t−1) f(1−f) | i (1−g²) | tanh(c) o(1−o) | o (1−tanh²(c))
    Of these the first four take dc(t), to give dc(t−1), dz_i, dz_f, dz_g; the last two dh(t), to give dz_o and dc(t).
    """
    H = c.shape[1]
    o, i, i_f, f, g, g_c = (S[:, a * H : b * H] for a, b in ((0, 1), (1, 2), (1, 3), (2, 3), (3, 4), (3, 5)))
    to_f, to_if, to_g, to_o, to_c = (K[:, a * H : b * H] for a, b in ((0, 1), (1, 3), (3, 4), (4, 5), (5, 6)))
    multiply, subtract = xp.multiply, xp.subtract
    tanh_c = to_f  # its place is free until the end
    xp.tanh(c, tanh_c)
    multiply(o, tanh_c, to_o)
    subtract(1, o, to_c)
    multiply(to_o, to_c, to_o)
    multiply(tanh_c, tanh_c, to_c)
    subtract(1, to_c, to_c)
    multiply(to_c, o, to_c)
    subtract(1, i_f, to_if)
    multiply(to_if, i_f, to_if)
    multiply(to_if, g_c, to_if)
    multiply(g, g, to_g)
    subtract(1, to_g, to_g)
    multiply(to_g, i, to_g)
    to_f[...] = f


def lstm_bptt(xp: Any, dhs: Array, dhT: Array, dcT: Array, S: Array, Wr: Array) -> tuple[Array, Array, Array]:
    """From the last step to the first, with the factors above:

        dc(t) += o (1 − tanh²(c)) dh(t);      dz(t) from dc(t) and dh(t)
        dc(t−1) = f dc(t);                    dh(t−1) = Wrᵀ dz(t) + dhs(t−1)

    dhs (T, B, H), dhT and dcT (B, H) are the gradients of the outputs. Returns dz of every step (T, 4H, B), rows in the
    weights' order i, f, g, o, and dh(−1), dc(−1) (B, H).
    """
    T, B, H = dhs.shape
    dz = time_buffer(xp, T, 4 * H, B, dhs.dtype)
    steps = max(1, CHUNK // (H * B))
    K = xp.empty((min(steps, T), 6 * H, B), dhs.dtype)
    dh, dc = xp.empty((H, B), dhs.dtype), xp.empty((H, B), dhs.dtype)
    dh[...] = dhT.T
    parts = xp.empty((5, H, B), dhs.dtype)  # dc(t−1), dz_i, dz_f, dz_g, dz_o
    carried, by_dc, dz_o = parts[0], parts[:4], parts[4]
    dz_now = parts[1:].reshape(4 * H, B)
    carried[...] = dcT.T
    arriving = batch_major(dhs)
    back = xp.ascontiguousarray(Wr.T)
    for stop in range(T, 0, -steps):
        now = slice(max(0, stop - steps), stop)
        n = stop - now.start
        lstm_factors(xp, S[now], S[now.start + 1 : stop + 1, 4 * H :], K[:n])
        last_first = K[:n][::-1]
        factors = zip(
            arriving[now][::-1],
            last_first[:, : 4 * H].reshape(n, 4, H, B),
            last_first[:, 4 * H : 5 * H],
            last_first[:, 5 * H :],
            dz[now][::-1],
        )
        for dh_t, to_parts, to_o, to_c, dz_t in factors:
            xp.add(dh, dh_t, dh)
            xp.multiply(to_o, dh, dz_o)
            xp.multiply(to_c, dh, dc)
            xp.add(dc, carried, dc)
            xp.multiply(to_parts, dc, by_dc)
            back.dot(dz_now, dh)
            dz_t[...] = dz_now
    return dz, dh.T, carried.T
