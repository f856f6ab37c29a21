"""Four answers to one question, side by side: the tape op by op, the fused road, the BPTT written by hand, and
finite differences. Run on any model of yours: the table says whether its gradients are right."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

import minigrad as mg
from minigrad import Tensor
from minigrad.backend import Backend, get_backend, is_array, to_numpy

from .cells import Cell, LSTMCell, RNNCell
from .manual_bptt import witness
from .networks import LSTM, RNN
from .recurrence import Recurrence

Divergence = Callable[[Tensor, tuple[Tensor, ...]], Tensor]
"""DIV(output, final state): a scalar tensor from the output (T, B, D·H) and the final state's arrays (L·D, B, H)."""
Array = np.ndarray[Any, Any]
Gradients = dict[str, Array]

WITNESSED: dict[type[Cell], tuple[str, type[Recurrence]]] = {RNNCell: ("rnn", RNN), LSTMCell: ("lstm", LSTM)}
"""The cells that a BPTT by hand is written for."""
EXACT = 1e-10
"""What graph, fused and witness may differ by in float64, relative to the largest entry."""
DIFFERENCES = 1e-6
"""What the tape and the finite difference along a direction may differ by, relatively."""


@dataclass(frozen=True)
class Row:
    """The relative errors of one quantity: a parameter's gradient, the input's, h(−1)'s, or the output itself."""

    name: str
    shape: tuple[int, ...]
    graph_witness: float
    fused_witness: float
    graph_fused: float
    finite_difference: float | None

    @property
    def passed(self) -> bool:
        exact = (self.graph_witness, self.fused_witness, self.graph_fused)
        near = self.finite_difference is None or self.finite_difference <= DIFFERENCES
        return all(error <= EXACT for error in exact) and near


@dataclass(frozen=True)
class Verification:
    """What `verify_bptt` found; prints as a table."""

    title: str
    rows: tuple[Row, ...]

    @property
    def passed(self) -> bool:
        """Whether every row is within `EXACT` and `DIFFERENCES`. A NaN is not."""
        return all(row.passed for row in self.rows)

    @property
    def largest(self) -> float:
        """The largest relative error between graph, fused and witness."""
        return max(max(row.graph_witness, row.fused_witness, row.graph_fused) for row in self.rows)

    @property
    def largest_difference(self) -> float:
        """The largest relative error against finite differences."""
        return max(row.finite_difference for row in self.rows if row.finite_difference is not None)

    def __str__(self) -> str:
        width = max(len("gradient of"), *(len(row.name) for row in self.rows))
        shapes = max(len("shape"), *(len(str(row.shape)) for row in self.rows))
        columns = ("graph–witness", "fused–witness", "graph–fused", "differences")
        lines = [
            self.title,
            f"  {'gradient of':{width}}  {'shape':{shapes}}  " + "  ".join(f"{c:>13}" for c in columns),
        ]
        for row in self.rows:
            errors = (row.graph_witness, row.fused_witness, row.graph_fused, row.finite_difference)
            cells = "  ".join(f"{'–' if e is None else format(e, '.1e'):>13}" for e in errors)
            mark = "" if row.passed else "  ← fails"
            lines.append(f"  {row.name:{width}}  {row.shape!s:{shapes}}  {cells}{mark}")
        verdict = "passed" if self.passed else "FAILED"
        lines.append(f"  {verdict}: wants ≤ {EXACT:.0e} between the three, ≤ {DIFFERENCES:.0e} to finite differences")
        return "\n".join(lines)


def verify_bptt(
    model: Recurrence,
    xs: Any,
    state: Any = None,
    divergence: Divergence | None = None,
    seed: int = 0,
) -> Verification:
    """Compute the gradients of one divergence by every road and compare them in float64.

    The model is left as it is: its weights are copied into float64 twins, one for each road, on its backend. Dropout
    is off. Where no state is given, h(−1) is drawn at random, or the learned one is used.

    Args:
        model: an RNN or LSTM.
        xs: (T, B, I) in the model's own layout; any floating dtype.
        state: the initial state as the model takes it, or None.
        divergence: maps the output (T, B, D·H) and the final state's arrays to a scalar; by default a function of all
            outputs and final states at once that is no sum over time, the general case of slide 70.
        seed: of the random directions, states and weights of the divergence.

    Raises:
        TypeError: the model is no recurrence that a witness is written for.
        ValueError: as the model's own call.
    """
    if not isinstance(model, Recurrence) or model.cell_type not in WITNESSED:
        raise TypeError(f"verify_bptt: model: got {type(model).__name__}, want an RNN or an LSTM")
    rng = np.random.default_rng(seed)
    question = _Question.of(model, xs, state, divergence, rng)
    graph, fused = question.on_the_tape("graph"), question.on_the_tape("fused")
    by_hand = question.by_hand()
    rows = []
    for name, g in by_hand.items():
        difference = None if name.startswith(("output", "final")) else question.difference(name, graph[name], rng)
        exact = (_relative(graph[name], g), _relative(fused[name], g), _relative(graph[name], fused[name]))
        rows.append(Row(name, g.shape, *exact, difference))
    T, B = question.steps_and_batch()
    title = f"{type(model).__name__}({model.extra_repr()}), T={T}, B={B}, float64 on {question.backend.name}"
    return Verification(title, tuple(rows))


