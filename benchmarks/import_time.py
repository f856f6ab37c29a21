"""Time `import minigrad` and `import numpy` in fresh interpreters that take turns, with files already cached."""

from __future__ import annotations

import statistics
import subprocess
import sys

from .page import Benchmark, Options, Tables, disturbance, is_quiet, table
from .quiet_machine import quiet_rounds
from .timing import quartiles

MODULES = ("numpy", "minigrad", "minigrad_rnn")
LIMIT = 60.0
"""The most milliseconds that minigrad may add to NumPy's import."""
PROGRAM = "import time; begin = time.perf_counter(); import {}; print(time.perf_counter() - begin)"


def import_seconds(module: str) -> float:
    """Return the seconds that a fresh interpreter takes for the import, without its own start.

    Raises:
        RuntimeError: the module cannot be imported.
    """
    process = subprocess.run(
        [sys.executable, "-c", PROGRAM.format(module)], capture_output=True, text=True, check=False
    )
    if process.returncode:
        raise RuntimeError(f"import_seconds: import {module}: {process.stderr.strip().splitlines()[-1]}")
    return float(process.stdout)


def measure(options: Options) -> Tables:
    rounds = 5 if options.quick else 41
    failed: dict[str, str] = {}
    for module in MODULES:  # untimed: compiles to bytecode
        try:
            import_seconds(module)
        except RuntimeError as error:
            failed[module] = str(error)
    running = [module for module in MODULES if module not in failed]
    turns_of_rounds, disturbed = quiet_rounds(
        lambda: [1000 * import_seconds(m) for m in running], rounds, options.plan.patience
    )
    quiet = is_quiet(disturbed, rounds)
    times = {module: [turns[k] for turns in turns_of_rounds] for k, module in enumerate(running)}
    rows, remarks = [], []
    for module in MODULES:
        if module in failed:
            rows.append([f"`import {module}`", "–", "–"])
            remarks.append(f"- {module}: failed: {failed[module]}")
            continue
        low, middle, high = quartiles(times[module])
        more = statistics.median(a - b for a, b in zip(times[module], times["numpy"]))
        rows.append(
            [
                f"`import {module}`",
                f"{middle:.1f} [{low:.1f}, {high:.1f}]",
                f"{more:.1f}" + (f" (≤ {LIMIT:g})" if module == "minigrad" else "") if module != "numpy" else "",
            ]
        )
        if module == "minigrad" and quiet:
            verdict = "Target: met." if more <= LIMIT else f"Target: **missed** by {more - LIMIT:.0f} ms."
            remarks.insert(0, verdict)
    head = ["", "median [quartiles], ms", "more than NumPy, ms (target)"]
    parts = [f"{rounds} rounds:", table(head, rows), *disturbance(disturbed, rounds), *remarks]
    return Tables("\n\n".join(parts), quiet)


BENCHMARK = Benchmark("import_time", measure)
