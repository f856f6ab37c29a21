"""What a trainer asks of the ranks that train one model together, and `Solo`, the answer where there is one only."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Protocol

import numpy as np


class Parallel(Protocol):
    """Ranks with the same model, each with its own part of the data, such as `minigrad.distributed.DataParallel`.

    Every rank calls every method, in the same order.
    """

    @property
    def rank(self) -> int: ...

    @property
    def size(self) -> int: ...

    def pool_gradients(self, weight: float, /, loss: float | None = None) -> float | None:
        """Make every gradient the mean over the ranks, weighted by each one's `weight`; return that of the loss.

        Raises:
            FloatingPointError: on every rank, if a loss or a gradient is not finite on one.
        """

    def any(self, flag: bool, /) -> bool:
        """Return whether the flag is True on any rank."""

    def broadcast(self, tree: Any, /) -> Any:
        """Return rank 0's value."""

    def gather(self, tree: Any, /) -> list[Any] | None:
        """Return the values of all ranks, on rank 0."""

    def check_same(self, caller: str, values: dict[str, Any], /) -> None:
        """Raise ValueError on every rank unless all have the same values."""

    def spread_generators(self, generators: Iterable[np.random.Generator], /) -> None:
        """Give the generators of each rank a stream of its own."""


class Solo:
    """One rank alone."""

    rank, size = 0, 1

    def pool_gradients(self, weight: float, /, loss: float | None = None) -> float | None:
        return loss  # the mean over one rank is that of this rank

    def any(self, flag: bool, /) -> bool:
        return flag

    def broadcast(self, tree: Any, /) -> Any:
        return tree

    def gather(self, tree: Any, /) -> list[Any] | None:
        return [tree]

    def check_same(self, caller: str, values: dict[str, Any], /) -> None:
        """One rank is the same as itself."""

    def spread_generators(self, generators: Iterable[np.random.Generator], /) -> None:
        """One rank keeps its generators."""


def on_rank_0(parallel: Parallel, action: Callable[[], object]) -> None:
    """Run `action` on rank 0; where it fails, raise on every rank.

    Raises:
        Whatever the action raises, on rank 0; on the others OSError where it is one, else RuntimeError.
    """
    error: Exception | None = None
    if parallel.rank == 0:
        try:
            action()
        except Exception as failure:
            error = failure
    told = parallel.broadcast(None if error is None else [isinstance(error, OSError), str(error)])
    if error is not None:
        raise error
    if told is not None:
        raise (OSError if told[0] else RuntimeError)(f"Trainer: rank 0 failed: {told[1]}")
