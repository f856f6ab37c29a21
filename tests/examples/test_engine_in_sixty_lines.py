"""The engine in sixty lines gives minigrad's gradients, on programs drawn at random; planted faults are caught."""

from __future__ import annotations

import importlib.util
import runpy
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from hypothesis import given, strategies as st

import minigrad as mg

FILE = Path(__file__).resolve().parents[2] / "examples" / "engine_in_sixty_lines.py"
SOURCE = FILE.read_text(encoding="utf-8")
MINIGRAD = {"add": mg.add, "multiply": mg.multiply, "matmul": mg.matmul, "tanh": mg.tanh, "total": mg.sum}
SHAPES = [(3, 3), (1, 3), (3, 1), (3,), ()]


def engine(source: str = SOURCE) -> ModuleType:
    spec = importlib.util.spec_from_loader("engine_in_sixty_lines", loader=None)
    assert spec is not None
    module = importlib.util.module_from_spec(spec)
    exec(compile(source, str(FILE), "exec"), module.__dict__)
    return module


ENGINE = engine()


def program(draw: Any) -> list[tuple[str, tuple[int, ...]]]:
    """Steps of a program on five leaves of the shapes SHAPES: an operation and the values that it is applied to."""
    shapes = list(SHAPES)
    steps: list[tuple[str, tuple[int, ...]]] = []
    for _ in range(draw(st.integers(1, 8))):
        name = draw(st.sampled_from(["add", "multiply", "matmul", "tanh"]))
        pick = st.integers(0, len(shapes) - 1)
        if name == "matmul":
            left = [k for k, s in enumerate(shapes) if len(s) == 2 and s[1] == 3]
            inputs = (draw(st.sampled_from(left)), 0)
        else:
            inputs = (draw(pick),) if name == "tanh" else (draw(pick), draw(pick))
        steps.append((name, inputs))
        one = [shapes[k] for k in inputs]
        shapes.append((*one[0][:1], 3) if name == "matmul" else np.broadcast_shapes(*one))
    return steps


def gradients(module: ModuleType, values: list[Any], steps: list[tuple[str, tuple[int, ...]]]) -> list[Any]:
    """Each leaf's gradient of the sum of every value that the program computes, by the sixty lines."""
    nodes = [module.Node(value) for value in values]
    for name, inputs in steps:
        nodes.append(getattr(module, name)(*(nodes[k] for k in inputs)))
    loss = module.total(nodes[0])
    for node in nodes[1:]:
        loss = module.add(loss, module.total(node))
    module.backward(loss)
    return [node.grad for node in nodes[: len(values)]]


def minigrads(values: list[Any], steps: list[tuple[str, tuple[int, ...]]]) -> list[Any]:
    """The same by minigrad."""
    tensors = [mg.tensor(value, requires_grad=True) for value in values]
    leaves = list(tensors)
    for name, inputs in steps:
        tensors.append(MINIGRAD[name](*(tensors[k] for k in inputs)))
    loss = mg.sum(tensors[0])
    for tensor in tensors[1:]:
        loss = loss + mg.sum(tensor)
    return [g.numpy() for g in mg.gradients(loss, leaves) if g is not None]


def drawn_values() -> list[Any]:
    rng = np.random.default_rng(0)
    return [rng.standard_normal(shape) / 2 for shape in SHAPES]


@given(st.data())
def test_its_gradients_are_minigrads(data: st.DataObject) -> None:
    steps, values = program(data.draw), drawn_values()
    for got, expected in zip(gradients(ENGINE, values, steps), minigrads(values, steps), strict=True):
        assert got.shape == expected.shape
        np.testing.assert_allclose(got, expected, rtol=1e-11, atol=1e-11)


@pytest.mark.parametrize(
    ("right", "wrong"),
    [
        ("sorted(nodes, reverse=True)", "nodes"),
        ("g * (1 - y * y)", "g * (1 - y)"),
        ("lambda g: g @ b.T", "lambda g: g @ b"),
        ("self.total += g", "self.total[...] = g"),
    ],
    ids=["order", "tanh", "matmul", "pool"],
)
def test_a_planted_fault_is_caught(right: str, wrong: str) -> None:
    assert SOURCE.count(right) == 1
    steps = [("tanh", (0,)), ("matmul", (5, 0)), ("add", (5, 1)), ("tanh", (7,)), ("multiply", (6, 8))]
    values = drawn_values()
    expected = minigrads(values, steps)
    np.testing.assert_allclose(gradients(ENGINE, values, steps)[0], expected[0], rtol=1e-11)
    assert not np.allclose(gradients(engine(SOURCE.replace(right, wrong)), values, steps)[0], expected[0])


def test_it_has_sixty_lines_and_runs(capsys: pytest.CaptureFixture[str]) -> None:
    lines = SOURCE[: SOURCE.index("def main")].splitlines()
    assert sum(bool(line.strip()) for line in lines) <= 60
    runpy.run_path(str(FILE), run_name="__main__")
    printed = capsys.readouterr().out.splitlines()
    assert len(printed) == 3
    assert all(float(line.split()[-1]) < 1e-12 for line in printed)
