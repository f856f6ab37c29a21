"""state_gains says by what factor each step changed the gradient that went back through it."""

from __future__ import annotations

import contextlib
from typing import Any

import numpy as np

import minigrad as mg
from minigrad.validation import check_type

from ..classics.base import Classic
from .gradient_flow import LayerFlow, norm_of_steps
from .parallel_steps import ParallelSteps

Array = np.ndarray[Any, Any]
AGE = 3
"""Through how many steps a gradient has come before its gain is taken, where it can have."""


def state_gains(layer: LayerFlow) -> Array:
    """‖what a step passes back to the state before it‖ / ‖the gradient of the state after it‖, the last step first.

    Both are of the whole state, (h, c) of an LSTM, in which c's gradient leaves out what passes through h of the same
    step. Where the loss is at the last step alone, their product over k steps is how much of the gradient arrives at
    lag k. Where it has terms at other steps too, the gain is that of the older gradient: what the last 3 steps have
    added is left out, since it may shrink fast, as an LSTM's ∂L/∂h does on its way to the cell, beside an older one
    that lasts. Then the product is an estimate. A gain is at most the spectral norm of the step's Jacobian. With
    lengths, steps that no sequence has are left out.

    Where the steps cannot be evaluated again (a classic, values that were not kept or are not finite, weights that have
    changed since), the gains are those of ∂L/∂h, with what was added last.

    Args:
        layer: a call of a layer, `flow["forward0"]`, through which a backward pass has come.

    Returns:
        (T − 1,), or fewer with lengths.
    """
    check_type("state_gains", LayerFlow, "a LayerFlow, such as flow['forward0']", layer=layer)
    first = layer.names[0]
    totals, arriving = [layer.gradient(first)], [layer.carried(first)]
    if not isinstance(layer.call.network, Classic):
        with contextlib.suppress(ValueError):
            totals, arriving = _older(ParallelSteps("state_gains", layer))
    after = np.sqrt(sum(norm_of_steps(a) ** 2 for a in totals))
    back = np.sqrt(sum(norm_of_steps(a) ** 2 for a in arriving))
    if layer.call.backward:
        after, back = after[::-1], back[::-1]
    passes = after[1:] > 0
    return np.asarray((back[:-1][passes] / after[1:][passes])[::-1])


def _older(steps: ParallelSteps) -> tuple[list[Array], list[Array]]:
    """For every array of the state: the gradient that has come through AGE steps, and what it is a step earlier.

    At the last steps of a sequence, which no gradient has come so far to reach, it is the oldest that there is.
    """
    leaves, after = steps.run()
    seeds = [steps.rows(steps.layer.gradient(name)) for name in steps.names]
    if len(after) > 1:  # ∂L/∂c(t) holds what passes through h(t), where h(t) was made of this c(t): not twice
        inner = mg.gradients([after[0]], after[1:], seeds[:1], retain_graph=True, allow_unused=True)
        seeds[1:] = [seed if part is None else seed - part for seed, part in zip(seeds[1:], inner)]
    here = [steps.to_host(seed._array) for seed in seeds]

    def step_before(gradients: list[Array]) -> list[Array]:
        rows = [steps.rows(a) for a in gradients]
        got = mg.gradients(after, leaves, rows, retain_graph=True, allow_unused=True)
        return [
            np.zeros_like(a) if g is None else steps.to_step_before(steps.to_host(g._array))
            for a, g in zip(gradients, got)
        ]

    for _ in range(AGE):
        arrived = step_before(here)
        some = np.any([(a != 0).any(axis=2) for a in arrived], axis=0)[:, :, None]
        here = [np.where(some, a, own) for a, own in zip(arrived, here)]
    return here, step_before(here)
