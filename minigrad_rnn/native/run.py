"""Run is one direction of one call of the compiled library: its arrays, the forward pass and BPTT."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from ..cells.lengths import ReadOrder
from .call import GRADIENTS
from .packed_weights import LSTM, PackedWeights

Array = Any

CHUNK_ROWS = 96
"""Rows (steps · examples) whose inputs are multiplied at once: enough to make use of weights that come from far."""
CHUNK_BYTES = 1 << 18
"""What these rows may fill of the cache."""


class Inputs(NamedTuple):
    """The arrays of one direction: xs (T, B, I), h0 (B, P), c0 (B, H) or None."""

    xs: Array
    h0: Array
    c0: Array


class OutputGradients(NamedTuple):
    """The gradients of every h(t), of the last h and c, and of every c(t), in time order; the last two or None."""

    hs: Array
    hT: Array
    cT: Array
    cs: Array


def address(a: Array) -> int:
    """The address of an array's first number."""
    return a.__array_interface__["data"][0]  # type: ignore[no-any-return]


def readable(a: Array) -> Array:
    """The array, or a copy of it where C could not read it: not contiguous or not aligned."""
    flags = a.flags
    return a if flags.c_contiguous and flags.aligned else np.array(a, order="C")


class Run:
    """One direction of one call.

    Args:
        weights: the cell's weights, packed.
        inputs: in the weights' dtype.
        order: the order in which the steps are read.
        saves: whether `bptt` will be called.
        every_state: whether every c(t) is wanted.

    Attributes:
        hs, hT, cT, cs: (T, B, P), (B, P), (B, H) or None, (T, B, H) or None.
    """

    def __init__(
        self, weights: PackedWeights, inputs: Inputs, order: ReadOrder, saves: bool, every_state: bool, parts: int
    ) -> None:
        self.weights, self.order, self.saves, self.parts = weights, order, saves, parts
        xs, h0, c0 = inputs
        T, B, _ = xs.shape
        item = xs.itemsize
        if xs.strides[2] != item or not xs.flags.aligned:
            xs = np.array(xs, order="C")
        self.inputs = xs, readable(h0), None if c0 is None else readable(c0)
        self.T, self.B = T, B
        self.call = call = weights.call()
        H, P, dtype = call.H, call.P, xs.dtype
        call.T, call.B, call.backward, call.saves = T, B, order.backward, saves
        self.rows = rows = T * B
        if order.lengths is not None:
            self.example, self.length, self.first = _columns(order.lengths.host, T)
            call.example, call.length, call.first = address(self.example), address(self.length), address(self.first)
            self.rows = rows = int(self.first[-1])
        row_bytes = call.panels * call.M * weights.lanes * item
        chunk = min(CHUNK_ROWS, CHUNK_BYTES // row_bytes + 1)
        if not saves:
            chunk = max(chunk, B)
            rows = chunk * max(1, parts)
        call.chunk, call.rows = chunk, rows
        call.xs, call.h0 = address(xs), address(self.inputs[1])
        call.xs_step, call.xs_example = xs.strides[0] // item, xs.strides[1] // item
        self.hs, self.hT = np.empty((T, B, P), dtype), np.empty((B, P), dtype)
        call.hs, call.hT = address(self.hs), address(self.hT)
        self.cT: Any = None
        self.cs: Any = None
        self.C: Any = None
        self.m: Any = None
        self.D: Any = None
        if call.kind == LSTM:
            call.c0 = address(self.inputs[2])
            self.cT = np.empty((B, H), dtype)
            call.cT = address(self.cT)
            self.C = np.empty((call.units, B + (rows if saves else 0), weights.lanes), dtype)
            call.C = address(self.C)
            if every_state:
                self.cs = np.empty((T, B, H), dtype)
                call.cs = address(self.cs)
            if weights.Wp is not None and saves:
                self.m = np.empty((rows, H), dtype)
                call.m = address(self.m)
        self.holds_gradients = False
        """Whether Z holds the gates' gradients, or no numbers yet, and not what BPTT needs: it writes in its place."""
        self.new_Z()

    def new_Z(self) -> None:
        call = self.call
        self.Z: Any = np.empty((call.panels, call.rows, call.M, self.weights.lanes), self.hs.dtype)
        call.Z = address(self.Z)

    # Backward

    def before_bptt(self, gs: OutputGradients, needs: dict[str, bool]) -> dict[str, Array]:
        """Lend the library the arrays of a backward pass; return those that it fills, by name."""
        call, weights = self.call, self.weights
        dhs = gs.hs
        if dhs.strides[2] not in (0, dhs.itemsize) or not dhs.flags.aligned:
            dhs = np.array(dhs, order="C")
        self.gs = gs = OutputGradients(dhs, *(None if g is None else readable(g) for g in gs[1:]))
        call.dhs, call.dhT = address(dhs), address(gs.hT)
        call.dhs_step, call.dhs_example, call.dhs_unit = (stride // dhs.itemsize for stride in dhs.strides)
        call.dcT = None if gs.cT is None else address(gs.cT)
        call.dcs = None if gs.cs is None else address(gs.cs)
        xs, h0, c0 = self.inputs
        filled: dict[str, Array] = {"dh0": np.empty_like(h0)}
        if c0 is not None:
            filled["dc0"] = np.empty_like(c0)
        if needs["xs"]:
            filled["dxs"] = np.empty(xs.shape, xs.dtype)
        for name, weight in weights.named().items():
            if needs[name]:
                filled[f"d{name}"] = np.zeros(weight.shape, weight.dtype)
        for name in GRADIENTS.split():
            setattr(call, name, address(filled[name]) if name in filled else None)
        if weights.Wp is not None:
            self.D = np.empty((self.rows, call.P), xs.dtype)
            call.D = address(self.D)
        weights.pack_backward(call)
        return filled


def _columns(lengths: Array, T: int) -> tuple[Array, Array, Array]:
    """The examples, longest first, their lengths, and the first row of each step: see source/sequence.h."""
    example = np.argsort(-lengths, kind="stable")
    length = lengths[example]
    running = np.searchsorted(-length, -np.arange(T), side="left")  # lengths greater than k
    first = np.zeros(T + 1, np.int64)
    np.cumsum(running, out=first[1:])
    return example, length, first
