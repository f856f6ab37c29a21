"""Parallel streams of chunks of a long text, for truncated back-propagation through time.

A recurrent model can carry its state from one chunk to the next only if the next chunk continues where the last one
stopped. So a batch is not B random positions: the text is cut into B contiguous streams, which are read side by side
(Mikolov et al. 2010, "Recurrent neural network based language model"; Karpathy 2015, "The unreasonable
effectiveness of recurrent neural networks").
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from minigrad.backend import fingerprint
from minigrad.validation import as_array, check_flag, check_integer

from ..data.resumable_stream import ResumableStream

IntArray = npt.NDArray[np.integer[Any]]


class Chunk(NamedTuple):
    """Up to `steps` time steps of every stream; `inputs` and `targets` are (T, B) copies."""

    inputs: IntArray
    targets: IntArray
    fresh: bool


def check_ids(caller: str, ids: IntArray) -> IntArray:
    """The ids as an array. Raises ValueError unless it is (N,), TypeError unless it holds integers."""
    array: IntArray = as_array(ids, caller, "ids")
    if array.ndim != 1:
        raise ValueError(f"{caller}: ids: got shape {array.shape}, want one dimension, (N,)")
    if array.dtype.kind not in "iu":
        raise TypeError(f"{caller}: ids: got {array.dtype}, want integers")
    return array


class Streams(ResumableStream[Chunk]):
    """`batch_size` streams of one text, read `steps` characters at a time.

    With L = (len(ids) - 1) // B, stream b predicts ids[b·L + 1], …, ids[b·L + L], each from the character before it.
    So an epoch predicts every character once, except the first one, which has none before it, and the last
    (len(ids) - 1) % B, which do not fill a row.

    `for inputs, targets, fresh in streams` reads the rest of the current epoch: chunk k + 1 continues chunk k in every
    stream, and `fresh` is True for the first chunk of an epoch, where the state must start anew. The position is that
    of the next chunk, so a state saved in the loop's body resumes after the current one.

    Args:
        ids: the encoded text, integers (N,); chunks keep its dtype.
        batch_size: number of streams B.
        steps: length T of a chunk; the last one of an epoch is shorter if T does not divide L.
        drop_last: leave that shorter chunk out.
        rotate: begin each epoch at another position of the text, so that streams and chunks are cut elsewhere. The text
            becomes a ring: at most one prediction crosses from its end to its beginning.
        seed: epoch e begins at a position that depends only on (seed, e).

    Raises:
        TypeError: ids that are not integers.
        ValueError: ids that are not one-dimensional or shorter than 2 · batch_size; a batch_size or steps that is no
            whole number of at least 1; no chunk left under drop_last.

    >>> for inputs, targets, fresh in Streams(np.arange(9), batch_size=2, steps=3):
    ...     print(inputs.T.tolist(), targets.T.tolist(), fresh)
    [[0, 1, 2], [4, 5, 6]] [[1, 2, 3], [5, 6, 7]] True
    [[3], [7]] [[4], [8]] False

    A part (`shard`) has some of the streams:

    >>> whole = Streams(np.arange(9), batch_size=2, steps=4)
    >>> [whole.shard(rank, 2).next_chunk().inputs.T.tolist() for rank in (0, 1)]
    [[[0, 1, 2, 3]], [[4, 5, 6, 7]]]
    """

    unit = "chunk"
    chunk: int

    def __init__(
        self,
        ids: IntArray,
        batch_size: int,
        steps: int,
        *,
        drop_last: bool = False,
        rotate: bool = False,
        seed: int = 0,
    ) -> None:
        super().__init__()
        ids = check_ids("Streams", ids)
        check_integer("Streams", batch_size=batch_size)
        check_integer("Streams", most=math.inf, steps=steps)
        check_integer("Streams", 0, seed=seed)
        check_flag("Streams", drop_last=drop_last, rotate=rotate)
        if ids.size < 2 * batch_size:
            want = f"at least {2 * batch_size}, two per stream: one to read and one to predict"
            raise ValueError(f"Streams: ids: got {ids.size} characters for batch_size {batch_size}, want {want}")
        self.ids, self.batch_size, self.steps = ids, int(batch_size), int(steps)
        self.drop_last, self.rotate, self.seed = drop_last, rotate, seed
        self._length = (ids.size - 1) // self.batch_size
        self._cut: tuple[int, IntArray, IntArray] | None = None
        if len(self) == 0:
            got = f"{steps} for {self._length} characters to predict per stream"
            raise ValueError(f"Streams: steps: got {got}, want at most {self._length} with drop_last")

    def __len__(self) -> int:
        """Return the number of chunks in an epoch."""
        return self._length // self.steps if self.drop_last else -(-self._length // self.steps)

    @property
    def characters_per_epoch(self) -> int:
        """The number of characters that an epoch predicts."""
        return self.batch_size * min(self._length, len(self) * self.steps)

    def next_chunk(self) -> Chunk:
        """Return the chunk at the current position and advance it; after the last chunk the next epoch begins."""
        return self._advance()

    def _read(self) -> Chunk:
        """Return the chunk at the position, which stays."""
        inputs, targets = self._rows()
        window = slice(self.chunk * self.steps, (self.chunk + 1) * self.steps)
        if self._part is not None:
            rank, size = self._part
            streams = slice(self.batch_size * rank // size, self.batch_size * (rank + 1) // size)
            inputs, targets = inputs[streams], targets[streams]
        return Chunk(inputs[:, window].T.copy(), targets[:, window].T.copy(), fresh=self.chunk == 0)

    def _check_parts(self, caller: str, size: int) -> None:
        if size > self.batch_size:
            raise ValueError(f"{caller}: size: got {size} parts for {self.batch_size} streams, want at most that")

    def fingerprint(self) -> str:
        """Return a checksum of the text's ids."""
        return f"{fingerprint(self.ids)}"

    def layout(self) -> dict[str, int | bool]:
        names = ("batch_size", "steps", "drop_last", "rotate", "seed")
        return {"characters": int(self.ids.size), **{name: getattr(self, name) for name in names}}

    def _rows(self) -> tuple[IntArray, IntArray]:
        """Inputs and targets of this epoch, (B, L) each, cut once per epoch; without rotation views of `ids`."""
        if self._cut is None or self._cut[0] != self.epoch:
            ids = self.ids
            if self.rotate:
                ids = np.roll(ids, -int(np.random.default_rng([self.seed, self.epoch]).integers(ids.size)))
            shape, end = (self.batch_size, self._length), self.batch_size * self._length
            self._cut = self.epoch, ids[:end].reshape(shape), ids[1 : end + 1].reshape(shape)
        return self._cut[1:]
