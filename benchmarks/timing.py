"""The one method by which everything here is timed.

The contestants take turns, A B C A B C …, within one run, so that whatever else the machine does falls on all of them;
a ratio is formed within each round and the median of the rounds is reported. Before a size is timed, the contestants'
gradients are compared: one that computes something else gets no time.

By default every contestant lives in a process of its own and only one of them works at a time. Two libraries in one
process disturb each other: OpenBLAS' and OpenMP's threads keep spinning for a while after a product, on cores that the
other library then wants. For the same reason there is a pause between turns.

A round counts if the machine had nothing else to do before and after it. Rounds are chosen by that, never by what they
measured; and where quiet does not come, they count all the same, and the table says how many.
"""

from __future__ import annotations

import gc
import importlib.util
import math
import multiprocessing
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import partial
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, NamedTuple, Protocol, TypeVar

import numpy as np

Gradients = dict[str, Any]
"""Arrays by name: "loss", "Wc", …"""
Played = TypeVar("Played")


class Work(NamedTuple):
    """What a contestant does: `run` is timed; `gradients` turns what `run` returned into NumPy arrays."""

    run: Callable[[], Any]
    gradients: Callable[[Any], Gradients]


@dataclass(frozen=True)
class Contestant:
    """A library's way of doing the work.

    Args:
        name: as it stands in the table.
        make: a function of a module's top level; `make(**size)` returns the Work. It imports its library itself.
        package: what must be installed.
    """

    name: str
    make: Callable[..., Work]
    package: str


@dataclass(frozen=True)
class Plan:
    """How long to measure.

    Args:
        total: seconds of timed work that the fastest contestant gets at a size; slower ones get more.
        turn: seconds of timed work in one turn; at least one call.
        rounds: at least so many.
        sittings: the rounds of a size are spread over so many sets of fresh processes. Some of what decides a time is
            settled when a process starts, such as how its memory lies, and one process would be one draw of it.
        pause: seconds of rest between turns, in which thread pools fall asleep. OpenBLAS' take 0.1.
        limit: a contestant that would need more seconds than this at a size is left out, and the table says so.
        collector: whether Python's garbage collector runs during timed calls, as it does in anyone's program. Before
            every turn there is a full collection in either case.
        tolerance: how far gradients may differ, relative to an array's largest entry.
        patience: seconds that rounds may be repeated and quiet awaited at a size, where other programs work.
    """

    total: float = 1.0
    turn: float = 0.06
    rounds: int = 15
    sittings: int = 5
    pause: float = 0.15
    limit: float = 60.0
    collector: bool = True
    tolerance: float = 1e-3
    patience: float = 60.0


QUICK = Plan(total=0.15, turn=0.03, rounds=3, sittings=1, patience=0.0)


@dataclass
class Standing:
    """How a contestant did at a size: the seconds of every call, by rounds, or a remark why there are none."""

    name: str
    rounds: list[list[float]] = field(default_factory=list)
    remark: str | None = None
    difference: float = 0.0
    """The largest relative difference between its gradients and the first contestant's."""
    disturbed: int = 0
    """How many of the rounds had other programs at work beside them."""

    @property
    def quartiles(self) -> tuple[float, float, float]:
        """The quartiles of all its calls in seconds; the second is the median."""
        return quartiles([seconds for turn in self.rounds for seconds in turn])


def quartiles(values: Sequence[float]) -> tuple[float, float, float]:
    """First quartile, median and third quartile. ValueError where there is no value."""
    if not values:
        raise ValueError("quartiles: values: got none, want at least one")
    if len(values) == 1:
        return (values[0],) * 3
    low, middle, high = statistics.quantiles(values, n=4, method="inclusive")
    return low, middle, high


def ratio(theirs: Standing, ours: Standing) -> tuple[float, float, float]:
    """Their time over ours, formed within each round: the quartiles over the rounds. Above 1, ours is faster."""
    pairs = zip(theirs.rounds, ours.rounds, strict=True)
    return quartiles([statistics.median(a) / statistics.median(b) for a, b in pairs])


# Contestants at work


class NotInstalled(RuntimeError):
    """The contestant's package is not there."""


class Seat(Protocol):
    """Where a contestant works."""

    def prepare(self, size: dict[str, int]) -> tuple[Gradients, float]:
        """Make the work for a size and run it twice; the gradients, and the seconds of the second run."""

    def turn(self, seconds: float, collector: bool) -> list[float]:
        """Run for so many seconds, at least once; the seconds of each call."""

    def close(self) -> None:
        """Leave."""


