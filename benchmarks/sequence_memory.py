"""Peak memory of forward and backward over whole sequences, in C and in NumPy, at the sizes of the fused benchmark.

Two counts: what NumPy reports to `tracemalloc`, its arrays and the tape's objects, and how far the process's resident
memory rises, which also has what C allocates by itself. Each is taken in a process of its own, on a model's first
call, so that whatever a model keeps between calls counts too; a small model ran before.
"""

from __future__ import annotations

import ctypes
import gc
import multiprocessing
import tracemalloc
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from . import fused
from .fused import GATES, NATIVE, NUMPY
from .page import table, verdict
from .sizes import label

IMPLEMENTATIONS = {NATIVE: "native", NUMPY: "fused"}
WARM_UP = {"T": 3, "B": 2, "I": 4, "H": 4}
LARGE = 4 << 20
"""The resident memory in bytes from which it is judged: below, pages and the allocator's reserves decide."""
MOST_TRACED, MOST_RESIDENT = 1.0, 1.05
"""The most wanted ratios of native's peaks to the NumPy sequence's."""
MIB = 2**20


class Peaks(NamedTuple):
    """Two counts of a peak, in bytes; the resident one is None where the system does not tell."""

    traced: int
    resident: int | None


def traced_peak(work: Callable[[], Any]) -> int:
    """Return the peak of additional memory during the work, as `tracemalloc` counts it, in bytes."""
    gc.collect()
    tracemalloc.start()
    try:
        before, _ = tracemalloc.get_traced_memory()
        tracemalloc.reset_peak()
        work()
        return tracemalloc.get_traced_memory()[1] - before
    finally:
        tracemalloc.stop()


def resident_peak(work: Callable[[], Any]) -> int | None:
    """Return how far the process's resident memory rises during the work, in bytes; None where Linux does not tell."""
    gc.collect()
    with suppress(AttributeError, OSError):
        ctypes.CDLL(None).malloc_trim(0)  # pages that are free within the process would be used unseen
    try:
        Path("/proc/self/clear_refs").write_text("5")  # the peak begins anew
        before = _status("VmRSS")
        work()
        return _status("VmHWM") - before
    except OSError:
        work()
        return None


def _status(field: str) -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(1024 * int(line.split()[1]) for line in lines if line.startswith(field))


def both_peaks(cell: str, impl: str, size: dict[str, int]) -> Peaks:
    """Return the peaks of a model's first call, forward and backward to xs, the initial state and all weights."""
    fused.ours(cell, impl, **WARM_UP).run()
    square = np.ones((512, 512), np.float32)
    square @ square  # the BLAS allocates its buffers
    resident = resident_peak(fused.ours(cell, impl, **size).run)
    return Peaks(traced_peak(fused.ours(cell, impl, **size).run), resident)


def in_own_process(cell: str, impl: str, size: dict[str, int]) -> Peaks | str:
    """Return `both_peaks`, taken in a new process, or why there are none."""
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        try:
            return pool.submit(both_peaks, cell, impl, size).result()
        except Exception as error:
            return f"failed: {type(error).__name__}: {error}"


def peaks_table(cell: str, sizes: Sequence[dict[str, int]], peaks: Sequence[Sequence[Peaks | str]]) -> list[str]:
    """Return paragraphs with a cell's peaks, those of IMPLEMENTATIONS at each size, and which targets were met."""
    rows, missed, met, remarks = [], [], 0, {}
    for size, at_size in zip(sizes, peaks):
        cells = []
        for name, result in zip(IMPLEMENTATIONS, at_size):
            if isinstance(result, str):
                remarks[f"- {name}: {result}"] = None
        for count, most in (("traced", MOST_TRACED), ("resident", MOST_RESIDENT)):
            both = [None if isinstance(result, str) else getattr(result, count) for result in at_size]
            cells += ["–" if number is None else f"{number / MIB:.2f}" for number in both]
            native, numpy = both
            if native is None or numpy is None or (count == "resident" and numpy < LARGE):
                cells.append("–")
                continue
            ratio = native / numpy
            mark = "**" if ratio > most else ""
            cells.append(f"{mark}{ratio:.2f}{mark}")
            if ratio > most:
                missed.append(f"{count} at {label(size)}: {ratio:.2f}, wanted at most {most:g}")
            else:
                met += 1
        rows.append([label(size), *cells])
    head = ["T, B, I, H", "native", "NumPy sequence", f"ratio (≤ {MOST_TRACED:g})"]
    head += ["resident, native", "resident, NumPy", f"ratio (≤ {MOST_RESIDENT:g})"]
    return [f"{cell}, MiB:", table(head, rows), *(["\n".join(remarks)] if remarks else []), *verdict(met, missed)]


def tables(sizes: Sequence[dict[str, int]], report: Callable[[str], None]) -> list[str]:
    """Return paragraphs with the peaks of every cell at these sizes."""
    parts = [
        "Forward and backward over a whole sequence, to xs, the initial state and all weights, float32, the model's "
        "first call: the peak that `tracemalloc` counts, and how far resident memory rises."
    ]
    for cell in GATES:
        peaks = []
        for size in sizes:
            report(f"{cell} {label(size)}")
            peaks.append([in_own_process(cell, impl, size) for impl in IMPLEMENTATIONS.values()])
        parts += peaks_table(cell, sizes, peaks)
    return parts
