"""Find the user's line of source that is running."""

from __future__ import annotations

import sys

from ..engine.metadata import SourceLine

LIBRARIES = frozenset(("minigrad", "minigrad_rnn", "numpy", "contextlib", "functools", "runpy", "threading", "asyncio"))
"""Packages whose frames are not the user's."""


def users_line() -> SourceLine | None:
    """Return the innermost line outside all `LIBRARIES`; if there is none, the outermost of minigrad_rnn's."""
    frame = sys._getframe(1)
    line: SourceLine | None = None
    while frame is not None:
        file, names = frame.f_code.co_filename, frame.f_globals
        package = (names.get("__package__") or names.get("__name__") or "").partition(".")[0]
        typed_in = file.startswith("<") and not file.startswith("<frozen")
        if typed_in or package not in LIBRARIES:
            return file, frame.f_lineno, names
        if package == "minigrad_rnn":
            line = file, frame.f_lineno, names
        frame = frame.f_back  # type: ignore[assignment]
    return line
