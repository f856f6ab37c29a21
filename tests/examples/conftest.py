"""Fixtures of the examples' tests."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.support import char_rnn_runs  # noqa: F401  puts examples on the path


@pytest.fixture
def blank_pictures(monkeypatch: pytest.MonkeyPatch) -> None:
    """Empty files in place of the character model's loss curves, which take longer than training so short a run."""
    import char_rnn_parts.run

    monkeypatch.setattr(char_rnn_parts.run, "save_loss_curve", lambda path, *_, **__: Path(path).touch())


@pytest.fixture
def text(tmp_path: Path) -> Path:
    """A text that is not trivial, of some 3,000 characters."""
    rng = np.random.default_rng(0)
    words = ["def ", "return ", "self", "(x)", ":\n", "    ", "import ", "é"]
    path = tmp_path / "text.py"
    path.write_text("".join(rng.choice(words, 700)), encoding="utf-8")
    return path


@pytest.fixture
def no_curves(monkeypatch: pytest.MonkeyPatch) -> None:
    """No picture of a run's curves: drawing takes longer than a run of seconds."""
    monkeypatch.setattr("minigrad_rnn.training.reports.save_training_curves", lambda *_: None)
