"""The gradient computation that `verify_bptt` runs with each implementation of a recurrence."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from minigrad import Tensor
from minigrad.backend import get_backend

from ..cells import (
    Cell,
    CellMasks,
    GRUCell,
    IndRNNCell,
    LayerNormGRUCell,
    LayerNormLSTMCell,
    LayerNormRNNCell,
    Lengths,
    LSTMCell,
    MGUCell,
    RNNCell,
)
from ..manual_bptt import ReferenceResult, reference_bptt
from ..networks.implementations import native_refusal as native_refusal_of
from ..networks.recurrence import Recurrence
from ..networks.truncation import Truncation
from .case import Array, Divergence, Gradients, VerificationCase, float64_copy, host_float64, joint_divergence, pack

REFERENCED: dict[type[Cell], str] = {
    RNNCell: "rnn",
    LSTMCell: "lstm",
    GRUCell: "gru",
    LayerNormRNNCell: "layer_norm_rnn",
    LayerNormLSTMCell: "layer_norm_lstm",
    LayerNormGRUCell: "layer_norm_gru",
    MGUCell: "mgu",
    IndRNNCell: "indrnn",
}
"""The cells that have a BPTT by hand, under the reference's names."""
OPTIONS = ("nonlinearity", "reset_after", "gate_activation", "activation", "clip")
"""The cells' attributes that are options of the reference; the rest shows in the parameters."""


def options_of(cell: Cell) -> dict[str, Any]:
    """The cell's options as the reference takes them."""
    options = {name: getattr(cell, name) for name in OPTIONS if hasattr(cell, name)}
    return {**options, **cell.gate_options._asdict()} if isinstance(cell, LSTMCell) else options


