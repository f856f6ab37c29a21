"""Whole sequences in C as one primitive on the tape; two directions run beside each other."""

from __future__ import annotations

import ctypes
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import minigrad as mg
from minigrad import Tensor
from minigrad.engine.modes import mode

from ..cells import Cell, Lengths
from ..cells.cell import KernelSpec
from ..cells.lengths import ReadOrder
from ..cells.unroll import rule_through_graph, unroll
from .library import library
from .packed_weights import PackedWeights
from .run import Inputs, OutputGradients, Run
from .step_shares import StepShares
from .threads import get_num_threads, run_parts

Array = Any

PART = 4e6
"""Products of two numbers that are worth a thread of their own: about 80 µs."""


@dataclass(frozen=True, eq=False)
class NativeCall:
    """The options of one call, and how the inputs of one or two directions lie in one row."""

    specs: tuple[KernelSpec, ...]
    states: int
    backward: bool
    """Whether a single direction is read backward; of two, the second is."""
    lengths: Lengths | None
    """None where there is no padding."""
    every_state: bool
    saves: bool
    """Whether a backward pass may follow."""

    def order(self, T: int, direction: int) -> ReadOrder:
        """The order in which a direction reads its T steps."""
        return ReadOrder(T, self.backward or direction == 1, self.lengths)

    def by_direction(self, row: Sequence[Any]) -> list[tuple[Any, ...]]:
        each = len(row) // len(self.specs)
        return [tuple(row[d * each : (d + 1) * each]) for d in range(len(self.specs))]


@mg.primitive_with_outputs
def native_sequences(xp: Any, *inputs: Any, call: NativeCall) -> Any:
    """Sequences of one or two directions in C: for each every h(t) (T, B, P), the last state's arrays, and with
    `every_state` every c(t).

    Inputs, for each direction: xs (T, B, I), the initial state's arrays, and the weights of its `KernelSpec`. The rule
    is BPTT in C; in a recorded backward pass (`create_graph`) it runs the sequences op by op instead.
    """
    n, runs = 1 + call.states, []
    parts = 0
    arrays = [a if a is None or a.dtype.isnative else a.astype(a.dtype.newbyteorder("=")) for a in inputs]
    for d, (spec, row) in enumerate(zip(call.specs, call.by_direction(arrays))):
        xs, h0, c0 = row[0], row[1], row[2] if call.states > 1 else None
        weights = PackedWeights(library(xs.dtype), spec.kind, row[n:])
        if not d:
            parts = parts_of(weights, len(xs), xs.shape[1], len(call.specs))
        order = call.order(len(xs), d)
        runs.append(Run(weights, Inputs(xs, h0, c0), order, call.saves, call.every_state, parts))
    run_all(runs, "forward")
    value: list[Array] = []
    for run in runs:
        value += [run.hs, run.hT]
        if call.states > 1:
            value.append(run.cT)
            if call.every_state:
                value.append(run.cs)

    lock = threading.Lock()

    def rule(xp: Any, gs: Any, needs: Any, *inputs: Any) -> Any:
        if isinstance(gs[0], Tensor):
            return _through_graph(call, inputs, gs, needs)
        with lock:  # two threads may go back through one graph
            return _bptt(runs, call, gs, needs)

    return tuple(value), inputs, mg.JointRule(rule)


def parts_of(weights: PackedWeights, T: int, B: int, directions: int) -> int:
    """Among how many threads a direction's examples are split; 0: not even two directions are worth two threads."""
    threads = get_num_threads()
    if threads == 1:
        return 0
    work = int(len(weights.Wr) * (weights.Wc.shape[1] + weights.Wr.shape[1]) * T * B / PART)
    return int(min(-(-threads // directions), B, work))


def run_all(runs: list[Run], function: str) -> None:
    """Run a pass of the library for all directions, beside each other.

    Raises:
        MemoryError: the library got no memory.
    """
    parts = max(1, runs[0].parts)
    entry = getattr(runs[0].weights.library, function)
    calls = [ctypes.byref(run.call) for run in runs]
    failed = []

    def part(k: int) -> None:
        if entry(calls[k // parts], k % parts, parts):
            failed.append(k)

    if runs[0].parts and len(calls) * parts > 1:
        run_parts(part, len(calls) * parts)
    else:
        for k in range(len(calls)):
            part(k)
    if failed:
        raise MemoryError(f"{function} of a sequence in C: no memory for its working arrays")


def _through_graph(
    call: NativeCall, inputs: Sequence[Any], gs: Sequence[Any], needs: Sequence[bool]
) -> tuple[Any, ...]:
    gradients: list[Any] = []
    by_direction = zip(call.specs, *(call.by_direction(row) for row in (inputs, gs, needs)))
    for d, (spec, row, g, needed) in enumerate(by_direction):
        backward = call.order(len(row[0]), d).backward
        steps = partial(unroll, spec.step, call.states, backward, lengths=call.lengths, every_state=call.every_state)
        gradients += rule_through_graph(steps, row, g, needed) if any(needed) else [None] * len(row)
    return tuple(gradients)


def _bptt(runs: list[Run], call: NativeCall, gs: Sequence[Any], needs: Sequence[bool]) -> tuple[Any, ...]:
    states, filled = call.states, []
    spent = [run for run in runs if run.holds_gradients]  # a second backward pass needs what the first replaced
    for run in spent:
        run.new_Z()
    if spent:
        run_all(spent, "forward")
    for run, g, needed in zip(runs, call.by_direction(gs), call.by_direction(needs)):
        wanted = dict(zip(("xs", "h0", "c0")[: 1 + states] + run.weights.names, needed))
        gradients = OutputGradients(g[0], g[1], g[2] if states > 1 else None, g[3] if call.every_state else None)
        filled.append(run.before_bptt(gradients, wanted))
        run.holds_gradients = True
    run_all(runs, "backward")
    run_all(runs, "weight_gradients")
    result: list[Any] = []
    for run, arrays in zip(runs, filled):
        shares = StepShares(run)
        result += [arrays.get("dxs"), arrays["dh0"], *([arrays["dc0"]] if states > 1 else [])]
        for name in run.weights.names:
            total = arrays.get(f"d{name}")
            result.append(None if total is None else shares.of(name, total))
    return tuple(result)


def run_sequences(
    cells: Sequence[Cell],
    inputs: Sequence[tuple[Any, tuple[Any, ...]]],
    backward: bool,
    lengths: Lengths | None,
    every_state: bool,
) -> list[tuple[Tensor, ...]]:
    """Run one cell or two over xs and an initial state each; returns for each what `unroll` does.

    With two cells the second reads backward; with one `backward` decides.
    """
    specs = tuple(spec for cell in cells if (spec := cell.kernel_spec()) is not None)
    states = len(inputs[0][1])
    lengths = None if lengths is None or lengths.full else lengths
    row = [part for (xs, state), spec in zip(inputs, specs) for part in (xs, *state, *spec.weights())]
    saves = mode().recording and any(getattr(part, "node", None) is not None for part in row)
    call = NativeCall(specs, states, backward, lengths, every_state and states > 1, saves)
    return call.by_direction(native_sequences(*row, call=call))


def refusal(cell: Cell) -> str:
    """Why no compiled sequence serves a cell, or ""."""
    spec = cell.kernel_spec()
    if spec is None:
        return f"no compiled sequence is written for {type(cell).__name__}"
    return spec.refused_in_c
