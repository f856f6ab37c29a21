"""Every operation of the catalogue on every alias of an array that is then written into, in every way."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
import pytest

import minigrad as mg
from minigrad import Tensor
from tests.ops.catalogue import CATALOGUE, Sample

Alias = Callable[[np.ndarray], tuple[Any, Callable[[], None]]]
"""Makes an operand of an array, and a function that writes into the operand's memory."""
ALIASES: dict[str, Alias] = {}


def alias(function: Alias) -> Alias:
    ALIASES[function.__name__.replace("_", " ")] = function
    return function


def leaf(array: np.ndarray) -> Tensor:
    return mg.tensor(array, requires_grad=array.dtype.kind == "f")


def optimize(w: Tensor) -> None:
    w.grad = mg.tensor(np.full(w.shape, 0.3, w.dtype))
    mg.optim.SGD([w], lr=1.0).step()


def subtract(w: Tensor) -> None:
    with mg.no_grad():
        w -= 0.25


def assign(w: Tensor) -> None:
    w.data -= w.data.dtype.type(0.25)


def fill(w: Tensor) -> None:
    w.data[...] = 0.25


WRITERS = itertools.cycle([optimize, subtract, assign, fill])


def step(w: Tensor) -> None:
    """Write into a leaf, in one way after the other."""
    next(WRITERS)(w)


@alias
def a_leaf(array: np.ndarray) -> tuple[Any, Callable[[], None]]:
    w = leaf(array)
    return w, lambda: step(w)


@alias
def what_an_operation_handed_on(array: np.ndarray) -> tuple[Any, Callable[[], None]]:
    w = leaf(array)
    return mg.real(w), lambda: step(w)


@alias
def detached(array: np.ndarray) -> tuple[Any, Callable[[], None]]:
    w = leaf(array)
    return w.detach(), lambda: step(w)


@alias
def a_view_made_under_no_grad(array: np.ndarray) -> tuple[Any, Callable[[], None]]:
    w = leaf(array)
    with mg.no_grad():
        return w.reshape(w.shape), lambda: step(w)


@alias
def frozen_and_released(array: np.ndarray) -> tuple[Any, Callable[[], None]]:
    layer = mg.nn.Module()
    layer.w = w = mg.Parameter(array)
    layer.requires_grad_(False)

    def write() -> None:
        layer.requires_grad_()
        step(w)

    return w, write


@alias
def a_gradient_added_to(array: np.ndarray) -> tuple[Any, Callable[[], None]]:
    w = leaf(array)
    w.grad = mg.tensor(array)
    return w.grad, lambda: w.backward(np.ones_like(array))


@alias
def a_gradient_clipped(array: np.ndarray) -> tuple[Any, Callable[[], None]]:
    w = leaf(array)
    w.grad = mg.tensor(array)
    return w.grad, lambda: mg.optim.clip_grad_value(w, 1e-3)


@alias
def a_users_array(array: np.ndarray) -> tuple[Any, Callable[[], None]]:
    return array, lambda: array.__isub__(array.dtype.type(0.25))


def derivatives(sample: Sample, operands: list[Any], write: Callable[[], None]) -> list[np.ndarray | None]:
    """The gradients of the leaves among the operands, and of those that the outputs are multiplied by."""
    made = sample.call(mg, *operands)
    results = made if isinstance(made, (tuple, list)) else [made]
    outputs = [y for y in results if isinstance(y, Tensor) and y.dtype.kind in "fc"]
    factors = [mg.tensor(np.linspace(0.5, 1.5, y.size).reshape(y.shape), requires_grad=True) for y in outputs]
    terms = [mg.sum(mg.real(y) * factor) for y, factor in zip(outputs, factors)]
    leaves = [x for x in operands if isinstance(x, Tensor) and x.requires_grad] + factors
    if not terms:
        return []
    total = mg.sum(mg.stack(terms))
    write()
    return [None if g is None else g.numpy() for g in mg.gradients(total, leaves, allow_unused=True)]


FLOATS: list[tuple[Sample, int]] = [
    (s, k) for s in CATALOGUE for k, a in enumerate(s.arrays()) if a.dtype.kind == "f" and a.size
]


@cache
def expected(number: int, on_tape: bool) -> list[np.ndarray | None]:
    """The derivatives where nothing is written; the operand is a leaf or a constant."""
    sample, position = FLOATS[number]
    operands = [leaf(a) for a in sample.arrays()]
    if not on_tape:
        operands[position] = mg.tensor(sample.arrays()[position])
    return derivatives(sample, operands, lambda: None)


def wrong(number: int, make: Alias) -> bool:
    """Whether a write into that operand gives other gradients without an error."""
    sample, position = FLOATS[number]
    operands: list[Any] = [leaf(a) for a in sample.arrays()]
    operands[position], write = make(sample.arrays()[position])
    on_tape = isinstance(operands[position], Tensor) and operands[position].requires_grad
    try:
        found = derivatives(sample, operands, write)
    except mg.GraphError:
        return False
    return any(
        (a is None) != (b is None) or (a is not None and not np.array_equal(a, b, equal_nan=True))
        for a, b in zip(found, expected(number, on_tape))
    )


@pytest.mark.parametrize("how", ALIASES)
def test_no_operation_lets_a_write_make_a_gradient_wrong(how: str) -> None:
    assert not [FLOATS[n] for n in range(len(FLOATS)) if wrong(n, ALIASES[how])]
