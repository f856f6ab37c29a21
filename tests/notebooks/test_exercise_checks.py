"""check and difference say in words what is wrong with an answer, and nothing of a right one."""

from __future__ import annotations

import importlib
import sys
from typing import Any

import numpy as np
import pytest

import minigrad as mg
from tests.notebooks.notebook import FOLDER


@pytest.fixture
def checks(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setattr(sys, "path", [str(FOLDER), *sys.path])
    return importlib.import_module("exercise_checks")


def test_what_is_right_or_missing_or_stops(checks: Any, capsys: pytest.CaptureFixture[str]) -> None:
    def unanswered() -> str | None:
        raise NotImplementedError

    checks.check("1", lambda: None)
    checks.check("2", unanswered)
    checks.check("3", lambda: "W is transposed")
    checks.check("4", lambda: str(1 / 0))
    assert capsys.readouterr().out.splitlines() == [
        "Exercise 1: right.",
        "Exercise 2: no answer yet.",
        "Exercise 3: not yet: W is transposed.",
        "Exercise 4: not yet: it stops with ZeroDivisionError: division by zero.",
    ]


def test_a_difference_in_words(checks: Any) -> None:
    W = np.array([[1.0, 2.0], [3.0, 4.0]])
    assert checks.difference("W", W + 1e-9, W) is None
    assert checks.difference("W", mg.tensor(W), W) is None
    assert checks.difference("W", None, W) == "W is None: does your function return its result?"
    assert checks.difference("W", W[0], W) == "W has shape (2,), want (2, 2)"
    assert checks.difference("W", W.T, W) == "W is transposed"
    assert checks.difference("W", -W, W) == "W has the wrong sign"
    assert checks.difference("W", W + 0.25, W) == "W is off by up to 0.25"
    assert checks.difference("W", W * 2, W, {"one half too much": 2 * W}) == "one half too much"
    assert checks.difference("n", np.nan, 3) == "n is off by up to nan"
    with pytest.raises(NotImplementedError):
        checks.difference("n", ..., 3)
