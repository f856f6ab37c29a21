"""The gradient computation that `verify_bptt` runs for the lecture's classics."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from minigrad import Tensor
from minigrad.backend import get_backend

from ..classics import NARX, TDNN, Classic, Elman, GeneralRecurrence, Jordan, StateSpace
from ..manual_bptt import (
    ReferenceResult,
    elman_reference,
    general_recurrence_reference,
    jordan_reference,
    narx_reference,
    state_space_reference,
    tdnn_reference,
)
from .case import Divergence, Gradients, VerificationCase, float64_copy, host_float64, joint_divergence, pack

CLASSIC_REFERENCES: dict[type[Classic], Callable[..., Any]] = {
    TDNN: tdnn_reference,
    NARX: narx_reference,
    Jordan: jordan_reference,
    Elman: elman_reference,
    StateSpace: state_space_reference,
    GeneralRecurrence: general_recurrence_reference,
}


class ClassicCase(VerificationCase):
    """The case of a classic; `values`: xs, the state (lags, B, features) unless learned, targets (T, B, O) if any."""

    @staticmethod
    def of(
        model: Classic, xs: Any, state: Any, divergence: Divergence | None, rng: np.random.Generator, targets: Any
    ) -> ClassicCase:
        backend = get_backend(next(iter(model.parameters())).backend)
        values = {"xs": host_float64("xs", xs)}
        shape = values["xs"].shape
        if len(shape) != 3 or model.batch_first:
            raise ValueError(f"verify_bptt: xs: got shape {shape}, want (T, B, I), and a net without batch_first")
        if state is not None:
            parts = state if isinstance(state, (tuple, list)) else (state,)
            if len(parts) != len(model.state_names):
                want = " and ".join(model.state_names) or "None"
                raise ValueError(f"verify_bptt: state: got {len(parts)} arrays, want {want}")
            values |= {name: host_float64(f"state: {name}", part) for name, part in zip(model.state_names, parts)}
        elif not any(name.endswith("_init") for name, _ in model.named_parameters()):
            for name, (lags, features) in model.state_sizes.items():
                values[name] = rng.uniform(-0.5, 0.5, (lags, shape[1], features))
        if targets is not None:
            if not isinstance(model, NARX):
                raise TypeError(f"verify_bptt: targets: got some for a {type(model).__name__}, which takes none")
            values["targets"] = host_float64("targets", targets)
        options = model.extra_repr()
        if isinstance(model, GeneralRecurrence):
            options = "; ".join(f"{layer} ← {' '.join(reads)}" for layer, reads in model.connections.items())
        title = f"{type(model).__name__}({options}), T={shape[0]}, B={shape[1]}{', targets' * ('targets' in values)}"
        return ClassicCase(
            float64_copy(model), values, divergence or joint_divergence(rng, backend), backend,
            f"{title}, float64 on {backend.name}", model.state_names,
            differentiable=not isinstance(model, Elman),  # whose gradient is cut at the link
            implementations=("graph",), native_refusal=f"no compiled sequence is written for {type(model).__name__}",
            has_reference=True,
        )  # fmt: skip

    def state(self, values: Mapping[str, Any]) -> Any:
        return pack([values[name] for name in self.state_names if name in values])

    def call(self, model: Classic, leaves: Mapping[str, Tensor]) -> tuple[Tensor, Any]:
        options = {"targets": leaves["targets"]} if "targets" in leaves else {}
        output, final = model(leaves["xs"], self.state(leaves), **options)
        return output, final

    def reference(self) -> tuple[ReferenceResult, Gradients]:
        function = CLASSIC_REFERENCES[type(self.model)]
        keywords = (n for n, p in inspect.signature(function).parameters.items() if p.kind is p.KEYWORD_ONLY)
        options = {name: getattr(self.model, name) for name in keywords if name != "targets"}
        if "targets" in self.values:
            options["targets"] = self.values["targets"]
        parameters = {n: p.numpy() for n, p in self.model.named_parameters()}
        xs, state = self.values["xs"], self.state(self.values)
        result: ReferenceResult = function(parameters, xs, state, self.divergence_gradient, **options)
        return result, {n: result.gradients[n] for n in (*parameters, *self.values)}
