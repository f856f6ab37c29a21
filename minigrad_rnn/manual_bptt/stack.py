"""Any cell in layers and directions, forward through time and back by hand, with lengths, masks and truncation.

One loop forward and one back, a `+=` for every step's share. What a cell does at one t is in `plain_cells` and
`normalized_cells`. The stacks of RNN and LSTM that the slides themselves write out go through `lecture`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from . import lecture
from .lecture import Array, ReferenceResult, check_array
from .normalized_cells import LAYER_NORM_GRU, LAYER_NORM_LSTM, LAYER_NORM_RNN
from .plain_cells import GRU, GRU_RESET_FIRST, LSTM, MGU, indrnn_of, rnn_of
from .step import Kept, States, Step
from .validation import check_inputs, check_layer, check_masks, check_sizes, check_states

Masks = Mapping[str, Array]
"""What multiplies a cell's input (T, B, I), h(t−1) at the recurrent weights (B, P), and each state by name: zoneout."""
CELLS = ("rnn", "lstm", "gru", "layer_norm_rnn", "layer_norm_lstm", "layer_norm_gru", "mgu", "indrnn")
MERGES = ("concat", "sum", "mean")


def step_of(cell: str, options: Mapping[str, Any]) -> Step:
    """What the cell called `cell` does at one time step. ValueError names what it does not know."""
    known = {"rnn": ("nonlinearity",), "indrnn": ("nonlinearity",), "gru": ("reset_after",)}.get(cell, ())
    if cell not in CELLS:
        raise ValueError(f"reference: cell is {cell!r}; it wants one of {CELLS}")
    if unknown := sorted(set(options) - set(known)):
        raise ValueError(f"reference: options has {unknown}; {cell!r} wants {list(known) or 'none'}")
    if cell in ("rnn", "indrnn"):
        nonlinearity = options.get("nonlinearity", "tanh" if cell == "rnn" else "relu")
        if nonlinearity not in ("tanh", "relu"):
            raise ValueError(f"reference: nonlinearity is {nonlinearity!r}; it wants 'tanh' or 'relu'")
        return rnn_of(nonlinearity) if cell == "rnn" else indrnn_of(nonlinearity)
    if cell == "gru":
        return GRU if options.get("reset_after", True) else GRU_RESET_FIRST
    return {
        "lstm": LSTM, "mgu": MGU, "layer_norm_rnn": LAYER_NORM_RNN, "layer_norm_lstm": LAYER_NORM_LSTM,
        "layer_norm_gru": LAYER_NORM_GRU,
    }[cell]  # fmt: skip


@dataclass
class Layer:
    """One cell over the whole sequence: its parameters by their short names, and in which order time runs."""

    step: Step
    parameters: dict[str, Array]
    backward: bool
    valid: Array
    """(T, B, 1): whether step t belongs to the sequence."""
    masks: Masks
    cut_every: int | None

    def times(self) -> list[int]:
        times = list(range(len(self.valid)))
        return times[::-1] if self.backward else times

    def zoneout(self, t: int) -> list[Any]:
        """For each state how much of its old value stays: 0, or the mask's entries."""
        return [np.where(self.valid[t], self.masks[s][t], 0.0) if s in self.masks else 0.0 for s in self.step.states]

    def forward(self, xs: Array, start: States) -> tuple[Array, States]:
        """Slide 107 or 108: (every output (T, B, P), the states after each sequence's last step)."""
        self.kept: dict[int, Kept] = {}
        self.widths = xs.shape
        outputs = np.zeros((*xs.shape[:2], start[0].shape[1]), xs.dtype)
        states = start
        for t in self.times():
            here = self.valid[t]
            x = np.where(here, xs[t] * self.masks.get("input", {t: 1.0})[t], 0.0)
            hr = states[0] * self.masks.get("recurrent", 1.0)
            fresh, self.kept[t] = self.step.forward(self.parameters, x, hr, states)
            zoned = [m * old + (1.0 - m) * new for m, old, new in zip(self.zoneout(t), states, fresh)]
            states = tuple(np.where(here, new, old) for new, old in zip(zoned, states))
            outputs[t] = np.where(here, states[0], 0.0)
        return outputs, states

    def bptt(self, doutputs: Array, dfinal: States) -> tuple[Array, States, dict[str, Array]]:
        """Slide 116 or 117: (dx (T, B, I), the initial states' gradients, every parameter's, pooled over time)."""
        pooled = {name: np.zeros_like(a) for name, a in self.parameters.items()}
        dxs = np.zeros(self.widths, doutputs.dtype)
        d = list(dfinal)
        for t in self.times()[::-1]:
            here = self.valid[t]
            d[0] = d[0] + np.where(here, doutputs[t], 0.0)
            arrived = [np.where(here, g, 0.0) for g in d]
            stayed = [np.where(here, 0.0, g) for g in d]
            zones = self.zoneout(t)
            fresh = tuple((1.0 - m) * g for m, g in zip(zones, arrived))
            dx, dhr, dbefore = self.step.backward(self.parameters, self.kept[t], fresh, pooled)
            dxs[t] = np.where(here, dx * self.masks.get("input", {t: 1.0})[t], 0.0)
            d = [s + m * g + np.where(here, b, 0.0) for s, m, g, b in zip(stayed, zones, arrived, dbefore)]
            d[0] = d[0] + np.where(here, dhr * self.masks.get("recurrent", 1.0), 0.0)
            if self.cut_every and t and t % self.cut_every == 0:
                d = [np.where(here, 0.0, g) for g in d]  # what waits for a sequence's own last step goes on
        return dxs, tuple(d), pooled


