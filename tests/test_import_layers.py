"""The import contracts of pyproject.toml hold, and a planted violation breaks each of them."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("importlinter", reason="import-linter is not installed")

ROOT = Path(__file__).resolve().parents[1]
COMMAND = "from importlinter.cli import lint_imports_command; lint_imports_command()"


def lint(folder: Path, *contracts: str) -> subprocess.CompletedProcess[str]:
    chosen = [part for contract in contracts for part in ("--contract", contract)]
    command = [sys.executable, "-c", COMMAND, "--no-cache", *chosen]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=120)


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A copy of the two packages and of the contracts, to plant violations in."""
    for package in ("minigrad", "minigrad_rnn"):
        shutil.copytree(ROOT / package, tmp_path / package, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    return tmp_path


def test_the_tree_keeps_every_contract(tree: Path) -> None:
    result = lint(tree)
    assert result.returncode == 0, result.stdout
    assert "0 broken" in result.stdout


@pytest.mark.parametrize(
    ("contract", "file", "line", "violation"),
    [
        ("minigrad", "minigrad/ops/arrays/shape", "from ... import nn", "minigrad.ops is not allowed"),
        ("minigrad", "minigrad/backend", "import minigrad", "minigrad.backend is not allowed to import"),
        ("minigrad", "minigrad/fresh_file", "", "minigrad.fresh_file"),
        ("engine", "minigrad/engine/tape", "def f():\n    from . import tensor", "tape -> minigrad.engine.tensor"),
        ("engine", "minigrad/engine/fresh_file", "", "minigrad.engine.fresh_file"),
        ("ops", "minigrad/ops/elementwise/arithmetic", "from ..arrays import shape", "elementwise is not allowed"),
        ("transforms", "minigrad/transforms/grad", "from . import jacobian", "minigrad.transforms.grad is not allowed"),
        ("serialize", "minigrad/serialize/npz", "from . import tree", "minigrad.serialize.npz is not allowed"),
        (
            "distributed",
            "minigrad/distributed/communicator",
            "from . import data_parallel",
            "distributed.communicator is",
        ),
        ("debug", "minigrad/debug/graph", "from . import tape_table", "minigrad.debug.graph is not allowed"),
        ("minigrad_rnn", "minigrad_rnn/cells/rnn", "from ..networks import named", "minigrad_rnn.cells is not allowed"),
        ("minigrad_rnn", "minigrad_rnn/manual_bptt/lecture", "from ..text import corpus", "manual_bptt is not allowed"),
        ("cells", "minigrad_rnn/cells/lengths", "from . import lstm", "minigrad_rnn.cells.lengths is not allowed"),
        ("cuda", "minigrad_rnn/cuda/planner", "from . import launches", "minigrad_rnn.cuda.planner is not allowed"),
        ("backend", "minigrad/backend/clusters", "from . import cupy_backend", "minigrad.backend.clusters is not"),
        ("native", "minigrad_rnn/native/cache", "from . import compiler", "minigrad_rnn.native.cache is not allowed"),
        ("data", "minigrad_rnn/data/dataset", "from . import padding", "minigrad_rnn.data.dataset is not allowed"),
        ("text", "minigrad_rnn/text/corpus", "from . import streams", "minigrad_rnn.text.corpus is not allowed"),
        ("training", "minigrad_rnn/training/updates", "from . import trainer", "minigrad_rnn.training.updates is not"),
        ("packages", "minigrad/optim/clip", "import minigrad_rnn.text.corpus", "minigrad is not allowed"),
        ("numpy-only", "minigrad_rnn/manual_bptt/lecture", "import minigrad", "manual_bptt.lecture -> minigrad"),
        ("numpy-only", "minigrad_rnn/manual_bptt/stack", "import cupy", "minigrad_rnn.manual_bptt.stack -> cupy"),
        ("cupy", "minigrad/ops/elementwise/arithmetic", "import cupy", "minigrad.ops.elementwise.arithmetic -> cupy"),
        ("cupy", "minigrad_rnn/networks/recurrence", "from cupyx import scatter_add", "networks.recurrence -> cupyx"),
        ("no-arrays", "minigrad/engine/gradient_pool", "def f():\n    import numpy", "gradient_pool -> numpy"),
    ],
)
def test_a_planted_violation_breaks_its_contract(
    tree: Path, contract: str, file: str, line: str, violation: str
) -> None:
    with (tree / f"{file}.py").open("a", encoding="utf-8") as source:
        source.write(f"\n{line}\n")
    result = lint(tree, contract)
    assert result.returncode == 1
    assert violation in result.stdout


def test_each_contract_is_broken_by_some_planted_violation() -> None:
    tomllib = pytest.importorskip("tomllib", reason="Python 3.10 has no tomllib")
    config = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    contracts = {contract["id"] for contract in config["tool"]["importlinter"]["contracts"]}
    (planted,) = test_a_planted_violation_breaks_its_contract.pytestmark
    assert {case[0] for case in planted.args[1]} == contracts
