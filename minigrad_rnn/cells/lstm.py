"""The long short-term memory cell (Hochreiter & Schmidhuber 1997; forget gate: Gers et al. 2000), torch's equations:

i, f, o = σ(z_i), σ(z_f), σ(z_o);  g = tanh(z_g)      with z(t) = Wc x(t) + Wr h(t−1) + b, rows in the order i f g o
c(t) = f · c(t−1) + i · g;         h(t) = o · tanh(c(t))

Other activations may take the place of σ and of the two tanh, and their arguments may be limited to ±clip, all but
that of tanh(c(t)), as in ONNX; with coupled gates f = 1 − i (Greff et al. 2017).

With peepholes (Gers & Schmidhuber 2000) the gates see the cell: p_i c(t−1) is added to z_i, p_f c(t−1) to z_f and
p_o c(t) to z_o. With a projection (Sak et al. 2014) h(t) = Wp (o · tanh(c(t))) has fewer units than c(t).

The fused sequence works on blocks of H rows, one column per example:

    S  saved by the forward pass, a row of blocks per step: i, f, o, g, c(t−1), tanh(c(t))
    m  o · tanh(c(t)): h(t) itself, or what the projection reads
    P  the products that several factors share: i·g, f·c(t−1), o·tanh(c(t))
    K  the factors of BPTT, which multiply dc(t) and dh(t) (`lstm_factors`)
    D  the resulting gradients: dc(t−1), dz_i, dz_f, dz_g, dz_o

S stores o before g, so that the three σ gates are neighbours and one call serves them; weights and dz keep i f g o.
"""

from __future__ import annotations

from itertools import repeat
from typing import Any, NamedTuple

import minigrad as mg
from minigrad import Tensor
from minigrad.engine.gradient_pool import PerStepSum
from minigrad.engine.summation import accurate_sum
from minigrad.validation import check_flag, check_integer, check_number, is_integer, shown

from .activations import Activation, check_activation, check_clip, on_tape
from .cell import Cell, KernelSpec, Parts
from .feature_major import batch_major, copy_columns, per_step
from .fused_sequence import FusedSequence
from .lengths import Lengths

Array = Any


class GateOptions(NamedTuple):
    """The options of an LSTM's gates: see `LSTMCell`."""

    gate_activation: Activation = "sigmoid"
    activation: Activation = "tanh"
    output_activation: Activation = "tanh"
    clip: float | None = None
    coupled_gates: bool = False


STANDARD = GateOptions()


