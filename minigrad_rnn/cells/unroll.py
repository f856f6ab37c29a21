"""Unroll a cell over time, op by op: the graph implementation, with lengths and masks."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import minigrad as mg
from minigrad import Tensor
from minigrad.engine.modes import time_steps

from .lengths import Lengths
from .step_gradients import StepGradients

Array = Any


@dataclass(frozen=True)
class CellMasks:
    """The dropout masks of one cell for one forward pass. Any of them may be None.

    input: (T, B, I), times x(t): dropout between two layers, scaled by 1 / (1 − p).
    recurrent: (B, H), times h(t−1) where it meets the recurrent weights, the same at every step and scaled by
        1 / (1 − p): variational dropout (Gal & Ghahramani 2016).
    zoneout: for each of the state's arrays (T, B, H), 1 where a unit keeps its value from t−1 (Krueger et al. 2017);
        in evaluation the probability of that.
    """

    input: Array | None = None
    recurrent: Array | None = None
    zoneout: tuple[Array | None, ...] = ()


NO_MASKS = CellMasks()


def unroll(
    step: Callable[..., tuple[Tensor, ...]],
    states: int,
    backward: bool,
    xs: Any,
    *inputs: Any,
    lengths: Lengths | None = None,
    masks: CellMasks = NO_MASKS,
    every_state: bool = False,
    own_output: bool = False,
    step_gradients: StepGradients | None = None,
    **options: Any,
) -> tuple[Tensor, ...]:
    """Run `step(x(t), state, h, *weights, **options) -> state` over time, op by op; from T − 1 to 0 if `backward`.

    Args:
        states: how many of `inputs` are the initial state's arrays (B, H); the rest are the weights.
        xs: (T, B, I).
        every_state: whether to return all state arrays of every step, not only the first.
        own_output: whether the step returns, after the state, an output that takes the first array's place in the
            outputs alone: a cell's hooks may have replaced one of the two.
        step_gradients: who receives ∂L/∂h(t) of every step; None for nobody.

    Returns:
        (the outputs (T, B, H), *the state's arrays after each sequence's last step, and with `every_state` *the
        other arrays of every step (T, B, H)). Outputs are zero at padding. Every node carries its time step.
    """
    state, weights = tuple(inputs[:states]), inputs[states:]
    if lengths is not None and not lengths.full:
        xs = mg.where(lengths.valid, xs, 0.0)
    columns: list[list[Tensor]] = [[] for _ in range(states if every_state else 1)]
    T, watched = xs.shape[0], {part.node.serial for part in state if getattr(part, "node", None) is not None}
    with time_steps() as label:
        for t in range(T)[:: -1 if backward else 1]:
            label(t)
            h = state[0] if masks.recurrent is None else state[0] * masks.recurrent
            new = step(xs[t], state, h, *weights, **options)
            if own_output:
                new, output = new[:-1], new[-1]
                zone = masks.zoneout[0] if masks.zoneout else None
                output = output if zone is None else output + (state[0] - output) * zone[t]
            if masks.zoneout:
                new = tuple(
                    part if mask is None else part + (old - part) * mask[t]
                    for part, old, mask in zip(new, state, masks.zoneout)
                )
            if step_gradients is not None:
                # Before padding is put right: an LSTM's h(t) reads this c(t), not the one that goes on
                new = step_gradients.watch(new, t, T, watched)
            if lengths is not None and t >= lengths.shortest:
                new = tuple(mg.where(lengths.valid[t], part, old) for part, old in zip(new, state))
            state = new
            for column, part in zip(columns, (output, *state[1:]) if own_output else state):
                column.append(part)
    sequences = [mg.stack(column[:: -1 if backward else 1]) for column in columns]
    if lengths is not None and not lengths.full:
        sequences = [mg.where(lengths.valid, sequence, 0.0) for sequence in sequences]
    return sequences[0], *state, *sequences[1:]


def rule_through_graph(
    sequence: Callable[..., tuple[Tensor, ...]], inputs: tuple[Any, ...], gs: tuple[Any, ...], needs: tuple[bool, ...]
) -> tuple[Any, ...]:
    """The rule of a fused sequence in a recorded backward pass: run it op by op, and let the tape differentiate that.

    `sequence(*inputs)` returns the same outputs as the fused primitive. This costs as much as the graph implementation,
    and is correct at every order.
    """
    # Fresh nodes for the inputs: the inner backward pass ends there, and returns only this sequence's contribution.
    leaves = [None if x is None else mg.reshape(x, x.shape) for x in inputs]
    needed = [x for x, need in zip(leaves, needs) if need and x is not None]
    gradients = iter(mg.gradients(sequence(*leaves), needed, gs, create_graph=True, allow_unused=True))
    return tuple(next(gradients) if need else None for need in needs)
