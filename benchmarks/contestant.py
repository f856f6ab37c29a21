"""Contestants of a timing and the runners that execute them, in this process or in one of their own."""

from __future__ import annotations

import gc
import importlib.util
import multiprocessing
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import Any, NamedTuple, Protocol

Gradients = dict[str, Any]
"""Arrays by name: "loss", "Wc", …"""


class Work(NamedTuple):
    """The work of a contestant: `run` is timed; `gradients` converts the result of `run` to NumPy arrays."""

    run: Callable[[], Any]
    gradients: Callable[[Any], Gradients]


@dataclass(frozen=True)
class Contestant:
    """A library and its implementation of the work.

    Args:
        name: its name in the table.
        make: a module-level function; `make(**size)` imports its library and returns the Work.
        package: the package that must be installed.
    """

    name: str
    make: Callable[..., Work]
    package: str


class NotInstalled(RuntimeError):
    """The contestant's package is not installed."""


class Runner(Protocol):
    """Executes a contestant's work."""

    def prepare(self, size: dict[str, int]) -> tuple[Gradients, float]:
        """Make the work for a size and run it twice; return the gradients and the seconds of the second run."""

    def turn(self, seconds: float, collector: bool) -> list[float]:
        """Run repeatedly for `seconds`, at least once; return the seconds of each call."""

    def close(self) -> None:
        """Release the work, or end the process."""


class InProcess:
    """Runs a contestant in this process."""

    def __init__(self, contestant: Contestant) -> None:
        self.contestant = contestant
        self.work: Work | None = None

    def prepare(self, size: dict[str, int]) -> tuple[Gradients, float]:
        package = self.contestant.package
        if importlib.util.find_spec(package) is None:
            raise NotInstalled(package)
        self.work = self.contestant.make(**size)
        gradients = self.work.gradients(self.work.run())
        begin = time.perf_counter()
        self.work.run()
        return gradients, time.perf_counter() - begin

    def turn(self, seconds: float, collector: bool) -> list[float]:
        assert self.work is not None
        run, clock = self.work.run, time.perf_counter
        calls: list[float] = []
        gc.collect()
        with _collecting(collector):
            # Untimed, to wake the thread pool and fill the caches: one call, or more where a call is short.
            end = clock() + seconds / 10
            run()
            while clock() < end:
                run()
            end = clock() + seconds
            while True:
                begin = clock()
                run()
                now = clock()
                calls.append(now - begin)
                if now >= end:
                    return calls

    def close(self) -> None:
        self.work = None


@contextmanager
def _collecting(on: bool) -> Iterator[None]:
    enabled = gc.isenabled()
    (gc.enable if on else gc.disable)()
    try:
        yield
    finally:
        (gc.enable if enabled else gc.disable)()


class OwnProcess:
    """Runs a contestant in a process of its own.

    Args:
        contestant: its `make` must be importable by name.
        patience: seconds to wait for an answer; then the process is stopped.
    """

    def __init__(self, contestant: Contestant, patience: float = 120.0) -> None:
        self.contestant = contestant
        self.patience = patience
        self._process: Any = None
        self._pipe: Connection | None = None

    def prepare(self, size: dict[str, int]) -> tuple[Gradients, float]:
        return self._call("prepare", size)  # type: ignore[no-any-return]

    def turn(self, seconds: float, collector: bool) -> list[float]:
        return self._call("turn", seconds, collector)  # type: ignore[no-any-return]

    def close(self) -> None:
        if self._process is not None:
            assert self._pipe is not None
            self._pipe.close()  # the process reads the end of its pipe and returns
            self._process.join(5)
            if self._process.is_alive():
                self._process.kill()
                self._process.join()
            self._process.close()
            self._process = self._pipe = None

    def _call(self, *request: Any) -> Any:
        if self._process is None:
            context = multiprocessing.get_context("spawn")
            self._pipe, child = context.Pipe()
            self._process = context.Process(target=_serve, args=(child, self.contestant), daemon=True)
            self._process.start()
            child.close()
        assert self._pipe is not None
        try:
            self._pipe.send(request)
            if not self._pipe.poll(self.patience):
                self._process.kill()
                raise TimeoutError(f"no answer within {self.patience:.0f} s")
            answer = self._pipe.recv()
        except (EOFError, ConnectionError, TimeoutError):
            self.close()
            raise
        if isinstance(answer, Exception):
            raise answer
        return answer


def _serve(pipe: Connection, contestant: Contestant) -> None:
    """Answer requests until the pipe closes; this is the main function of the process."""
    runner = InProcess(contestant)
    while True:
        try:
            name, *arguments = pipe.recv()
        except EOFError:
            return
        try:
            answer = getattr(runner, name)(*arguments)
        except NotInstalled as error:
            answer = error
        except Exception as error:  # whatever the library raised goes into the table
            answer = RuntimeError(f"{type(error).__name__}: {error}")
        pipe.send(answer)
