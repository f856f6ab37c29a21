"""A long text as parallel streams of chunks, for truncated back-propagation through time.

A recurrent model can carry its state from one chunk to the next only if the next chunk goes on where the last one
stopped. So a batch is not B random places: the text is cut once into B contiguous streams and all of them are read side
by side (Mikolov et al. 2010, "Recurrent neural network based language model"; Karpathy 2015, "The unreasonable
effectiveness of recurrent neural networks").
"""

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

IntArray = npt.NDArray[np.integer[Any]]


class Chunk(NamedTuple):
    """Up to ``steps`` time steps of every stream; ``inputs`` and ``targets`` are (T, B), copies of their own."""

    inputs: IntArray
    targets: IntArray
    fresh: bool


class Streams:
    """``batch_size`` streams of one text, read ``steps`` characters at a time.

    With L = (len(ids) - 1) // B, stream b predicts ids[b·L + 1], …, ids[b·L + L], each from the character before it.
    An epoch so predicts every character once, except the first one, which has none before it, and the last
    (len(ids) - 1) % B, which do not fill a row.

    ``for inputs, targets, fresh in streams`` reads the rest of the current epoch: chunk k + 1 continues chunk k in
    every stream, and ``fresh`` is True on the first chunk of an epoch, where the state must start anew. The position
    always names the next chunk to be read, so that a state saved in the loop's body resumes behind that chunk.

    Args:
        ids: the encoded text, integers (N,); chunks keep its dtype.
        batch_size: number of streams B.
        steps: length T of a chunk; the last one of an epoch is shorter where T does not divide L.
        drop_last: leave that shorter chunk out.
        rotate: begin each epoch at another place of the text, so that streams and chunks are cut elsewhere. The text
            is closed to a ring for it: one prediction at most crosses from its end to its beginning.
        seed: epoch e begins at a place that depends on (seed, e) alone.

    Raises:
        TypeError: ids that are not integers; batch_size or steps that is no int.
        ValueError: ids that are not one-dimensional or shorter than 2 · batch_size; batch_size or steps below 1; no
            chunk left under drop_last.

    >>> for inputs, targets, fresh in Streams(np.arange(9), batch_size=2, steps=3):
    ...     print(inputs.T.tolist(), targets.T.tolist(), fresh)
    [[0, 1, 2], [4, 5, 6]] [[1, 2, 3], [5, 6, 7]] True
    [[3], [7]] [[4], [8]] False
    """

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
        ids = np.asarray(ids)
        for name, value in (("batch_size", batch_size), ("steps", steps)):
            if not isinstance(value, (int, np.integer)):
                raise TypeError(f"Streams: {name} is {value!r}, wanted an int")
            if value < 1:
                raise ValueError(f"Streams: {name} is {value}, wanted at least 1")
        if ids.ndim != 1:
            raise ValueError(f"Streams: ids has shape {ids.shape}, wanted one dimension, (N,)")
        if ids.dtype.kind not in "iu":
            raise TypeError(f"Streams: ids is {ids.dtype}, wanted integers")
        if ids.size < 2 * batch_size:
            raise ValueError(
                f"Streams: ids has {ids.size} characters for batch_size {batch_size}, wanted at least {2 * batch_size},"
                " two a stream: one to read and one to predict"
            )
        self.ids = ids
        self.batch_size = int(batch_size)
        self.steps = int(steps)
        self.drop_last = drop_last
        self.rotate = rotate
        self.seed = seed
        self.epoch = 0
        self.chunk = 0
        self._length = (ids.size - 1) // self.batch_size
        self._cut: tuple[int, IntArray, IntArray] | None = None
        if len(self) == 0:
            raise ValueError(
                f"Streams: steps is {steps}, but a stream has {self._length} characters to predict; wanted steps of at "
                f"most {self._length} with drop_last"
            )

    def __len__(self) -> int:
        """Chunks in an epoch."""
        return self._length // self.steps if self.drop_last else -(-self._length // self.steps)

    @property
    def characters_per_epoch(self) -> int:
        """How many characters an epoch predicts."""
        return self.batch_size * min(self._length, len(self) * self.steps)

    def __iter__(self) -> Iterator[Chunk]:
        epoch = self.epoch
        while self.epoch == epoch:
            yield self.next_chunk()

    def next_chunk(self) -> Chunk:
        """The chunk at the current position; the position moves on, from the last chunk into the next epoch."""
        inputs, targets = self._rows()
        here = slice(self.chunk * self.steps, (self.chunk + 1) * self.steps)
        chunk = Chunk(inputs[:, here].T.copy(), targets[:, here].T.copy(), fresh=self.chunk == 0)
        self.chunk += 1
        if self.chunk == len(self):
            self.epoch, self.chunk = self.epoch + 1, 0
        return chunk

    def state_dict(self) -> dict[str, int | bool]:
        """The position, and what gives it its meaning; numbers only, for JSON."""
        return {"epoch": self.epoch, "chunk": self.chunk, **self._layout()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go to a saved position.

        Raises:
            ValueError: a key is missing, the position is of a text or layout other than this one, or no such chunk.
        """
        for name, mine in {"epoch": None, "chunk": None, **self._layout()}.items():
            if name not in state:
                raise ValueError(f"Streams.load_state_dict: {name} is missing, got {sorted(state)}")
            if mine is not None and state[name] != mine:
                raise ValueError(
                    f"Streams.load_state_dict: {name} was {state[name]} where it was saved, here it is {mine}"
                )
        epoch, chunk = int(state["epoch"]), int(state["chunk"])
        if epoch < 0 or not 0 <= chunk < len(self):
            raise ValueError(
                f"Streams.load_state_dict: chunk {chunk} of epoch {epoch}, wanted a chunk of 0 to {len(self) - 1} and "
                "an epoch of at least 0"
            )
        self.epoch, self.chunk = epoch, chunk

    def _layout(self) -> dict[str, int | bool]:
        return {
            "characters": int(self.ids.size),
            "batch_size": self.batch_size,
            "steps": self.steps,
            "drop_last": self.drop_last,
            "rotate": self.rotate,
            "seed": self.seed,
        }

    def _rows(self) -> tuple[IntArray, IntArray]:
        """Inputs and targets of this epoch, (B, L) each, cut once an epoch; without rotation views of ``ids``."""
        if self._cut is None or self._cut[0] != self.epoch:
            ids = self.ids
            if self.rotate:
                ids = np.roll(ids, -int(np.random.default_rng([self.seed, self.epoch]).integers(ids.size)))
            shape, end = (self.batch_size, self._length), self.batch_size * self._length
            self._cut = self.epoch, ids[:end].reshape(shape), ids[1 : end + 1].reshape(shape)
        return self._cut[1:]
