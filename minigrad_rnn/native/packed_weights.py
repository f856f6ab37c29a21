"""PackedWeights holds a cell's weights in the order in which the compiled products read them."""

from __future__ import annotations

import ctypes
from typing import Any

import numpy as np

from .call import PACKED, PACKED_BACKWARD, Call

Array = Any

KINDS = {"rnn_tanh": 0, "rnn_relu": 1, "lstm": 2, "gru": 3, "gru_reset_first": 4}
LSTM, GRU, GRU_RESET_FIRST = (KINDS[name] for name in ("lstm", "gru", "gru_reset_first"))
NAMES = {"lstm": ("Wc", "Wr", "b", "p", "Wp")}
"""The names of the weights that a cell's `KernelSpec` returns, where they are not Wc, Wr, b, br."""


class PackedWeights:
    """A cell's weights, packed for the forward pass, and for the backward pass when it comes.

    Args:
        library: the compiled library of the weights' dtype.
        kind: the cell's name, one of `KINDS`.
        weights: Wc, Wr, b and so on, as the cell's `KernelSpec` returns them; any but the first two may be None.
    """

    def __init__(self, library: Any, kind: str, weights: tuple[Array, ...]) -> None:
        self.library = library
        self.Wc: Array
        self.Wr: Array
        self.Wp = self.b = self.br = self.p = None
        self.names = NAMES.get(kind, ("Wc", "Wr", "b", "br"))[: len(weights)]
        for name, weight in zip(self.names, weights):
            setattr(self, name, None if weight is None else np.require(weight, requirements=["C", "A"]))
        self.simple = KINDS[kind] < LSTM
        rows, I = self.Wc.shape
        P = self.Wr.shape[1]
        self._call = call = Call()
        call.kind, call.I, call.P = KINDS[kind], I, P
        call.H = rows // (1 if self.simple else 4 if kind == "lstm" else 3)
        lanes = ctypes.c_long()
        library.sizes(ctypes.byref(call), ctypes.byref(lanes))
        self.lanes = lanes.value
        for name, weight in self.named().items():
            setattr(call, name, weight.ctypes.data)
        sizes = (ctypes.c_long * 9)()
        library.packed_sizes(ctypes.byref(call), sizes)
        names = [*PACKED.split(), *PACKED_BACKWARD.split()]
        self.sizes = dict(zip(names, sizes))
        self.packed = self._memory(call, PACKED)
        self.packed_backward: list[Array] = []
        library.pack_forward(ctypes.byref(call))

    def _memory(self, call: Call, names: str) -> list[Array]:
        arrays = []
        for name in names.split():
            if self.sizes[name]:
                arrays.append(np.empty(self.sizes[name], self.Wc.dtype))
                setattr(call, name, arrays[-1].ctypes.data)
        return arrays

    def named(self) -> dict[str, Array]:
        """The weights that are there, by name."""
        return {name: weight for name in self.names if (weight := getattr(self, name)) is not None}

    def call(self) -> Call:
        """A new call with these weights."""
        return Call.from_buffer_copy(self._call)

    def pack_backward(self, call: Call) -> None:
        """Pack what the backward pass reads, and lend it to the call, which says whether dx is wanted."""
        self.packed_backward = self._memory(call, PACKED_BACKWARD)
        self.library.pack_backward(ctypes.byref(call))
