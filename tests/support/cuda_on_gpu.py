"""Run every kernel at small sizes on the GPU against NumPy in float64; a program for compute-sanitizer.

`--dry-run` runs them as C++ on the host.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from minigrad import backend as backend_module
from minigrad.backend import NUMPY, Backend, get_backend
from minigrad_rnn.cuda.planner import Tile
from tests.support.cuda_on_cpu.cells import KINDS, farthest, results
from tests.support.cuda_on_cpu.device import Settings, make_backend
from tests.support.strict_device import StrictArray

TILES = {
    "in registers": Tile(1, 3, 1, 4, 1, 1, True),
    "in shared memory": Tile(2, 1, 2, 1, 3, 2, False),
    "two launches": None,
}
TOLERANCE = {np.float32: 1e-5, np.float64: 1e-12}


def checked(backend: Backend) -> Iterator[tuple[str, bool]]:
    """Yield each run and whether it was right: both directions, with lengths, at sizes that fit no tile."""
    for kind in KINDS:
        for H, (dtype, tolerance) in zip((12, 5), TOLERANCE.items()):
            expected = results(kind, H, 5, 3, "both", [5, 2, 3], np.float64, NUMPY)
            for implementation, tile in TILES.items():
                actual = results(kind, H, 5, 3, "both", [5, 2, 3], dtype, backend, tile)
                yield f"{kind}, H = {H}, {np.dtype(dtype)}, {implementation}", farthest(actual, expected) < tolerance


def kernels_as_cpp(folder: str) -> Backend:
    """Return the strict backend with kernels that run as C++, in the place of the one without."""
    backend = make_backend(Settings(Path(folder)))
    backend_module._by_name["strict"] = backend_module.BY_ARRAY_TYPE[StrictArray] = backend
    return backend


def parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    result = argparse.ArgumentParser(description=__doc__)
    result.add_argument("--dry-run", action="store_true", help="run the kernels as C++, without a GPU")
    return result


def main(argv: Sequence[str] = ()) -> int:
    if parser().parse_args(argv).dry_run:
        with tempfile.TemporaryDirectory() as folder:
            return report(kernels_as_cpp(folder))
    backend = get_backend("cupy")
    backend.xp.cuda.set_allocator(None)  # without the pool, whose blocks are larger than the arrays in them
    return report(backend)


def report(backend: Backend) -> int:
    """Print a line for each run; return 1 if one was wrong."""
    passed = True
    for what, right in checked(backend):
        print(f"{'right' if right else 'WRONG'}: {what}", flush=True)
        passed = passed and right
    return 0 if passed else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
