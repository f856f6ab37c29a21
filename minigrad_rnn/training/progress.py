"""`Progress` shows how training goes: a bar where tqdm is installed and a terminal is there, and lines everywhere."""

from __future__ import annotations

import contextlib
import math
import shutil
import sys
import time
from typing import Any

SECONDS_BETWEEN_LINES = 10.0
"""Where there is no bar, a line at most this often, besides those of evaluations."""


class Progress:
    """What a run shows of itself.

    Args:
        shown: False for nothing at all, except what `write` is given.
        done: the part of the budget that is used at the start, 0 to 1.
    """

    def __init__(self, shown: bool, done: float) -> None:
        self.shown, self.start, self.first = shown, time.perf_counter(), done
        self.bar: Any = None
        self.last_line = -math.inf
        if shown and sys.stderr.isatty():
            with contextlib.suppress(ImportError):
                from tqdm import tqdm

                width = min(110, shutil.get_terminal_size().columns)  # where it is narrow, the bar and not the text
                bar_format = f"{{percentage:3.0f}} % |{{bar:{30 if width >= 110 else 6}}}| {{elapsed}}{{postfix}}"
                self.bar = tqdm(total=1.0, initial=done, bar_format=bar_format, ncols=width)

    def update(self, text: str, done: float) -> None:
        """Show the numbers of a report: in the bar, or as a line if the last one is some seconds ago."""
        text += self.time_left(done)
        if self.bar is not None:
            self.bar.n = min(done, 1.0)
            self.bar.set_postfix_str(text)
        elif self.shown and time.perf_counter() - self.last_line >= SECONDS_BETWEEN_LINES:
            self.write(f"{min(done, 1.0):4.0%}  {text}")
            self.last_line = time.perf_counter()

    def line(self, text: str) -> None:
        """Show a line, unless nothing is to be shown."""
        if self.shown:
            self.write(text)

    def write(self, text: str) -> None:
        """Print lines, above the bar if there is one."""
        if self.bar is not None:
            self.bar.write(text, file=sys.stdout)
        else:
            print(text, flush=True)

    def time_left(self, done: float) -> str:
        """Return the time that is left, in words; "" before it can be told."""
        if not self.first < done <= 1.0:
            return ""
        seconds = (time.perf_counter() - self.start) * (1.0 - done) / (done - self.first)
        minutes, hours = seconds / 60, seconds / 3600
        return f", {seconds:.0f} s left" if seconds < 100 else (
            f", {minutes:.0f} min left" if minutes < 100 else f", {hours:.0f} h left"
        )  # fmt: skip

    def close(self) -> None:
        """End the bar."""
        if self.bar is not None:
            self.bar.close()
