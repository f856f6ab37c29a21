"""`Stream` is a sequence of batches with a position: an order for each epoch, and a state from which it resumes."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any, TypeVar

import numpy as np

from minigrad.validation import check_integer, check_type, is_integer, shown

from .dataset import Dataset, Indices

S = TypeVar("S", bound="Stream")


class Stream:
    """The base of streams of batches. A subclass defines `__len__`, `order_of`, `batch_of` and `layout`.

    `for batch in stream` reads the rest of the current epoch. The position (`epoch`, `batch`) is that of the next
    batch, so a state saved in the loop's body resumes after the current one.
    """

    _dataset: Dataset

    def __init__(self) -> None:
        self._part: tuple[int, int] | None = None
        self.epoch = 0
        self.batch = 0
        self._order: tuple[int, list[Indices]] | None = None

    def __len__(self) -> int:
        """Return the number of batches in an epoch, which is the same in every epoch."""
        raise NotImplementedError(f"{type(self).__name__}: __len__: this stream does not define one")

    def order_of(self, epoch: int) -> list[Indices]:
        """Return, for each batch of an epoch, where its examples stand in the data. It depends on `epoch` alone."""
        raise NotImplementedError(f"{type(self).__name__}: order_of: this stream does not define one")

    def batch_of(self, indices: Indices) -> Any:
        """Return the batch of the examples at these places, `indices`."""
        raise NotImplementedError(f"{type(self).__name__}: batch_of: this stream does not define one")

    def layout(self) -> dict[str, Any]:
        """Return what a saved position belongs to, for JSON: sizes, options and the seed."""
        raise NotImplementedError(f"{type(self).__name__}: layout: this stream does not define one")

    @property
    def order(self) -> list[Indices]:
        """For each batch of the current epoch, where its examples stand in the data."""
        if self._order is None or self._order[0] != self.epoch:
            self._order = self.epoch, self.order_of(self.epoch)
        return self._order[1]

    def __iter__(self) -> Iterator[Any]:
        epoch = self.epoch
        while self.epoch == epoch:
            yield self.next_batch()

    def next_batch(self) -> Any:
        """Return the batch at the current position and advance it; after the last batch the next epoch begins."""
        indices = self.order[self.batch]
        if self._part is not None:
            rank, size = self._part
            indices = np.array_split(indices, size)[rank]
        batch = self.batch_of(indices)
        self.batch += 1
        if self.batch == len(self):
            self.epoch, self.batch = self.epoch + 1, 0
        return batch

    def shard(self: S, rank: int, size: int) -> S:
        """Return the `rank`-th of `size` parts: the same batches, with that part of each one's examples alone.

        The parts of a batch have as many examples as each other, or one more. The position is that of whole batches,
        and so are `state_dict()`, `order` and `batch_size`; each part keeps its own.

        Args:
            rank: the part's number, from 0 on.
            size: the number of parts.

        Raises:
            ValueError: a batch has fewer examples than there are parts, no part of that number, or this is a part
                already.
        """
        caller = f"{type(self).__name__}.shard"
        check_integer(caller, size=size)
        check_integer(caller, 0, size - 1, rank=rank)
        if self._part is not None:
            raise ValueError(f"{caller}: this is a part already; want the whole stream")
        smallest = min(map(len, self.order_of(self.epoch)))
        if smallest < size:
            want = "a batch_size, drop_last or max_padding with which every batch has at least that many"
            raise ValueError(f"{caller}: size: got {size} parts, and a batch has {smallest} examples; want {want}")
        part = copy.copy(self)
        part._part = (int(rank), int(size))
        return part

    def fingerprint(self) -> str:
        """Return a hash of the data."""
        return self._dataset.fingerprint()

    def state_dict(self) -> dict[str, Any]:
        """Return the position and the layout that it belongs to, for JSON."""
        return {"epoch": self.epoch, "batch": self.batch, **self.layout()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go to a saved position, the `state` that `state_dict` returned.

        Raises:
            ValueError: a key is missing, the position belongs to other data or another layout, or there is no such
                batch. After an error the position is as before.
        """
        caller = f"{type(self).__name__}.load_state_dict"
        check_type(caller, dict, "what state_dict returned", state=state)
        layout = self.layout()
        for name in ("epoch", "batch", *layout):
            if name not in state:
                raise ValueError(f"{caller}: state: got {sorted(state, key=str)}, want {name} too")
            if name in layout and state[name] != layout[name]:
                raise ValueError(f"{caller}: state: {name}: got {shown(state[name])}, want {layout[name]} as here")
        epoch, batch = state["epoch"], state["batch"]
        if not is_integer(epoch) or not is_integer(batch) or epoch < 0 or not 0 <= batch < len(self):
            want = f"a batch of 0 to {len(self) - 1} and an epoch of at least 0"
            raise ValueError(f"{caller}: state: got batch {shown(batch)} of epoch {shown(epoch)}, want {want}")
        self.epoch, self.batch = int(epoch), int(batch)
