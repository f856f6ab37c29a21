"""probe_jacobian_norms estimates ‖∂h(t)/∂h(s)‖ of a net of any size by random probes, spectral_norm by iteration."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

import minigrad as mg
from minigrad import Tensor, nn
from minigrad.backend import get_backend, to_numpy
from minigrad.validation import as_tensor, check_choice, check_integer, check_like, check_number

from ..networks.recurrence import Recurrence
from .bars import bars
from .gradient_flow import GradientFlow
from .notebook import as_html

Array = np.ndarray[Any, Any]


@dataclass(frozen=True, repr=False)
class ProbedNorms:
    """Estimates of ‖∂of(t)/∂wrt(s)‖_F for one t and every s.

    Attributes:
        layer, of, wrt, t: what they are of.
        squares: (probes, T, B), at [p, s, b]: ‖vᵀ ∂of(t)/∂wrt(s)‖² for the probe v of sequence b. Their mean over
            the probes is an unbiased estimate of the squared Frobenius norm. 0 where s is read after t.
    """

    layer: str
    of: str
    wrt: str
    t: int
    squares: Array

    @property
    def norms(self) -> Array:
        """The estimates (T, B): roots of the means over the probes."""
        return np.asarray(np.sqrt(self.squares.mean(axis=0)))

    @property
    def relative_error(self) -> Array:
        """The standard error of each estimate, as a part of it, (T, B); NaN for one probe."""
        n, mean = len(self.squares), self.squares.mean(axis=0)
        if n == 1:
            return np.full(mean.shape, np.nan)
        error = self.squares.std(axis=0, ddof=1) / np.sqrt(n)
        return np.asarray(0.5 * np.divide(error, mean, out=np.zeros_like(mean), where=mean > 0))

    def __repr__(self) -> str:
        probes, T, B = self.squares.shape
        means = np.sqrt((self.norms**2).mean(axis=1))
        head = f"ProbedNorms({self.layer!r}, T={T}, B={B}, {probes} probes, Frobenius norm)"
        return "\n".join([head, *bars({f"‖∂{self.of}({self.t})/∂{self.wrt}(s)‖, s = 0 …": means})])

    def _repr_html_(self) -> str:
        return as_html(repr(self))


def probe_jacobian_norms(
    model: Recurrence, xs: Any, t: int = -1, layer: str | None = None, of: str = "h", wrt: str = "h", probes: int = 16,
    seed: int = 0, state: Any = None,
) -> ProbedNorms:  # fmt: skip
    """Estimate ‖∂h(t)/∂h(s)‖_F for every s at once, of a net of any size, on any implementation.

    For a random v of ±1, E‖vᵀJ‖² = ‖J‖_F² (Hutchinson 1990). One backward pass from vᵀh(t) has vᵀ∂h(t)/∂h(s) for
    every s, so n probes take n backward passes.

    Args:
        model: the recurrence; in evaluation mode if it has dropout.
        xs, state: as it takes them, without lengths.
        t: the later step; −1 is the last.
        layer: "forward0" and so on; None is the top one.
        of, wrt: names of the state's arrays.
        probes: how many; the relative error falls with their root.
        seed: of the probes.

    Raises:
        TypeError, ValueError: a bad argument; masks that would be drawn anew.
    """
    name = "probe_jacobian_norms"
    cell, xs = _checked(name, model, xs, layer, of, wrt)
    check_integer(name, probes=probes)
    check_integer(name, 0, seed=seed)
    start = _initial_state(name, model, xs, state)
    with mg.enable_grad(), GradientFlow(model, values=False) as flow:
        run: Any = model
        states = run(xs, start, return_states=True)[2]
    parts = states if isinstance(states, tuple) else (states,)
    every = parts[model.cell_type.state_names.index(of)]
    axis = 2 if model.batch_first else 1
    T, B = every.shape[axis], every.shape[3 - axis]
    t = _step(name, "t", t, T)
    index: list[Any] = [model.cell_names.index(cell), slice(None), slice(None)]
    index[axis] = t
    rng, backend = np.random.default_rng(seed), get_backend(every.backend)
    squares = np.zeros((probes, T, B))
    for k in range(probes):
        v = np.zeros(every.shape, every.dtype)
        v[tuple(index)] = rng.integers(0, 2, (B, every.shape[3])) * 2 - 1
        flow.clear()
        seed_of = mg.Tensor(backend.from_numpy(v))
        mg.gradients([every], _leaves(start), [seed_of], retain_graph=True, allow_unused=True)
        gradient = flow[cell].call.total.of.get(wrt)
        if gradient is not None:
            squares[k] = (np.asarray(to_numpy(gradient), np.float64) ** 2).sum(axis=2)
    return ProbedNorms(cell, of, wrt, t, squares)


def spectral_norm(
    model: Recurrence, xs: Any, s: int, t: int = -1, layer: str | None = None, of: str = "h", wrt: str = "h",
    iterations: int = 100, tolerance: float = 1e-6, seed: int = 0, state: Any = None,
) -> Array:  # fmt: skip
    """The largest singular value of ∂of(t)/∂wrt(s) of each sequence, (B,), by power iteration: v ↦ JᵀJv.

    Each iteration takes a product Jv (`minigrad.jvp`) and one Jᵀu (`minigrad.vjp`) through the steps s + 1 … t. The
    result is a lower bound that grows with every iteration; it ends when none grows by more than `tolerance`.

    Args:
        model: a recurrence that reads forward only; in evaluation mode if it has dropout.
        xs, state: as it takes them, without lengths.
        s, t: the earlier and the later step; −1 is the last.
        layer: "forward0" and so on; None is the top one.
        of, wrt: names of the state's arrays.
        iterations: at most so many.
        tolerance: the part by which no result grows any more in the last iteration.
        seed: of the first vector.

    Raises:
        TypeError, ValueError: a bad argument; s is not before t; the net reads backward.
    """
    name = "spectral_norm"
    cell, xs = _checked(name, model, xs, layer, of, wrt)
    check_integer(name, iterations=iterations)
    check_integer(name, 0, seed=seed)
    check_number(name, 0.0, tolerance=tolerance)
    if model.directions != ("forward",):
        raise ValueError(f"{name}: model: got one that reads backward, want one that reads forward only")
    axis = 1 if model.batch_first else 0
    T = int(xs.shape[axis])
    t, s = _step(name, "t", t, T), _step(name, "s", s, T)
    if s >= t:
        raise ValueError(f"{name}: s: got {s}, want a step before t = {t}")
    cut = (slice(None),) * axis
    with mg.no_grad():
        _, now = model(xs[(*cut, slice(s + 1))], state)
    parts = list(now) if isinstance(now, tuple) else [now]
    names, row = model.cell_type.state_names, model.cell_names.index(cell)
    k, later = names.index(wrt), xs[(*cut, slice(s + 1, t + 1))]
    xp = get_backend(parts[0].backend).xp

    def run(part: Tensor) -> Tensor:
        """of(t) of the layer from wrt(s) of all layers."""
        state = [*parts[:k], part, *parts[k + 1 :]]
        after = model(later, tuple(state) if len(state) > 1 else state[0])[1]
        of_t: Tensor = (after if isinstance(after, tuple) else (after,))[names.index(of)][row]
        return of_t

    v = np.zeros(parts[k].shape)
    v[row] = np.random.default_rng(seed).standard_normal(parts[k].shape[1:])
    _, pull = mg.vjp(run, parts[k])
    largest = np.zeros(v.shape[1])
    for _ in range(iterations):
        v /= np.maximum(np.linalg.norm(v[row], axis=1), np.finfo(float).tiny)[None, :, None]
        along = mg.Tensor(xp.asarray(get_backend(parts[k].backend).from_numpy(v.astype(str(parts[k].dtype)))))
        _, forward = mg.jvp(run, [parts[k]], [along])
        now_largest = np.linalg.norm(np.asarray(to_numpy(forward._array), np.float64), axis=1)
        (back,) = _as_tuple(pull(forward))
        v = np.zeros(v.shape)
        v[row] = np.asarray(to_numpy(back._array), np.float64)[row]
        done = (now_largest - largest <= tolerance * now_largest).all()
        largest = np.maximum(largest, now_largest)
        if done:
            break
    return largest


def _as_tuple(value: Any) -> tuple[Any, ...]:
    return value if isinstance(value, tuple) else (value,)


def _checked(caller: str, model: Any, xs: Any, layer: Any, of: Any, wrt: Any) -> tuple[str, Tensor]:
    """The layer's name, and xs as a tensor with a batch axis."""
    if not isinstance(model, Recurrence):
        want = "a Recurrence, such as LSTM"
        hint = "; take it out of the module" if isinstance(model, nn.Module) else ""
        raise TypeError(f"{caller}: model: got {type(model).__name__}, want {want}{hint}")
    check_choice(caller, model.cell_type.state_names, of=of, wrt=wrt)
    layer = model.cell_names[-1] if layer is None else layer
    check_choice(caller, model.cell_names, layer=layer)
    if model.training and (model.dropout or model.recurrent_dropout or any(model.zoneout)):
        raise ValueError(f"{caller}: model: got one with dropout in training, want model.eval() first")
    xs = as_tensor(caller, "xs", xs)
    if xs.ndim == 2:
        xs = xs[None] if model.batch_first else xs[:, None]
    return layer, xs


def _initial_state(caller: str, model: Recurrence, xs: Tensor, state: Any) -> Any:
    """The state to begin with as leaves, on which every backward pass through the net ends."""
    B = int(xs.shape[0 if model.batch_first else 1])
    if state is None:
        each = [cell.initial(B) for cell in model.cells]
        state = tuple(mg.stack([mg.reshape(part, part.shape[-2:]) for part in parts]) for parts in zip(*each))
    parts, names = state if isinstance(state, (tuple, list)) else (state,), model.cell_type.state_names
    if len(parts) != len(names):
        raise ValueError(f"{caller}: state: got {len(parts)} arrays, want {len(names)}: {', '.join(names)}")
    like = model.cells[0].reference_parameter()
    parts = [check_like(caller, f"state: {name}", part, like) for name, part in zip(names, parts)]
    leaves = tuple(mg.tensor(part._array, requires_grad=True) for part in parts)
    return leaves if len(leaves) > 1 else leaves[0]


def _leaves(state: Any) -> list[Tensor]:
    return list(state) if isinstance(state, tuple) else [state]


def _step(caller: str, argument: str, t: Any, T: int) -> int:
    check_integer(caller, -T, T - 1, **{argument: t})
    return int(t) % T
