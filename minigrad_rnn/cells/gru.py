"""The gated recurrent unit (Cho et al. 2014), gate rows in the order r, z, n:

r, z = σ(z_r), σ(z_z)                with z(t) = Wc x(t) + Wr h(t−1) + b
n = tanh(Wc_n x(t) + b_n + Wr_n (r · h(t−1)))             as published (`reset_after=False`), or
n = tanh(Wc_n x(t) + b_n + r · (Wr_n h(t−1) + br_n))      as in cuDNN and torch (`reset_after=True`)
h(t) = (1 − z) · n + z · h(t−1)

Other activations may take the place of σ and tanh, and their arguments may be limited to ±clip, as in ONNX.

The fused sequence works on blocks of H rows, one column per example:

    S  saved by the forward pass, a row of blocks per step: r, z, n, q
    q  Wr_n h(t−1) + br_n; in the published form r · h(t−1)
    a  the arguments of the gates r, z and of n, as they are added up (scratch)
    K  the factors of BPTT (`gru_factors`): of dz_n, to give dq and dz_r; of dh, to give dz_z, dz_n and z · dh
    D  the resulting gradients: dq, dz_r, dz_z, dz_n, z · dh
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from itertools import chain
from typing import Any

import numpy as np

import minigrad as mg
from minigrad import Tensor
from minigrad.arguments_of import arguments_of
from minigrad.engine.norms import JoinedRows
from minigrad.validation import check_flag

from .activations import Activation, check_activation, check_clip, on_tape
from .cell import Cell, KernelSpec, Parts
from .feature_major import batch_major, copy_columns, per_step, weight_buffer
from .fused_sequence import MANY_STEPS, FusedSequence, map_sums
from .lengths import Lengths
from .step_gradients import StepGradients

Array = Any


@arguments_of(Cell)
class GRUCell(Cell):
    """One step of the gated recurrent unit (Cho et al. 2014).

    Equations:
        z(t) = Wc x(t) + Wr h(t−1) + b;  r, z = σ(z_r), σ(z_z)
        n = tanh(Wc_n x(t) + b_n + r · (Wr_n h(t−1) + br_n))  with reset_after, or
        n = tanh(Wc_n x(t) + b_n + Wr_n (r · h(t−1)))  without
        h(t) = (1 − z) · n + z · h(t−1)

    Args:
        reset_after: whether the reset gate acts after the product with Wr, as in cuDNN and torch, or before it, as
            published. With a bias the first form has a second one, `br`; the published form has none.
        gate_activation: of r and z: one of "tanh", "relu", "sigmoid", "affine", "leaky_relu", "softsign", "softplus",
            "thresholded_relu", "scaled_tanh", "hard_sigmoid" and "elu", or a tuple of the name and its parameters, such
            as ("hard_sigmoid", 0.25, 0.5).
        activation: of n: one of the same.
        clip: the activations' arguments are limited to ±clip; None for no limit.
        two_biases: whether there is a `br`; reset_after and bias say so already, and it may only say the same.

    Parameters: `Wc` (3H, I), `Wr` (3H, H), `b` (3H,), and with reset_after `br` (3H,), as torch has it; gate rows in
    the order r, z, n. State: h (B, H).

    Raises:
        ValueError: two_biases is given and says otherwise.
    """

    gates = 3
    state_names = ("h",)
    takes_two_biases = True

    def __init__(
        self, input_size: int, hidden_size: int, bias: bool = True, reset_after: bool = True,
        gate_activation: Activation = "sigmoid", activation: Activation = "tanh", clip: float | None = None,
        **options: Any,
    ) -> None:  # fmt: skip
        name = type(self).__name__
        self.gate_activation, self.activation = check_activation(
            name, gate_activation=gate_activation, activation=activation
        )
        self.clip = check_clip(name, clip)
        check_flag(name, bias=bias, reset_after=reset_after)
        second = bool(bias and reset_after)
        two_biases = options.pop("two_biases", second)
        check_flag(name, two_biases=two_biases)
        if two_biases != second:
            raise ValueError(f"{name}: two_biases: got {two_biases}, want {second} with {bias=} and {reset_after=}")
        self.reset_after = bool(reset_after)
        super().__init__(input_size, hidden_size, bias, two_biases=second, **options)

    def step(self, x: Any, state: Parts, h: Any) -> tuple[Tensor, ...]:
        return gru_step(
            x, state, h, self.Wc, self.Wr, self.b, self.br, self.reset_after,
            self.gate_activation, self.activation, self.clip,
        )  # fmt: skip

    def fused_refusal(self) -> str:
        if self.clip is None and self.gate_activation == "sigmoid" and self.activation == "tanh":
            return super().fused_refusal()
        options = {"gate_activation": "sigmoid", "activation": "tanh", "clip": None}
        other = (
            f"{n}={v!r} has no fused sequence" for n, standard in options.items() if (v := getattr(self, n)) != standard
        )
        return super().fused_refusal() or next(other)

    def sequence(
        self, xs: Any, state: Parts, backward: bool = False, lengths: Lengths | None = None, every_state: bool = False,
        step_gradients: StepGradients | None = None,
    ) -> tuple[Tensor, ...]:  # fmt: skip
        return gru_sequence(
            xs, state[0], self.Wc, self.Wr, self.b, self.br, self.reset_after, backward,
            lengths=lengths, step_gradients=step_gradients,
        )  # fmt: skip

    def kernel_spec(self) -> KernelSpec:
        kind = "gru" if self.reset_after else "gru_reset_first"
        step = partial(gru_step, reset_after=self.reset_after)
        return KernelSpec(kind, "", lambda: (self.Wc, self.Wr, self.b, self.br), step)

    def extra_repr(self) -> str:
        return super().extra_repr() + ("" if self.reset_after else ", reset_after=False")


def gru_step(
    x: Any, state: Parts, h: Any, Wc: Any, Wr: Any, b: Any, br: Any, reset_after: bool,
    gate_activation: Activation = "sigmoid", activation: Activation = "tanh", clip: float | None = None,
) -> tuple[Tensor, ...]:  # fmt: skip
    """h(t) from x(t) and h(t−1), op by op."""
    gate, of_n = on_tape(gate_activation, clip), on_tape(activation, clip)
    H = Wr.shape[1]
    rows, n_rows = slice(2 * H), slice(2 * H, None)
    current = mg.linear(x, Wc, b)
    if reset_after:
        recurrent = mg.linear(h, Wr, br)
        gates = gate(current[:, rows] + recurrent[:, rows])
        n = of_n(current[:, n_rows] + gates[:, :H] * recurrent[:, n_rows])
    else:
        gates = gate(current[:, rows] + mg.linear(h, Wr[rows]))
        n = of_n(current[:, n_rows] + mg.linear(gates[:, :H] * h, Wr[n_rows]))
    return (n + gates[:, H:] * (state[0] - n),)


@mg.primitive_with_outputs
def gru_sequence(
    xp: Any, xs: Array, h0: Array, Wc: Array, Wr: Array, b: Array, br: Array, reset_after: bool = True,
    backward: bool = False, lengths: Lengths | None = None, step_gradients: StepGradients | None = None,
) -> Any:  # fmt: skip
    """The whole sequence as one primitive: every h(t), stacked (T, B, H), and the last one (B, H).

    With `backward` time runs from T − 1 to 0 (slide 108) and the last one is h(0). Its rule is back-propagation
    through time on arrays; in a recorded backward pass (`create_graph`) it runs the sequence op by op instead.

    Shapes: xs (T, B, I), h0 (B, H), Wc (3H, I), Wr (3H, H), b (3H,) or None, br (3H,) or None.
    """
    run = FusedSequence(xp, xs, backward, lengths, step_gradients)
    hs, v, S = gru_forward(run, xs, h0, Wc, Wr, b, br, reset_after)

    def bptt(gs: Any, needs: Any, xs: Any, h0: Any, Wc: Any, Wr: Any, b: Any, br: Any) -> Any:
        I, H, v_T = Wc.shape[1], h0.shape[1], v[: run.T]
        dq_dz, dh0 = gru_bptt(run, *run.incoming(gs[0], gs[1]), v, S, Wr, reset_after, needs[1])
        dz, h, one = dq_dz[:, H:], v_T[:, I + 1 :], v_T[:, I]
        of_q, of_rz, of_n = (run.step_rows(dq_dz[:, rows]) for rows in (slice(H), slice(H, 3 * H), slice(3 * H, None)))
        dWc, db = run.weight_gradients(dz, (v_T[:, :I], needs[2]), (one, needs[4]), rows=JoinedRows(of_rz, of_n))
        if reset_after:  # what arrives at Wr h(t−1) + br is dq, dz_r, dz_z: rows n, r, z instead of r, z, n
            dWr, dbr = (
                map_sums(lambda a: xp.concatenate([a[H:], a[:H]]), of_rows)
                for of_rows in run.weight_gradients(
                    dq_dz[:, : 3 * H], (h, needs[3]), (one, needs[5]), rows=JoinedRows(of_q, of_rz)
                )
            )
        else:  # the rows of r and z meet h(t−1), those of n meet q
            (dWr_rz,) = run.weight_gradients(dz[:, : 2 * H], (h, needs[3]), rows=of_rz)
            (dWr_n,) = run.weight_gradients(dz[:, 2 * H :], (S[:, 3 * H :], needs[3]), rows=of_n)
            dWr, dbr = map_sums(lambda *rows: xp.concatenate(rows), dWr_rz, dWr_n), None
        return run.input_gradient(dz, Wc, needs[0]), dh0, dWc, dWr, db, dbr

    rule = run.rule(bptt, gru_step, 1, reset_after=reset_after)
    return (run.to_time_order(hs), run.last(hs)), (xs, h0, Wc, Wr, b, br), rule


def gru_forward(
    run: FusedSequence, xs: Array, h0: Array, Wc: Array, Wr: Array, b: Array, br: Array, reset_after: bool
) -> tuple[Array, Array, Array]:
    """Every h(t) (T, B, H), and what BPTT needs: v (`FusedSequence.stacked_inputs`) and S (T, 4H, B).

    σ(a) = tanh(a/2)/2 + 1/2. For many steps the rows of r and z are halved in a copy of Wr, else the products are.
    """
    xp, T, B, H = run.xp, run.T, run.B, h0.shape[1]
    tanh, multiply, add, subtract = xp.tanh, xp.multiply, xp.add, xp.subtract
    v, h = run.stacked_inputs(xs, h0, True)
    # The published form multiplies q with dz_n over all steps at the end, which needs a time buffer.
    S = xp.empty((T, 4 * H, B), xs.dtype) if reset_after else run.buffer(4 * H)
    half = run.filled((2 * H,) if B == 1 else (), 0.5)  # on plain vectors an array is faster than a scalar
    bias, br_n, halved = b, None, run.stacks(Wc, Wr)
    if halved:
        copy = weight_buffer(xp, 3 * H, H, B, Wr.dtype)
        copy[...] = Wr
        copy[: 2 * H] *= 0.5
        Wr = copy
    if reset_after:
        product = run.product(Wr)
        if br is not None:  # added to the rows of r and z beside b, and to those of n by itself
            bias = xp.zeros_like(br) if b is None else b.copy()
            bias[: 2 * H] += br[: 2 * H]
            br_n = per_step(xp.empty((H, B), xs.dtype))
            br_n.T[...] = br[2 * H :]
    else:
        by_gates, by_n = run.product(Wr[: 2 * H]), run.product(Wr[2 * H :])
    by_step, h_step = per_step(S), per_step(h)
    rz, r, z, n, q = (by_step[:, rows] for rows in (
        slice(2 * H), slice(H), slice(H, 2 * H), slice(2 * H, 3 * H), slice(3 * H, None)
    ))  # fmt: skip
    a, difference = per_step(xp.empty((3 * H, B), xs.dtype)), per_step(xp.empty((H, B), xs.dtype))
    gates, a_n = a[: 2 * H], a[2 * H :]

    def parts_of(x: Array) -> Iterable[tuple[Array, Array]]:
        rows = x[:, : 2 * H]
        if halved:
            multiply(rows, 0.5, rows)
        return zip(per_step(rows), per_step(x[:, 2 * H :]))

    current = chain.from_iterable(map(parts_of, run.current(v, Wc, bias)))
    steps = zip(h_step, h_step[1:], current, rz, r, z, n, q)
    for h_before, h_t, (current_rz, current_n), rz_t, r_t, z_t, n_t, q_t in steps:
        if reset_after:
            product(h_before, a)
        else:
            by_gates(h_before, gates)
        # r and z
        add(gates, current_rz, gates)
        if not halved:
            multiply(gates, half, gates)
        tanh(gates, gates)
        multiply(gates, half, gates)
        add(gates, half, rz_t)
        # q, and what is added to Wc_n x(t) + b_n
        if reset_after:
            if br_n is None:
                q_t[...] = a_n
            else:
                add(a_n, br_n, q_t)
            multiply(r_t, q_t, a_n)
        else:
            multiply(r_t, h_before, q_t)
            by_n(q_t, a_n)
        add(a_n, current_n, a_n)
        tanh(a_n, n_t)
        # h(t) = n + z (h(t−1) − n)
        subtract(h_before, n_t, difference)
        multiply(z_t, difference, difference)
        add(n_t, difference, h_t)
    return batch_major(h[1:]), v, S


def gru_bptt(
    run: FusedSequence, dhs: Array, dhT: Array, v: Array, S: Array, Wr: Array, reset_after: bool,
    to_state: bool = True,
) -> tuple[Array, Array]:  # fmt: skip
    """BPTT from the last step to the first:

        dz_z = (h(t−1) − n) z (1−z) dh;   dz_n = (1−z) (1−n²) dh
        reset_after:   dz_r = q r (1−r) dz_n;  dq = r dz_n;  dh(t−1) = z dh + Wr_nᵀ dq + Wr_rᵀ dz_r + Wr_zᵀ dz_z
        as published:  dq = Wr_nᵀ dz_n;  dz_r = h(t−1) r (1−r) dq;  dh(t−1) = z dh + r dq + Wr_rᵀ dz_r + Wr_zᵀ dz_z

    dhs (T, B, H) and dhT (B, H) are the gradients of the outputs. Returns dq, dz_r, dz_z, dz_n of every step
    (T, 4H, B) and dh(−1) (B, H), which is not computed unless `to_state`.
    """
    xp = run.xp
    T, B, H = dhs.shape
    h = v[:T, -H:]
    dq_dz = run.buffer(4 * H)
    size = run.chunk(H)
    K, D = (xp.empty((size, 5 * H, B), dhs.dtype) for _ in range(2))
    dhs_t = xp.empty((size, H, B), dhs.dtype)
    dh, dh_all = run.carried(dhT), run.kept(H)
    # With reset_after dq, dz_r, dz_z are neighbours in D: one product with the rows of a copy of Wr in that order
    together = reset_after and (run.T > MANY_STEPS or xp is not np)
    if together:
        product = run.product_back(xp.concatenate([Wr[2 * H :], Wr[: 2 * H]]))
    else:
        product, through_n = run.product_back(Wr[: 2 * H]), run.product_back(Wr[2 * H :])
        by_q = per_step(xp.empty((H, B), dhs.dtype))
    add, multiply = xp.add, xp.multiply
    for now in run.chunks(size):
        n = now.stop - now.start
        # Everything that needs no dh, for all steps of the chunk at once
        gru_factors(xp, S[now], h[now], K[:n], reset_after)
        copy_columns(xp, dhs[now], dhs_t[:n])
        # Views from the last step to the first: the blocks of K that meet dh and dz_n, and those of D that they fill
        K_back, D_back = (per_step(a[:n][::-1].reshape(n, 5, H, B)) for a in (K, D))
        by_dh, by_n, into_Wr = D_back[:, 2:], D_back[:, :2], per_step(D[:n][::-1][:, : 3 * H])
        steps_back = zip(
            per_step(dhs_t[:n][::-1]), K_back[:, 2:], K_back[:, :2], by_dh, by_n, D_back[:, 3], D_back[:, 4], into_Wr,
            run.products_back(product, now, to_state), run.kept_back(dh_all, now),
        )  # fmt: skip
        for dh_t, to_dh, to_n, by_dh_t, by_n_t, dz_n, leak, into_Wr_t, product_t, kept_t in steps_back:
            add(dh, dh_t, dh)
            if kept_t is not None:
                kept_t[...] = dh
            multiply(to_dh, dh, by_dh_t)  # dz_z, dz_n and z dh, which is the leak
            if reset_after:
                multiply(to_n, dz_n, by_n_t)  # dq and dz_r
                product_t(into_Wr_t if together else into_Wr_t[H:], dh)
                if not together and product_t is product:
                    through_n(into_Wr_t[:H], by_q)
                    add(dh, by_q, dh)
            else:
                dq = by_n_t[0]
                through_n(dz_n, dq)
                multiply(to_n[1], dq, by_n_t[1])  # dz_r
                product_t(into_Wr_t[H:], dh)
                multiply(to_n[0], dq, dq)  # r dq, which goes on to h(t−1)
                add(dh, dq, dh)
            add(dh, leak, dh)
        dq_dz[now] = D[:n, : 4 * H]
    run.hand_out(h=dh_all)
    return dq_dz, run.initial_gradient(dh)


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
    # 1−r and 1−z, where K_er and K_z go; then (1−z) (1−n²), which needs 1−z alone
    xp.subtract(1, r_z, slopes)
    xp.multiply(n_t, n_t, K_n)
    xp.subtract(1, K_n, K_n)
    xp.multiply(K_n, K_z, K_n)
    # r (1−r) and z (1−z), times e and h − n
    xp.multiply(slopes, r_z, slopes)
    xp.multiply(K_er, S[:, 3 * H :] if reset_after else h, K_er)
    xp.multiply(K_z, xp.subtract(h, n_t), K_z)
