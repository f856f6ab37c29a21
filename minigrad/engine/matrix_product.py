"""`array_dot` multiplies matrices; `leave_cores_to` keeps products of moderate size on one thread of NumPy's BLAS.

OpenBLAS' threads wait for their next product by spinning, for some 20 ms, on cores where other threads of this process
could run. A product of moderate size gains less from them than a compiled sequence beside it loses: a training step of
the character model takes 1.6 times as long (benchmarks/README.md).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from .openblas import one_thread

Array = Any

FEW = 1 << 18
"""Multiplications up to which OpenBLAS takes one thread anyway."""
MANY = 1 << 27
"""Multiplications from which on its threads are worth it: some 2 ms of one core."""

_others_run: Callable[[], bool] | None = None


def leave_cores_to(others_run: Callable[[], bool] | None) -> None:
    """Keep products between FEW and MANY multiplications on one thread where `others_run()`; None: nowhere.

    It is asked at every such product, and its answer should hold for the process: a product's bits may depend on the
    number of threads.
    """
    global _others_run
    _others_run = others_run


def array_dot(a: Array, b: Array) -> Array:
    """`a.dot(b)` of vectors and matrices."""
    if _others_run is not None and type(a) is np.ndarray:
        size = a.size * b.shape[-1]
        if FEW < size < MANY and b.ndim > 1 and _others_run():
            with one_thread():
                return a.dot(b)
    return a.dot(b)
