"""Time passes of a sequence, and their launches alone, on a backend with kernels."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from minigrad.backend import Backend

from . import launches
from .launches import Inputs, OutputGradients, Sequences
from .planner import PERSISTENT, Plan

GATES = {"lstm": 4, "gru": 3, "gru_reset_first": 3}
Call = Callable[[], Any]


class Clock(Protocol):
    """Measures the seconds that a batch of calls takes on the device."""

    def __call__(self, work: Call, calls: int) -> float: ...


class EventClock:
    """Measures with two events around the calls, on the array library's current stream.

    Args:
        xp: an array library whose `cuda` has CuPy's events and streams.
    """

    def __init__(self, xp: Any) -> None:
        self._event, self._stream = xp.cuda.Event, xp.cuda.get_current_stream()
        self._between = xp.cuda.get_elapsed_time

    def __call__(self, work: Call, calls: int) -> float:
        begin, end = self._event(), self._event()
        begin.record(self._stream)
        for _ in range(calls):
            work()
        end.record(self._stream)
        end.synchronize()
        return float(self._between(begin, end)) / 1e3


def wall_clock(work: Call, calls: int) -> float:
    """Measure on the host, for a dry run."""
    begin = time.perf_counter()
    for _ in range(calls):
        work()
    return time.perf_counter() - begin


@dataclass(frozen=True)
class Timing:
    """Median seconds of a pass: all that it asks of the host, and its persistent launch alone; None if it has none."""

    whole: float
    launch: float | None


class Probe:
    """Runs passes of a sequence on a backend with kernels and times them.

    Args:
        backend: the arrays'.
        clock: what measures.
        rounds: measurements of each pass, of which the median counts.

    Raises:
        ValueError: the backend has no kernels.
    """

    def __init__(self, backend: Backend, clock: Clock, rounds: int = 5) -> None:
        if backend.kernels is None:
            raise ValueError(f"Probe: backend: got {backend.name!r}, which has no kernels, want one on a GPU")
        self.backend, self.kernels, self.clock, self.rounds = backend, backend.kernels(), clock, rounds

    def sequences(self, plan: Plan, T: int, features: int) -> Sequences:
        """Return a call of `plan` over T steps of so many features."""
        shape, rng = plan.shape, np.random.default_rng(0)
        B, H, rows = shape.B, shape.H, GATES.get(shape.cell, 1) * shape.H

        def uniform(*size: int) -> Any:
            return self.backend.from_numpy(rng.uniform(-(H**-0.5), H**-0.5, size).astype(shape.dtype))

        xs = self.backend.from_numpy(rng.standard_normal((T, B, features)).astype(shape.dtype))
        c0 = uniform(B, H) if shape.cell == "lstm" else None
        inputs = Inputs(xs, uniform(B, H), c0, uniform(rows, features), uniform(rows, H), uniform(rows))
        return Sequences(self.backend.xp, self.kernels, plan, [inputs] * shape.directions, None, False)

    def passes(self, plan: Plan, T: int, features: int) -> dict[str, Call]:
        """Return functions that run the forward pass, and BPTT after it."""
        run, shape = self.sequences(plan, T, features), plan.shape
        ones = (np.ones(s, shape.dtype) for s in ((T, shape.B, shape.H), (shape.B, shape.H)))
        dhs, last = map(self.backend.from_numpy, ones)
        arriving = OutputGradients(dhs, last, last if shape.cell == "lstm" else None)
        run.forward()
        return {"forward": run.forward, "backward": lambda: run.bptt([arriving] * shape.directions)}

    def time(self, plan: Plan, T: int, name: str, features: int) -> Timing:
        """Time the pass `name`, "forward" or "backward", of T steps; the first run, which compiles, does not count."""
        work = self.passes(plan, T, features)[name]
        work()
        whole = statistics.median(self.clock(work, 1) for _ in range(self.rounds))
        if getattr(plan, name).name != PERSISTENT:
            return Timing(whole, None)
        alone = [seconds for _ in range(self.rounds) for seconds in self._launch_seconds(work, name)]
        return Timing(whole, statistics.median(alone))

    def _launch_seconds(self, work: Call, name: str) -> list[float]:
        """Return the seconds of each launch `name` while `work` runs: the product Wc x(t) left out."""
        original, seconds = launches.compiled, list[float]()

        def compiled(*what: Any) -> Any:
            launch = original(*what)

            def timed(*args: Any, **options: Any) -> None:
                seconds.append(self.clock(lambda: launch(*args, **options), 1))

            return timed if what[2] == name else launch

        launches.compiled = compiled  # type: ignore[assignment]
        try:
            work()
        finally:
            launches.compiled = original
        return seconds
