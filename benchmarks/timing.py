"""Time contestants that take turns, and compare their gradients first.

The contestants take turns, A B C A B C …, within one run, so that disturbances affect all of them; a ratio is formed
within each round, and the median over the rounds is reported. A contestant whose gradients differ gets no time.

By default every contestant has a process of its own, and only one of them works at a time. Two libraries in one process
disturb each other: the threads of OpenBLAS and OpenMP keep spinning for a while after a product, on cores that the
other library then needs. For the same reason there is a pause between turns.

A round counts if the machine was otherwise idle before and after it. Only this selects rounds, never what
they measured. If the machine does not become quiet, they count all the same, and the table says how many.
"""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import partial

import numpy as np

from .contestant import Contestant, Gradients, InProcess, NotInstalled, OwnProcess, Runner
from .quiet_machine import quiet_rounds


@dataclass(frozen=True)
class Plan:
    """How long to measure.

    Args:
        total: seconds of timed work that the fastest contestant gets at a size; slower ones get more.
        turn: seconds of timed work in one turn; at least one call.
        rounds: the least number of rounds.
        restarts: the rounds of a size are spread over this many sets of fresh processes, because some influences on a
            time, such as the memory layout, are fixed when a process starts.
        pause: seconds of rest between turns, in which thread pools go to sleep; OpenBLAS takes 0.1.
        limit: a contestant that would need more seconds than this at a size is left out, and the table says so.
        collector: whether Python's garbage collector runs during timed calls, as in any program. Before every turn
            there is a full collection in either case.
        tolerance: how far gradients may differ, relative to an array's largest entry.
        patience: seconds at each size to repeat rounds and wait for quiet if other programs run.
    """

    total: float = 1.0
    turn: float = 0.06
    rounds: int = 15
    restarts: int = 5
    pause: float = 0.15
    limit: float = 60.0
    collector: bool = True
    tolerance: float = 1e-3
    patience: float = 60.0


QUICK = Plan(total=0.15, turn=0.03, rounds=3, restarts=1, patience=0.0)


@dataclass
class Result:
    """A contestant's result at a size: the seconds of every call, by rounds, or a remark that says why not."""

    name: str
    rounds: list[list[float]] = field(default_factory=list)
    remark: str | None = None
    difference: float = 0.0
    """The largest relative difference between its gradients and the first contestant's."""
    disturbed: int = 0
    """The number of rounds that other programs disturbed."""

    @property
    def quartiles(self) -> tuple[float, float, float]:
        """The quartiles of all its calls in seconds; the second is the median."""
        return quartiles([seconds for turn in self.rounds for seconds in turn])


def quartiles(values: Sequence[float]) -> tuple[float, float, float]:
    """Return the first quartile, the median and the third quartile. Raises ValueError without values."""
    if not values:
        raise ValueError("quartiles: values: got none, want at least one")
    if len(values) == 1:
        return (values[0],) * 3
    low, middle, high = statistics.quantiles(values, n=4, method="inclusive")
    return low, middle, high


def ratio(theirs: Result, ours: Result) -> tuple[float, float, float]:
    """Return the quartiles, over the rounds, of their median time over ours. Above 1, ours is faster."""
    pairs = zip(theirs.rounds, ours.rounds, strict=True)
    return quartiles([statistics.median(a) / statistics.median(b) for a, b in pairs])


def contest(
    contestants: Sequence[Contestant],
    sizes: Sequence[dict[str, int]],
    plan: Plan | None = None,
    one_process: bool = False,
    report: Callable[[str], None] = lambda line: None,
) -> list[list[Result]]:
    """Time the contestants at every size, taking turns.

    Args:
        contestants: the others' gradients are compared with those of the first.
        sizes: arguments of the contestants' `make`.
        plan: how long to measure; by default the plan that README.md describes.
        one_process: run all in this process rather than each in its own.
        report: receives a line of progress for every size.

    Returns:
        for each size, a Result for each contestant, in order. A contestant that could not run has a remark instead of
        times.
    """
    plan = plan or Plan()
    results = []
    with ExitStack() as stack:
        runners: list[Runner] = [InProcess(c) if one_process else OwnProcess(c, 2 * plan.limit) for c in contestants]
        for runner in runners:
            stack.callback(runner.close)
        for size in sizes:
            report(", ".join(f"{name} = {value}" for name, value in size.items()))
            results.append(_one_size([c.name for c in contestants], runners, size, plan))
    return results


