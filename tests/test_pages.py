"""What the pages show runs as it stands: README's Python, the first lesson, the docstrings' examples."""

from __future__ import annotations

import doctest
import importlib
import pkgutil
import re
import runpy
from pathlib import Path

import pytest

import minigrad
import minigrad_rnn

ROOT = Path(__file__).resolve().parents[1]
MODULES = sorted(
    m.name
    for package in (minigrad, minigrad_rnn)
    for m in pkgutil.walk_packages(package.__path__, f"{package.__name__}.")
    if not m.name.endswith("__main__")
)


def test_readmes_python_runs(capsys: pytest.CaptureFixture[str]) -> None:
    blocks = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(encoding="utf-8"), re.DOTALL)
    assert len(blocks) >= 3
    exec("\n".join(blocks), {})
    printed = capsys.readouterr().out
    assert printed.startswith("True\nTrue\nfused\nLSTM(28, 64")
    assert "\n  passed: " in printed


def test_the_first_lesson_is_short_and_right(capsys: pytest.CaptureFixture[str]) -> None:
    lesson = ROOT / "examples" / "bptt_by_hand.py"
    assert len(lesson.read_text(encoding="utf-8").splitlines()) < 60
    runpy.run_path(str(lesson), run_name="__main__")
    printed = capsys.readouterr().out
    errors = [float(number) for number in re.findall(r"\d\.\de[-+]\d\d", printed)]
    assert len(errors) == 5
    assert max(errors) < 1e-12


@pytest.mark.parametrize("name", ["minigrad", "minigrad_rnn", *MODULES])
def test_docstrings_examples_run(name: str) -> None:
    failed, _ = doctest.testmod(importlib.import_module(name), optionflags=doctest.NORMALIZE_WHITESPACE)
    assert not failed
