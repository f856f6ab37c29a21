"""Run every kernel at small sizes on the GPU against NumPy in float64; a program for compute-sanitizer."""

from __future__ import annotations

import sys
from collections.abc import Iterator

import numpy as np

from minigrad.backend import NUMPY, Backend, get_backend
from minigrad_rnn.cuda.planner import Tile
from tests.support.cuda_on_cpu.cells import KINDS, farthest, results

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


def main() -> int:
    backend = get_backend("cupy")
    backend.xp.cuda.set_allocator(None)  # without the pool, whose blocks are larger than the arrays in them
    passed = True
    for what, right in checked(backend):
        print(f"{'right' if right else 'WRONG'}: {what}", flush=True)
        passed = passed and right
    return 0 if passed else 1


if __name__ == "__main__":
    sys.exit(main())
