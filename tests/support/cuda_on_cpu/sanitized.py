"""Run every kernel under AddressSanitizer, which guards each NumPy array; a program.

Arguments: a folder for compiled kernels, and the number of elements by which reads of Wc x(t) are shifted: 0, or more
to check that the error is caught.
"""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[3]))

import numpy as np

from minigrad import backend as backend_module
from minigrad.backend import get_backend
from minigrad_rnn.cuda.planner import Tile
from tests.support.cuda_on_cpu.cells import KINDS, results
from tests.support.cuda_on_cpu.device import Settings, make_backend
from tests.support.strict_device import StrictArray


def main(folder: str, shift: int) -> None:
    settings = Settings(Path(folder), seed=1, sanitize=True)
    if shift:
        settings.change = lambda source: source.replace("z[g] = from[g * K_H]", f"z[g] = from[g * K_H + {shift}]")
    get_backend("strict")
    backend = make_backend(settings)
    backend_module._by_name["strict"] = backend_module.BY_ARRAY_TYPE[StrictArray] = backend
    in_shared, in_registers = Tile(2, 1, 2, 1, 3, 4, False), Tile(1, 3, 1, 4, 1, 1, True)
    clusters = Tile(1, 3, 2, 1, 2, 2, True, cluster=True)
    for kind in ["rnn_tanh"] if shift else KINDS:
        results(kind, 12, 5, 3, "both", [5, 2, 3], np.float32, backend, in_shared)
        results(kind, 12, 4, 3, "both", [4, 2, 3], np.float32, backend, clusters)
        if kind in ("lstm", "gru_reset_first"):
            results(kind, 5, 3, 2, "both", None, np.float64, backend, in_registers)
            results(kind, 5, 3, 2, "backward", [1, 3], np.float32, backend, None)
        print(kind, "is clean", flush=True)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
