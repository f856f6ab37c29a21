"""The reference BPTT: any cell in layers and directions, forward and back by hand, with lengths, masks, truncation.

One loop forward and one back, a `+=` for every step's share. What a cell does at one t is in `plain_cells` and
`normalized_cells`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from .activations import activation_of
from .lecture import Array
from .normalized_cells import LAYER_NORM_GRU, LAYER_NORM_LSTM, LAYER_NORM_RNN
from .plain_cells import MGU, Gates, gru_of, indrnn_of, lstm_of, rnn_of
from .step import Saved, States, Step
from .validation import check_array, check_inputs, check_layer, check_masks, check_sizes, check_states

Masks = Mapping[str, Array]
"""What multiplies a cell's input (T, B, I), h(t−1) at the recurrent weights (B, P), and each state by name: zoneout."""
CELLS = ("rnn", "lstm", "gru", "layer_norm_rnn", "layer_norm_lstm", "layer_norm_gru", "mgu", "indrnn")
OPTIONS = {
    "rnn": ("nonlinearity", "clip"),
    "indrnn": ("nonlinearity",),
    "lstm": ("gate_activation", "activation", "output_activation", "clip", "coupled_gates"),
    "gru": ("reset_after", "gate_activation", "activation", "clip"),
}
"""The options of a cell; activations are names, or tuples of a name and its parameters (`activations.FUNCTIONS`)."""
MERGES = ("concat", "sum", "mean")


def step_of(cell: str, options: Mapping[str, Any]) -> Step:
    """Return the time step of the cell called `cell`. Raises ValueError for an unknown cell or option."""
    known = OPTIONS.get(cell, ())
    if cell not in CELLS:
        raise ValueError(f"manual_bptt: cell: got {cell!r}, want one of {CELLS}")
    if unknown := sorted(set(options) - set(known)):
        raise ValueError(f"manual_bptt: options: got {unknown}, want {list(known) or 'none'} for {cell!r}")
    clip = options.get("clip")

    def activation(option: str, default: str) -> Any:
        return activation_of(option, options.get(option, default), clip)

    if cell == "rnn":
        return rnn_of(activation("nonlinearity", "tanh"))
    if cell == "indrnn":
        return indrnn_of(activation("nonlinearity", "relu"))
    if cell in ("gru", "lstm"):
        gate, candidate = activation("gate_activation", "sigmoid"), activation("activation", "tanh")
        if cell == "gru":
            return gru_of(options.get("reset_after", True), gate, candidate)
        of_c = activation_of("output_activation", options.get("output_activation", options.get("activation", "tanh")))
        return lstm_of(Gates(gate, candidate, of_c, options.get("coupled_gates", False)))
    return {
        "mgu": MGU, "layer_norm_rnn": LAYER_NORM_RNN, "layer_norm_lstm": LAYER_NORM_LSTM,
        "layer_norm_gru": LAYER_NORM_GRU,
    }[cell]  # fmt: skip


@dataclass(frozen=True)
class ReferenceResult:
    """The output (T, B, D·H), the final state, and gradients by parameter name, "xs" and "h_init" (and "c_init")."""

    output: Array
    final_state: Array | tuple[Array, Array]
    gradients: dict[str, Array]