@dataclass
class _Question:
    """What is asked of every road: the gradients of `divergence` for this model, input and initial state."""

    model: Recurrence
    xs: Array
    start: list[Array] | None
    """The initial state's arrays (L·D, B, H); None for the learned one."""
    divergence: Divergence
    backend: Backend

    @staticmethod
    def of(
        model: Recurrence, xs: Any, state: Any, divergence: Divergence | None, rng: np.random.Generator
    ) -> _Question:
        backend = get_backend(next(iter(model.parameters())).backend)
        host = _host(xs)
        names, count = model.cell_type.state_names, model.num_layers * len(model.directions)
        batch = 1 if host.ndim == 2 else host.shape[0 if model.batch_first else 1]
        start: list[Array] | None = None
        if state is not None:
            parts = state if isinstance(state, (tuple, list)) else (state,)
            start = [_host(part) for part in parts]
            want = (count, model.hidden_size) if host.ndim == 2 else (count, batch, model.hidden_size)
            if len(start) != len(names) or any(a.shape != want for a in start):
                got = ", ".join(str(a.shape) for a in start)
                raise ValueError(f"verify_bptt: state: got {got}, want {' and '.join(names)} of shape {want}")
            start = [a.reshape(count, batch, model.hidden_size) for a in start]
        elif model.initial_state == "zeros":
            start = [rng.uniform(-0.5, 0.5, (count, batch, model.hidden_size)) for _ in names]
        return _Question(_twin(model, "graph"), host, start, divergence or _general_divergence(rng, backend), backend)

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
        output, final = model(xs, None if start is None else tuple(start))
        ends = final if isinstance(final, tuple) else (final,)
        return self.divergence(output, ends), output, ends

    def states(self, arrays: list[Array], requires_grad: bool) -> list[Tensor]:
        shaped = [a[:, 0] if self.unbatched else a for a in arrays]
        return [mg.tensor(a, requires_grad=requires_grad, backend=self.backend) for a in shaped]

    def on_the_tape(self, road: str) -> Gradients:
        """By `loss.backward()`, on the road named."""
        model = self.model if road == "graph" else _twin(self.model, road)
        xs = mg.tensor(self.xs, requires_grad=True, backend=self.backend)
        start = None if self.start is None else self.states(self.start, requires_grad=True)
        loss, output, ends = self.run(model, xs, start)
        leaves = {**dict(model.named_parameters()), "xs": xs}
        leaves |= {f"{n}(−1)": s for n, s in zip(self.names, start or [])}
        found = mg.gradients(loss, list(leaves.values()), allow_unused=True)
        named = {n: np.zeros(x.shape) if g is None else g.numpy() for (n, x), g in zip(leaves.items(), found)}
        return named | {"output": output.numpy()} | {f"final {n}": e.numpy() for n, e in zip(self.names, ends)}

    def by_hand(self) -> Gradients:
        """By the lecture's procedures, which see only plain arrays (T, B, I); the layout is undone and redone here."""
        model, turned = self.model, self.model.batch_first and not self.unbatched

        def lecture(a: Array) -> Array:
            return a[:, None] if self.unbatched else a.swapaxes(0, 1) if turned else a

        def layout(a: Array) -> Array:
            return a[:, 0] if self.unbatched else a.swapaxes(0, 1) if turned else a

        def divergence_gradient(output: Any, final: Any) -> tuple[Any, Any]:
            ends = final if isinstance(final, tuple) else (final,)
            leaves = [
                mg.tensor(layout(output), requires_grad=True, backend=self.backend),
                *self.states(list(ends), True),
            ]
            found = mg.gradients(self.divergence(leaves[0], tuple(leaves[1:])), leaves, allow_unused=True)
            gs = [np.zeros(x.shape) if g is None else g.numpy() for x, g in zip(leaves, found)]
            d_ends = tuple(g[:, None] if self.unbatched else g for g in gs[1:])
            return lecture(gs[0]), d_ends if len(d_ends) > 1 else d_ends[0]

        parameters = {n: p.numpy() for n, p in model.named_parameters()}
        cells = [f"{d}{layer}" for layer in range(model.num_layers) for d in model.directions]
        start, B = self.start, self.steps_and_batch()[1]
        if start is None:  # one learned h(−1) for every sequence of the batch
            start = [
                np.stack([np.tile(parameters.pop(f"{cell}.{n}_init"), (B, 1)) for cell in cells]) for n in self.names
            ]
        said = witness(
            WITNESSED[model.cell_type][0],
            {n: a for n, a in parameters.items() if not n.endswith("_init")},
            lecture(self.xs),
            (start[0], start[1]) if len(start) == 2 else start[0],
            divergence_gradient,
            num_layers=model.num_layers,
            bidirectional=model.bidirectional,
            nonlinearity=model.cell_options.get("nonlinearity", "tanh"),
        )
        found = {n: g for n, g in said.gradients.items() if "." in n} | {"xs": layout(said.gradients["xs"])}
        ends = said.final_state if isinstance(said.final_state, tuple) else (said.final_state,)
        for n in self.names:
            d_init = said.gradients[f"{n}_init"]
            if self.start is None:
                found |= {f"{cell}.{n}_init": d_init[k].sum(axis=0) for k, cell in enumerate(cells)}
            else:
                found[f"{n}(−1)"] = d_init[:, 0] if self.unbatched else d_init
        found["output"] = layout(said.output)
        return found | {f"final {n}": e[:, 0] if self.unbatched else e for n, e in zip(self.names, ends)}

    def difference(self, name: str, gradient: Array, rng: np.random.Generator) -> float:
        """Relative error of ⟨gradient, v⟩ against a fourth-order central difference along v.

        v leans towards the gradient, so that its slope is not small by chance; a wrong gradient still shows, since
        the true slope along v is then another.
        """
        norm = float(np.linalg.norm(gradient))
        noise = rng.standard_normal(gradient.shape)
        v: Array = np.asarray(noise / np.linalg.norm(noise))
        if norm:
            v = v + gradient / norm
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
            with mg.no_grad():
                given = None if start is None else self.states(start, requires_grad=False)
                return float(self.run(self.model, mg.tensor(xs, backend=self.backend), given)[0])

        analytic = float(np.sum(gradient * v))
        error = float("inf")
        for h in (1e-3, 1e-4, 1e-5):  # a smaller step only where a kink, as of relu, lies within the larger one
            numeric = (8 * (value(h) - value(-h)) - (value(2 * h) - value(-2 * h))) / (12 * h)
            scale = max(np.abs(numeric), np.abs(analytic))
            error = float(np.abs(numeric - analytic) / scale if scale > 1e-9 else np.abs(numeric - analytic))
            if error <= DIFFERENCES:
                break
        if parameter is not None:
            parameter.data = at_rest
        return error


