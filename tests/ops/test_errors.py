"""Errors have NumPy's classes and name the operation."""

from __future__ import annotations

import inspect
import re
from typing import Any

import numpy as np
import pytest

import minigrad as mg
from minigrad.engine.primitive import FUNCTION_OF, REGISTRY


def case(words: str, call: Any, *shape: int) -> Any:
    return pytest.param(call, shape, words, id=f"{words.partition(':')[0]}{shape}")


@pytest.mark.parametrize(
    ("call", "shape", "words"),
    [
        case("sum: got .*axis 2 is out of bounds", lambda m, x: m.sum(x, axis=2), 2, 3),
        case("mean: got .*axis -3 is out of bounds", lambda m, x: m.mean(x, axis=-3), 2, 3),
        case("flip: got .*axis 1 is out of bounds", lambda m, x: m.flip(x, 1), 3),
        case("linalg|inv: got .*at least two-dim", lambda m, x: m.linalg.inv(x), 3),
        case("inv: got .*Singular", lambda m, x: m.linalg.inv(0 * x), 2, 2),
        case("getitem: got .*out of bounds", lambda m, x: x[5], 3),
        case("reshape: got .*cannot reshape", lambda m, x: m.reshape(x, (4,)), 3),
        case("outer: got shapes .*two vectors", lambda m, x: m.linalg.outer(x, x[0]), 2, 2),
        case("vander: got .*want a vector", lambda m, x: m.vander(x)),
        case("vander: got .*want a vector", lambda m, x: m.vander(x), 2, 3),
        case("trapezoid: axis: axis -1", lambda m, x: m.trapezoid(x)),
        case("trapezoid: axis: axis 2", lambda m, x: m.trapezoid(x, axis=2), 2, 3),
        case("unstack: got shape", lambda m, x: m.unstack(x)),
        case("unstack: axis: axis 1", lambda m, x: m.unstack(x, axis=1), 2),
        case("split: axis: axis 0", lambda m, x: m.split(x, 2)),
        case("transpose: got .*axes don't match array", lambda m, x: m.transpose(x, (0,)), 2, 3),
        case("transpose: got .*axes don't match array", lambda m, x: m.transpose(x, (0, 1)), 3),
        case("transpose: got .*repeated axis", lambda m, x: m.transpose(x, (0, 0)), 2, 3),
    ],
)
def test_errors_are_of_numpys_kind(call: Any, shape: tuple[int, ...], words: str) -> None:
    host = np.ones(shape)
    with pytest.raises((ValueError, IndexError, TypeError, ZeroDivisionError), match=r".") as theirs:
        call(np, host)
    with pytest.raises(type(theirs.value), match=words):  # or a kind of it: AxisError, where NumPy has no axis either
        call(mg, mg.tensor(host, requires_grad=True))


def test_an_axis_error_is_caught_by_all_of_its_names(xp: Any) -> None:
    x = mg.tensor(np.ones((2, 3)), requires_grad=True)
    for kind in (np.exceptions.AxisError, IndexError, ValueError):
        with pytest.raises(kind, match=r"sum: got \(\(2, 3\) float64.*\): axis 2 is out of bounds"):
            x.sum(axis=2)


def test_an_error_that_is_made_of_more_than_words_keeps_its_kind() -> None:
    @mg.primitive
    def refuses(xp: Any, x: Any, text: Any) -> Any:
        return text.decode("ascii"), (), (None, None)

    with pytest.raises(ValueError, match=r"refuses: got \(\(2,\) float64.*can't decode") as result:
        refuses(mg.tensor(np.ones(2)), text=b"\xff")
    assert type(result.value) is ValueError


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda x: mg.select([], []), "select: got 0 conditions"),
        (lambda x: mg.select([x > 0], [x, x]), "select: got 1 conditions for 2 choices"),
        (lambda x: mg.piecewise(x, [x > 0], [1.0, 2.0, 3.0]), "piecewise: got 3 functions for 1 conditions"),
        (lambda x: mg.glu(x), "glu: x: got shape"),
        (lambda x: mg.gelu(x, approximate="sigmoid"), "gelu: .*'sigmoid', want 'none' or 'tanh'"),
        (lambda x: mg.polygamma(-1, x), "polygamma: .*got -1, want 0 or more"),
        (lambda x: mg.hypot(x, np.ones(4)), r"hypot: got \(\(2, 3\) float64"),
    ],
)
def test_errors_name_the_operation_and_what_it_wants(call: Any, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        call(mg.tensor(np.ones((2, 3)), requires_grad=True))


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda x: x + mg.tensor(np.ones((3, 2))), r"add: got \(\(2, 3\) float64, \(3, 2\) float64\)"),
        (lambda x: x @ x, r"matmul: got .*\(2, 3\) float64"),
        (lambda x: x.reshape(4, 2), r"reshape: got \(\(2, 3\) float64, \(4, 2\)\)"),
        (lambda x: x.sum(axis=2), r"sum: got \(\(2, 3\)"),
        (lambda x: x[5], r"getitem: got \(\(2, 3\)"),
        (lambda x: mg.concatenate([]), "concatenate: arrays: got none"),
        (lambda x: mg.stack([]), "stack: arrays: got none"),
        (lambda x: mg.stack([x, x[0]]), r"stack: got \(\(2, 3\) float64, \(3,\) float64\)"),
    ],
)
def test_errors_name_the_operation_and_the_shapes(xp: Any, call: Any, words: str) -> None:
    with pytest.raises((ValueError, IndexError), match=words):
        call(mg.tensor(np.ones((2, 3)), requires_grad=True))


def test_primitives_of_what_is_no_array_are_named() -> None:
    """None, text or an object in an input's place; it was an AttributeError of what the operation asked for first."""
    unnamed = []
    for name, operation in sorted(REGISTRY.items()):
        if operation.__module__.partition(".")[0] != "minigrad":
            continue
        parameters = list(inspect.signature(FUNCTION_OF[operation]).parameters.values())[1:]
        options = [p for p in parameters if p.default is p.empty and p.kind is p.KEYWORD_ONLY]
        count = sum(p.default is p.empty and p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD) for p in parameters)
        for bad in (None, "text", object(), [[1.0], [1.0, 2.0]]):
            try:
                operation(*(bad,) * count, **{p.name: 1 for p in options})
            except (TypeError, ValueError, IndexError) as error:
                if not re.match(r"[\w.]+: ", str(error)):
                    unnamed.append(f"{name}: {error}")
            except AttributeError as error:
                unnamed.append(f"{name}: {error!r}")
    assert not unnamed, "\n".join(unnamed)
