"""The gradient computation that `verify_bptt` compares for the lecture's classics."""

from __future__ import annotations

import copy
import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

import minigrad as mg
from minigrad import Tensor
from minigrad.backend import Backend, get_backend

from ..classics import NARX, TDNN, Classic, Elman, GeneralRecurrence, Jordan, StateSpace
from ..manual_bptt.classics import (
    elman_reference,
    jordan_reference,
    narx_reference,
    state_space_reference,
    tdnn_reference,
)
from ..manual_bptt.general_recurrence import general_recurrence_reference
from .recurrence_case import Array, Divergence, Gradients, hosted, joint_divergence

CLASSIC_REFERENCES: dict[type[Classic], Callable[..., Any]] = {
    TDNN: tdnn_reference,
    NARX: narx_reference,
    Jordan: jordan_reference,
    Elman: elman_reference,
    StateSpace: state_space_reference,
    GeneralRecurrence: general_recurrence_reference,
}


@dataclass
class ClassicCase:
    """What is asked of both implementations: the gradients of `divergence` for this net, series and initial state."""

    model: Classic
    values: dict[str, Array]
    """xs, and where they are given the state's arrays (lags, B, features) and targets (T, B, O)."""
    divergence: Divergence
    backend: Backend
    implementations: tuple[str, ...] = ("graph",)

    @staticmethod
    def of(
        model: Classic, xs: Any, state: Any, divergence: Divergence | None, rng: np.random.Generator, targets: Any
    ) -> ClassicCase:
        backend = get_backend(next(iter(model.parameters())).backend)
        host = hosted("xs", xs)
        if host.ndim != 3 or model.batch_first:
            raise ValueError(f"verify_bptt: xs: got shape {host.shape}, want (T, B, I), and a net without batch_first")
        values = {"xs": host}
        learned = any(name.endswith("_init") for name, _ in model.named_parameters())
        if state is not None:
            parts = state if isinstance(state, (tuple, list)) else (state,)
            if len(parts) != len(model.state_names):
                want = " and ".join(model.state_names) or "None"
                raise ValueError(f"verify_bptt: state: got {len(parts)} arrays, want {want}")
            values |= {name: hosted(f"state: {name}", part) for name, part in zip(model.state_names, parts)}
        elif not learned:
            for name, (lags, features) in model.state_sizes.items():
                values[name] = rng.uniform(-0.5, 0.5, (lags, host.shape[1], features))
        if targets is not None:
            if not isinstance(model, NARX):
                raise TypeError(f"verify_bptt: targets: got some for a {type(model).__name__}, which takes none")
            values["targets"] = hosted("targets", targets)
        twin = copy.deepcopy(model).to(dtype="float64").requires_grad_()
        return ClassicCase(twin, values, divergence or joint_divergence(rng, backend), backend)

    @property
    def title(self) -> str:
        T, B, _ = self.values["xs"].shape
        fed = ", targets" if "targets" in self.values else ""
        said = self.model.extra_repr() if type(self.model) is not GeneralRecurrence else self._table()
        return f"{type(self.model).__name__}({said}), T={T}, B={B}{fed}, float64 on {self.backend.name}"

    def _table(self) -> str:
        assert isinstance(self.model, GeneralRecurrence)
        return "; ".join(f"{layer} ← {' '.join(reads)}" for layer, reads in self.model.connections.items())

    @property
    def differentiable(self) -> bool:
        """Whether the gradient is the divergence's derivative; Elman's, cut at the link, is not."""
        return not isinstance(self.model, Elman)

    def run(self, leaves: dict[str, Any]) -> tuple[Tensor, Tensor, tuple[Tensor, ...]]:
        """The divergence, the output and the final state's arrays."""
        given = [leaves[name] for name in self.model.state_names if name in leaves]
        state = None if not given else tuple(given) if len(given) > 1 else given[0]
        options = {"targets": leaves["targets"]} if "targets" in leaves else {}
        output, final = self.model(leaves["xs"], state, **options)
        ends = final if isinstance(final, tuple) else () if final is None else (final,)
        return self.divergence(output, ends), output, ends

    def on_the_tape(self, implementation: str) -> Gradients:
        leaves = {n: mg.tensor(a, requires_grad=True, backend=self.backend) for n, a in self.values.items()}
        loss, output, ends = self.run(leaves)
        wanted = {**dict(self.model.named_parameters()), **leaves}
        found = mg.gradients(loss, list(wanted.values()), allow_unused=True)
        named = {n: np.zeros(x.shape) if g is None else g.numpy() for (n, x), g in zip(wanted.items(), found)}
        finals = {f"final {n}": e.numpy() for n, e in zip(self.model.state_names, ends)}
        return named | {"output": output.numpy()} | finals

    def divergence_gradient(self, output: Any, final: Any) -> tuple[Any, Any]:
        ends = final if isinstance(final, tuple) else () if final is None else (final,)
        leaves = [mg.tensor(a, requires_grad=True, backend=self.backend) for a in (output, *ends)]
        found = mg.gradients(self.divergence(leaves[0], tuple(leaves[1:])), leaves, allow_unused=True)
        first, *rest = (np.zeros(x.shape) if g is None else g.numpy() for x, g in zip(leaves, found))
        return first, tuple(rest) if len(rest) > 1 else rest[0] if rest else None

    def by_hand(self) -> Gradients:
        function = CLASSIC_REFERENCES[type(self.model)]
        options = {
            name: getattr(self.model, name)
            for name, parameter in inspect.signature(function).parameters.items()
            if parameter.kind is parameter.KEYWORD_ONLY and name != "targets"
        }
        if "targets" in self.values:
            options["targets"] = self.values["targets"]
        parameters = {n: p.numpy() for n, p in self.model.named_parameters()}
        given = [self.values[name] for name in self.model.state_names if name in self.values]
        state = None if not given else tuple(given) if len(given) > 1 else given[0]
        said = function(parameters, self.values["xs"], state, self.divergence_gradient, **options)
        ends = said.final_state
        ends = ends if isinstance(ends, tuple) else () if ends is None else (ends,)
        found = {n: said.gradients[n] for n in (*parameters, *self.values)}
        return found | {"output": said.output} | {f"final {n}": e for n, e in zip(self.model.state_names, ends)}

    def value_along(self, name: str, v: Array) -> Callable[[float], float]:
        """The divergence as a function of a step along v, away from the quantity called `name`."""
        parameter = dict(self.model.named_parameters()).get(name)
        at_rest = None if parameter is None else parameter.data

        def value(step: float) -> float:
            moved = dict(self.values)
            if parameter is not None:
                parameter.data = at_rest + self.backend.from_numpy(step * v)
            else:
                moved[name] = moved[name] + step * v
            try:
                with mg.no_grad():
                    return float(self.run({n: mg.tensor(a, backend=self.backend) for n, a in moved.items()})[0])
            finally:
                if parameter is not None:
                    parameter.data = at_rest

        return value
