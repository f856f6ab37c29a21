"""Measure the planner's costs on this machine's GPU and write them into the table that the planner reads.

    python -m minigrad_rnn.cuda.tune [--out FILE] [--seconds 120] [--backend cupy] [--dry-run]

Steps of several shapes are timed: one launch with several tilings, blocks that poll and blocks in clusters, and two
launches a step. The costs are fitted to them and written for this device, beside those of other devices. --dry-run
runs the same on the host, with the kernels as C++ and made-up times, from a checkout of the repository; it writes only
what --out names.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib
import itertools
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from minigrad.backend import BackendError, Device, get_backend

from .costs import DEFAULT, Costs, read_costs, table_path, write_costs
from .fit import FITTED, Fit, Sample, fit
from .planner import (
    TWO_LAUNCHES,
    PassPlan,
    Plan,
    Shape,
    Terms,
    Tile,
    clocks,
    persistent,
    terms,
    terms_of_launches,
    tilings,
)
from .probe import Clock, EventClock, Probe

SHAPES = (
    ("lstm", 16, 256),
    ("lstm", 64, 512),
    ("lstm", 16, 64),
    ("lstm", 1, 128),
    ("gru_reset_first", 16, 256),
    ("lstm", 64, 256),
    ("rnn_tanh", 1, 64),
    ("gru_reset_first", 64, 128),
    ("lstm", 64, 1024),
    ("rnn_tanh", 128, 512),
    ("gru", 128, 256),
)
"""Cell, B and H, those first that tell the most."""
SMALL_SHAPES = (("lstm", 2, 12), ("rnn_tanh", 5, 6), ("gru_reset_first", 3, 9))
STEPS, SMALL_STEPS = (50, 250), (2, 4)
"""Two lengths: what a launch takes once is in both, and their difference is steps alone."""


@dataclass(frozen=True)
class Trial:
    """A pass that is timed: with a tile in one launch, without one by two launches a step."""

    shape: Shape
    backward: bool
    tile: Tile | None

    @property
    def name(self) -> str:
        return "backward" if self.backward else "forward"

    def alternatives(self, device: Device, costs: Costs = DEFAULT) -> tuple[Terms, ...]:
        """The estimate of a step."""
        if self.tile is None:
            return (terms_of_launches(device, self.shape, self.backward),)
        return terms(device, self.shape, self.backward, self.tile, costs)

    def plan(self) -> Plan:
        """The plan; the other pass runs by two launches a step, whose kernels compile soonest."""
        launches = PassPlan(TWO_LAUNCHES, "timed")
        chosen = launches if self.tile is None else persistent(self.shape, self.backward, self.tile, "timed")
        return Plan(self.shape, *((launches, chosen) if self.backward else (chosen, launches)))

    def __str__(self) -> str:
        how = TWO_LAUNCHES
        if self.tile is not None:
            blocks, groups, _ = self.tile.grid(self.shape)
            exchange = "poll" if not self.tile.cluster else "alone" if blocks == 1 else "cluster"
            how = f"{groups} x {blocks} blocks, {self.tile.tiles} tiles, {exchange}"
        return f"{self.shape.cell} {self.shape.B}, {self.shape.H} {self.name}: {how}"


def trials(device: Device, shapes: Sequence[tuple[str, int, int]] = SHAPES) -> Iterator[Trial]:
    """Yield for each shape and pass, and for each cost, the best tiling whose estimate depends on that cost."""
    for cell, B, H in shapes:
        shape = Shape(cell, B, H, np.dtype(np.float32), 1)
        for backward in (False, True):
            yield Trial(shape, backward, None)
            offered = [Trial(shape, backward, tile) for tile in tilings(device, shape, backward)]
            decisive = [max(t.alternatives(device), key=lambda a: clocks([a], DEFAULT)) for t in offered]
            estimates = [clocks([a], DEFAULT) for a in decisive]
            order = sorted(range(len(offered)), key=estimates.__getitem__)
            chosen = dict.fromkeys(
                next((offered[k] for k in order if decisive[k].get(name)), None)
                for name in ("exchange", "cluster", "tile", "cluster_tile", "latency")
            )
            yield from (trial for trial in chosen if trial is not None)


def seconds_of_a_step(probe: Probe, trial: Trial, steps: tuple[int, int] = STEPS) -> float:
    """Time a trial; one feature, so that the product Wc x(t) does not count."""
    seconds = []
    for T in steps:
        timing = probe.time(trial.plan(), T, trial.name, features=1)
        seconds.append(timing.whole if timing.launch is None else timing.launch)
    return (seconds[1] - seconds[0]) / (steps[1] - steps[0])


def tune(
    device: Device,
    candidates: Iterator[Trial],
    measure: Callable[[Trial], float],
    seconds: float,
    print_fn: Callable[[str], None] = print,
) -> Fit:
    """Measure trials for some seconds, fit the costs, and print both beside each other. A trial that fails is left out.

    Args:
        device: the one that is measured.
        candidates: what to measure.
        measure: returns the seconds of a step.
        seconds: no trial begins after this time.
        print_fn: gets each time as soon as it is measured, and the report.

    Raises:
        ValueError: there are too few measurements.
    """
    begun = time.monotonic()
    measured: list[tuple[Trial, Sample]] = []
    for trial in candidates:
        if time.monotonic() - begun > seconds:
            break
        try:
            took = measure(trial) * DEFAULT.clock_rate
        except Exception as error:  # whatever a device and its libraries raise: the other trials go on
            print_fn(f"failed: {trial}: {type(error).__name__}: {error}")
            continue
        print_fn(f"{1e6 * took / DEFAULT.clock_rate:.2f} µs: {trial}")
        if took > 0:  # a difference of two times, and a machine may be busy
            measured.append((trial, Sample(trial.alternatives(device), took)))
    samples = [sample for _, sample in measured]
    result = fit(samples)
    for line in report(measured, result):
        print_fn(line)
    return result


def report(measured: Sequence[tuple[Trial, Sample]], result: Fit) -> Iterator[str]:
    """Yield the measured steps beside their estimates, and the costs."""
    micro = 1e6 / DEFAULT.clock_rate
    yield f"{'µs a step: predicted':>20} {'measured':>9} {'fitted':>9}"
    for trial, sample in measured:
        before, after = (micro * clocks(sample.alternatives, costs) for costs in (DEFAULT, result.costs))
        yield f"{before:>20.2f} {micro * sample.measured:>9.2f} {after:>9.2f}  {trial}"
    before, after = (np.median([abs(s.error(c)) for _, s in measured]) for c in (DEFAULT, result.costs))
    yield f"median error of {len(measured)}: {before:.0%} predicted, {after:.0%} fitted"
    for name in FITTED:
        old, new = getattr(DEFAULT, name), getattr(result.costs, name)
        yield f"{name:>16} {old:>9.4g} {'not measured' if name in result.kept else f'{new:>9.4g}'}"


def parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    result = argparse.ArgumentParser(
        prog="python -m minigrad_rnn.cuda.tune",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    result.add_argument("--out", type=Path, metavar="FILE", help="the table (the one that the planner reads)")
    result.add_argument("--seconds", type=float, default=120.0, help="measure no further after this time (%(default)s)")
    result.add_argument("--backend", default="cupy", help="a backend with kernels (%(default)s)")
    result.add_argument("--dry-run", action="store_true", help="small sizes on the host, without --backend")
    return result


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; return 2 if nothing could be measured or written, 130 after Ctrl-C."""
    arguments = parser().parse_args(argv)
    path = arguments.out or (None if arguments.dry_run else table_path())
    if path is None and not arguments.dry_run:
        print("tune: there is no cache folder; --out can name a file", file=sys.stderr)
        return 2
    with contextlib.ExitStack() as stack:
        try:
            probe, shapes, steps = _probe(arguments, stack)
            if path is not None:
                _check_out(path)
            device = probe.kernels.device
            measure = lambda trial: seconds_of_a_step(probe, trial, steps)  # noqa: E731
            result = tune(device, trials(device, shapes), measure, arguments.seconds)
            if path is not None:
                write_costs(path, device.name, result.costs)
                print(f"costs of {device.name} written to {path}")
        except (BackendError, OSError, ValueError) as error:
            print(f"tune: nothing was written: {str(error).removeprefix('tune: ')}", file=sys.stderr)
            return 2
        except KeyboardInterrupt:
            print("\ntune: stopped; nothing was written", file=sys.stderr)
            return 130
    return 0


