"""Data types of the array API: which there are, what they hold, and what two of them give."""

from __future__ import annotations

from typing import Any

import numpy as np

KINDS = {
    "bool": ("bool",),
    "signed integer": ("int8", "int16", "int32", "int64"),
    "unsigned integer": ("uint8", "uint16", "uint32", "uint64"),
    "real floating": ("float32", "float64"),
    "complex floating": ("complex64", "complex128"),
}
"""The standard's data types by their kind."""
DTYPES = tuple(name for names in KINDS.values() for name in names)


def dtype_of(value: Any) -> Any:
    """The dtype of a tensor or an array; anything else, such as a dtype or a Python number, as it is."""
    return getattr(value, "dtype", value) if not isinstance(value, (type, np.dtype)) else value


def can_cast(from_: Any, to: Any, /) -> bool:
    """Return whether a dtype, or that of a tensor, converts to another without loss, by NumPy's rules."""
    return bool(np.can_cast(dtype_of(from_), to))


def finfo(type: Any, /) -> Any:
    """Return the limits of a floating-point dtype, or of a tensor's: bits, eps, max, min, smallest_normal."""
    return np.finfo(dtype_of(type))


def iinfo(type: Any, /) -> Any:
    """Return the limits of an integer dtype, or of a tensor's: bits, max, min."""
    return np.iinfo(dtype_of(type))


def isdtype(dtype: Any, kind: Any) -> bool:
    """Return whether a dtype is of a kind, such as "real floating" or "integral", or of one of several."""
    return bool(np.isdtype(np.dtype(dtype), kind))


def result_type(*arrays_and_dtypes: Any) -> np.dtype[Any]:
    """Return the dtype that an operation on these would have. Python numbers are weak (NEP 50)."""
    return np.result_type(*map(dtype_of, arrays_and_dtypes))


def broadcast_shapes(*shapes: tuple[int, ...]) -> tuple[int, ...]:
    """Return the shape that arrays of these shapes broadcast to."""
    return np.broadcast_shapes(*shapes)
