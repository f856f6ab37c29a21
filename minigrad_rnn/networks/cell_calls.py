"""Run a layer's cells as a recurrence does, and tell those who listen about each cell's call."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from minigrad import Tensor
from minigrad.backend import Backend
from minigrad.engine.modes import mode

from ..cells import Lengths
from ..cells.step_gradients import CellCall, StepGradients, check_hands_out, listening_to
from .masks import Masks

if TYPE_CHECKING:
    from .recurrence import Recurrence


def run_layer(
    recurrence: Recurrence,
    names: list[str],
    inputs: list[tuple[Any, tuple[Any, ...]]],
    spans: Lengths | None,
    masks: Masks,
    every_state: bool,
    backend: Backend,
) -> list[tuple[Tensor, ...]]:
    """Run one cell, or one of each direction, over xs and an initial state each; returns what `unroll` does.

    Raises:
        TypeError: somebody listens, and a cell's own fused sequence does not hand out what they want.
    """
    observer = mode().observer
    if observer is not None:
        with observer.inside_layer(tuple(getattr(recurrence, name) for name in names)):
            return _run_layer(recurrence, names, inputs, spans, masks, every_state, backend)
    return _run_layer(recurrence, names, inputs, spans, masks, every_state, backend)


def _run_layer(
    recurrence: Recurrence, names: list[str], inputs: list[tuple[Any, tuple[Any, ...]]], spans: Lengths | None,
    masks: Masks, every_state: bool, backend: Backend,
) -> list[tuple[Tensor, ...]]:  # fmt: skip
    listeners = listening_to(recurrence)
    if not listeners or not (mode().recording or any(listener.wants_states for listener in listeners)):
        return recurrence._run(names, inputs, spans, masks, every_state, backend)
    cells = [getattr(recurrence, name) for name in names]
    if recurrence._implementation == "fused":
        for name, cell in zip(names, cells):
            check_hands_out(type(recurrence).__name__, name, cell.sequence)
    keeps = any(listener.wants_states for listener in listeners)
    received = [StepGradients(cell.state_names, spans) for cell in cells]
    results = recurrence._run(names, inputs, spans, masks, every_state or keeps, backend, received)
    watched = []
    for cell_name, cell, (xs, state), result, total in zip(names, cells, inputs, results, received):
        n, every = len(state), cell.state_names[1:] if every_state or keeps else ()
        arrays = [
            part._array if isinstance(part, Tensor) else part for part in (xs, *state, result[0], *result[1 + n :])
        ]
        before = tuple(a.reshape(a.shape[-2:]) for a in arrays[1 : 1 + n])
        call = CellCall(
            recurrence, cell_name, cell_name.startswith("backward"), total.lengths, masks.get(cell_name),
            arrays[0] if keeps else None, before if keeps else (),
            dict(zip(cell.state_names, arrays[1 + n :])) if keeps else {}, total,
        )  # fmt: skip
        parts = cell.state_names
        kinds = [(parts[0], False), *((part, True) for part in parts), *((part, False) for part in every)]
        watched.append(call.watch_results(result, kinds, len(arrays[0])))
        for listener in listeners:
            listener.called(call)
    return watched
