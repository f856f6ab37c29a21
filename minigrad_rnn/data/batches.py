"""`Batches` makes shuffled batches of a data set, in an order that depends only on a seed and the epoch."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from minigrad.validation import check_flag, check_function, check_integer

from .dataset import Dataset, Indices
from .stream import Stream


class Batches(Stream):
    """Batches of a data set, every example once an epoch: `for batch in batches` reads the rest of an epoch.

    >>> batches = Batches((np.arange(5), np.arange(5) ** 2), 2, shuffle=False)
    >>> [(x.tolist(), y.tolist()) for x, y in batches]
    [([0, 1], [0, 1]), ([2, 3], [4, 9]), ([4], [16])]
    >>> batches.epoch, len(batches)
    (1, 3)

    Args:
        data: an array, or a tuple or dictionary of arrays, with one example in each place of the first axis; or a list
            of items of any kind.
        batch_size: examples of a batch; the last one of an epoch may have fewer.
        collate: a function that makes a batch of what was picked: of rows of the arrays, in the form of `data` (a
            tuple, a dictionary, …), or of a list of items. None for just that.
        shuffle: whether to draw another order for each epoch; else it is the data's.
        drop_last: whether to leave a last batch with fewer examples out.
        seed: the order of epoch e depends only on (seed, e).

    Raises:
        TypeError: data that are neither arrays nor a sequence, or a collate that is no function.
        ValueError: no examples, arrays with different first axes, a batch_size below 1, or no batch left under
            drop_last.
    """

    def __init__(
        self,
        data: Any,
        batch_size: int,
        *,
        collate: Callable[[Any], Any] | None = None,
        shuffle: bool = True,
        drop_last: bool = False,
        seed: int = 0,
    ) -> None:
        super().__init__()
        self._dataset = Dataset("Batches", data)
        check_integer("Batches", most=math.inf, batch_size=batch_size)
        check_integer("Batches", 0, seed=seed)
        check_flag("Batches", shuffle=shuffle, drop_last=drop_last)
        if collate is not None:
            check_function("Batches", collate=collate)
        if drop_last and self._dataset.size < batch_size:
            got = f"{batch_size} for {self._dataset.size} examples"
            raise ValueError(f"Batches: batch_size: got {got}, want at most {self._dataset.size} with drop_last")
        self.batch_size, self.seed = int(batch_size), int(seed)
        self.shuffle, self.drop_last, self.collate = bool(shuffle), bool(drop_last), collate

    @property
    def size(self) -> int:
        """The number of examples in the data."""
        return self._dataset.size

    def __len__(self) -> int:
        return self.size // self.batch_size if self.drop_last else -(-self.size // self.batch_size)

    def order_of(self, epoch: int) -> list[Indices]:
        indices: Indices = np.arange(self.size)
        if self.shuffle:
            np.random.default_rng([self.seed, epoch]).shuffle(indices)
        starts = range(0, len(self) * self.batch_size, self.batch_size)
        return [indices[start : start + self.batch_size] for start in starts]

    def batch_of(self, indices: Indices) -> Any:
        picked = self._dataset.pick(indices)
        return picked if self.collate is None else self.collate(picked)

    def layout(self) -> dict[str, Any]:
        names = ("size", "batch_size", "shuffle", "drop_last", "seed")
        return {name: getattr(self, name) for name in names}
