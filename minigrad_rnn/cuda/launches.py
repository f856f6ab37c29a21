"""From arrays to launches: a whole sequence forward, and its BPTT, on the implementation that the planner chose.

Both plans read and write the same arrays, so forward may take one and backward the other. `D` is the number of
directions, of which the last of two is read backward; "in the order read" is the order in which a direction meets the
steps, with each sequence's padding at the end.
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
SAVED = {"lstm": 4, "gru": 4, "gru_published": 3}
"""How many arrays (T, B, H) the forward pass keeps for BPTT beside h and c: the gates' values."""


@dataclass
class Inputs:
    """What one direction is given; biases may be None, and c0 is there for the LSTM alone."""

    xs: Array
    h0: Array
    c0: Array
    Wc: Array
    Wr: Array
    b: Array
    br: Array = None


@dataclass
class Arriving:
    """The gradients of one direction's outputs; dcs, of every c(t) in the order read, may be None."""

    dhs: Array
    dhT: Array
    dcT: Array = None
    dcs: Array = None


@dataclass
class Sequences:
    """One call: the sequences of one or two directions, and what forward leaves for backward.

    X (D, T + 1, B, H) holds h(−1) and every h in the order read, C the same of c (of the published GRU r · h(t−1),
    (D, T, B, H)), S the gates (arrays, D, T, B, H). Of every direction `ys` is the output (T, B, H) in straight time.
    `dZ` is what arrives at Wc x(t), (T, B, G·H) in straight time, and `dY` what arrives at the recurrent products, in
    the order read: pairs of that and of what was multiplied, one for each block of rows of Wr.

    Raises:
        TypeError: inputs of several dtypes.
    """

    xp: Any
    kernels: Kernels
    plan: Plan
    inputs: Sequence[Inputs]
    lengths: Array
    """(B,) whole numbers of 32 bits on the device; None where there is no padding."""
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
        for given in self.inputs:
            self._check(given)
        self.weights = [self.xp.ascontiguousarray(given.Wr) for given in self.inputs]

    def _check(self, given: Inputs) -> None:
        """A kernel reads what it is given as numbers of the plan's kind, whatever they are."""
        for name, a in vars(given).items():
            if a is not None and a.dtype != self.dtype:
                raise TypeError(f"kernels: {name}: got dtype {a.dtype}, want {self.dtype} for all of a layer")

    @property
    def _steps(self) -> Any:
        return NOTHING if self.lengths is None else self.lengths

    def reads_backward(self, direction: int) -> bool:
        return self.backward or direction == 1

    def empty(self, *shape: int) -> Array:
        return self.xp.empty(shape, self.dtype)

    def unwritten(self, *shape: int) -> Array:
        """An array of the bits that mean "not yet": NaNs, so a value that never came shows."""
        words = self.xp.int32 if self.plan.shape.itemsize == 4 else self.xp.int64
        return self.xp.full(shape, -1, words).view(self.dtype)

    def pair(self, values: Sequence[Array]) -> tuple[Any, Any]:
        """One argument for each direction that a kernel may have; the null pointer for None."""
        given = [NOTHING if v is None else v for v in values]
        return given[0], given[-1]

    def read(self, values: Sequence[Array]) -> tuple[Any, Any]:
        """The same of what a kernel only reads, which may come with gaps between its numbers."""
        return self.pair([None if v is None else self.xp.ascontiguousarray(v) for v in values])

    # Forward

    def forward(self) -> None:
        xp, T, B, H, D = self.xp, self.T, self.B, self.H, self.D
        rows = self.inputs[0].Wc.shape[0]
        Z = self.empty(D, T, B, rows)
        self.X = self.unwritten(D, T + 1, B, H)
        for d, given in enumerate(self.inputs):
            xp.matmul(given.xs.reshape(T * B, -1), given.Wc.T, out=Z[d].reshape(T * B, rows))
            self.X[d, 0] = given.h0
        if self.cell == "lstm":
            self.C = self.empty(D, T + 1, B, H)
            for d, given in enumerate(self.inputs):
                self.C[d, 0] = given.c0
        elif self.cell == "gru_published":
            self.C = self.unwritten(D, T, B, H)
        if self.cell in SAVED:
            self.S = self.empty(SAVED[self.cell], D, T, B, H)
        straight = [not self.reads_backward(d) and not self.padded for d in range(D)]
        out = [None if same else self.empty(T, B, H) for same in straight]
        biases = [*self.read([given.b for given in self.inputs])]
        if self.cell != "gru_published":
            biases += self.read([given.br for given in self.inputs])
        arrays = (self._steps, self.X, self.C, self.S, *self.pair(out))
        if self.plan.forward.name == PERSISTENT:
            self._persistent("forward", self.plan.forward, (Z, *self.pair(self.weights), *biases, *arrays))
        elif self.cell == "gru_published":
            self._published_forward_steps((Z, *biases, *arrays))
        else:
            self._forward_steps((Z, *biases, *arrays))
        self.ys = [self.X[d, 1:] if y is None else y for d, y in enumerate(out)]

    def _forward_steps(self, arguments: tuple[Any, ...]) -> None:
        step = self._step_kernel("steps.cu", "forward_step")
        products = self.empty(self.D, self.B, self.weights[0].shape[0])
        for s in range(self.T):
            for d, W in enumerate(self.weights):
                self.xp.matmul(self.X[d, s], W.T, out=products[d])
            step((*arguments, products), s)

    def _published_forward_steps(self, arguments: tuple[Any, ...]) -> None:
        gates, candidate = (self._step_kernel("published_steps.cu", name) for name in ("gates_step", "candidate_step"))
        H, xp = self.H, self.xp
        at_gates, at_n = self.empty(self.D, self.B, 2 * H), self.empty(self.D, self.B, H)
        for s in range(self.T):
            for d, W in enumerate(self.weights):
                xp.matmul(self.X[d, s], W[: 2 * H].T, out=at_gates[d])
            gates((*arguments, at_gates), s)
            for d, W in enumerate(self.weights):
                xp.matmul(self.C[d, s], W[2 * H :].T, out=at_n[d])
            candidate((*arguments, at_n), s)

    # Backward

    def bptt(self, arriving: Sequence[Arriving]) -> tuple[Array, Array, list[Array], list[list[tuple[Array, Array]]]]:
        """dh(−1) and dc(−1) (D, B, H), and of every direction dZ and dY (see the class)."""
        T, B, H, D = self.T, self.B, self.H, self.D
        rows, published = self.inputs[0].Wc.shape[0], self.cell == "gru_published"
        dY = self.unwritten(D, T, B, 2 * H if published else rows)
        dN: Any = self.unwritten(D, T, B, H) if published else NOTHING
        own = self.cell.startswith("gru")
        dZ = [self.empty(T, B, rows) if own or self.padded or self.reads_backward(d) else None for d in range(D)]
        dh0 = self.empty(D, B, H)
        dc0 = self.empty(D, B, H) if self.cell == "lstm" else NOTHING

        def both(name: str) -> tuple[Any, Any]:
            return self.read([getattr(a, name) for a in arriving])

        dhs, dhT = both("dhs"), both("dhT")
        implementation, W = self.plan.backward, self.pair(self.weights)
        if published:
            first, made = (self._steps, self.X, self.S, *dhs), (dN, dY, *self.pair(dZ))
            if implementation.name == PERSISTENT:
                self._persistent("backward", implementation, (*W, *first, *dhT, *made, dh0))
            else:
                self._published_backward_steps((*first, *made), arriving, dN, dY, dh0)
        else:
            saved, made_here = (self._steps, self.X, self.C, self.S, *dhs, *both("dcs")), (dY, *self.pair(dZ))
            if implementation.name == PERSISTENT:
                self._persistent("backward", implementation, (*W, *saved, *dhT, *both("dcT"), *made_here, dh0, dc0))
            else:
                self._backward_steps((*saved, *made_here), arriving, dY, dh0, dc0)
        return (
            dh0,
            dc0,
            [dY[d] if given is None else given for d, given in enumerate(dZ)],
            [[(dY[d], self.X[d, :T]), *([(dN[d], self.C[d])] if published else [])] for d in range(D)],
        )

    def _backward_steps(
        self, arguments: tuple[Any, ...], arriving: Sequence[Arriving], dY: Array, dh: Array, dc: Array
    ) -> None:
        step = self._step_kernel("steps.cu", "backward_step")
        products = self.empty(self.D, self.B, self.H)
        for d, given in enumerate(arriving):
            dh[d] = given.dhT
            if given.dcT is not None:
                dc[d] = given.dcT
        for s in reversed(range(self.T)):
            if s < self.T - 1:
                self._through(dY, s + 1, slice(None), products)
            step((*arguments, products, dh, dc), s)
        self._through(dY, 0, slice(None), products)
        dh += products

    def _published_backward_steps(
        self, arguments: tuple[Any, ...], arriving: Sequence[Arriving], dN: Array, dY: Array, dh: Array
    ) -> None:
        candidate, gates = (
            self._step_kernel("published_steps.cu", name) for name in ("candidate_step_backward", "gates_step_backward")
        )
        of_gates, of_n = slice(2 * self.H), slice(2 * self.H, None)
        products = self.empty(self.D, self.B, self.H)
        for d, given in enumerate(arriving):
            dh[d] = given.dhT
        for s in reversed(range(self.T)):
            if s < self.T - 1:
                self._through(dY, s + 1, of_gates, products)
            candidate((*arguments, products, dh), s)
            self._through(dN, s, of_n, products)
            gates((*arguments, products, dh), s)
        self._through(dY, 0, of_gates, products)
        dh += products

    def _through(self, dY: Array, s: int, rows: slice, products: Array) -> None:
        """What arrives at h(s − 1) through these rows of Wr."""
        for d, W in enumerate(self.weights):
            self.xp.matmul(dY[d, s], W[rows], out=products[d])

    # Launches

    def _persistent(self, name: str, implementation: PassPlan, arguments: tuple[Any, ...]) -> None:
        assert implementation.tile is not None
        file = "published.cu" if self.cell == "gru_published" else f"{name}.cu"
        shape = self.plan.shape
        launch = compiled(
            self.kernels,
            file,
            name,
            self.cell,
            options(self.cell, self.H, shape.itemsize, implementation.tile.macros()),
        )
        check(self.kernels)
        sizes = (np.int32(self.T), np.int32(self.B), np.int32(self.backward))
        launch(
            implementation.grid,
            implementation.tile.threads,
            (*arguments, *sizes, np.uint64(self.kernels.flags_pointer)),
            shared_memory=implementation.shared_memory,
            cooperative=True,
        )

    def _step_kernel(self, file: str, name: str) -> Callable[[tuple[Any, ...], int], None]:
        """The kernel as a function of its arrays and the step."""
        launch = compiled(
            self.kernels, file, name, self.cell, options(self.cell, self.H, self.plan.shape.itemsize, {"K_VECTOR": 1})
        )
        check(self.kernels)
        sizes = (np.int32(self.T), np.int32(self.B), np.int32(self.backward))
        grid = (-(-self.B * self.H // STEP_THREADS), 1, self.D)
        return lambda arrays, s: launch(grid, STEP_THREADS, (*arrays, *sizes, np.int32(s)))


@cache
def compiled(kernels: Kernels, file: str, name: str, cell: str, told: tuple[str, ...]) -> Launch:
    """The kernel `name` of a file, compiled when it is first asked for."""
    return _module(kernels, file, cell, told)(name)


@cache
def _module(kernels: Kernels, file: str, cell: str, told: tuple[str, ...]) -> Callable[[str], Launch]:
    return kernels.compile(program(file, cell), told)


def check(kernels: Kernels) -> None:
    """Say so if an earlier kernel gave up waiting.

    Raises:
        BackendError: it did. What it computed is NaN from that step on.
    """
    if kernels.flags[0]:
        kernels.synchronize()  # blocks that wait still would report it once more
        kernels.flags[0] = 0
        raise BackendError(
            f"{kernels.device.name}: a recurrent kernel gave up waiting for values of another block, and left NaN in "
            "their place; is the device shared with a program that stops it, such as a debugger?"
        )
