"""Launch the kernels of a whole sequence, forward and BPTT, as the planner chose.

Both kernel implementations read and write the same arrays, so the two passes may differ in theirs. `D` is the number
of directions; of two, the second is read backward. "Read order" is the order in which a direction meets the steps,
with each sequence's padding at the end.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import numpy as np

from minigrad.backend import BackendError, Kernels, Launch

from .planner import PERSISTENT, PassPlan, Plan
from .source import options, program

Array = Any
NOTHING = np.uint64(0)
"""The null pointer."""
STEP_THREADS = 256
SAVED = {"lstm": 4, "gru": 4, "gru_reset_first": 3}
"""Number of arrays (T, B, H) that the forward pass saves for BPTT beside h and c: the gates' values."""


@dataclass
class Inputs:
    """The inputs of one direction; biases may be None, and only the LSTM has c0."""

    xs: Array
    h0: Array
    c0: Array
    Wc: Array
    Wr: Array
    b: Array
    br: Array = None


@dataclass
class OutputGradients:
    """The gradients of one direction's outputs; dcs, of every c(t) in read order, may be None."""

    dhs: Array
    dhT: Array
    dcT: Array = None
    dcs: Array = None


@dataclass
class Sequences:
    """One call: the sequences of one or two directions, and the arrays that the forward pass saves for BPTT.

    X (D, T + 1, B, H) holds h(−1) and every h in read order, C the same of c (for the published GRU r · h(t−1),
    (D, T, B, H)), S the gates (arrays, D, T, B, H). `ys` are the outputs of each direction, (T, B, H) in time order.
    For each direction `dZ` is the gradient of Wc x(t), (T, B, G·H) in time order, and `dY` that of the recurrent
    products, in read order: pairs (gradient, value that was multiplied), one for each block of rows of Wr.

    Raises:
        TypeError: inputs of several dtypes.
        BackendError: an array is on another device than the kernels.
    """

    xp: Any
    kernels: Kernels
    plan: Plan
    inputs: Sequence[Inputs]
    lengths: Array
    """(B,) integers of 32 bits on the device; None where there is no padding."""
    backward: bool
    """Whether a single direction is read backward."""

    X: Array = field(init=False)
    C: Array = field(init=False, default=NOTHING)
    S: Array = field(init=False, default=NOTHING)
    ys: list[Array] = field(init=False)

    def __post_init__(self) -> None:
        xs = self.inputs[0].xs
        self.T, self.B, _ = xs.shape
        self.H, self.D, self.cell = self.plan.shape.H, len(self.inputs), self.plan.shape.cell
        self.dtype, self.padded = self.plan.shape.dtype, self.lengths is not None
        # A kernel reads every array's bytes as numbers of the plan's dtype.
        for inputs in self.inputs:
            for name, a in vars(inputs).items():
                if a is not None and a.dtype != self.dtype:
                    raise TypeError(f"kernels: {name}: got dtype {a.dtype}, want {self.dtype} for all of a layer")
            self._require_here(inputs)
        self.weights = [self.xp.ascontiguousarray(inputs.Wr) for inputs in self.inputs]
        self._steps = NOTHING if self.lengths is None else self.lengths
        self._sizes = np.int32(self.T), np.int32(self.B), np.int32(self.backward)

    def _require_here(self, arrays: Inputs | OutputGradients) -> None:
        for name, a in vars(arrays).items():
            if a is not None and a.device != (place := self.kernels.place):
                raise BackendError(
                    f"kernels: {name}: got an array on {a.device}, want all of a layer on {place}; enter that device "
                    "around what makes its arrays and around the backward pass"
                )

    def reads_backward(self, direction: int) -> bool:
        return self.backward or direction == 1

    def empty(self, *shape: int) -> Array:
        return self.xp.empty(shape, self.dtype)

    def published(self, implementation: PassPlan, *shape: int) -> Array:
        """An array that blocks write: where they poll it, of the bits that mean "not written yet", which are NaNs."""
        if implementation.tile is None or implementation.tile.cluster:
            return self.empty(*shape)
        words = self.xp.int32 if self.plan.shape.itemsize == 4 else self.xp.int64
        return self.xp.full(shape, -1, words).view(self.dtype)

    def pair(self, values: Sequence[Array]) -> tuple[Any, Any]:
        """The two arguments of a kernel for two directions; the null pointer for None."""
        pointers = [NOTHING if v is None else v for v in values]
        return pointers[0], pointers[-1]

    def read_pair(self, values: Sequence[Array]) -> tuple[Any, Any]:
        """The same for arrays that a kernel only reads: contiguous copies where needed."""
        return self.pair([None if v is None else self.xp.ascontiguousarray(v) for v in values])

    # Forward

    def forward(self) -> None:
        xp, T, B, H, D = self.xp, self.T, self.B, self.H, self.D
        rows = self.inputs[0].Wc.shape[0]
        Z = self.empty(D, T, B, rows)
        self.X = self.published(self.plan.forward, D, T + 1, B, H)
        for d, inputs in enumerate(self.inputs):
            xp.matmul(inputs.xs.reshape(T * B, -1), inputs.Wc.T, out=Z[d].reshape(T * B, rows))
            self.X[d, 0] = inputs.h0
        if self.cell == "lstm":
            self.C = self.empty(D, T + 1, B, H)
            for d, inputs in enumerate(self.inputs):
                self.C[d, 0] = inputs.c0
        elif self.cell == "gru_reset_first":
            self.C = self.published(self.plan.forward, D, T, B, H)
        if self.cell in SAVED:
            self.S = self.empty(SAVED[self.cell], D, T, B, H)
        # Where read order is time order and nothing is padded, X itself holds the outputs.
        out = [self.empty(T, B, H) if self.padded or self.reads_backward(d) else None for d in range(D)]
        biases = [*self.read_pair([inputs.b for inputs in self.inputs])]
        if self.cell != "gru_reset_first":
            biases += self.read_pair([inputs.br for inputs in self.inputs])
        arrays = (self._steps, self.X, self.C, self.S, *self.pair(out))
        if self.plan.forward.name == PERSISTENT:
            self._persistent("forward", self.plan.forward, (Z, *self.pair(self.weights), *biases, *arrays))
        else:
            self._forward_steps((Z, *biases, *arrays))
        self.ys = [self.X[d, 1:] if y is None else y for d, y in enumerate(out)]

    def _forward_steps(self, arguments: tuple[Any, ...]) -> None:
        """Launch per step one kernel after the product Wr h(t−1); for the published GRU a second one after Wr_n q."""
        file, H, stages = "steps.cu", self.H, [("forward_step", self.X, slice(None))]
        if self.cell == "gru_reset_first":
            file = "gru_reset_first_steps.cu"
            stages = [("gates_step", self.X, slice(2 * H)), ("candidate_step", self.C, slice(2 * H, None))]
        launches = [
            (self._step_kernel(file, name), values, weights, self.empty(self.D, self.B, weights[0].shape[0]))
            for name, values, rows in stages
            for weights in [[W[rows] for W in self.weights]]
        ]
        for s in range(self.T):
            for step, values, weights, products in launches:
                for d, W in enumerate(weights):
                    self.xp.matmul(values[d, s], W.T, out=products[d])
                step((*arguments, products), s)

    # Backward

    def bptt(
        self, gradients: Sequence[OutputGradients]
    ) -> tuple[Array, Array, list[Array], list[list[tuple[Array, Array]]]]:
        """Return dh(−1) and dc(−1) (D, B, H), and dZ and dY of each direction (see the class)."""
        for arriving in gradients:
            self._require_here(arriving)
        T, B, H, D = self.T, self.B, self.H, self.D
        rows, reset_first = self.inputs[0].Wc.shape[0], self.cell == "gru_reset_first"
        dY = self.published(self.plan.backward, D, T, B, 2 * H if reset_first else rows)
        dN: Any = self.published(self.plan.backward, D, T, B, H) if reset_first else NOTHING
        own = self.cell.startswith("gru") or self.padded  # elsewhere dZ is dY, unless the direction is read backward
        dZ = [self.empty(T, B, rows) if own or self.reads_backward(d) else None for d in range(D)]
        dh0 = self.empty(D, B, H)
        dc0 = self.empty(D, B, H) if self.cell == "lstm" else NOTHING

        def both(name: str) -> tuple[Any, Any]:
            return self.read_pair([getattr(g, name) for g in gradients])

        dhs, dhT = both("dhs"), both("dhT")
        saved, last = [self._steps, self.X, self.C, self.S, *dhs, *both("dcs")], [*dhT, *both("dcT")]
        results, carried = [dY, *self.pair(dZ)], [dh0, dc0]
        if reset_first:
            saved, last = [self._steps, self.X, self.S, *dhs], [*dhT]
            results, carried = [dN, *results], [dh0]
        if self.plan.backward.name == PERSISTENT:
            arguments = (*self.pair(self.weights), *saved, *last, *results, *carried)
            self._persistent("backward", self.plan.backward, arguments)
        else:
            self._backward_steps((*saved, *results), gradients, dY, dN, dh0, dc0)
        return (
            dh0,
            dc0,
            [dY[d] if g is None else g for d, g in enumerate(dZ)],
            [[(dY[d], self.X[d, :T]), *([(dN[d], self.C[d])] if reset_first else [])] for d in range(D)],
        )

    def _backward_steps(
        self,
        arguments: tuple[Any, ...],
        gradients: Sequence[OutputGradients],
        dY: Array,
        dN: Array,
        dh: Array,
        dc: Array,
    ) -> None:
        published, H = self.cell == "gru_reset_first", self.H
        file, names, rows = "steps.cu", ["backward_step"], slice(None)
        if published:
            file, names, rows = (
                "gru_reset_first_steps.cu",
                ["candidate_step_backward", "gates_step_backward"],
                slice(2 * H),
            )
        first, *second = (self._step_kernel(file, name) for name in names)
        products = self.empty(self.D, self.B, H)
        carried = (products, dh) if published else (products, dh, dc)
        for d, g in enumerate(gradients):
            dh[d] = g.dhT
            if g.dcT is not None:
                dc[d] = g.dcT
        for s in reversed(range(self.T)):
            if s < self.T - 1:
                self._through(dY, s + 1, rows, products)
            first((*arguments, *carried), s)
            for step in second:
                self._through(dN, s, slice(2 * H, None), products)
                step((*arguments, *carried), s)
        self._through(dY, 0, rows, products)
        dh += products

    def _through(self, dY: Array, s: int, rows: slice, products: Array) -> None:
        """products[d] = the gradient of h(s − 1) through these rows of Wr."""
        for d, W in enumerate(self.weights):
            self.xp.matmul(dY[d, s], W[rows], out=products[d])

    # Launches

    def _persistent(self, name: str, implementation: PassPlan, arguments: tuple[Any, ...]) -> None:
        assert implementation.tile is not None
        file = "gru_reset_first.cu" if self.cell == "gru_reset_first" else f"{name}.cu"
        launch = self._compiled(file, name, implementation.tile.macros())
        launch(
            implementation.grid,
            implementation.tile.threads,
            (*arguments, *self._sizes, np.uint64(self.kernels.flags_pointer)),
            shared_memory=implementation.shared_memory,
            cooperative=not implementation.tile.cluster,
        )

    def _step_kernel(self, file: str, name: str) -> Callable[[tuple[Any, ...], int], None]:
        """The kernel as a function of its arrays and the step."""
        launch = self._compiled(file, name, {"K_VECTOR": 1})
        grid = (-(-self.B * self.H // STEP_THREADS), 1, self.D)
        return lambda arrays, s: launch(grid, STEP_THREADS, (*arrays, *self._sizes, np.int32(s)))

    def _compiled(self, file: str, name: str, macros: dict[str, int]) -> Launch:
        flags = options(self.cell, self.H, self.plan.shape.itemsize, macros)
        launch = compiled(self.kernels, file, name, self.cell, flags)
        self.kernels.check()
        return launch


@cache
def compiled(kernels: Kernels, file: str, name: str, cell: str, options: tuple[str, ...]) -> Launch:
    """The kernel `name` of a file, compiled on first use."""
    return _module(kernels, file, cell, options)(name)


@cache
def _module(kernels: Kernels, file: str, cell: str, options: tuple[str, ...]) -> Callable[[str], Launch]:
    return kernels.compile(program(file, cell), options)
