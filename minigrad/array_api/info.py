"""What the array API's namespace can do, as `__array_namespace_info__` reports it."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..backend import BY_ARRAY_TYPE, default_backend
from .data_types import KINDS

UNIONS = {
    "integral": ("signed integer", "unsigned integer"),
    "numeric": ("signed integer", "unsigned integer", "real floating", "complex floating"),
}


class ArrayNamespaceInfo:
    """The capabilities, devices and data types of the namespace."""

    def capabilities(self) -> dict[str, Any]:
        """Return whether shapes may depend on values, and NumPy's limit on the number of axes."""
        return {"boolean indexing": True, "data-dependent shapes": True, "max dimensions": 64}

    def default_device(self) -> str:
        """Return the device of new tensors; see `use_backend`."""
        return device_name(default_backend().name)

    def devices(self) -> tuple[str, ...]:
        """Return "cpu" and the names of the other backends loaded so far."""
        return tuple(device_name(backend.name) for backend in BY_ARRAY_TYPE.values())

    def default_dtypes(self, *, device: str | None = None) -> dict[str, np.dtype[Any]]:
        """Return the dtypes of new tensors of Python numbers, and of positions."""
        names = {"real floating": "float32", "complex floating": "complex64", "integral": "int64", "indexing": "int64"}
        return {kind: np.dtype(name) for kind, name in names.items()}

    def dtypes(self, *, device: str | None = None, kind: Any = None) -> dict[str, np.dtype[Any]]:
        """Return the standard's dtypes by name, all or those of a kind or of several."""
        wanted = KINDS if kind is None else (kind,) if isinstance(kind, str) else kind
        kinds = [part for name in wanted for part in UNIONS.get(name, (name,))]
        if unknown := [name for name in kinds if name not in KINDS]:
            raise ValueError(f"dtypes: kind: got {unknown[0]!r}, want some of {[*KINDS, *UNIONS]}")
        return {name: np.dtype(name) for part in kinds for name in KINDS[part]}


def device_name(backend: str) -> str:
    """Return the array API's name of a backend's device: "cpu" for NumPy's."""
    return "cpu" if backend == "numpy" else backend


def __array_namespace_info__() -> ArrayNamespaceInfo:
    """Return what this namespace can do."""
    return ArrayNamespaceInfo()
