"""`BucketedBatches` makes shuffled batches of sequences of similar lengths, so that little of a batch is padding."""

from __future__ import annotations

import math
import zlib
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from minigrad.validation import check_flag, check_function, check_integer, check_probability, is_integer, shown

from .dataset import Dataset, Indices
from .padding import pad_sequence
from .stream import Stream


class BucketedBatches(Stream):
    """Batches of items of similar lengths, every item once an epoch, with a bound on the padding.

    Items are sorted into buckets, each a range of lengths. At first each length is a bucket of its own; then the two
    neighbours are joined whose union costs the least padding, again and again, while padding every item to the longest
    of its bucket keeps within the bound. A batch is drawn from one bucket: in every epoch other items meet, and
    batches come in another order. Each bucket is cut into batches of equal size, give or take one.

    >>> items = [[1], [2, 2], [3, 3, 3], [4], [5, 5, 5]]
    >>> batches = BucketedBatches(items, 2, max_padding=0, shuffle=False)
    >>> [xs.T.tolist() for xs, lengths in batches]
    [[[1], [4]], [[2, 2]], [[3, 3, 3], [5, 5, 5]]]
    >>> batches.padding
    0.0

    Args:
        data: a list of items.
        batch_size: the most items of a batch.
        length: a function that returns an item's length, such as `lambda pair: len(pair[0])`.
        collate: a function that makes a batch of a list of items. None, for items that are sequences of numbers:
            (xs, lengths), by `pad_sequence(items, return_lengths=True)`.
        max_padding: the largest share of an epoch's steps that may be padding, in [0, 1); 0 joins equal lengths only.
        shuffle: whether to draw other batches for each epoch; else shorter items come first.
        seed: the batches of epoch e depend only on (seed, e).

    Raises:
        TypeError: data that are no sequence, or a length or collate that is no function.
        ValueError: no items, a batch_size below 1, max_padding out of range, or a length that is no whole number of at
            least 1.
    """

    def __init__(
        self,
        data: Any,
        batch_size: int,
        *,
        length: Callable[[Any], int] = len,
        collate: Callable[[list[Any]], Any] | None = None,
        max_padding: float = 0.1,
        shuffle: bool = True,
        seed: int = 0,
    ) -> None:
        super().__init__()
        self._dataset = Dataset("BucketedBatches", data)
        if self._dataset.columns is not None:
            raise TypeError("BucketedBatches: data: got arrays, want a list of items, such as list(zip(xs, ys))")
        check_integer("BucketedBatches", most=math.inf, batch_size=batch_size)
        check_integer("BucketedBatches", 0, seed=seed)
        check_flag("BucketedBatches", shuffle=shuffle)
        check_probability("BucketedBatches", max_padding=max_padding)
        check_function("BucketedBatches", length=length)
        if collate is not None:
            check_function("BucketedBatches", collate=collate)
        self.batch_size, self.seed, self.shuffle = int(batch_size), int(seed), bool(shuffle)
        self.max_padding, self.collate = float(max_padding), collate
        self.lengths = _lengths(data, self._dataset.size, length)
        """The items' lengths, int64 (N,)."""
        self.buckets = _buckets(self.lengths, self.max_padding)
        """The longest length of each bucket, in ascending order."""
        bucket_of = np.searchsorted(self.buckets, self.lengths)
        self._members: list[Indices] = [np.flatnonzero(bucket_of == k) for k in range(len(self.buckets))]

    @property
    def size(self) -> int:
        """The number of items in the data."""
        return self._dataset.size

    def __len__(self) -> int:
        return sum(map(self._count, self._members))

    def _count(self, members: Indices) -> int:
        return -(-len(members) // self.batch_size)

    @property
    def padding(self) -> float:
        """The share of padding in the steps of the current epoch's batches, at most `max_padding`."""
        padded = sum(len(indices) * int(self.lengths[indices].max()) for indices in self.order)
        return 1 - int(self.lengths.sum()) / padded

    def order_of(self, epoch: int) -> list[Indices]:
        rng = np.random.default_rng([self.seed, epoch]) if self.shuffle else None
        batches: list[Indices] = []
        for members in self._members:
            mixed = members if rng is None else rng.permutation(members)
            batches += np.array_split(mixed, self._count(members))
        return batches if rng is None else [batches[k] for k in rng.permutation(len(batches))]

    def batch_of(self, indices: Indices) -> Any:
        items = self._dataset.pick(indices)
        return pad_sequence(items, return_lengths=True) if self.collate is None else self.collate(items)

    def layout(self) -> dict[str, Any]:
        names = ("size", "batch_size", "max_padding", "shuffle", "seed")
        checksum = zlib.crc32(self.lengths.astype("<i8").tobytes())
        return {**{name: getattr(self, name) for name in names}, "lengths": checksum}


def _lengths(data: Any, size: int, length: Callable[[Any], int]) -> npt.NDArray[np.int64]:
    lengths: list[int] = []
    for k in range(size):
        if length is len and isinstance(data[k], (tuple, dict)):
            want = "such as lambda item: len(item[0])"
            got = type(data[k]).__name__
            raise ValueError(f"BucketedBatches: length: got len for data[{k}], a {got}, want a function for it, {want}")
        try:
            n: Any = length(data[k])
        except TypeError as error:
            raise TypeError(f"BucketedBatches: length: fails for data[{k}], {shown(data[k])}: {error}") from error
        if not is_integer(n) or n < 1:
            want = "want a whole number of at least 1"
            raise ValueError(f"BucketedBatches: length: got {shown(n)} for data[{k}], {want}")
        lengths.append(int(n))
    return np.array(lengths, np.int64)


def _buckets(lengths: npt.NDArray[np.int64], max_padding: float) -> npt.NDArray[np.int64]:
    """The longest length of each bucket: neighbours are joined, the cheapest first, while padding is in the bound."""
    longest, counts = np.unique(lengths, return_counts=True)
    total = padded = int(lengths.sum())
    while len(longest) > 1:
        cost = counts[:-1] * np.diff(longest)  # of padding each bucket to the next one's length
        k = int(cost.argmin())
        padded += int(cost[k])
        if 1 - total / padded > max_padding:
            break
        counts[k + 1] += counts[k]
        longest, counts = np.delete(longest, k), np.delete(counts, k)
    return longest
