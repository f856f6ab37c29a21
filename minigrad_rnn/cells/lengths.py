"""Padding masks and per-sequence time reversal for a batch of sequences of different lengths.

A batch is padded to T steps. Values at padding have no influence: they are read as zero, no output is taken from there
and no gradient goes there. Read backward, a sequence begins at its own last step, not at T − 1.
"""

from __future__ import annotations

from functools import cached_property
from typing import Any

import numpy as np

from minigrad import Tensor
from minigrad.backend import Backend, is_array, to_numpy
from minigrad.foreign_arrays import import_array

Array = Any


class Lengths:
    """The lengths of B sequences, each 1 … T, on the host, and index arrays made from them on the sequences' backend.

    Args:
        steps: (B,) whole numbers.
        T: steps of the padded batch.
        backend: the backend of xs.
        name: the caller's name, for error messages.

    Raises:
        TypeError: `steps` are not whole numbers.
        ValueError: `steps` has another shape than (B,), or one of them is not in 1 … T.
    """

    def __init__(self, steps: Any, T: int, B: int, backend: Backend, name: str) -> None:
        want = f"want {B} whole numbers, one for each sequence"
        steps = steps if isinstance(steps, Tensor) else import_array(name, "lengths", steps)
        if not isinstance(steps, (list, tuple, Tensor)) and not is_array(steps):
            raise TypeError(f"{name}: lengths: got {type(steps).__name__}, {want}")
        if not isinstance(steps, (list, tuple)):
            steps = to_numpy(steps.data if isinstance(steps, Tensor) else steps)
        try:
            host = np.asarray(steps)
        except ValueError:  # nested lists of different lengths
            raise TypeError(f"{name}: lengths: got nested lists, {want}") from None
        if host.dtype.kind not in "iu":
            raise TypeError(f"{name}: lengths: got dtype {host.dtype}, {want}")
        if host.shape != (B,):
            raise ValueError(f"{name}: lengths: got shape {host.shape}, want ({B},), one for each sequence")
        wrong = np.flatnonzero((host < 1) | (host > T))
        if wrong.size:
            k = int(wrong[0])
            raise ValueError(
                f"{name}: lengths: got {int(host[k])} for sequence {k}, want 1 to {T}, the number of steps in xs"
            )
        self.host = host.astype(np.int64)
        self.T, self.shortest, self.full = T, int(host.min()), bool(host.min() == T)
        self.backend = backend
        self.valid = backend.from_numpy((np.arange(T)[:, None] < self.host)[:, :, None])
        """(T, B, 1): whether step t belongs to sequence b."""

    @cached_property
    def _mirror(self) -> Array:
        """(T, B) on the host: the step that `mirrored` puts at (t, b)."""
        t = np.arange(self.T)[:, None]
        return np.where(t < self.host, self.host - 1 - t, t)

    @cached_property
    def _mirror_index(self) -> tuple[Array, Array]:
        sequences = np.broadcast_to(np.arange(len(self.host)), self._mirror.shape)
        return self.backend.from_numpy(self._mirror), self.backend.from_numpy(sequences.copy())

    @cached_property
    def _last_index(self) -> tuple[Array, Array]:
        return self.backend.from_numpy(self.host - 1), self.backend.from_numpy(np.arange(len(self.host)))

    def without_padding(self, xp: Any, a: Array) -> Array:
        """(T, B, F) with zeros at padding."""
        return a if self.full else xp.where(self.valid, a, xp.zeros((), a.dtype))

    def mirrored(self, a: Array) -> Array:
        """(T, B, F) with each sequence's own steps in reverse order and the padding in place; its own inverse."""
        return a[::-1] if self.full else a[self._mirror_index]

    def last_valid(self, a: Array) -> Array:
        """(B, F): the values of (T, B, F) at each sequence's last step. A copy."""
        return a[self._last_index]

    def set_last(self, a: Array, values: Array) -> None:
        """a[last step of b, b] = values[b], in place."""
        a[self._last_index] = values

    def add_at_last(self, a: Array, g: Array) -> None:
        """a[last step of b, b] += g[b], in place: the transpose of `last_valid`."""
        a[self._last_index] += g

    def positions(self, t: int) -> tuple[Array, Array]:
        """The index (steps (n,), sequences (n,)) where `mirrored` puts step t of the n sequences that have it."""
        sequences = np.flatnonzero(self.host > t)
        return self.backend.from_numpy(self._mirror[t, sequences]), self.backend.from_numpy(sequences)


class ReadOrder:
    """The order in which a direction reads the steps of a padded batch, in which fused sequences keep their arrays.

    Args:
        T: steps of the batch.
        backward: whether time runs from the last step to the first (slide 108).
        lengths: None where nothing is padded.

    Attributes:
        lengths: the same; also None where every sequence has T steps.
        labels: the time steps, the last one that is read first: the order in which BPTT meets them.
    """

    def __init__(self, T: int, backward: bool, lengths: Lengths | None) -> None:
        self.T, self.backward = T, backward
        self.lengths = None if lengths is None or lengths.full else lengths
        self.labels = range(T) if backward else range(T)[::-1]

    def turn(self, a: Array) -> Array:
        """(T, B, F) from time order to read order, or back."""
        if not self.backward:
            return a
        return a[::-1] if self.lengths is None else self.lengths.mirrored(a)

    def rows(self, label: int, a: Array) -> Array:
        """(n, F): the rows of (T, B, F), in read order, that belong to time step `label`."""
        if not self.backward:
            return a[label]
        if self.lengths is None:
            return a[self.T - 1 - label]
        return a[self.lengths.positions(label)]
