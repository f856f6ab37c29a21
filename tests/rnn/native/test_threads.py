"""Parts of a call run side by side: complete, with their errors, in any threads, after fork, and never past Ctrl-C."""

from __future__ import annotations

import gc
import os
import signal
import subprocess
import sys
import threading
import time
import weakref
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

import minigrad_rnn as mr
from minigrad_rnn.native import threads
from minigrad_rnn.native.threads import run_parts
from tests.support.interrupts import interrupts

PATIENCE = 60.0
"""Seconds after which a thread that does not come counts as lost."""


@pytest.fixture(autouse=True)
def four_threads() -> Iterator[None]:
    """Each test has a pool of its own, for four threads."""
    before = threads._chosen
    mr.set_num_threads(4)
    yield
    mr.set_num_threads(1)
    threads._chosen = before


def python(code: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run code in a Python of its own; variables named as "" are unset there."""
    env = {name: value for name, value in {**os.environ, **environment}.items() if value or name not in environment}
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=env, timeout=PATIENCE)


@pytest.mark.parametrize("parts", [1, 2, 3, 4, 5, 23])
def test_each_part_runs_once(parts: int) -> None:
    for _ in range(50):
        counts = np.zeros(parts, int)

        def count(k: int, counts: Any = counts) -> None:
            counts[k] += 1

        run_parts(count, parts)
        np.testing.assert_array_equal(counts, 1)


def test_parts_run_side_by_side_and_the_first_on_the_callers_thread() -> None:
    meeting = threading.Barrier(4, timeout=PATIENCE)
    ran_on: dict[int, int] = {}

    def meet(k: int) -> None:
        ran_on[k] = threading.get_ident()
        meeting.wait()  # all four are here at once

    for _ in range(20):
        run_parts(meet, 4)
        assert ran_on[0] == threading.get_ident()
        assert len(set(ran_on.values())) == 4
        ran_on.clear()


def test_one_part_and_one_thread_start_no_thread() -> None:
    run_parts(lambda k: None, 1)
    assert not threads._pool.workers
    mr.set_num_threads(1)
    ran_on = []
    run_parts(lambda k: ran_on.append(threading.get_ident()), 5)
    assert ran_on == [threading.get_ident()] * 5
    assert not threads._pool.workers


def test_there_are_no_more_threads_than_were_asked_for() -> None:
    mr.set_num_threads(3)
    ran_on = set()

    def note(k: int) -> None:
        ran_on.add(threading.get_ident())
        time.sleep(0.002)

    for _ in range(5):
        run_parts(note, 12)
    assert len(threads._pool.workers) == 2
    assert len(ran_on) <= 3


def test_a_smaller_number_ends_the_threads() -> None:
    run_parts(lambda k: time.sleep(0.001), 8)
    old = [thread for thread in threading.enumerate() if thread.name.startswith("minigrad-")]
    assert old
    mr.set_num_threads(1)
    for thread in old:
        thread.join(PATIENCE)
        assert not thread.is_alive()


# Errors


@pytest.mark.parametrize("bad", [{0}, {1}, {3}, {0, 2}, {1, 2, 3}])
def test_the_first_parts_error_is_raised_when_all_are_done(bad: set[int]) -> None:
    done = []

    def part(k: int) -> None:
        if k in bad:
            raise ValueError(f"part {k}")
        time.sleep(0.002)
        done.append(k)

    with pytest.raises(ValueError, match=f"^part {min(bad)}$"):
        run_parts(part, 4)
    assert sorted(done) == sorted({0, 1, 2, 3} - bad)
    run_parts(lambda k: done.append(10 + k), 4)  # no thread died of it
    assert sorted(done)[-4:] == [10, 11, 12, 13]
    assert len(threads._pool.workers) == 3


def test_what_ends_a_thread_elsewhere_comes_to_the_caller() -> None:
    meeting = threading.Barrier(2, timeout=PATIENCE)

    def part(k: int) -> None:
        meeting.wait()
        if k == 1:
            raise SystemExit("part 1")

    for _ in range(3):  # the thread of the pool lives on
        with pytest.raises(SystemExit, match="part 1"):
            run_parts(part, 2)


@pytest.mark.parametrize("fails", [False, True])
def test_nothing_of_the_callers_is_kept(fails: bool) -> None:
    class Held:
        pass

    gc.disable()
    try:
        held = Held()
        dead = weakref.ref(held)
        meeting = threading.Barrier(4, timeout=PATIENCE)

        def part(k: int, held: Any = held) -> None:
            meeting.wait()
            if fails:
                raise ValueError(k)

        try:
            run_parts(part, 4)
        except ValueError:
            assert fails
        del part, held
        assert dead() is None
    finally:
        gc.enable()


# Other threads


def test_a_busy_pool_is_not_waited_for() -> None:
    mr.set_num_threads(2)
    busy, go = threading.Event(), threading.Event()

    def long(k: int) -> None:
        if k == 1:
            busy.set()
        assert go.wait(PATIENCE)

    caller = threading.Thread(target=run_parts, args=(long, 2))
    caller.start()
    assert busy.wait(PATIENCE)  # the pool's only thread is in there
    ran_on = []
    for _ in range(100):
        run_parts(lambda k: ran_on.append(threading.get_ident()), 3)
    assert ran_on == [threading.get_ident()] * 300
    go.set()
    caller.join(PATIENCE)
    assert not caller.is_alive()


def test_callers_with_threads_of_their_own() -> None:
    results = np.zeros((8, 200, 5))
    errors: list[BaseException] = []

    def caller(row: int) -> None:
        try:
            for n in range(200):

                def part(k: int, n: int = n) -> None:
                    results[row, n, k] += row * 1000 + n + k / 8

                run_parts(part, 5)
                assert results[row, n].all() or row == n == 0
        except BaseException as error:
            errors.append(error)

    callers = [threading.Thread(target=caller, args=(row,)) for row in range(8)]
    for thread in callers:
        thread.start()
    for thread in callers:
        thread.join(PATIENCE)
        assert not thread.is_alive()
    assert not errors
    wanted = np.arange(8)[:, None, None] * 1000 + np.arange(200)[:, None] + np.arange(5) / 8
    np.testing.assert_array_equal(results, wanted)


def test_a_part_may_have_parts() -> None:
    counts = np.zeros((4, 4, 4), int)

    def third(i: int, j: int, k: int) -> None:
        counts[i, j, k] += 1

    for _ in range(20):
        run_parts(lambda i: run_parts(lambda j: run_parts(lambda k: third(i, j, k), 4), 4), 4)
    np.testing.assert_array_equal(counts, 20)


def test_the_number_may_change_while_parts_run() -> None:
    counts = np.zeros(6, int)

    def part(k: int) -> None:
        mr.set_num_threads(k + 1)
        counts[k] += 1

    for _ in range(50):
        run_parts(part, 6)
    np.testing.assert_array_equal(counts, 50)


FORK = """
import os, threading
import minigrad_rnn as mr
from minigrad_rnn.native import threads
from minigrad_rnn.native.threads import run_parts

def together():
    meeting = threading.Barrier(3, timeout=30)
    run_parts(lambda k: meeting.wait(), 3)

mr.set_num_threads(3)
together()
begun, go = threading.Event(), threading.Event()
caller = threading.Thread(target=run_parts, args=(lambda k: (begun.set(), go.wait(30)), 3))
caller.start()
begun.wait(30)
with threads._pool.starting:  # as if another thread were starting one
    child = os.fork()
if child == 0:
    assert not threads._pool.workers and mr.get_num_threads() == 3
    together()
    os._exit(7)
go.set()
caller.join()
together()
assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
print("both")
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_a_forked_child_begins_anew() -> None:
    result = python(FORK)
    assert (result.returncode, result.stdout) == (0, "both\n"), result.stderr


EXIT = """
import atexit, threading
import minigrad_rnn as mr
from minigrad_rnn.native.threads import run_parts

mr.set_num_threads(4)
late = []
atexit.register(lambda: (run_parts(late.append, 4), print(sorted(late))))
"""


@pytest.mark.parametrize("used", [False, True])
def test_the_interpreter_ends_quietly(used: bool) -> None:
    """Also where the pool is first used after threads can no longer be started."""
    result = python(EXIT + "run_parts(lambda k: None, 4)\n" * used)
    assert (result.returncode, result.stdout, result.stderr) == (0, "[0, 1, 2, 3]\n", "")


def test_without_more_threads_the_caller_does_it_all(monkeypatch: pytest.MonkeyPatch) -> None:
    def start(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", start)
    ran_on = []
    run_parts(lambda k: ran_on.append(threading.get_ident()), 4)
    assert ran_on == [threading.get_ident()] * 4


# Ctrl-C


class Slow:
    """A call of four parts, which notes what has begun and what has ended."""

    def __init__(self) -> None:
        self.begun: list[int] = []
        self.ended: list[int] = []
        self.beside = threading.Event()

    def __call__(self) -> None:
        run_parts(self.part, 4)

    def part(self, k: int) -> None:
        self.begun.append(k)
        if k:
            self.beside.set()
            time.sleep(0.003)
        else:
            self.beside.wait(PATIENCE)
        self.ended.append(k)

    def idle(self) -> bool:
        return sorted(self.begun) == sorted(self.ended)


def interrupted_everywhere() -> int:
    """Interrupt `run_parts` at one point after another; return at how many a part ran on."""
    running = 0
    calls: list[Slow] = []

    def action() -> None:
        calls.append(Slow())
        calls[-1]()

    for _ in interrupts(action, "native/threads.py"):
        running += not calls[-1].idle()
        deadline = time.monotonic() + PATIENCE
        while not calls[-1].idle() and time.monotonic() < deadline:
            time.sleep(0.001)
    assert len(calls) > 30
    return running


def test_no_part_runs_on_after_an_interrupt() -> None:
    assert interrupted_everywhere() == 0
    meeting = threading.Barrier(4, timeout=PATIENCE)
    run_parts(lambda k: meeting.wait(), 4)  # and no thread was lost


def test_a_caller_that_does_not_wait_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """A planted fault: the calls before each point are real, so the test above sees parts that run."""
    monkeypatch.setattr(threads._Job, "wait", lambda job: None)
    assert interrupted_everywhere() > 0


def test_several_interrupts_while_the_caller_waits() -> None:
    begun, ended = threading.Event(), []

    def part(k: int) -> None:
        if k == 0:
            assert begun.wait(PATIENCE)
            return
        begun.set()
        for _ in range(3):
            time.sleep(0.02)
            os.kill(os.getpid(), signal.SIGINT)
        time.sleep(0.02)
        ended.append(k)

    with pytest.raises(KeyboardInterrupt):
        run_parts(part, 2)
    assert ended == [1]


def test_after_an_interrupt_no_part_begins() -> None:
    mr.set_num_threads(1)
    begun = []

    def part(k: int) -> None:
        begun.append(k)
        if k == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_parts(part, 6)
    assert begun == [0, 1, 2]
