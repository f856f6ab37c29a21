"""Truncated back-propagation through time: the state is carried on, its gradient is cut."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

import minigrad as mg
from minigrad import Tensor
from minigrad.backend import get_backend

from ..cells import CellMasks, Lengths
from ..validation import check_masks
from .recurrence import Masks, Recurrence

State = Any
Array = np.ndarray[Any, Any]


def detached(state: State) -> State:
    """The same state with nothing behind it: gradients end there. None stays None."""
    if state is None or isinstance(state, Tensor):
        return state if state is None else state.detach()
    return tuple(part.detach() for part in state)


def _window_of(mask: CellMasks, begin: int, stop: int) -> CellMasks:
    """The part of the masks that the steps begin … stop − 1 see."""
    zones = tuple(None if zone is None else zone[begin:stop] for zone in mask.zoneout)
    return CellMasks(None if mask.input is None else mask.input[begin:stop], mask.recurrent, zones)


def _axis_and_sizes(rnn: Recurrence, xs: Any) -> tuple[int, int, int]:
    """(the axis of time, T, B) of xs, if the two can be had in windows."""
    if not isinstance(rnn, Recurrence):
        raise TypeError(f"Truncation: rnn: got {type(rnn).__name__}, want a recurrence")
    if rnn.bidirectional:
        raise ValueError("Truncation: rnn: got a bidirectional recurrence, want one that reads forward only")
    if not hasattr(xs, "shape"):
        raise TypeError(f"Truncation: xs: got {type(xs).__name__}, want a Tensor or an array")
    axis = 1 if rnn.batch_first and xs.ndim == 3 else 0
    return axis, int(xs.shape[axis]), int(xs.shape[1 - axis]) if xs.ndim == 3 else 1


def _ends(lengths: Any, T: int, B: int) -> Array | None:
    """The lengths on the host, (B,)."""
    return None if lengths is None else Lengths(lengths, T, B, get_backend("numpy"), "Truncation").host


def _chosen(rnn: Recurrence, which: Array, new: State, old: State) -> State:
    """The new state of the sequences b where which[b], the old one of the others."""
    if isinstance(new, tuple):
        return tuple(_chosen(rnn, which, *parts) for parts in zip(new, old))
    return mg.where(_host_to(rnn, which[:, None]), new, old)


def _host_to(rnn: Recurrence, a: Array) -> Any:
    return get_backend(next(rnn.parameters()).backend).from_numpy(a)


def _run(rnn: Recurrence, xs: Any, state: State, masks: Masks | None, left: Array | None) -> tuple[Tensor, State]:
    """As `rnn(xs, state)`, where `left` says how many steps of each sequence there still are, of some perhaps none."""
    if left is None:
        return rnn(xs, state, masks=masks)  # type: ignore[no-any-return]
    turned = rnn.batch_first and xs.ndim == 3
    going = left > 0
    if not going.all():  # a sequence that has ended reads a zero, and what comes of it is dropped
        here = _host_to(rnn, going[:, None, None] if turned else going[:, None])
        xs = mg.where(here, xs, 0.0)
    steps = np.clip(left, 1, xs.shape[1 if turned else 0])
    output, after = rnn(xs, state, lengths=steps.tolist(), masks=masks)
    if not going.all():
        output, after = mg.where(here, output, 0.0), _chosen(rnn, going, after, state)
    return output, after


class Window(NamedTuple):
    """The steps start … stop − 1 of a sequence: their output and the state after them.

    With lengths, the state of a sequence that ended before is the one it ended with, a constant.
    """

    start: int
    stop: int
    output: Tensor
    state: State


class Truncation:
    """BPTT(k2; k1): after every k1 steps, look back at most k2 steps (Williams & Peng 1990; Sutskever 2013).

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

    Memory is that of k2 steps, for a sequence of any length. With k2 = k1 every step is computed once. With k2 > k1 the
    windows overlap: each begins k2 − k1 steps early, from the state that was there, and only its last k1 steps are
    output; so every step is computed k2 / k1 times. A built graph is never cut: each window is a graph of its own.

    Args:
        k1: steps between two windows' ends.
        k2: steps that a gradient travels at most, a multiple of k1; k1 by default.

    Raises:
        ValueError: k1 below 1, or a k2 that is no multiple of it.
    """

    def __init__(self, k1: int, k2: int | None = None) -> None:
        k2 = k1 if k2 is None else k2
        for name, k in (("k1", k1), ("k2", k2)):
            if isinstance(k, bool) or not isinstance(k, (int, np.integer)) or k < 1:
                raise ValueError(f"Truncation: {name}: got {k!r}, want a whole number of steps, at least 1")
        if k2 % k1:
            raise ValueError(f"Truncation: k2: got {k2}, want a multiple of k1 = {k1}")
        self.k1, self.k2 = int(k1), int(k2)

    def windows(
        self, rnn: Recurrence, xs: Any, state: State = None, masks: Masks | None = None, lengths: Any = None
    ) -> Iterator[Window]:
        """Run `rnn` over xs window by window. Call `backward` on each window's loss before asking for the next.

        Args:
            rnn: any one-way recurrence. (Reading backward, a state comes from the future and cannot be carried on.)
            xs: (T, B, I), (B, T, I) with batch_first or (T, I), any array or tensor that can be sliced.
            state: before the first step; it, or a learned h(−1), receives gradients from the windows that reach it.
            masks: of the whole sequence, as `rnn.draw_masks` gives them; without, each window draws its own.
            lengths: (B,), as the recurrence takes them; each sequence's gradients are those that it would have alone.

        Raises:
            ValueError: the recurrence reads in two directions; as the recurrence's own call. TypeError: the same.
        """
        axis, T, B = _axis_and_sizes(rnn, xs)
        if masks is not None:
            check_masks("Truncation", dict(zip(rnn.cell_names, rnn.cells)), masks, T, B)
        ends = _ends(lengths, T, B)
        # The states before the steps stop − k2, stop − k2 + k1, …, stop − k1
        before: deque[tuple[int, State]] = deque([(0, state)], maxlen=self.k2 // self.k1)
        for start in range(0, T or 1, self.k1):  # T = 0 is for the recurrence to refuse
            stop = min(T, start + self.k1)
            begin, earlier = before[0]
            cut = None if masks is None else {name: _window_of(mask, begin, stop) for name, mask in masks.items()}
            left = None if ends is None else ends - begin
            whole, after = _run(rnn, xs[(slice(None),) * axis + (slice(begin, stop),)], earlier, cut, left)
            output = whole if begin == start else whole[(slice(None),) * axis + (slice(start - begin, None),)]
            before.append((stop, detached(after)))
            yield Window(start, stop, output, after)

    def whole(
        self, rnn: Recurrence, xs: Any, state: State = None, masks: Masks | None = None, lengths: Any = None
    ) -> tuple[Tensor, State]:
        """All windows at once, `output, state` as `rnn(xs, state)` returns them, with gradients cut as in `windows`.

        For a loss that needs all outputs together; memory is that of the whole sequence.
        """
        axis, T, B = _axis_and_sizes(rnn, xs)
        ends = _ends(lengths, T, B)
        outputs, final = list[Tensor](), None
        for window in self.windows(rnn, xs, state, masks, lengths):
            outputs.append(window.output)
            going = None if ends is None else ends > window.start
            final = window.state if going is None or going.all() else _chosen(rnn, going, window.state, final)
        return mg.concatenate(outputs, axis=axis), final

    def __repr__(self) -> str:
        return f"Truncation(k1={self.k1}, k2={self.k2})"
