"""`run_in_threads` runs a program on ranks that are threads of this process, to try it out and test it without MPI."""

from __future__ import annotations

import contextvars
import threading
from collections.abc import Callable, Sequence
from functools import reduce
from typing import Any, TypeVar

import numpy as np

from ..backend import Array, default_backend, use_backend
from ..validation import check_function, check_integer
from .communicator import Bytes, Communicator, DistributedError

T = TypeVar("T")


class Table:
    """What the ranks lay down for each other; a barrier stands before it is read, and before it is written again."""

    def __init__(self, size: int) -> None:
        self.entries: list[Any] = [None] * size
        self.barrier = threading.Barrier(size)


class ThreadCommunicator(Communicator):
    """A rank of `run_in_threads`, which makes them. Sums are taken in the order of ranks.

    Args:
        rank: this thread's number.
        table: what all ranks share.
    """

    shares_process = True

    def __init__(self, rank: int, table: Table) -> None:
        super().__init__()
        self.rank = self.local_rank = rank
        self.size = self.local_size = len(table.entries)
        self._table = table

    def _exchange(self, value: Any) -> list[Any]:
        """Return what every rank gave, which nobody changes."""
        try:
            self._table.barrier.wait()
            self._table.entries[self.rank] = value
            self._table.barrier.wait()
        except threading.BrokenBarrierError:
            self.over = f"an error ended an exchange halfway on another rank; so rank {self.rank} ends too"
            raise DistributedError(self.over) from None
        return list(self._table.entries)

    def _abandon(self) -> None:
        self._table.barrier.abort()

    def _all_gather(self, data: Bytes) -> Bytes:
        return np.stack(self._exchange(data.copy()))

    def _all_reduce(self, array: Array) -> None:
        array[...] = reduce(np.add, self._exchange(array.copy()))

    def _broadcast(self, data: Bytes) -> None:
        data[...] = self._exchange(data.copy())[0]

    def _gather(self, data: Bytes, counts: Sequence[int]) -> list[Bytes] | None:
        parts = self._exchange(data.copy())
        return None if self.rank else parts


def run_in_threads(function: Callable[[Communicator], T], size: int) -> list[T]:
    """Run `function(communicator)` on `size` ranks, threads of this process, and return what each of them returned.

    The ranks share the process's Python, default generator and files, and run one after another more than side by side:
    this is for trying out and for tests. Each thread starts with the caller's backend and modes.

    >>> run_in_threads(lambda communicator: communicator.broadcast(communicator.rank + 5), 3)
    [5, 5, 5]

    Args:
        function: the program of a rank; it is handed the rank's communicator.
        size: the number of ranks.

    Raises:
        BaseException: what the first rank raised that raised by itself; if all raised DistributedError, the first one.
    """
    check_function("run_in_threads", function=function)
    check_integer("run_in_threads", size=size)
    table = Table(size)
    results: dict[int, T] = {}
    errors: dict[int, BaseException] = {}
    backend = default_backend()

    def run(communicator: ThreadCommunicator) -> None:
        use_backend(backend)
        try:
            results[communicator.rank] = function(communicator)
            communicator.leave()
        except BaseException as error:
            errors[communicator.rank] = error
            communicator.leave(f"{type(error).__name__}: {error}")

    threads = []
    for rank in range(size):
        context = contextvars.copy_context()
        threads.append(threading.Thread(target=context.run, args=(run, ThreadCommunicator(rank, table)), daemon=True))
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    own = [error for _, error in sorted(errors.items()) if not isinstance(error, DistributedError)]
    for error in [*own, *(error for _, error in sorted(errors.items()))]:
        raise error
    return [results[rank] for rank in range(size)]
