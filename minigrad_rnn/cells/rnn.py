"""The lecture's recurrent cell: z(t) = Wc x(t) + Wr h(t−1) + b,  h(t) = tanh(z(t)) (slides 51–53, 73)."""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from itertools import chain, repeat
from typing import Any

import minigrad as mg
from minigrad import Tensor
from minigrad.arguments_of import arguments_of

from .activations import (
    FORMULAS,
    Activation,
    check_activation,
    check_clip,
    name_of,
    on_tape,
    parameters_of,
    slope_refusal,
)
from .cell import Cell, KernelSpec, Parts
from .feature_major import batch_major, copy_columns, per_step
from .fused_sequence import FusedSequence
from .lengths import Lengths
from .step_gradients import StepGradients

Array = Any


@arguments_of(Cell)
class RNNCell(Cell):
    """One step of the simple recurrent net (slides 51–53, 73).

    Equations:
        h(t) = tanh(Wc x(t) + Wr h(t−1) + b)

    Args:
        nonlinearity: one of "tanh", "relu", "sigmoid", "affine", "leaky_relu", "softsign", "softplus",
            "thresholded_relu", "scaled_tanh", "hard_sigmoid" and "elu", or a tuple of the name and its parameters, such
            as ("hard_sigmoid", 0.25, 0.5).
        clip: z(t) is limited to ±clip before the nonlinearity, as in ONNX; None for no limit.

    Parameters: `Wc` (H, I), `Wr` (H, H), `b` (H,). State: h (B, H).
    """

    gates = 1
    state_names = ("h",)
    takes_two_biases = True

    def __init__(
        self, input_size: int, hidden_size: int, bias: bool = True, nonlinearity: Activation = "tanh",
        clip: float | None = None, **options: Any,
    ) -> None:  # fmt: skip
        name = type(self).__name__
        (self.nonlinearity,) = check_activation(name, nonlinearity=nonlinearity)
        self.clip = check_clip(name, clip)
        super().__init__(input_size, hidden_size, bias, **options)

    def step(self, x: Any, state: Parts, h: Any) -> tuple[Tensor, ...]:
        return rnn_step(x, state, h, self.Wc, self.Wr, self.total_bias(), self.nonlinearity, self.clip)

    def sequence(
        self, xs: Any, state: Parts, backward: bool = False, lengths: Lengths | None = None, every_state: bool = False,
        step_gradients: StepGradients | None = None,
    ) -> tuple[Tensor, ...]:  # fmt: skip
        return rnn_sequence(
            xs, state[0], self.Wc, self.Wr, self.total_bias(), self.nonlinearity, backward,
            lengths=lengths, step_gradients=step_gradients,
        )  # fmt: skip

    def fused_refusal(self) -> str:
        if self.clip is None and self.nonlinearity in ("tanh", "relu"):
            return super().fused_refusal()
        clipped = "" if self.clip is None else f"clip={self.clip} acts inside the steps"
        return super().fused_refusal() or clipped or slope_refusal(self.nonlinearity)

    def kernel_spec(self) -> KernelSpec:
        step = partial(rnn_step, nonlinearity=self.nonlinearity)
        known = self.nonlinearity in ("tanh", "relu")
        refused = "" if known else f"no kernel serves nonlinearity={self.nonlinearity!r}"
        return KernelSpec(
            f"rnn_{self.nonlinearity}" if known else "rnn_tanh",
            refused,
            lambda: (self.Wc, self.Wr, self.total_bias()),
            step,
            refused,
        )


def rnn_step(
    x: Any, state: Parts, h: Any, Wc: Any, Wr: Any, b: Any, nonlinearity: Activation, clip: float | None = None
) -> tuple[Tensor, ...]:
    """h(t) from x(t) and h(t−1), op by op."""
    return (on_tape(nonlinearity, clip)(mg.linear_sum(x, Wc, h, Wr, b)),)


@mg.primitive_with_outputs
def rnn_sequence(
    xp: Any, xs: Array, h0: Array, Wc: Array, Wr: Array, b: Array, nonlinearity: Activation,
    backward: bool = False, lengths: Lengths | None = None, step_gradients: StepGradients | None = None,
) -> Any:  # fmt: skip
    """The whole sequence as one primitive: every h(t), stacked (T, B, H), and the last one (B, H).

    With `backward` time runs from T − 1 to 0 (slide 108) and the last one is h(0). Its rule is back-propagation
    through time on arrays; in a recorded backward pass (`create_graph`) it runs the sequence op by op instead.

    Shapes: xs (T, B, I), h0 (B, H), Wc (H, I), Wr (H, H), b (H,) or None.
    """
    run = FusedSequence(xp, xs, backward, lengths, step_gradients)
    hs, v = rnn_forward(run, xs, h0, Wc, Wr, b, nonlinearity)

    def bptt(gs: Any, needs: Any, xs: Any, h0: Any, Wc: Any, Wr: Any, b: Any) -> Any:
        I, H, v_T = Wc.shape[1], h0.shape[1], v[: run.T]
        dz, dh0 = rnn_bptt(run, *run.incoming(gs[0], gs[1]), v, Wr, nonlinearity, needs[1])
        return (
            run.input_gradient(dz, Wc, needs[0]),
            dh0,
            *run.weight_gradients(dz, (v_T[:, :I], needs[2]), (v_T[:, -H:], needs[3]), (v_T[:, I], needs[4])),
        )

    rule = run.rule(bptt, rnn_step, 1, nonlinearity=nonlinearity)
    return (run.to_time_order(hs), run.last(hs)), (xs, h0, Wc, Wr, b), rule


