"""Short runs of examples/char_rnn.py and their checkpoints."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

from minigrad import serialize

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
sys.path.insert(0, str(EXAMPLES))
import char_rnn  # noqa: E402

SMALL = ["--hidden-size", "12", "--embedding-size", "8", "--batch-size", "4", "--steps", "8", "--sample-length", "20"]


def run(text: Path | None, out: Path, *more: str) -> int:
    flags = [] if text is None else ["--text", str(text), *SMALL]
    return char_rnn.main([*flags, "--out", str(out), *more])


def checkpoint(out: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    return serialize.load(out / "checkpoint.npz")


def at_chunk(monkeypatch: pytest.MonkeyPatch, number: int, act: Any) -> None:
    """Call `act(run)` before the chunk of that number is read."""
    original = char_rnn.Run.train_chunk

    def train_chunk(self: Any) -> None:
        if self.chunks + 1 == number:
            act(self)
        original(self)

    monkeypatch.setattr(char_rnn.Run, "train_chunk", train_chunk)
