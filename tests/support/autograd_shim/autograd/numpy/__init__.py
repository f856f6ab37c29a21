"""autograd.numpy: NumPy on plain numbers, minigrad.ops on tensors."""

from __future__ import annotations

import sys
from typing import Any

import numpy as _numpy
from numpy import random

import minigrad as _mg

from ..trees import tensors_in as _tensors_in
from . import fft, linalg
from .dispatch import function as _function, namespace as _namespace

__all__ = ["c_", "fft", "linalg", "make_diagonal", "r_", "random", "where"]

sys.modules[f"{__name__}.random"] = random
_found = _namespace(_numpy, _mg.ops, globals())
_where = _function("where", _numpy, _mg.ops)


def __getattr__(name: str) -> Any:
    if name == "row_stack":  # NumPy warns that the name will go
        return globals().setdefault(name, __getattr__("vstack"))
    return _found(name)


def make_diagonal(D: Any, offset: int = 0, axis1: int = 0, axis2: int = 1) -> Any:
    """autograd's own: matrices with these diagonals."""
    assert (offset, axis1, axis2) == (0, -1, -2)
    return D[..., None] * _numpy.eye(D.shape[-1])


def where(condition: Any, *args: Any, **options: Any) -> Any:
    """NumPy's, by name too; and of two Python numbers or lists, as autograd's, the one chosen, as it is."""
    if not args and not options:
        return _numpy.where(condition)
    x, y = (*args, *(options[name] for name in ("x", "y")[len(args) :]))
    if isinstance(condition, bool) and not hasattr(x, "dtype") and not hasattr(y, "dtype"):
        return x if condition else y
    return _where(condition, x, y)


class _Joined:
    def __init__(self, name: str) -> None:
        self.name = name

    def __getitem__(self, key: Any) -> Any:
        if not _tensors_in(key):
            return getattr(_numpy, self.name)[key]
        if self.name not in _mg.ops.__all__:
            raise NotImplementedError(f"minigrad has no {self.name}")
        return getattr(_mg.ops, self.name)[key]


r_, c_ = _Joined("r_"), _Joined("c_")
