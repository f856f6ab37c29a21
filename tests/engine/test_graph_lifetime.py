"""The memory of a graph: how deep it may be, and when it is freed."""

from __future__ import annotations

import gc
import sys
import tracemalloc
import weakref
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import minigrad as mg
from minigrad import Tensor
from minigrad.engine.primitive import primitive
from tests.engine.leaves import leaf, noise


def test_a_hundred_thousand_steps(no_gc: None) -> None:
    """No recursion forward, backward, or when a deep graph is dropped; and reference counts free it."""
    depth = 100_000
    assert sys.getrecursionlimit() < depth
    x = leaf([0.5])
    tracemalloc.start()
    try:
        y = x
        for _ in range(depth):
            y = y + 1e-6
        y.sum().backward()
        assert x.grad.tolist() == [1.0]
        x.grad = None
        del y
        base = tracemalloc.get_traced_memory()[0]
        y = x
        for _ in range(depth):
            y = y * 1.0
        built = tracemalloc.get_traced_memory()[0] - base
        assert built > 100 * depth
        del y  # dropped without a walk
        assert tracemalloc.get_traced_memory()[0] - base < 0.01 * built
    finally:
        tracemalloc.stop()
    assert gc.collect() == 0


def watched() -> tuple[Callable[..., Tensor], list[weakref.ref[Any]]]:
    """An operation that saves an array of its own, and weak references to all that it saved."""
    saved: list[weakref.ref[Any]] = []

    @primitive
    def watched_tanh(xp: Any, x: Any) -> Any:
        y = xp.tanh(x)
        slope = 1 - y * y
        saved.append(weakref.ref(slope))
        return y, (slope,), lambda xp, g, slope: g * slope

    return watched_tanh, saved


def alive(saved: list[weakref.ref[Any]]) -> int:
    return sum(reference() is not None for reference in saved)


def test_a_dropped_graph_is_freed_at_once(xp: Any, no_gc: None) -> None:
    tanh, saved = watched()
    x = leaf(noise(3))
    y = x
    for _ in range(10):
        y = tanh(y) * y
    loss = y.sum()
    del y
    assert alive(saved) == 10
    del loss
    assert alive(saved) == 0


def test_a_walk_frees_the_graph_though_its_result_lives(xp: Any, no_gc: None) -> None:
    tanh, saved = watched()
    x = leaf(noise(3))
    y = tanh(tanh(x))
    loss = y.sum()
    loss.backward(retain_graph=True)
    assert alive(saved) == 2
    loss.backward()
    assert alive(saved) == 0
    assert loss.item() == pytest.approx(np.tanh(np.tanh(x.numpy())).sum())
    assert gc.collect() == 0


def test_memory_falls_while_the_walk_runs(xp: Any, no_gc: None) -> None:
    tanh, saved = watched()
    left: list[int] = []

    @primitive
    def milestone(xp: Any, x: Any) -> Any:
        return x * 1.0, (), lambda xp, g: left.append(alive(saved)) or g

    y = leaf(noise(3))
    for _ in range(5):
        y = tanh(milestone(y))
    y.sum().backward()
    assert left == sorted(left, reverse=True)
    assert left[0] - left[-1] == 4
    assert left[-1] <= 1  # the walk may still hold the entry that it has just left


@pytest.mark.parametrize("create_graph", [False, True])
def test_higher_orders_leave_no_cycles(xp: Any, no_gc: None, create_graph: bool) -> None:
    def run() -> None:
        x = leaf(noise(3))
        y = mg.softmax(mg.tanh(x) @ mg.tensor(noise(3, 3))) * x
        (g,) = mg.gradients(y.sum(), [x], create_graph=create_graph)
        if create_graph:
            (g * g).sum().backward()

    run()
    gc.collect()
    run()
    assert gc.collect() == 0
