"""`Stream` is a sequence of batches with a position: an order for each epoch, and a state from which it resumes."""

from __future__ import annotations

from typing import Any

import numpy as np

from .dataset import Dataset, Indices
from .resumable_stream import ResumableStream


class Stream(ResumableStream[Any]):
    """The base of streams of batches. A subclass defines `__len__`, `order_of`, `batch_of` and `layout`.

    `for batch in stream` reads the rest of the current epoch. The position (`epoch`, `batch`) is that of the next
    batch, so a state saved in the loop's body resumes after the current one.
    """

    unit = "batch"
    batch: int
    _dataset: Dataset

    def __init__(self) -> None:
        super().__init__()
        self._order: tuple[int, list[Indices]] | None = None

    def __len__(self) -> int:
        """Return the number of batches in an epoch, which is the same in every epoch."""
        return super().__len__()

    def order_of(self, epoch: int) -> list[Indices]:
        """Return, for each batch of an epoch, where its examples stand in the data. It depends on `epoch` alone."""
        raise NotImplementedError(f"{type(self).__name__}: order_of: this stream does not define one")

    def batch_of(self, indices: Indices) -> Any:
        """Return the batch of the examples at these places, `indices`."""
        raise NotImplementedError(f"{type(self).__name__}: batch_of: this stream does not define one")

    @property
    def order(self) -> list[Indices]:
        """For each batch of the current epoch, where its examples stand in the data; in a part as in the whole."""
        if self._order is None or self._order[0] != self.epoch:
            self._order = self.epoch, self.order_of(self.epoch)
        return self._order[1]

    def next_batch(self) -> Any:
        """Return the batch at the current position and advance it; after the last batch the next epoch begins."""
        return self._advance()

    def _read(self) -> Any:
        """Return the batch at the position, which stays."""
        indices = self.order[self.batch]
        if self._part is not None:
            rank, size = self._part
            indices = np.array_split(indices, size)[rank]
        return self.batch_of(indices)

    def _check_parts(self, caller: str, size: int) -> None:
        smallest = min(map(len, self.order_of(self.epoch)))
        if smallest < size:
            want = "a batch_size, drop_last or max_padding with which every batch has at least that many"
            raise ValueError(f"{caller}: size: got {size} parts, and a batch has {smallest} examples; want {want}")

    def fingerprint(self) -> str:
        """Return a hash of the data."""
        return self._dataset.fingerprint()
