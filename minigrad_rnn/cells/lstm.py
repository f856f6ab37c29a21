"""The long short-term memory cell (Hochreiter & Schmidhuber 1997; forget gate: Gers et al. 2000), torch's equations:

i, f, o = σ(z_i), σ(z_f), σ(z_o);  g = tanh(z_g)      with z(t) = Wc x(t) + Wr h(t−1) + b, rows in the order i f g o
c(t) = f · c(t−1) + i · g;         h(t) = o · tanh(c(t))

With peepholes (Gers & Schmidhuber 2000) the gates see the cell: p_i c(t−1) is added to z_i, p_f c(t−1) to z_f and
p_o c(t) to z_o. With a projection (Sak et al. 2014) h(t) = Wp (o · tanh(c(t))) has fewer units than c(t).
"""

from __future__ import annotations

from functools import partial
from itertools import repeat
from typing import Any

import numpy as np

import minigrad as mg
from minigrad import Tensor
from minigrad.engine.gradient_pool import PerStepSum

from .cell import Cell, KernelForm
from .feature_major import (  # fmt: skip
    CHUNK,
    WeightGradients,
    batch_major,
    copy_columns,
    input_gradient,
    per_step,
    product,
    stacked_inputs,
    stacked_weights,
    time_buffer,
    weight_copy,
)
from .lengths import Lengths, incoming_gradients, last_valid, to_read_order, to_time_order
from .unroll import rule_through_graph, unroll

Array = Any


class LSTMCell(Cell):
    """One step of the LSTM (equations above).

    Args:
        proj_size: units P of h(t), fewer than H; 0 for no projection.
        peephole: whether the gates see the cell.
        forget_bias: the forget gate's bias to start from, so that the cell remembers at first (Gers et al. 2000;
            Jozefowicz et al. 2015 advise 1); None draws it like the others.
        The others: see `Cell`.

    Parameters: `Wc` (4H, I), `Wr` (4H, H), `b` (4H,), gate rows in the order i, f, g, o; `p` (3H,), rows i, f, o;
    `Wp` (P, H), and then `Wr` is (4H, P). State: h (B, H) or (B, P), and c (B, H).

    Raises:
        ValueError: proj_size not in 0 … H − 1, or a forget bias without a bias.
    """

    gates = 4
    state_names = ("h", "c")
    takes_two_biases = True

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        bias: bool = True,
        proj_size: int = 0,
        peephole: bool = False,
        forget_bias: float | None = None,
        **options: Any,
    ) -> None:
        name = type(self).__name__
        whole = isinstance(proj_size, (int, np.integer)) and not isinstance(proj_size, bool)
        if not whole or not 0 <= proj_size < max(hidden_size, 1):
            raise ValueError(f"{name}: proj_size: got {proj_size!r}, want 0 (none) to {hidden_size - 1}")
        if forget_bias is not None and not bias:
            raise ValueError(f"{name}: forget_bias: got {forget_bias!r} with bias=False, want None or a bias")
        self.proj_size, self.peephole, self.forget_bias = int(proj_size), bool(peephole), forget_bias
        super().__init__(input_size, hidden_size, bias, **options)

    @property
    def state_sizes(self) -> tuple[int, ...]:
        return self.proj_size or self.hidden_size, self.hidden_size

    def make_weights(self, bias: bool, two_biases: bool) -> None:
        super().make_weights(bias, two_biases)
        H = self.hidden_size
        self.p = self.uniform(3 * H) if self.peephole else None
        self.Wp = self.uniform(self.proj_size, H) if self.proj_size else None
        if self.forget_bias is not None:
            for bias_of, start in ((self.b, self.forget_bias), (self.br, 0.0)):
                if bias_of is not None:
                    bias_of.data[H : 2 * H] = start
                    bias_of.written()

    def step(self, x: Any, state: tuple[Any, ...], h: Any) -> tuple[Tensor, ...]:
        return lstm_step(x, state, h, self.Wc, self.Wr, self.total_bias(), self.p, self.Wp)

    def sequence(
        self,
        xs: Any,
        state: tuple[Any, ...],
        backward: bool = False,
        lengths: Lengths | None = None,
        every_state: bool = False,
    ) -> tuple[Tensor, ...]:
        h, c = state
        return lstm_sequence(
            xs, h, c, self.Wc, self.Wr, self.total_bias(), self.p, self.Wp, backward,
            lengths=lengths, every_state=every_state,
        )  # fmt: skip

    def kernel_spec(self) -> KernelForm:
        def step(x: Any, state: tuple[Any, ...], h: Any, Wc: Any, Wr: Any, b: Any, br: Any) -> tuple[Tensor, ...]:
            return lstm_step(x, state, h, Wc, Wr, b)

        options = {"peephole": self.peephole, "proj_size": self.proj_size}
        refused = next((f"no kernel serves {name}={value}" for name, value in options.items() if value), "")
        return KernelForm("lstm", refused, lambda: (self.Wc, self.Wr, self.total_bias(), None), step)

    def extra_repr(self) -> str:
        said = [f"{name}={value}" for name in ("proj_size", "peephole") if (value := getattr(self, name))]
        return ", ".join([super().extra_repr(), *said])


