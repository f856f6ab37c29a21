"""`in_place` makes augmented assignments: `w -= step` updates a leaf under `no_grad`; other tensors never change."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from .engine.modes import mode, no_grad
from .engine.tape import GraphError, Leaf
from .engine.tensor import Operand, Parameter, Tensor

Operation = Callable[[Any, Any], Any]


def in_place(symbol: str, operation: Operation) -> Operation:
    """Return what `x symbol other` calls, such as `x += other`.

    A leaf, and a frozen Parameter, is updated as in torch: its array is written into, and older graphs that saved it
    raise an error in their backward pass. Any other tensor stays as it is, and the name is bound to a new one.
    """

    def augmented(x: Tensor, other: Operand) -> Any:
        if type(x.node) is Leaf or (x.node is None and isinstance(x, Parameter)):
            return _update(x, symbol, operation, other)
        return operation(x, other)

    return augmented


def _update(x: Tensor, symbol: str, operation: Operation, other: Operand) -> Any:
    """Write `operation(x, other)` into x; return x. After an error nothing has changed.

    Raises:
        GraphError: the operation would have to be recorded.
        ValueError: the result has another shape. TypeError: another kind of dtype, such as complex.
    """
    if mode().recording:
        if x.node is not None:
            raise GraphError(
                f"Tensor {symbol}: a leaf of shape {x.shape} that requires a gradient is not updated while operations "
                f"are recorded; write it inside `with minigrad.no_grad():`, or for a new tensor w = w {symbol[:-1]} …"
            )
        if isinstance(other, Tensor) and other.node is not None:
            raise GraphError(
                f"Tensor {symbol}: a frozen parameter would lose the gradient of the other operand, which is on the "
                "tape; write it inside `with minigrad.no_grad():`, or take .detach() of the operand"
            )
    with no_grad():
        result = operation(x, other)
    if not isinstance(result, Tensor):
        return result  # NotImplemented: the other operand answers
    if result.shape != x.shape:
        raise ValueError(f"Tensor {symbol}: the result has shape {result.shape}, want {x.shape}, that of the leaf")
    if not np.can_cast(result.dtype, x.dtype, "same_kind"):
        raise TypeError(f"Tensor {symbol}: the result has dtype {result.dtype}, want one that {x.dtype} can hold")
    array = result._array.astype(x.dtype)
    x.written()  # before, for Ctrl-C may come right after the write; and after, for another thread may read meanwhile
    x._array[...] = array
    x.written()
    return x
