"""The long short-term memory cell (Hochreiter & Schmidhuber 1997; forget gate: Gers et al. 2000), torch's equations:

i, f, o = σ(z_i), σ(z_f), σ(z_o);  g = tanh(z_g)      with z(t) = Wc x(t) + Wr h(t−1) + b, rows in the order i f g o
c(t) = f · c(t−1) + i · g;         h(t) = o · tanh(c(t))

Other activations may take the place of σ and of the two tanh, and their arguments may be limited to ±clip, all but
that of tanh(c(t)), as in ONNX; with coupled gates f = 1 − i (Greff et al. 2017).

With peepholes (Gers & Schmidhuber 2000) the gates see the cell: p_i c(t−1) is added to z_i, p_f c(t−1) to z_f and
p_o c(t) to z_o. With a projection (Sak et al. 2014) h(t) = Wp (o · tanh(c(t))) has fewer units than c(t).

The fused sequence works on blocks of H rows, one column per example:

    S  saved by the forward pass, a row of blocks per step: the gates (`Blocks`), c(t−1), tanh(c(t))
    m  o · tanh(c(t)): h(t) itself, or what the projection reads

`lstm_bptt` explains the arrays of BPTT.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import chain, repeat
from typing import Any, NamedTuple

import minigrad as mg
from minigrad import Tensor
from minigrad.arguments_of import arguments_of
from minigrad.validation import check_flag, check_integer, check_number, is_integer, shown

from .activations import Activation, check_activation, check_clip, on_tape
from .cell import Cell, KernelSpec, Parts
from .feature_major import batch_major, per_step
from .fused_sequence import FusedSequence
from .lengths import Lengths
from .lstm_bptt import AS_STORED, ORDERED, Blocks, lstm_bptt, peephole_gradient, peepholes
from .step_gradients import StepGradients

Array = Any


class GateOptions(NamedTuple):
    """The options of an LSTM's gates: see `LSTMCell`."""

    gate_activation: Activation = "sigmoid"
    activation: Activation = "tanh"
    output_activation: Activation = "tanh"
    clip: float | None = None
    coupled_gates: bool = False


STANDARD = GateOptions()


