"""mypy and pyright find the mistakes in a user's script and no others; help() and star imports show the right names."""

from __future__ import annotations

import importlib
import json
import os
import pkgutil
import re
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

import minigrad as mg
import minigrad_rnn

SCRIPT = Path(__file__).with_name("user_script.py")
ROOT = SCRIPT.parents[2]
WRONG = {n for n, line in enumerate(SCRIPT.read_text(encoding="utf-8").splitlines(), 1) if line.endswith("# error")}


def test_mypy_finds_the_mistakes(tmp_path: Path) -> None:
    pytest.importorskip("mypy")
    result = subprocess.run(
        [sys.executable, "-m", "mypy", "--strict", "--follow-imports=silent", "--cache-dir", tmp_path, SCRIPT],
        capture_output=True, text=True, cwd=ROOT, check=False,
    )  # fmt: skip
    lines = {int(n) for n in re.findall(rf"{SCRIPT.name}:(\d+): error", result.stdout)}
    assert lines == WRONG, result.stdout + result.stderr


def test_pyright_finds_the_mistakes() -> None:
    pytest.importorskip("basedpyright")
    result = subprocess.run(
        [sys.executable, "-m", "basedpyright", "--outputjson", "--level", "error", SCRIPT],
        capture_output=True, text=True, cwd=ROOT, check=False, env={**os.environ, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    found = json.loads(result.stdout)["generalDiagnostics"]
    lines = {d["range"]["start"]["line"] + 1 for d in found}
    assert lines == WRONG, [(d["range"]["start"]["line"] + 1, d["message"]) for d in found]


def modules(package: ModuleType) -> list[ModuleType]:
    names = [m.name for m in pkgutil.walk_packages(package.__path__, f"{package.__name__}.")]
    return [importlib.import_module(name) for name in names if not name.endswith("__main__")]


@pytest.mark.parametrize("package", [mg, minigrad_rnn], ids=lambda package: package.__name__)
def test_no_name_shadows_a_module(package: ModuleType) -> None:
    for module in modules(package):
        parent, _, name = module.__name__.rpartition(".")
        assert getattr(sys.modules[parent], name) is module, f"{module.__name__} is shadowed"


def test_a_star_import_leaves_the_builtins_alone() -> None:
    names: dict[str, object] = {}
    exec("from minigrad import *", names)
    builtins = vars(importlib.import_module("builtins"))
    assert [name for name in names if name in builtins and not name.startswith("__")] == []
    assert {"tensor", "grad", "ledger", "draw", "no_grad"} <= names.keys()


def test_help_shows_what_a_user_looks_for() -> None:
    shown = subprocess.run(
        [sys.executable, "-c", "help('minigrad')"], capture_output=True, text=True, cwd=ROOT, check=True
    ).stdout
    for name in ("tensor(", "grad(", "ledger(", "draw("):
        assert name in shown