class Here:
    """A contestant in this process."""

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
    was = gc.isenabled()
    (gc.enable if on else gc.disable)()
    try:
        yield
    finally:
        (gc.enable if was else gc.disable)()


class Worker:
    """A contestant in a process of its own, which works when told.

    Args:
        contestant: its `make` must be importable by name.
        patience: seconds to wait for an answer; whoever has not answered by then is stopped.
    """

    def __init__(self, contestant: Contestant, patience: float = 120.0) -> None:
        self.contestant = contestant
        self.patience = patience
        self._process: Any = None
        self._pipe: Connection | None = None

    def prepare(self, size: dict[str, int]) -> tuple[Gradients, float]:
        return self._ask("prepare", size)  # type: ignore[no-any-return]

    def turn(self, seconds: float, collector: bool) -> list[float]:
        return self._ask("turn", seconds, collector)  # type: ignore[no-any-return]

    def close(self) -> None:
        if self._process is not None:
            assert self._pipe is not None
            self._pipe.close()  # the worker reads the end of its pipe and returns
            self._process.join(5)
            if self._process.is_alive():
                self._process.kill()
                self._process.join()
            self._process.close()
            self._process = self._pipe = None

    def _ask(self, *question: Any) -> Any:
        if self._process is None:
            context = multiprocessing.get_context("spawn")
            self._pipe, theirs = context.Pipe()
            self._process = context.Process(target=_serve, args=(theirs, self.contestant), daemon=True)
            self._process.start()
            theirs.close()
        assert self._pipe is not None
        try:
            self._pipe.send(question)
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
    """A worker's life: answer questions until the pipe closes."""
    here = Here(contestant)
    while True:
        try:
            name, *arguments = pipe.recv()
        except EOFError:
            return
        try:
            answer = getattr(here, name)(*arguments)
        except NotInstalled as error:
            answer = error
        except Exception as error:  # whatever the library raised goes into the table
            answer = RuntimeError(f"{type(error).__name__}: {error}")
        pipe.send(answer)


# The contest


def contest(
    contestants: Sequence[Contestant],
    sizes: Sequence[dict[str, int]],
    plan: Plan | None = None,
    one_process: bool = False,
    told: Callable[[str], None] = lambda line: None,
) -> list[list[Standing]]:
    """Time the contestants at every size, taking turns.

    Args:
        contestants: the first is the one that the others' gradients are compared with.
        sizes: arguments of the contestants' `make`.
        plan: how long; the plan that README.md describes where it is not given.
        one_process: all in this process rather than each in its own.
        told: is handed a line of progress for every size.

    Returns:
        for each size a Standing for each contestant, in their order. Nobody is dropped: who could not run, for
        whatever reason, stands there with a remark.
    """
    plan = plan or Plan()
    results = []
    with ExitStack() as stack:
        seats: list[Seat] = [Here(c) if one_process else Worker(c, 2 * plan.limit) for c in contestants]
        for seat in seats:
            stack.callback(seat.close)
        for size in sizes:
            told(", ".join(f"{name} = {value}" for name, value in size.items()))
            results.append(_one_size([c.name for c in contestants], seats, size, plan))
    return results


def _one_size(names: list[str], seats: list[Seat], size: dict[str, int], plan: Plan) -> list[Standing]:
    standings = [Standing(name) for name in names]
    everyone = list(zip(standings, seats))
    rounds, patience = 0, plan.patience
    for sitting in range(plan.sittings):
        calls = _prepare(everyone, size, plan)
        running = [(standing, seat) for standing, seat in everyone if standing.remark is None]
        if not sitting:
            for standing, _ in running:
                # A round has an untimed call and a timed one.
                if 2 * max(plan.rounds, plan.sittings) * calls[standing.name] > plan.limit:
                    standing.remark = f"left out: more than {plan.limit:.0f} s"
            running = [(standing, seat) for standing, seat in running if standing.remark is None]
            fastest = min((calls[standing.name] for standing, _ in running), default=plan.limit)
            rounds = max(plan.rounds, math.ceil(plan.total / max(plan.turn, fastest, 1e-9)))
        if not running:
            break
        began = time.monotonic()
        play = partial(_round, running, plan)
        kept, disturbed = quiet_rounds(play, math.ceil(rounds / plan.sittings), patience)
        patience = max(0.0, patience - (time.monotonic() - began))
        for k, (standing, _) in enumerate(running):
            standing.rounds += [turns[k] for turns in kept]
            standing.disturbed += disturbed
    for standing in standings:
        if standing.remark is not None:
            standing.rounds = []
    return standings


