"""Whole sequences in kernels as one primitive on the tape; two directions run in the same launches."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any

import numpy as np

import minigrad as mg
from minigrad import Tensor
from minigrad.backend import Backend, BackendError, Kernels
from minigrad.engine.gradient_pool import PerStepSum
from minigrad.engine.norms import StepRows, norms_of_products

from ..cells import Cell, Lengths
from ..cells.directions import Directions
from ..cells.fused_sequence import map_sums
from ..cells.lengths import ReadOrder
from ..cells.step_gradients import StepGradients
from .launches import Inputs, OutputGradients, Sequences
from .planner import OP_BY_OP, PassPlan, Plan, Shape, plan
from .state_gradients import every_state_gradient

Array = Any


def planned(backend: Backend, cells: Sequence[Cell], B: int, directions: int) -> Plan | None:
    """The plan for sequences of B examples through the cells, one or two at a time; None if the backend has no kernels.

    If the kernels do not support a cell or one of its options, the plan is "op by op" and names the reason.
    """
    if backend.kernels is None:
        return None
    first = cells[0]
    specs = [cell.kernel_spec() for cell in cells]
    refused = next((spec.refused for spec in specs if spec is not None and spec.refused), "")
    if specs[0] is None:
        refused = f"no kernel is written for {type(first).__name__}"
    kind = "rnn_tanh" if specs[0] is None else specs[0].kind
    shape = Shape(kind, B, first.state_sizes[-1], np.dtype(first.reference_parameter().dtype), directions)
    if refused:
        return Plan(shape, PassPlan(OP_BY_OP, refused), PassPlan(OP_BY_OP, refused))
    return plan(backend.kernels(first.reference_parameter()._array).device, shape)


def refuse_capture(backend: Backend, caller: str) -> None:
    """Raise BackendError where the current stream records a CUDA graph, in which CuPy's products cannot be."""
    if backend.capturing():
        raise BackendError(
            f"{caller}: stream: got one that captures a CUDA graph, want one that does not: the products around a "
            "layer's kernels are CuPy's, which cannot be captured"
        )


class Call(Directions):
    """A call of one cell or two in kernels.

    Args:
        backend, kernels: the arrays', of their device.
        plan: how the kernels run.
        The others: see `Directions`.
    """

    def __init__(self, backend: Backend, kernels: Kernels, plan: Plan, *options: Any) -> None:
        super().__init__(*options)
        self.backend, self.plan, self.kernels = backend, plan, kernels
        with kernels.entered():
            self.steps = None if self.lengths is None else backend.from_numpy(self.lengths.host.astype(np.int32))
        """The lengths on the device, in 32 bits; None where there is no padding."""

    @contextmanager
    def on_its_device(self) -> Iterator[None]:
        """Make the arrays' device the current one, whichever was.

        Raises:
            BackendError: its current stream records a CUDA graph.
        """
        with self.kernels.entered():
            refuse_capture(self.backend, "recurrent layer")
            yield

    def order(self, T: int, direction: int) -> ReadOrder:
        """The order in which a direction reads its T steps."""
        return ReadOrder(T, self.reads_backward(direction), self.lengths)


@mg.primitive_with_outputs
def kernel_sequences(xp: Any, *inputs: Any, call: Call) -> Any:
    """Sequences of one or two directions in kernels: for each every h(t) (T, B, H), the last state's arrays (B, H), and
    with `every_state` every c(t).

    Inputs, for each direction: xs (T, B, I), the initial state's arrays (B, H), and the weights of its `KernelSpec`.
    The rule is BPTT in kernels; in a recorded backward pass (`create_graph`) it runs the sequences op by op instead.
    Both passes run on the arrays' device, whichever is the current one.
    """
    with call.on_its_device():
        value, run = _forward(xp, inputs, call)

    def rule(xp: Any, gs: Any, needs: Any, *inputs: Any) -> Any:
        with call.on_its_device():
            if isinstance(gs[0], Tensor):
                return call.through_graph(inputs, gs, needs)
            return _through_kernels(run, call, gs, needs)

    return tuple(value), inputs, mg.JointRule(rule)


def _forward(xp: Any, inputs: Sequence[Any], call: Call) -> tuple[list[Array], Sequences]:
    n = 1 + call.states
    directions = []
    for row in call.split(inputs):
        xs = row[0] if call.lengths is None else call.lengths.without_padding(xp, row[0])
        directions.append(Inputs(xs, row[1], row[2] if call.states > 1 else None, *row[n:]))
    run = Sequences(xp, call.kernels, call.plan, directions, call.steps, call.backward)
    run.forward()
    value: list[Array] = []
    for d, y in enumerate(run.ys):
        value += [y, run.X[d, -1].copy()]
        if call.states > 1:
            value.append(run.C[d, -1].copy())
            if call.every_state:
                cs = run.C[d, 1:]
                clean = cs.copy() if call.lengths is None else call.lengths.without_padding(xp, cs)
                value.append(xp.ascontiguousarray(call.order(run.T, d).turn(clean)))
    return value, run


