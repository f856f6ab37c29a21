"""`MetricsFile` keeps the history of a run: in memory, as lines of JSON in a file, and for TensorBoard."""

from __future__ import annotations

import contextlib
import json
import math
import os
from typing import Any

from minigrad.serialize import atomic_write

Line = dict[str, Any]


class MetricsFile:
    """The history of a run, a dictionary for each line of its file `metrics.jsonl`.

    Numbers that are not finite are null in the file, since JSON has none for them.

    Args:
        path: the file; None for none.
        keep_as: the name that an earlier run's file gets with the first line of this one.
        tensorboard: the folder of TensorBoard's events; None for none.

    Raises:
        ImportError: `tensorboard` is given and tensorboardX is missing.
    """

    def __init__(self, path: str | None, keep_as: str | None = None, tensorboard: str | None = None) -> None:
        self.history: list[Line] = []
        self.path, self.keep_as, self.tensorboard = path, keep_as, tensorboard
        self._written: int | None = None  # lines that the file has; None where it must be made anew
        self._writer: Any = None
        if tensorboard is not None:
            summary_writer()

    def add(self, line: Line) -> None:
        """Add a line to the history; `write` brings it into the file."""
        self.history.append(line)

    def write(self) -> None:
        """Bring all new lines into the file, and to TensorBoard. After an error the next call tries again.

        Raises:
            OSError: the file cannot be written; no line of it is half written.
        """
        count = self._written or 0
        if not (new := self.history[count:]):
            return
        if self.path is not None:
            try:
                if self._written is None:
                    with atomic_write(self.path, self.keep_as) as file:
                        file.write("".join(map(_as_json, new)).encode())
                else:
                    _append(self.path, "".join(map(_as_json, new)))
            except OSError as error:
                reason = f"Trainer: metrics.jsonl: no line was written: {error.strerror or error}"
                raise OSError(error.errno, reason, self.path) from error
            self.keep_as = None
        self._written = len(self.history)
        if self.tensorboard is not None:
            self._show(new)

    def _show(self, lines: list[Line]) -> None:
        """Add lines to what TensorBoard reads."""
        for line in lines:
            if self._writer is None:
                self._writer = summary_writer()(self.tensorboard, purge_step=line["update"])
            for name, value in line.items():
                if name != "update" and isinstance(value, (int, float)):
                    self._writer.add_scalar(name, value, line["update"])

    def resumed(self, history: list[Line], own: bool) -> None:
        """Take over the history of a checkpoint. If the file is this `own` run's, no other is kept."""
        self.close()
        self.history[:] = history
        self.keep_as = None if own else self.keep_as
        self._written = None

    def close(self) -> None:
        """Finish what TensorBoard reads; the next line opens it again."""
        if self._writer is not None:
            self._writer.close()
            self._writer = None


def summary_writer() -> Any:
    """Return tensorboardX's class `SummaryWriter`. Raises ImportError, saying what to do, if it is missing."""
    try:
        from tensorboardX import SummaryWriter
    except ImportError as error:
        raise ImportError(
            "Trainer: tensorboard=True needs the package tensorboardX: pip install tensorboardX; metrics.jsonl has the "
            "same numbers"
        ) from error
    return SummaryWriter


def _as_json(line: Line) -> str:
    finite = {k: None if isinstance(v, float) and not math.isfinite(v) else v for k, v in line.items()}
    return json.dumps(finite) + "\n"


def _append(path: str, text: str) -> None:
    """Append a line to a file, or nothing of it."""
    with open(path, "ab", buffering=0) as file:
        end = file.seek(0, os.SEEK_END)
        content = text.encode()
        try:
            if (written := file.write(content)) != len(content):
                raise OSError(28, f"only {written} of {len(content)} bytes could be written", path)
        except BaseException:
            with contextlib.suppress(OSError):
                file.truncate(end)
            raise
