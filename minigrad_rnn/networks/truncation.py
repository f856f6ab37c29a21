"""Truncated back-propagation through time: the state is carried from window to window, its gradient is not."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

import minigrad as mg
from minigrad import Tensor
from minigrad.backend import get_backend
from minigrad.validation import as_tensor, check_integer

from ..cells import CellMasks, Lengths
from ..validation import check_masks
from .masks import Masks
from .recurrence import Recurrence

State = Any
Array = np.ndarray[Any, Any]


def detached(state: State) -> State:
    """The same state without its graph: gradients end there. None stays None."""
    if state is None:
        return None
    return state.detach() if isinstance(state, Tensor) else tuple(part.detach() for part in state)


def _window_of(mask: CellMasks, begin: int, stop: int) -> CellMasks:
    """The masks of the steps begin … stop − 1."""
    zones = tuple(None if zone is None else zone[begin:stop] for zone in mask.zoneout)
    return CellMasks(None if mask.input is None else mask.input[begin:stop], mask.recurrent, zones)


def _axis_and_sizes(rnn: Recurrence, xs: Any) -> tuple[Tensor, int, int, int]:
    """Return xs as a tensor, and its time axis, T and B. Raises if rnn cannot run over xs in windows."""
    if not isinstance(rnn, Recurrence):
        raise TypeError(f"Truncation: rnn: got {type(rnn).__name__}, want a recurrence")
    if rnn.directions != ("forward",):
        got = "a bidirectional recurrence" if rnn.bidirectional else "reverse=True"
        raise ValueError(f"Truncation: rnn: got {got}, want one that reads forward only")
    xs = as_tensor("Truncation", "xs", xs)
    if xs.ndim not in (2, 3):
        raise ValueError(f"Truncation: xs: got shape {xs.shape}, want two or three axes")
    axis = 1 if rnn.batch_first and xs.ndim == 3 else 0
    return xs, axis, int(xs.shape[axis]), int(xs.shape[1 - axis]) if xs.ndim == 3 else 1


def _ends(lengths: Any, T: int, B: int) -> Array | None:
    """The lengths on the host, (B,), checked."""
    return None if lengths is None else Lengths(lengths, T, B, get_backend("numpy"), "Truncation").host


def _where(rnn: Recurrence, which: Array, new: State, old: State) -> State:
    """The new state of each sequence b with which[b], the old one of the others."""
    if isinstance(new, tuple):
        return tuple(_where(rnn, which, *parts) for parts in zip(new, old))
    return mg.where(_to_backend(rnn, which[:, None]), new, old)


def _to_backend(rnn: Recurrence, a: Array) -> Any:
    return get_backend(next(rnn.parameters()).backend).from_numpy(a)


def _run(rnn: Recurrence, xs: Any, state: State, masks: Masks | None, left: Array | None) -> tuple[Tensor, State]:
    """As `rnn(xs, state)`. left (B,): how many steps each sequence still has; it may be zero or negative."""
    if left is None:
        return rnn(xs, state, masks=masks)
    batch_first = rnn.batch_first and xs.ndim == 3
    active = left > 0
    if not active.all():  # a sequence that has ended reads one step of zeros, and its result is dropped
        mask = _to_backend(rnn, active[:, None, None] if batch_first else active[:, None])
        xs = mg.where(mask, xs, 0.0)
    steps = np.clip(left, 1, xs.shape[1 if batch_first else 0])
    output, after = rnn(xs, state, lengths=steps.tolist(), masks=masks)
    if not active.all():
        output, after = mg.where(mask, output, 0.0), _where(rnn, active, after, state)
    return output, after


class Window(NamedTuple):
    """The steps start … stop − 1 of a sequence: their output and the state after them.

    With lengths, the state of a sequence that ended before this window is its last one, as a constant.
    """

    start: int
    stop: int
    output: Tensor
    state: State


class Truncation:
    """BPTT(k2; k1): after every k1 steps, go back at most k2 steps (Williams & Peng 1990; Sutskever 2013).

    >>> import numpy as np
    >>> from minigrad_rnn import RNN, Truncation
    >>> rnn, xs = RNN(3, 4), np.ones((10, 1, 3), np.float32)
    >>> for window in Truncation(4).windows(rnn, xs):
    ...     loss = window.output.sum()
    ...     loss.backward()
    ...     print(window.start, window.stop)
    0 4
    4 8
    8 10

    It needs the memory of k2 steps, for a sequence of any length. With k2 = k1 every step is computed once. With
    k2 > k1 the windows overlap: each begins k2 − k1 steps early, from the state at that point, and outputs only its
    last k1 steps, so every step is computed k2 / k1 times. Each window is a graph of its own; no graph is cut.

    Args:
        k1: steps between two windows' ends.
        k2: the most steps that a gradient travels, a multiple of k1; k1 by default.

    Raises:
        ValueError: k1 below 1, or a k2 that is not a multiple of it.
    """

    def __init__(self, k1: int, k2: int | None = None) -> None:
        k2 = k1 if k2 is None else k2
        check_integer("Truncation", k1=k1, k2=k2)
        if k2 % k1:
            raise ValueError(f"Truncation: k2: got {k2}, want a multiple of k1 = {k1}")
        self.k1, self.k2 = int(k1), int(k2)

    def windows(
        self, rnn: Recurrence, xs: Any, state: State = None, masks: Masks | None = None, lengths: Any = None
    ) -> Iterator[Window]:
        """Run `rnn` over xs window by window. Call `backward` on each window's loss before taking the next window.

        Args:
            rnn: any recurrence that reads forward only (a state that is read backward comes from the future).
            xs: (T, B, I), (B, T, I) with batch_first or (T, I), any array or tensor that can be sliced.
            state: before the first step; it, or a learned h(−1), receives gradients from the windows that reach it.
            masks: those of the whole sequence, as `rnn.draw_masks` returns them; None lets each window draw its own.
            lengths: (B,), as the recurrence takes them; each sequence's gradients are those that it would have alone.

        Raises:
            ValueError: the recurrence reads backward or in two directions, or as its own call.
            TypeError: rnn is not a recurrence, or as its own call.
        """
        xs, axis, T, B = _axis_and_sizes(rnn, xs)
        if masks is not None:
            check_masks("Truncation", dict(zip(rnn.cell_names, rnn.cells)), masks, T, B)
        ends = _ends(lengths, T, B)
        # The states before the steps stop − k2, stop − k2 + k1, …, stop − k1
        before: deque[tuple[int, State]] = deque([(0, state)], maxlen=self.k2 // self.k1)
        for start in range(0, T or 1, self.k1):  # with T = 0 the recurrence raises
            stop = min(T, start + self.k1)
            begin, earlier = before[0]
            own = None if masks is None else {name: _window_of(mask, begin, stop) for name, mask in masks.items()}
            left = None if ends is None else ends - begin
            output, after = _run(rnn, xs[(slice(None),) * axis + (slice(begin, stop),)], earlier, own, left)
            if begin < start:
                output = output[(slice(None),) * axis + (slice(start - begin, None),)]
            before.append((stop, detached(after)))
            yield Window(start, stop, output, after)

    def run(
        self, rnn: Recurrence, xs: Any, state: State = None, masks: Masks | None = None, lengths: Any = None
    ) -> tuple[Tensor, State]:
        """Run all windows and return `output, state` as `rnn(xs, state)` does, with gradients cut as in `windows`.

        For a loss that needs all outputs together; it takes the memory of the whole sequence.
        """
        xs, axis, T, B = _axis_and_sizes(rnn, xs)
        ends = _ends(lengths, T, B)
        outputs, final = list[Tensor](), None
        for window in self.windows(rnn, xs, state, masks, lengths):
            outputs.append(window.output)
            active = None if ends is None else ends > window.start
            final = window.state if active is None or active.all() else _where(rnn, active, window.state, final)
        return mg.concatenate(outputs, axis=axis), final

    def __repr__(self) -> str:
        return f"Truncation(k1={self.k1}, k2={self.k2})"
