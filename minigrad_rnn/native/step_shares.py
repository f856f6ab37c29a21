"""StepShares computes each time step's share of a weight's gradient on request, from what BPTT left: for the ledger."""

from __future__ import annotations

import math
from functools import cached_property
from typing import Any

import numpy as np

from minigrad.engine.gradient_pool import PerStepSum
from minigrad.engine.norms import StepRows, norm, norms_of_products

from .packed_weights import GRU, GRU_RESET_FIRST, LSTM
from .run import Run
from .step_rows import PanelRows, RowsBefore

Array = Any
Place = tuple[int, Array, Array, Array]

AFTER_X = {GRU: [1, 2, 3], GRU_RESET_FIRST: [1, 2, 3], LSTM: [0, 1, 2, 3]}
"""The vectors of a panel of Z that hold the gradients of Wc x(t) + b, in the order of the weights' rows."""
AFTER_H = {GRU: [1, 2, 0], GRU_RESET_FIRST: [1, 2], LSTM: [0, 1, 2, 3]}
"""The same of Wr h(t−1) + br."""


class StepShares:
    """The shares of one direction's weights. They keep the run's memory as long as they are kept.

    Z holds the gates' gradients by rows (k, j) and panels: see source/sequence.h.
    """

    def __init__(self, run: Run) -> None:
        self.run, self.Z = run, run.Z
        self.D: Any = run.D
        self.after_x, self.after_h = AFTER_X.get(run.weights.kind), AFTER_H.get(run.weights.kind)
        self.labels = range(run.T) if run.backward else range(run.T)[::-1]  # in BPTT's order
        self._names: list[str] = []

    def of(self, name: str, total: Array) -> PerStepSum:
        """The gradient of the weight `name`, with its shares and their norms."""
        self._names.append(name)
        return PerStepSum(total, self.labels, lambda label: self._share(name, label), lambda: self._norms[name])

    def _share(self, name: str, label: int) -> Array:
        place = self._rows(label)
        if name == "p":
            return self._p(*place)
        parts = [left.product(right, 0) for left, right in self._factors(name, place, {})]
        return parts[0] if len(parts) == 1 else np.concatenate(parts)

    @cached_property
    def _norms(self) -> dict[str, dict[int, float]]:
        """The norms of all shares, by weight and step: the weights of a step share the gates' gradients."""
        norms: dict[str, dict[int, float]] = {name: {} for name in self._names}
        if self.run.lengths is None:
            lefts: dict[bool, StepRows] = {}
            for name in norms:
                if name != "p":
                    sizes = np.hypot.reduce([norms_of_products(*pair) for pair in self._whole_factors(name, lefts)])
                    norms[name] = {label: float(sizes[label]) for label in self.labels}
                else:
                    norms[name] = {label: norm(self._p(*self._rows(label))) for label in self.labels}
            return norms
        for label in self.labels:
            place, known = self._rows(label), dict[bool, StepRows]()
            for name, by_step in norms.items():
                if name == "p":
                    by_step[label] = norm(self._p(*place))
                else:
                    pairs = self._factors(name, place, known)
                    by_step[label] = math.hypot(*[float(norms_of_products(*pair)[0]) for pair in pairs])
        return norms

    def _factors(self, name: str, place: Place, known: dict[bool, StepRows]) -> list[tuple[StepRows, StepRows]]:
        """The pairs of factors whose products, one below the other, are a weight's share of the step at `place`.

        Args:
            known: the gates' gradients of this step after x and after h, as other weights have left them here.
        """
        label, rows, examples, k = place
        if name == "Wp":
            return [(_one_step(self.D[rows]), _one_step(self.run.m[rows]))]
        after_h = name in ("Wr", "br") and self.after_h != self.after_x
        left = known.get(after_h)
        if left is None:
            left = known[after_h] = _one_step(self._gates(rows, self.after_h if after_h else self.after_x))
        if name in ("b", "br"):
            return [(left, StepRows(None))]
        if name == "Wc":
            return [(left, _one_step(self.run.xs[label, examples]))]
        pairs = [(left, _one_step(self._h_before(label, examples, k)))]
        if self.run.call.kind == GRU_RESET_FIRST:  # the rows of n meet q
            pairs.append((_one_step(self._gates(rows, [3])), _one_step(self._units(self.Z[:, :, 0], rows))))
        return pairs

    def _whole_factors(self, name: str, known: dict[bool, StepRows]) -> list[tuple[StepRows, StepRows]]:
        """As `_factors`, of all steps at once; nothing is padded."""
        run = self.run
        if name == "Wp":
            return [(self._in_time_order(self.D), self._in_time_order(run.m))]
        after_h = name in ("Wr", "br") and self.after_h != self.after_x
        left = known.get(after_h)
        if left is None:
            left = known[after_h] = self._panels(self.after_h if after_h else self.after_x)
        if name in ("b", "br"):
            return [(left, StepRows(None))]
        if name == "Wc":
            return [(left, StepRows(lambda: run.xs))]
        pairs: list[tuple[StepRows, StepRows]] = [
            (left, RowsBefore(run.hs, run.h0.reshape(run.B, -1), bool(run.backward)))
        ]
        if run.call.kind == GRU_RESET_FIRST:
            pairs.append((self._panels([3]), self._panels([0])))
        return pairs

    def _panels(self, vectors: list[int] | None) -> StepRows:
        Z, run = self.Z, self.run
        if vectors is None:  # all vectors of a panel are units of the one gate
            Z, vectors = Z.reshape(*Z.shape[:2], 1, -1), [0]
        chosen = slice(min(vectors), max(vectors) + 1)
        return PanelRows(Z, run.T, chosen, run.call.H, bool(run.backward))

    def _in_time_order(self, a: Array) -> StepRows:
        steps = a.reshape(self.run.T, self.run.B, -1)
        return StepRows(lambda: steps[::-1] if self.run.backward else steps)

    def _rows(self, label: int) -> Place:
        """`label`, the rows of Z that belong to this time step, their examples, and the steps k that read them."""
        run = self.run
        columns = np.arange(run.B)
        if run.lengths is None:
            k = np.full(run.B, run.T - 1 - label if run.backward else label)
            return label, k * run.B + columns, columns, k
        k = run.length - 1 - label if run.backward else np.full(run.B, label)
        there = (k >= 0) & (k < run.length)
        return label, (run.first[np.where(there, k, 0)] + columns)[there], run.example[there], k[there]

    def _gates(self, rows: Array, vectors: list[int] | None) -> Array:
        """(n, gates · H): the gradients of the gates' arguments, from these vectors of each panel."""
        H, panels = self.run.call.H, self.Z[:, rows]  # (panels, n, M, lanes)
        count, _, M, lanes = panels.shape
        if vectors is None:
            return panels.transpose(1, 0, 2, 3).reshape(len(rows), count * M * lanes)[:, :H]
        by_gate = panels[:, :, vectors].transpose(1, 2, 0, 3).reshape(len(rows), len(vectors), count * lanes)
        return by_gate[:, :, :H].reshape(len(rows), len(vectors) * H)

    def _units(self, a: Array, rows: Array) -> Array:
        """(n, H) of an array by blocks of units (units, rows, lanes)."""
        units, _, lanes = a.shape
        return a[:, rows].transpose(1, 0, 2).reshape(len(rows), units * lanes)[:, : self.run.call.H]

    def _h_before(self, label: int, examples: Array, k: Array) -> Array:
        run = self.run
        before = np.clip(label + 1 if run.backward else label - 1, 0, run.T - 1)
        return np.where(k[:, None] > 0, run.hs[before, examples], run.h0.reshape(run.B, -1)[examples])

    def _p(self, label: int, rows: Array, examples: Array, k: Array) -> Array:
        run, B = self.run, self.run.B
        lengths = run.lengths
        j = np.arange(B) if lengths is None else np.flatnonzero(np.isin(run.example, examples))
        first_before = (k - 1) * B if lengths is None else run.first[np.maximum(k - 1, 0)]
        before = self._units(run.C, np.where(k > 0, B + first_before + j, j))
        after = self._units(run.C, B + rows)
        i, f, o = (self._gates(rows, [gate]) for gate in (0, 1, 3))
        return np.concatenate([(i * before).sum(axis=0), (f * before).sum(axis=0), (o * after).sum(axis=0)])


def _one_step(rows: Array) -> StepRows:
    return StepRows(lambda: rows[None])
