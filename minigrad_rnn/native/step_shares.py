"""StepShares computes each time step's share of a weight's gradient on request, from what BPTT left: for the ledger."""

from __future__ import annotations

from typing import Any

import numpy as np

from minigrad.engine.gradient_pool import PerStepSum

from .packed_weights import GRU, GRU_RESET_FIRST, LSTM
from .run import Run

Array = Any

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

    def of(self, name: str, total: Array) -> PerStepSum:
        """The gradient of the weight `name`, with its shares."""
        share = getattr(self, f"_{name}")
        labels = range(self.run.T) if self.run.backward else range(self.run.T)[::-1]  # in BPTT's order
        return PerStepSum(total, labels, lambda label: share(*self._rows(label)))

    def _rows(self, label: int) -> tuple[int, Array, Array, Array]:
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

    def _Wc(self, label: int, rows: Array, examples: Array, k: Array) -> Array:
        return self._gates(rows, self.after_x).T @ self.run.xs[label, examples]

    def _b(self, label: int, rows: Array, examples: Array, k: Array) -> Array:
        return self._gates(rows, self.after_x).sum(axis=0)

    def _br(self, label: int, rows: Array, examples: Array, k: Array) -> Array:
        return self._gates(rows, self.after_h).sum(axis=0)

    def _Wr(self, label: int, rows: Array, examples: Array, k: Array) -> Array:
        share = self._gates(rows, self.after_h).T @ self._h_before(label, examples, k)
        if self.run.call.kind == GRU_RESET_FIRST:  # the rows of n meet q
            q = self._units(self.Z[:, :, 0], rows)
            share = np.concatenate([share, self._gates(rows, [3]).T @ q])
        return share

    def _Wp(self, label: int, rows: Array, examples: Array, k: Array) -> Array:
        return self.D[rows].T @ self.run.m[rows]

    def _p(self, label: int, rows: Array, examples: Array, k: Array) -> Array:
        run, B = self.run, self.run.B
        lengths = run.lengths
        j = np.arange(B) if lengths is None else np.flatnonzero(np.isin(run.example, examples))
        first_before = (k - 1) * B if lengths is None else run.first[np.maximum(k - 1, 0)]
        before = self._units(run.C, np.where(k > 0, B + first_before + j, j))
        after = self._units(run.C, B + rows)
        i, f, o = (self._gates(rows, [gate]) for gate in (0, 1, 3))
        return np.concatenate([(i * before).sum(axis=0), (f * before).sum(axis=0), (o * after).sum(axis=0)])
