"""Compute ∂L/∂h(t) and ∂L/∂c(t) of every step from what the kernels of BPTT leave: the gates' gradients."""

from __future__ import annotations

from typing import Any

from ..cells.lengths import ReadOrder
from .launches import OutputGradients, Sequences

Array = Any


def every_state_gradient(
    run: Sequences, d: int, order: ReadOrder, incoming: OutputGradients, dY: list[tuple[Array, Array]]
) -> dict[str, Array]:
    """The gradients of direction d's state at every step, (T, B, H) in time order, zero at padding, by name.

    h(t−1) receives what the loss sends it, Wrᵀ times the gradient of Wr h(t−1), and of a GRU what bypasses that
    product; c(t) receives o (1 − tanh² c(t)) dh(t), and f(t+1) dc(t+1). The kernels keep no such array: this takes one
    product for all steps, and of a gated cell a few elementwise operations a step, and only where somebody listens.

    Args:
        run: after its BPTT. order: of the direction.
        incoming: the gradients of its outputs, in time order; of every c(t) in read order.
        dY: of the recurrent products, in read order (see `Sequences`).
    """
    xp, H = run.xp, run.H
    Wr, S = run.weights[d], run.S
    dh, dhT = _arriving(xp, order, order.turn(incoming.dhs), incoming.dhT)
    gates = xp.matmul(dY[0][0].reshape(run.T * run.B, -1), Wr[: dY[0][0].shape[2]]).reshape(dh.shape)
    dh[-1] += dhT
    dh[:-1] += gates[1:]
    if run.cell == "gru_reset_first":
        r, z = S[0, d], S[1, d]
        by_n = xp.matmul(dY[1][0].reshape(run.T * run.B, H), Wr[2 * H :]).reshape(dh.shape)
        for s in range(run.T - 1, 0, -1):
            dh[s - 1] += _valid(xp, order, s, z[s] * dh[s] + r[s] * by_n[s])
    elif run.cell == "gru":
        for s in range(run.T - 1, 0, -1):
            dh[s - 1] += _valid(xp, order, s, S[1, d, s] * dh[s])
    kept = {"h": dh}
    if run.cell == "lstm":
        f, o, c = S[1, d], S[3, d], run.C[d, 1:]
        dcs = xp.zeros_like(dh) if incoming.dcs is None else incoming.dcs
        dc, dcT = _arriving(xp, order, dcs, incoming.dcT)
        dc[-1] += dcT
        for s in range(run.T - 1, -1, -1):
            tanh_c = xp.tanh(c[s])
            dc[s] += _valid(xp, order, s, o[s] * (1 - tanh_c * tanh_c) * dh[s])
            if s:
                dc[s - 1] += _valid(xp, order, s, f[s] * dc[s])
        kept["c"] = dc
    return {name: xp.ascontiguousarray(order.turn(a)) for name, a in kept.items()}


def _arriving(xp: Any, order: ReadOrder, every: Array, last: Array) -> tuple[Array, Array]:
    """A copy of the gradients of every step, in read order, and the one from after the last step.

    With padding the latter is added at each sequence's own last step.
    """
    if order.lengths is None:
        return xp.array(every, copy=True), last
    every = order.lengths.without_padding(xp, every).copy()
    order.lengths.add_at_last(every, last)
    return every, xp.zeros_like(last)


def _valid(xp: Any, order: ReadOrder, s: int, a: Array) -> Array:
    """`a` (B, H) with zeros where a sequence has no step s: what the kernels saved there is no number."""
    return a if order.lengths is None else xp.where(order.lengths.valid[s], a, xp.zeros((), a.dtype))
