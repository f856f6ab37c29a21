"""gate_flow says through which gates ∂L/∂h(t) and ∂L/∂c(t) arrive from the next step."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

import minigrad as mg
from minigrad import Tensor
from minigrad.backend import backend_of

from ..cells import GRUCell, LSTMCell
from ..cells.activations import on_tape
from ..cells.gru import gru_step
from ..cells.lstm import lstm_step
from .bars import bars
from .gradient_flow import LayerFlow, norm_of_steps
from .notebook import as_html
from .parallel_steps import ParallelSteps

Array = np.ndarray[Any, Any]
LSTM_GATES, GRU_GATES = ("i", "f", "g", "o"), ("r", "z", "n")


@dataclass(frozen=True, repr=False)
class GateFlow:
    """The parts in which ∂L/∂h(t) and ∂L/∂c(t) arrive at each step, by the path that they took.

    LSTM: h receives "i", "f", "g", "o", the gates of the next step; c receives "cell", f(t+1) · ∂L/∂c(t+1), and "h",
    by way of h(t) of its own step; with peepholes also "i" and "f". GRU: h receives "state", z(t+1) · ∂L/∂h(t+1), past
    the gates, and "r", "z", "n". Any other cell: h receives "recurrent", through its recurrent weights, and "state",
    past them; other arrays of the state receive "state".

    Attributes:
        layer: whose they are.
        parts: by the state's array and the path, (T, B, H). At every step they add up to `LayerFlow.carried`.
    """

    layer: str
    parts: dict[str, dict[str, Array]]

    def norms(self, name: str = "h") -> dict[str, Array]:
        """‖part(t)‖ over the batch and the units by path, (T,) each; `name` is the state's array that receives."""
        return {path: norm_of_steps(part) for path, part in self.parts[name].items()}

    def shares(self, name: str = "h") -> dict[str, Array]:
        """Each path's share of what arrives, ⟨part, whole⟩ / ⟨whole, whole⟩, (T,): they add up to 1.

        A share may be negative, where a path works against the others. NaN where nothing arrives. `name` is the state's
        array that receives.
        """
        parts = {path: part.astype(np.float64) for path, part in self.parts[name].items()}
        whole = sum(parts.values())
        size = np.asarray(np.sum(whole * whole, axis=(1, 2)))
        with np.errstate(divide="ignore", invalid="ignore"):
            return {
                path: np.where(size > 0, (part * whole).sum(axis=(1, 2)) / size, np.nan) for path, part in parts.items()
            }

    def __repr__(self) -> str:
        lines = [f"GateFlow({self.layer!r}): ‖part of ∂L/∂· that arrives from the next step‖, by path"]
        named = {f"{name} ← {path}": norms for name in self.parts for path, norms in self.norms(name).items()}
        return "\n".join([*lines, *bars(named)])

    def _repr_html_(self) -> str:
        return as_html(repr(self))


def gate_flow(layer: LayerFlow) -> GateFlow:
    """Split what arrives at h(t), and at c(t), from the next step by the gates that it came through.

    >>> import numpy as np
    >>> from minigrad_rnn import LSTM, GradientFlow
    >>> from minigrad_rnn.flow import gate_flow
    >>> model = LSTM(3, 8, rng=0)
    >>> with GradientFlow(model) as flow:
    ...     model(np.ones((20, 4, 3), np.float32))[0][-1].sum().backward()
    >>> parts = gate_flow(flow["forward0"]).parts
    >>> {name: list(paths) for name, paths in parts.items()}
    {'h': ['i', 'f', 'g', 'o'], 'c': ['cell', 'h']}

    Args:
        layer: a call of a cell, with its values, through which a backward pass has come.

    Raises:
        TypeError: not a cell's call. GraphError: no backward pass has come through it.
        ValueError: dropout or zoneout inside the steps; a value is not finite; the weights have changed since.
    """
    steps = ParallelSteps("gate_flow", layer)
    masks = layer.call.masks
    if masks is not None and (masks.recurrent is not None or any(zone is not None for zone in masks.zoneout)):
        raise ValueError(f"gate_flow: {layer.layer}: got dropout or zoneout inside the steps, want a call without")
    totals = {}
    for name in steps.names:
        gradient = layer.gradient(name)
        steps.check_finite(f"∂L/∂{name}", gradient)
        totals[name] = steps.rows(gradient)
    cell = steps.cell
    with mg.enable_grad():
        if isinstance(cell, LSTMCell) and type(cell).step is LSTMCell.step:
            parts = _lstm_parts(steps, cell, totals)
        elif isinstance(cell, GRUCell) and type(cell).step is GRUCell.step:
            parts = _gru_parts(steps, cell, totals)
        else:
            parts = _parts_of_any(steps, totals)
    own_step = {(name, steps.names[0]) for name in steps.names[1:]}  # what passes through h(t) stays at its step
    result: dict[str, dict[str, Array]] = {}
    for name, paths in parts.items():
        result[name] = {}
        for path, part in paths.items():
            host = steps.to_host(part)
            result[name][path] = host if (name, path) in own_step else steps.to_step_before(host)
    return GateFlow(layer.layer, result)


