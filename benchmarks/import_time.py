"""What `import minigrad` costs beside `import numpy`: fresh interpreters that take turns, files already in memory."""

from __future__ import annotations

import statistics
import subprocess
import sys

from .page import Benchmark, Options, Tables, beside_others, is_quiet, table
from .timing import quartiles, quiet_rounds

MODULES = ("numpy", "minigrad", "minigrad_rnn")
LIMIT = 60.0
"""Milliseconds that minigrad may add to NumPy's import."""
PROGRAM = "import time; begin = time.perf_counter(); import {}; print(time.perf_counter() - begin)"


def once(module: str) -> float:
    """Seconds that a fresh interpreter takes for the import, without its own start.

    Raises:
        RuntimeError: the module cannot be imported.
    """
    done = subprocess.run([sys.executable, "-c", PROGRAM.format(module)], capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"once: import {module}: {done.stderr.strip().splitlines()[-1]}")
    return float(done.stdout)


def measured(options: Options) -> Tables:
    rounds = 5 if options.quick else 41
    failed: dict[str, str] = {}
    for module in MODULES:  # untimed: compiles what is not compiled
        try:
            once(module)
        except RuntimeError as error:
            failed[module] = str(error)
    running = [module for module in MODULES if module not in failed]
    kept, disturbed = quiet_rounds(lambda: [1000 * once(m) for m in running], rounds, options.plan.patience)
    quiet = is_quiet(disturbed, rounds)
    times = {module: [turns[k] for turns in kept] for k, module in enumerate(running)}
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
    parts = [f"{rounds} rounds:", table(head, rows), *beside_others(disturbed, rounds), *remarks]
    return Tables("\n\n".join(parts), quiet)


BENCHMARK = Benchmark("import_time", measured)
