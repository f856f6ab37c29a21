"""Short runs of examples/char_rnn.py and their checkpoints."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from minigrad import serialize
from minigrad_rnn.training.updates import Updates

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
sys.path.insert(0, str(EXAMPLES))
import char_rnn  # noqa: E402

SMALL = ["--hidden-size", "12", "--embedding-size", "8", "--batch-size", "4", "--steps", "8", "--sample-length", "20"]


def run(text: Path | None, out: Path, *more: str) -> int:
    flags = [] if text is None else ["--text", str(text), *SMALL]
    return char_rnn.main([*flags, "--out", str(out), *more])


def checkpoint(out: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """The arrays of a run's checkpoint, such as "model/readout.weight", and its metadata."""
    tree, metadata = serialize.load(out / "checkpoint.npz")
    return serialize.flatten(tree)[0], metadata


def updates(out: Path) -> int:
    """The updates that a run has made."""
    return int(checkpoint(out)[1]["counters"]["updates"])


def history(out: Path, name: str) -> list[float]:
    """The numbers of that name in a run's history."""
    lines = (out / "metrics.jsonl").read_text(encoding="utf-8").splitlines()
    return [line[name] for line in map(json.loads, lines) if name in line]


def at_chunk(monkeypatch: pytest.MonkeyPatch, number: int, act: Any) -> None:
    """Call `act(run)` before the chunk of that number is read."""
    original = Updates.update

    def update(self: Any) -> bool:
        if self.updates + 1 == number:
            act(self)
        return original(self)

    monkeypatch.setattr(Updates, "update", update)
