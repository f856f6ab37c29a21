"""Call describes one sequence to the C library: the mirror of `Sequence` in source/sequence.h, filled from arrays."""

from __future__ import annotations

import ctypes
from typing import Any

import numpy as np

Array = Any

INTEGERS = "kind T B I H P backward saves rows chunk"
ROWS = "example length first team"
INPUTS = "xs h0 c0 Wc Wr b br p Wp"
OUTPUTS = "hs hT cs cT"
PACKED = ("packed_Wc", "packed_Wr", "packed_Wn", "packed_Wp")
PACKED_BACKWARD = ("packed_WcT", "packed_WrT", "packed_WnT", "packed_WpT")

FIELDS: list[tuple[str, type[Any]]] = [
    *((name, ctypes.c_long) for name in INTEGERS.split()),
    *((name, ctypes.c_void_p) for name in ROWS.split()),
    *((name, ctypes.c_void_p) for name in INPUTS.split()),
    *((name, ctypes.c_long) for name in ("xs_step", "xs_example")),
    *((name, ctypes.c_void_p) for name in OUTPUTS.split()),
    *((name, ctypes.c_long) for name in ("M", "panels", "units")),
    *((name, ctypes.c_void_p) for name in PACKED),
    *((name, ctypes.c_void_p) for name in ("Z", "C", "m")),
    *((name, ctypes.c_void_p) for name in PACKED_BACKWARD),
    *((name, ctypes.c_void_p) for name in ("dhs", "dhT", "dcs", "dcT")),
    *((name, ctypes.c_long) for name in ("dhs_step", "dhs_example", "dhs_unit")),
    *((name, ctypes.c_void_p) for name in ("dxs", "dh0", "dc0", "dWc", "dWr", "db", "dbr", "dp", "dWp", "D")),
    *((name, ctypes.c_void_p) for name in ("dh_steps", "dc_steps")),
]


class Call(ctypes.Structure):
    """One call of the library; see source/sequence.h for what the fields mean."""

    _fields_ = FIELDS


_exported, _address = ctypes.c_char.from_buffer, ctypes.addressof


def address(a: Array) -> int:
    """The address of an array's first number. (By way of a buffer: a third of the time of `a.ctypes.data`.)"""
    try:
        return _address(_exported(a))
    except (TypeError, ValueError, BufferError):  # read-only, or not contiguous
        return a.ctypes.data  # type: ignore[no-any-return]


def readable(a: Array) -> Array:
    """The array, or a copy of it where C could not read it: not contiguous, not aligned, in the other byte order."""
    flags, dtype = a.flags, a.dtype
    if flags.c_contiguous and flags.aligned and dtype.isnative:
        return a
    return np.array(a, dtype.newbyteorder("="), order="C")