@dataclass
class Layer:
    """One cell over the whole sequence, forward or backward in time; `parameters` have their short names."""

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
        """For each state the share of its old value that stays: 0, or the mask's entries."""
        return [np.where(self.valid[t], self.masks[s][t], 0.0) if s in self.masks else 0.0 for s in self.step.states]

    def forward(self, xs: Array, start: States) -> tuple[Array, States]:
        """Slide 107 or 108: return every output (T, B, P) and the states after each sequence's last step."""
        self.saved: dict[int, Saved] = {}
        self.widths = xs.shape
        outputs = np.zeros((*xs.shape[:2], start[0].shape[1]), xs.dtype)
        states = start
        for t in self.times():
            here = self.valid[t]
            x = np.where(here, xs[t] * self.masks.get("input", {t: 1.0})[t], 0.0)
            hr = states[0] * self.masks.get("recurrent", 1.0)
            fresh, self.saved[t] = self.step.forward(self.parameters, x, hr, states)
            zoned = [m * old + (1.0 - m) * new for m, old, new in zip(self.zoneout(t), states, fresh)]
            states = tuple(np.where(here, new, old) for new, old in zip(zoned, states))
            outputs[t] = np.where(here, states[0], 0.0)
        return outputs, states

    def bptt(self, doutputs: Array, dfinal: States) -> tuple[Array, States, dict[str, Array]]:
        """Slide 116 or 117: return dx (T, B, I), the initial states' gradients, and every parameter's, pooled."""
        pooled = {name: np.zeros_like(a) for name, a in self.parameters.items()}
        dxs = np.zeros(self.widths, doutputs.dtype)
        d = list(dfinal)
        for t in self.times()[::-1]:
            here = self.valid[t]
            d[0] = d[0] + np.where(here, doutputs[t], 0.0)
            # Where t is padding, the state was carried on unchanged, and so is its gradient.
            arrived = [np.where(here, g, 0.0) for g in d]
            stayed = [np.where(here, 0.0, g) for g in d]
            zones = self.zoneout(t)
            fresh = tuple((1.0 - m) * g for m, g in zip(zones, arrived))
            dx, dhr, dbefore = self.step.backward(self.parameters, self.saved[t], fresh, pooled)
            dxs[t] = np.where(here, dx * self.masks.get("input", {t: 1.0})[t], 0.0)
            d = [s + m * g + np.where(here, b, 0.0) for s, m, g, b in zip(stayed, zones, arrived, dbefore)]
            d[0] = d[0] + np.where(here, dhr * self.masks.get("recurrent", 1.0), 0.0)
            if self.cut_every and t and t % self.cut_every == 0:
                d = [np.where(here, 0.0, g) for g in d]  # at padding, the final state's gradient is still on its way
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


def block_names(num_layers: int | tuple[int, int], bidirectional: bool, reverse: bool) -> list[list[list[str]]]:
    """The cells' names: blocks, from the bottom, of a stack for each direction, of cells from the bottom."""
    directions = ("forward", "backward") if bidirectional else ("backward",) if reverse else ("forward",)
    if isinstance(num_layers, tuple):
        return [[[f"{direction}{l}" for l in range(n)] for direction, n in zip(directions, num_layers)]]
    return [[[f"{direction}{l}"] for direction in directions] for l in range(num_layers)]


def make_layers(
    step: Step, parameters: Mapping[str, Array], xs: Array, blocks: list[list[list[str]]], merge: str,
    lengths: Sequence[int] | None, masks: Mapping[str, Masks], cut_every: int | None,
) -> tuple[dict[str, Layer], tuple[int, int]]:  # fmt: skip
    """The checked layers by name, in the order of the state's rows, and their sizes (H, P)."""
    names = [name for block in blocks for stack in block for name in stack]
    if unknown := sorted(n for n in parameters if n.rpartition(".")[0] not in names):
        raise ValueError(f"manual_bptt: parameters: got {unknown}, want only those of {names}")
    if unknown := sorted(set(masks) - set(names)):
        raise ValueError(f"manual_bptt: masks: got {unknown}, want names among {names}")
    own = {name: {n.rpartition(".")[2]: a for n, a in parameters.items() if n.startswith(f"{name}.")} for name in names}
    T, B, I = xs.shape
    H, P = check_sizes(step, names[0], own[names[0]])
    valid = np.arange(T)[:, None, None] < np.asarray([T] * B if lengths is None else lengths)[:, None]
    layers = {}
    for block in blocks:
        above_block = P * len(block) if merge == "concat" else P
        for stack in block:
            for name in stack:
                width = P if name != stack[0] else I if block is blocks[0] else above_block
                check_layer(step, name, own[name], width, (H, P), xs.dtype)
                shapes = {"input": (T, B, width), "recurrent": (B, P), "h": (T, B, P), "c": (T, B, H)}
                shapes = {k: shape for k, shape in shapes.items() if k in ("input", "recurrent", *step.states)}
                mask = masks.get(name, {})
                check_masks(name, mask, shapes, xs.dtype)
                layers[name] = Layer(step, own[name], name.startswith("backward"), valid, mask, cut_every)
    return layers, (H, P)


