"""Run a command with a time limit that holds for its children too, and keep what it says."""

from __future__ import annotations

import contextlib
import os
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING

from .errors import NativeError, TimeLimitError

if TYPE_CHECKING:
    import subprocess

LONGEST = 16_384
"""Number of bytes that are kept of what a command says; the rest is read and dropped."""
LAST_WORDS = 0.5
"""Seconds to wait for the words of a command that has ended: a server that it left behind may hold its output open."""


class Deadline:
    """A time limit that several commands share, counted from when it is made."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self._end = time.monotonic() + seconds

    def left(self) -> float:
        return max(self._end - time.monotonic(), 0.0)


@dataclass(frozen=True)
class Outcome:
    """How a command ended: its exit status, or minus the signal that ended it, and what it said on both streams."""

    status: int
    words: str

    def ending(self) -> str:
        """`status` in words."""
        if self.status >= 0:
            return f"exit status {self.status}"
        import signal

        try:
            name = signal.Signals(-self.status).name
        except ValueError:
            name = f"signal {-self.status}"
        return name + (", an instruction that this CPU does not have" if name == "SIGILL" else "")


def run(command: Sequence[str], name: str, deadline: Deadline, folder: Path | None = None) -> Outcome:
    """Run `command`, which errors call `name`, with nothing to read and messages in English.

    With a `folder` it runs in there and has its temporary files there.

    Raises:
        TimeLimitError: the deadline passed; the command and its children were killed.
        NativeError: it could not be started.
    """
    import subprocess

    temporary = dict.fromkeys(("TMPDIR", "TMP", "TEMP"), str(folder)) if folder else {}
    # A frozen program that is its own interpreter would come here again.
    environment = {**os.environ, **temporary, "LC_ALL": "C", "MINIGRAD_NATIVE": "0"}
    try:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            cwd=folder,
            env=environment,
            start_new_session=True,  # a process group of its own
        )
    except (OSError, ValueError, RuntimeError) as error:
        raise NativeError(f"{name} could not be started: {error}") from error
    said = bytearray()
    assert process.stdout is not None
    reader = threading.Thread(target=_read, args=(process.stdout, said), daemon=True)
    try:
        reader.start()
        while reader.is_alive() and process.poll() is None and (left := deadline.left()):
            reader.join(min(left, 0.05))  # its end comes at once with that of the command
        status = process.wait(deadline.left())
    except BaseException as error:
        _kill(process)
        if isinstance(error, subprocess.TimeoutExpired):
            raise TimeLimitError(_late(name, deadline, said)) from None
        if isinstance(error, RuntimeError):  # no more threads
            process.stdout.close()
            raise NativeError(f"{name} could not be watched: {error}") from error
        raise
    reader.join(LAST_WORDS)
    return Outcome(status, said.decode(errors="replace").strip())


def _late(name: str, deadline: Deadline, said: bytearray) -> str:
    return f"{name} was stopped: it took longer than {deadline.seconds:g} s\n{said.decode(errors='replace')}".strip()


def _read(stream: IO[bytes], said: bytearray) -> None:
    with stream, contextlib.suppress(OSError, ValueError):
        while piece := os.read(stream.fileno(), LONGEST):
            said += piece[: LONGEST - len(said)]


def _kill(process: subprocess.Popen[bytes]) -> None:
    """End the process and every other of its group, such as the compiler proper under its driver."""
    import signal
    import subprocess

    if os.name == "posix":
        with contextlib.suppress(OSError):
            os.killpg(process.pid, signal.SIGKILL)  # it is not yet waited for: the number is still its own
    else:
        process.kill()
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(1.0)