class LSTMCell(Cell):
    """One step of the LSTM (equations above).

    Args:
        proj_size: units P of h(t), fewer than H; 0 for no projection.
        peephole: whether the gates see the cell.
        forget_bias: the forget gate's bias to start from, so that the cell remembers at first (Gers et al. 2000;
            Jozefowicz et al. 2015 advise 1); None draws it like the others.
        gate_activation, activation: of the three gates, and of the cell's input g and of c(t) on its way out: names, or
            names with parameters, of `minigrad_rnn.cells.activations`.
        output_activation: that of c(t), if it is another.
        clip: z(t), with peepholes, is limited to ±clip before the activations, as in onnxruntime; None for no limit.
        coupled_gates: whether f = 1 − i; the weights' rows of f are not used then.
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
        self, input_size: int, hidden_size: int, bias: bool = True, proj_size: int = 0, peephole: bool = False,
        forget_bias: float | None = None, gate_activation: Activation = "sigmoid", activation: Activation = "tanh",
        output_activation: Activation | None = None, clip: float | None = None, coupled_gates: bool = False,
        **options: Any,
    ) -> None:  # fmt: skip
        name = type(self).__name__
        check_integer(name, hidden_size=hidden_size)
        check_flag(name, bias=bias, peephole=peephole, coupled_gates=coupled_gates)
        if not is_integer(proj_size) or not 0 <= proj_size < hidden_size:
            raise ValueError(f"{name}: proj_size: got {shown(proj_size)}, want 0 (none) to {hidden_size - 1}")
        if forget_bias is not None:
            check_number(name, forget_bias=forget_bias)
        if forget_bias is not None and not bias:
            raise ValueError(f"{name}: forget_bias: got {forget_bias!r} with bias=False, want None or a bias")
        self.proj_size, self.peephole, self.forget_bias = int(proj_size), bool(peephole), forget_bias
        output_activation = activation if output_activation is None else output_activation
        gate, of_g, of_c = check_activation(
            name, gate_activation=gate_activation, activation=activation, output_activation=output_activation
        )
        self.gate_options = GateOptions(gate, of_g, of_c, check_clip(name, clip), bool(coupled_gates))
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
                    bias_of._array[H : 2 * H] = start
                    bias_of.written()

    def step(self, x: Any, state: Parts, h: Any) -> tuple[Tensor, ...]:
        return lstm_step(x, state, h, self.Wc, self.Wr, self.total_bias(), self.p, self.Wp, self.gate_options)

    def fused_refusal(self) -> str:
        if self.gate_options == STANDARD:
            return super().fused_refusal()
        options = zip(GateOptions._fields, self.gate_options, STANDARD)
        other = (f"{name}={value!r} has no fused sequence" for name, value, standard in options if value != standard)
        return super().fused_refusal() or next(other)

    def sequence(
        self, xs: Any, state: Parts, backward: bool = False, lengths: Lengths | None = None, every_state: bool = False
    ) -> tuple[Tensor, ...]:
        h, c = state
        return lstm_sequence(
            xs, h, c, self.Wc, self.Wr, self.total_bias(), self.p, self.Wp, backward,
            lengths=lengths, every_state=every_state,
        )  # fmt: skip

    def kernel_spec(self) -> KernelSpec:
        options = {"peephole": self.peephole, "proj_size": self.proj_size}
        refused = next((f"no kernel serves {name}={value}" for name, value in options.items() if value), "")
        extra = (self.p, self.Wp) if refused else ()
        return KernelSpec("lstm", refused, lambda: (self.Wc, self.Wr, self.total_bias(), *extra), lstm_step)

    def extra_repr(self) -> str:
        options = [f"{name}={value}" for name in ("proj_size", "peephole") if (value := getattr(self, name))]
        pairs = zip(GateOptions._fields, self.gate_options, STANDARD)
        options += [f"{name}={value!r}" for name, value, standard in pairs if value != standard]
        return ", ".join([super().extra_repr(), *options])


def lstm_step(
    x: Any, state: Parts, h: Any, Wc: Any, Wr: Any, b: Any, p: Any = None, Wp: Any = None,
    options: GateOptions = STANDARD,
) -> tuple[Tensor, ...]:  # fmt: skip
    """(h, c) at t from x(t) and (h, c) at t−1, op by op."""
    c, clip = state[1], options.clip
    gate, of_g = on_tape(options.gate_activation, clip), on_tape(options.activation, clip)
    H = c.shape[1]
    z = mg.linear_sum(x, Wc, h, Wr, b)
    i, f, g, o = (z[:, k * H : (k + 1) * H] for k in range(4))
    if p is not None:
        i, f = i + p[:H] * c, f + p[H : 2 * H] * c
    i = gate(i)
    c = (1 - i if options.coupled_gates else gate(f)) * c + i * of_g(g)
    if p is not None:
        o = o + p[2 * H :] * c
    m = gate(o) * on_tape(options.output_activation)(c)
    return m if Wp is None else mg.linear(m, Wp), c


@mg.primitive_with_outputs
def lstm_sequence(
    xp: Any, xs: Array, h0: Array, c0: Array, Wc: Array, Wr: Array, b: Array, p: Array, Wp: Array,
    backward: bool = False, lengths: Lengths | None = None, every_state: bool = False,
) -> Any:  # fmt: skip
    """The whole sequence as one primitive: every h(t), stacked (T, B, P), the last h (B, P) and c (B, H), and with
    `every_state` every c(t) (T, B, H).

    With `backward` time runs from T − 1 to 0 (slide 108). Its rule is back-propagation through time on arrays; in a
    recorded backward pass (`create_graph`) it runs the sequence op by op instead.

    Shapes: xs (T, B, I), h0 (B, P), c0 (B, H), Wc (4H, I), Wr (4H, P), b (4H,), p (3H,), Wp (P, H); the last three may
    be None, and without Wp P = H.
    """
    run, H = FusedSequence(xp, xs, backward, lengths), c0.shape[1]
    hs, v, S, m = lstm_forward(run, xs, h0, c0, Wc, Wr, b, p, Wp)
    cs = batch_major(S[1:, 4 * H : 5 * H])

    def bptt(gs: Any, needs: Any, xs: Any, h0: Any, c0: Any, Wc: Any, Wr: Any, b: Any, p: Any, Wp: Any) -> Any:
        I, v_T = Wc.shape[1], v[: run.T]
        dhs, dhT = run.incoming(gs[0], gs[1])
        dcs, dcT = None, gs[2]
        if every_state or run.lengths is not None:  # else c receives a gradient from outside at the last step only
            dcs, dcT = run.incoming(gs[3] if every_state else xp.zeros((run.T, *dcT.shape), dcT.dtype), dcT)
        dz, dh0, dc0, dh = lstm_bptt(run, dhs, dhT, dcs, dcT, S, Wr, p, Wp)
        return (
            run.input_gradient(dz, Wc, needs[0]),
            dh0,
            dc0,
            run.weight_gradient(dz, v_T[:, :I], needs[3]),
            run.weight_gradient(dz, v_T[:, -h0.shape[1] :], needs[4]),
            run.weight_gradient(dz, v_T[:, I], needs[5]),
            peephole_gradient(run, dz, S) if needs[6] else None,
            run.weight_gradient(dh, m, needs[7]),
        )

    value: tuple[Array, ...] = run.to_time_order(hs), run.last(hs), run.last(cs)
    if every_state:
        value = (*value, run.to_time_order(cs).copy())
    return value, (xs, h0, c0, Wc, Wr, b, p, Wp), run.rule(bptt, lstm_step, 2, every_state)


def halved(run: FusedSequence, Wc: Array, Wr: Array, b: Array) -> Array:
    """[Wc b Wr] with the gates in the order i, f, o, g and the rows of the three σ gates halved.

    σ(z) = tanh(z/2)/2 + 1/2, so after halving one tanh serves all four gates.
    """
    H = Wc.shape[0] // 4
    W = run.stacked_weights(Wc, Wr, b)
    g = W[2 * H : 3 * H].copy()
    W[: 2 * H] *= 0.5
    run.xp.multiply(W[3 * H :], 0.5, W[2 * H : 3 * H])
    W[3 * H :] = g
    return W


def lstm_forward(
    run: FusedSequence, xs: Array, h0: Array, c0: Array, Wc: Array, Wr: Array, b: Array, p: Array, Wp: Array
) -> tuple[Array, Array, Array, Array]:
    """Every h(t) (T, B, P), and what BPTT needs: v (`FusedSequence.stacked_inputs`), S, and m (T, H, B).

    S (T + 1, 6H, B) is explained at the top. There i, f lie beside o and g beside c(t−1), so that i·g and f·c(t−1) are
    one call, and so are the products of BPTT.
    """
    xp, T, B = run.xp, run.T, run.B
    H = c0.shape[1]
    v, h = run.stacked_inputs(xs, h0, b is not None)
    S = xp.empty((T + 1, 6 * H, B), xs.dtype)
    S[0, 4 * H : 5 * H] = c0.T
    m = h[1:] if Wp is None else run.buffer(H)
    # Views of S, one array per step: all four gates, the σ gates, i and f, only o; g with c(t−1), and so on.
    by_step = per_step(S)
    z, ifo, i_f, o = by_step[:, : 4 * H], by_step[:, : 3 * H], by_step[:, : 2 * H], by_step[:, 2 * H : 3 * H]
    g_c, c, tanh_c = by_step[:, 3 * H : 5 * H], by_step[:, 4 * H : 5 * H], by_step[:, 5 * H :]
    products = per_step(xp.empty((2 * H, B), xs.dtype))
    by_i, by_f = products[:H], products[H:]
    # An array of halves is faster than a scalar where a step is a plain vector.
    half = xp.full(3 * H if B == 1 else (), 0.5, xs.dtype)
    half_if, half_o = (half[: 2 * H], half[2 * H :]) if B == 1 else (half, half)
    product = run.product(halved(run, Wc, Wr, b))
    projection = None if Wp is None else run.product_with_copy(Wp)
    peephole_views: Any = repeat((None, None)) if p is None else zip(c, by_step[:, 3 * H : 4 * H])
    p_if, p_o = (None, None) if p is None else peepholes(0.5 * p, B)
    tanh, multiply, add = xp.tanh, xp.multiply, xp.add
    steps = zip(per_step(v), z, ifo, i_f, g_c, c[1:], tanh_c, o, per_step(m), peephole_views)
    for t, (v_t, z_t, ifo_t, i_f_t, g_c_t, c_t, tanh_c_t, o_t, m_t, (c_before, g_t)) in enumerate(steps):
        product(v_t, z_t)
        # The gates, in place of z. With peepholes o has to wait for c(t).
        if p is None:
            tanh(z_t, z_t)
            multiply(ifo_t, half, ifo_t)
            add(ifo_t, half, ifo_t)
        else:
            i_f_t += (p_if * c_before).reshape(i_f_t.shape)
            tanh(g_t, g_t)
            tanh(i_f_t, i_f_t)
            multiply(i_f_t, half_if, i_f_t)
            add(i_f_t, half_if, i_f_t)
        # c(t) = i g + f c(t−1): both products in one call
        multiply(i_f_t, g_c_t, products)
        add(by_i, by_f, c_t)
        if p is not None:
            o_t += p_o * c_t
            tanh(o_t, o_t)
            multiply(o_t, half_o, o_t)
            add(o_t, half_o, o_t)
        # h(t) = m(t) = o tanh(c(t)), or its projection
        tanh(c_t, tanh_c_t)
        multiply(o_t, tanh_c_t, m_t)
        if projection is not None:
            projection(m_t, per_step(h[t + 1]))
    return batch_major(h[1:]), v, S, m


def peepholes(p: Array, B: int) -> tuple[Any, Any]:
    """p of i and f (2, H), and of o (H,), in shapes that multiply a `per_step` c."""
    H = p.shape[0] // 3
    p_if, p_o = p[: 2 * H].reshape(2, H), p[2 * H :]
    return (p_if, p_o) if B == 1 else (p_if[:, :, None], p_o[:, None])


def lstm_factors(xp: Any, S: Array, K: Array, P: Array) -> None:
    """The factors of dc and dh in BPTT, for several steps at once, into the six row blocks of K:

        f | (1−i) i g | (1−f) f c(t−1) | i − i g · g | (1−o) o tanh(c) | o − o tanh(c) · tanh(c)

    The first four multiply dc(t), to give dc(t−1), dz_i, dz_f, dz_g; the last two multiply dh(t), to give dz_o and its
    share of dc(t). Shapes: S and K (n, 6H, B); P (n, 3H, B) for the products i g, f c(t−1), o tanh(c).
    """
    n, rows, B = S.shape
    S, K, P = S.reshape(n, 6, rows // 6, B), K.reshape(n, 6, rows // 6, B), P.reshape(n, 3, rows // 6, B)
    ifo, g_c_tanh = S[:, :3], S[:, 3:]
    xp.multiply(ifo, g_c_tanh, P)
    K[:, 0] = S[:, 1]
    # (1−i) i g and (1−f) f c(t−1)
    xp.subtract(1, S[:, :2], K[:, 1:3])
    xp.multiply(K[:, 1:3], P[:, :2], K[:, 1:3])
    # (1−o) o tanh(c)
    xp.subtract(1, S[:, 2], K[:, 4])
    xp.multiply(K[:, 4], P[:, 2], K[:, 4])
    # i − i g · g and o − o tanh(c) · tanh(c): blocks 3 and 5, from blocks 0 and 2 of P
    xp.multiply(P[:, ::2], g_c_tanh[:, ::2], K[:, 3::2])
    xp.subtract(ifo[:, ::2], K[:, 3::2], K[:, 3::2])


def lstm_bptt(
    run: FusedSequence, dhs: Array, dhT: Array, dcs: Array, dcT: Array, S: Array, Wr: Array, p: Array, Wp: Array
) -> tuple[Array, Array, Array, Array]:
    """BPTT from the last step to the first, with the factors above (Hochreiter & Schmidhuber 1997, in full; slide 116):

        dc(t) += (o − o tanh²(c)) dh(t);      dz(t) from dc(t) and dh(t)
        dc(t−1) = f dc(t);                    dh(t−1) = Wrᵀ dz(t) + dhs(t−1)

    With peepholes dc(t) += p_o dz_o(t) and dc(t−1) += p_i dz_i(t) + p_f dz_f(t); with a projection dh(t) goes through
    Wpᵀ first.

    dhs (T, B, P), dhT (B, P) and dcT (B, H) are the gradients of the outputs, dcs (T, B, H) or None those of every
    c(t). Returns dz of every step (T, 4H, B), rows in the weights' order i, f, g, o; dh(−1) (B, P) and dc(−1) (B, H);
    and with a projection dh of every step (T, P, B).
    """
    xp = run.xp
    _, B, P_units = dhs.shape
    H = dcT.shape[1]
    dz = run.buffer(4 * H)
    dh_all: Any = None if Wp is None else run.buffer(P_units)
    size = run.chunk(H)
    K, P, D = (xp.empty((size, rows * H, B), dhs.dtype) for rows in (6, 3, 5))
    dhs_t = xp.empty((size, P_units, B), dhs.dtype)
    dcs_t: Any = None if dcs is None else xp.empty((size, H, B), dhs.dtype)
    # Carried from step to step: dh(t), and dc(t−1) as the later step left it; dm and dc are scratch.
    dh, dc_later = run.carried(dhT), run.carried(dcT)
    dm, dc = (per_step(xp.empty((H, B), dhs.dtype)) for _ in range(2))
    product = run.product_with_copy(Wr.T)
    unproject: Any = None if Wp is None else run.product_with_copy(Wp.T)
    p_if, p_o = (None, None) if p is None else peepholes(p, B)
    add, multiply = xp.add, xp.multiply
    for now in run.chunks(size):
        n = now.stop - now.start
        # Everything that needs no dh or dc, for all steps of the chunk at once
        lstm_factors(xp, S[now], K[:n], P[:n])
        copy_columns(xp, dhs[now], dhs_t[:n])
        if dcs is not None:
            copy_columns(xp, dcs[now], dcs_t[:n])
        # Views of K and D from the last step to the first. Four blocks of K meet dc: (n, 4, H, B) at one call a step.
        K_back, D_back = per_step(K[:n][::-1]), per_step(D[:n][::-1])
        blocks = (n, 4, *dc.shape)
        to_dc, to_o, to_c = K_back[:, : 4 * H].reshape(blocks), K_back[:, 4 * H : 5 * H], K_back[:, 5 * H :]
        by_dc, dc_before = D_back[:, : 4 * H].reshape(blocks), D_back[:, :H]
        dz_o, dz_now = D_back[:, 4 * H :], D_back[:, H:]
        steps_back = zip(per_step(dhs_t[:n][::-1]), to_dc, to_o, to_c, by_dc, dc_before, dz_o, dz_now)
        for k, (dh_t, to_dc_t, to_o_t, to_c_t, by_dc_t, dc_before_t, dz_o_t, dz_t) in enumerate(steps_back):
            add(dh, dh_t, dh)
            if Wp is None:
                dm = dh
            else:
                per_step(dh_all[now.stop - 1 - k])[...] = dh
                unproject(dh, dm)
            # dz_o from dm(t); dc(t) from dm(t), the later step and the outside
            multiply(to_o_t, dm, dz_o_t)
            multiply(to_c_t, dm, dc)
            add(dc, dc_later, dc)
            if dcs is not None:
                add(dc, per_step(dcs_t[n - 1 - k]), dc)
            if p is not None:
                dc += p_o * dz_o_t
            # dc(t−1), dz_i, dz_f and dz_g from dc(t); then dh(t−1) = Wrᵀ dz(t)
            multiply(to_dc_t, dc, by_dc_t)
            product(dz_t, dh)
            if p is not None:
                dc_before_t += (p_if * by_dc_t[1:3]).sum(axis=0)
            dc_later = dc_before_t
        dc_later = dc_later.copy()  # the next chunk overwrites D
        dz[now] = D[:n, H:]
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
