"""Time a training update of the character model on one rank and on two, each rank on one thread of its own.

Weak scaling: each rank has as many streams as one rank alone. Strong scaling: the ranks share those streams. The
programs take turns, one rank, two ranks, one rank, …, each in processes of its own.
"""

from __future__ import annotations

import statistics
from typing import Any

from .page import Benchmark, Options, Tables, disturbance, is_quiet, milliseconds, table, verdict
from .quiet_machine import quiet_rounds
from .ranks import BATCH, HIDDEN, STEPS, mpiexec, on_ranks
from .timing import quartiles

CASES = {"1 rank": (1, BATCH), "2 ranks, weak": (2, BATCH), "2 ranks, strong": (2, BATCH // 2)}
"""The number of ranks and each one's streams. The first is what the others are compared with."""
TARGET = ("2 ranks, weak", 1.8)
"""The least wanted characters a second of that case over those of one rank."""


Round = dict[str, dict[str, Any]]
"""What one round measured, by case."""


def speeds(options: dict[str, Any]) -> Round:
    """Return, for one round, the median seconds of an update and of its pooling, and characters a second, by case."""
    result = {}
    for name, (size, batch) in CASES.items():
        measured = on_ranks(size, "updates", batch=batch, **options)
        update = statistics.median(measured["update"])
        pooling = statistics.median(measured["pooling"])
        speed = size * measured["characters"] / update
        result[name] = {
            "update": update, "pooling": pooling, "speed": speed, "bytes": measured["gradient_bytes"],
            "implementation": measured["implementation"],
        }  # fmt: skip
    return result


def tables_of(rounds: list[Round], disturbed: int) -> Tables:
    """Return the table of the rounds' medians and ratios, and whether the target was met."""
    quiet, first = is_quiet(disturbed, len(rounds)), next(iter(CASES))
    rows, missed = [], []
    for name, (_, batch) in CASES.items():
        update, pooling, speed = (
            statistics.median(turn[name][key] for turn in rounds) for key in ("update", "pooling", "speed")
        )
        low, middle, high = quartiles([turn[name]["speed"] / turn[first]["speed"] for turn in rounds])
        wanted = f" (≥ {TARGET[1]:g})" if name == TARGET[0] else ""
        mark = "**" if name == TARGET[0] and middle < TARGET[1] else ""
        ratio = "" if name == first else f"{mark}{middle:.2f}{mark} [{low:.2f}, {high:.2f}]{wanted}"
        rows.append([name, str(batch), milliseconds(update), milliseconds(pooling), f"{speed / 1000:.1f}", ratio])
        if mark:
            missed.append(f"{name}: {middle:.2f}, wanted {TARGET[1]:g}")
    head = ["", "streams of a rank", "update, ms", "of it pooling, ms", "10³ characters/s", "× one rank (target)"]
    nbytes = rounds[0][first]["bytes"]
    ran = "; ".join(dict.fromkeys(turn[name]["implementation"] for turn in rounds for name in CASES))
    parts = [
        f"LSTM of {HIDDEN} units ({ran}), {STEPS} steps, float32; {nbytes / 1e6:.2f} MB of gradients. Median over "
        f"{len(rounds)} rounds [quartiles]; pooling includes waiting for the other rank:",
        table(head, rows),
        *disturbance(disturbed, len(rounds)),
        *(verdict(1 - len(missed), missed) if quiet else []),
    ]
    return Tables("\n\n".join(parts), quiet)


def measure(options: Options) -> Tables:
    if mpiexec() is None:
        return Tables("mpi4py or mpiexec is missing: pip install mpi4py mpich", quiet=False)
    size = {"hidden": 16, "steps": 4, "count": 3} if options.quick else {"hidden": HIDDEN, "steps": STEPS, "count": 40}
    count = 1 if options.quick else 9

    def run_round() -> Round:
        options.report(f"{len(CASES)} programs …")
        return speeds(size)

    return tables_of(*quiet_rounds(run_round, count, options.plan.patience))


BENCHMARK = Benchmark("distributed", measure, ("mpi4py", "mpich"))
