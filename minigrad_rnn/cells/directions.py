"""Directions: how inputs and outputs of one direction or two lie in the row of a primitive, and the same op by op."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

from minigrad import Tensor

from .cell import KernelSpec
from .lengths import Lengths
from .step_gradients import StepGradients
from .unroll import rule_through_graph, unroll


class Directions:
    """The options of a call of one cell or two, which a kernel or compiled code runs as one primitive.

    Args:
        specs: of each cell.
        states: arrays of the state.
        backward: whether a single direction is read backward; of two, the second is.
        lengths: None where nothing is padded.
        every_state: whether every c(t) is wanted.
        step_gradients: who receives ∂L/∂h(t) of every step, for each cell; empty for nobody.
    """

    def __init__(
        self, specs: Sequence[KernelSpec], states: int, backward: bool, lengths: Lengths | None, every_state: bool,
        step_gradients: Sequence[StepGradients] = (),
    ) -> None:  # fmt: skip
        self.specs, self.states, self.backward, self.step_gradients = specs, states, backward, step_gradients
        self.lengths = None if lengths is None or lengths.full else lengths
        self.every_state = every_state and states > 1

    def reads_backward(self, direction: int) -> bool:
        return self.backward or direction == 1

    def every_output(self, outputs: Sequence[Any]) -> list[tuple[Any, bool]]:
        """Of each direction every h(t) (T, B, P), and whether it is read backward: for `detect_anomaly`."""
        return [(part[0], self.reads_backward(d)) for d, part in enumerate(self.split(outputs))]

    def split(self, row: Sequence[Any]) -> list[tuple[Any, ...]]:
        """A row of inputs, outputs or gradients, by direction."""
        if len(self.specs) == 1:
            return [tuple(row)]
        half = len(row) // 2
        return [tuple(row[:half]), tuple(row[half:])]

    def through_graph(self, inputs: Sequence[Any], gs: Sequence[Any], needs: Sequence[bool]) -> tuple[Any, ...]:
        """The primitive's rule in a recorded backward pass: the sequences run op by op."""
        gradients: list[Any] = []
        by_direction = zip(*(self.split(row) for row in (inputs, gs, needs)))
        for d, (row, g, needed) in enumerate(by_direction):
            steps = partial(self._unrolled, d)
            gradients += rule_through_graph(steps, row, g, needed) if any(needed) else [None] * len(row)
        return tuple(gradients)

    def _unrolled(self, direction: int, xs: Any, *inputs: Any) -> tuple[Tensor, ...]:
        n, spec, backward = self.states, self.specs[direction], self.reads_backward(direction)
        state, weights, shape = inputs[:n], inputs[n:], inputs[0].shape
        if len(shape) == 3:  # of a single cell, as its caller holds it
            state = tuple(part[0] for part in state)
        outputs = unroll(
            spec.step, n, backward, xs, *state, *weights, lengths=self.lengths, every_state=self.every_state,
            step_gradients=self.step_gradients[direction] if self.step_gradients else None,
        )  # fmt: skip
        if len(shape) == 2:
            return outputs
        return outputs[0], *(part[None] for part in outputs[1 : 1 + n]), *outputs[1 + n :]
