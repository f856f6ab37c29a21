"""Whole sequences in C as one primitive on the tape; two directions run beside each other."""

from __future__ import annotations

import ctypes
import threading
from collections.abc import Sequence
from contextvars import ContextVar
from typing import Any

import numpy as np

import minigrad as mg
from minigrad import Tensor
from minigrad.backend import fingerprint
from minigrad.engine.matrix_product import leave_cores_to
from minigrad.engine.modes import mode
from minigrad.engine.mutation import exposed, fingerprint_saved
from minigrad.engine.primitive import FUNCTION_OF, record
from minigrad.engine.tape import Node

from ..cells import Cell, Lengths
from ..cells.directions import Directions
from ..cells.step_gradients import StepGradients
from .packed_weights import PackedWeights, packed_weights
from .prepared_call import PreparedCall
from .run import OutputGradients, Run, Scratch
from .shared_library import is_likely, load_library
from .step_shares import StepShares
from .threads import get_num_threads, run_parts

Array = Any

PART = 4e6
"""Multiplications that are worth a thread of their own: about 80 µs."""
FEW, FEW_OF_LARGE = 2, 12
"""Up to so many examples a thread the threads share the units instead, so that each reads its own weights only; the
second where the weights of all units are more than CACHE bytes."""
CACHE = 1 << 19
STEP = 1e5
"""Multiplications a thread of a step from which on that is worth the threads' meeting after each: a few µs."""
walked_again: ContextVar[Scratch | None] = ContextVar("minigrad_rnn sequences walked again", default=None)
"""Not None while a backward pass runs that is not the last one through its sequences: BPTT then works on a copy of what
the forward pass kept, in this memory. Nobody may ask for the shares of single steps after such a pass."""


class NativeCall(Directions):
    """A call of one cell or two in C.

    Args:
        packed: the weights of each cell.
        saves: whether a backward pass may follow.
        The others: see `Directions`.
    """

    def __init__(self, packed: Sequence[PackedWeights], saves: bool, *options: Any) -> None:
        super().__init__(*options)
        self.packed, self.saves = packed, saves


def run_forward(call: NativeCall, inputs: Sequence[Array]) -> tuple[list[Run], list[Array]]:
    """Run the sequences; return what BPTT needs, and for each direction every h(t), the last state, every c(t)."""
    runs = []
    for d, (weights, row) in enumerate(zip(call.packed, call.split(inputs))):
        n = call.states
        xs, c0, biases = row[0], row[2] if n > 1 else None, row[3 + n : 5 + n]
        if not d:
            parts, shares_units = parts_of(weights, len(xs), xs.shape[1], len(call.specs))
        lengths, saves, every_state = call.lengths, call.saves, call.every_state
        backward = call.reads_backward(d)
        runs.append(Run(weights, xs, row[1], c0, biases, backward, lengths, saves, every_state, parts, shares_units))
    run_all(runs, "forward")
    value: list[Array] = []
    for run in runs:
        value += [run.hs, run.hT]
        if call.states > 1:
            value.append(run.cT)
            if call.every_state:
                value.append(run.cs)
    return runs, value


@mg.primitive_with_outputs
def native_sequences(xp: Any, *inputs: Any, call: NativeCall) -> Any:
    """Sequences of one or two directions in C: for each every h(t) (T, B, P), the last state's arrays, and with
    `every_state` every c(t).

    Inputs, for each direction: xs (T, B, I), the initial state's arrays, and the weights of its `KernelSpec`. The rule
    is BPTT in C; in a recorded backward pass (`create_graph`) it runs the sequences op by op instead.
    """
    runs, value = run_forward(call, inputs)
    for run in runs:
        run.release_if_heavy()
    lock = threading.Lock()

    def rule(xp: Any, gs: Any, needs: Any, *inputs: Any) -> Any:
        if isinstance(gs[0], Tensor):
            return call.through_graph(inputs, gs, needs)
        with lock:  # two threads may go back through one graph
            return _bptt(runs, call, gs, needs)

    return tuple(value), inputs, mg.JointRule(rule)