def _one_size(names: list[str], runners: list[Runner], size: dict[str, int], plan: Plan) -> list[Result]:
    results = [Result(name) for name in names]
    pairs = list(zip(results, runners))
    rounds, patience = 0, plan.patience
    for restart in range(plan.restarts):
        calls = _prepare(pairs, size, plan)
        running = [(result, runner) for result, runner in pairs if result.remark is None]
        if not restart:
            for result, _ in running:
                # A round has an untimed call and a timed one.
                if 2 * max(plan.rounds, plan.restarts) * calls[result.name] > plan.limit:
                    result.remark = f"left out: more than {plan.limit:.0f} s"
            running = [(result, runner) for result, runner in running if result.remark is None]
            fastest = min((calls[result.name] for result, _ in running), default=plan.limit)
            rounds = max(plan.rounds, math.ceil(plan.total / max(plan.turn, fastest, 1e-9)))
        if not running:
            break
        start = time.monotonic()
        run_round = partial(_round, running, plan)
        turns_of_rounds, disturbed = quiet_rounds(run_round, math.ceil(rounds / plan.restarts), patience)
        patience = max(0.0, patience - (time.monotonic() - start))
        for k, (result, _) in enumerate(running):
            result.rounds += [turns[k] for turns in turns_of_rounds]
            result.disturbed += disturbed
    for result in results:
        if result.remark is not None:
            result.rounds = []
    return results


def _prepare(pairs: list[tuple[Result, Runner]], size: dict[str, int], plan: Plan) -> dict[str, float]:
    """Start every contestant afresh and compare the gradients; return the seconds of a call by name."""
    calls: dict[str, float] = {}
    reference: Gradients | None = None
    for result, runner in pairs:
        runner.close()
        if result.remark is not None:
            continue
        with _remarking(result, plan):
            gradients, calls[result.name] = runner.prepare(size)
            reference = gradients if reference is None else reference
            difference = largest_difference(gradients, reference)
            result.difference = max(difference, result.difference)
            if not difference <= plan.tolerance:
                result.remark = f"computes other gradients (off by {difference:.1e})"
        time.sleep(plan.pause)
    return calls


def _round(running: list[tuple[Result, Runner]], plan: Plan) -> list[list[float]]:
    """Run one turn of every contestant without a remark."""
    turns: list[list[float]] = []
    for result, runner in running:
        turns.append([])
        if result.remark is None:
            with _remarking(result, plan):
                turns[-1] = runner.turn(plan.turn, plan.collector)
            time.sleep(plan.pause)
    return turns


@contextmanager
def _remarking(result: Result, plan: Plan) -> Iterator[None]:
    """Turn an exception into the contestant's remark, and go on."""
    try:
        yield
    except NotInstalled:
        result.remark = "not installed"
    except TimeoutError:
        result.remark = f"left out: more than {plan.limit:.0f} s"
    except (EOFError, ConnectionError):
        result.remark = "failed: its process ended"
    except Exception as error:
        result.remark = f"failed: {str(error) or type(error).__name__}"


def largest_difference(actual: Gradients, expected: Gradients) -> float:
    """Return the largest difference relative to the largest entry of its array; inf if names or shapes differ."""
    if actual.keys() != expected.keys():
        return math.inf
    worst = 0.0
    for name, want in expected.items():
        got, want = np.asarray(actual[name], np.float64), np.asarray(want, np.float64)
        if got.shape != want.shape:
            return math.inf
        difference = float(np.max(np.abs(got - want)) / (np.max(np.abs(want)) or 1.0))
        worst = difference if not difference <= worst else worst  # a NaN stays
    return worst
