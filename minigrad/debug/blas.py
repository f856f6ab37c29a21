"""Say which arithmetic NumPy computes with here: its version, and its BLAS with the kernel and the number of threads.

The bits of a product of matrices depend on all of these; see docs/numerics.md.
"""

from __future__ import annotations

import ctypes
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

PREFIXES = ("scipy_openblas_get_{}64_", "scipy_openblas_get_{}", "openblas_get_{}64_", "openblas_get_{}")
"""Names of OpenBLAS's functions in NumPy's wheels and in others' builds."""


def describe_arithmetic() -> dict[str, str | int | None]:
    """Return {"numpy": version, "blas": library and version, "kernel": name, "threads": number}.

    The kernel is the one that OpenBLAS chose for this processor or was told by OPENBLAS_CORETYPE; it and the number of
    threads are None where NumPy's BLAS is another library.
    """
    library = _openblas()
    kernel = _ask(library, "corename", ctypes.c_char_p)
    return {
        "numpy": np.__version__,
        "blas": _name(),
        "kernel": None if kernel is None else kernel.decode(),
        "threads": _ask(library, "num_threads", ctypes.c_int),
    }


def _name() -> str:
    try:
        config: Any = np.show_config(mode="dicts")
        blas = config["Build Dependencies"]["blas"]
        return f"{blas['name']} {blas['version']}"
    except (TypeError, KeyError):
        return "unknown"


@cache
def _openblas() -> ctypes.CDLL | None:
    """The OpenBLAS that NumPy has loaded: beside it in its wheels, else one that the system lists as loaded."""
    package = Path(np.__file__).parent
    folders = (package.parent / "numpy.libs", package / ".dylibs")
    paths = [str(path) for folder in folders for path in sorted(folder.glob("*openblas*"))]
    maps = Path("/proc/self/maps")
    if maps.exists():
        paths += [line.split()[-1] for line in maps.read_text().splitlines() if "openblas" in line.lower()]
    for path in paths:
        try:
            return ctypes.CDLL(path)
        except OSError:
            continue
    return None


def _ask(library: ctypes.CDLL | None, what: str, kind: Any) -> Any:
    for prefix in PREFIXES:
        if hasattr(library, name := prefix.format(what)):
            function = getattr(library, name)
            function.restype = kind
            return function()
    return None
