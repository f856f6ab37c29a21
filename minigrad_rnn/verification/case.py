"""Base class of the gradient computations that `verify_bptt` runs with each implementation."""

from __future__ import annotations

import copy
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

import minigrad as mg
from minigrad import Tensor, nn
from minigrad.backend import Backend, to_numpy
from minigrad.validation import as_tensor

from ..manual_bptt import ReferenceResult
from .rounding_noise import RoundingNoise

Divergence = Callable[[Tensor, tuple[Tensor, ...]], Tensor]
"""DIV(output, final state): a scalar tensor from the output (T, B, D·H) and the final state's arrays (cells, B, H)."""
Array = np.ndarray[Any, Any]
Gradients = dict[str, Array]


@dataclass
class VerificationCase(ABC):
    """The gradients of `divergence` for one model, input and initial state, to be computed by every implementation."""

    model: Any
    """A copy in float64 of the model to verify."""
    values: dict[str, Array]
    """By name, what gradients are taken of beside the parameters: xs, and the initial state if it is not learned."""
    divergence: Divergence
    backend: Backend

    title: str
    """The model and the call, for the table's first line."""
    state_names: tuple[str, ...]
    differentiable: bool
    """Whether the gradient is the divergence's derivative, which finite differences approximate."""
    implementations: tuple[str, ...]
    native_refusal: str
    """Why there is no compiled sequence among them; "" if there is one. The first line says why."""
    has_reference: bool
    """Whether there is a BPTT by hand."""

    @abstractmethod
    def call(self, model: Any, leaves: Mapping[str, Tensor]) -> tuple[Tensor, Any]:
        """The model's output and final state for `values` as tensors."""

    @abstractmethod
    def reference(self) -> tuple[ReferenceResult, Gradients]:
        """The result of the BPTT by hand, and its gradients named and shaped like the parameters and `values`."""

    def to_model(self, a: Array, is_state: bool = False) -> Array:
        """A reference's output (T, B, F) or state (rows, B, F) in the model's layout."""
        if self.values["xs"].ndim == 2:
            return a[:, 0]
        return a.swapaxes(0, 1) if self.model.batch_first and not is_state else a

    def to_reference(self, a: Array, is_state: bool = False) -> Array:
        """The inverse of `to_model`."""
        return a[:, None] if self.values["xs"].ndim == 2 else self.to_model(a, is_state)

    def twin(self, implementation: str) -> Any:
        """The model that runs this implementation."""
        return self.model

    def leaves(self, values: Mapping[str, Array], requires_grad: bool) -> dict[str, Tensor]:
        return {n: mg.tensor(a, requires_grad=requires_grad, backend=self.backend) for n, a in values.items()}

    def run(self, model: Any, leaves: Mapping[str, Tensor]) -> tuple[Tensor, Tensor, tuple[Tensor, ...]]:
        """The divergence, the output and the final state's arrays."""
        output, final = self.call(model, leaves)
        ends = unpack(final)
        return self.divergence(output, ends), output, ends

    def on_the_tape(self, implementation: str) -> Gradients:
        """The gradients of every parameter and value, the output and the final state, by back-propagation."""
        model, leaves = self.twin(implementation), self.leaves(self.values, requires_grad=True)
        loss, output, ends = self.run(model, leaves)
        gradients = gradients_by_name(loss, {**dict(model.named_parameters()), **leaves})
        return gradients | self._outcomes(output.numpy(), [end.numpy() for end in ends])

    def by_hand(self) -> Gradients:
        """The same as `on_the_tape`, by the reference BPTT."""
        result, gradients = self.reference()
        ends = [self.to_model(end, is_state=True) for end in unpack(result.final_state)]
        return gradients | self._outcomes(self.to_model(result.output), ends)

    def _outcomes(self, output: Array, ends: list[Array]) -> dict[str, Array]:
        return {"output": output} | {f"final {name}": end for name, end in zip(self.state_names, ends)}

    def divergence_gradient(self, output: Array, final: Any) -> tuple[Array, Any]:
        """The divergence's gradients, from which the BPTT by hand starts."""
        arrays = [self.to_model(output), *(self.to_model(end, is_state=True) for end in unpack(final))]
        leaves = self.leaves({str(k): a for k, a in enumerate(arrays)}, requires_grad=True)
        first, *rest = leaves.values()
        d_output, *d_ends = gradients_by_name(self.divergence(first, tuple(rest)), leaves).values()
        return self.to_reference(d_output), pack([self.to_reference(d, is_state=True) for d in d_ends])

    def moved(self, rng: np.random.Generator) -> VerificationCase:
        """The same case with every parameter and value moved at random, by up to a hundredth of its largest entry."""

        def near(a: Array) -> Array:
            return np.asarray(a + 0.01 * (np.max(np.abs(a), initial=0.0) or 1.0) * rng.uniform(-1, 1, a.shape))

        model = copy.deepcopy(self.model)
        for parameter in model.parameters():
            parameter.data = self.backend.from_numpy(near(parameter.numpy()))
        return replace(self, model=model, values={name: near(a) for name, a in self.values.items()})

    def rounding(self, rng: np.random.Generator, runs: int = 3) -> dict[str, float]:
        """By name, how far a result moves if every operation's value is changed in its last bits: the largest entry."""
        right = self.on_the_tape("graph")
        sizes = dict.fromkeys(right, 0.0)
        for _ in range(runs):
            with RoundingNoise(rng, self.backend):
                changed = self.on_the_tape("graph")
            for name, a in right.items():
                gap = float(np.max(np.abs(changed[name] - a), initial=0.0))
                sizes[name] = max(sizes[name], gap if np.isfinite(gap) else 0.0)
        return sizes

    def value_along(self, name: str, v: Array) -> Callable[[float], float]:
        """The divergence as a function of a step along v, away from the parameter or value called `name`."""
        parameter = dict(self.model.named_parameters()).get(name)
        at_rest = None if parameter is None else parameter.data

        def value(step: float) -> float:
            values = dict(self.values)
            if parameter is not None:
                parameter.data = at_rest + self.backend.from_numpy(step * v)
            else:
                values[name] = values[name] + step * v
            try:
                with mg.no_grad():
                    return float(self.run(self.model, self.leaves(values, requires_grad=False))[0])
            finally:
                if parameter is not None:
                    parameter.data = at_rest

        return value


