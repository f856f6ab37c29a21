"""How recording is switched where blocks do not close in the order in which they opened, and what is there once."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

import minigrad as mg
from minigrad.engine.tape import mode


def leaf() -> mg.Tensor:
    return mg.tensor(np.ones(3), requires_grad=True)


@pytest.mark.parametrize("make", [mg.no_grad, mg.detect_anomaly, mg.profile, lambda: mg.time_step(3)])
def test_one_block_may_be_open_in_two_threads(make: Callable[[], Any]) -> None:
    block, first_in, second_in = make(), threading.Event(), threading.Event()
    found: dict[str, Any] = {}

    def first() -> None:
        with mg.time_step(1):
            with block:
                first_in.set()
                second_in.wait()
            found["first"] = mode().recording, mode().time_step, mode().observer

    def second() -> None:
        first_in.wait()
        with mg.no_grad():
            with block:
                second_in.set()
                one.join()
            found["second"] = mode().recording, mode().time_step, mode().observer
        found["at last"] = mode().recording, mode().time_step, mode().observer

    one, two = threading.Thread(target=first), threading.Thread(target=second)
    one.start()
    two.start()
    two.join()
    assert found == {"first": (True, 1, None), "second": (False, None, None), "at last": (True, None, None)}


def test_a_generator_that_ends_inside_another_block_leaves_nothing_behind() -> None:
    def silent() -> Iterator[None]:
        with mg.no_grad():
            yield

    steps = silent()
    next(steps)
    with mg.time_step(3):
        assert next(steps, None) is None
    assert (mode().recording, mode().time_step) == (True, None)


def test_a_profile_inside_itself_counts_once() -> None:
    x = leaf()
    with mg.profile() as outer, mg.profile() as inner:
        with outer:
            mg.tanh(x).sum().backward()
        x * 2.0
    assert [(s.name, s.calls, s.backward_calls) for s in sorted(outer.by())] == [
        ("multiply", 1, 0), ("sum", 1, 1), ("tanh", 1, 1),
    ]  # fmt: skip
    assert inner.total.calls == 3
    assert outer.total.seconds < outer.wall < 2 * (inner.wall + 0.01)


def test_numpy_is_not_written_into_a_tensor_nor_given_its_memory() -> None:
    c = mg.tensor(np.ones(3))
    with pytest.raises(TypeError, match=r"numpy.add.at: it writes in place; minigrad.at\(x\)"):
        np.add.at(c, [0], 1.0)
    with pytest.raises(ValueError, match=r"copy=False.*\.data is the array itself"):
        np.asarray(c, copy=False)


@pytest.mark.parametrize("dtype", [np.float16, np.float32])
@pytest.mark.parametrize("turn", ["first", "second"])
def test_a_number_too_large_for_the_dtype_warns_as_numpy_does(dtype: Any, turn: str) -> None:
    x = mg.tensor(np.ones(2, dtype), requires_grad=True)
    with pytest.warns(RuntimeWarning, match="overflow"):
        assert np.isinf((x * 1.5e300).numpy()).all()
