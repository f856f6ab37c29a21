"""How long each sequence of a batch is, and what follows from it: where padding lies, and who is read backward where.

A batch is padded to T steps. What stands at padding influences nothing: it is read as zero, no output is taken from
there and no gradient goes there. Read backward, a sequence begins at its own last step, not at T − 1.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from typing import Any

import numpy as np

from minigrad import Tensor
from minigrad.backend import Backend, is_array, to_numpy

Array = Any


class Lengths:
    """The lengths of B sequences, each 1 … T, on the host, and arrays made from them where the sequences live.

    Args:
        steps: (B,) whole numbers.
        T: how many steps the padded batch has.
        backend: where xs lives.
        name: of who was called, for errors.

    Raises:
        TypeError: no whole numbers. ValueError: another number of them than B, or one that is not in 1 … T.
    """

    def __init__(self, steps: Any, T: int, B: int, backend: Backend, name: str) -> None:
        if not isinstance(steps, (list, tuple, Tensor)) and not is_array(steps):
            raise TypeError(
                f"{name}: lengths: got {type(steps).__name__}, want {B} whole numbers, one for each sequence"
            )
        host = np.asarray(
            steps if isinstance(steps, (list, tuple)) else to_numpy(steps.data if isinstance(steps, Tensor) else steps)
        )
        if host.dtype.kind not in "iu":
            raise TypeError(f"{name}: lengths: got dtype {host.dtype}, want {B} whole numbers, one for each sequence")
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
        within = np.arange(T)[:, None] < self.host
        self.valid = backend.from_numpy(within[:, :, None])
        """(T, B, 1): whether step t belongs to sequence b."""

    @cached_property
    def _mirror(self) -> Array:
        """(T, B): where `mirrored` takes step t of sequence b from, on the host."""
        t = np.arange(self.T)[:, None]
        return np.where(t < self.host, self.host - 1 - t, t)

    @cached_property
    def _place(self) -> tuple[Array, Array]:
        sequences = np.broadcast_to(np.arange(len(self.host)), self._mirror.shape)
        return self.backend.from_numpy(self._mirror), self.backend.from_numpy(sequences.copy())

    @cached_property
    def _end(self) -> tuple[Array, Array]:
        return self.backend.from_numpy(self.host - 1), self.backend.from_numpy(np.arange(len(self.host)))

    def without_padding(self, xp: Any, a: Array) -> Array:
        """(T, B, F) with zeros at padding, whatever stood there."""
        return a if self.full else xp.where(self.valid, a, xp.zeros((), a.dtype))

    def mirrored(self, a: Array) -> Array:
        """(T, B, F) with each sequence's own steps in reverse order and the padding where it was; its own inverse."""
        return a[::-1] if self.full else a[self._place]

    def last_valid(self, a: Array) -> Array:
        """(B, F): what (T, B, F) holds at each sequence's last step. A copy."""
        return a[self._end]

    def add_at_last(self, a: Array, g: Array) -> None:
        """a[last step of b, b] += g[b], in place: the transpose of `last`."""
        a[self._end] += g

    def positions(self, t: int) -> tuple[Array, Array]:
        """Where `mirrored` puts step t: the places (n,) and sequences (n,) of those that have such a step."""
        sequences = np.flatnonzero(self.host > t)
        places = self._mirror[t, sequences]
        return self.backend.from_numpy(places), self.backend.from_numpy(sequences)


def to_read_order(lengths: Lengths | None, backward: bool) -> Callable[[Array], Array]:
    """The function that puts (T, B, F) into the order in which it is read, and back."""
    if not backward:
        return lambda a: a
    return lengths.mirrored if lengths is not None else lambda a: a[::-1]


def to_time_order(xp: Any, hs: Array, turn: Callable[[Array], Array], lengths: Lengths | None) -> Array:
    """From h(t) in the order read, (T, B, H): the outputs in straight time, zero at padding.

    The zeros are written into `hs` itself. BPTT may find them there: nothing arrives at padding.
    """
    if lengths is not None and not lengths.full:
        xp.multiply(hs, lengths.valid, hs)
    return turn(hs)


def last_valid(hs: Array, lengths: Lengths | None) -> Array:
    """From h(t) in the order read: h after each sequence's last step (B, H).

    A copy: a state carried on would otherwise keep the whole sequence's memory alive.
    """
    return hs[-1].copy() if lengths is None or lengths.full else lengths.last_valid(hs)


def incoming_gradients(
    xp: Any, dhs: Array, dhT: Array, turn: Callable[[Array], Array], lengths: Lengths | None
) -> tuple[Array, Array]:
    """The transpose of `straight` and `last`: gradients in the order read, and what arrives after step T − 1.

    With lengths a sequence's last step is inside, so the gradient of its last state is added there; at padding nothing
    arrives, and BPTT finds dz(t) = 0 by itself.
    """
    if lengths is None or lengths.full:
        return turn(dhs), dhT
    dhs = turn(lengths.without_padding(xp, dhs))
    lengths.add_at_last(dhs, dhT)
    return dhs, xp.zeros_like(dhT)
