"""The BPTT by hand of any table of connections (slides 55–62): an arrow carries a value forward, a gradient back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from .classics import (
    AtTime,
    DivergenceGradient,
    Parameters,
    affine,
    affine_back,
    initial_arrays,
    jacobian_product,
    make_result,
    nonlinear,
    pack_state,
    stack_steps,
    unpack_state,
    zeros_like,
)
from .lecture import Array
from .stack import ReferenceResult


def general_recurrence_reference(
    parameters: Parameters, xs: Array, state: Any, divergence_gradient: DivergenceGradient,
    *, connections: Mapping[str, Sequence[str]], nonlinearities: Mapping[str, str | None],
    input: str = "x", output: str = "y",
) -> ReferenceResult:  # fmt: skip
    """z(t, l) = Σ W(l ← k, lag) k(t − lag) + b(l), l(t) = f_l(z(t, l)), for every layer l of the table.

    `connections` is the table, such as {"h": ["x", "h[t-1]"], "y": ["h"]}; the parameters are `h<-x`, `h<-h[t-1]` and
    `b(h)`. `nonlinearities` names each layer's f. The state's arrays come in the order in which their layers stand
    in the table, the input before them all, by their names; xs's own gradient is "xs".

    Raises:
        ValueError: a layer is called "xs", or the layers of one step wait for each other.
    """
    p, (T, B, I) = parameters, xs.shape
    if "xs" in (input, *connections):
        raise ValueError("manual_bptt: connections: got a layer 'xs', want another name, xs is the input's gradient")
    arrows = {target: [_arrow(target, text) for text in texts] for target, texts in connections.items()}
    size = {input: I, **{target: p[incoming[0][0]].shape[0] for target, incoming in arrows.items()}}
    every = [arrow for incoming in arrows.values() for arrow in incoming]
    deepest = {layer: max((lag for _, k, lag in every if k == layer), default=0) for layer in size}
    start, learned = initial_arrays(p, state, {layer: (deepest[layer], size[layer]) for layer in size}, B, xs.dtype)

    a: dict[str, AtTime] = {layer: {} for layer in size}
    for layer, part in start.items():
        a[layer] = {k - len(part): part[k] for k in range(len(part))}
    z: dict[str, AtTime] = {layer: {} for layer in arrows}
    order = _in_order(arrows, input)
    for t in range(T):
        a[input][t] = xs[t]
        for layer in order:
            z[layer][t] = np.zeros((B, size[layer]), xs.dtype) + p.get(f"b({layer})", 0.0)
            for W, source, lag in arrows[layer]:
                z[layer][t] += affine(p, W, None, a[source][t - lag])
            a[layer][t] = nonlinear(z[layer][t], nonlinearities[layer])
    ys = stack_steps(a[output], 0, T)
    final = {layer: stack_steps(a[layer], T - deepest[layer], T) for layer in start}
    d_output, d_state = divergence_gradient(ys, pack_state(final))

    pooled = zeros_like(p)
    da = {layer: {t: np.zeros_like(v) for t, v in of.items()} for layer, of in a.items()}
    for layer, d_final in unpack_state(d_state, final).items():
        for k in range(deepest[layer]):
            da[layer][T - deepest[layer] + k] += d_final[k]
    for t in range(T - 1, -1, -1):
        da[output][t] += d_output[t]
        for layer in reversed(order):
            dz = jacobian_product(da[layer][t], a[layer][t], z[layer][t], nonlinearities[layer])
            if f"b({layer})" in p:
                pooled[f"b({layer})"] += dz.sum(axis=0)
            for W, source, lag in arrows[layer]:
                da[source][t - lag] += affine_back(p, pooled, W, None, a[source][t - lag], dz)
    d_start = {layer: stack_steps(da[layer], -deepest[layer], 0) for layer in start}
    return make_result(p, ys, final, pooled, stack_steps(da[input], 0, T), d_start, learned)


def _arrow(target: str, text: str) -> tuple[str, str, int]:
    """(the weight's name, source, lag) of a connection as the table writes it."""
    source, _, rest = text.replace(" ", "").partition("[t")
    lag = -int(rest.rstrip("]") or 0)
    return f"{target}<-{source}" + (f"[t-{lag}]" if lag else ""), source, lag


def _in_order(arrows: Mapping[str, Sequence[tuple[str, str, int]]], input: str) -> list[str]:
    """The layers, each after all that it reads in the same step."""
    order: list[str] = []
    while len(order) < len(arrows):
        for layer, incoming in arrows.items():
            if layer not in order and all(lag or k in (input, *order) for _, k, lag in incoming):
                order.append(layer)
                break
        else:
            raise ValueError(
                f"manual_bptt: connections: got layers {sorted(set(arrows) - set(order))} in a cycle within one step, "
                "want none"
            )
    return order
