"""Whole sequences in kernels as one primitive on the tape: of one direction, or of two in the same launches."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

import minigrad as mg
from minigrad import Tensor
from minigrad.backend import Backend, Kernels
from minigrad.engine.gradient_pool import PerStepSum

from ..cells import Cell, Lengths, unroll
from ..cells.cell import KernelForm
from ..cells.lengths import to_read_order
from ..cells.unroll import rule_through_graph
from .launches import Arriving, Inputs, Sequences
from .planner import PassPlan, Plan, Shape, op_by_op, plan

Array = Any


def planned(backend: Backend, cells: Sequence[Cell], B: int, directions: int) -> Plan | None:
    """How sequences of B examples run through the cells, one or two at a time; None where the backend has no kernels.

    What the kernels do not serve is refused by name: the reason is in the plan.
    """
    if backend.kernels is None:
        return None
    first = cells[0]
    forms = [cell.kernel_spec() for cell in cells]
    refused = next((f.refused for f in forms if f is not None and f.refused), "")
    if forms[0] is None:
        refused = f"no kernel is written for {type(first).__name__}"
    kind = "rnn_tanh" if forms[0] is None else forms[0].kind
    shape = Shape(kind, B, first.state_sizes[-1], np.dtype(first.reference_parameter().dtype), directions)
    if refused:
        return refusal(shape, refused)
    return plan(backend.kernels().device, shape)


def refusal(shape: Shape, reason: str) -> Plan:
    implementation: PassPlan = op_by_op(reason)
    return Plan(shape, implementation, implementation)


@dataclass(frozen=True, eq=False)
class Call:
    """What a call is, beside its inputs: who runs it how, and how the inputs lie in one row."""

    plan: Plan
    kernels: Kernels
    forms: tuple[KernelForm, ...]
    states: int
    backward: bool
    """Whether a single direction is read backward; of two, the second is."""
    lengths: Lengths | None
    steps: Array
    """The lengths on the device, in 32 bits; None where there is no padding."""
    every_state: bool

    @property
    def padded(self) -> bool:
        return self.lengths is not None and not self.lengths.full

    def reads_backward(self, direction: int) -> bool:
        return self.backward or direction == 1

    def by_direction(self, row: Sequence[Any]) -> list[tuple[Any, ...]]:
        each = len(row) // len(self.forms)
        return [tuple(row[d * each : (d + 1) * each]) for d in range(len(self.forms))]


@mg.primitive_with_outputs
def kernel_sequences(xp: Any, *inputs: Any, call: Call) -> Any:
    """Sequences of one or two directions in kernels: for each every h(t) (T, B, H), the last state's arrays (B, H), and
    with `every_state` every c(t).

    Inputs, for each direction: xs (T, B, I), the initial state's arrays (B, H), Wc, Wr, b and br, which may be None.
    The rule is BPTT in kernels; in a recorded walk (`create_graph`) it runs the sequences op by op instead.
    """
    n = 1 + call.states
    given = []
    for row in call.by_direction(inputs):
        xs = call.lengths.without_padding(xp, row[0]) if call.padded and call.lengths is not None else row[0]
        given.append(Inputs(xs, row[1], row[2] if call.states > 1 else None, *row[n:]))
    run = Sequences(xp, call.kernels, call.plan, given, call.steps, call.backward)
    run.forward()
    value: list[Array] = []
    for d, y in enumerate(run.ys):
        value += [y, run.X[d, -1].copy()]
        if call.states > 1:
            value.append(run.C[d, -1].copy())
            if call.every_state:
                cs = run.C[d, 1:]
                clean = cs.copy() if call.lengths is None else call.lengths.without_padding(xp, cs)
                value.append(xp.ascontiguousarray(to_read_order(call.lengths, call.reads_backward(d))(clean)))

    def rule(xp: Any, gs: Any, needs: Any, *inputs: Any) -> Any:
        if isinstance(gs[0], Tensor):
            return _through_graph(call, inputs, gs, needs)
        return _through_kernels(run, call, gs, needs)

    return tuple(value), inputs, mg.JointRule(rule)


def _through_graph(call: Call, inputs: Sequence[Any], gs: Sequence[Any], needs: Sequence[bool]) -> tuple[Any, ...]:
    shares: list[Any] = []
    by_direction = zip(call.forms, *(call.by_direction(row) for row in (inputs, gs, needs)))
    for d, (form, row, g, needed) in enumerate(by_direction):
        steps = partial(
            unroll, form.step, call.states, call.reads_backward(d), lengths=call.lengths, every_state=call.every_state
        )
        shares += rule_through_graph(steps, row, g, needed) if any(needed) else [None] * len(row)
    return tuple(shares)


def _through_kernels(run: Sequences, call: Call, gs: Sequence[Any], needs: Sequence[bool]) -> tuple[Any, ...]:
    xp, lengths = run.xp, call.lengths
    incoming_gradients = []
    for d, g in enumerate(call.by_direction(gs)):
        arrived = Arriving(*g[:2], *g[2:3])
        if call.every_state and call.states > 1:
            arrived.dcs = to_read_order(lengths, call.reads_backward(d))(g[3])
        incoming_gradients.append(arrived)
    dh0, dc0, dZ, dY = run.bptt(incoming_gradients)
    shares: list[Any] = []
    for d, (given, needed) in enumerate(zip(run.inputs, call.by_direction(needs))):
        steps = Steps(xp, run.T, call.reads_backward(d), lengths)
        of_x, of_state, (of_Wc, of_Wr, of_b, of_br) = needed[0], needed[1 : 1 + call.states], needed[1 + call.states :]
        T, B, I = given.xs.shape
        shares.append(xp.matmul(dZ[d].reshape(T * B, -1), given.Wc).reshape(T, B, I) if of_x else None)
        shares += [a[d] if need else None for a, need in zip((dh0, dc0), of_state)]
        shares.append(steps.products([(dZ[d], given.xs)], steps.to_time_order) if of_Wc else None)
        shares.append(steps.products(dY[d], steps.as_read) if of_Wr else None)
        shares.append(steps.sums(dZ[d], steps.to_time_order) if of_b else None)
        shares.append(steps.sums(dY[d][0][0], steps.as_read) if of_br else None)
    return tuple(shares)


class Steps:
    """From what arrived at every step to a weight's share, with each step's own on request (slide 97).

    Args:
        T: steps.
        backward, lengths: in which order they were read.
    """

    def __init__(self, xp: Any, T: int, backward: bool, lengths: Lengths | None) -> None:
        self.xp, self.T, self.backward, self.lengths = xp, T, backward, lengths
        self.labels = range(T)[:: -1 if backward else 1][::-1]

    def to_time_order(self, label: int, a: Array) -> Array:
        """(n, F): the rows of (T, B, F) that step `label` has, of an array in straight time."""
        return a[label]

    def as_read(self, label: int, a: Array) -> Array:
        """The same of an array in the order read."""
        if not self.backward:
            return a[label]
        if self.lengths is None:
            return a[self.T - 1 - label]
        places, sequences = self.lengths.positions(label)
        return a[places, sequences]

    def products(self, blocks: Sequence[tuple[Array, Array]], at: Any) -> PerStepSum:
        """Σ_t left(t)ᵀ right(t) of each block (T, B, F), one above the other."""
        xp = self.xp

        def above(parts: list[Array]) -> Array:
            return parts[0] if len(parts) == 1 else xp.concatenate(parts)

        def flat(a: Array) -> Array:
            return a.reshape(-1, a.shape[2])

        return PerStepSum(
            above([xp.matmul(flat(left).T, flat(right)) for left, right in blocks]),
            self.labels,
            lambda label: above([xp.matmul(at(label, left).T, at(label, right)) for left, right in blocks]),
        )

    def sums(self, a: Array, at: Any) -> PerStepSum:
        """Σ_t Σ_b a[t, b]."""
        return PerStepSum(a.sum(axis=(0, 1)), self.labels, lambda label: at(label, a).sum(axis=0))


def run(
    backend: Backend,
    plan: Plan,
    cells: Sequence[Cell],
    inputs: Sequence[tuple[Any, tuple[Any, ...]]],
    backward: bool,
    lengths: Lengths | None,
    every_state: bool,
) -> list[tuple[Tensor, ...]]:
    """One cell or two over xs and an initial state each: for each what `unroll` returns.

    With two cells the second reads backward, with one `backward` says so.
    """
    assert backend.kernels is not None
    forms = tuple(form for cell in cells if (form := cell.kernel_spec()) is not None)
    states = len(inputs[0][1])
    padded = lengths is not None and not lengths.full
    steps = backend.from_numpy(lengths.host.astype(np.int32)) if padded and lengths is not None else None
    call = Call(plan, backend.kernels(), forms, states, backward, lengths, steps, every_state and states > 1)
    row = [part for (xs, state), form in zip(inputs, forms) for part in (xs, *state, *form.weights())]
    return call.by_direction(kernel_sequences(*row, call=call))
