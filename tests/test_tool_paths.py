"""The files and folders that mutmut_config.py, setup.cfg and the Makefile name exist."""

from __future__ import annotations

import ast
import configparser
import re
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[1]
OPERATIONS = {part for path in (ROOT / "minigrad/ops").rglob("*.py") for part in (path.stem, path.parent.name)}


def constants() -> dict[str, Any]:
    """Return the literal constants of mutmut_config.py, which cannot be imported without mutmut."""
    tree = ast.parse((ROOT / "mutmut_config.py").read_text(encoding="utf-8"))
    assignments = [node for node in tree.body if isinstance(node, ast.Assign)]
    literal = (ast.Constant, ast.Tuple, ast.Dict)
    return {ast.unparse(a.targets[0]): ast.literal_eval(a.value) for a in assignments if isinstance(a.value, literal)}


def test_the_paths_of_the_mutation_tests_exist() -> None:
    config = constants()
    parser = configparser.ConfigParser()
    parser.read(ROOT / "setup.cfg", encoding="utf-8")
    section = parser["mutmut"]
    paths = [*config["ENGINE"].split(), *" ".join(config["MORE"].values()).split()]
    paths += [f"minigrad/engine/{stem}.py" for stem in config["MORE"]]
    paths += [f"tests/ops/test_{family}.py" for family in config["FAMILIES"]]
    paths += [
        *section["paths_to_mutate"].split(","),
        section["tests_dir"],
        *re.findall(r"tests/\S+", section["runner"]),
    ]
    assert [path for path in paths if not (ROOT / path).exists()] == []
    stems = [*config["LARGE_SAMPLE"], *" ".join(config["FAMILIES"].values()).split()]
    assert [stem for stem in stems if stem not in OPERATIONS] == []


@pytest.mark.parametrize("file", ["Makefile", ".ci/run"])
def test_the_paths_of_the_commands_exist(file: str) -> None:
    text = (ROOT / file).read_text(encoding="utf-8")
    paths = re.findall(r"\b(?:tests|examples|docs|benchmarks)/[\w./]+\w", text)
    if file == "Makefile":
        (folders,) = re.findall(r"^ENGINE = (.*)$", text, re.MULTILINE)
        paths += [f"tests/{folder}" for folder in folders.split() if "*" not in folder]
        assert len(paths) > 8
    assert [path for path in paths if not (ROOT / path).exists()] == []
