"""The fast path: which calls take it, and which go the general way."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import minigrad as mg
from minigrad import GraphError, Parameter, Tensor
from minigrad.engine import fast_path
from minigrad.engine.fast_path import number_as_array
from minigrad.engine.primitive import primitive
from tests.engine.leaves import leaf


def functions_called(call: Callable[[], Any]) -> list[str]:
    """The names of the Python functions that a call runs, one by one."""
    names: list[str] = []
    sys.setprofile(lambda frame, event, arg: names.append(frame.f_code.co_name) if event == "call" else None)
    try:
        call()
    finally:
        sys.setprofile(None)
    return names


CONSTANT = mg.tensor([3.0, 4.0])


MATRIX = mg.tensor([[1.0, 2.0], [3.0, 4.0]])


FAST_CALLS: dict[str, Callable[[Tensor, Tensor], Any]] = {
    "one": lambda x, y: mg.tanh(x),
    "two": lambda x, y: mg.add(x, y),
    "a Parameter": lambda x, y: mg.tanh(mg.multiply(x, y)),
    "three": lambda x, y: mg.linear(x, MATRIX, y),
    "three, only the last on the tape": lambda x, y: mg.linear(CONSTANT, MATRIX, y),
    "three, the last left out": lambda x, y: mg.linear(x, MATRIX),
    "the first a constant": lambda x, y: mg.multiply(CONSTANT, y),
    "the second a constant": lambda x, y: mg.multiply(x, CONSTANT),
    **{
        f"{name}, a number {side}": (
            lambda x, y, name=name, side=side: getattr(mg, name)(*((x, 2.5) if side == "right" else (2.5, x)))
        )
        for name in ("add", "subtract", "multiply", "divide", "maximum", "minimum")
        for side in ("left", "right")
    },
    "a whole number left": lambda x, y: mg.power(2, x),
    "a whole number right": lambda x, y: mg.power(x, 2),
}


@pytest.mark.parametrize("kind", [Tensor, Parameter])
@pytest.mark.parametrize("operation", FAST_CALLS)
def test_small_operations_on_numpy_go_by_the_fast_path(operation: str, kind: Any) -> None:
    host = np.array([0.5, 1.5], np.float32)
    x, y = (mg.tensor(host, requires_grad=True) if kind is Tensor else Parameter(mg.tensor(host)) for _ in range(2))
    FAST_CALLS[operation](x, y)  # whatever is done only once
    names = functions_called(lambda: FAST_CALLS[operation](x, y))
    assert "operation" in names
    assert not {"general", "finish", "record"} & set(names)
    assert ("number_as_array" in names) == ("a number" in operation)
    assert FAST_CALLS[operation](x, y).dtype == np.float32
    held = x.data, y.data  # now the user could write into them
    assert "general" in functions_called(lambda: FAST_CALLS[operation](x, y))
    del held


@pytest.mark.parametrize(("place", "count"), [(0, 3), (1, 3), (2, 3), (0, 2), (1, 2)])
def test_any_of_three_inputs_keeps_an_operation_off_the_fast_path(place: int, count: int) -> None:
    """An input that the user holds, or that is no tensor: a write into it is noticed, as the fast path would not."""
    hosts = [np.ones(shape, np.float32) for shape in ((2, 3), (4, 3), (4,))[:count]]
    for plain in (False, True):
        inputs: list[Any] = [mg.tensor(host, requires_grad=True) for host in hosts]
        assert "general" not in functions_called(lambda given=inputs: mg.linear(*given))  # type: ignore[misc]
        if plain:
            inputs[place] = hosts[place]
        else:
            held = inputs[place].data
        assert "general" in functions_called(lambda given=inputs: mg.linear(*given))  # type: ignore[misc]
        y = mg.linear(*inputs)
        assert len(y.node.parents) == len(inputs)
        if place < 2:
            (hosts[place] if plain else held)[:] = 2.0
            with pytest.raises(GraphError, match=r"'linear' saved a tensor of shape .* that was written into since"):
                y.sum().backward()
            hosts[place][:] = 1.0


def test_options_keep_an_operation_off_the_fast_path(xp: Any) -> None:
    @primitive
    def named(xp: Any, x: Any, *, by: Any = 1.0) -> Any:
        return x * by, (), lambda xp, g: g * by

    @primitive
    def several(xp: Any, x: Any, *more: Any) -> Any:
        return x * len(more), (), (lambda xp, g: g * len(more), *(None for _ in more))

    @primitive
    def any_names(xp: Any, a: Any, b: Any, **how: Any) -> Any:
        return a * b * how["by"], (), (lambda xp, g: g * b * how["by"], None)

    x = leaf([1.0, 2.0])
    for y, by in ((named(x, by=3.0), 3.0), (several(x, 1, 2), 2.0), (any_names(x, 2.0, by=3.0), 6.0)):
        assert y.tolist() == [by, 2 * by]
        assert mg.gradients(y.sum(), [x])[0].tolist() == [by, by]


def test_the_fast_path_is_chosen_by_the_number_of_inputs_not_their_names() -> None:
    @primitive
    def cube(xp: Any, value: Any) -> Any:
        return value**3, (value,), lambda xp, g, value: 3 * g * value**2

    @primitive
    def times(xp, node, general):  # type: ignore[no-untyped-def]
        return node * general, (node, general), (lambda xp, g, a, b: g * b, lambda xp, g, a, b: g * a)

    @primitive
    def scaled(xp: Any, x: Any, factor: float) -> Any:
        return x * factor, (), lambda xp, g: g * factor

    @primitive
    def affine(xp: Any, np: Any, mode: Any, saved: Any | None = None) -> Any:
        y = np * mode if saved is None else np * mode + saved
        return y, (np, mode), (lambda xp, g, x, w: g * w, lambda xp, g, x, w: g * x, lambda xp, g, x, w: g)

    x, y = leaf([1.0, 2.0]), leaf([3.0, 4.0])
    for call, expected, fast in (
        (lambda: cube(value=x), [3.0, 12.0], True),
        (lambda: times(x, y), [3.0, 4.0], True),
        (lambda: times(general=y, node=x), [3.0, 4.0], True),
        (lambda: scaled(x, factor=2.0), [2.0, 2.0], False),
        (lambda: affine(x, y), [3.0, 4.0], True),
        (lambda: affine(x, y, saved=x), [4.0, 5.0], True),
    ):
        assert ("general" not in functions_called(call)) == fast
        assert mg.gradients(call().sum(), [x])[0].tolist() == expected


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_numbers_beside_arrays_are_stored_once(dtype: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fast_path, "_numbers", {})
    stored = number_as_array(2.5, np.dtype(dtype))
    assert stored.dtype == dtype
    assert number_as_array(2.5, np.dtype(dtype)) is stored
    assert not stored.flags.writeable
    assert str(number_as_array(-0.0, np.dtype(dtype))) == "-0.0"
    assert str(number_as_array(0.0, np.dtype(dtype))) == "0.0"
    assert number_as_array(2.5, np.dtype(np.int64)) == 2.5
    x = leaf([1.0, 2.0])
    for k in range(2000):
        assert (x * (k + 0.125)).numpy()[1] == 2 * k + 0.25
    assert len(fast_path._numbers) == 1001
