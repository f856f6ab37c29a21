"""Recording on and off, in nested and interleaved blocks, threads, asyncio tasks and forks."""

from __future__ import annotations

import asyncio
import multiprocessing
import threading
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

import minigrad as mg
from minigrad.engine.modes import mode
from minigrad.engine.tensor import Tensor
from tests.engine.leaves import leaf, noise


@pytest.mark.parametrize("make", [mg.no_grad, mg.detect_anomaly, mg.profile, lambda: mg.time_step(3)])
def test_one_block_may_be_open_in_two_threads(make: Callable[[], Any]) -> None:
    block, first_in, second_in = make(), threading.Event(), threading.Event()
    result: dict[str, Any] = {}

    def first() -> None:
        with mg.time_step(1):
            with block:
                first_in.set()
                second_in.wait()
            result["first"] = mode().recording, mode().time_step, mode().observer

    def second() -> None:
        first_in.wait()
        with mg.no_grad():
            with block:
                second_in.set()
                one.join()
            result["second"] = mode().recording, mode().time_step, mode().observer
        result["at last"] = mode().recording, mode().time_step, mode().observer

    one, two = threading.Thread(target=first), threading.Thread(target=second)
    one.start()
    two.start()
    two.join()
    assert result == {"first": (True, 1, None), "second": (False, None, None), "at last": (True, None, None)}


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
    x = leaf(np.ones(3))
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


def test_no_grad_and_enable_grad(xp: Any) -> None:
    x = leaf([1.0])
    with mg.no_grad():
        assert not (x * 2).requires_grad
        with mg.enable_grad():
            assert (x * 2).requires_grad
            with mg.no_grad():
                assert not (x * 2).requires_grad
        assert not (x * 2).requires_grad
    assert (x * 2).requires_grad
    with pytest.raises(ZeroDivisionError), mg.no_grad():
        _ = 1 // 0
    assert (x * 2).requires_grad


def test_no_grad_as_a_decorator_that_calls_itself(xp: Any) -> None:
    x = leaf([1.0])

    @mg.no_grad()
    def off(depth: int) -> Tensor:
        return off(depth - 1) if depth else x * 2

    @mg.enable_grad()
    def on() -> Tensor:
        return x * 2

    assert not off(3).requires_grad
    with mg.no_grad():
        assert on().requires_grad
        assert not (x * 2).requires_grad
    assert (x * 2).requires_grad


def in_thread(function: Callable[[], Any]) -> Any:
    results: list[Any] = []
    thread = threading.Thread(target=lambda: results.append(function()))
    thread.start()
    thread.join()
    return results[0]


def test_recording_is_each_threads_own(xp: Any) -> None:
    x = leaf([1.0])
    with mg.no_grad(), mg.time_step(3):
        assert in_thread(lambda: (x * 2).requires_grad)
        assert in_thread(lambda: (x * 2).node.time_step) is None


def test_a_decorated_function_in_two_threads_at_once() -> None:
    """Each thread gets its own setting back: first in, first out."""
    x = leaf([1.0])
    recorded: dict[bool, bool] = {}

    @mg.no_grad()
    def inside(entered: threading.Event, leave: threading.Event) -> None:
        entered.set()
        leave.wait(10)

    def run(outside: bool, *events: threading.Event) -> None:
        with mg.enable_grad() if outside else mg.no_grad():
            inside(*events)
            recorded[outside] = (x * 2).requires_grad

    threads, leaving = [], []
    for outside in (False, True):
        entered, leave = threading.Event(), threading.Event()
        threads.append(threading.Thread(target=run, args=(outside, entered, leave)))
        leaving.append(leave)
        threads[-1].start()
        assert entered.wait(10)
    for thread, leave in zip(threads, leaving):
        leave.set()
        thread.join(10)
    assert recorded == {False: False, True: True}


def test_each_task_has_its_own_mode() -> None:
    """A task that waits inside `no_grad` leaves the others recording, and finds its own setting again."""
    x = leaf(noise(2))
    seen: list[tuple[str, bool, int | None]] = []

    async def silent(inside: asyncio.Event, go_on: asyncio.Event) -> None:
        with mg.no_grad(), mg.time_step(7):
            inside.set()
            await go_on.wait()
            seen.append(("silent", (x * 2).requires_grad, None))
        y = x * 2
        seen.append(("after", y.requires_grad, y.node.time_step))

    async def recording(inside: asyncio.Event, go_on: asyncio.Event) -> None:
        await inside.wait()
        y = x * 2
        seen.append(("recording", y.requires_grad, y.node.time_step if y.node else None))
        go_on.set()

    async def both() -> None:
        inside, go_on = asyncio.Event(), asyncio.Event()
        await asyncio.gather(silent(inside, go_on), recording(inside, go_on))

    asyncio.run(both())
    assert seen == [("recording", True, None), ("silent", False, None), ("after", True, None)]


def train(seed: int) -> list[np.ndarray]:
    """A few steps of a small model; the same numbers wherever it runs."""
    W = mg.tensor(noise(4, 4, seed=seed), requires_grad=True)
    x = noise(4, 4, seed=seed + 100)
    made = []
    for _ in range(30):
        h = mg.tensor(x)
        for t in range(5):
            with mg.time_step(t):
                h = mg.tanh(h @ W)
        (h * h).sum().backward()
        with mg.no_grad():
            W.data -= 0.1 * W.grad.data
        made.append(W.grad.numpy())
        W.grad = None
    return made


def test_threads_that_train_different_models_never_mix() -> None:
    alone = [train(seed) for seed in range(4)]
    together: dict[int, list[np.ndarray]] = {}
    start = threading.Barrier(4)

    def run(seed: int) -> None:
        start.wait()
        together[seed] = train(seed)

    threads = [threading.Thread(target=run, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for seed, expected in enumerate(alone):
        for ours, theirs in zip(together[seed], expected):
            np.testing.assert_array_equal(ours, theirs)


def _walk_in_child(pipe: Any, loss: Tensor, x: Tensor) -> None:
    loss.backward()
    pipe.send(x.grad.numpy())


def test_a_fork_walks_its_copy_of_the_graph() -> None:
    if "fork" not in multiprocessing.get_all_start_methods():
        pytest.skip("this system cannot fork")
    context = multiprocessing.get_context("fork")
    x = leaf(noise(3))
    loss = (mg.tanh(x) * x).sum()
    ours, theirs = context.Pipe()
    child = context.Process(target=_walk_in_child, args=(theirs, loss, x))
    child.start()
    result = ours.recv()
    child.join()
    assert child.exitcode == 0
    loss.backward()
    np.testing.assert_array_equal(result, x.grad.numpy())