@arguments_of(Cell)
class LSTMCell(Cell):
    """One step of long short-term memory (Hochreiter & Schmidhuber 1997; forget gate: Gers et al. 2000).

    Equations:
        z(t) = Wc x(t) + Wr h(t−1) + b
        i, f, o = σ(z_i), σ(z_f), σ(z_o);  g = tanh(z_g)
        c(t) = f · c(t−1) + i · g;  h(t) = o · tanh(c(t))

    With peepholes (Gers & Schmidhuber 2000) p_i c(t−1) is added to z_i, p_f c(t−1) to z_f and p_o c(t) to z_o. With a
    projection (Sak et al. 2014) h(t) = Wp (o · tanh(c(t))). With coupled gates f = 1 − i (Greff et al. 2017).

    Args:
        proj_size: units P of h(t), fewer than H; 0 for no projection.
        peephole: whether the gates see the cell.
        forget_bias: the forget gate's bias to start from, so that the cell remembers at first (Gers et al. 2000;
            Jozefowicz et al. 2015 advise 1); None draws it as all biases are.
        gate_activation: of i, f, o: one of "tanh", "relu", "sigmoid", "affine", "leaky_relu", "softsign", "softplus",
            "thresholded_relu", "scaled_tanh", "hard_sigmoid" and "elu", or a tuple of the name and its parameters, such
            as ("hard_sigmoid", 0.25, 0.5).
        activation: of the cell's input g, and of c(t) on its way out: one of the same.
        output_activation: of c(t) on its way out, if it is another; None takes `activation`.
        clip: z(t), with peepholes, is limited to ±clip before the activations, as in onnxruntime; None for no limit.
        coupled_gates: whether f = 1 − i; the weights' rows of f are not used then.

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
        """The number of features of h and of c."""
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
        self, xs: Any, state: Parts, backward: bool = False, lengths: Lengths | None = None, every_state: bool = False,
        step_gradients: StepGradients | None = None,
    ) -> tuple[Tensor, ...]:  # fmt: skip
        h, c = state
        return lstm_sequence(
            xs, h, c, self.Wc, self.Wr, self.total_bias(), self.p, self.Wp, backward,
            lengths=lengths, every_state=every_state, step_gradients=step_gradients,
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
    step_gradients: StepGradients | None = None,
) -> Any:  # fmt: skip
    """The whole sequence as one primitive: every h(t), stacked (T, B, P), the last h (B, P) and c (B, H), and with
    `every_state` every c(t) (T, B, H).

    With `backward` time runs from T − 1 to 0 (slide 108). Its rule is back-propagation through time on arrays; in a
    recorded backward pass (`create_graph`) it runs the sequence op by op instead.

    Shapes: xs (T, B, I), h0 (B, P), c0 (B, H), Wc (4H, I), Wr (4H, P), b (4H,), p (3H,), Wp (P, H); the last three may
    be None, and without Wp P = H.
    """
    run, H = FusedSequence(xp, xs, backward, lengths, step_gradients), c0.shape[1]
    hs, v, S, m, blocks = lstm_forward(run, xs, h0, c0, Wc, Wr, b, p, Wp)
    cs = batch_major(S[1:, 4 * H : 5 * H])

    def bptt(gs: Any, needs: Any, xs: Any, h0: Any, c0: Any, Wc: Any, Wr: Any, b: Any, p: Any, Wp: Any) -> Any:
        I, P, v_T = Wc.shape[1], h0.shape[1], v[: run.T]
        dhs, dhT = run.incoming(gs[0], gs[1])
        dcs, dcT = None, gs[2]
        if every_state or run.lengths is not None:  # else c receives a gradient from outside at the last step only
            dcs, dcT = run.incoming(gs[3] if every_state else xp.zeros((run.T, *dcT.shape), dcT.dtype), dcT)
        dz, dh0, dc0, dh = lstm_bptt(run, dhs, dhT, dcs, dcT, S, blocks, Wr, p, Wp, needs[1])
        return (
            run.input_gradient(dz, Wc, needs[0]),
            dh0,
            dc0,
            *run.weight_gradients(dz, (v_T[:, :I], needs[3]), (v_T[:, -P:], needs[4]), (v_T[:, I], needs[5])),
            peephole_gradient(run, dz, S) if needs[6] else None,
            *run.weight_gradients(dh, (m, needs[7])),
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
) -> tuple[Array, Array, Array, Array, Blocks]:
    """Every h(t) (T, B, P), and what BPTT needs: v (`FusedSequence.stacked_inputs`), S, m (T, H, B), the blocks of S.

    S (T + 1, 6H, B) is explained at the top. The gates lie where i·g and f·c(t−1) are one call, and so are the products
    of BPTT. A copy of the weights has its rows halved and ordered; with the weights as they are the results are halved.
    """
    xp, T, B = run.xp, run.T, run.B
    H = c0.shape[1]
    tanh, multiply, add = xp.tanh, xp.multiply, xp.add
    v, h = run.stacked_inputs(xs, h0, b is not None)
    S = xp.empty((T + 1, 6 * H, B), xs.dtype)
    S[0, 4 * H : 5 * H] = c0.T
    m = h[1:] if Wp is None else run.buffer(H)
    half = run.filled((), 0.5)
    projection: Any = None
    current: Iterable[Any] = repeat(None)
    if run.stacks(Wc, Wr):
        blocks, sigmoids = ORDERED, slice(3 * H)
        before, product = v, run.product(halved(run, Wc, Wr, b))
        # An array of halves is faster than a scalar where a step is a plain vector.
        slope = offset = run.filled((3 * H,), 0.5) if B == 1 else half
        if Wp is not None:
            projection = run.product_with_copy(Wp)
    else:
        blocks, sigmoids = AS_STORED, slice(4 * H)
        slope = per_step(run.filled((4 * H, B), 0.5))
        slope[2 * H : 3 * H] = 1
        offset = 1 - slope
        chunks = (multiply(a, slope, a) for a in map(per_step, run.current(v, Wc, b)))
        before, product, current = h, run.product(Wr), chain.from_iterable(chunks)
        if Wp is not None:
            projection = run.product(Wp)
    # Views of S, one array per step: all four gates, the σ gates, i and f, g with c(t−1), and so on.
    by_step, by_block = per_step(S), per_step(S.reshape(T + 1, 6, H, B))
    i_f, g_c, c = by_block[:, blocks.i_f], by_block[:, blocks.g_c], by_block[:, 4]
    by_i, by_f = products = per_step(xp.empty((2, H, B), xs.dtype))
    if p is None and blocks is ORDERED:  # one axis less is faster
        i_f, g_c, products = by_step[:, : 2 * H], by_step[:, 3 * H : 5 * H], products.reshape(by_step[0, : 2 * H].shape)
    peephole_views: Any = repeat((None, None)) if p is None else zip(c, by_block[:, blocks.g])
    p_if, p_o = (None, None) if p is None else peepholes(0.5 * p, B)
    steps = zip(
        per_step(before), current, by_step[:, : 4 * H], by_step[:, sigmoids], i_f, g_c, c[1:], by_block[:, 5],
        by_block[:, blocks.o], per_step(m), peephole_views,
    )  # fmt: skip
    for t, (before_t, x_t, z_t, gates_t, i_f_t, g_c_t, c_t, tanh_c_t, o_t, m_t, (c_before, g_t)) in enumerate(steps):
        product(before_t, z_t)
        if x_t is not None:
            multiply(z_t, slope, z_t)
            add(z_t, x_t, z_t)
        # The gates, in place of z. With peepholes o has to wait for c(t).
        if p is None:
            tanh(z_t, z_t)
            multiply(gates_t, slope, gates_t)
            add(gates_t, offset, gates_t)
        else:
            i_f_t += p_if * c_before
            tanh(g_t, g_t)
            tanh(i_f_t, i_f_t)
            multiply(i_f_t, half, i_f_t)
            add(i_f_t, half, i_f_t)
        # c(t) = i g + f c(t−1): both products in one call
        multiply(i_f_t, g_c_t, products)
        add(by_i, by_f, c_t)
        if p is not None:
            o_t += p_o * c_t
            tanh(o_t, o_t)
            multiply(o_t, half, o_t)
            add(o_t, half, o_t)
        # h(t) = m(t) = o tanh(c(t)), or its projection
        tanh(c_t, tanh_c_t)
        multiply(o_t, tanh_c_t, m_t)
        if projection is not None:
            projection(m_t, per_step(h[t + 1]))
    return batch_major(h[1:]), v, S, m, blocks