def _through_kernels(run: Sequences, call: Call, gs: Sequence[Any], needs: Sequence[bool]) -> tuple[Any, ...]:
    xp, orders = run.xp, [call.order(run.T, d) for d in range(run.D)]
    in_steps = ReadOrder(run.T, False, None)  # of arrays in time order
    incoming = [
        OutputGradients(g[0], g[1], g[2] if call.states > 1 else None, order.turn(g[3]) if call.every_state else None)
        for order, g in zip(orders, call.split(gs))
    ]
    dh0, dc0, dZ, dY = run.bptt(incoming)
    for d, (receiver, order, g) in enumerate(zip(call.step_gradients, orders, incoming)):
        for name, a in every_state_gradient(run, d, order, g, dY[d]).items():
            receiver.add(name, a)
    gradients: list[Any] = []
    for d, (order, inputs, needed) in enumerate(zip(orders, run.inputs, call.split(needs))):
        need_states, (need_Wc, need_Wr, need_b, *need_br) = needed[1 : 1 + call.states], needed[1 + call.states :]
        labels, (T, B, I) = order.labels, inputs.xs.shape
        gradients.append(xp.matmul(dZ[d].reshape(T * B, -1), inputs.Wc).reshape(T, B, I) if needed[0] else None)
        gradients += [a[d] if need else None for a, need in zip((dh0, dc0), need_states)]
        of_step = _rows(in_steps, dZ[d])
        gradients.append(_product(xp, dZ[d], inputs.xs, labels, in_steps, of_step) if need_Wc else None)
        products = [_product(xp, left, right, labels, order) for left, right in dY[d]] if need_Wr else [None]
        gradients.append(products[0] if len(products) == 1 else map_sums(lambda *a: xp.concatenate(a), *products))
        gradients.append(_sum(dZ[d], labels, in_steps, of_step) if need_b else None)
        gradients += [_sum(dY[d][0][0], labels, order) if need else None for need in need_br]
    return tuple(gradients)


def _product(
    xp: Any, left: Array, right: Array, labels: range, order: ReadOrder, left_rows: StepRows | None = None
) -> PerStepSum:
    """Σ_t left(t)ᵀ right(t) of (T, B, F) arrays, and on request the share of each step (slide 97), or its norm."""
    total = xp.matmul(left.reshape(-1, left.shape[2]).T, right.reshape(-1, right.shape[2]))
    return PerStepSum(
        total,
        labels,
        lambda label: xp.matmul(order.rows(label, left).T, order.rows(label, right)),
        lambda: _norms(labels, left_rows or _rows(order, left), _rows(order, right)),
    )


def _sum(a: Array, labels: range, order: ReadOrder, rows: StepRows | None = None) -> PerStepSum:
    """Σ_t Σ_b a[t, b], and on request the share of each step, or its norm."""
    return PerStepSum(
        a.sum(axis=(0, 1)),
        labels,
        lambda label: order.rows(label, a).sum(axis=0),
        lambda: _norms(labels, rows or _rows(order, a), StepRows(None)),
    )


def _rows(order: ReadOrder, a: Array) -> StepRows:
    return StepRows(partial(order.turn, a))


def _norms(labels: range, left: StepRows, right: StepRows) -> dict[int, float]:
    norms = norms_of_products(left, right)
    return {label: float(norms[label]) for label in labels}


def run(
    backend: Backend,
    plan: Plan,
    cells: Sequence[Cell],
    inputs: Sequence[tuple[Any, tuple[Any, ...]]],
    backward: bool,
    lengths: Lengths | None,
    every_state: bool,
    step_gradients: Sequence[StepGradients] = (),
) -> list[tuple[Tensor, ...]]:
    """Run one cell or two over xs and an initial state each; returns for each what `unroll` does.

    With two cells the second reads backward; with one `backward` decides.
    """
    specs = tuple(spec for cell in cells if (spec := cell.kernel_spec()) is not None)
    assert backend.kernels is not None
    kernels = backend.kernels(cells[0].reference_parameter()._array)
    call = Call(backend, kernels, plan, specs, len(inputs[0][1]), backward, lengths, every_state, step_gradients)
    row = [part for (xs, state), spec in zip(inputs, specs) for part in (xs, *state, *spec.weights())]
    return call.split(kernel_sequences(*row, call=call))