def reference_bptt(
    cell: str, parameters: Mapping[str, Array], xs: Array, initial_state: Any,
    divergence_gradient: Callable[[Array, Any], tuple[Array, Any]],
    *, num_layers: int | tuple[int, int], bidirectional: bool, reverse: bool = False, merge: str = "concat",
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
        reverse: whether the only direction is backward.
        merge: "concat", "sum" or "mean".
        lengths: (B,) whole numbers 1 … T.
        masks: by cell name, "input" (T, B, W), "recurrent" (B, P), and by state name zoneout's (T, B, S).
        cut_every: no gradient passes from step t to t − 1 where t is a multiple of it; that of a sequence's last state
            arrives at its own last step, wherever that is.
        options: the cell's, such as nonlinearity or reset_after.

    Returns:
        The gradients of all parameters, of "xs" and of the initial state, "h_init" (and "c_init").

    Raises:
        ValueError: an argument that does not fit.
    """
    step = step_of(cell, options or {})
    if merge not in MERGES:
        raise ValueError(f"manual_bptt: merge: got {merge!r}, want one of {MERGES}")
    check_inputs(xs, num_layers, lengths, cut_every, bidirectional, reverse)
    blocks = block_names(num_layers, bidirectional, reverse)
    layers, sizes = make_layers(step, parameters, xs, blocks, merge, lengths, masks or {}, cut_every)
    rows = {name: k for k, name in enumerate(layers)}
    lead = (len(rows), xs.shape[1])
    start = check_states("initial_state", step.states, initial_state, lead, sizes, xs.dtype)

    # Forward: each block's stacks read the same x, and x becomes what is merged at their tops.
    x, finals, tops_by_block = xs, [np.zeros_like(state) for state in start], []
    for block in blocks:
        tops = []
        for stack in block:
            h = x
            for name in stack:
                h, final = layers[name].forward(h, tuple(state[rows[name]] for state in start))
                for states, state in zip(finals, final):
                    states[rows[name]] = state
            tops.append(h)
        tops_by_block.append(tops)
        x = merged(tops, merge)

    output, final_state = x, (finals[0], finals[1]) if len(finals) > 1 else finals[0]
    d, d_final_state = divergence_gradient(output, final_state)
    check_array("the divergence's d_output", d, output.shape, xs.dtype)
    d_final = check_states("the divergence's d_final_state", step.states, d_final_state, lead, sizes, xs.dtype)

    # Back: d is the gradient of a block's merged tops, and then of the x that its stacks read.
    gradients, d_start = dict[str, Array](), [np.zeros_like(state) for state in start]
    for block, tops in zip(reversed(blocks), reversed(tops_by_block)):
        below = []
        for stack, dh in zip(block, split(d, tops, merge)):
            for name in reversed(stack):
                dh, dinit, pooled = layers[name].bptt(dh, tuple(g[rows[name]] for g in d_final))
                gradients |= {f"{name}.{n}": g for n, g in pooled.items()}
                for states, g in zip(d_start, dinit):
                    states[rows[name]] = g
            below.append(dh)
        d = below[0] if len(below) == 1 else below[0] + below[1]  # add the partials (slide 117)
    gradients = {name: gradients[name] for name in parameters} | {"xs": d}
    return ReferenceResult(output, final_state, gradients | {f"{s}_init": g for s, g in zip(step.states, d_start)})
