"""Real-time recurrent learning (Williams & Zipser 1989): gradients computed forward in time.

BPTT stores the past and goes back through it. RTRL carries forward, beside the state s(t), its sensitivity to every
parameter, ∂s(t)/∂θ, by the chain rule over one step:

    ∂s(t)/∂θ = [∂s(t)/∂θ at this step alone] + [∂s(t)/∂s(t−1)] ∂s(t−1)/∂θ

and adds dh(t) · ∂h(t)/∂θ to the gradient as soon as dh(t) is known. Its memory does not grow with T, its cost does with
the number of parameters times that of units.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from .lecture import Array
from .stack import step_of
from .step import States, Step
from .validation import check_array, check_inputs, check_layer, check_sizes, check_states


def rtrl(
    cell: str,
    parameters: Mapping[str, Array],
    xs: Array,
    initial_state: Any,
    local_gradient: Array,
    options: Mapping[str, Any] | None = None,
) -> dict[str, Array]:
    """Compute the gradients of one layer in one direction, forward in time.

    Args:
        cell, options: as in `reference_bptt`.
        parameters: by their short names: Wc, Wr, b, …
        xs: (T, B, I).
        initial_state: h (B, P), or (h, c).
        local_gradient: dh(t) = ∂DIV/∂h(t), (T, B, P).

    Returns:
        The gradients under the parameters' names, and `h_init` (and `c_init`) (B, S).

    Raises:
        ValueError: an argument that does not fit; all arrays have one dtype, float32 or float64.
    """
    step = step_of(cell, options or {})
    check_inputs(xs)
    sizes = check_sizes(step, cell, parameters)
    check_layer(step, cell, parameters, xs.shape[2], sizes, xs.dtype)
    start = check_states("initial_state", step.states, initial_state, xs.shape[1:2], sizes, xs.dtype)
    check_array("local_gradient", local_gradient, (*xs.shape[:2], sizes[1]), xs.dtype)
    gradients = {name: np.zeros_like(a) for name, a in parameters.items()}
    widths = [state.shape[1] for state in start]
    d_start = np.zeros((xs.shape[1], sum(widths)), xs.dtype)
    for b in range(xs.shape[1]):  # every sequence by itself
        states = tuple(state[b : b + 1] for state in start)
        sensitivity = {name: np.zeros((sum(widths), *a.shape), xs.dtype) for name, a in parameters.items()}
        to_start = np.eye(sum(widths), dtype=xs.dtype)
        for t in range(xs.shape[0]):
            states, direct, through = one_step(step, parameters, xs[t, b : b + 1], states, widths)
            sensitivity = {name: direct[name] + np.tensordot(through, sensitivity[name], axes=1) for name in parameters}
            to_start = through @ to_start
            dh = local_gradient[t, b]
            for name in parameters:
                gradients[name] += np.tensordot(dh, sensitivity[name][: widths[0]], axes=1)
            d_start[b] += dh @ to_start[: widths[0]]
    ends = np.cumsum(widths)
    return gradients | {f"{s}_init": d_start[:, e - w : e] for s, w, e in zip(step.states, widths, ends)}


def one_step(
    step: Step, parameters: Mapping[str, Array], x: Array, before: States, widths: list[int]
) -> tuple[States, dict[str, Array], Array]:
    """The states after one step, ∂s(t)/∂θ of this step alone (S, *θ), and ∂s(t)/∂s(t−1) (S, S).

    The step's derivative by hand takes a gradient back; handed each unit vector in turn, it gives the Jacobians' rows.
    """
    after, saved = step.forward(parameters, x, before[0], before)
    S = sum(widths)
    direct = {name: np.zeros((S, *a.shape), x.dtype) for name, a in parameters.items()}
    through = np.zeros((S, S), x.dtype)
    for k, unit in enumerate(np.eye(S, dtype=x.dtype)):
        d = tuple(part[None] for part in np.split(unit, np.cumsum(widths)[:-1]))
        pooled = {name: np.zeros_like(a) for name, a in parameters.items()}
        _, dhr, dbefore = step.backward(parameters, saved, d, pooled)
        for name, share in pooled.items():
            direct[name][k] = share
        through[k] = np.concatenate([dbefore[0][0] + dhr[0], *(g[0] for g in dbefore[1:])])
    return after, direct, through
