"""The lecture's recurrent cell: z(t) = Wc x(t) + Wr h(t−1) + b,  h(t) = tanh(z(t)) (slides 51–53, 73)."""

from __future__ import annotations

from functools import partial
from typing import Any

import minigrad as mg
from minigrad import Tensor

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
ACTIVATIONS = {"tanh": mg.tanh, "relu": mg.relu}


class RNNCell(Cell):
    """One step of the simple recurrent net: h(t) = tanh(Wc x(t) + Wr h(t−1) + b).

    Args:
        nonlinearity: "tanh" or "relu". The others: see `Cell`.

    Parameters: `Wc` (H, I), `Wr` (H, H), `b` (H,). State: h (B, H).
    """

    gates = 1
    state_names = ("h",)
    takes_two_biases = True

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        bias: bool = True,
        nonlinearity: str = "tanh",
        **options: Any,
    ) -> None:
        if nonlinearity not in ACTIVATIONS:
            raise ValueError(f"{type(self).__name__}: nonlinearity: got {nonlinearity!r}, want one of {[*ACTIVATIONS]}")
        super().__init__(input_size, hidden_size, bias, **options)
        self.nonlinearity = nonlinearity

    def step(self, x: Any, state: tuple[Any, ...], h: Any) -> tuple[Tensor, ...]:
        return rnn_step(x, state, h, self.Wc, self.Wr, self.total_bias(), self.nonlinearity)

    def sequence(
        self,
        xs: Any,
        state: tuple[Any, ...],
        backward: bool = False,
        lengths: Lengths | None = None,
        every_state: bool = False,
    ) -> tuple[Tensor, ...]:
        return rnn_sequence(
            xs, state[0], self.Wc, self.Wr, self.total_bias(), self.nonlinearity, backward, lengths=lengths
        )

    def kernel_spec(self) -> KernelForm:
        def step(x: Any, state: tuple[Any, ...], h: Any, Wc: Any, Wr: Any, b: Any, br: Any) -> tuple[Tensor, ...]:
            return rnn_step(x, state, h, Wc, Wr, b, self.nonlinearity)

        return KernelForm(f"rnn_{self.nonlinearity}", "", lambda: (self.Wc, self.Wr, self.total_bias(), None), step)


def rnn_step(x: Any, state: tuple[Any, ...], h: Any, Wc: Any, Wr: Any, b: Any, nonlinearity: str) -> tuple[Tensor, ...]:
    """h(t) from x(t) and h(t−1), op by op."""
    return (ACTIVATIONS[nonlinearity](mg.linear(x, Wc, b) + mg.linear(h, Wr)),)


@mg.primitive_with_outputs
def rnn_sequence(
    xp: Any,
    xs: Array,
    h0: Array,
    Wc: Array,
    Wr: Array,
    b: Array,
    nonlinearity: str,
    backward: bool = False,
    lengths: Lengths | None = None,
) -> Any:
    """The whole sequence as one primitive: every h(t), stacked (T, B, H), and the last one (B, H).

    With `backward` time runs from T − 1 to 0 (slide 108) and the last one is h(0). Its rule is back-propagation
    through time on arrays; in a recorded walk (`create_graph`) the rule runs the sequence op by op instead.

    Shapes: xs (T, B, I), h0 (B, H), Wc (H, I), Wr (H, H), b (H,) or None.
    """
    T, I = len(xs), Wc.shape[1]
    turn = to_read_order(lengths, backward)
    clean = xs if lengths is None else lengths.without_padding(xp, xs)
    hs, v = rnn_forward(xp, turn(clean), h0, Wc, Wr, b, nonlinearity, lengths)

    def rule(xp: Any, gs: Any, needs: Any, xs: Any, h0: Any, Wc: Any, Wr: Any, b: Any) -> Any:
        if isinstance(gs[0], Tensor):
            steps = partial(unroll, rnn_step, 1, backward, lengths=lengths, nonlinearity=nonlinearity)
            return rule_through_graph(steps, (xs, h0, Wc, Wr, b), gs, needs)
        dhs, dhT = incoming_gradients(xp, gs[0], gs[1], turn, lengths)
        dz, dh0 = rnn_bptt(xp, dhs, dhT, v, Wr, nonlinearity)
        shares, v_T = WeightGradients(xp, T, backward, lengths), v[:T]
        return (
            turn(input_gradient(xp, dz, Wc)) if needs[0] else None,
            dh0,
            shares.product(dz, v_T[:, :I], needs[2]),
            shares.product(dz, v_T[:, -h0.shape[1] :], needs[3]),
            shares.product(dz, v_T[:, I], needs[4]),
        )

    return (to_time_order(xp, hs, turn, lengths), last_valid(hs, lengths)), (xs, h0, Wc, Wr, b), mg.JointRule(rule)


