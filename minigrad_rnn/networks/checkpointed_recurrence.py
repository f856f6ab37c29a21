"""CheckpointedRecurrence runs a recurrence in O(√T) memory: it keeps the states between segments and runs them again.

The forward pass records nothing and keeps the state before each segment. The backward pass runs one segment after the
other again, from the last to the first, recorded and by the implementation that runs the recurrence anyway, and walks
back through it. (Chen et al. 2016; Gruslys et al. 2016 for BPTT.)
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from typing import Any

import numpy as np

import minigrad as mg
from minigrad import Tensor
from minigrad.validation import as_tensor, check_function, check_integer, shown

from .masks import Masks
from .recurrence import Recurrence
from .series import Series, State, packed, parts_of
from .track import Track

STEPS = 2.0
"""Steps of an "auto" segment over √T: more of them than √T, since a segment costs some 0.1 ms in Python."""


def checkpointed(
    rnn: Recurrence,
    segments: int | str = "auto",
    front: Callable[..., Any] | None = None,
    loss: Callable[[Tensor, int, int], Tensor] | None = None,
) -> CheckpointedRecurrence:
    """Return a function that does what `rnn` does, in memory that grows with √T; its backward pass runs segments again.

    `output, state = checkpointed(rnn)(xs, state)` has the values and gradients of `rnn(xs, state)`, for about one
    more forward pass. The T outputs themselves are O(T) memory: where the loss is a sum over time, let `loss` have them
    part by part, and `divergence, state = checkpointed(rnn, loss=loss)(xs)` needs O(√T) beside xs.

    >>> import numpy as np
    >>> from minigrad import nn
    >>> from minigrad_rnn import LSTM, checkpointed
    >>> lstm, head = LSTM(3, 8), nn.Linear(8, 1)
    >>> xs, targets = np.ones((2, 1000, 1, 3), np.float32)
    >>> def loss(output, start, stop):
    ...     return ((head(output) - targets[start:stop, :, :1]) ** 2).sum()
    >>> divergence, state = checkpointed(lstm, loss=loss)(xs)
    >>> divergence.backward()
    >>> lstm.forward0.Wr.grad.shape, head.weight.grad.shape
    ((32, 8), (1, 8))

    Args:
        rnn: any recurrence. Of two directions each is run in segments of its own, block by block, so that every layer's
            outputs are kept.
        segments: how many; "auto" takes √T / 2.
        front: what makes rnn's input of a part of xs, such as an embedding; see `Truncation.windows`.
        loss: `loss(output, start, stop)` is given the outputs of the steps start … stop − 1 and returns a scalar; their
            sum takes the place of the output.

    Raises:
        TypeError: rnn is not a recurrence; front or loss is not a function.
        ValueError: segments is neither "auto" nor a whole number of at least 1; front or loss with two directions.
    """
    return CheckpointedRecurrence(rnn, segments, front, loss)


class CheckpointedRecurrence:
    """A recurrence whose backward pass runs segments again: see `checkpointed`, which makes it.

    Call: `output, state = run(xs, state, lengths, masks)`, arguments and results as the recurrence's own; with a `loss`
    the sum of the losses takes the place of the output. Dropout's masks are drawn before the first step, the same as in
    a plain run. Second derivatives are those of the plain recurrence, in its memory.

    Raises:
        ValueError: `loss` returned no scalar; and what the recurrence's own call raises.

    Raises (from the backward pass):
        GraphError: a parameter or an array was written into since, or a segment, run again, returned something else.
    """

    def __init__(self, rnn: Any, segments: Any, front: Any, loss: Any) -> None:
        if not isinstance(rnn, Recurrence):
            raise TypeError(f"checkpointed: rnn: got {type(rnn).__name__}, want a recurrence")
        if isinstance(segments, str) and segments != "auto":
            raise ValueError(f"checkpointed: segments: got {shown(segments)}, want 'auto' or a whole number")
        if not isinstance(segments, str):
            check_integer("checkpointed", segments=segments)
        for name, function in (("front", front), ("loss", loss)):
            if function is not None:
                check_function("checkpointed", **{name: function})
                if rnn.bidirectional:
                    where = "in front of" if name == "front" else "after"
                    raise ValueError(
                        f"checkpointed: {name}: got one for a bidirectional recurrence, whose directions run one after "
                        f"the other; want None: compute it {where} the whole"
                    )
        self.rnn, self.front, self.loss = rnn, front, loss
        self.segments = segments if isinstance(segments, str) else int(segments)

    def __call__(
        self, xs: Any, state: State = None, lengths: Any = None, masks: Masks | None = None
    ) -> tuple[Tensor, State]:
        rnn = self.rnn
        series = Series("checkpointed", rnn, xs, masks, lengths, self.front)
        if not series.T or not series.B:
            raise ValueError(
                f"checkpointed: xs: got T = {series.T} steps and B = {series.B}, want at least one of each"
            )
        if masks is None:
            masks = rnn.draw_masks(series.T, series.B)
        root = STEPS * math.sqrt(series.T)
        steps = math.ceil(root if isinstance(self.segments, str) else series.T / self.segments)
        if not rnn.bidirectional:
            series.masks = masks
            return Track(series, min(steps, series.T), self.loss).run(state)
        return self._two_directions(series.xs, state, lengths, masks, steps)

    def _two_directions(self, xs: Tensor, state: State, lengths: Any, masks: Masks, steps: int) -> tuple[Tensor, State]:
        rnn, names = self.rnn, self.rnn.cell_names
        finals: dict[str, tuple[Any, ...]] = {}
        for block in rnn.blocks:
            tops = []
            for stack in block:
                rows = np.array([names.index(name) for name in stack])
                own = None if state is None else packed(part[rows] for part in map(_tensor, parts_of(state)))
                part = {name: mask for name, mask in masks.items() if name in stack}
                series = Series("checkpointed", _one_direction(rnn, stack), xs, part, lengths, None)
                output, after = Track(series, min(steps, series.T), None).run(own)
                tops.append(output)
                for k, name in enumerate(stack):
                    finals[name] = tuple(final[k] for final in parts_of(after))
            xs = rnn.merge_directions(tops)
        return xs, packed(mg.stack(rows) for rows in zip(*(finals[name] for name in names)))

    def __repr__(self) -> str:
        options = {"segments": self.segments, "front": self.front, "loss": self.loss}
        given = [f", {name}={value!r}" for name, value in options.items() if value not in ("auto", None)]
        return f"checkpointed({self.rnn!r}{''.join(given)})"


def _tensor(part: Any) -> Tensor:
    return as_tensor("checkpointed", "state", part)


def _one_direction(rnn: Recurrence, names: list[str]) -> Recurrence:
    """A recurrence of these cells of `rnn` alone, which shares them."""
    part = copy.copy(rnn)
    direction = "backward" if names[0].startswith("backward") else "forward"
    vars(part).update(
        blocks=[[[name]] for name in names],
        cell_names=names,
        directions=(direction,),
        num_layers=len(names),
        bidirectional=False,
        reverse=direction == "backward",
        input_size=getattr(rnn, names[0]).input_size,
        _hooks=None,
    )
    return part