def lstm_step(
    x: Any, state: tuple[Any, ...], h: Any, Wc: Any, Wr: Any, b: Any, p: Any = None, Wp: Any = None
) -> tuple[Tensor, ...]:
    """(h, c) at t from x(t) and (h, c) at t−1, op by op."""
    c = state[1]
    H = c.shape[1]
    z = mg.linear(x, Wc, b) + mg.linear(h, Wr)
    i, f, g, o = (z[:, k * H : (k + 1) * H] for k in range(4))
    if p is not None:
        i, f = i + p[:H] * c, f + p[H : 2 * H] * c
    c = mg.sigmoid(f) * c + mg.sigmoid(i) * mg.tanh(g)
    if p is not None:
        o = o + p[2 * H :] * c
    m = mg.sigmoid(o) * mg.tanh(c)
    return m if Wp is None else mg.linear(m, Wp), c


@mg.primitive_with_outputs
def lstm_sequence(
    xp: Any,
    xs: Array,
    h0: Array,
    c0: Array,
    Wc: Array,
    Wr: Array,
    b: Array,
    p: Array,
    Wp: Array,
    backward: bool = False,
    lengths: Lengths | None = None,
    every_state: bool = False,
) -> Any:
    """The whole sequence as one primitive: every h(t), stacked (T, B, P), the last h (B, P) and c (B, H), and with
    `every_state` every c(t) (T, B, H).

    With `backward` time runs from T − 1 to 0 (slide 108). Its rule is back-propagation through time on arrays; in a
    recorded walk (`create_graph`) the rule runs the sequence op by op instead.

    Shapes: xs (T, B, I), h0 (B, P), c0 (B, H), Wc (4H, I), Wr (4H, P), b (4H,), p (3H,), Wp (P, H); the last three may
    be None, and without Wp P = H.
    """
    T, I, H = len(xs), Wc.shape[1], c0.shape[1]
    turn = to_read_order(lengths, backward)
    clean = xs if lengths is None else lengths.without_padding(xp, xs)
    hs, v, S, m = lstm_forward(xp, turn(clean), h0, c0, Wc, Wr, b, p, Wp)
    cs = batch_major(S[1:, 4 * H : 5 * H])

    def rule(xp: Any, gs: Any, needs: Any, xs: Any, h0: Any, c0: Any, Wc: Any, Wr: Any, b: Any, p: Any, Wp: Any) -> Any:
        inputs = (xs, h0, c0, Wc, Wr, b, p, Wp)
        if isinstance(gs[0], Tensor):
            steps = partial(unroll, lstm_step, 2, backward, lengths=lengths, every_state=every_state)
            return rule_through_graph(steps, inputs, gs, needs)
        dhs, dhT = incoming_gradients(xp, gs[0], gs[1], turn, lengths)
        dcs, dcT = None, gs[2]
        if every_state or (lengths is not None and not lengths.full):
            every = gs[3] if every_state else xp.zeros((T, *dcT.shape), dcT.dtype)
            dcs, dcT = incoming_gradients(xp, every, dcT, turn, lengths)
        dz, dh0, dc0, dh = lstm_bptt(xp, dhs, dhT, dcs, dcT, S, Wr, p, Wp)
        shares, v_T = WeightGradients(xp, T, backward, lengths), v[:T]
        return (
            turn(input_gradient(xp, dz, Wc)) if needs[0] else None,
            dh0,
            dc0,
            shares.product(dz, v_T[:, :I], needs[3]),
            shares.product(dz, v_T[:, -h0.shape[1] :], needs[4]),
            shares.product(dz, v_T[:, I], needs[5]),
            peephole_gradient(xp, dz, S, shares) if needs[6] else None,
            shares.product(dh, m, needs[7]),
        )

    value: tuple[Array, ...] = (to_time_order(xp, hs, turn, lengths), last_valid(hs, lengths), last_valid(cs, lengths))
    if every_state:
        value = (*value, to_time_order(xp, cs, turn, lengths).copy())
    return value, (xs, h0, c0, Wc, Wr, b, p, Wp), mg.JointRule(rule)


