"""The state of a recurrence: as its caller holds it, stacked over the cells, and as each cell takes and returns it.

Off the tape, where nothing observes, arrays are cut and stacked directly: operations cost several times as much.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

import minigrad as mg
from minigrad import Tensor
from minigrad.engine.modes import mode
from minigrad.validation import check_array, check_like

from ..cells import Cell

State = Any
Parts = tuple[Any, ...]
"""The state's arrays, the output first, whether there are several or one."""


def unstacked(
    name: str, names: Sequence[str], cells: Sequence[Cell], state: State, batch: int, unbatched: bool, parameter: Tensor
) -> list[Parts]:
    """Each cell's own state arrays, (B, H), from the caller's, (cells, B, H) each; None is the cells' initial state.

    A single cell's keep their first axis: see `of_one_cell`.

    Args:
        name, names: the recurrence's and the state arrays', for messages.
        parameter: whose dtype and backend the arrays must have.

    Raises:
        ValueError: another number of arrays, or another shape. TypeError: no array, or another dtype.
        BackendError: another backend.
    """
    if state is None:
        return [cell.initial(batch) for cell in cells]
    parts = state if isinstance(state, (tuple, list)) else (state,)
    if len(parts) != len(names):
        raise ValueError(f"{name}: state: got {len(parts)} arrays, want {len(names)}: {', '.join(names)}")
    sizes, count, like, now = cells[0].state_sizes, len(cells), parameter._array, mode()
    axes: tuple[int, ...] = (count,) if unbatched else (count, batch)
    cut = []
    for part, size in zip(parts, sizes):  # the common case is told at once
        if type(part) is not Tensor or now.observer is not None or (now.recording and part.node is not None):
            break
        array = part._array
        if array.shape != (*axes, size) or array.dtype != like.dtype or type(array) is not type(like):
            break
        cut.append(array[:, None] if unbatched else array)
    else:
        if count == 1:
            return [tuple(parts) if not unbatched else tuple([Tensor(array) for array in cut])]
        return [tuple([Tensor(array[k]) for array in cut]) for k in range(count)]
    for part, part_name, size in zip(parts, names, sizes):
        argument, want = f"state: {part_name}", (*axes, size)
        check_array(name, argument, part)
        if tuple(part.shape) != want:
            raise ValueError(f"{name}: {argument}: got shape {tuple(part.shape)}, want {want}")
    parts = [check_like(name, f"state: {n}", part, parameter) for n, part in zip(names, parts)]
    if unbatched:
        parts = [part[:, None] for part in parts]
    return [tuple(parts)] if count == 1 else [tuple(part[k] for part in parts) for k in range(count)]


def of_one_cell(parts: Parts) -> Parts:
    """A single cell's state arrays as (B, H), from (1, B, H), which compiled sequences take as they are."""
    if parts[0].ndim == 2:
        return parts
    if mode().observer is None:
        return tuple([Tensor(part._array[0]) if part.node is None else part[0] for part in parts])
    return tuple([part[0] for part in parts])


def stacked(finals: Sequence[Parts], unbatched: bool) -> State:
    """The caller's state from the cells' arrays (B, H): one array (cells, B, H), or a tuple of several.

    Without a batch axis they are (cells, H). A single cell's may be (1, B, H) already.
    """
    if len(finals) > 1:
        parts = [_stack(rows) for rows in zip(*finals)]
        if unbatched:
            parts = [part[:, 0] for part in parts]
    elif finals[0][0].ndim == 3:
        parts = [part[:, 0] for part in finals[0]] if unbatched else list(finals[0])
    elif unbatched:
        parts = list(finals[0])
    elif mode().observer is None:
        parts = [Tensor(part._array[None]) if part.node is None else part[None] for part in finals[0]]
    else:
        parts = [part[None] for part in finals[0]]
    return tuple(parts) if len(parts) > 1 else parts[0]


def _stack(rows: Sequence[Tensor]) -> Tensor:
    if mode().observer is None:
        for row in rows:
            if row.node is not None or type(row._array) is not np.ndarray:
                break
        else:
            first = rows[0]._array
            whole = np.empty((len(rows), *first.shape), first.dtype)
            for k, row in enumerate(rows):
                whole[k] = row._array
            return Tensor(whole)
    return mg.stack(rows)


def stacked_over_time(states: Sequence[Parts], unbatched: bool, batch_first: bool) -> State:
    """The caller's arrays of every step, (cells, T, B, H) or (cells, B, T, H), from the cells' (T, B, H)."""
    parts = tuple(mg.stack(rows) for rows in zip(*states))
    if unbatched:
        parts = tuple(part[:, :, 0] for part in parts)
    elif batch_first:
        parts = tuple(mg.swapaxes(part, 1, 2) for part in parts)
    return parts if len(parts) > 1 else parts[0]
