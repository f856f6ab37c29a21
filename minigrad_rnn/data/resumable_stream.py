"""`ResumableStream` is read epoch by epoch, from a position that can be saved; it can be dealt out in parts."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any, ClassVar, Generic, TypeVar

from minigrad.validation import check_integer, check_type, is_integer, shown

T = TypeVar("T")
S = TypeVar("S", bound="ResumableStream[Any]")


class ResumableStream(Generic[T]):
    """The base of all streams. A subclass defines `unit`, `__len__`, `layout`, `_read` and `_check_parts`, and
    `next_batch` or `next_chunk`, by its unit, which returns `_advance()`.

    Its position is `epoch` and, under the name that `unit` says, the number of what comes next in that epoch.
    """

    unit: ClassVar[str]
    """What the stream consists of, such as "batch": the name of the attribute, and of its key in a saved position."""

    def __init__(self) -> None:
        self.epoch = 0
        setattr(self, self.unit, 0)
        self._part: tuple[int, int] | None = None  # rank and size

    def __len__(self) -> int:
        raise NotImplementedError(f"{type(self).__name__}: __len__: this stream does not define one")

    def layout(self) -> dict[str, Any]:
        """Return what a saved position belongs to, for JSON: sizes, options and the seed."""
        raise NotImplementedError(f"{type(self).__name__}: layout: this stream does not define one")

    def _read(self) -> T:
        """Return what is at the position, which stays."""
        raise NotImplementedError(f"{type(self).__name__}: _read: this stream does not define one")

    def _check_parts(self, caller: str, size: int) -> None:
        """Raise ValueError, in the name of `caller`, if there is not enough of each batch for `size` parts."""
        raise NotImplementedError(f"{type(self).__name__}: _check_parts: this stream does not define one")

    def __iter__(self) -> Iterator[T]:
        epoch, following = self.epoch, getattr(self, f"next_{self.unit}")  # which a subclass may override
        while self.epoch == epoch:
            yield following()

    def _advance(self) -> T:
        """Return what is at the position and go on; after the last one the next epoch begins."""
        result = self._read()
        following = getattr(self, self.unit) + 1
        if following == len(self):
            self.epoch, following = self.epoch + 1, 0
        setattr(self, self.unit, following)
        return result

    def state_dict(self) -> dict[str, Any]:
        """Return the position and the layout that it belongs to, for JSON."""
        return {"epoch": self.epoch, self.unit: getattr(self, self.unit), **self.layout()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go to a saved position, the `state` that `state_dict` returned.

        Raises:
            ValueError: a key is missing, the position belongs to other data or another layout, or there is none such.
                After an error the position is as before.
        """
        caller = f"{type(self).__name__}.load_state_dict"
        check_type(caller, dict, "what state_dict returned", state=state)
        layout = self.layout()
        for name in ("epoch", self.unit, *layout):
            if name not in state:
                raise ValueError(f"{caller}: state: got {sorted(state, key=str)}, want {name} too")
            if name in layout and state[name] != layout[name]:
                raise ValueError(f"{caller}: state: {name}: got {shown(state[name])}, want {layout[name]} as here")
        epoch, number = state["epoch"], state[self.unit]
        if not is_integer(epoch) or not is_integer(number) or epoch < 0 or not 0 <= number < len(self):
            want = f"a {self.unit} of 0 to {len(self) - 1} and an epoch of at least 0"
            raise ValueError(f"{caller}: state: got {self.unit} {shown(number)} of epoch {shown(epoch)}, want {want}")
        self.epoch = int(epoch)
        setattr(self, self.unit, int(number))

    def shard(self: S, rank: int, size: int) -> S:
        """Return the `rank`-th of `size` parts: the same batches, with that part of each one's examples alone.

        The parts of a batch have as many examples as each other, or one more. The position is that of whole batches,
        and so are `state_dict()` and `batch_size`; each part keeps its own.

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
        self._check_parts(caller, size)
        part = copy.copy(self)
        part._part = (int(rank), int(size))
        return part
