"""`all_or_nothing` runs updates of arrays in place, so that an error or Ctrl-C leaves none of them half done."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Sequence
from itertools import repeat
from operator import setitem
from typing import Any

import numpy as np

Array = Any
Update = tuple[Sequence[Array], Callable[[], Any]]
"""The arrays that a call changes in place, and the call."""

LIMIT = 1 << 20
"""Bytes of copies that are kept. More would push the arrays that are being updated out of the caches."""
SMALL = 1 << 15
"""Bytes up to which a copy in new memory is cheaper."""


class _Scratch:
    """Memory for copies, used again in the next step: new memory of the system would cost more than the update."""

    def __init__(self) -> None:
        self.buffer = np.empty(0, np.uint8)
        self.used = self.wanted = 0

    def copy(self, array: Array) -> Array:
        if array.nbytes <= SMALL or not isinstance(array, np.ndarray) or not array.flags.c_contiguous:
            return array.copy("K")
        start = self.used
        self.used = end = start + (array.nbytes + 63) // 64 * 64
        self.wanted = max(self.wanted, end)
        if end > self.buffer.size:
            return array.copy()
        copy = self.buffer[start : start + array.nbytes].view(array.dtype).reshape(array.shape)
        np.copyto(copy, array)
        return copy

    def clear(self) -> None:
        self.used = 0
        if self.wanted > self.buffer.size:
            self.buffer = np.empty(self.wanted, np.uint8)


class _Spare(threading.local):
    scratch: _Scratch | None = None


_spare = _Spare()


def all_or_nothing(updates: Sequence[Update], publish: Callable[[int], Any]) -> None:
    """Make all calls, one after another, and then call `publish` with the number of calls made.

    What a call is about to change is copied first. After an error or Ctrl-C everything is put back, `publish(0)` is
    called and the error goes on. If there were more than `LIMIT` bytes, the oldest copies are gone by then: the calls
    that are left are made nevertheless before the error goes on, so that all have been made.

    Raises:
        The first error of a call. If that very call raises again, the calls before it have been made, and no other.
    """
    scratch = _spare.scratch or _Scratch()
    _spare.scratch = None  # a finaliser may run another optimizer's step meanwhile
    arrays: list[Array] = []
    copies: list[Array] = []
    kept = nbytes = 0  # `kept` is the number of calls whose copies are gone
    try:
        for k, (changed, call) in enumerate(updates):
            for array in changed:
                copies.append(scratch.copy(array))
                arrays.append(array)
                nbytes += array.nbytes
            call()
            if nbytes > LIMIT:
                arrays, copies, nbytes, kept = [], [], 0, k + 1
                scratch.clear()
        publish(len(updates))
    except BaseException:
        deque(map(setitem, arrays, repeat(...), copies), maxlen=0)  # in C: nothing can come between
        publish(_complete(updates, kept) if kept else 0)
        raise
    scratch.clear()
    _spare.scratch = scratch


def _complete(updates: Sequence[Update], first: int) -> int:
    """Make the calls from `first` on, up to one that raises; return the number of all calls made."""
    for k in range(first, len(updates)):
        changed, call = updates[k]
        copies = [array.copy() for array in changed]
        try:
            with np.errstate(all="ignore"):  # which may have made the error
                call()
        except BaseException:
            deque(map(setitem, changed, repeat(...), copies), maxlen=0)
            return k
    return len(updates)
