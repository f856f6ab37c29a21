"""What a caller gives, checked: errors name the module, the argument, what it got and what it wants."""

from __future__ import annotations

from typing import Any

import numpy as np

from minigrad import Tensor
from minigrad.backend import is_array


def as_tensor(name: str, argument: str, value: Any) -> Tensor:
    """The value itself, or a constant that holds it.

    Raises:
        TypeError: neither a tensor nor an array.
    """
    if isinstance(value, Tensor):
        return value
    if is_array(value):
        return Tensor(value)
    raise TypeError(f"{name}: {argument}: got {type(value).__name__}, want a Tensor or an array")


def check_whole(name: str, argument: str, value: Any) -> None:
    """Refuse, with a ValueError, what is no whole number or is below 1."""
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or value < 1:
        raise ValueError(f"{name}: {argument}: got {value!r}, want a whole number of at least 1")
