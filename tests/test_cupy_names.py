"""Every array function that the sources use exists in CuPy, which can be imported without a GPU."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
SOURCES = sorted(path for package in ("minigrad", "minigrad_rnn") for path in (ROOT / package).rglob("*.py"))


def dotted(node: ast.Attribute) -> list[str]:
    """Return the parts of `a.b.c`, from the last call or index on."""
    parts = [node.attr]
    inner = node.value
    while isinstance(inner, ast.Attribute):
        parts.append(inner.attr)
        inner = inner.value
    if isinstance(inner, ast.Name):
        parts.append(inner.id)
    return parts[::-1]


def namespace_names(source: str) -> Iterator[tuple[int, str]]:
    """Yield (line, name) of every attribute of a namespace called `xp`, `self.xp`, `backend.xp` and the like."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Attribute):
            parts = dotted(node)
            if "xp" in parts[:-1]:
                yield node.lineno, ".".join(parts[parts.index("xp") + 1 :])


def missing_in(library: object, name: str) -> bool:
    for part in name.split("."):
        if not hasattr(library, part):
            return True
        library = getattr(library, part)
    return False


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_names_exist_in_cupy(path: Path) -> None:
    cupy = pytest.importorskip("cupy")
    names = list(namespace_names(path.read_text(encoding="utf-8")))
    assert [f"{path.name}:{line}: xp.{name}" for line, name in names if missing_in(cupy, name)] == []


def test_the_names_are_found() -> None:
    source = "def f(xp, x):\n    return xp.add.at(self.xp.tanh(x), x.xp.memmap.T), backend.xp.linalg.norm\n"
    names = {name for _, name in namespace_names(source)}
    assert names == {"add", "add.at", "tanh", "memmap", "memmap.T", "linalg", "linalg.norm"}
    everywhere = {name for path in SOURCES for _, name in namespace_names(path.read_text(encoding="utf-8"))}
    assert {"tanh", "add.at", "matmul", "searchsorted"} <= everywhere


def test_a_name_that_cupy_lacks_is_caught() -> None:
    cupy = pytest.importorskip("cupy")
    assert missing_in(cupy, "memmap")
    assert missing_in(cupy, "add.resolve_dtypes")
    assert not missing_in(cupy, "add.at")
