"""`Reports` tells what a run did: its history, the progress on the screen, and the curves."""

from __future__ import annotations

import os
import signal
import time
from typing import Any

from .metrics_file import MetricsFile
from .parallel import on_rank_0
from .progress import Progress
from .training_curves import save_training_curves
from .updates import Updates


class Reports(Updates):
    """Updates that are told of; the base of `Trainer`."""

    metrics: MetricsFile
    signal: int | None
    resume_command: str | None

    def __init__(self) -> None:
        super().__init__()
        self._reported = time.perf_counter(), 0.0
        """When the last report was, and the tokens of all ranks then."""
        self._progress = Progress(False, 0.0)

    @property
    def history(self) -> list[dict[str, Any]]:
        """The lines of metrics.jsonl: a dictionary for each report and each evaluation."""
        return self.metrics.history

    def _where(self) -> dict[str, Any]:
        """The beginning of each line of the history: update, epoch, seconds, and the tokens of all ranks."""
        where = {"update": self.updates, "epoch": round(self.epoch, 6), "seconds": round(self.seconds, 3)}
        if self.tokens is None:
            return where
        tokens = sum(self.parallel.gather(self.tokens_read) or [self.tokens_read])
        return {**where, "tokens": int(tokens) if tokens.is_integer() else tokens}

    def _report(self, last: bool = False) -> None:
        """Add a line to the history: the mean over the updates since the last one. The `last` one's losses stay."""
        self.fetch()
        loss, norm = (sum(values) / len(self.losses) for values in zip(*self.losses))
        now, (since, before) = time.perf_counter(), self._reported
        line = {**self._where(), "loss": loss, "gradient_norm": norm, "learning_rate": self.learning_rate}
        text = f"update {self.updates:,}, loss {loss:.4g}"
        if self.tokens is not None:
            rate = (line["tokens"] - before) / max(now - since, 1e-9)
            line["tokens_per_second"] = round(rate, 1)
            text += f", {rate:,.0f} tokens/s"
        self._reported = now, line.get("tokens", 0.0)
        if not last:
            self.losses.clear()
        self._progress.update(text, self.fraction_done)
        self._note(line)

    def _note(self, line: dict[str, Any]) -> None:
        """Add a line to the history and to its file."""
        self.metrics.add(line)
        on_rank_0(self.parallel, self.metrics.write)

    @property
    def learning_rate(self) -> float:
        """The learning rate of the optimizer's first group."""
        return float(self.optimizer.param_groups[0]["lr"])

    def _say_how_to_continue(self, saved: str | None) -> None:
        assert self.signal is not None
        text = f"stopped by {signal.Signals(self.signal).name} after update {self.updates:,}"
        if saved is None:
            self._progress.line(f"{text}; nothing is saved, since the run has no folder")
            return
        command = self.resume_command or "trainer.resume(), and fit with the same budget"
        self._progress.line(f"{text}; everything is saved in {saved}. To continue:\n  {command}")

    def write(self, text: str) -> None:
        """Print a line, above the progress bar if there is one."""
        self._progress.write(text)

    def plot(self, path: str | os.PathLike[str]) -> None:
        """Draw the loss and all evaluations of the history into a PNG file.

        Args:
            path: the file.

        Raises:
            ImportError: matplotlib is missing. OSError: the file cannot be written.
        """
        save_training_curves(path, self.history)