def _leaf(a: Any) -> Tensor:
    array = a._array if isinstance(a, Tensor) else a
    return mg.tensor(array, requires_grad=True, backend=backend_of(array).name)


def _lstm_parts(steps: ParallelSteps, cell: LSTMCell, totals: dict[str, Tensor]) -> dict[str, dict[str, Any]]:
    options, p, Wp, H = cell.gate_options, cell.p, cell.Wp, cell.hidden_size
    x, (h, c) = steps.xs[0], steps.before
    xp = steps.xp
    with mg.no_grad():
        z_value = mg.linear_sum(x, cell.Wc, h, cell.Wr, cell.total_bias())
    z, c_before = _leaf(z_value), _leaf(c)
    # The step itself, from its gates' arguments: the identity takes the place of Wc, nothing that of Wr
    eye, none = xp.eye(4 * H, dtype=x.dtype), xp.zeros((4 * H, 1), x.dtype)
    nothing = xp.zeros((len(x), 1), x.dtype)
    h_after, c_after = lstm_step(z, (nothing, c_before), nothing, eye, none, None, p, Wp, options)
    steps.check_same([h_after, c_after])
    # What c(t) receives by way of h(t) of its own step
    c_now = _leaf(c_after)
    o = z_value[:, 3 * H :]
    m = on_tape(options.gate_activation, options.clip)(o if p is None else o + p[2 * H :] * c_now)
    m = m * on_tape(options.output_activation)(c_now)
    (by_h,) = mg.gradients([m if Wp is None else mg.linear(m, Wp)], [c_now], [totals["h"]])
    assert by_h is not None
    dz, dc = mg.gradients([h_after, c_after], [z, c_before], [totals["h"], totals["c"] - by_h])
    assert dz is not None
    assert dc is not None
    rows = {gate: slice(k * H, (k + 1) * H) for k, gate in enumerate(LSTM_GATES)}
    Wr = cell.Wr._array
    parts: dict[str, dict[str, Any]] = {
        "h": {gate: dz._array[:, at] @ Wr[at] for gate, at in rows.items()}, "c": {"cell": dc._array, "h": by_h._array}
    }  # fmt: skip
    if p is not None:
        for gate, k in (("i", 0), ("f", 1)):
            parts["c"][gate] = dz._array[:, rows[gate]] * p._array[k * H : (k + 1) * H]
            parts["c"]["cell"] = parts["c"]["cell"] - parts["c"][gate]
    return parts


def _gru_parts(steps: ParallelSteps, cell: GRUCell, totals: dict[str, Tensor]) -> dict[str, dict[str, Any]]:
    H, x, xp = cell.hidden_size, steps.xs[0], steps.xp
    with mg.no_grad():
        a = mg.linear(x, cell.Wc, cell.b)
    current, state, h = _leaf(a), _leaf(steps.before[0]), _leaf(steps.before[0])
    eye = xp.eye(3 * H, dtype=x.dtype)
    (after,) = gru_step(
        current, (state,), h, eye, cell.Wr, None, cell.br, cell.reset_after,
        cell.gate_activation, cell.activation, cell.clip,
    )  # fmt: skip
    steps.check_same([after])
    da, leak, through = mg.gradients([after], [current, state, h], [totals["h"]])
    assert da is not None
    assert leak is not None
    assert through is not None
    Wr = cell.Wr._array
    r, z = da._array[:, :H] @ Wr[:H], da._array[:, H : 2 * H] @ Wr[H : 2 * H]
    return {"h": {"state": leak._array, "r": r, "z": z, "n": through._array - r - z}}


def _parts_of_any(steps: ParallelSteps, totals: dict[str, Tensor]) -> dict[str, dict[str, Any]]:
    state, h = [_leaf(a) for a in steps.before], _leaf(steps.before[0])
    x = mg.tensor(steps.xs[0], backend=h.backend)
    after = steps.cell.step(x, tuple(state), h)
    after = tuple(after) if isinstance(after, (tuple, list)) else (after,)
    steps.check_same(after)
    # ∂L/∂c(t) holds what passes through h(t), where h(t) was made of this c(t): it would come back twice.
    seeds, inner = [totals[name] for name in steps.names], list[Any]()
    if len(after) > 1:
        inner = mg.gradients([after[0]], list(after[1:]), [seeds[0]], retain_graph=True, allow_unused=True)
        seeds[1:] = [seed if part is None else seed - part for seed, part in zip(seeds[1:], inner)]
    got = mg.gradients(list(after), [h, *state], seeds, allow_unused=True)
    parts: dict[str, dict[str, Any]] = {name: {} for name in steps.names}
    for name, path, part in [
        (steps.names[0], "recurrent", got[0]),
        *((n, "state", g) for n, g in zip(steps.names, got[1:])),
    ]:
        if part is not None:
            parts[name][path] = part._array
    for name, part in zip(steps.names[1:], inner):
        if part is not None:
            parts[name][steps.names[0]] = part._array
    return parts
