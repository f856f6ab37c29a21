"""The gated recurrent unit (Cho et al. 2014), gate rows in the order r, z, n:

r, z = σ(z_r), σ(z_z)                with z(t) = Wc x(t) + Wr h(t−1) + b
n = tanh(Wc_n x(t) + b_n + Wr_n (r · h(t−1)))             as published (`reset_after=False`), or
n = tanh(Wc_n x(t) + b_n + r · (Wr_n h(t−1) + br_n))      as in cuDNN and torch (`reset_after=True`)
h(t) = (1 − z) · n + z · h(t−1)
"""

from __future__ import annotations

from functools import partial
from typing import Any

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
    time_buffer,
    weight_buffer,
    weight_copy,
)
from .lengths import Lengths, incoming_gradients, last_valid, to_read_order, to_time_order
from .unroll import rule_through_graph, unroll

Array = Any


class GRUCell(Cell):
    """One step of the GRU (equations above).

    Args:
        reset_after: whether the reset gate acts after the product with Wr, as in cuDNN and torch, or before it, as
            published. With a bias the first has a second one, the published form has no place for it.
        The others: see `Cell`.

    Parameters: `Wc` (3H, I), `Wr` (3H, H), `b` (3H,), and with reset_after `br` (3H,), as torch has it; gate rows in
    the order r, z, n. State: h (B, H).

    Raises:
        ValueError: two_biases is given and says otherwise.
    """

    gates = 3
    state_names = ("h",)
    takes_two_biases = True

    def __init__(
        self, input_size: int, hidden_size: int, bias: bool = True, reset_after: bool = True, **options: Any
    ) -> None:
        second = bool(bias and reset_after)
        if (given := options.pop("two_biases", second)) != second:
            raise ValueError(
                f"{type(self).__name__}: two_biases: got {given}, want {second} with {bias=} and {reset_after=}"
            )
        self.reset_after = bool(reset_after)
        super().__init__(input_size, hidden_size, bias, two_biases=second, **options)

    def step(self, x: Any, state: tuple[Any, ...], h: Any) -> tuple[Tensor, ...]:
        return gru_step(x, state, h, self.Wc, self.Wr, self.b, self.br, reset_after=self.reset_after)

    def sequence(
        self,
        xs: Any,
        state: tuple[Any, ...],
        backward: bool = False,
        lengths: Lengths | None = None,
        every_state: bool = False,
    ) -> tuple[Tensor, ...]:
        return gru_sequence(
            xs, state[0], self.Wc, self.Wr, self.b, self.br, self.reset_after, backward, lengths=lengths
        )

    def kernel_spec(self) -> KernelForm:
        kind = "gru" if self.reset_after else "gru_published"
        step = partial(gru_step, reset_after=self.reset_after)
        return KernelForm(kind, "", lambda: (self.Wc, self.Wr, self.b, self.br), step)

    def extra_repr(self) -> str:
        return super().extra_repr() + ("" if self.reset_after else ", reset_after=False")


def gru_step(
    x: Any, state: tuple[Any, ...], h: Any, Wc: Any, Wr: Any, b: Any, br: Any, reset_after: bool
) -> tuple[Tensor, ...]:
    """h(t) from x(t) and h(t−1), op by op."""
    H = Wr.shape[1]
    rows, n_rows = slice(2 * H), slice(2 * H, None)
    current = mg.linear(x, Wc, b)
    if reset_after:
        recurrent = mg.linear(h, Wr, br)
        gates = mg.sigmoid(current[:, rows] + recurrent[:, rows])
        n = mg.tanh(current[:, n_rows] + gates[:, :H] * recurrent[:, n_rows])
    else:
        gates = mg.sigmoid(current[:, rows] + mg.linear(h, Wr[rows]))
        n = mg.tanh(current[:, n_rows] + mg.linear(gates[:, :H] * h, Wr[n_rows]))
    return (n + gates[:, H:] * (state[0] - n),)


