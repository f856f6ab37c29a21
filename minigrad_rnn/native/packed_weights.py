"""PackedWeights holds a cell's weights in the order in which the compiled products read them."""

from __future__ import annotations

import ctypes
from typing import Any

import numpy as np

from minigrad.engine.content_version import content_version, same_contents

from .call import PACKED, PACKED_BACKWARD, Call, address, readable

Array = Any
Weights = tuple[Any, ...]
"""Wc, Wr, b and so on, tensors or None, as a cell's `KernelSpec` returns them."""

KINDS = {"rnn_tanh": 0, "rnn_relu": 1, "lstm": 2, "gru": 3, "gru_reset_first": 4}
LSTM, GRU, GRU_RESET_FIRST = (KINDS[name] for name in ("lstm", "gru", "gru_reset_first"))
GATES = (1, 1, 4, 3, 3)
FEW_STEPS, FEW_EXAMPLES = 2, 8
"""Up to so many a pass that is made once reads the weights as they are."""
BIASES = ("b", "br", "p")
"""What is read as it is."""
SECOND = ("br", "br", "p", "br", "br")
"""By kind, what a `KernelSpec` returns after Wc, Wr and b; an LSTM's Wp follows."""


class PackedWeights:
    """A cell's weights, packed for the forward pass, and for the backward pass when it comes.

    They are never packed anew: a call whose weights changed makes others, and a graph keeps those of its own call.

    Args:
        library: the compiled library of the weights' dtype.
        kind: the cell's name, one of `KINDS`.
        weights: any but Wc and Wr may be None.
        pack: whether to pack them; not for a step or two, which read them as they are, to the same bits. A projection
            is always packed.

    Attributes:
        names: of all weights, in their order. biases: of those that are read as they are, which each call lends itself.
        arrays: of the others, by name.
        sources: the tensors that were packed, by name.
        gradients: the fields of a call that hold the gradients of xs, the states and the weights.
        lanes: numbers of a vector.
    """

    def __init__(self, library: Any, kind: str, weights: Weights, pack: bool = True) -> None:
        self.compiled, self.kind, self.dtype = library, KINDS[kind], np.dtype(weights[0].dtype.char)
        self.names = ("Wc", "Wr", "b", SECOND[self.kind], "Wp")[: len(weights)]
        states = ("dh0", "dc0") if self.kind == LSTM else ("dh0",)
        self.gradients = ("dxs", *states, *(f"d{name}" for name in self.names))
        packed = {name: w for name, w in zip(self.names, weights) if name in ("Wc", "Wr", "Wp") and w is not None}
        self.sources = packed
        self._versions = tuple(content_version(w) for w in packed.values())  # before they are read
        self.template = call = Call()
        rows, I = weights[0].shape
        call.kind, call.I, call.P, call.H = self.kind, I, weights[1].shape[1], rows // GATES[self.kind]
        self.work = rows * (call.I + call.P)
        """Multiplications of one step of one example."""
        self.units_can_be_shared = self.kind != GRU_RESET_FIRST and "Wp" not in packed
        """Whether several threads may compute some units each: what one needs of another's is all in h(t)."""
        lanes = ctypes.c_long()
        library.sizes(ctypes.byref(call), ctypes.byref(lanes))
        self.lanes = lanes.value
        self.biases = tuple(name for name in self.names if name in BIASES)
        self.arrays: dict[str, Array] = {}
        for name, weight in packed.items():
            self.arrays[name] = array = readable(weight._array)
            setattr(call, name, address(array))
        self._in_place = all(self.arrays[name] is w._array for name, w in packed.items())
        sizes = (ctypes.c_long * 8)()
        library.packed_sizes(ctypes.byref(call), sizes)
        self._sizes = dict(zip((*PACKED, *PACKED_BACKWARD), sizes))
        self._memory_backward: dict[str, Array] = {}
        self._packed: tuple[Call, dict[str, Array]] | None = None
        """A call with the packed weights, and their arrays; another one each time that they are packed again."""
        self.packs = pack
        if pack:
            self.lend_forward(self.call())

    def _allocated(self, call: Call, names: tuple[str, ...]) -> dict[str, Array]:
        memory = {name: np.empty(self._sizes[name], self.dtype) for name in names if self._sizes[name]}
        for name, array in memory.items():
            setattr(call, name, address(array))
        return memory

    def serve(self, weights: Weights) -> bool:
        """Whether these weights are the packed ones, bit for bit."""
        if len(weights) != len(self.names):
            return False
        sources = self.sources
        for name, weight in zip(self.names, weights):
            if name not in BIASES and weight is not sources.get(name):
                return False
        return self.are_unchanged()

    def are_unchanged(self) -> bool:
        """Whether the packed weights are, bit for bit, what they were."""
        same = same_contents(self.sources.values(), self._versions)
        if same is None:  # others can write into them and need not tell
            packed = self._packed
            return self._in_place and packed is not None and not self.compiled.differs(ctypes.byref(packed[0]))
        return same

    @property
    def nbytes(self) -> int:
        """Of the packed weights of one pass."""
        packed = self._packed
        return 0 if packed is None else sum(array.nbytes for array in packed[1].values())

    def release(self) -> None:
        """Drop the packed weights of both passes; who still runs with them keeps them himself."""
        self._packed, self._memory_backward = None, {}

    def call(self) -> Call:
        """A new call with these weights."""
        return Call.from_buffer_copy(self.template)

    def lend_forward(self, call: Call) -> dict[str, Array]:
        """Pack what the forward pass reads, unless it is there; lend it to the call.

        Returns the arrays, which are to be kept while the call runs: another thread may drop them here, or pack others.
        """
        if not self.packs:
            return {}
        packed = self._packed
        if packed is None:
            packer = self.call()
            packed = packer, self._allocated(packer, PACKED)
            self.compiled.pack_forward(ctypes.byref(packer))
            self._packed = packed
        for name, array in packed[1].items():
            setattr(call, name, address(array))
        return packed[1]

    def lend_backward(self, call: Call) -> dict[str, Array]:
        """Pack what the backward pass reads, unless it is there; lend it to the call, which says if dx is wanted.

        Returns the arrays, which are to be kept as `lend_forward`'s.
        """
        if not self.packs and call.B <= FEW_EXAMPLES:
            return {}
        names = PACKED_BACKWARD if call.dxs else PACKED_BACKWARD[1:]
        memory = self._memory_backward
        if any(self._sizes[name] and name not in memory for name in names):
            memory = self._allocated(call, names)
            self.compiled.pack_backward(ctypes.byref(call))
            self._memory_backward = memory
        for name, array in memory.items():
            setattr(call, name, address(array))
        return memory

    def __reduce__(self) -> tuple[Any, ...]:
        return _nothing, ()  # a copy of the cell packs its own


def _nothing() -> None:
    return None


def packed_weights(owner: dict[str, Any], library: Any, kind: str, weights: Weights, T: int | None) -> PackedWeights:
    """Return the packed weights that `owner`, a cell's attributes, keeps from an earlier call, or new ones.

    Args:
        T: the steps of a call with weights that are likely to change before the next one; None of one that may be
            followed by others like it.
    """
    packed: PackedWeights | None = owner.get("_packed_weights")
    if packed is not None and packed.compiled is library and packed.kind == KINDS[kind] and packed.serve(weights):
        return packed
    if T is not None and T <= FEW_STEPS and (len(weights) < 5 or weights[4] is None):
        return PackedWeights(library, kind, weights, pack=False)
    packed = owner["_packed_weights"] = PackedWeights(library, kind, weights)
    return packed
