"""Run every kernel at small sizes on the GPU against NumPy in float64; a program for compute-sanitizer.

`--only TEXT` runs the cases whose name contains it. `--narrow` runs them again with one block and two, one step and
two, and says which array is wrong. `--reruns N` runs each kernel N times and compares the bits. `--dry-run` runs them
as C++ on the host.
"""

from __future__ import annotations

import argparse
import contextlib
import itertools
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from minigrad import backend as backend_module
from minigrad.backend import NUMPY, Backend, get_backend
from minigrad_rnn.cuda.planner import CLUSTERS, Tile
from tests.support.cuda_on_cpu.cells import KINDS, farthest, results
from tests.support.cuda_on_cpu.device import Settings, make_backend
from tests.support.strict_device import StrictArray

TILES = {
    "in registers": Tile(1, 3, 1, 4, 1, 1, True),
    "in shared memory": Tile(2, 1, 2, 1, 3, 2, False),
    "in clusters": Tile(1, 3, 1, 2, 2, 1, True, cluster=True),
    "in one block": Tile(4, 3, 1, 4, 1, 1, False, cluster=True),
    "two launches": None,
}
SIZES = {np.dtype(np.float32): 12, np.dtype(np.float64): 5}
"""H by dtype; no tile fits them."""
TOLERANCE = {np.dtype(np.float32): 1e-5, np.dtype(np.float64): 1e-12}
T, B, STEPS = 5, 3, [5, 2, 3]
SEVERAL_BLOCKS = 24
"""H of the reruns: up to eight blocks of the smallest tile."""


def has_clusters(backend: Backend) -> bool:
    """Whether kernels in clusters run: on a device from compute capability 9.0, and always as C++."""
    assert backend.kernels is not None
    return backend.name == "strict" or backend.kernels().device.compute_capability >= CLUSTERS


@dataclass(frozen=True)
class Case:
    """Sequences through one cell, one tile and one dtype."""

    kind: str
    dtype: np.dtype[Any]
    implementation: str
    H: int
    T: int = T
    B: int = B
    direction: str = "both"

    def __str__(self) -> str:
        size = f"T = {self.T}, B = {self.B}, H = {self.H}"
        return f"{self.kind}, {size}, {self.direction}, {self.dtype}, {self.implementation}"

    def runs_on(self, backend: Backend) -> bool:
        """Return whether the device has clusters, if the tile wants one."""
        tile = TILES[self.implementation]
        return tile is None or not tile.cluster or has_clusters(backend)

    def run(self, backend: Backend, dtype: Any) -> dict[str, np.ndarray[Any, Any]]:
        """Return the outputs and gradients by name."""
        steps = STEPS if (self.T, self.B) == (T, B) else None
        tile = TILES[self.implementation]
        return results(self.kind, self.H, self.T, self.B, self.direction, steps, dtype, backend, tile)

    def trouble(self, backend: Backend) -> str:
        """Return what is wrong, or "": an error, or the array that is farthest from NumPy's in float64."""
        try:
            expected, actual = self.run(NUMPY, np.float64), self.run(backend, self.dtype)
        except Exception as error:  # a device that failed once fails from then on; every case says so
            return f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"
        tolerance = TOLERANCE[self.dtype] * (1 if self.T == T else 10)  # one sum alone may cancel
        if farthest(actual, expected) < tolerance:
            return ""
        errors = {name: farthest({name: actual[name]}, {name: expected[name]}) for name in expected}
        wrong = sorted((name for name in errors if not errors[name] < tolerance), key=lambda n: -errors[n])
        return "; ".join(f"{name} by {errors[name]:.1e}" for name in wrong)

    def narrowed(self) -> list[Case]:
        """Return the same kernel with one block and two, for one step and two, from the simplest on."""
        tile = TILES[self.implementation]
        sizes = (1, self.H) if tile is None else (tile.units, 2 * tile.units)
        return [
            Case(self.kind, self.dtype, self.implementation, H, steps, examples, direction)
            for direction, examples in (("forward", 1), ("both", self.B))
            for H, steps in itertools.product(sizes, (1, 2))
        ]


def cases(only: str = "") -> list[Case]:
    """Return all cases, both directions with lengths, whose name contains a text."""
    every = itertools.product(KINDS, SIZES.items(), TILES)
    return [case for kind, (dtype, H), tile in every if only in str(case := Case(kind, dtype, tile, H))]


def checked(backend: Backend, what: Sequence[Case]) -> Iterator[tuple[Case, str]]:
    """Yield each case and what is wrong with it, or ""."""
    for case in what:
        yield case, case.trouble(backend)


def rerun(backend: Backend, what: Sequence[Case], times: int) -> Iterator[tuple[Case, str]]:
    """Yield each case, with more blocks, and how many of its runs differ from the first one in any bit, or ""."""
    for case in what:
        case = Case(case.kind, case.dtype, case.implementation, SEVERAL_BLOCKS)
        first, differ = {name: a.tobytes() for name, a in case.run(backend, case.dtype).items()}, 0
        for _ in range(times - 1):
            differ += first != {name: a.tobytes() for name, a in case.run(backend, case.dtype).items()}
        yield case, f"{differ} of {times} runs differ" if differ else ""


@contextlib.contextmanager
def kernels_as_cpp(folder: str) -> Iterator[Backend]:
    """Inside, the strict backend has kernels that run as C++; it is yielded."""
    before = get_backend("strict")
    backend = make_backend(Settings(Path(folder)))
    backend_module._by_name["strict"] = backend_module.BY_ARRAY_TYPE[StrictArray] = backend
    try:
        yield backend
    finally:
        backend_module._by_name["strict"] = backend_module.BY_ARRAY_TYPE[StrictArray] = before


def parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    result = argparse.ArgumentParser(description=__doc__)
    result.add_argument("--dry-run", action="store_true", help="run the kernels as C++, without a GPU")
    result.add_argument("--only", default="", metavar="TEXT", help="only cases whose name contains this")
    result.add_argument("--narrow", action="store_true", help="each case with one block and two, one step and two")
    result.add_argument("--reruns", type=int, default=0, metavar="N", help="run each N times and compare the bits")
    return result


def main(argv: Sequence[str] = ()) -> int:
    command = parser()
    arguments = command.parse_args(argv)
    chosen = cases(arguments.only)
    if not chosen:
        command.error(f"--only: got {arguments.only!r}, want a part of a name such as {str(cases()[0])!r}")
    if arguments.narrow:
        chosen = list(dict.fromkeys(smaller for case in chosen for smaller in case.narrowed()))
    if arguments.dry_run:
        with tempfile.TemporaryDirectory() as folder, kernels_as_cpp(folder) as backend:
            return report(backend, chosen, arguments.reruns)
    backend = get_backend("cupy")
    backend.xp.cuda.set_allocator(None)  # without the pool, whose blocks are larger than the arrays in them
    return report(backend, chosen, arguments.reruns)


def report(backend: Backend, what: Sequence[Case], reruns: int = 0) -> int:
    """Print a line for each run; return 1 if one was wrong. Cases in clusters are left out where there are none."""
    wrong, what = 0, [case for case in what if case.runs_on(backend)]
    for case, trouble in rerun(backend, what, reruns) if reruns else checked(backend, what):
        print(f"WRONG: {case}: {trouble}" if trouble else f"right: {case}", flush=True)
        wrong += bool(trouble)
    print(f"{len(what) - wrong} right, {wrong} wrong")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