def _host(x: Any) -> Array:
    if not isinstance(x, Tensor) and not is_array(x):
        raise TypeError(f"verify_bptt: xs or state: got {type(x).__name__}, want a Tensor or an array")
    return np.array(to_numpy(x.data if isinstance(x, Tensor) else x), dtype=np.float64)


def _twin(model: Recurrence, impl: str) -> Recurrence:
    """The same model in float64 without dropout, on the same backend, taking the road `impl`."""
    twin = WITNESSED[model.cell_type][1](
        model.input_size, model.hidden_size, model.num_layers, bias=model.bias, batch_first=model.batch_first,
        bidirectional=model.bidirectional, impl=impl, initial_state=model.initial_state, dtype="float64",
        **model.cell_options,
    )  # fmt: skip
    twin.load_state_dict(model.state_dict())
    twin.to(next(iter(model.parameters())).backend)
    return twin


def _general_divergence(rng: np.random.Generator, backend: Backend) -> Divergence:
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


def _relative(a: Array, b: Array) -> float:
    """The largest difference over the largest entry; infinite for a NaN or for different shapes."""
    if a.shape != b.shape or not (np.isfinite(a).all() and np.isfinite(b).all()):
        return float("inf")
    scale = float(np.max(np.abs(b), initial=0.0))
    gap = float(np.max(np.abs(a - b), initial=0.0))
    return gap / scale if scale else gap