def merged(tops: Sequence[Array], merge: str) -> Array:
    """[h_f; h_b], their sum or their mean."""
    if len(tops) == 1:
        return tops[0]
    if merge == "concat":
        return np.concatenate(tops, axis=-1)
    return (tops[0] + tops[1]) * (1.0 if merge == "sum" else 0.5)


def split(d: Array, tops: Sequence[Array], merge: str) -> list[Array]:
    """The gradient that each direction's top receives from that of `merged`."""
    if len(tops) == 1:
        return [d]
    if merge == "concat":
        P = tops[0].shape[-1]
        return [d[..., :P], d[..., P:]]
    return [d * (1.0 if merge == "sum" else 0.5)] * 2


def reference_stack(
    cell: str, parameters: Mapping[str, Array], xs: Array, initial_state: Any,
    divergence_gradient: Callable[[Array, Any], tuple[Array, Any]],
    *, num_layers: int | tuple[int, int], bidirectional: bool, merge: str = "concat",
    lengths: Sequence[int] | None = None, masks: Mapping[str, Masks] | None = None, cut_every: int | None = None,
    options: Mapping[str, Any] | None = None,
) -> ReferenceResult:  # fmt: skip
    """As `reference`, for every cell and option."""
    step = step_of(cell, options or {})
    directions = ("forward", "backward") if bidirectional else ("forward",)
    if merge not in MERGES:
        raise ValueError(f"reference: merge is {merge!r}; it wants one of {MERGES}")
    check_inputs(xs, num_layers, lengths, cut_every, bidirectional)
    if isinstance(num_layers, tuple):
        blocks = [[[f"{direction}{l}" for l in range(n)] for direction, n in zip(directions, num_layers)]]
    else:
        blocks = [[[f"{direction}{l}"] for direction in directions] for l in range(num_layers)]
    names = [name for block in blocks for stack in block for name in stack]
    own = {name: {n.rpartition(".")[2]: a for n, a in parameters.items() if n.startswith(f"{name}.")} for name in names}
    if strangers := sorted(n for n in parameters if n.rpartition(".")[0] not in names):
        raise ValueError(f"reference: parameters has {strangers}; it wants those of {names} alone")
    if unknown := sorted(set(masks or {}) - set(names)):
        raise ValueError(f"reference: masks has {unknown}; it wants names among {names}")
    T, B, I = xs.shape
    H, P = check_sizes(step, names[0], own[names[0]])
    above = P * len(directions) if merge == "concat" else P
    for block in blocks:
        for name in (name for stack in block for name in stack):
            bottom = name in {stack[0] for stack in block}
            width = (I if block is blocks[0] else above) if bottom else P
            check_layer(step, name, own[name], width, (H, P), xs.dtype)
            kinds = {"input": (T, B, width), "recurrent": (B, P), "h": (T, B, P), "c": (T, B, H)}
            kinds = {k: shape for k, shape in kinds.items() if k in ("input", "recurrent", *step.states)}
            check_masks(name, (masks or {}).get(name, {}), kinds, xs.dtype)
    start = check_states("initial_state", step.states, initial_state, (len(names), B), (H, P), xs.dtype)
    valid = np.arange(T)[:, None, None] < np.asarray([T] * B if lengths is None else lengths)[:, None]
    rows = {name: k for k, name in enumerate(names)}

    x, finals, seen = xs, [np.zeros_like(state) for state in start], []
    for block in blocks:
        layers, tops = [], []
        for direction, stack in zip(directions, block):
            h = x
            for name in stack:
                layer = Layer(step, own[name], direction == "backward", valid, (masks or {}).get(name, {}), cut_every)
                h, final = layer.forward(h, tuple(state[rows[name]] for state in start))
                for kept, state in zip(finals, final):
                    kept[rows[name]] = state
                layers.append((name, layer))
            tops.append(h)
        seen.append((block, dict(layers), tops))
        x = merged(tops, merge)

    output, final_state = x, (finals[0], finals[1]) if len(finals) > 1 else finals[0]
    d, d_final_state = divergence_gradient(output, final_state)
    check_array("the divergence's d_output", d, output.shape, xs.dtype)
    what = "the divergence's d_final_state"
    d_final = check_states(what, step.states, d_final_state, (len(names), B), (H, P), xs.dtype)
    gradients, d_start = dict[str, Array](), [np.zeros_like(state) for state in start]
    for block, by_name, tops in reversed(seen):
        below = []
        for stack, dh in zip(block, split(d, tops, merge)):
            for name in reversed(stack):
                dh, dinit, pooled = by_name[name].bptt(dh, tuple(g[rows[name]] for g in d_final))
                gradients |= {f"{name}.{n}": g for n, g in pooled.items()}
                for kept, g in zip(d_start, dinit):
                    kept[rows[name]] = g
            below.append(dh)
        d = below[0] if len(below) == 1 else below[0] + below[1]  # add the partials (slide 117)
    found = {name: gradients[name] for name in parameters} | {"xs": d}
    return ReferenceResult(output, final_state, found | {f"{s}_init": g for s, g in zip(step.states, d_start)})


