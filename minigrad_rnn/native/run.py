"""Run is one direction of one call of the compiled library: its arrays, the forward pass and BPTT."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from ..cells.lengths import Lengths
from .call import address, readable
from .packed_weights import LSTM, PackedWeights

Array = Any

CHUNK_ROWS = 96
"""Rows (steps · examples) whose inputs are multiplied at once: enough to make use of weights that come from far."""
CHUNK_BYTES = 1 << 18
"""What these rows may fill of the cache."""
TEAM_BYTES, CACHE_LINE = 256, 64
"""As in source/team.h."""
LARGE = 1 << 20
"""Bytes of packed weights that are kept in any case."""
STATES = ("dh0", "dc0")
Scratch = dict[tuple[tuple[int, ...], str], list[Array]]
"""Arrays that nobody needs any more, by shape and dtype. New memory of this size costs as much as a copy into it."""


class OutputGradients(NamedTuple):
    """The gradients of every h(t), of the last h and c, and of every c(t), in time order; the last two or None."""

    hs: Array
    hT: Array
    cT: Array
    cs: Array


class Run:
    """One direction of one call.

    Args:
        weights: the cell's weights, packed.
        xs, h0, c0: (T, B, I), (B, P), (B, H) or None, in the weights' dtype; the states may be (1, B, P) and (1, B, H).
        biases: arrays or None, those of `weights.biases`.
        backward, lengths: see `ReadOrder`; lengths is None where every sequence has T steps.
        saves: whether `before_bptt` will be called.
        every_state: whether every c(t) is wanted.
        parts: among how many threads it is split.
        shares_units: whether they share the units of each step; else the examples.

    Attributes:
        hs, hT, cT, cs: (T, B, P), as h0, as c0, (T, B, H) or None.
    """

    Z: Array
    team: Array
    packed_backward: dict[str, Array]
    is_heavy = False
    holds_gradients: bool
    """Whether Z holds the gates' gradients, or no numbers yet, and not what BPTT needs: it writes in its place."""

    def __init__(
        self,
        weights: PackedWeights,
        xs: Array,
        h0: Array,
        c0: Array,
        biases: Sequence[Array],
        backward: bool,
        lengths: Lengths | None,
        saves: bool,
        every_state: bool,
        parts: int,
        shares_units: bool,
    ) -> None:
        self.weights, self.backward, self.lengths, self.saves = weights, backward, lengths, saves
        self.parts, self.shares_units = parts, shares_units
        T, B, _ = xs.shape
        item, lanes, dtype = xs.itemsize, weights.lanes, weights.dtype
        if xs.strides[2] != item or not xs.flags.aligned or not xs.dtype.isnative:
            xs = np.array(xs, dtype, order="C")
        self.xs, self.h0, self.c0 = xs, readable(h0), c0
        self.T, self.B = T, B
        self.call = call = weights.call()
        self.packed = weights.lend_forward(call)
        """What the call reads, as long as it may."""
        self.biases = [None if bias is None else readable(bias) for bias in biases]
        for name, bias in zip(weights.biases, self.biases):
            if bias is not None:
                setattr(call, name, address(bias))
        H, P, panels, M = call.H, call.P, call.panels, call.M
        call.T, call.B, call.backward, call.saves = T, B, backward, saves
        rows = T * B
        if lengths is not None:
            self.example, self.length, self.first = _columns(lengths.host, T)
            call.example, call.length, call.first = address(self.example), address(self.length), address(self.first)
            rows = int(self.first[-1])
        chunk = min(CHUNK_ROWS, CHUNK_BYTES // (panels * M * lanes * item) + 1)
        if not saves:
            chunk = max(min(chunk, rows), B)
            rows = chunk * max(1, 1 if shares_units else parts)
        call.chunk, call.rows = chunk, rows
        call.xs, call.h0 = address(xs), address(self.h0)
        call.xs_step, call.xs_example = xs.strides[0] // item, xs.strides[1] // item
        self.hs, self.hT = np.empty((T, B, P), dtype), np.empty(h0.shape, dtype)
        call.hs, call.hT = address(self.hs), address(self.hT)
        self.cT: Any = None
        self.cs: Any = None
        self.C: Any = None
        self.m: Any = None
        self.D: Any = None
        if weights.kind == LSTM:
            self.c0 = readable(c0)
            call.c0 = address(self.c0)
            self.cT = np.empty(c0.shape, dtype)
            call.cT = address(self.cT)
            self.C = np.empty((call.units, B + (rows if saves else 0), lanes), dtype)
            call.C = address(self.C)
            if every_state:
                self.cs = np.empty((T, B, H), dtype)
                call.cs = address(self.cs)
            if saves and "Wp" in weights.arrays:
                self.m = np.empty((rows, H), dtype)
                call.m = address(self.m)
        self.holds_gradients = False
        self.new_Z()

    def new_team(self) -> None:
        """Lend the library what the threads of a pass meet in, if they share the units."""
        if self.shares_units:
            memory = np.zeros(TEAM_BYTES + CACHE_LINE, np.uint8)
            self.team, self.call.team = memory, address(memory) + -address(memory) % CACHE_LINE

    def new_Z(self) -> None:
        """Allocate what the forward pass fills, and BPTT overwrites."""
        call = self.call
        self.Z = np.empty((call.panels, call.rows, call.M, self.weights.lanes), self.hs.dtype)
        call.Z = address(self.Z)

    def spare_Z(self, scratch: Scratch) -> Array:
        """Let BPTT write into a copy; return what the forward pass filled, for `put_back_Z`."""
        Z = self.Z
        free = scratch.setdefault((Z.shape, Z.dtype.str), [])
        self.Z = free.pop() if free else np.empty_like(Z)
        self.Z[...] = Z
        self.call.Z = address(self.Z)
        return Z

    def put_back_Z(self, Z: Array, scratch: Scratch) -> None:
        """Be ready for another backward pass with what `spare_Z` returned; the copy's memory may be used again."""
        scratch[Z.shape, Z.dtype.str].append(self.Z)
        self.Z, self.holds_gradients = Z, False
        self.call.Z = address(Z)

    def release_if_heavy(self) -> None:
        """Drop packed weights that take much memory beside the rows: it costs little to pack them again."""
        self.is_heavy = self.is_heavy or self.weights.nbytes > max(LARGE, self.Z.nbytes // 2)
        if self.is_heavy:
            self.packed = self.packed_backward = {}
            self.weights.release()

    def before_forward_again(self) -> None:
        """Lend the library what a second forward pass needs: BPTT has replaced what the first left."""
        self.new_Z()
        self.packed = self.weights.lend_forward(self.call)

    def kept_arrays(self) -> list[Array]:
        """The arrays that a graph keeps with this, beside the inputs and the packed weights, which are the cell's."""
        return [a for a in (self.hs, self.cs, self.Z, self.C, self.m, self.D) if a is not None]

    def before_bptt(self, gs: OutputGradients, needs: Sequence[bool]) -> list[Array | None]:
        """Lend the library the arrays of a backward pass; return those of xs and the states, which it fills, or None.

        Args:
            needs: for xs, the states and the weights whether the gradient is wanted; the states' are always filled.
        """
        call, weights, dhs = self.call, self.weights, gs.hs
        item = dhs.itemsize
        if dhs.strides[2] not in (0, item) or not dhs.flags.aligned:
            dhs = np.array(dhs, order="C")
        self.gs = gs = OutputGradients(dhs, *[None if g is None else readable(g) for g in gs[1:]])
        step, example, unit = dhs.strides
        call.dhs_step, call.dhs_example, call.dhs_unit = step // item, example // item, unit // item
        call.dhs, call.dhT = address(dhs), address(gs.hT)
        if gs.cT is not None:
            call.dcT = address(gs.cT)
        if gs.cs is not None:
            call.dcs = address(gs.cs)
        inputs = (self.xs, self.h0, self.c0) if weights.kind == LSTM else (self.xs, self.h0)
        gradients = self._lent_gradients(weights.gradients, inputs, needs)
        if "Wp" in weights.arrays:
            self.D = np.empty((call.rows, call.P), dhs.dtype)
            call.D = address(self.D)
        self.packed_backward = weights.lend_backward(call)
        return gradients

    def keep_step_gradients(self) -> dict[str, Array]:
        """Lend the next BPTT arrays for ∂L/∂h(t), and of an LSTM ∂L/∂c(t), of every step; return them by name."""
        call, dtype = self.call, self.hs.dtype
        kept = {"h": np.zeros((self.T, self.B, call.P), dtype)}
        if self.weights.kind == LSTM:
            kept["c"] = np.zeros((self.T, self.B, call.H), dtype)
        for name, a in kept.items():
            setattr(call, f"d{name}_steps", address(a))
        return kept

    def before_weight_gradients(self, needs: Sequence[bool]) -> list[Array | None]:
        """Lend the library the arrays of the weights' gradients; return them, or None, for each weight."""
        weights, states = self.weights, 2 if self.weights.kind == LSTM else 1
        Wc, Wr, Wp = (weights.arrays.get(name) for name in ("Wc", "Wr", "Wp"))
        inputs = (Wc, Wr, *self.biases, Wp)
        return self._lent_gradients(weights.gradients[1 + states :], inputs, needs[1 + states :])

    def _lent_gradients(
        self, fields: Sequence[str], inputs: Sequence[Array | None], needs: Sequence[bool]
    ) -> list[Array | None]:
        call = self.call
        gradients: list[Array | None] = []
        for field, a, needed in zip(fields, inputs, needs):
            if a is None or not (needed or field in STATES):
                gradients.append(None)
                setattr(call, field, None)
                continue
            gradient = np.empty(a.shape, self.hs.dtype)
            gradients.append(gradient)
            setattr(call, field, address(gradient))
        return gradients


def _columns(lengths: Array, T: int) -> tuple[Array, Array, Array]:
    """The examples, longest first, their lengths, and each step's first row: see source/sequence.h. As C's `long`."""
    example = np.argsort(-lengths, kind="stable").astype("l")
    length = lengths[example].astype("l")
    running = np.searchsorted(-length, -np.arange(T), side="left")  # lengths greater than k
    first = np.zeros(T + 1, "l")
    np.cumsum(running, out=first[1:])
    return example, length, first
