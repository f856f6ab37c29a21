"""`Communicator` lets ranks exchange arrays; where they do not meet, every rank is told what the others were doing.

MPI's collective calls have no words for a rank that ended, or that makes another call than the others: they wait for
ever, or mix up the data. So each exchange here begins with a `meet`: every rank says in a few bytes what it is about to
do, and reads what the others said. All ranks read the same, so all of them go on, or all of them raise the same error.
"""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np

from ..backend import Array, backend_of
from ..serialize.tree import flatten, unflatten
from ..validation import as_array

Bytes = np.ndarray[Any, np.dtype[np.uint8]]
Records = np.ndarray[Any, Any]

END = "end"
PURPOSES = (END, "pool_gradients", "any", "mean", "broadcast", "gather", "check", "connect")
"""What ranks meet for. The first one is said by a rank that leaves."""
RECORD = np.dtype(
    [
        ("purpose", np.int64),
        ("meetings", np.int64),
        ("nbytes", np.int64),
        ("layout", np.uint64),
        ("weight", np.float64),
        ("loss", np.float64),
        ("flag", np.int64),
    ]
)
"""What a rank says in a meeting. `layout` is a checksum of what its bytes mean, `meetings` the number before it."""
REASON = 600
"""The most bytes of the last words of a rank that leaves."""


class DistributedError(RuntimeError):
    """A rank has ended, the ranks do not do the same, or a program was not started on several ranks."""


class Communicator(ABC):
    """A rank's way to the others. A transport defines six calls; what is built on them is here.

    `rank` counts from 0 to `size` - 1; `local_rank` and `local_size` count the ranks on this machine. Each public call
    is made by every rank, in the same order. Arrays are sent in C order, whatever their memory's order is.

    Raises:
        DistributedError: by every call, on every rank: another rank has ended or makes another call. No call works
            after that.
    """

    rank: int
    size: int
    local_rank: int
    local_size: int
    shares_process: bool = False
    """Whether the ranks are threads, and share what belongs to the process."""
    transport: str = "host"
    """How arrays on devices are summed: "NCCL", or "host", which is by way of the host's memory."""
    transport_refusal: str = ""
    """Why it is not NCCL; "" where no device was asked for, or NCCL is used."""

    def __init__(self) -> None:
        self.meetings = 0
        self.over = ""
        """Why no call works any more; "" as long as they do."""
        self.torn = False
        """Whether an error, such as Ctrl-C, ended an exchange halfway: the other ranks are in it still."""

    # What a transport defines: each call is made by every rank

    @abstractmethod
    def _all_gather(self, data: Bytes) -> Bytes:
        """Return the bytes of all ranks, (size, n), of `data` (n,), which is as long on each."""

    @abstractmethod
    def _all_reduce(self, array: Array) -> None:
        """Replace a host array in C order by the sum over the ranks, which has the same bits on each."""

    @abstractmethod
    def _broadcast(self, data: Bytes) -> None:
        """Overwrite `data` by rank 0's, which is as long."""

    @abstractmethod
    def _gather(self, data: Bytes, counts: Sequence[int]) -> list[Bytes] | None:
        """Return on rank 0 the bytes of all ranks, of which rank r has `counts[r]`; None on the others."""

    def _reduce_on_devices(self, array: Array) -> bool:
        """Replace an array on a device by the sum over the ranks, if there is a way; return whether there was."""
        return False

    @abstractmethod
    def _abandon(self) -> None:
        """End the ranks that are in an exchange from which this one has been torn."""

    @contextmanager
    def together(self) -> Iterator[None]:
        """Note an error inside the block, in which the other ranks wait for this one and cannot be told."""
        try:
            yield
        except BaseException:
            self.torn, self.over = True, self.over or "an error ended an exchange halfway"
            raise

    # Meetings

    def meet(
        self,
        purpose: str,
        nbytes: int = 0,
        layout: int = 0,
        weight: float = 0.0,
        loss: float = 0.0,
        flag: bool = False,
        reason: str = "",
    ) -> Records:
        """Say what this rank is about to do, and return what every rank said, in the order of ranks.

        Args:
            purpose: one of `PURPOSES`.
            nbytes, layout: how much this rank will send, and a checksum of what that means.
            weight, loss, flag: numbers that the purpose gives a meaning.
            reason: why this rank ends, if it does.

        Raises:
            DistributedError: on every rank, if the purposes differ.
        """
        if self.over:
            raise DistributedError(self.over)
        record = np.zeros(1, RECORD)
        record[0] = (PURPOSES.index(purpose), self.meetings, nbytes, layout, weight, loss, flag)
        with self.together():
            records: Records = self._all_gather(record.view(np.uint8)).reshape(-1).view(RECORD)
        self.meetings += 1
        purposes = records["purpose"]
        if (purposes == purposes[0]).all():
            return records
        ended = [int(r) for r in np.flatnonzero(purposes == PURPOSES.index(END))]
        if ended:
            with self.together():
                words = self._last_words(reason)
            told = "; ".join(
                f"rank {r} has ended" + (f" ({words[r]})" if words[r] else ", see what it printed") for r in ended
            )
            self.over = f"{told}; so rank {self.rank} ends too, in its call {self.meetings}, {purpose}"
        else:
            calls = ", ".join(f"rank {r}: {PURPOSES[int(p)]}" for r, p in enumerate(purposes))
            self.over = f"the ranks make different calls, and cannot go on: call {self.meetings}: {calls}"
        if purpose == END:
            return records
        raise DistributedError(self.over)

    def _last_words(self, reason: str) -> list[str]:
        """Exchange the ranks' reasons, "" from those that go on; return them all."""
        words = np.zeros(REASON, np.uint8)
        text = reason.encode(errors="replace")[:REASON]
        words[: len(text)] = np.frombuffer(text, np.uint8)
        return [bytes(row).rstrip(b"\0").decode(errors="replace") for row in self._all_gather(words)]

    def leave(self, reason: str = "") -> None:
        """Tell the other ranks that this one makes no more calls, and wait for theirs. Nothing if they know.

        A process that ends does so by itself. If the others are leaving too, all is well; if they are not, each of them
        raises DistributedError, and ends. If an error tore this rank from an exchange, the others are ended at once.

        Args:
            reason: what the others' errors say why this rank has ended.
        """
        if self.torn:
            self._abandon()
        elif not self.over:
            self.meet(END, reason=reason)
            self.over = self.over or f"rank {self.rank} has left"

    # Exchanges

    def all_reduce(self, array: Array) -> Array:
        """Return the sum of an array over all ranks, with the same bits on each: the array itself, overwritten.

        `array` has the same shape and dtype on every rank, which the caller made sure of. It is on the host or a
        device; float16 is not summed by MPI. An array that is not in C order is copied, since MPI would send its
        memory as it lies.
        """
        backend = backend_of(array)
        if not isinstance(array, np.ndarray):
            if self._reduce_on_devices(array):
                return array
            host = np.array(backend.to_numpy(array), order="C")
            self._all_reduce(host)
            array[...] = backend.from_numpy(host)
            return array
        in_order = array if array.flags.c_contiguous else np.ascontiguousarray(array)
        self._all_reduce(in_order)
        if in_order is not array:
            array[...] = in_order
        return array

    def all_gather(self, data: bytes, purpose: str = "check") -> list[bytes]:
        """Return the bytes of every rank, on every rank; `data` may be of any length, `purpose` as in `meet`."""
        lengths = self.meet(purpose, nbytes=len(data))["nbytes"]
        if not lengths.max():
            return [b""] * self.size
        with self.together():
            padded = np.zeros(int(lengths.max()), np.uint8)
            padded[: len(data)] = np.frombuffer(data, np.uint8)
            rows = self._all_gather(padded)
        return [bytes(row[:n]) for row, n in zip(rows, lengths)]

    def broadcast(self, tree: Any) -> Any:
        """Return rank 0's `tree` on every rank: arrays and what JSON can hold, nested; what others gave is not read.

        Arrays arrive as host arrays in C order, tuples as lists.

        Raises:
            TypeError: on every rank, if rank 0's tree holds something else.
        """
        return self._sent("broadcast", tree, self.rank == 0)

    def gather(self, tree: Any) -> list[Any] | None:
        """Return on rank 0 the trees of all ranks, as `broadcast` sends them, in the order of ranks; None elsewhere.

        Raises:
            TypeError: on every rank, if a rank's tree holds something that cannot be sent.
        """
        return self._sent("gather", tree, True)  # type: ignore[no-any-return]

    def _sent(self, purpose: str, tree: Any, mine_counts: bool) -> Any:
        data, error = np.zeros(0, np.uint8), None
        if mine_counts:
            try:
                data = pack(tree)
            except TypeError as wrong:
                error = wrong
        records = self.meet(purpose, nbytes=data.size, flag=error is not None)
        if error is not None:
            raise error
        if records["flag"].any():
            ranks = ", ".join(str(r) for r in np.flatnonzero(records["flag"]))
            raise TypeError(f"Communicator.{purpose}: tree: the one of rank {ranks} cannot be sent, see its error")
        counts = [int(n) for n in records["nbytes"]]
        if purpose == "gather":
            with self.together():
                parts = self._gather(data, counts)
            return None if parts is None else [unpack(part) for part in parts]
        with self.together():
            if self.rank:
                data = np.empty(counts[0], np.uint8)
            self._broadcast(data)
        return unpack(data)


