"""Series runs a recurrence over parts of a padded batch of sequences, from the state that the part before left."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

import minigrad as mg
from minigrad import Tensor
from minigrad.backend import get_backend
from minigrad.validation import as_tensor, check_function

from ..cells import CellMasks, Lengths
from ..validation import check_masks
from .masks import Masks
from .recurrence import Recurrence

State = Any
Array = np.ndarray[Any, Any]


def parts_of(state: State) -> tuple[Any, ...]:
    """The state's arrays, whether there are several or one; none of None."""
    return () if state is None else tuple(state) if isinstance(state, (tuple, list)) else (state,)


def packed(parts: Any) -> State:
    """The state of these arrays, as a recurrence takes and returns it."""
    parts = tuple(parts)
    return None if not parts else parts if len(parts) > 1 else parts[0]


class Series:
    """A padded batch of sequences, in one direction, and what a recurrence is to be given with each part of it.

    Args:
        caller: for messages.
        rnn: a recurrence of one direction.
        xs: (T, B, …), or (B, T, …) with batch_first, or without a batch axis.
        masks, lengths: as the recurrence takes them, for all T steps.
        front: what makes of a part of `xs` that of the recurrence's own input: an embedding, say. None: nothing does.
            Then `xs` may hold anything; whole numbers have no axis of features.

    Raises:
        TypeError, ValueError: as `Truncation.windows`.
    """

    def __init__(
        self, caller: str, rnn: Recurrence, xs: Any, masks: Masks | None, lengths: Any, front: Callable[..., Any] | None
    ) -> None:
        if front is not None:
            check_function(caller, front=front)
        self.caller, self.rnn, self.front, self.masks = caller, rnn, front, masks
        self.xs = xs = as_tensor(caller, "xs", xs)
        features = 0 if front is not None and xs.dtype.kind in "iub" else 1
        if xs.ndim - features < 1 or (front is None and xs.ndim not in (2, 3)):
            want = "two or three axes" if front is None else "an axis of time"
            raise ValueError(f"{caller}: xs: got shape {xs.shape}, want {want}")
        self.unbatched = xs.ndim - features == 1
        self.axis = 1 if rnn.batch_first and not self.unbatched else 0
        self.T, self.B = int(xs.shape[self.axis]), 1 if self.unbatched else int(xs.shape[1 - self.axis])
        if masks is not None:
            check_masks(caller, dict(zip(rnn.cell_names, rnn.cells)), masks, self.T, self.B)
        self.ends: Array | None = None
        """(B,): the lengths, on the host; None where nothing is padded."""
        if lengths is not None:
            self.ends = Lengths(lengths, self.T, self.B, get_backend("numpy"), caller).host

    def part(self, begin: int, stop: int) -> Tensor:
        """The steps begin … stop − 1 of xs."""
        return self.cut(self.xs, begin, stop)

    def cut(self, a: Tensor, begin: int, stop: int | None = None) -> Tensor:
        """The steps begin … stop − 1 of xs or of outputs in its layout."""
        return a[(slice(None),) * self.axis + (slice(begin, stop),)]

    def masks_of(self, begin: int, stop: int) -> Masks | None:
        """The masks of the steps begin … stop − 1."""
        return None if self.masks is None else {name: _part_of(mask, begin, stop) for name, mask in self.masks.items()}

    def run(self, x: Any, state: State, masks: Masks | None, begin: int) -> tuple[Tensor, State]:
        """The outputs of the steps from `begin` on, and the state after them.

        Args:
            x: a part of xs.
            state: before it is read.
            masks: those of these steps; None lets the recurrence draw them.
        """
        rnn = self.rnn
        if self.front is not None:
            x = self.front(x)
            if not isinstance(x, Tensor) or x.ndim != 3 - self.unbatched:
                got = f"shape {x.shape}" if isinstance(x, Tensor) else type(x).__name__
                want = "a tensor of two axes" if self.unbatched else "a tensor of three axes"
                raise ValueError(f"{self.caller}: front: got a result of {got}, want {want}, what the recurrence reads")
        if self.ends is None:
            return rnn(x, state, masks=masks)
        left = self.ends - begin  # zero or negative: the sequence has ended before
        active = left > 0
        if not active.all():  # such a sequence reads one step of zeros, and its result is dropped
            mask = self._on_backend(active[:, None, None] if self.axis else active[:, None])
            x = mg.where(mask, x, 0.0)
        steps = np.clip(left, 1, x.shape[self.axis])
        output, after = rnn(x, state, lengths=steps.tolist(), masks=masks)
        if not active.all():
            if state is None:
                state = self._initial_state()
            output, after = mg.where(mask, output, 0.0), self.where(active, after, state)
        return output, after

    def _initial_state(self) -> State:
        """The state before the first step."""
        by_cell = [cell.initial(self.B) for cell in self.rnn.cells]
        return packed(mg.stack(rows) if not self.unbatched else mg.concatenate(rows) for rows in zip(*by_cell))

    def where(self, which: Array, new: State, old: State) -> State:
        """The new state of each sequence b with which[b], the old one of the others."""
        condition = self._on_backend(which[:, None])
        return packed(mg.where(condition, *pair) for pair in zip(parts_of(new), parts_of(old)))

    def _on_backend(self, a: Array) -> Any:
        return get_backend(next(self.rnn.parameters()).backend).from_numpy(a)


def _part_of(mask: CellMasks, begin: int, stop: int) -> CellMasks:
    zones = tuple(None if zone is None else zone[begin:stop] for zone in mask.zoneout)
    return CellMasks(None if mask.input is None else mask.input[begin:stop], mask.recurrent, zones)
