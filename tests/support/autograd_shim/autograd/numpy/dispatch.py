"""Functions that call NumPy on plain numbers and minigrad on tensors."""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType
from typing import Any

import numpy as np

import minigrad as mg

from ..trees import mapped, plain, tensors_in

NO_GRADIENT = {
    "allclose",
    "array_equal",
    "array_equiv",
    "iscomplexobj",
    "isrealobj",
    "ndim",
    "result_type",
    "shape",
    "size",
}
"""Functions of tensors that return plain Python objects."""
OF_SEQUENCES = {
    "array", "atleast_1d", "atleast_2d", "atleast_3d", "block", "broadcast_arrays", "choose", "column_stack",
    "concatenate", "dstack", "einsum", "hstack", "row_stack", "select", "stack", "vstack",
}  # fmt: skip
"""Functions of lists of arrays. For all others a list of numbers is converted to an array."""


def function(name: str, theirs: Any, ours: Any) -> Callable[..., Any]:
    """Return a function that dispatches to the one of this name in NumPy's or in minigrad's module."""

    def either(*args: Any, **options: Any) -> Any:
        if not tensors_in(args, options):
            return getattr(theirs, name)(*args, **options)
        if name in NO_GRADIENT:
            return getattr(theirs, name)(*mapped(plain, args), **mapped(plain, options))
        if name not in ours.__all__:
            raise NotImplementedError(f"minigrad has no {name}")
        if name not in OF_SEQUENCES:
            args = tuple(mg.array(a) if isinstance(a, (list, tuple)) and tensors_in(a) else a for a in args)
        return getattr(ours, name)(*args, **options)

    either.__name__ = name
    return either


def whole_number_type(theirs: type) -> type:
    """Return NumPy's integer type, callable on tensors too."""

    def new(cls: type, value: Any = 0, *args: Any) -> Any:
        return value.detach().astype(theirs) if isinstance(value, mg.Tensor) else theirs(value, *args)

    return type(theirs.__name__, (theirs,), {"__new__": new})


def namespace(theirs: ModuleType, ours: Any, own: dict[str, Any]) -> Callable[[str], Any]:
    """Return a module's `__getattr__`."""

    def getattr_(name: str) -> Any:
        value = getattr(theirs, name)
        if isinstance(value, type):
            value = whole_number_type(value) if issubclass(value, np.signedinteger) else value
        elif callable(value):
            value = function(name, theirs, ours)
        own[name] = value
        return value

    return getattr_
