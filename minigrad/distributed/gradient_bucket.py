"""`GradientBucket` lays the gradients of one dtype, and running statistics, into one array."""

from __future__ import annotations

import zlib
from collections.abc import Sequence

import numpy as np

from ..backend import Array, Backend, backend_of, scalar
from ..engine.tape import Leaf
from ..engine.tensor import Parameter, Tensor

SUMMED_AS = {"e": "f"}
"""The dtypes in which others are summed: MPI has no sum of float16."""


class GradientBucket:
    """Gradients of one backend and dtype, and running statistics, one after another in one array in C order.

    MPI sends an array's memory as it lies, so a transposed gradient would arrive permuted; here each value has its
    place, whatever the memory order of its array. Behind the values stands one number for each gradient: 1 if there is
    one, 0 where it is None.

    Args:
        parameters: with the dtype and backend in common.
        buffers: running statistics of that dtype and backend, which are averaged too.
    """

    def __init__(self, parameters: Sequence[Parameter], buffers: Sequence[Tensor] = ()) -> None:
        first = [*parameters, *buffers][0]._array
        self.parameters, self.buffers = list(parameters), list(buffers)
        self.backend: Backend = backend_of(first)
        dtype = np.dtype(first.dtype)
        self.dtype = np.dtype(SUMMED_AS.get(dtype.char, dtype.char))
        self.shapes = [p.shape for p in parameters] + [b.shape for b in buffers]
        sizes = [int(np.prod(shape)) for shape in self.shapes]
        self.ends = np.cumsum([0, *sizes]).tolist()
        self.array = self.backend.xp.zeros(self.ends[-1] + len(self.parameters), self.dtype)

    @property
    def layout(self) -> str:
        """What must be the same on every rank, in words."""
        return f"{self.dtype} {len(self.parameters)} {self.shapes}"

    @property
    def checksum(self) -> int:
        """A number that differs where layouts do."""
        return zlib.crc32(self.layout.encode())

    def fill(self) -> None:
        """Lay down the gradients and buffers; zeros for a gradient that is None."""
        gradients = [None if p.grad is None else p.grad._array for p in self.parameters]
        for part, value in zip(self._parts(), [*gradients, *(b._array for b in self.buffers)]):
            part[...] = 0 if value is None else value
        present = [float(g is not None) for g in gradients]
        self.array[self.ends[-1] :] = self.backend.from_numpy(np.array(present, self.dtype))

    def scale(self, factor: float) -> None:
        """Multiply all values by `factor`; 0 makes them 0, whatever they were."""
        if not factor:
            self.array[...] = 0
        elif factor != 1:
            self.array *= factor

    def is_finite(self) -> bool:
        """Whether all values are finite. The sum tells, unless it leaves the dtype's range."""
        xp = self.backend.xp
        with np.errstate(all="ignore"):
            return bool(scalar(xp.isfinite(xp.sum(self.array)))) or bool(scalar(xp.all(xp.isfinite(self.array))))

    def take_out(self) -> None:
        """Write the values into the gradients and buffers; a gradient that no rank has stays None."""
        present = np.asarray(self.backend.to_numpy(self.array[self.ends[-1] :])) > 0
        parts = self._parts()
        for p, part, pooled in zip(self.parameters, parts, present):
            if pooled:
                _write_gradient(p, part)
        for buffer, part in zip(self.buffers, parts[len(self.parameters) :]):
            buffer._array[...] = part
            buffer.written()

    def _parts(self) -> list[Array]:
        return [
            self.array[begin:end].reshape(shape) for begin, end, shape in zip(self.ends, self.ends[1:], self.shapes)
        ]


def _write_gradient(p: Parameter, values: Array) -> None:
    """Set a parameter's gradient: in place, unless it is on the tape, where recorded values must not change."""
    grad = p.grad
    if grad is None or grad.node is not None or not getattr(grad._array.flags, "writeable", True):
        p.grad = Tensor(backend_of(values).xp.array(values, dtype=p.dtype, copy=True))
    else:
        grad._array[...] = values
        grad.written()


def buckets_of(parameters: Sequence[Parameter], buffers: Sequence[Tensor]) -> list[GradientBucket]:
    """Return a bucket for each backend and dtype, in the order in which they come first.

    Frozen parameters have no gradient and are left out; so are buffers that are not floating point.
    """
    groups: dict[tuple[str, str], tuple[list[Parameter], list[Tensor]]] = {}
    for p in parameters:
        if type(p.node) is Leaf:
            groups.setdefault((p.backend, p.dtype.char), ([], []))[0].append(p)
    for b in buffers:
        if b.dtype.kind in "fc":
            groups.setdefault((b.backend, b.dtype.char), ([], []))[1].append(b)
    return [GradientBucket(*group) for group in groups.values()]