def parts_of(weights: PackedWeights, T: int, B: int, directions: int) -> tuple[int, bool]:
    """Among how many threads a direction is split, and whether these share the units instead of the examples.

    With 0 not even two directions are worth two threads.
    """
    step = weights.work * B
    total = step * T
    if not weights.packs or total < PART or (threads := get_num_threads()) == 1:
        return 0, False
    parts = min(-(-threads // directions), int(total // PART))
    few = FEW if weights.work * weights.dtype.itemsize <= CACHE else FEW_OF_LARGE
    if parts > 1 and few * parts >= B and step >= STEP * parts and weights.units_can_be_shared:
        return min(parts, weights.template.panels), True
    return min(parts, B), False


def run_all(runs: list[Run], function: str) -> None:
    """Run a pass of the library for all directions, beside each other.

    Raises:
        MemoryError: the library got no memory.
    """
    parts = runs[0].parts or 1
    entry = getattr(runs[0].weights.compiled, function)
    for run in runs:
        run.new_team()
    calls = [ctypes.byref(run.call) for run in runs]
    failed: list[int] = []

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


def _bptt(runs: list[Run], call: NativeCall, gs: Sequence[Any], needs: Sequence[bool]) -> tuple[Any, ...]:
    states, filled, every_step = call.states, list[Any](), list[dict[str, Array]]()
    spent = [run for run in runs if run.holds_gradients]  # a second backward pass needs what the first replaced
    if spent:
        for run in spent:
            run.before_forward_again()
        run_all(spent, "forward")
        for run in spent:
            run.release_if_heavy()
    scratch = walked_again.get()
    spared = [] if scratch is None else [run.spare_Z(scratch) for run in runs]
    for run, g, needed in zip(runs, call.split(gs), call.split(needs)):
        gradients = OutputGradients(g[0], g[1], g[2] if states > 1 else None, g[3] if call.every_state else None)
        filled.append(run.before_bptt(gradients, needed))
        kept = run.keep_step_gradients() if call.step_gradients else {}
        every_step.append(kept)
        run.holds_gradients = True
    in_two = runs[0].parts > 1 or any(run.is_heavy for run in runs)
    if in_two:
        run_all(runs, "backward")
        for run in runs:
            run.release_if_heavy()
    for_weights = [run.before_weight_gradients(needed) for run, needed in zip(runs, call.split(needs))]
    run_all(runs, "weight_gradients" if in_two else "bptt")
    for receiver, kept in zip(call.step_gradients, every_step):
        for name, a in kept.items():
            receiver.add(name, a)
    result: list[Any] = []
    for run, gradients_of, weights in zip(runs, filled, for_weights):
        shares = StepShares(run)
        result += gradients_of
        result += [None if g is None else shares.of(name, g) for name, g in zip(run.weights.names, weights)]
    if scratch is not None:
        for run, Z in zip(runs, spared):
            run.put_back_Z(Z, scratch)
    return tuple(result)


def run_sequences(
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
    specs, packed, row, states, now = [], [], [], len(inputs[0][1]), mode()
    compiled = load_library(cells[0].reference_parameter().dtype)
    for cell, (xs, state) in zip(cells, inputs):
        spec = cell.kernel_spec()
        assert spec is not None
        weights = spec.weights()
        specs.append(spec)
        once = len(xs) if now.recording and weights[0].node is not None else None
        packed.append(packed_weights(vars(cell), compiled, spec.kind, weights, once))
        row += [xs, *state, *weights]
    saves = now.recording and any(getattr(part, "node", None) is not None for part in row)
    call = NativeCall(packed, saves, specs, states, backward, lengths, every_state, step_gradients)
    arrays = [getattr(part, "_array", part) for part in row]
    if now.observer is not None or (saves and len(set(map(id, arrays))) < len(arrays)):
        return call.split(native_sequences(*row, call=call))
    if saves:
        return call.split(_recorded(call, row, arrays, now.time_step))
    runs, value = run_forward(call, arrays)
    if len(runs) == 1 and call.lengths is None and not runs[0].parts and not call.every_state:
        vars(cells[0])["_prepared_call"] = PreparedCall(cells[0], runs[0])
    return call.split([Tensor(a) for a in value])


def _recorded(call: NativeCall, row: Sequence[Any], arrays: list[Any], time_step: int | None) -> tuple[Tensor, ...]:
    """What the operation `native_sequences` does, for inputs that have been checked: 10 µs less for each call."""
    value, saved, rules = FUNCTION_OF[native_sequences](np, *arrays, call=call)
    parents = [getattr(part, "node", None) for part in row]
    outputs: tuple[Tensor, ...] = record(
        "native_sequences", Node(), np, value, saved, rules, arrays, parents, time_step
    )
    users = [part for part in row if type(part) is np.ndarray]
    if users or exposed:
        fingerprint_saved(outputs, users, fingerprint)
    return outputs


def use_several_cores() -> bool:
    """Whether sequences are going to run in C on several threads."""
    try:
        return is_likely() and get_num_threads() > 1
    except ValueError:  # about an environment variable; whoever runs a sequence is told
        return False


leave_cores_to(use_several_cores)


def refusal(cell: Cell) -> str:
    """Why no compiled sequence serves a cell, or ""."""
    spec = cell.kernel_spec()
    if spec is None:
        return f"no compiled sequence is written for {type(cell).__name__}"
    return spec.refused_in_c