def _prepare(everyone: list[tuple[Standing, Seat]], size: dict[str, int], plan: Plan) -> dict[str, float]:
    """Seat everyone afresh and compare the gradients; the seconds of a call by name. Who cannot gets a remark."""
    calls: dict[str, float] = {}
    reference: Gradients | None = None
    for standing, seat in everyone:
        seat.close()
        if standing.remark is not None:
            continue
        with _remarking(standing, plan):
            gradients, calls[standing.name] = seat.prepare(size)
            reference = gradients if reference is None else reference
            difference = largest_difference(gradients, reference)
            standing.difference = max(difference, standing.difference)
            if not difference <= plan.tolerance:
                standing.remark = f"computes other gradients (off by {difference:.1e})"
        time.sleep(plan.pause)
    return calls


def _round(running: list[tuple[Standing, Seat]], plan: Plan) -> list[list[float]]:
    """A turn of everyone who still runs."""
    turns: list[list[float]] = []
    for standing, seat in running:
        turns.append([])
        if standing.remark is None:
            with _remarking(standing, plan):
                turns[-1] = seat.turn(plan.turn, plan.collector)
            time.sleep(plan.pause)
    return turns


@contextmanager
def _remarking(standing: Standing, plan: Plan) -> Iterator[None]:
    """Whatever a contestant raises becomes the remark beside its name, and the contest goes on."""
    try:
        yield
    except NotInstalled:
        standing.remark = "not installed"
    except TimeoutError:
        standing.remark = f"left out: more than {plan.limit:.0f} s"
    except (EOFError, ConnectionError):
        standing.remark = "failed: its process ended"
    except Exception as error:
        standing.remark = f"failed: {str(error) or type(error).__name__}"


QUIET = 0.9
"""The share of the processors' time that is idle when nothing else works."""


def quiet_rounds(play: Callable[[], Played], count: int, patience: float) -> tuple[list[Played], int]:
    """Play rounds until `count` of them had a quiet machine before and after.

    Args:
        play: one round.
        count: how many to keep.
        patience: seconds in which rounds are repeated and quiet is awaited; after that every round is kept.

    Returns:
        what the kept rounds returned, and how many of them were not quiet.
    """
    kept: list[Played] = []
    disturbed = 0
    deadline = time.monotonic() + patience
    before = count == 0 or _await_quiet(deadline)
    while len(kept) < count:
        played = play()
        after = idle_share() >= QUIET
        if (before and after) or time.monotonic() >= deadline:
            kept.append(played)
            disturbed += not (before and after)
            before = after
        else:
            before = _await_quiet(deadline)
    return kept, disturbed


def _await_quiet(deadline: float) -> bool:
    """Wait until the machine is quiet, or the deadline; whether it is."""
    while idle_share() < QUIET:
        if time.monotonic() >= deadline:
            return False
    return True


def idle_share(seconds: float = 0.15) -> float:
    """The idle share of all processors while this process sleeps so long; 1 where the system does not tell."""
    before = _ticks()
    time.sleep(seconds)
    after = _ticks()
    passed = [b - a for a, b in zip(before, after)]
    return sum(passed[3:5]) / sum(passed) if sum(passed) else 1.0


def _ticks() -> list[int]:
    """user, nice, system, idle, waiting for discs, … of all processors since the start; nothing if it is not told."""
    try:
        first = Path("/proc/stat").read_text().split("\n", 1)[0]
    except OSError:
        return []
    return [int(word) for word in first.split()[1:9]]


def largest_difference(found: Gradients, wanted: Gradients) -> float:
    """The largest difference of any entry, relative to its array's largest; infinite if names or shapes differ."""
    if found.keys() != wanted.keys():
        return math.inf
    worst = 0.0
    for name, want in wanted.items():
        got, want = np.asarray(found[name], np.float64), np.asarray(want, np.float64)
        if got.shape != want.shape:
            return math.inf
        difference = float(np.max(np.abs(got - want)) / (np.max(np.abs(want)) or 1.0))
        worst = difference if not difference <= worst else worst  # a NaN stays
    return worst
