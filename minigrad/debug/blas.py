"""Say which arithmetic NumPy computes with here: its version, the processor's vector units, and the BLAS.

The bits of functions and of products of matrices depend on these; see docs/numerics.md.
"""

from __future__ import annotations

import ctypes
from typing import Any

import numpy as np

from ..engine.openblas import openblas_function


def describe_arithmetic() -> dict[str, str | int | None]:
    """Return {"numpy": version, "simd": name, "blas": library and version, "kernel": name, "threads": number}.

    `simd` is the best of the vector units that NumPy's functions use here, or None where that is only its baseline or
    not told. The kernel is the one that OpenBLAS chose for this processor or was told by OPENBLAS_CORETYPE; it and the
    number of threads are None where NumPy's BLAS is another library.
    """
    kernel = _ask("get_corename", ctypes.c_char_p)
    return {
        "numpy": np.__version__,
        "simd": _configured("SIMD Extensions", "found"),
        "blas": _configured("Build Dependencies", "blas"),
        "kernel": None if kernel is None else kernel.decode(),
        "threads": _ask("get_num_threads", ctypes.c_int),
    }


def _configured(section: str, entry: str) -> str | None:
    """An entry of NumPy's own description, the last of a list; None where there is none."""
    try:
        config: Any = np.show_config(mode="dicts")
        value = config[section][entry]
        return str(value[-1]) if isinstance(value, list) else f"{value['name']} {value['version']}"
    except (TypeError, KeyError, IndexError):
        return None


def _ask(name: str, kind: Any) -> Any:
    function = openblas_function(name, kind)
    return None if function is None else function()