def rnn_forward(
    run: FusedSequence, xs: Array, h0: Array, Wc: Array, Wr: Array, b: Array, nonlinearity: Activation
) -> tuple[Array, Array]:
    """h(t) for every t, (T, B, H), and v, the stacked inputs that hold them (see `FusedSequence.stacked_inputs`)."""
    xp, lengths = run.xp, run.lengths
    v, h = run.stacked_inputs(xs, h0, b is not None)
    z = per_step(xp.empty(h0.shape[::-1], xs.dtype))
    current: Iterable[Any] = repeat(None)
    if run.stacks(Wc, Wr):
        before, product = v, run.product(run.stacked_weights(Wc, Wr, b))
    else:  # Wr h(t−1), to which Wc x(t) + b is added
        before, product, current = h, run.product(Wr), chain.from_iterable(map(per_step, run.current(v, Wc, b)))
    for t, (before_t, x_t, h_t) in enumerate(zip(per_step(before), current, per_step(h[1:]))):
        product(before_t, z)
        if x_t is not None:
            xp.add(z, x_t, z)
        if nonlinearity == "tanh":
            xp.tanh(z, h_t)
            continue
        if nonlinearity == "relu":
            xp.maximum(z, 0, out=h_t)
        else:
            h_t[...] = FORMULAS[name_of(nonlinearity)].value(xp, z, *parameters_of(nonlinearity))
        if lengths is not None and t >= lengths.shortest:  # at padding it could grow without bound
            h_t *= per_step(lengths.valid[t].T)
    return batch_major(h[1:]), v


def rnn_slope(xp: Any, h: Array, nonlinearity: Activation, out: Array) -> None:
    """dh/dz from the value h: 1 − h² for tanh; for relu sign(h), which is 0 or 1; the others' are `FORMULAS`."""
    if nonlinearity == "tanh":
        xp.multiply(h, h, out)
        xp.subtract(1, out, out)
    elif nonlinearity == "relu":
        xp.sign(h, out)
    else:
        out[...] = FORMULAS[name_of(nonlinearity)].slope(xp, h, *parameters_of(nonlinearity))


def rnn_bptt(
    run: FusedSequence, dhs: Array, dhT: Array, v: Array, Wr: Array, nonlinearity: Activation,
    to_state: bool = True,
) -> tuple[Array, Array]:  # fmt: skip
    """From the last step to the first: dz(t) = dh(t) · slope(t),  dh(t−1) = Wrᵀ dz(t) + dhs(t−1) (slide 116).

    dhs (T, B, H) and dhT (B, H) are the gradients of the outputs. Returns dz of every step (T, H, B) and dh(−1) (B, H),
    which is not computed unless `to_state`.
    """
    xp = run.xp
    _, B, H = dhs.shape
    h = v[1:, -H:]
    dz = run.buffer(H)
    size = run.chunk(H)
    slopes, dhs_t = xp.empty((size, H, B), dhs.dtype), xp.empty((size, H, B), dhs.dtype)
    dh, dh_all = run.carried(dhT), run.kept(H)
    product = run.product_back(Wr)
    for now in run.chunks(size):
        n = now.stop - now.start
        rnn_slope(xp, h[now], nonlinearity, slopes[:n])
        copy_columns(xp, dhs[now], dhs_t[:n])
        products = run.products_back(product, now, to_state)
        steps_back = zip(per_step(dhs_t[:n][::-1]), per_step(slopes[:n][::-1]), products, run.kept_back(dh_all, now))
        for dh_t, dz_t, product_t, kept_t in steps_back:
            xp.add(dh, dh_t, dh)
            if kept_t is not None:
                kept_t[...] = dh
            xp.multiply(dh, dz_t, dz_t)  # the slope becomes dz(t) in its place
            product_t(dz_t, dh)
        dz[now] = slopes[:n]
    run.hand_out(h=dh_all)
    return dz, run.initial_gradient(dh)
