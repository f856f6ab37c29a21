"""Runs an action again and again, interrupted by Ctrl-C at each point in turn where Python looks for signals."""

from __future__ import annotations

import dis
import sys
from collections.abc import Callable, Iterator
from functools import cache
from types import CodeType, FrameType
from typing import Any, NamedTuple

CHECKED = ("CALL", "RESUME", "JUMP_BACKWARD", "JUMP_ABSOLUTE")
"""The instructions, by the beginnings of their names, after which CPython looks for signals."""


class _Instruction(NamedTuple):
    """Whether Python looks for signals at an instruction's end, and where its exception handler is."""

    checked: bool
    handler: int | None


@cache
def _instructions(code: CodeType) -> dict[int, _Instruction]:
    """Return every instruction of a function by its place."""
    entries: Any = getattr(dis.Bytecode(code), "exception_entries", ())  # from Python 3.11 on
    whole = code.co_code
    return {
        at: _Instruction(
            dis.opname[whole[at]].startswith(CHECKED),
            next((entry.target for entry in entries if entry.start <= at < entry.end), None),
        )
        for at in range(0, len(whole), 2)
    }


def interrupted_at(point: int, action: Callable[[], Any], files: tuple[str, ...]) -> bool:
    """Run `action` and raise KeyboardInterrupt at point number `point`; return whether there are so many.

    A point is where a function begins, or follows a call or a jump back, in a file whose path holds one of `files`.
    The exception must come out of `action`, unless it met a callback of a weak reference, where Python drops it.
    """
    left = point

    def one_point() -> None:
        nonlocal left
        left -= 1
        if left < 0:
            sys.settrace(None)
            raise KeyboardInterrupt

    def trace(frame: FrameType, event: str, _: Any) -> Any:
        if not any(name in frame.f_code.co_filename for name in files):
            return None
        frame.f_trace_opcodes, frame.f_trace_lines = True, False
        instructions = _instructions(frame.f_code)
        last: _Instruction | None = None  # the instruction before, if Python looks for signals at its end

        def trace_instruction(frame: FrameType, event: str, _: Any) -> Any:
            nonlocal last
            if event == "opcode":
                this = instructions[frame.f_lasti]
                # The exception appears to come from this instruction, so the one before must have the same handler.
                if last is not None and last.handler == this.handler:
                    one_point()
                last = this if this.checked else None
            elif event == "exception":  # a call that raises goes on without a look
                last = None
            return trace_instruction

        one_point()
        return trace_instruction

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
