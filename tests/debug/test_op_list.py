"""The registry of operations, as `python -m minigrad ops` prints it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import minigrad as mg
from minigrad.__main__ import main
from minigrad.debug.op_list import Operation, operations
from minigrad.engine.primitive import COMPOSED, NONDIFFERENTIABLE, REGISTRY
from tests.ops.catalogue import CATALOGUE, CHECKED_ELSEWHERE, EDGES

OPERATIONS = operations()
ROOT = Path(__file__).resolve().parents[2]


def function_of(operation: Operation) -> Any:
    where: Any = mg
    for part in operation.name.split("."):
        where = getattr(where, part)
    return where


def test_there_are_at_least_210_differentiable_operations() -> None:
    names = [name for operation in OPERATIONS if operation.differentiable for name in (operation.name,)]
    assert len(names) == len(set(names)) >= 210


@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda operation: operation.name)
def test_every_operation_is_public_documented_and_sampled(operation: Operation) -> None:
    function = function_of(operation)
    assert function.__doc__, "an operation without a docstring"
    assert (ROOT / operation.file).is_file()
    for alias in operation.aliases:
        assert function_of(Operation(alias, operation.rule, operation.file)) is function
    sampled = {sample.name for sample in [*CATALOGUE, *EDGES]} | CHECKED_ELSEWHERE.keys()
    if operation.rule in ("own", "composed"):
        assert function in (*REGISTRY.values(), *COMPOSED.values())
        assert function.__name__ in sampled
    elif operation.rule == "through":
        source = (ROOT / operation.file).read_text(encoding="utf-8")
        catalogue = "".join(
            file.read_text(encoding="utf-8") for file in (ROOT / "tests" / "ops" / "catalogue").glob("*.py")
        )
        name = operation.name.split(".")[-1]
        assert f"def {name}(" in source or f"class {name}" in source
        assert f'"{name}"' in catalogue or f".{name}(" in catalogue, "give it a sample in tests/ops/catalogue"


def test_the_command_prints_the_table_and_the_counts(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["ops"]) == 0
    text = capsys.readouterr().out
    lines = text.splitlines()
    assert lines[0].split() == ["operation", "rule", "order", "file"]
    rows = lines[1 : lines.index("")]
    assert len([row for row in rows if not row.startswith("  = ")]) == len(OPERATIONS)
    assert any(line.startswith("tanh ") and " own " in line for line in lines)
    count = sum(operation.differentiable for operation in OPERATIONS)
    assert f"{count} differentiable operations" in text
    assert max(map(len, lines)) < 80
    names = {row.removeprefix("  = ").split()[0] for row in rows}
    assert names == {name for operation in OPERATIONS for name in (operation.name, *operation.aliases)}
    with pytest.raises(SystemExit):
        main([])


def test_a_reader_that_closes_the_pipe_early_is_no_error() -> None:
    command = [sys.executable, "-m", "minigrad", "ops"]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        assert process.stderr.read() == b""
        assert process.wait(timeout=60) == 0


def test_what_is_registered_as_nondifferentiable_returns_constants() -> None:
    constant = [operation for operation in OPERATIONS if not operation.differentiable]
    assert len(constant) >= 70
    assert {function_of(operation) for operation in constant} <= NONDIFFERENTIABLE
    assert not NONDIFFERENTIABLE.intersection((*REGISTRY.values(), *COMPOSED.values()))
