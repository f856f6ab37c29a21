"""Truncated back-propagation through time: the state is carried from window to window, its gradient is not."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import minigrad as mg
from minigrad import Tensor
from minigrad.arguments_of import arguments_of
from minigrad.engine.backward_pass import reachable
from minigrad.engine.modes import mode
from minigrad.engine.tape import Hold
from minigrad.validation import check_integer

from .masks import Masks
from .recurrence import Recurrence
from .series import Series, State, packed, parts_of
from .sliding_windows import SlidingWindows


def detached(state: State) -> State:
    """The same state without its graph: gradients end there. None stays None."""
    return packed(part.detach() for part in parts_of(state))


def series_of(rnn: Any, xs: Any, masks: Masks | None, lengths: Any, front: Callable[..., Any] | None) -> Series:
    """The series that is read in windows. Raises if rnn cannot run over xs in windows."""
    if not isinstance(rnn, Recurrence):
        raise TypeError(f"Truncation: rnn: got {type(rnn).__name__}, want a recurrence")
    if rnn.directions != ("forward",):
        got = "a bidirectional recurrence" if rnn.bidirectional else "reverse=True"
        raise ValueError(f"Truncation: rnn: got {got}, want one that reads forward only")
    return Series("Truncation", rnn, xs, masks, lengths, front)


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

    It needs the memory of k2 steps, for a sequence of any length. With k2 > k1 the windows overlap: each outputs its
    last k1 steps, and its gradients go back k2 steps. Every step is computed once; the k2 − k1 steps before a window
    are computed again only where that is faster (small compiled or fused networks, whose steps cost less than a walk
    through one more piece), or where a parameter was written into since, as an optimizer's step does: then with the new
    parameters, from the state at that point. The gradients are the same either way.

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
        self,
        rnn: Recurrence,
        xs: Any,
        state: State = None,
        masks: Masks | None = None,
        lengths: Any = None,
        front: Callable[..., Any] | None = None,
    ) -> Iterator[Window]:
        """Run `rnn` over xs window by window. Call `backward` on each window's loss before taking the next window.

        `xs` may be computed from parameters, such as `embedding(tokens)`: every window's backward pass goes on through
        all of what is in front. With `front=embedding` and the tokens as `xs` it is computed part by part instead, in
        the memory of one window, and with parameters that an optimizer may change between two windows.

        >>> import numpy as np
        >>> from minigrad import nn
        >>> from minigrad_rnn import GRU, Truncation
        >>> embedding, gru, tokens = nn.Embedding(10, 3), GRU(3, 4), np.arange(8)[:, None]
        >>> for window in Truncation(2, 4).windows(gru, tokens, front=embedding):
        ...     window.output.sum().backward()
        >>> embedding.weight.grad.shape
        (10, 3)

        Args:
            rnn: any recurrence that reads forward only (a state that is read backward comes from the future).
            xs: (T, B, I), (B, T, I) with batch_first or (T, I), any array or tensor that can be sliced; with `front`
                what it reads, with the same axes of time and batch, and without features if it holds whole numbers.
            state: before the first step; it, or a learned h(−1), receives gradients from the windows that reach it.
            masks: those of the whole sequence, as `rnn.draw_masks` returns them; None lets each window draw its own,
                and with k2 > k1 every k1 steps.
            lengths: (B,), as the recurrence takes them; each sequence's gradients are those that it would have alone.
            front: a function or module that makes rnn's input of a part of `xs`.

        Raises:
            ValueError: the recurrence reads backward or in two directions, or as its own call.
            TypeError: rnn is not a recurrence, or as its own call.
        """
        series = series_of(rnn, xs, masks, lengths, front)
        slides, T = self.k2 > self.k1, series.T
        sliding = SlidingWindows(series, self.k1, self.k2)
        # The states before the steps stop − k2, stop − k2 + k1, …, stop − k1
        before: deque[tuple[int, State]] = deque([(0, state)], maxlen=self.k2 // self.k1)
        # Every window's backward pass goes through what xs, and with k2 > k1 the state, were computed from.
        shared = (series.xs, *parts_of(state)) if slides else (series.xs,)
        hold = Hold(reachable([x.node for x in shared if isinstance(x, Tensor) and x.node is not None]))
        try:
            for start in range(0, T or 1, self.k1):  # with T = 0 the recurrence raises
                stop = min(T, start + self.k1)
                if stop >= T:
                    hold.release()
                begin, earlier = before[0] if mode().recording else before[-1]
                if slides and mode().recording and sliding.pay():
                    output, after = sliding.window(start, stop, begin, earlier)
                else:
                    output, after = series.run(series.part(begin, stop), earlier, series.masks_of(begin, stop), begin)
                    if begin < start:
                        output = series.cut(output, start - begin)
                before.append((stop, detached(after)))
                yield Window(start, stop, output, after)
        finally:
            hold.release()

    @arguments_of(windows)
    def run(
        self,
        rnn: Recurrence,
        xs: Any,
        state: State = None,
        masks: Masks | None = None,
        lengths: Any = None,
        front: Callable[..., Any] | None = None,
    ) -> tuple[Tensor, State]:
        """Run all windows and return `output, state` as `rnn(xs, state)` does, with gradients cut as in `windows`.

        For a loss that needs all outputs together; it takes the memory of the whole sequence.
        """
        series = series_of(rnn, xs, masks, lengths, front)
        outputs, final = list[Tensor](), None
        for window in self.windows(rnn, xs, state, masks, lengths, front):
            outputs.append(window.output)
            active = None if series.ends is None else series.ends > window.start
            final = window.state if active is None or active.all() else series.where(active, window.state, final)
        return mg.concatenate(outputs, axis=series.axis), final

    def __repr__(self) -> str:
        return f"Truncation(k1={self.k1}, k2={self.k2})"