@dataclass
class RecurrenceCase(VerificationCase):
    """The case of a recurrence with lengths, masks, truncation; `values`: xs and, unless learned, h(−1) (and c(−1))."""

    lengths: list[int] | None
    masks: dict[str, CellMasks]
    truncation: Truncation | None

    @staticmethod
    def of(
        model: Any, xs: Any, state: Any, divergence: Divergence | None, rng: np.random.Generator, lengths: Any,
        masks: Mapping[str, CellMasks] | None, truncation: Truncation | None,
    ) -> RecurrenceCase:  # fmt: skip
        backend = get_backend(next(iter(model.parameters())).backend)
        values = {"xs": host_float64("xs", xs)}
        shape = values["xs"].shape
        if len(shape) not in (2, 3):
            raise ValueError(f"verify_bptt: xs: got shape {shape}, want three axes, or two without a batch")
        whole = float64_copy(model)
        if whole is not (twin := recurrence_of(whole)):
            whole.eval()  # such a model takes no masks
        model, twin.impl = recurrence_of(model), "graph"
        names = model.cell_type.state_names
        batch_axis = 0 if model.batch_first else 1
        T, B = (shape[0], 1) if len(shape) == 2 else (shape[1 - batch_axis], shape[batch_axis])
        batch = () if len(shape) == 2 else (B,)
        shapes = [(len(twin.cell_names), *batch, size) for size in twin.cells[0].state_sizes]
        if state is not None:
            start = [host_float64("state", part) for part in (state if isinstance(state, (tuple, list)) else (state,))]
            if [a.shape for a in start] != shapes:
                got = ", ".join(str(a.shape) for a in start)
                want = " and ".join(f"{n} of shape {shape}" for n, shape in zip(names, shapes))
                raise ValueError(f"verify_bptt: state: got {got}, want {want}")
            values |= {f"{n}(−1)": a for n, a in zip(names, start)}
        elif model.initial_state == "zeros":
            values |= {f"{n}(−1)": rng.uniform(-0.5, 0.5, shape) for n, shape in zip(names, shapes)}
        if truncation is not None and not isinstance(truncation, Truncation):
            raise TypeError(f"verify_bptt: truncation: got {type(truncation).__name__}, want a Truncation")
        if truncation is not None and truncation.k2 != truncation.k1:
            raise ValueError(f"verify_bptt: truncation: got {truncation!r}, want k2 = k1")
        if lengths is not None:
            lengths = Lengths(lengths, T, B, backend, "verify_bptt").host.tolist()
        if masks is None:  # in evaluation zoneout's probabilities; in training dropout is off unless masks are given
            masks = {} if model.training else model.draw_masks(T, B)
        masks = {name: float64_masks(mask) for name, mask in masks.items()}
        title = [f"{type(model).__name__}({model.extra_repr()})", f"T={T}", f"B={B}"]
        if whole is not twin:
            title[0] = f"{type(whole).__name__}({title[0]})"
        title += ["lengths"] * bool(lengths) + ["masks"] * bool(masks) + [repr(truncation)] * bool(truncation)
        inside = any(m.recurrent is not None or m.zoneout for m in masks.values())
        implementations: tuple[str, ...] = ("graph",) if inside or twin.fused_refusal() else ("graph", "fused")
        native_refusal = "the masks act inside the steps" if inside else native_refusal_of(twin)
        if not native_refusal:
            implementations += ("native",)
        has_reference = whole is twin and model.cell_type in REFERENCED
        if truncation is not None and not has_reference and len(implementations) == 1:
            got = f"some for a {model.cell_type.__name__} without a BPTT by hand or a fused sequence"
            raise TypeError(f"verify_bptt: truncation: got {got}: there is nothing to compare its gradient with")
        return RecurrenceCase(
            whole, values, divergence or joint_divergence(rng, backend), backend,
            f"{', '.join(title)}, float64 on {backend.name}", names, truncation is None, implementations,
            native_refusal, has_reference, lengths, masks, truncation,
        )  # fmt: skip

    def call(self, model: Any, leaves: Mapping[str, Tensor]) -> tuple[Tensor, Any]:
        state = pack([leaves[f"{n}(−1)"] for n in self.state_names if f"{n}(−1)" in leaves])
        if not isinstance(model, Recurrence):
            result = model(leaves["xs"], state, lengths=self.lengths)
            return result if isinstance(result, tuple) else (result, None)
        if self.truncation is not None:
            return self.truncation.run(model, leaves["xs"], state, self.masks, self.lengths)
        output, final = model(leaves["xs"], state, lengths=self.lengths, masks=self.masks)
        return output, final

    def twin(self, implementation: str) -> Any:
        twin = self.model if implementation == "graph" else float64_copy(self.model)
        recurrence_of(twin).impl = implementation
        return twin

    def reference(self) -> tuple[ReferenceResult, Gradients]:
        model, names, xs = self.model, self.state_names, self.to_reference(self.values["xs"])
        learned = f"{names[0]}(−1)" not in self.values
        every = {n: p.numpy() for n, p in model.named_parameters()}
        parameters = {n: a for n, a in every.items() if not n.endswith("_init")}
        if learned:  # one h(−1) for every sequence of the batch
            start = [
                np.stack([np.tile(every[f"{cell}.{n}_init"], (xs.shape[1], 1)) for cell in model.cell_names])
                for n in names
            ]
        else:
            start = [self.to_reference(self.values[f"{n}(−1)"], is_state=True) for n in names]
        result = reference_bptt(
            REFERENCED[model.cell_type],
            parameters,
            xs,
            pack(start),
            self.divergence_gradient,
            num_layers=model.num_layers,
            bidirectional=model.bidirectional,
            reverse=model.reverse,
            merge=model.merge,
            lengths=self.lengths,
            masks={name: self.full_masks(mask) for name, mask in self.masks.items()} or None,
            cut_every=None if self.truncation is None else self.truncation.k1,
            options=options_of(model.cells[0]),
        )
        gradients = {n: result.gradients[n] for n in parameters} | {"xs": self.to_model(result.gradients["xs"])}
        for n in names:
            d_init = result.gradients[f"{n}_init"]
            if learned:
                gradients |= {f"{cell}.{n}_init": d_init[k].sum(axis=0) for k, cell in enumerate(model.cell_names)}
            else:
                gradients[f"{n}(−1)"] = self.to_model(d_init, is_state=True)
        return result, gradients

    def full_masks(self, mask: CellMasks) -> dict[str, Array]:
        """A cell's masks as the reference takes them, by name and without axes of length 1."""
        T, B, _ = self.to_reference(self.values["xs"]).shape
        parts = {"input": mask.input, "recurrent": mask.recurrent}
        for name, size, zone in zip(self.state_names, self.model.cells[0].state_sizes, mask.zoneout):
            parts[name] = None if zone is None else np.broadcast_to(zone, (T, B, size)).copy()
        return {name: a for name, a in parts.items() if a is not None}


def recurrence_of(model: Any) -> Recurrence:
    """The recurrence itself, or the one inside a ManyToOne or ManyToMany."""
    recurrence: Recurrence = model if isinstance(model, Recurrence) else model.recurrence
    return recurrence


def float64_masks(mask: CellMasks) -> CellMasks:
    def cast(a: Any) -> Any:
        return None if a is None else np.asarray(a, np.float64)

    return CellMasks(cast(mask.input), cast(mask.recurrent), tuple(cast(z) for z in mask.zoneout))