def unpack(state: Any) -> tuple[Any, ...]:
    """The arrays of a state: None, one array or a tuple of them."""
    return state if isinstance(state, tuple) else () if state is None else (state,)


def pack(parts: list[Any]) -> Any:
    """The inverse of `unpack`."""
    return tuple(parts) if len(parts) > 1 else parts[0] if parts else None


def gradients_by_name(loss: Tensor, leaves: Mapping[str, Tensor]) -> Gradients:
    """The gradient of each leaf; zeros where the loss does not depend on it."""
    gradients = mg.gradients(loss, list(leaves.values()), allow_unused=True)
    return {n: np.zeros(x.shape) if g is None else g.numpy() for (n, x), g in zip(leaves.items(), gradients)}


def float64_copy(model: nn.Module) -> Any:
    """The same model in float64, on the same backend, with every parameter trainable."""
    return copy.deepcopy(model).to(dtype="float64").requires_grad_()


def host_float64(argument: str, x: Any) -> Array:
    """x in float64, on the host."""
    return np.array(to_numpy(as_tensor("verify_bptt", argument, x).data), dtype=np.float64)


def joint_divergence(rng: np.random.Generator, backend: Backend) -> Divergence:
    """A square of a weighted sum of everything, plus a nonlinear mean: it depends on all outputs jointly."""
    weights: dict[int, Tensor] = {}

    def divergence(output: Tensor, final: tuple[Tensor, ...]) -> Tensor:
        total: Any = 0.0
        for k, y in enumerate((output, *final)):
            if k not in weights:
                weights[k] = Tensor(backend.from_numpy(rng.uniform(-1, 1, y.shape)))
            total = total + (weights[k] * y).sum()
        return total * total + mg.sin(output * 3.0).mean() + total  # type: ignore[no-any-return]

    return divergence
