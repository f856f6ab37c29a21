"""The gradient computation that `verify_bptt` runs with each implementation of a recurrence.

The tape op by op, the fused sequence, the reference BPTT and finite differences each run it.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

import minigrad as mg
from minigrad import Tensor
from minigrad.backend import Backend, get_backend, is_array, to_numpy

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
from ..manual_bptt import reference_bptt
from ..networks.recurrence import Recurrence
from ..networks.truncation import Truncation

Divergence = Callable[[Tensor, tuple[Tensor, ...]], Tensor]
"""DIV(output, final state): a scalar tensor from the output (T, B, D·H) and the final state's arrays (cells, B, H)."""
Array = np.ndarray[Any, Any]
Gradients = dict[str, Array]

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
"""The cells that a BPTT by hand is written for, under the reference's names."""
OPTIONS = ("nonlinearity", "reset_after")
"""What the reference must be told of a cell; the rest shows in its parameters."""
STEPS = (1e-3, 1e-4, 1e-5, 1e-6)
"""Of finite differences; a smaller one only where a kink, as of relu, or a steep bend lies within the larger."""


@dataclass
class RecurrenceCase:
    """What is asked of every implementation: the gradients of `divergence` for this model, input and initial state."""

    model: Recurrence
    xs: Array
    start: list[Array] | None
    """The initial state's arrays (cells, B, H); None for the learned one."""
    divergence: Divergence
    backend: Backend
    lengths: list[int] | None
    masks: dict[str, CellMasks]
    truncation: Truncation | None
    called: str
    """The model as it was given, in words."""

    @staticmethod
    def of(
        model: Recurrence,
        xs: Any,
        state: Any,
        divergence: Divergence | None,
        rng: np.random.Generator,
        lengths: Any,
        masks: Mapping[str, CellMasks] | None,
        truncation: Truncation | None,
    ) -> RecurrenceCase:
        backend = get_backend(next(iter(model.parameters())).backend)
        host = hosted("xs", xs)
        if host.ndim not in (2, 3):
            raise ValueError(f"verify_bptt: xs: got shape {host.shape}, want three axes, or two without a batch")
        twin = float64_twin(model, "graph")
        names, sizes = model.cell_type.state_names, twin.cells[0].state_sizes
        batch = 1 if host.ndim == 2 else host.shape[0 if model.batch_first else 1]
        shapes = [(len(twin.cell_names), batch, size) for size in sizes]
        start: list[Array] | None = None
        if state is not None:
            parts = state if isinstance(state, (tuple, list)) else (state,)
            start = [hosted("state", part) for part in parts]
            want = [(shape[0], *shape[2:]) if host.ndim == 2 else shape for shape in shapes]
            if [a.shape for a in start] != want:
                got = ", ".join(str(a.shape) for a in start)
                said = " and ".join(f"{n} of shape {shape}" for n, shape in zip(names, want))
                raise ValueError(f"verify_bptt: state: got {got}, want {said}")
            start = [a.reshape(shape) for a, shape in zip(start, shapes)]
        elif model.initial_state == "zeros":
            start = [rng.uniform(-0.5, 0.5, shape) for shape in shapes]
        if truncation is not None and not isinstance(truncation, Truncation):
            raise TypeError(f"verify_bptt: truncation: got {type(truncation).__name__}, want a Truncation")
        if truncation is not None and truncation.k2 != truncation.k1:
            raise ValueError(f"verify_bptt: truncation: got {truncation!r}, want k2 = k1")
        T = host.shape[1 if model.batch_first and host.ndim == 3 else 0]
        if lengths is not None:
            lengths = Lengths(lengths, T, batch, backend, "verify_bptt").host.tolist()
        if masks is None:  # in evaluation zoneout's probabilities; in training dropout is off unless masks are given
            masks = {} if model.training else model.draw_masks(T, batch)
        return RecurrenceCase(
            twin, host, start, divergence or joint_divergence(rng, backend), backend, lengths,
            {name: in_float64(mask) for name, mask in masks.items()}, truncation,
            f"{type(model).__name__}({model.extra_repr()})",
        )  # fmt: skip

    @property
    def title(self) -> str:
        T, B = self.steps_and_batch()
        said = [self.called, f"T={T}", f"B={B}"]
        said += ["lengths"] if self.lengths else []
        said += ["masks"] if self.masks else []
        said += [repr(self.truncation)] if self.truncation else []
        return ", ".join(said) + f", float64 on {self.backend.name}"

    @property
    def implementations(self) -> tuple[str, ...]:
        inside = any(m.recurrent is not None or m.zoneout for m in self.masks.values())
        return ("graph",) if inside or self.model.fused_refusal() else ("graph", "fused")

    @property
    def differentiable(self) -> bool:
        """Whether the gradient is the divergence's derivative; a truncated one is not."""
        return self.truncation is None

    @property
    def names(self) -> tuple[str, ...]:
        return self.model.cell_type.state_names

    @property
    def unbatched(self) -> bool:
        return bool(self.xs.ndim == 2)

    def steps_and_batch(self) -> tuple[int, int]:
        T, B = self.xs.shape[0], 1 if self.unbatched else self.xs.shape[1]
        return (B, T) if self.model.batch_first and not self.unbatched else (T, B)

    def run(
        self, model: Recurrence, xs: Tensor, start: list[Tensor] | None
    ) -> tuple[Tensor, Tensor, tuple[Tensor, ...]]:
        """The divergence, the output and the final state's arrays."""
        state = None if start is None else tuple(start)
        if self.truncation is None:
            output, final = model(xs, state, lengths=self.lengths, masks=self.masks)
        else:
            output, final = self.truncation.run(model, xs, state, self.masks, self.lengths)
        ends = final if isinstance(final, tuple) else (final,)
        return self.divergence(output, ends), output, ends

    def states(self, arrays: list[Array], requires_grad: bool) -> list[Tensor]:
        shaped = [a[:, 0] if self.unbatched else a for a in arrays]
        return [mg.tensor(a, requires_grad=requires_grad, backend=self.backend) for a in shaped]

    def on_the_tape(self, implementation: str) -> Gradients:
        """By `loss.backward()`, on the implementation named."""
        model = self.model if implementation == "graph" else float64_twin(self.model, implementation)
        xs = mg.tensor(self.xs, requires_grad=True, backend=self.backend)
        start = None if self.start is None else self.states(self.start, requires_grad=True)
        loss, output, ends = self.run(model, xs, start)
        leaves = {**dict(model.named_parameters()), "xs": xs}
        leaves |= {f"{n}(−1)": s for n, s in zip(self.names, start or [])}
        found = mg.gradients(loss, list(leaves.values()), allow_unused=True)
        named = {n: np.zeros(x.shape) if g is None else g.numpy() for (n, x), g in zip(leaves.items(), found)}
        return named | {"output": output.numpy()} | {f"final {n}": e.numpy() for n, e in zip(self.names, ends)}

    def lecture(self, a: Array) -> Array:
        """The model's layout as (T, B, F), and back: the reference sees only plain arrays of that shape."""
        if self.unbatched:
            return a[:, None]
        return a.swapaxes(0, 1) if self.model.batch_first else a

    def layout(self, a: Array) -> Array:
        if self.unbatched:
            return a[:, 0]
        return a.swapaxes(0, 1) if self.model.batch_first else a

    def divergence_gradient(self, output: Any, final: Any) -> tuple[Any, Any]:
        """The divergence's own gradients, which the procedures by hand begin with."""
        ends = final if isinstance(final, tuple) else (final,)
        leaves = [
            mg.tensor(self.layout(output), requires_grad=True, backend=self.backend),
            *self.states(list(ends), True),
        ]
        found = mg.gradients(self.divergence(leaves[0], tuple(leaves[1:])), leaves, allow_unused=True)
        gs = [np.zeros(x.shape) if g is None else g.numpy() for x, g in zip(leaves, found)]
        d_ends = tuple(g[:, None] if self.unbatched else g for g in gs[1:])
        return self.lecture(gs[0]), d_ends if len(d_ends) > 1 else d_ends[0]

    def by_hand(self) -> Gradients:
        """By the reference."""
        model = self.model
        parameters = {n: p.numpy() for n, p in model.named_parameters()}
        start, B = self.start, self.steps_and_batch()[1]
        if start is None:  # one learned h(−1) for every sequence of the batch
            start = [
                np.stack([np.tile(parameters.pop(f"{cell}.{n}_init"), (B, 1)) for cell in model.cell_names])
                for n in self.names
            ]
        first = model.cells[0]
        said = reference_bptt(
            REFERENCED[model.cell_type],
            {n: a for n, a in parameters.items() if not n.endswith("_init")},
            self.lecture(self.xs),
            tuple(start) if len(start) > 1 else start[0],
            self.divergence_gradient,
            num_layers=model.num_layers,
            bidirectional=model.bidirectional,
            merge=model.merge,
            lengths=self.lengths,
            masks={name: self.by_part(mask) for name, mask in self.masks.items()} or None,
            cut_every=None if self.truncation is None else self.truncation.k1,
            options={name: getattr(first, name) for name in OPTIONS if hasattr(first, name)},
        )
        found = {n: g for n, g in said.gradients.items() if "." in n} | {"xs": self.layout(said.gradients["xs"])}
        ends = said.final_state if isinstance(said.final_state, tuple) else (said.final_state,)
        for n in self.names:
            d_init = said.gradients[f"{n}_init"]
            if self.start is None:
                found |= {f"{cell}.{n}_init": d_init[k].sum(axis=0) for k, cell in enumerate(model.cell_names)}
            else:
                found[f"{n}(−1)"] = d_init[:, 0] if self.unbatched else d_init
        found["output"] = self.layout(said.output)
        return found | {f"final {n}": e[:, 0] if self.unbatched else e for n, e in zip(self.names, ends)}

    def by_part(self, mask: CellMasks) -> dict[str, Array]:
        """A cell's masks as the reference takes them, in full."""
        T, B = self.steps_and_batch()
        parts = {"input": mask.input, "recurrent": mask.recurrent}
        for name, size, zone in zip(self.names, self.model.cells[0].state_sizes, mask.zoneout):
            parts[name] = None if zone is None else np.broadcast_to(zone, (T, B, size)).copy()
        return {name: a for name, a in parts.items() if a is not None}

    def value_along(self, name: str, v: Array) -> Callable[[float], float]:
        """The divergence as a function of a step along v, away from the quantity called `name`."""
        parameter = dict(self.model.named_parameters()).get(name)
        at_rest = None if parameter is None else parameter.data

        def value(step: float) -> float:
            xs, start = self.xs, None if self.start is None else list(self.start)
            if parameter is not None:
                parameter.data = at_rest + self.backend.from_numpy(step * v)
            elif name == "xs":
                xs = xs + step * v
            elif start is not None:
                k = self.names.index(name.removesuffix("(−1)"))
                start[k] = start[k] + step * (v[:, None] if self.unbatched else v)
            try:
                with mg.no_grad():
                    given = None if start is None else self.states(start, requires_grad=False)
                    return float(self.run(self.model, mg.tensor(xs, backend=self.backend), given)[0])
            finally:
                if parameter is not None:
                    parameter.data = at_rest

        return value


