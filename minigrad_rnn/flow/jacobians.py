"""step_jacobians computes ∂S(t)/∂S(t−1) of every step of a cell's state S, jacobian_norms ‖∂h(t)/∂h(s)‖ from them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

import minigrad as mg
from minigrad.backend import to_numpy
from minigrad.validation import check_choice, check_integer, check_type

from .bars import bars
from .gradient_flow import LayerFlow
from .notebook import as_html
from .parallel_steps import ParallelSteps

Array = np.ndarray[Any, Any]
NORMS = ("spectral", "frobenius")
MOST_NUMBERS, MOST_PRODUCTS = 1 << 26, 1 << 37
"""Numbers of all Jacobians together, and multiplications of their products, beyond which probes are the better way."""


@dataclass(frozen=True, repr=False)
class StepJacobians:
    """The Jacobians of every step of one call of a cell, along the trajectory that it took.

    The state S(t) is all its arrays side by side, (h, c) for an LSTM; S(t−1) is what step t has read.

    Attributes:
        layer: whose they are. backward: whether it reads from the last step to the first.
        parts: where each of the state's arrays lies in S, a slice by name.
        jacobians: (T, B, S, S) in float64: row i, column j is ∂S_i(t)/∂S_j(t−1). NaN at padding.
    """

    layer: str
    backward: bool
    parts: dict[str, slice]
    jacobians: Array

    def singular_values(self, of: str | None = None, wrt: str | None = None) -> Array:
        """Of each step's Jacobian, or of its block ∂of(t)/∂wrt(t−1), the largest first: (T, B, units).

        Above 1 a step stretches some direction; if all are below 1, it shrinks every gradient that passes.
        """
        _check_parts("StepJacobians.singular_values", self.parts, of=of, wrt=wrt)
        block = self.jacobians[:, :, self._rows(of), self._rows(wrt)]
        values = np.full((*block.shape[:2], min(block.shape[2:])), np.nan)
        there = ~np.isnan(block).any(axis=(2, 3))
        values[there] = np.linalg.svd(block[there], compute_uv=False)
        return values

    def spectral_radius(self) -> Array:
        """The largest absolute eigenvalue of each step's Jacobian, (T, B)."""
        radius = np.full(self.jacobians.shape[:2], np.nan)
        there = ~np.isnan(self.jacobians).any(axis=(2, 3))
        radius[there] = np.abs(np.linalg.eigvals(self.jacobians[there])).max(axis=1)
        return radius

    def _rows(self, name: str | None) -> slice:
        return slice(None) if name is None else self.parts[name]

    def __repr__(self) -> str:
        values = np.nanmean(self.singular_values(), axis=1)
        T, B, S, _ = self.jacobians.shape
        head = f"StepJacobians({self.layer!r}, T={T}, B={B}, S={S}); singular values, means over the batch:"
        return "\n".join(
            [head, *bars({"largest": values[:, 0], "median": np.median(values, 1), "least": values[:, -1]})]
        )

    def _repr_html_(self) -> str:
        return as_html(repr(self))


def step_jacobians(layer: LayerFlow) -> StepJacobians:
    """The Jacobian of every step of a call, exactly: one backward pass for each number of the state, all steps at once.

    >>> import numpy as np
    >>> from minigrad_rnn import RNN, GradientFlow
    >>> from minigrad_rnn.flow import step_jacobians
    >>> model = RNN(3, 8, rng=0)
    >>> with GradientFlow(model) as flow:
    ...     output, state = model(np.ones((20, 1, 3), np.float32))
    >>> step_jacobians(flow["forward0"]).singular_values().shape
    (20, 1, 8)

    It takes dropout's and zoneout's masks of that call into account. What a bidirectional net or an attention adds from
    outside the layer is not part of a step.

    Args:
        layer: a call of a cell, `flow["forward0"]`, with its values.

    Raises:
        TypeError: not a cell's call. ValueError: T · B · S² numbers are too many; a value is not finite; the weights
            have changed since.
    """
    steps = ParallelSteps("step_jacobians", layer)
    sizes = dict(zip(steps.names, steps.cell.state_sizes))
    S = sum(sizes.values())
    if steps.T * steps.B * S * S > MOST_NUMBERS:
        raise ValueError(
            f"step_jacobians: {layer.layer}: got T = {steps.T}, B = {steps.B} and {S} numbers of state, whose "
            f"Jacobians have {steps.T * steps.B * S * S:.2g} numbers, want at most {MOST_NUMBERS:.2g}: fewer steps or "
            "sequences, or probe_jacobian_norms, which takes a net of any size"
        )
    leaves, after = steps.run()
    jacobians = np.full((steps.T, steps.B, S, S), np.nan)
    row = 0
    for part in after:
        for unit in range(part.shape[1]):
            seed = steps.xp.zeros(part.shape, part.dtype)
            seed[:, unit] = 1
            gradients = mg.gradients([part], leaves, [mg.tensor(seed, backend=part.backend)], retain_graph=True,
                                     allow_unused=True)  # fmt: skip
            columns = [
                np.zeros((steps.T * steps.B, size)) if g is None else to_numpy(g._array)
                for g, size in zip(gradients, sizes.values())
            ]
            jacobians[:, :, row] = np.concatenate(columns, axis=1).reshape(steps.T, steps.B, S)
            row += 1
    if layer.call.lengths is not None:
        jacobians[~to_numpy(layer.call.lengths.valid)[:, :, 0]] = np.nan
    starts = np.cumsum([0, *sizes.values()])
    parts = {name: slice(int(a), int(b)) for name, a, b in zip(sizes, starts, starts[1:])}
    return StepJacobians(layer.layer, layer.call.backward, parts, jacobians)