@mg.primitive_with_outputs
def gru_sequence(
    xp: Any,
    xs: Array,
    h0: Array,
    Wc: Array,
    Wr: Array,
    b: Array,
    br: Array,
    reset_after: bool = True,
    backward: bool = False,
    lengths: Lengths | None = None,
) -> Any:
    """The whole sequence as one primitive: every h(t), stacked (T, B, H), and the last one (B, H).

    With `backward` time runs from T − 1 to 0 (slide 108) and the last one is h(0). Its rule is back-propagation
    through time on arrays; in a recorded walk (`create_graph`) the rule runs the sequence op by op instead.

    Shapes: xs (T, B, I), h0 (B, H), Wc (3H, I), Wr (3H, H), b (3H,) or None, br (3H,) or None.
    """
    T, I, H = len(xs), Wc.shape[1], h0.shape[1]
    turn = to_read_order(lengths, backward)
    clean = xs if lengths is None else lengths.without_padding(xp, xs)
    hs, v, S = gru_forward(xp, turn(clean), h0, Wc, Wr, b, br, reset_after)

    def rule(xp: Any, gs: Any, needs: Any, xs: Any, h0: Any, Wc: Any, Wr: Any, b: Any, br: Any) -> Any:
        if isinstance(gs[0], Tensor):
            steps = partial(unroll, gru_step, 1, backward, lengths=lengths, reset_after=reset_after)
            return rule_through_graph(steps, (xs, h0, Wc, Wr, b, br), gs, needs)
        dhs, dhT = incoming_gradients(xp, gs[0], gs[1], turn, lengths)
        dq_dz, dh0 = gru_bptt(xp, dhs, dhT, v, S, Wr, reset_after)
        shares, v_T = WeightGradients(xp, T, backward, lengths), v[:T]
        dz, h = dq_dz[:, H:], v_T[:, I + 1 :]
        one = v_T[:, I]
        if reset_after:  # dq, dr, dz are what arrives at Wr h(t−1) + br, in the order n, r, z
            dWr = in_order(xp, shares.product(dq_dz[:, : 3 * H], h, needs[3]), H)
            dbr = in_order(xp, shares.product(dq_dz[:, : 3 * H], one, needs[5]), H)
        else:
            to_gates = shares.product(dz[:, : 2 * H], h, needs[3])
            to_n = shares.product(dz[:, 2 * H :], S[:T, 3 * H :], needs[3])
            dWr, dbr = one_above_other(xp, to_gates, to_n), None
        return (
            turn(input_gradient(xp, dz, Wc)) if needs[0] else None,
            dh0,
            shares.product(dz, v_T[:, :I], needs[2]),
            dWr,
            shares.product(dz, one, needs[4]),
            dbr,
        )

    return (to_time_order(xp, hs, turn, lengths), last_valid(hs, lengths)), (xs, h0, Wc, Wr, b, br), mg.JointRule(rule)


def in_order(xp: Any, share: PerStepSum | None, H: int) -> PerStepSum | None:
    """Rows n, r, z as r, z, n."""
    if share is None:
        return None
    return PerStepSum(
        xp.concatenate([share.total[H:], share.total[:H]]), share.steps,
        lambda label: xp.concatenate([(at := share.at(label))[H:], at[:H]]),
    )  # fmt: skip


def one_above_other(xp: Any, above: PerStepSum | None, below: PerStepSum | None) -> PerStepSum | None:
    """The shares of a matrix from those of its upper and its lower rows."""
    if above is None or below is None:
        return None
    return PerStepSum(
        xp.concatenate([above.total, below.total]), above.steps,
        lambda label: xp.concatenate([above.at(label), below.at(label)]),
    )  # fmt: skip