def difference(value: Callable[[float], float], slope: float, good: float) -> float:
    """Relative error of `slope` against a central difference of fourth order of `value` at 0."""
    error = float("inf")
    for h in STEPS:
        numeric = (8 * (value(h) - value(-h)) - (value(2 * h) - value(-2 * h))) / (12 * h)
        scale = max(abs(numeric), abs(slope))
        error = min(error, abs(numeric - slope) / scale if scale > 1e-9 else abs(numeric - slope))
        if error <= good:
            break
    return float(error)


def direction(gradient: Array, rng: np.random.Generator) -> Array:
    """A random direction that leans towards the gradient, so that its slope is not small by chance.

    A wrong gradient still shows, since the true slope along it is then another.
    """
    noise = rng.standard_normal(gradient.shape)
    v: Array = np.asarray(noise / np.linalg.norm(noise))
    norm = float(np.linalg.norm(gradient))
    return v + gradient / norm if norm else v


def hosted(argument: str, x: Any) -> Array:
    """x in float64, on the host."""
    if not isinstance(x, Tensor) and not is_array(x):
        raise TypeError(f"verify_bptt: {argument}: got {type(x).__name__}, want a Tensor or an array")
    return np.array(to_numpy(x.data if isinstance(x, Tensor) else x), dtype=np.float64)


def in_float64(mask: CellMasks) -> CellMasks:
    def cast(a: Any) -> Any:
        return None if a is None else np.asarray(a, np.float64)

    return CellMasks(cast(mask.input), cast(mask.recurrent), tuple(cast(z) for z in mask.zoneout))


def float64_twin(model: Recurrence, impl: str) -> Recurrence:
    """The same model in float64, on the same backend, taking the implementation `impl`; what was frozen is not."""
    twin = copy.deepcopy(model).to(dtype="float64").requires_grad_()
    twin.impl = impl
    return twin


def joint_divergence(rng: np.random.Generator, backend: Backend) -> Divergence:
    """A square of a weighted sum of everything, plus a nonlinear mean: it depends on all outputs jointly."""
    drawn: dict[int, Tensor] = {}

    def divergence(output: Tensor, final: tuple[Tensor, ...]) -> Tensor:
        total: Any = 0.0
        for k, y in enumerate((output, *final)):
            if k not in drawn:
                drawn[k] = Tensor(backend.from_numpy(rng.uniform(-1, 1, y.shape)))
            total = total + (drawn[k] * y).sum()
        return total * total + mg.sin(output * 3.0).mean() + total  # type: ignore[no-any-return]

    return divergence