@dataclass(frozen=True, repr=False)
class JacobianNorms:
    """‖∂of(t)/∂wrt(s)‖ for every pair of steps of one sequence.

    Attributes:
        layer, of, wrt, norm: what they are of. backward: whether it reads from the last step to the first.
        log10: (T, T), at [t, s], of the norm: products of many steps leave the range of float64. −∞ where the norm is
            0; NaN where s is read after t.
    """

    layer: str
    of: str
    wrt: str
    norm: str
    backward: bool
    log10: Array

    @property
    def norms(self) -> Array:
        """The norms themselves, (T, T): 0 and ∞ beyond the range of float64."""
        with np.errstate(over="ignore", under="ignore"):
            return np.asarray(10.0**self.log10)

    def log10_by_lag(self) -> Array:
        """The mean over t of log10 of the norm, for each lag k between t and s: a straight line where it decays at
        one rate."""
        read = self.log10.T if self.backward else self.log10
        lags = [np.diagonal(read, -k) for k in range(len(read))]
        return np.array([np.mean(d[~np.isnan(d)]) for d in lags if not np.isnan(d).all()])

    def __repr__(self) -> str:
        with np.errstate(over="ignore", under="ignore"):
            by_lag = 10.0 ** self.log10_by_lag()
        head = f"JacobianNorms({self.layer!r}, T={len(self.log10)}, {self.norm} norm)"
        return "\n".join([head, *bars({f"‖∂{self.of}(t)/∂{self.wrt}(t−k)‖, k = 0 …": by_lag})])

    def _repr_html_(self) -> str:
        return as_html(repr(self))


def jacobian_norms(
    layer: LayerFlow, of: str = "h", wrt: str = "h", norm: str = "spectral", sequence: int = 0
) -> JacobianNorms:
    """‖∂h(t)/∂h(s)‖ of one sequence for every t and s, exactly: norms of the products of the steps' Jacobians.

    The product of Pascanu, Mikolov & Bengio (2013), which bounds how a gradient vanishes or explodes. Of an LSTM's
    state (h, c) the block `of`, `wrt` is taken: ("c", "c") holds the way through the cell.

    Args:
        layer: a call of a cell, with its values.
        of, wrt: names of the state's arrays.
        norm: "spectral", the largest singular value, or "frobenius".
        sequence: which of the batch.

    Raises:
        ValueError: an unknown name or sequence; T² · S³ multiplications are too many. The rest as `step_jacobians`.
    """
    check_type("jacobian_norms", LayerFlow, "a LayerFlow, such as flow['forward0']", layer=layer)
    check_choice("jacobian_norms", layer.names, of=of, wrt=wrt)
    check_choice("jacobian_norms", NORMS, norm=norm)
    check_integer("jacobian_norms", 0, layer.B - 1, sequence=sequence)
    steps = step_jacobians(layer)
    T, _, S, _ = steps.jacobians.shape
    lengths = layer.call.lengths
    length = T if lengths is None else int(lengths.host[sequence])
    if length**2 * S**3 > MOST_PRODUCTS:
        raise ValueError(
            f"jacobian_norms: {layer.layer}: got T = {length} steps and {S} numbers of state, whose products take "
            f"{length**2 * S**3:.2g} multiplications, want at most {MOST_PRODUCTS:.2g}: fewer steps, or "
            "probe_jacobian_norms, which takes a net of any size"
        )
    order = range(length)[:: -1 if layer.call.backward else 1]
    log10 = np.full((T, T), np.nan)
    rows, columns = steps.parts[of], steps.parts[wrt]
    products, scales = np.zeros((0, S, S)), np.zeros(0)  # of all s read so far: scaled to 1, and log10 of the scale
    for n, t in enumerate(order):
        if n:
            products = steps.jacobians[t, sequence] @ products
            largest = np.abs(products).max(axis=(1, 2))
            alive = largest > 0
            products[alive] /= largest[alive, None, None]
            scales[alive] += np.log10(largest[alive])
        products, scales = np.concatenate([products, np.eye(S)[None]]), np.append(scales, 0.0)
        block = products[:, rows, columns]
        sizes = np.sqrt((block**2).sum(axis=(1, 2))) if norm == "frobenius" else np.linalg.norm(block, 2, axis=(1, 2))
        with np.errstate(divide="ignore"):
            log10[t, list(order[: n + 1])] = np.log10(sizes) + scales
    return JacobianNorms(layer.layer, of, wrt, norm, layer.call.backward, log10)


def _check_parts(caller: str, parts: dict[str, slice], **names: Any) -> None:
    check_choice(caller, (None, *parts), **names)
