"""Choose between values, or between functions, by conditions."""

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce
from typing import Any

from ...engine.primitive import composed
from ...engine.tensor import Tensor
from ..arrays.shape import shape
from ..elementwise.arithmetic import where
from ..elementwise.nondifferentiable import logical_not, logical_or, zeros_like
from .gather import constant_index, getitem, put

Array = Any
__all__ = ["piecewise", "select"]


@composed
def select(condlist: Sequence[Any], choicelist: Sequence[Any], default: Any = 0) -> Tensor:
    """For each element the choice that belongs to the first true condition, else `default`; all broadcast.

    Raises:
        ValueError: there are no conditions, or their number is not that of the choices.
    """
    if not len(condlist) or len(condlist) != len(choicelist):
        raise ValueError(f"select: got {len(condlist)} conditions for {len(choicelist)} choices, want equal, not 0")
    for condition in condlist:
        if hasattr(condition, "dtype") and condition.dtype.kind != "b":
            raise TypeError(f"select: condlist: got a condition of {condition.dtype}, want booleans")
    chosen = default
    for condition, choice in zip(reversed(condlist), reversed(choicelist)):
        chosen = where(condition, choice, chosen)
    return chosen  # type: ignore[no-any-return]


@composed
def piecewise(x: Any, condlist: Sequence[Any], funclist: Sequence[Any], *args: Any, **kw: Any) -> Tensor:
    """A piecewise function: each of `funclist`, a function or a number, applies where its condition is true.

    Elements without a true condition get the extra function at the end of `funclist`, or 0 if there is none; with
    several true conditions the last one counts. A function is called with a vector of its elements, `args` and `kw`.
    Synchronises with the device, because the number of elements depends on values.

    Raises:
        ValueError: the numbers of conditions and functions do not fit.
    """
    conditions = list(condlist) if isinstance(condlist, (list, tuple)) else [condlist]
    if len(funclist) not in (len(conditions), len(conditions) + 1):
        raise ValueError(
            f"piecewise: got {len(funclist)} functions for {len(conditions)} conditions, want equally many or one more"
        )
    if len(funclist) > len(conditions):
        conditions.append(logical_not(reduce(logical_or, conditions)))
    value: Any = zeros_like(x)
    for condition, function in zip(conditions, funclist):
        if callable(function):
            function = function(getitem(x, condition), *args, **kw)
            if shape(function):  # otherwise one number for all elements
                function = put(function, index=constant_index(x, condition), shape=shape(x))
        value = where(condition, function, value)
    return value  # type: ignore[no-any-return]
