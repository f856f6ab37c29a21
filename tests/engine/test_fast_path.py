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
    "an integer left": lambda x, y: mg.power(2, x),
    "an integer right": lambda x, y: mg.power(x, 2),
    "a number 2 right": lambda x, y: mg.multiply(x, 2),
    "a number 1 left": lambda x, y: 1 - x,
    "five": lambda x, y: mg.linear_sum(x, MATRIX, y, MATRIX, x),
    "five, the last left out": lambda x, y: mg.linear_sum(x, MATRIX, y, MATRIX),
    "an option": lambda x, y: mg.cumsum(x, axis=0),
    "options left out": lambda x, y: mg.cumsum(x),
    "an index": lambda x, y: x[1:],
    "no axes": lambda x, y: mg.sum(x, 0),
    "no axes, of no axes": lambda x, y: mg.exp(mg.prod(mg.tanh(x))),
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


def test_options_that_are_no_plain_values_keep_an_operation_off_the_fast_path() -> None:
    @primitive
    def scaled(xp: Any, x: Any, *, by: Any = 1.0) -> Any:
        by = by if isinstance(by, float) else xp.asarray(by)
        return x * by, (), lambda xp, g: g * by

    x, by = leaf([1.0, 2.0]), np.array([2.0, 3.0])
    for option, fast in ((2.0, True), ([2.0, 3.0], False), (np.float64(2.0), False), (by, False)):
        assert ("general" not in functions_called(lambda option=option: scaled(x, by=option))) == fast  # type: ignore[misc]
        want = np.broadcast_to(option, 2)
        y = scaled(x, by=option)
        np.testing.assert_array_equal(y.numpy(), want * [1.0, 2.0])
        assert mg.gradients(y.sum(), [x])[0].tolist() == want.tolist()
    for call in (
        lambda: mg.sum(x, np.int64(0)),
        lambda: mg.sum(x, axis=np.int64(0)),
        lambda: mg.sum(x, dtype="float64"),
    ):
        assert ("general" in functions_called(call)) == ("int64" in repr(call.__code__.co_names))
        assert mg.gradients(call(), [x])[0].tolist() == [1.0, 1.0]
    with pytest.raises(TypeError, match=r"sum: got \(\(2,\) float64\): .*unexpected keyword argument 'axes'"):
        mg.sum(x, axes=0)


def test_an_option_that_is_a_tensor_receives_a_gradient() -> None:
    x, slope = leaf([-1.0, 2.0]), leaf([0.5])
    for y in (mg.leaky_relu(x, slope), mg.leaky_relu(x, negative_slope=slope)):
        by_x, by_slope = mg.gradients(y.sum(), [x, slope], retain_graph=True)
        assert (by_x.tolist(), by_slope.tolist()) == ([0.5, 1.0], [-1.0])


def test_other_parameters_keep_an_operation_off_the_fast_path() -> None:
    @primitive
    def several(xp: Any, x: Any, *more: Any) -> Any:
        return x * len(more), (), (lambda xp, g: g * len(more), *(None for _ in more))

    @primitive
    def any_names(xp: Any, a: Any, b: Any, **how: Any) -> Any:
        return a * b * how["by"], (), (lambda xp, g: g * b * how["by"], None)

    x = leaf([1.0, 2.0])
    for y, by in ((several(x, 1, 2), 2.0), (any_names(x, 2.0, by=3.0), 6.0)):
        assert y.tolist() == [by, 2 * by]
        assert mg.gradients(y.sum(), [x])[0].tolist() == [by, by]


def test_results_without_axes_are_arrays_with_every_derivative() -> None:
    """NumPy returns scalars there, which a saved result is, too."""
    x = mg.tensor(0.5, dtype="float64", requires_grad=True)
    y = mg.exp(x * 3.0)
    assert type(y._array) is np.ndarray
    assert (y.shape, y.dtype) == ((), np.float64)
    (first,) = mg.gradients(y, [x], create_graph=True)
    (second,) = mg.gradients(first, [x], create_graph=True)
    np.testing.assert_allclose([first.item(), second.item()], [3 * np.exp(1.5), 9 * np.exp(1.5)], rtol=1e-14)


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
        (lambda: scaled(x, factor=2.0), [2.0, 2.0], True),
        (lambda: scaled(x, 2), [2.0, 2.0], True),
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
    assert number_as_array(2, np.dtype(dtype)) is number_as_array(2.0, np.dtype(dtype))
    for value in (0, 2049, -(10**400)):
        assert type(number_as_array(value, np.dtype(dtype))) is int
    assert type(number_as_array(2, np.dtype(np.int32))) is int
    x = leaf([1.0, 2.0])
    for k in range(2000):
        assert (x * (k + 0.125)).numpy()[1] == 2 * k + 0.25
    assert len(fast_path._numbers) == 1001