def rnn_forward(
    xp: Any, xs: Array, h0: Array, Wc: Array, Wr: Array, b: Array, nonlinearity: str, lengths: Lengths | None
) -> tuple[Array, Array]:
    """h(t) for every t, (T, B, H), and v, the stacked inputs that hold them (see `stacked_inputs`)."""
    _, B, _ = xs.shape
    H = h0.shape[1]
    v, h = stacked_inputs(xp, xs, h0, b is not None)
    z = per_step(xp.empty((H, B), xs.dtype))
    multiplied = product(xp, stacked_weights(xp, Wc, Wr, b, B), B)
    shortest = len(xs) if lengths is None or nonlinearity == "tanh" else lengths.shortest
    for t, (v_t, h_t) in enumerate(zip(per_step(v), per_step(h[1:]))):
        multiplied(v_t, z)
        if nonlinearity == "tanh":
            xp.tanh(z, h_t)
        else:
            xp.maximum(z, 0, out=h_t)
        if lengths is not None and t >= shortest:  # at padding a relu could grow without bound
            h_t *= per_step(lengths.valid[t].T)
    return batch_major(h[1:]), v


def rnn_slope(xp: Any, h: Array, nonlinearity: str, out: Array) -> None:
    """dh/dz from the value: 1 − h² for tanh; for relu sign(h), which is 0 or 1."""
    if nonlinearity == "tanh":
        xp.multiply(h, h, out)
        xp.subtract(1, out, out)
    else:
        xp.sign(h, out)


def rnn_bptt(xp: Any, dhs: Array, dhT: Array, v: Array, Wr: Array, nonlinearity: str) -> tuple[Array, Array]:
    """From the last step to the first: dz(t) = dh(t) · slope(t),  dh(t−1) = Wrᵀ dz(t) + dhs(t−1) (slide 116).

    dhs (T, B, H) and dhT (B, H) are the gradients of the outputs. Returns dz of every step (T, H, B) and dh(−1) (B, H).
    """
    T, B, H = dhs.shape
    h = v[1:, -H:]
    dz = time_buffer(xp, T, H, B, dhs.dtype)
    steps = min(T, max(1, CHUNK // (H * B)))
    here, incoming_gradients = xp.empty((steps, H, B), dhs.dtype), xp.empty((steps, H, B), dhs.dtype)
    dh = per_step(xp.empty((H, B), dhs.dtype))
    dh[...] = per_step(dhT.T)
    multiplied = product(xp, weight_copy(xp, Wr.T, B), B)
    for stop in range(T, 0, -steps):
        now = slice(max(0, stop - steps), stop)
        n = stop - now.start
        rnn_slope(xp, h[now], nonlinearity, here[:n])
        copy_columns(xp, dhs[now], incoming_gradients[:n])
        for dh_t, dz_t in zip(per_step(incoming_gradients[:n][::-1]), per_step(here[:n][::-1])):
            xp.add(dh, dh_t, dh)
            xp.multiply(dh, dz_t, dz_t)  # the slope becomes dz(t) in its place
            multiplied(dz_t, dh)
        dz[now] = here[:n]
    return dz, dh.reshape(H, B).T
