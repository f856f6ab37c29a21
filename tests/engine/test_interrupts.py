"""Ctrl-C at any point: the recording mode, gradients and weights are as before or as after, never between."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

import minigrad as mg
from minigrad.engine import modes
from minigrad.engine.modes import Mode, mode
from minigrad.nn.inference import inference
from tests.support.interrupts import interrupts

CODE = ("minigrad/", "contextlib", "<minigrad")
BLOCKS: list[Callable[[], Any]] = [
    mg.no_grad,
    mg.enable_grad,
    lambda: mg.time_step(3),
    mg.detect_anomaly,
    mg.profile,
    lambda: inference(None),
]


def now() -> tuple[bool, int | None, Any]:
    return mode().recording, mode().time_step, mode().observer


def opened(make: Callable[[], Any]) -> None:
    with make():
        len("the body")


@pytest.mark.parametrize("make", BLOCKS)
@pytest.mark.parametrize("outside", [mg.no_grad, mg.enable_grad])
def test_a_block_interrupted_anywhere_leaves_the_mode_it_found(make: Any, outside: Any) -> None:
    # NumPy's own errstate, which detect_anomaly enters, is written in Python and can be left behind.
    with np.errstate(), outside(), mg.time_step(7):
        found, points = now(), 0
        for point in interrupts(lambda: opened(make), *CODE):
            assert now() == found, point
            points += 1
    assert points > 10
    assert now() == (True, None, None)


def test_a_block_written_in_python_would_be_caught() -> None:
    class Plain:
        def __enter__(self) -> None:
            modes._mode.set(Mode(False, None, None, mode()))

        def __exit__(self, *error: Any) -> None:
            modes._mode.set(mode().before or modes._initial_mode)

    wrong = 0
    for _ in interrupts(lambda: opened(Plain), "test_interrupts"):
        wrong += not mode().recording
        modes._mode.set(modes._initial_mode)
    assert wrong >= 2  # at the end of __enter__ and at the beginning of __exit__


def test_decorated_functions_interrupted_anywhere() -> None:
    @mg.no_grad()
    def function() -> bool:
        return mode().recording

    @mg.no_grad()
    def generator() -> Iterator[bool]:
        yield mode().recording

    for call in (function, lambda: list(generator())):
        for point in interrupts(call, *CODE):
            assert now() == (True, None, None), point


def test_an_exit_stack_restores_the_mode() -> None:
    with contextlib.ExitStack() as stack:
        stack.enter_context(mg.time_step(2))
        stack.enter_context(mg.no_grad())
        assert now() == (False, 2, None)
    assert now() == (True, None, None)
    block = mg.no_grad()
    block.__enter__()
    assert not mode().recording
    block.__exit__(None, None, None)
    assert now() == (True, None, None)


@pytest.mark.parametrize("create_graph", [False, True])
def test_a_backward_pass_interrupted_anywhere_leaves_recording_on(create_graph: bool) -> None:
    x = mg.tensor(np.ones(2), requires_grad=True)

    def action() -> None:
        (x * x).sum().backward(create_graph=create_graph)

    for point in interrupts(action, *CODE):
        assert now() == (True, None, None), point
        x.grad = None