def halved(xp: Any, Wc: Array, Wr: Array, b: Array, B: int) -> Array:
    """[Wc b Wr] with the gates in the order i, f, o, g and the rows of the three σ gates halved.

    σ(z) = tanh(z/2)/2 + 1/2, so after halving one tanh serves all four gates.
    """
    H = Wc.shape[0] // 4
    W = stacked_weights(xp, Wc, Wr, b, B)
    g = W[2 * H : 3 * H].copy()
    xp.multiply(W[: 2 * H], 0.5, W[: 2 * H])
    xp.multiply(W[3 * H :], 0.5, W[2 * H : 3 * H])
    W[3 * H :] = g
    return W


def lstm_forward(
    xp: Any, xs: Array, h0: Array, c0: Array, Wc: Array, Wr: Array, b: Array, p: Array, Wp: Array
) -> tuple[Array, Array, Array, Array]:
    """Every h(t) (T, B, P), and what BPTT needs: v (`stacked_inputs`), S, and o · tanh(c) (T, H, B) if projected.

    S[t] (6H, B) holds i, f, o, g, c(t−1), tanh(c(t)) of step t, so that i, f lie beside o and g beside c: i·g and f·c
    are one call, and so are the products of BPTT.
    """
    T, B, _ = xs.shape
    H = c0.shape[1]
    v, h = stacked_inputs(xp, xs, h0, b is not None)
    S = xp.empty((T + 1, 6 * H, B), xs.dtype)
    S[0, 4 * H : 5 * H] = c0.T
    m = h[1:] if Wp is None else time_buffer(xp, T, H, B, xs.dtype)
    by_step = per_step(S)
    z, ifo, i_f, o = by_step[:, : 4 * H], by_step[:, : 3 * H], by_step[:, : 2 * H], by_step[:, 2 * H : 3 * H]
    g_c, c, tanh_c = by_step[:, 3 * H : 5 * H], by_step[:, 4 * H : 5 * H], by_step[:, 5 * H :]
    products = per_step(xp.empty((2 * H, B), xs.dtype))
    by_i, by_f = products[:H], products[H:]
    half = xp.full(3 * H if B == 1 else (), 0.5, xs.dtype)
    halves = (half[: 2 * H], half[2 * H :]) if B == 1 else (half, half)
    multiplied = product(xp, halved(xp, Wc, Wr, b, B), B)
    projected = None if Wp is None else product(xp, weight_copy(xp, Wp, B), B)
    seen: Any = repeat((None, None)) if p is None else zip(c, by_step[:, 3 * H : 4 * H])
    p_if, p_o = (None, None) if p is None else peepholes(0.5 * p, B)
    tanh, multiply, add = xp.tanh, xp.multiply, xp.add
    steps = zip(per_step(v), z, ifo, i_f, g_c, c[1:], tanh_c, o, per_step(m), seen)
    for t, (v_t, z_t, ifo_t, i_f_t, g_c_t, c_t, tanh_c_t, o_t, m_t, (c_before, g_t)) in enumerate(steps):
        multiplied(v_t, z_t)
        if p is None:
            tanh(z_t, z_t)
            multiply(ifo_t, half, ifo_t)
            add(ifo_t, half, ifo_t)
        else:
            i_f_t += (p_if * c_before).reshape(i_f_t.shape)
            tanh(g_t, g_t)
            tanh(i_f_t, i_f_t)
            multiply(i_f_t, halves[0], i_f_t)
            add(i_f_t, halves[0], i_f_t)
        multiply(i_f_t, g_c_t, products)
        add(by_i, by_f, c_t)
        if p is not None:
            o_t += p_o * c_t
            tanh(o_t, o_t)
            multiply(o_t, halves[1], o_t)
            add(o_t, halves[1], o_t)
        tanh(c_t, tanh_c_t)
        multiply(o_t, tanh_c_t, m_t)
        if projected is not None:
            projected(m_t, per_step(h[t + 1]))
    return batch_major(h[1:]), v, S, m


def peepholes(p: Array, B: int) -> tuple[Any, Any]:
    """p of i and f (2, H), and of o (H,), to be multiplied with a `per_step` c."""
    H = p.shape[0] // 3
    p_if, p_o = p[: 2 * H].reshape(2, H), p[2 * H :]
    return (p_if, p_o) if B == 1 else (p_if[:, :, None], p_o[:, None])


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


