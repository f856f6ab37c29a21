"""state_gains says by what factor each step changed the gradient that went back through it."""

from __future__ import annotations

from typing import Any

import numpy as np

from minigrad.validation import check_type

from ..classics.base import Classic
from .gate_parts import gate_flow
from .gradient_flow import LayerFlow, norm_of_steps

Array = np.ndarray[Any, Any]


def state_gains(layer: LayerFlow) -> Array:
    """‖what a step passes back to the state before it‖ / ‖the gradient of the state after it‖, the last step first.

    Both are of the whole state, (h, c) of an LSTM, in which c's gradient leaves out what passes through h of the same
    step. Where the loss is at the last step alone, their product over k steps is how much of the gradient arrives at
    lag k. A gain is at most the spectral norm of the step's Jacobian. With lengths, steps that no sequence has are
    left out.

    Returns:
        (T − 1,), or fewer with lengths.
    """
    check_type("state_gains", LayerFlow, "a LayerFlow, such as flow['forward0']", layer=layer)
    first, *others = layer.names
    totals, arriving = {first: layer.gradient(first)}, {first: layer.carried(first)}
    if others and not isinstance(layer.call.network, Classic):
        by_gate = _parts(layer)
        for name in others if by_gate is not None else ():
            assert by_gate is not None
            own = by_gate[name].get(first)
            totals[name] = layer.gradient(name) - (0.0 if own is None else own)
            arriving[name] = layer.carried(name) - (0.0 if own is None else own)
    after = np.sqrt(sum(norm_of_steps(a) ** 2 for a in totals.values()))
    back = np.sqrt(sum(norm_of_steps(a) ** 2 for a in arriving.values()))
    if layer.call.backward:
        after, back = after[::-1], back[::-1]
    passes = after[1:] > 0
    return np.asarray((back[:-1][passes] / after[1:][passes])[::-1])


def _parts(layer: LayerFlow) -> dict[str, dict[str, Array]] | None:
    """The parts of a gated cell's gradients; None where it does not have them, so that h alone is looked at."""
    try:
        return gate_flow(layer).parts
    except ValueError:
        return None
