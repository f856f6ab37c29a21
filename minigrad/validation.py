"""Argument checks: each error names the module or function, the argument, what it got and what it wants."""

from __future__ import annotations

from typing import Any

import numpy as np

from .backend import BackendError, is_array
from .engine.host_array import check_numbers
from .engine.tensor import Tensor, tensor_view
from .foreign_arrays import import_array, type_name
from .option_checks import (
    check_choice as check_choice,
    check_dtype as check_dtype,
    check_flag as check_flag,
    check_function as check_function,
    check_integer as check_integer,
    check_number as check_number,
    check_path as check_path,
    check_probability as check_probability,
    check_text as check_text,
    check_type as check_type,
    closest as closest,
    is_integer as is_integer,
    is_number as is_number,
    shown as shown,
    type_shown as type_shown,
)


def as_array(value: Any, caller: str = "array", argument: str = "value") -> Any:
    """The array of a tensor, the array itself, or a host array of anything else, in the machine's byte order.

    Raises:
        TypeError: its elements are no numbers. ValueError: nested lists of different lengths.
    """
    array = value._array if isinstance(value, Tensor) else import_array(caller, argument, value)
    if not is_array(array):
        try:
            array = np.asarray(array)
        except (TypeError, ValueError) as error:
            raise type(error)(f"{caller}: {argument}: got {shown(value)}, want numbers: {error}") from None
    if array.dtype.kind not in "fiubc":
        got = shown(value) if array.ndim == 0 else array.dtype
        raise TypeError(f"{caller}: {argument}: got {got}, want numbers")
    return in_native_order(array)


def as_dictionary(caller: str, argument: str, value: Any) -> dict[str, Any]:
    """What has keys, such as the result of `state_dict()` or `load`, as a dict. Raises TypeError for anything else."""
    if not hasattr(value, "keys") or not hasattr(value, "__getitem__"):
        raise TypeError(
            f"{caller}: {argument}: got {type_name(value)}, want arrays by their names, as state_dict() gives"
        )
    return dict(value)


def in_native_order(array: Any) -> Any:
    """The array itself, or a copy of one in the other byte order."""
    return array if array.dtype.isnative else array.astype(array.dtype.newbyteorder("="))


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
        if value.dtype.kind not in "fiubc":
            check_numbers(f"{caller}: {argument}", value)
        return tensor_view(in_native_order(value))
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


def check_input(
    caller: str, value: Any, trailing: tuple[int, ...], parameter: Tensor | None, floating: bool = False
) -> Any:
    """Return a layer's input x; raise unless it is an array, ends in the axes `trailing`, has the parameter's dtype.

    Where there is no parameter and `floating` is set it must be floating point.
    """
    value = value if isinstance(value, Tensor) else import_array(caller, "x", value)
    x = as_tensor(caller, "x", value)
    if x.shape[max(0, x.ndim - len(trailing)) :] != trailing:
        want = ", ".join(["...", *map(str, trailing)])
        raise ValueError(f"{caller}: x: got shape {x.shape}, want ({want})")
    if parameter is not None and x.dtype != parameter.dtype:
        raise TypeError(f"{caller}: x: got dtype {x.dtype}, want {parameter.dtype} like the parameters")
    if parameter is None and floating and x.dtype.kind != "f":
        raise TypeError(f"{caller}: x: got dtype {x.dtype}, want floating point")
    return value
