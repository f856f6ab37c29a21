"""`stream_of` makes of anything that yields batches a stream whose position is saved and resumed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Protocol

from minigrad.option_checks import is_integer, shown, type_shown


class Stream(Protocol):
    """What a trainer reads: `minigrad_rnn.text.Streams`, `minigrad_rnn.data.Batches` and whatever is like them.

    Iteration reads the rest of the current epoch. The position is that of the next batch, so one that is saved in the
    loop's body resumes after the current batch; which batch comes next depends on nothing else.
    """

    epoch: int

    def __iter__(self) -> Iterator[Any]: ...

    def state_dict(self) -> dict[str, Any]: ...

    def load_state_dict(self, state: dict[str, Any], /) -> None: ...


class PlainStream:
    """The batches of a list, or of anything that can be iterated over again and again, as a stream.

    The order is that of `batches`, in every epoch.
    """

    def __init__(self, batches: Any) -> None:
        self.batches = batches
        self.epoch = self.batch = 0

    def __len__(self) -> int:
        return len(self.batches)

    def __iter__(self) -> Iterator[Any]:
        if isinstance(self.batches, Sequence):
            while self.batch < len(self.batches):
                self.batch += 1
                yield self.batches[self.batch - 1]
        else:
            first = self.batch
            for k, batch in enumerate(self.batches):
                if k >= first:
                    self.batch += 1
                    yield batch
        self.epoch, self.batch = self.epoch + 1, 0

    def state_dict(self) -> dict[str, int | None]:
        """Return the position: the epoch, the number of batches that were read of it, and how many it has, if known."""
        return {"epoch": self.epoch, "batch": self.batch, "batches": self._length()}

    def _length(self) -> int | None:
        return len(self.batches) if hasattr(self.batches, "__len__") else None

    def load_state_dict(self, state: dict[str, Any], /) -> None:
        """Go to a position that `state_dict` returned. Raises ValueError if it is none."""
        epoch, batch = state.get("epoch", -1), state.get("batch", -1)
        if len(state) != 3 or not all(is_integer(value) and value >= 0 for value in (epoch, batch)):
            raise ValueError(f"batches: got the position {shown(list(state.values()))}, want an epoch and a batch")
        length = self._length()
        if state.get("batches") != length:
            raise ValueError(
                f"batches: got the position in {shown(state.get('batches'))} batches, want one in {length}"
            )
        if length is not None and batch > length:
            raise ValueError(f"batches: got the position {batch}, want one of {length} batches")
        self.epoch, self.batch = epoch, batch


def stream_of(caller: str, batches: Any) -> Stream:
    """Return `batches` itself if it is a stream, else a stream of it.

    Raises:
        TypeError: it yields nothing, or can be read only once. ValueError: it is empty.
    """
    if all(hasattr(batches, name) for name in ("__iter__", "epoch", "state_dict", "load_state_dict")):
        stream: Stream = batches
        return stream
    if not hasattr(batches, "__iter__") or isinstance(batches, (str, bytes, dict)):
        raise TypeError(f"{caller}: batches: got {type_shown(batches)}, want a stream of batches, or a list of them")
    if iter(batches) is batches:
        raise TypeError(f"{caller}: batches: got {type_shown(batches)}, which can be read only once; want a list")
    if hasattr(batches, "__len__") and not len(batches):
        raise ValueError(f"{caller}: batches: got none, want at least one batch")
    return PlainStream(batches)


def length_of(stream: Stream) -> int | None:
    """Return the number of batches in an epoch, or None where the stream does not tell."""
    try:
        return len(stream)  # type: ignore[arg-type]
    except TypeError:
        return None