def lstm_bptt(
    xp: Any, dhs: Array, dhT: Array, dcs: Array, dcT: Array, S: Array, Wr: Array, p: Array, Wp: Array
) -> tuple[Array, Array, Array, Array]:
    """From the last step to the first, with the factors above:

        dc(t) += (o − o tanh²(c)) dh(t);      dz(t) from dc(t) and dh(t)
        dc(t−1) = f dc(t);                    dh(t−1) = Wrᵀ dz(t) + dhs(t−1)

    With peepholes dc(t) += p_o dz_o(t) and dc(t−1) += p_i dz_i(t) + p_f dz_f(t); with a projection dh(t) goes through
    Wpᵀ first.

    dhs (T, B, P), dhT (B, P) and dcT (B, H) are the gradients of the outputs, dcs (T, B, H) or None those of every
    c(t). Returns dz of every step (T, 4H, B), rows in the weights' order i, f, g, o; dh(−1) (B, P) and dc(−1) (B, H);
    and with a projection dh of every step (T, P, B).
    """
    T, B, P_units = dhs.shape
    H = dcT.shape[1]
    dz = time_buffer(xp, T, 4 * H, B, dhs.dtype)
    dh_all: Any = None if Wp is None else time_buffer(xp, T, P_units, B, dhs.dtype)
    steps = min(T, max(1, CHUNK // (H * B)))
    # D holds dc(t−1), dz_i, dz_f, dz_g, dz_o of each step
    K, P, D = (xp.empty((steps, rows * H, B), dhs.dtype) for rows in (6, 3, 5))
    coming_h = xp.empty((steps, P_units, B), dhs.dtype)
    coming_c: Any = None if dcs is None else xp.empty((steps, H, B), dhs.dtype)
    dh, dm, dc_later, dc = (per_step(xp.empty((rows, B), dhs.dtype)) for rows in (P_units, H, H, H))
    dh[...] = per_step(dhT.T)
    dc_later[...] = per_step(dcT.T)
    multiplied = product(xp, weight_copy(xp, Wr.T, B), B)
    unprojected: Any = None if Wp is None else product(xp, weight_copy(xp, Wp.T, B), B)
    p_if, p_o = (None, None) if p is None else peepholes(p, B)
    add, multiply = xp.add, xp.multiply
    for stop in range(T, 0, -steps):
        now = slice(max(0, stop - steps), stop)
        n = stop - now.start
        lstm_factors(xp, S[now], K[:n], P[:n])
        copy_columns(xp, dhs[now], coming_h[:n])
        if dcs is not None:
            copy_columns(xp, dcs[now], coming_c[:n])
        K_back, D_back = per_step(K[:n][::-1]), per_step(D[:n][::-1])
        blocks = (n, 4, *dc.shape)
        to_dc, to_o, to_c = K_back[:, : 4 * H].reshape(blocks), K_back[:, 4 * H : 5 * H], K_back[:, 5 * H :]
        by_dc, dc_before = D_back[:, : 4 * H].reshape(blocks), D_back[:, :H]
        dz_o, dz_now = D_back[:, 4 * H :], D_back[:, H:]
        steps_back = zip(per_step(coming_h[:n][::-1]), to_dc, to_o, to_c, by_dc, dc_before, dz_o, dz_now)
        for k, (dh_t, to_dc_t, to_o_t, to_c_t, by_dc_t, dc_before_t, dz_o_t, dz_t) in enumerate(steps_back):
            add(dh, dh_t, dh)
            if Wp is None:
                dm = dh
            else:
                per_step(dh_all[stop - 1 - k])[...] = dh
                unprojected(dh, dm)
            multiply(to_o_t, dm, dz_o_t)
            multiply(to_c_t, dm, dc)
            add(dc, dc_later, dc)
            if dcs is not None:
                add(dc, per_step(coming_c[n - 1 - k]), dc)
            if p is not None:
                dc += p_o * dz_o_t
            multiply(to_dc_t, dc, by_dc_t)
            multiplied(dz_t, dh)
            if p is not None:
                dc_before_t += (p_if * by_dc_t[1:3]).sum(axis=0)
            dc_later = dc_before_t
        dc_later = dc_later.copy()  # D is written again
        dz[now] = D[:n, H:]
    return dz, dh.reshape(P_units, B).T, dc_later.reshape(H, B).T, dh_all


def peephole_gradient(xp: Any, dz: Array, S: Array, shares: WeightGradients) -> PerStepSum:
    """dp = Σ_t [dz_i(t) c(t−1); dz_f(t) c(t−1); dz_o(t) c(t)], summed over the batch: (3H,)."""
    T, rows, _ = dz.shape
    H = rows // 4
    before, after = S[:T, 4 * H : 5 * H], S[1:, 4 * H : 5 * H]
    products = xp.concatenate([dz[:, :H] * before, dz[:, H : 2 * H] * before, dz[:, 3 * H :] * after], axis=1)
    return PerStepSum(products.sum(axis=(0, 2)), shares.labels, lambda label: shares.at(label, products).sum(axis=1))
