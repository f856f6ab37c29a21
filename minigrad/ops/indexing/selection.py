"""One of several values, by conditions."""

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce
from typing import Any

from ...engine.primitive import composed
from ...engine.tensor import Tensor
from ..arrays.shape import shape
from ..elementwise.arithmetic import where
from ..elementwise.nondifferentiable import logical_not, logical_or, zeros_like
from .gather import _put, getitem, settled

Array = Any
__all__ = ["piecewise", "select"]


@composed
def select(condlist: Sequence[Any], choicelist: Sequence[Any], default: Any = 0) -> Tensor:
    """For each element the choice of the first condition that holds, else `default`; all broadcast.

    Raises:
        ValueError: there are no conditions, or not as many as choices.
    """
    if not len(condlist) or len(condlist) != len(choicelist):
        raise ValueError(f"select: got {len(condlist)} conditions for {len(choicelist)} choices, want as many, and any")
    for condition in condlist:
        if hasattr(condition, "dtype") and condition.dtype.kind != "b":
            raise TypeError(f"select: condlist: got a condition of {condition.dtype}, want truth values")
    chosen = default
    for condition, choice in zip(reversed(condlist), reversed(choicelist)):
        chosen = where(condition, choice, chosen)
    return chosen  # type: ignore[no-any-return]


@composed
def piecewise(x: Any, condlist: Sequence[Any], funclist: Sequence[Any], *args: Any, **kw: Any) -> Tensor:
    """A function in pieces: each of `funclist`, a function or a number, on those elements where its condition holds.

    One function more than conditions is for all the rest, which else is 0; of several conditions that hold the last
    counts. A function sees the chosen elements only, in one axis, and `args` and `kw` besides. Since their number
    depends on values, a device is waited for.

    Raises:
        ValueError: the numbers of conditions and functions do not fit.
    """
    conditions = list(condlist) if isinstance(condlist, (list, tuple)) else [condlist]
    if len(funclist) not in (len(conditions), len(conditions) + 1):
        raise ValueError(
            f"piecewise: got {len(funclist)} functions for {len(conditions)} conditions, want as many or one more"
        )
    if len(funclist) > len(conditions):
        conditions.append(logical_not(reduce(logical_or, conditions)))
    value: Any = zeros_like(x)
    for condition, function in zip(conditions, funclist):
        if callable(function):
            function = function(getitem(x, condition), *args, **kw)
            if shape(function):  # else it is one number for all of them
                function = _put(function, index=settled(x, condition), shape=shape(x))
        value = where(condition, function, value)
    return value  # type: ignore[no-any-return]
