"""Turn Python numbers, nested lists and other libraries' arrays into NumPy arrays, or refuse them by name."""

from __future__ import annotations

import array
import numbers
import sys
from collections import deque
from itertools import chain
from typing import Any

import numpy as np

from ..backend import MASK_LOST

NUMBERS = frozenset((float, int, bool, complex))
"""Types without a dtype of their own."""


def is_dtypeless(data: Any) -> bool:
    """Return whether `data` is a Python number, or nested lists of nothing else. (`np.float64` is none of them.)

    Raises:
        TypeError: a masked array or a sparse matrix is among them.
    """
    level = [data]
    while level:
        for kind in set(map(type, level)) - NUMBERS:
            if issubclass(kind, np.ma.MaskedArray):
                raise TypeError(f"got a list of masked arrays, {MASK_LOST}")
            if not issubclass(kind, (list, tuple, deque)) or hasattr(kind, "__array__"):
                refuse_sparse(next(x for x in level if type(x) is kind))
                return False
        level = list(chain.from_iterable(x for x in level if type(x) not in NUMBERS))
    return True


def host_array(data: Any, weak_dtype: Any = np.float32) -> np.ndarray[Any, Any]:
    """Return an array, on the memory of `data` if that has one.

    Python floats become `weak_dtype`; anything with a dtype keeps it, in lists too.

    Raises:
        ValueError: nested lists of different lengths.
    """
    dtypeless = is_dtypeless(data)
    values = np.asarray(data)
    return values.astype(weak_dtype) if dtypeless and values.dtype == np.float64 else values


def is_sparse(x: Any) -> bool:
    """Return whether `x` is a matrix or array of scipy.sparse."""
    sparse = sys.modules.get("scipy.sparse")
    return sparse is not None and bool(sparse.issparse(x))


def refuse_sparse(x: Any) -> None:
    """Raise TypeError for a sparse matrix, which NumPy would take for a single object."""
    if is_sparse(x):
        raise TypeError(
            f"got a scipy.sparse {type(x).__name__}; tensors take sparse matrices in x @ M and M @ x alone; use "
            "M.toarray() here"
        )


def check_numbers(caller: str, array: Any) -> None:
    """Raise TypeError unless the array's elements are numbers or booleans, rather than objects, texts or times."""
    if array.dtype.kind not in "fiubc":
        raise TypeError(f"{caller}: got {array.dtype} values, want numbers")


def operand(x: Any) -> Any:
    """Return what another library passed as an operand as a NumPy array or a Python number; others unchanged."""
    if isinstance(x, np.generic):
        return x
    if isinstance(x, np.ndarray):  # a subclass, such as memmap
        return x.view(np.ndarray)
    if hasattr(x, "__array__") and not isinstance(x, type):  # an array of pandas', say
        return np.asarray(x)
    if isinstance(x, (array.array, memoryview)):
        return np.asarray(x)
    if isinstance(x, numbers.Rational):  # a Fraction, or a subclass of int
        return int(x) if isinstance(x, int) else float(x)
    return float(x) if isinstance(x, float) else x
