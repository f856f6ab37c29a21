"""Say which arithmetic NumPy computes with here: its version, the processor's vector units, and the BLAS.

The bits of functions and of products of matrices depend on these; see docs/numerics.md.
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
    """Return {"numpy": version, "simd": name, "blas": library and version, "kernel": name, "threads": number}.

    `simd` is the best of the vector units that NumPy's functions use here, or None where that is only its baseline or
    not told. The kernel is the one that OpenBLAS chose for this processor or was told by OPENBLAS_CORETYPE; it and the
    number of threads are None where NumPy's BLAS is another library.
    """
    library = _openblas()
    kernel = _ask(library, "corename", ctypes.c_char_p)
    return {
        "numpy": np.__version__,
        "simd": _configured("SIMD Extensions", "found"),
        "blas": _configured("Build Dependencies", "blas"),
        "kernel": None if kernel is None else kernel.decode(),
        "threads": _ask(library, "num_threads", ctypes.c_int),
    }


def _configured(section: str, entry: str) -> str | None:
    """An entry of NumPy's own description, the last of a list; None where there is none."""
    try:
        config: Any = np.show_config(mode="dicts")
        value = config[section][entry]
        return str(value[-1]) if isinstance(value, list) else f"{value['name']} {value['version']}"
    except (TypeError, KeyError, IndexError):
        return None


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
