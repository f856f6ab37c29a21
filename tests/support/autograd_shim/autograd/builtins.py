"""autograd.builtins: Python's own types, with an `isinstance` that takes a tensor for a number or an array."""

from __future__ import annotations

import builtins
from typing import Any

import numpy as np

import minigrad as mg

__all__ = ["dict", "isinstance", "list", "tuple", "type"]
dict, list, tuple, type = builtins.dict, builtins.list, builtins.tuple, builtins.type


def isinstance(value: Any, kinds: Any) -> bool:
    if builtins.isinstance(value, mg.Tensor):
        kinds = kinds if builtins.isinstance(kinds, builtins.tuple) else (kinds,)
        return any(issubclass(np.ndarray if value.ndim else float, kind) for kind in kinds)
    return builtins.isinstance(value, kinds)