def _check_out(path: Path) -> None:
    """Make the table's folder. What would keep the costs from being written is told before anything is measured.

    Raises:
        ValueError: a file of this name is there and is no table. OSError: nothing can be written there.
    """
    folder = Path(os.path.realpath(path)).parent
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    if path.exists():
        read_costs(path)
    with tempfile.TemporaryFile(dir=folder):
        pass


def _probe(
    arguments: Any, stack: contextlib.ExitStack
) -> tuple[Probe, Sequence[tuple[str, int, int]], tuple[int, int]]:
    if not arguments.dry_run:
        backend = get_backend(arguments.backend)
        if backend.kernels is None:
            raise BackendError(f"backend {backend.name!r} has no kernels, want one on a GPU")
        return Probe(backend, EventClock(backend.xp)), SHAPES, STEPS
    try:
        stand_in = importlib.import_module("tests.support.cuda_on_gpu")
    except ImportError as error:
        raise BackendError(f"--dry-run runs from a checkout of the repository: {error}") from error
    folder = stack.enter_context(tempfile.TemporaryDirectory())
    backend = stack.enter_context(stand_in.kernels_as_cpp(folder))
    return Probe(backend, _made_up_clock(), 1), SMALL_SHAPES, SMALL_STEPS


def _made_up_clock() -> Clock:
    """Return a clock for a dry run: whatever the machine does beside, a later call takes longer than an earlier one."""
    ticks = itertools.count(1)

    def clock(work: Callable[[], Any], calls: int) -> float:
        for _ in range(calls):
            work()
        return 1e-6 * next(ticks)

    return clock


if __name__ == "__main__":
    sys.exit(main())
