"""Runs an action again and again, interrupted by Ctrl-C at each point in turn where Python looks for signals."""

from __future__ import annotations

import dis
import sys
from collections.abc import Callable, Iterator
from functools import cache
from types import CodeType, FrameType
from typing import Any

CHECKED = ("CALL", "RESUME", "JUMP_BACKWARD", "JUMP_ABSOLUTE")
"""The instructions, by the beginnings of their names, after which CPython looks for signals."""


@cache
def _handlers(code: CodeType) -> list[tuple[int, int, int]]:
    """Return the beginning, end and target of each stretch of a function that has an exception handler."""
    entries: Any = getattr(dis.Bytecode(code), "exception_entries", ())  # from Python 3.11 on
    return [(entry.start, entry.end, entry.target) for entry in entries]


def _handler(code: CodeType, offset: int) -> int | None:
    return next((target for start, end, target in _handlers(code) if start <= offset < end), None)


def interrupted_at(point: int, action: Callable[[], Any], files: tuple[str, ...]) -> bool:
    """Run `action` and raise KeyboardInterrupt at point number `point`; return whether there are so many.

    A point is where a function begins, or follows a call or a jump back, in a file whose path holds one of `files`.
    The exception must come out of `action`, unless it met a callback of a weak reference, where Python drops it.
    """
    left = point
    last: dict[FrameType, int | None] = {}  # the instruction before, if Python looks for signals at its end

    def trace(frame: FrameType, event: str, _: Any) -> Any:
        nonlocal left
        if not any(name in frame.f_code.co_filename for name in files):
            return None
        frame.f_trace_opcodes = True
        code, offset = frame.f_code, last.get(frame)
        # The exception appears to come from the next instruction, so that one must have the same handler.
        after = offset is not None and _handler(code, offset) == _handler(code, frame.f_lasti)
        if event == "call" or (event == "opcode" and after):
            left -= 1
            if left < 0:
                sys.settrace(None)
                raise KeyboardInterrupt
        if event == "exception":  # a call that raises goes on without a look
            last[frame] = None
        elif event == "opcode":
            looks = dis.opname[code.co_code[frame.f_lasti]].startswith(CHECKED)
            last[frame] = frame.f_lasti if looks else None
        return trace

    before, dropped = (sys.gettrace(), sys.unraisablehook), []
    sys.unraisablehook = dropped.append
    sys.settrace(trace)
    try:
        action()
    except KeyboardInterrupt:
        assert left < 0
        return True
    finally:
        sys.settrace(before[0])
        sys.unraisablehook = before[1]
    assert (left < 0) == bool(dropped), f"the interrupt at point {point} was swallowed"
    return bool(dropped)


def interrupts(action: Callable[[], Any], *files: str) -> Iterator[int]:
    """Interrupt `action` at one point after another; yield each point's number, for the caller to look around."""
    point = 0
    while interrupted_at(point, action, files):
        yield point
        point += 1
