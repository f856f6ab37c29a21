"""Time windows that overlap with each step computed once, and a checkpointed recurrence beside the plain one.

Windows: `Truncation(k1, 4·k1)` beside the same windows with all their steps computed again, in each implementation.
Checkpoints: forward and backward over T steps of a loss that is a sum over time, time and peak memory.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any, NamedTuple

import numpy as np

from .contestant import Contestant, Gradients, Work
from .page import Benchmark, Options, Tables, disturbance, is_quiet, milliseconds, remark_list, table, verdict
from .sequence_memory import traced_peak
from .sizes import label, numbers
from .timing import Result, contest, ratio

CELLS = ("RNN", "LSTM")
AGAIN, ONCE = "k2 steps each", "each step once"
PLAIN, CHECKPOINTED = "plain", "checkpointed"
WINDOWS = [{"k1": k1, "B": B, "H": H} for B, H in ((4, 32), (32, 128)) for k1 in (25, 100)]
SERIES = [{"T": 10_000, "B": B, "H": H} for B, H in ((4, 32), (32, 128))]
QUICK_WINDOWS, QUICK_SERIES = [{"k1": 3, "B": 2, "H": 4}], [{"T": 100, "B": 2, "H": 4}]
MOST_WINDOWS, MOST_TIME, MOST_MEMORY = 0.75, 1.4, 1 / 25
"""The most wanted ratios of the second contestant's time, or memory, to the first one's."""


class Lines(NamedTuple):
    """The rows of a table, and which of its targets were missed."""

    rows: list[list[str]]
    missed: list[str]


def model_of(cell: str, impl: str, T: int, B: int, H: int) -> tuple[Any, Any]:
    """Return the model and its input."""
    import minigrad_rnn

    return getattr(minigrad_rnn, cell)(H, H, impl=impl, rng=0), numbers(T, B, H, H)["xs"]


def gradients_of(model: Any) -> Gradients:
    return {name: p.grad.numpy() for name, p in model.named_parameters()}


def windows(cell: str, impl: str, way: str, k1: int, B: int, H: int) -> Work:
    """Go through 8 windows, with their backward passes."""
    from minigrad_rnn import Truncation
    from minigrad_rnn.networks import sliding_windows

    model, xs = model_of(cell, impl, 8 * k1, B, H)

    def run() -> None:
        kept = sliding_windows.LEAST_WORK, sliding_windows.LEAST_WORK_FUSED
        if way == AGAIN:
            sliding_windows.LEAST_WORK = dict.fromkeys(kept[0], np.inf)
            sliding_windows.LEAST_WORK_FUSED = np.inf
        try:
            model.zero_grad()
            for window in Truncation(k1, 4 * k1).windows(model, xs):
                (window.output**2).sum().backward()
        finally:
            sliding_windows.LEAST_WORK, sliding_windows.LEAST_WORK_FUSED = kept

    return Work(run, lambda _: gradients_of(model))


def series(cell: str, way: str, T: int, B: int, H: int) -> Work:
    """Go forward and backward over a whole series."""
    from minigrad_rnn import checkpointed

    model, xs = model_of(cell, "auto", T, B, H)
    in_parts = checkpointed(model, loss=lambda output, start, stop: (output**2).sum())

    def run() -> None:
        model.zero_grad()
        loss = (model(xs)[0] ** 2).sum() if way == PLAIN else in_parts(xs)[0]
        loss.backward()

    return Work(run, lambda _: gradients_of(model))


def judged(what: str, value: float | None, most: float, lines: Lines) -> str:
    """The cell of a ratio, marked if it is above `most`; None is a dash."""
    if value is None:
        return "–"
    if value > most:
        lines.missed.append(f"{what}: {value:.3g}, wanted at most {most:.3g}")
        return f"**{value:.3g}**"
    return f"{value:.3g}"


def ratio_of(results: Sequence[Result]) -> float | None:
    """The median ratio of the second contestant's time to the first one's; None without times."""
    first, second = results
    return ratio(second, first)[1] if first.rounds and second.rounds else None


def measure(options: Options) -> Tables:
    remarks: list[tuple[str, str, str]] = []
    disturbed = rounds = judgements = 0
    lines = Lines([], [])
    at_windows = QUICK_WINDOWS if options.quick else WINDOWS
    for cell in CELLS:
        for impl in ("graph", "fused", "native"):
            options.report(f"{cell}, {impl}")
            two = [Contestant(way, partial(windows, cell, impl, way), "minigrad_rnn") for way in (AGAIN, ONCE)]
            contested = contest(two, at_windows, options.plan, options.one_process, options.report)
            for size, results in zip(at_windows, contested):
                remarks += [(r.name, r.remark, label(size)) for r in results if r.remark]
                disturbed, rounds = disturbed + results[0].disturbed, rounds + len(results[0].rounds)
                what, judgements = f"{cell}, {impl}, {label(size)}", judgements + 1
                time = milliseconds(results[0].quartiles[1]) if results[0].rounds else "–"
                lines.rows.append([what, time, judged(what, ratio_of(results), MOST_WINDOWS, lines)])
    parts = ["Windows with k2 = 4·k1:", table(["k1, B, H", f"{AGAIN}, ms", f"{ONCE} (≤ {MOST_WINDOWS:g})"], lines.rows)]
    lines.rows.clear()
    at_series = QUICK_SERIES if options.quick else SERIES
    for cell in CELLS:
        options.report(f"{cell}, checkpointed")
        two = [Contestant(way, partial(series, cell, way), "minigrad_rnn") for way in (PLAIN, CHECKPOINTED)]
        contested = contest(two, at_series, options.plan, options.one_process, options.report)
        for size, results in zip(at_series, contested):
            remarks += [(r.name, r.remark, label(size)) for r in results if r.remark]
            disturbed, rounds = disturbed + results[0].disturbed, rounds + len(results[0].rounds)
            what, judgements = f"{cell}, {label(size)}", judgements + 2
            plain, small = (traced_peak(series(cell, way, **size).run) for way in (PLAIN, CHECKPOINTED))
            time = milliseconds(results[0].quartiles[1]) if results[0].rounds else "–"
            memory = judged(f"{what}, memory", small / plain, MOST_MEMORY, lines)
            lines.rows.append([what, time, judged(what, ratio_of(results), MOST_TIME, lines), memory])
    head = ["T, B, H", f"{PLAIN}, ms", f"{CHECKPOINTED} (≤ {MOST_TIME:g})", f"memory (≤ {MOST_MEMORY:g})"]
    quiet = is_quiet(disturbed, rounds)
    parts += ["A series with a loss of every part:", table(head, lines.rows), *remark_list(remarks)]
    parts += disturbance(disturbed, rounds)
    if quiet:
        parts += verdict(judgements - len(lines.missed), lines.missed)
    return Tables("\n\n".join(parts), quiet)


BENCHMARK = Benchmark("truncation", measure)