def reference_bptt(
    cell: str, parameters: Mapping[str, Array], xs: Array, initial_state: Any,
    divergence_gradient: Callable[[Array, Any], tuple[Array, Any]],
    *, num_layers: int | tuple[int, int], bidirectional: bool, merge: str = "concat",
    lengths: Sequence[int] | None = None, masks: Mapping[str, Masks] | None = None, cut_every: int | None = None,
    options: Mapping[str, Any] | None = None,
) -> ReferenceResult:  # fmt: skip
    """Run a stack of recurrent layers forward and back, by hand.

    Args:
        cell: one of `CELLS`.
        parameters: NumPy arrays named forward{l}.Wc, backward{l}.Wr and so on, as the library names them.
        xs: (T, B, I).
        initial_state: h (rows, B, P), or (h, c); rows in the order layer 0 forward, layer 0 backward, layer 1 …, or
            with (L_f, L_b) first all forward, then all backward layers.
        divergence_gradient: `(output, final_state)` → the divergence's gradients with respect to both.
        num_layers: L, and then layer l + 1 reads the merged directions of layer l; or (L_f, L_b), two nets of those
            depths that are merged at their tops (slide 105).
        merge: "concat", "sum" or "mean".
        lengths: (B,) whole numbers 1 … T.
        masks: by cell name, "input" (T, B, W), "recurrent" (B, P), and by state name zoneout's (T, B, S).
        cut_every: no gradient passes from step t to t − 1 where t is a multiple of it; that of a sequence's last state
            arrives at its own last step, wherever that is.
        options: the cell's, such as nonlinearity or reset_after.

    A stack of plain RNN or LSTM layers goes through the slides' own procedures (107, 108, 116, 117).
    ValueError names an argument that does not fit.
    """
    step_of(cell, options or {})
    nonlinearity = (options or {}).get("nonlinearity", "tanh")
    plain = {"Wc", "Wr", "b"} >= {name.rpartition(".")[2] for name in parameters}
    simple = merge == "concat" and lengths is None and not masks and cut_every is None
    if cell in ("rnn", "lstm") and plain and simple and isinstance(num_layers, int):
        return lecture.reference_bptt(
            cell, parameters, xs, initial_state, divergence_gradient,
            num_layers=num_layers, bidirectional=bidirectional, nonlinearity=nonlinearity,
        )  # fmt: skip
    return reference_stack(
        cell, parameters, xs, initial_state, divergence_gradient, num_layers=num_layers, bidirectional=bidirectional,
        merge=merge, lengths=lengths, masks=masks, cut_every=cut_every, options=options,
    )  # fmt: skip
