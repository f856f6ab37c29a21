"""Argument checks: each error names the module or function, the argument, what it got and what it wants."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import numpy as np

from .backend import BackendError, is_array
from .engine.tensor import Tensor


def is_integer(value: Any) -> bool:
    """Whether `value` is a Python or NumPy integer; a bool is none."""
    return isinstance(value, (int, np.integer)) and not isinstance(value, bool)


def check_integer(caller: str, least: int = 1, **arguments: Any) -> None:
    """Raise ValueError for an argument that is no integer of at least `least`."""
    for name, value in arguments.items():
        if not is_integer(value) or value < least:
            raise ValueError(f"{caller}: {name}: got {value!r}, want a whole number of at least {least}")


def check_probability(caller: str, **arguments: Any) -> None:
    """Raise ValueError for an argument that is no number in [0, 1)."""
    for name, value in arguments.items():
        number = isinstance(value, (int, float, np.floating)) and not isinstance(value, bool)
        if not number or not 0 <= value < 1:
            raise ValueError(f"{caller}: {name}: got {value!r}, want a probability in [0, 1)")


def check_choice(caller: str, choices: Collection[str | None], **arguments: Any) -> None:
    """Raise ValueError for an argument that is none of `choices`, which are strings or None."""
    for name, value in arguments.items():
        if not (value is None or isinstance(value, str)) or value not in choices:
            raise ValueError(f"{caller}: {name}: got {value!r}, want one of {list(choices)}")


def check_array(caller: str, argument: str, value: Any) -> None:
    """Raise TypeError unless the value is a tensor or an array."""
    if not isinstance(value, Tensor) and not is_array(value):
        raise TypeError(f"{caller}: {argument}: got {type(value).__name__}, want a Tensor or an array")


def as_tensor(caller: str, argument: str, value: Any) -> Tensor:
    """The tensor itself, or a constant on the array. Raises TypeError for anything else."""
    check_array(caller, argument, value)
    return value if isinstance(value, Tensor) else Tensor(value)


def check_like(caller: str, argument: str, value: Any, parameter: Tensor) -> Tensor:
    """`value` as a tensor. Raises TypeError unless it has the parameter's dtype, BackendError unless its backend."""
    x = as_tensor(caller, argument, value)
    if x.dtype != parameter.dtype:
        raise TypeError(f"{caller}: {argument}: got dtype {x.dtype}, want {parameter.dtype} like the parameters")
    if x.backend != parameter.backend:
        raise BackendError(
            f"{caller}: {argument}: is on {x.backend}, the parameters on {parameter.backend}; move one with .to(...)"
        )
    return x
