"""Argument checks: each error names the module or function, the argument, what it got and what it wants."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import numpy as np

from .backend import BackendError, is_array
from .engine.tensor import Tensor, tensor_view
from .foreign_arrays import import_array, type_name


def is_integer(value: Any) -> bool:
    """Whether `value` is a Python or NumPy integer, and not a bool."""
    return isinstance(value, (int, np.integer)) and not isinstance(value, bool)


def check_integer(caller: str, least: int = 1, **arguments: Any) -> None:
    """Raise ValueError unless an argument is an integer of at least `least`."""
    for name, value in arguments.items():
        if not is_integer(value) or value < least:
            raise ValueError(f"{caller}: {name}: got {value!r}, want a whole number of at least {least}")


def check_probability(caller: str, one: bool = False, **arguments: Any) -> None:
    """Raise ValueError unless an argument is a number in [0, 1), or in [0, 1] where `one` is allowed."""
    for name, value in arguments.items():
        number = isinstance(value, (int, float, np.floating)) and not isinstance(value, bool)
        if not number or not (0 <= value < 1 or (one and value == 1)):
            raise ValueError(f"{caller}: {name}: got {value!r}, want a number in [0, 1{']' if one else ')'}")


def check_choice(caller: str, choices: Collection[str | None], **arguments: Any) -> None:
    """Raise ValueError unless an argument is one of `choices`, which are strings or None."""
    for name, value in arguments.items():
        if not (value is None or isinstance(value, str)) or value not in choices:
            raise ValueError(f"{caller}: {name}: got {value!r}, want one of {list(choices)}")


def as_array(value: Any, caller: str = "array", argument: str = "value") -> Any:
    """The array of a tensor, the array itself, or a host array of anything else."""
    array = value._data if isinstance(value, Tensor) else import_array(caller, argument, value)
    return array if is_array(array) else np.asarray(array)


def check_array(caller: str, argument: str, value: Any) -> None:
    """Raise TypeError unless the value is a tensor or an array."""
    if not isinstance(value, Tensor) and not is_array(import_array(caller, argument, value)):
        raise TypeError(f"{caller}: {argument}: got {type_name(value)}, want a Tensor or an array")


def as_tensor(caller: str, argument: str, value: Any) -> Tensor:
    """The tensor itself, or a constant on the user's array, in which the backward pass notices writes.

    Another library's array is taken through DLPack. Raises TypeError for anything else.
    """
    if isinstance(value, Tensor):
        return value
    value = import_array(caller, argument, value)
    if is_array(value):
        return tensor_view(value)
    raise TypeError(f"{caller}: {argument}: got {type_name(value)}, want a Tensor or an array")


def check_like(caller: str, argument: str, value: Any, parameter: Tensor) -> Tensor:
    """`value` as a tensor. Raises TypeError unless it has the parameter's dtype, BackendError unless its backend."""
    x = as_tensor(caller, argument, value)
    if x.dtype != parameter.dtype:
        raise TypeError(
            f"{caller}: {argument}: got dtype {x.dtype}, want {parameter.dtype} like the parameters; convert with "
            f"{argument}.astype({str(parameter.dtype)!r})"
        )
    if x.backend != parameter.backend:
        raise BackendError(
            f"{caller}: {argument}: is on {x.backend}, the parameters on {parameter.backend}; move one with .to(...)"
        )
    return x
