"""Try a fresh library in a process of its own: one that crashes must not take the user's program along."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from .child_process import Deadline, run
from .errors import NativeError

CODE = """
import ctypes, sys
try:
    import resource
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # no core file if it crashes
except (ImportError, OSError, ValueError):
    pass
print("self_check:", ctypes.CDLL(sys.argv[1]).self_check(), flush=True)
"""


def check_in_child(library: Path, deadline: Deadline) -> None:
    """Load `library` in another Python process and call its self_check().

    Raises:
        NativeError: it cannot be loaded, crashes or answers anything but 0, or there is no Python to try it with.
        TimeLimitError: the deadline passed.
    """
    program = sys.executable or ""
    if getattr(sys, "frozen", False) or "py" not in os.path.basename(program).lower():
        # A program that Python is embedded in would be started a second time.
        raise NativeError(f"the compiled library cannot be checked: sys.executable is {program!r}, want a Python")
    # Without the user's packages and settings, which could do anything.
    command = (program, "-I", "-S", "-c", CODE, str(library))
    outcome = run(command, "the check of the compiled library", deadline, library.parent)
    answers = [line for line in outcome.words.splitlines() if line.startswith("self_check: ")]
    if outcome.status == 0 and answers == ["self_check: 0"]:
        return
    if outcome.status == 0 and answers:
        raise NativeError(f"the compiled library computes wrong numbers: {answers[-1]}, want 0")
    last = next(reversed(outcome.words.splitlines()), "it said nothing")
    reason = f"the compiled library does not run here ({outcome.ending()}): {last}"
    raise NativeError(f"{reason}\n{outcome.words}".strip())
