"""`BatchReader` reads a stream epoch by epoch and knows where it is."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from ..data.content_digest import content_digest
from .stream_position import Stream, length_of

END = object()


class BatchReader:
    """Batches of a stream, and how many were read.

    `epochs` is the number of complete epochs, `batch` that of the batches read since. Some streams go to the next epoch
    with the last batch, others when asked for one more: `epoch_ended` says whether the last `read` came to the end.
    """

    def __init__(self, stream: Stream) -> None:
        self.stream = stream
        self.epochs = self.batch = 0
        self.epoch_ended = False
        self._iterator: Iterator[Any] | None = None
        self._last: tuple[dict[str, Any], Any] | None = None  # the position of the last batch, and the batch

    @property
    def epoch(self) -> float:
        """The epochs that were read, the current one as a fraction if its length is known."""
        length = length_of(self.stream)
        return self.epochs + (min(1.0, self.batch / length) if length and self.batch else 0.0)

    def restart(self) -> None:
        """Iterate anew from the stream's position, which others may have changed."""
        self._iterator = None

    def read(self) -> Any:
        """Return the next batch, or `END` where the epoch has no more.

        Raises:
            ValueError: an epoch has no batches.
        """
        self.epoch_ended = False
        for _ in range(2):  # a stream that stood at its end has nothing, once
            if self._iterator is None:
                self._iterator = iter(self.stream)
            epoch, position = self.stream.epoch, self.stream.state_dict()
            batch = next(self._iterator, END)
            if batch is not END:
                self._last = position, batch
                self.batch += 1
                if self.stream.epoch != epoch:
                    self._end()
                return batch
            self._iterator = None
            if self.batch:
                self._end()
                return END
        raise ValueError("Trainer: batches: got an epoch without batches")

    def _end(self) -> None:
        self._iterator = None
        self.epochs, self.batch, self.epoch_ended = self.epochs + 1, 0, True

    def state_dict(self) -> dict[str, Any]:
        """Return where the reader is, and what tells this stream's data from another's; only what JSON can hold."""
        last = None if self._last is None else {"position": self._last[0], "digest": content_digest(self._last[1])}
        return {
            "epochs": self.epochs, "batch": self.batch, "position": self.stream.state_dict(), "last": last,
        }  # fmt: skip

    def load_state_dict(self, state: dict[str, Any], *, check_data: bool = True) -> None:
        """Go to where `state_dict` was called.

        Raises:
            ValueError: the stream's own, or its data are others: it reads another batch where the saved one was read.
        """
        self._last = None
        if state["last"] is not None:
            self.stream.load_state_dict(state["last"]["position"])
            batch = next(iter(self.stream), END)
            if check_data and (batch is END or content_digest(batch) != state["last"]["digest"]):
                raise ValueError("batches: got other data than the checkpoint's run was trained on")
            self._last = state["last"]["position"], batch
        self.stream.load_state_dict(state["position"])
        self.epochs, self.batch, self.epoch_ended = state["epochs"], state["batch"], False
        self.restart()
