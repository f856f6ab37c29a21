"""Check what a cell declares about its state, and what its step returns."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from minigrad import BackendError, Tensor
from minigrad.foreign_arrays import type_name


def check_state_names(cell: str, names: Any) -> None:
    """Raise TypeError unless a cell's `state_names` are different names, at least one."""
    fits = isinstance(names, (tuple, list)) and len(names) > 0 and all(isinstance(name, str) for name in names)
    if not fits or len(set(names)) < len(names):
        got = "nothing" if names is None else repr(names)
        raise TypeError(
            f"{cell}: state_names: got {got}, want the names of the state's arrays, the output first, such as "
            "state_names = ('h',)"
        )


def check_step_result(where: str, names: Sequence[str], result: Any, state: Sequence[Any]) -> tuple[Tensor, ...]:
    """Return what a step returned as a tuple of tensors. A tensor stands for the tuple of it; a list for its tuple.

    Args:
        where: the cell and the function, for messages.
        names: of the state's arrays.
        state: the state before the step, whose shapes, dtypes and backend the result must have.

    Raises:
        TypeError: another number of arrays, one that is not a tensor, or has another dtype.
        ValueError: another shape. BackendError: another backend.
    """
    new = tuple(result) if isinstance(result, (tuple, list)) else (result,)
    wanted = f"{len(names)} {'tensor' if len(names) == 1 else 'tensors'}: {', '.join(names)}"
    if len(new) != len(names):
        raise TypeError(f"{where}: got {len(new)} {'result' if len(new) == 1 else 'results'}, want {wanted}")
    for name, part, old in zip(names, new, state):
        if not isinstance(part, Tensor):
            raise TypeError(
                f"{where}: {name}: got {type_name(part)}, want a Tensor; what leaves the tape has no gradient"
            )
        if part.shape != tuple(old.shape):
            raise ValueError(f"{where}: {name}: got shape {part.shape}, want {tuple(old.shape)}, as at t−1")
        if part.dtype != old.dtype:
            raise TypeError(f"{where}: {name}: got dtype {part.dtype}, want {old.dtype}, as at t−1")
        if isinstance(old, Tensor) and part.backend != old.backend:
            raise BackendError(f"{where}: {name}: got an array on {part.backend}, want {old.backend}")
    return new
