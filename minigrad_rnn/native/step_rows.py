"""PanelRows and RowsBefore are factors of a weight's gradient at every step, read where C left them: for the ledger.

Both serve whole batches, in which every example has all T steps; their Gram matrices take the features in any order.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from minigrad.engine.norms import StepRows, grams_of

Array = Any

CHUNK = 1 << 17
"""Numbers of the panels that are brought into rows at once, so that they stay in the cache."""


class PanelRows(StepRows):
    """Vectors of each panel: the gradients of some of the gates' arguments.

    Args:
        Z: (panels, T · B, M, lanes), rows in the order in which steps are read.
        vectors: neighbours among the M of each panel.
        units: H; what the last panel has beyond is no number.
    """

    def __init__(self, Z: Array, T: int, vectors: slice, units: int, backward: bool) -> None:
        super().__init__(lambda: self._rows_of(slice(None)))
        panels, rows, _, lanes = Z.shape
        self.Z, self.T, self.backward = Z[:, :, vectors], T, backward
        self.B, self.width, self.beyond = rows // T, panels * self.Z.shape[2] * lanes, units - (panels - 1) * lanes

    @property
    def shape(self) -> tuple[int, int, int]:
        return self.T, self.B, self.width

    def _rows_of(self, steps: slice) -> Array:
        """(steps, B, features) of steps by the order of reading: a copy."""
        first, stop, _ = steps.indices(self.T)
        panels, _, M, lanes = self.Z.shape
        rows = np.empty(((stop - first) * self.B, panels, M, lanes), self.Z.dtype)
        rows[...] = self.Z[:, first * self.B : stop * self.B].transpose(1, 0, 2, 3)
        rows[:, -1, :, self.beyond :] = 0
        return rows.reshape(stop - first, self.B, self.width)

    def step(self, t: Any) -> Array:
        k = self.T - 1 - t if self.backward else t
        return self._rows_of(slice(k, k + 1))[0]

    def grams(self) -> Array:
        found = np.empty((self.T, self.B, self.B), self.Z.dtype)
        size = max(1, CHUNK // (self.B * self.width))
        for first in range(0, self.T, size):
            steps = slice(first, min(first + size, self.T))
            found[steps] = grams_of(self._rows_of(steps))
        return found[::-1] if self.backward else found


class RowsBefore(StepRows):
    """h(t−1), or read backward h(t+1), of every step t.

    Args:
        hs, h0: (T, B, P) and (B, P).
    """

    def __init__(self, hs: Array, h0: Array, backward: bool) -> None:
        super().__init__(lambda: hs)
        self.hs, self.h0, self.backward = hs, h0, backward

    def step(self, t: Any) -> Array:
        before, first = (t + 1, len(self.hs) - 1) if self.backward else (t - 1, 0)
        return self.h0 if t == first else self.hs[before]

    def grams(self) -> Array:
        found, of_h0 = grams_of(self.hs), grams_of(self.h0[None])
        return np.concatenate([found[1:], of_h0] if self.backward else [of_h0, found[:-1]])
