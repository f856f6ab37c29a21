"""ParallelSteps evaluates one step of a cell at every step of a call at once, as a batch of T · B examples on the tape.

Given the states that a call left, its steps do not depend on each other: their Jacobians take no loop over time.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

import minigrad as mg
from minigrad import Tensor
from minigrad.backend import backend_of, to_numpy
from minigrad.validation import check_type

from ..cells import CellMasks
from ..cells.cell import Cell
from ..cells.unroll import NO_MASKS, unroll
from ..classics.base import Classic
from .gradient_flow import LayerFlow

Array = Any
SAME = 1e-3
"""How far a step's state may be from the recorded one, as a part of the largest number; float16 has 1e-3."""


class ParallelSteps:
    """The steps of one call of a cell, each a row of a batch: row t · B + b is step t of sequence b.

    Args:
        caller: for messages.
        layer: the call, with its values.

    Raises:
        TypeError: no call of a recurrence's cell.
        ValueError: no values were kept, or some are not finite; or the cell computes other states from them now, since
            its weights have changed.
    """

    def __init__(self, caller: str, layer: LayerFlow) -> None:
        check_type(caller, LayerFlow, "a LayerFlow, such as flow['forward0']", layer=layer)
        call = layer.call
        if isinstance(call.network, Classic):
            raise TypeError(
                f"{caller}: layer: got {layer.layer} of {type(call.network).__name__}, whose steps are no cell's; want "
                "a layer of a Recurrence, such as RNN or LSTM"
            )
        if not call.states:
            raise ValueError(f"{caller}: layer: got one without values, want GradientFlow(model, values=True)")
        self.layer, self.call, self.caller = layer, call, caller
        self.cell: Cell = getattr(call.network, call.name)
        self.names, self.T, self.B = layer.names, layer.T, layer.B
        self.xp = backend_of(call.xs).xp
        self.check_finite("xs", to_numpy(call.xs))
        for name in self.names:
            self.check_finite(name, layer.states(name))
        self.xs = call.xs.reshape(1, self.T * self.B, -1)
        self.before = [self._before(name, first) for name, first in zip(self.names, call.before)]
        """Each of the state's arrays before every step, (T · B, H)."""

    def check_finite(self, name: str, values: np.ndarray[Any, Any]) -> None:
        """Raise ValueError if the values of a step, (T, B, ·), are not finite."""
        bad = ~np.isfinite(values).all(axis=2)
        if self.call.lengths is not None:
            bad &= to_numpy(self.call.lengths.valid)[:, :, 0]
        if bad.any():
            t, b = (int(k) for k in np.argwhere(bad)[0])
            kind = "NaN" if np.isnan(values[t, b]).any() else "Inf"
            raise ValueError(
                f"{self.caller}: {self.layer.layer}: got {kind} in {name} at time step {t} of sequence {b}, want "
                "finite numbers; `minigrad.detect_anomaly()` finds the operation that made the first"
            )

    def _before(self, name: str, first: Array) -> Array:
        states, xp = self.call.states[name], self.xp
        before = xp.empty_like(states)
        if not self.call.backward:
            before[0], before[1:] = first, states[:-1]
        else:
            before[-1], before[:-1] = first, states[1:]
            if self.call.lengths is not None:
                self.call.lengths.set_last(before, first)
        return before.reshape(self.T * self.B, -1)

    def masks(self) -> CellMasks:
        """The call's masks, for the rows of one step."""
        masks, xp, B = self.call.masks, self.xp, self.B
        if masks is None:
            return NO_MASKS
        recurrent = None if masks.recurrent is None else xp.tile(masks.recurrent, (self.T, 1))
        zones = tuple(
            None if zone is None else xp.broadcast_to(zone, (self.T, B, zone.shape[2])).reshape(1, self.T * B, -1)
            for zone in masks.zoneout
        )
        return CellMasks(None, recurrent, zones)

    def run(self) -> tuple[list[Tensor], list[Tensor]]:
        """Every step on the tape: the states before it, leaves, and those after it, (T · B, H) each."""
        leaves = [mg.tensor(a, requires_grad=True, backend=backend_of(a).name) for a in self.before]
        with mg.enable_grad():
            outputs = unroll(
                self.cell.one_step(), len(leaves), False, mg.tensor(self.xs, backend=backend_of(self.xs).name), *leaves,
                masks=self.masks(),
            )  # fmt: skip
        after = list(outputs[1 : 1 + len(leaves)])
        self.check_same(after)
        return leaves, after

    def check_same(self, after: Sequence[Tensor]) -> None:
        """Check that the cell still computes the recorded states."""
        for name, new in zip(self.names, after):
            got, want = to_numpy(new._array).reshape(self.T, self.B, -1), self.layer.states(name)
            difference = np.abs(got.astype(np.float64) - want)
            if self.call.lengths is not None:
                difference = difference * to_numpy(self.call.lengths.valid)
            if difference.max() > SAME * max(1.0, float(np.abs(want).max())):
                raise ValueError(
                    f"{self.caller}: {self.layer.layer}: the cell computes other states now, {name} differs by "
                    f"{difference.max():.2g}; want the weights of the forward pass: analyse before optimizer.step(), "
                    "and without hooks that replace the cell's results"
                )

    def rows(self, a: np.ndarray[Any, Any]) -> Tensor:
        """(T, B, F) on the host as (T · B, F) on the call's backend: what `to_host` undoes."""
        return mg.Tensor(backend_of(self.call.xs).from_numpy(np.ascontiguousarray(a.reshape(self.T * self.B, -1))))

    def to_host(self, a: Array) -> np.ndarray[Any, Any]:
        """(T · B, F) as (T, B, F) on the host, with zeros at padding."""
        host = np.array(to_numpy(a)).reshape(self.T, self.B, -1)
        if self.call.lengths is not None:
            host *= to_numpy(self.call.lengths.valid)
        return host

    def to_step_before(self, a: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        """What belongs to the state before step t, (T, B, F), at that state's own step; h(−1)'s is dropped."""
        moved = np.zeros_like(a)
        if not self.call.backward:
            moved[:-1] = a[1:]
            return moved
        moved[1:] = a[:-1]
        if self.call.lengths is not None:
            moved *= to_numpy(self.call.lengths.valid)
        return moved
