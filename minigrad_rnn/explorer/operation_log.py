"""OperationLog lists the operations of a forward pass with their results, so that a step's inner values can be read."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from minigrad import Tensor
from minigrad.engine.modes import mode
from minigrad.engine.observer import ObserverContext


class Operation(NamedTuple):
    """One operation: its name, the time step under which it ran, and the tensors that it returned."""

    name: str
    time_step: int | None
    results: tuple[Tensor, ...]

    @property
    def result(self) -> Tensor:
        """The only or the first result."""
        return self.results[0]

    def reads(self, x: Tensor) -> bool:
        """Whether `x` was among the inputs, as a value on the tape."""
        node = self.result.node
        if node is None or x.node is None:
            return False
        # An operation with several results hangs below one node of which each result is a part.
        own = node if len(self.results) == 1 else node.parents[0]
        return own is not None and any(p is not None and p.serial == x.node.serial for p in own.parents)


class OperationLog(ObserverContext):
    """A `with` block that lists every operation in `operations`, in the order in which they ran."""

    def __init__(self) -> None:
        super().__init__()
        self.operations: list[Operation] = []

    def finished(self, token: Any, op: str, arrays: Sequence[Any], options: dict[str, Any], result: Any) -> None:
        results = result if isinstance(result, tuple) else (result,)
        self.operations.append(Operation(op, mode().time_step, results))


def named(operations: Sequence[Operation], name: str) -> list[Tensor]:
    """The results of the operations of that name, in order."""
    return [operation.result for operation in operations if operation.name == name]
