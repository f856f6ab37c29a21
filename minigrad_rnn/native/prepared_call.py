"""PreparedCall repeats a call of one cell off the tape, with arrays of the same shapes: sampling, decoding, streams.

One step of a small cell takes C a few microseconds; to check and to lay out everything anew would take ten times that.
"""

from __future__ import annotations

import ctypes
from typing import Any

import numpy as np

from minigrad import Tensor

from ..cells import Cell
from .call import address
from .packed_weights import LSTM
from .run import Run

Array = Any


class PreparedCall:
    """A call of one cell without padding, to be repeated.

    Args:
        cell: whose weights the run has.
        run: the call that is to be repeated, off the tape, on one thread. Its memory is not used again.
    """

    def __init__(self, cell: Cell, run: Run) -> None:
        self.packed, self.template, self.memory_of_weights = run.weights, run.call, run.packed
        packed = run.weights
        self.reads_backward = run.backward  # a network that reads the other way may have the same cell
        self.biases = list(zip(packed.biases, run.biases))
        tensors = set(packed.names)
        self.options = [(k, v) for k, v in vars(cell).items() if not k.startswith("_") and k not in tensors]
        kind = type(cell)
        self.step, self.sequence, self.kernel_spec = kind.step, kind.sequence, kind.kernel_spec
        self.xs_shape, self.output_shape = run.xs.shape, run.hs.shape
        self.state_shapes = [(1, *a.shape[-2:]) for a in (run.h0, run.c0) if a is not None]
        self.zeros: tuple[Tensor, ...] | None = None
        """What stands for no state; None where it is learned."""
        if cell.initial_state == "zeros":
            self.zeros = tuple(Tensor(np.zeros(shape, packed.dtype)) for shape in self.state_shapes)
        self.dtype, self.entry = packed.dtype, packed.compiled.forward
        self.memory: list[tuple[Any, Any, list[Array]]] = []
        """Calls that no thread uses at present, by reference too, with the arrays that they work in."""

    def serves(self, cell: Cell) -> bool:
        """Whether the cell is still what was prepared: its class, its hooks, its options, its weights to the bit."""
        kind, packed = type(cell), self.packed
        if cell._hooks is not None or kind.step is not self.step:
            return False
        if kind.sequence is not self.sequence or kind.kernel_spec is not self.kernel_spec:
            return False
        own = vars(cell)
        for name, option in self.options:
            if own.get(name) is not option:
                return False
        for name, source in packed.sources.items():
            if own.get(name) is not source:
                return False
        for name, array in self.biases:
            bias = own.get(name)
            if (None if bias is None else bias._array) is not array:
                return False
        return packed.are_unchanged()

    def run(self, xs: Any, state: Any) -> Any:
        """Return the outputs and the state as `Recurrence` does, or None where another way has to be taken."""
        array = xs._array if type(xs) is Tensor else xs
        parts = self.zeros if state is None else state if type(state) is tuple else (state,)
        shapes = self.state_shapes
        if type(array) is not np.ndarray or array.shape != self.xs_shape or parts is None or len(parts) != len(shapes):
            return None
        dtype, flags = self.dtype, array.flags
        if array.dtype is not dtype or not (flags.c_contiguous and flags.aligned):
            return None
        try:
            call, reference, memory = self.memory.pop()
        except IndexError:
            call, reference, memory = self._new()
        call.xs = address(array)
        before: list[Array] = []
        for part, shape in zip(parts, shapes):
            if type(part) is not Tensor:
                return None
            h = part._array
            flags = h.flags
            if h.shape != shape or h.dtype is not dtype or not (flags.c_contiguous and flags.aligned):
                return None
            before.append(h)
        hs, hT = np.empty(self.output_shape, dtype), np.empty(shapes[0], dtype)
        call.h0, call.hs, call.hT = address(before[0]), address(hs), address(hT)
        if len(shapes) == 1:
            failed = self.entry(reference, 0, 1)
            after: Any = Tensor(hT)
        else:
            cT = np.empty(shapes[1], dtype)
            call.c0, call.cT = address(before[1]), address(cT)
            failed = self.entry(reference, 0, 1)
            after = Tensor(hT), Tensor(cT)
        self.memory.append((call, reference, memory))
        if failed:
            raise MemoryError("forward of a sequence in C: no memory for its working arrays")
        return Tensor(hs), after

    def _new(self) -> tuple[Any, Any, list[Array]]:
        call, packed = type(self.template).from_buffer_copy(self.template), self.packed
        memory = [np.empty((call.panels, call.rows, call.M, packed.lanes), self.dtype)]
        call.Z = address(memory[0])
        if packed.kind == LSTM:
            memory.append(np.empty((call.units, call.B, packed.lanes), self.dtype))
            call.C = address(memory[1])
        return call, ctypes.byref(call), memory

    def __reduce__(self) -> tuple[Any, ...]:
        return _nothing, ()  # a copy of the network prepares its own


def _nothing() -> None:
    return None