def pack(tree: Any) -> Bytes:
    """Return nested arrays and JSON values as bytes: the length of a JSON header, the header, the arrays in C order.

    Raises:
        TypeError: a value is neither an array of numbers nor for JSON.
    """
    arrays, plain = flatten(tree)
    hosts = {}
    for name, value in arrays.items():
        array = as_array(value, "Communicator", f"tree[{name!r}]")
        host = np.ascontiguousarray(backend_of(array).to_numpy(array))
        if host.dtype.kind not in "biufc":
            raise TypeError(f"Communicator: tree[{name!r}]: got an array of {host.dtype}, want numbers or booleans")
        hosts[name] = host, np.shape(array)
    layout = {name: (host.dtype.str, shape) for name, (host, shape) in hosts.items()}
    try:
        header = json.dumps({"plain": plain, "arrays": layout}).encode()
    except (TypeError, ValueError, RecursionError) as error:
        raise TypeError(f"Communicator: tree: want arrays and what JSON can hold: {error}") from error
    parts = [np.array([len(header)], np.int64).view(np.uint8), np.frombuffer(header, np.uint8)]
    return np.concatenate([*parts, *(host.reshape(-1).view(np.uint8) for host, _ in hosts.values())])


def unpack(data: Bytes) -> Any:
    """Return the tree that `pack` made bytes of."""
    end = 8 + int(data[:8].view(np.int64)[0])
    header: Mapping[str, Any] = json.loads(bytes(data[8:end]))
    arrays = {}
    for name, (code, shape) in header["arrays"].items():
        array: Any = np.empty(shape, np.dtype(code))
        begin, end = end, end + array.nbytes
        array.reshape(-1).view(np.uint8)[:] = data[begin:end]
        arrays[name] = array
    return unflatten(arrays, header["plain"])