def current_product(xp: Any, v: Array, I: int, Wc: Array, b: Array) -> Array:
    """Wc x(t) + b for all steps at once, (T, 3H, B), with the rows of r and z halved (see `gru_forward`)."""
    T, _, B = v.shape
    rows = Wc.shape[0]
    W = weight_buffer(xp, rows, I + 1, B, Wc.dtype)
    W[:, :I] = Wc
    W[:, I] = 0 if b is None else b
    W[: 2 * rows // 3] *= 0.5
    if B == 1:
        return xp.matmul(v[:, : I + 1, 0], W.T)[:, :, None]
    made: Array = xp.empty((rows, T, B), v.dtype)
    xp.matmul(W, v[:, : I + 1].transpose(1, 0, 2).reshape(I + 1, T * B), made.reshape(rows, T * B))
    return made.transpose(1, 0, 2)


def gru_forward(
    xp: Any, xs: Array, h0: Array, Wc: Array, Wr: Array, b: Array, br: Array, reset_after: bool
) -> tuple[Array, Array, Array]:
    """Every h(t) (T, B, H), and what BPTT needs: v (`stacked_inputs`) and S.

    S[t] (4H, B) holds r, z, n and q of step t, where q is Wr_n h(t−1) + br_n, or r · h(t−1) in the published form.
    σ(a) = tanh(a/2)/2 + 1/2: the rows of r and z are halved in the weights, so that one call serves both gates.
    """
    T, B, I = xs.shape
    H = h0.shape[1]
    v, h = stacked_inputs(xp, xs, h0, True)
    current = current_product(xp, v[:T], I, Wc, b)
    S = time_buffer(xp, T, 4 * H, B, xs.dtype) if not reset_after else xp.empty((T, 4 * H, B), xs.dtype)
    W = weight_buffer(xp, 3 * H, H + 1, B, Wr.dtype)
    W[:, 0] = 0 if br is None else br
    W[:, 1:] = Wr
    W[: 2 * H] *= 0.5
    half = xp.full(2 * H if B == 1 else (), 0.5, xs.dtype)
    tanh, multiply, add, subtract = xp.tanh, xp.multiply, xp.add, xp.subtract
    by_step, v_step, h_step, current = per_step(S), per_step(v), per_step(h), per_step(current)
    rz, r, z, n, q = (by_step[:, rows] for rows in (
        slice(2 * H), slice(H), slice(H, 2 * H), slice(2 * H, 3 * H), slice(3 * H, None)
    ))  # fmt: skip
    a, difference = per_step(xp.empty((3 * H, B), xs.dtype)), per_step(xp.empty((H, B), xs.dtype))
    gates, a_n = a[: 2 * H], a[2 * H :]
    if reset_after:
        recurrent = product(xp, W, B)
        by_gates = by_n = recurrent
    else:
        by_gates, by_n = (
            product(xp, weight_copy(xp, W[rows, 1:], B), B) for rows in (slice(2 * H), slice(2 * H, None))
        )
    steps = zip(v_step[:, I:], h_step, h_step[1:], current[:, : 2 * H], current[:, 2 * H :], rz, r, z, n, q)
    for one_h_t, h_before, h_t, current_rz, current_n, rz_t, r_t, z_t, n_t, q_t in steps:
        if reset_after:
            recurrent(one_h_t, a)
        else:
            by_gates(h_before, gates)
        add(gates, current_rz, gates)
        tanh(gates, gates)
        multiply(gates, half, gates)
        add(gates, half, rz_t)
        if reset_after:
            q_t[...] = a_n
            multiply(r_t, a_n, a_n)
        else:
            multiply(r_t, h_before, q_t)
            by_n(q_t, a_n)
        add(a_n, current_n, a_n)
        tanh(a_n, n_t)
        subtract(h_before, n_t, difference)
        multiply(z_t, difference, difference)
        add(n_t, difference, h_t)
    return batch_major(h[1:]), v, S


def gru_bptt(xp: Any, dhs: Array, dhT: Array, v: Array, S: Array, Wr: Array, reset_after: bool) -> tuple[Array, Array]:
    """From the last step to the first:

        dz_z = (h(t−1) − n) z (1−z) dh;   dz_n = (1−z) (1−n²) dh
        reset_after:   dz_r = q r (1−r) dz_n;  dq = r dz_n;  dh(t−1) = z dh + Wr_nᵀ dq + Wr_rᵀ dz_r + Wr_zᵀ dz_z
        as published:  dq = Wr_nᵀ dz_n;  dz_r = h(t−1) r (1−r) dq;  dh(t−1) = z dh + r dq + Wr_rᵀ dz_r + Wr_zᵀ dz_z

    dhs (T, B, H) and dhT (B, H) are the gradients of the outputs. Returns dq, dz_r, dz_z, dz_n of every step
    (T, 4H, B) and dh(−1) (B, H).
    """
    T, B, H = dhs.shape
    h = v[:T, -H:]
    made = time_buffer(xp, T, 4 * H, B, dhs.dtype)
    steps = min(T, max(1, CHUNK // (H * B)))
    # K: what dz_n is multiplied with to give dq and dz_r (r, q r (1−r)), and dh to give dz_z, dz_n and z dh.
    # D: dq, dz_r, dz_z, dz_n and z dh
    K, D = (xp.empty((steps, 5 * H, B), dhs.dtype) for _ in range(2))
    coming = xp.empty((steps, H, B), dhs.dtype)
    dh = per_step(xp.empty((H, B), dhs.dtype))
    dh[...] = per_step(dhT.T)
    if reset_after:
        multiplied = product(xp, weight_copy(xp, xp.concatenate([Wr[2 * H :], Wr[: 2 * H]]).T, B), B)
        through_n = multiplied
    else:
        multiplied, through_n = (product(xp, weight_copy(xp, W.T, B), B) for W in (Wr[: 2 * H], Wr[2 * H :]))
    add, multiply = xp.add, xp.multiply
    for stop in range(T, 0, -steps):
        now = slice(max(0, stop - steps), stop)
        n = stop - now.start
        gru_factors(xp, S[now], h[now], K[:n], reset_after)
        copy_columns(xp, dhs[now], coming[:n])
        K_back, D_back = (per_step(a[:n][::-1].reshape(n, 5, H, B)) for a in (K, D))
        by_dh, by_n, into_Wr = D_back[:, 2:], D_back[:, :2], per_step(D[:n][::-1][:, : 3 * H])
        steps_back = zip(
            per_step(coming[:n][::-1]), K_back[:, 2:], K_back[:, :2], by_dh, by_n, D_back[:, 3], D_back[:, 4], into_Wr
        )
        for dh_t, to_dh, to_n, by_dh_t, by_n_t, dz_n, leak, into_Wr_t in steps_back:
            add(dh, dh_t, dh)
            multiply(to_dh, dh, by_dh_t)
            if reset_after:
                multiply(to_n, dz_n, by_n_t)
                multiplied(into_Wr_t, dh)
            else:
                dq = by_n_t[0]
                through_n(dz_n, dq)
                multiply(to_n[1], dq, by_n_t[1])
                multiplied(into_Wr_t[H:], dh)
                multiply(to_n[0], dq, dq)
                add(dh, dq, dh)
            add(dh, leak, dh)
        made[now] = D[:n, : 4 * H]
    return made, dh.reshape(H, B).T


def gru_factors(xp: Any, S: Array, h: Array, K: Array, reset_after: bool) -> None:
    """For several steps at once, the row blocks of K: r | e r (1−r) | (h − n) z (1−z) | (1−z) (1−n²) | z.

    h is h(t−1), and e is q, or h in the published form. Shapes: S (n, 4H, B), h (n, H, B), K (n, 5H, B).
    """
    H = S.shape[1] // 4
    r_z, n_t = S[:, : 2 * H], S[:, 2 * H : 3 * H]
    K_r, K_er, K_z, K_n, K_leak = (K[:, k * H : (k + 1) * H] for k in range(5))
    K_r[...] = S[:, :H]
    K_leak[...] = S[:, H : 2 * H]
    slopes = K[:, H : 3 * H]
    xp.subtract(1, r_z, slopes)
    xp.multiply(n_t, n_t, K_n)
    xp.subtract(1, K_n, K_n)
    xp.multiply(K_n, K_z, K_n)
    xp.multiply(slopes, r_z, slopes)
    xp.multiply(K_er, S[:, 3 * H :] if reset_after else h, K_er)
    difference = xp.subtract(h, n_t)
    xp.multiply(K_z, difference, K_z)
