"""Operations of one, two or three tensors on NumPy, written out: of a small one's cost this saves half.

Nothing is decided here that `primitive` does not decide too. Whatever is special (another backend, lists and NumPy
scalars, arrays that the user holds, an observer) goes by `general`, the operation for any inputs; and a result that is
no plain array or not to be recorded goes by `finish`.
"""

from __future__ import annotations

from collections.abc import Callable
from types import FunctionType
from typing import Any

import numpy as np

from .mutation import exposed, is_exposed, source_positions
from .tape import Node, mode, serials
from .tensor import Parameter, Tensor

ndarray = np.ndarray
WEAK = frozenset(("add", "subtract", "multiply", "divide", "maximum", "minimum"))
"""Operations that ask nothing of a Python number but its value: NumPy is faster with an array of the other's dtype."""
_numbers: dict[tuple[float, Any], np.ndarray[Any, Any]] = {}


def number(value: float, dtype: Any) -> Any:
    """A Python float as an array of a floating dtype, from a store of those seen before; else as it is."""
    found = _numbers.get((value, dtype))
    if found is None:
        # 0.0 and -0.0 are one key, a NaN is none, and of what is too large for the dtype NumPy shall say so each time
        if dtype.kind != "f" or len(_numbers) > 1000 or not 0.0 < abs(value) <= float(np.finfo(dtype).max):
            return value
        found = np.array(value, dtype)
        found.flags.writeable = False
        _numbers[value, dtype] = found
    return found


FIRST, SECOND, FIRST_TWO = (0,), (1,), (0, 1)
"""What most operations save, as an entry's `sources`: the first input, the result of a single one, the first two."""
new = object.__new__
next_serial = serials.__next__


def one_input(
    name: str, function: Callable[..., Any], general: Callable[..., Any], finish: Callable[..., Any]
) -> Callable[..., Any]:
    """`operation(x)`, of a tensor."""

    def operation(x: Any) -> Any:
        if type(x) is not Tensor and type(x) is not Parameter:
            return general(x)
        array = x._data
        now = mode()
        if type(array) is not ndarray or now.observer is not None or (exposed and is_exposed(array)):
            return general(x)
        try:
            value, saved, rules = function(np, array)
        except (ValueError, TypeError, IndexError):
            return general(x)  # where it is raised again, explained
        parent, kind = x.node, type(rules)
        if (
            parent is None
            or not now.recording
            or type(value) is not ndarray
            or (kind is not FunctionType and kind is not tuple)
        ):
            return finish(np, value, saved, rules, (array,), (parent,), now)
        node = Node()
        node.serial = next_serial()
        node.op = name
        node.parents = (parent,)
        node.rules = (rules,) if kind is FunctionType else rules
        node.saved = saved
        if not saved:
            node.sources = ()
        elif len(saved) == 1 and saved[0] is array:
            node.sources = FIRST
        elif len(saved) == 1 and saved[0] is value:
            node.sources = SECOND
        else:
            node.sources = source_positions(saved, (array, value))
        node.shape = value.shape
        node.dtype = value.dtype
        node.xp = np
        node.time_step = now.time_step
        made = new(Tensor)
        made._data = value
        made.node = node
        return made

    return operation


def two_inputs(
    name: str, function: Callable[..., Any], general: Callable[..., Any], finish: Callable[..., Any]
) -> Callable[..., Any]:
    """`operation(a, b)`, of two tensors, or a tensor and a Python number."""
    weak = name in WEAK

    def operation(a: Any, b: Any) -> Any:
        if type(a) is Tensor or type(a) is Parameter:
            x = a._data
            left = a.node
            if type(x) is not ndarray or (exposed and is_exposed(x)):
                return general(a, b)
        elif type(a) is float or type(a) is int:
            x = a
            left = None
        else:
            return general(a, b)
        if type(b) is Tensor or type(b) is Parameter:
            y = b._data
            right = b.node
            if type(y) is not ndarray or (exposed and is_exposed(y)):
                return general(a, b)
        elif (type(b) is float or type(b) is int) and type(x) is ndarray:
            y = b
            right = None
        else:
            return general(a, b)
        now = mode()
        if now.observer is not None:
            return general(a, b)
        if weak:
            if type(y) is float:
                y = number(y, x.dtype)
            elif type(x) is float:
                x = number(x, y.dtype)
        try:
            value, saved, rules = function(np, x, y)
        except (ValueError, TypeError, IndexError):
            return general(a, b)
        if (
            (left is None and right is None)
            or not now.recording
            or type(value) is not ndarray
            or type(rules) is not tuple
            or len(rules) != 2
        ):
            return finish(np, value, saved, rules, (x, y), (left, right), now)
        node = Node()
        node.serial = next_serial()
        node.op = name
        node.parents = (left, right)
        node.rules = rules
        node.saved = saved
        if not saved:
            node.sources = ()
        elif len(saved) == 2 and saved[0] is x and saved[1] is y:
            node.sources = FIRST_TWO
        else:
            node.sources = source_positions(saved, (x, y, value))
        node.shape = value.shape
        node.dtype = value.dtype
        node.xp = np
        node.time_step = now.time_step
        made = new(Tensor)
        made._data = value
        made.node = node
        return made

    return operation


def three_inputs(
    name: str, function: Callable[..., Any], general: Callable[..., Any], finish: Callable[..., Any]
) -> Callable[..., Any]:
    """`operation(x, W, b=None)`, of two tensors, and a third or nothing."""

    def operation(x: Any, W: Any, b: Any = None) -> Any:
        if (
            (type(x) is not Tensor and type(x) is not Parameter)
            or (type(W) is not Tensor and type(W) is not Parameter)
            or (type(b) is not Tensor and type(b) is not Parameter and b is not None)
        ):
            return general(x, W) if b is None else general(x, W, b)
        rows, matrix = x._data, W._data
        arrays: tuple[Any, ...] = (rows, matrix)
        parents: tuple[Node | None, ...] = (x.node, W.node)
        if b is not None:
            arrays, parents = (rows, matrix, b._data), (x.node, W.node, b.node)
        now = mode()
        if (
            type(rows) is not ndarray
            or type(matrix) is not ndarray
            or type(arrays[-1]) is not ndarray
            or now.observer is not None
            or (exposed and any(map(is_exposed, arrays)))
        ):
            return general(x, W) if b is None else general(x, W, b)
        try:
            value, saved, rules = function(np, *arrays)
        except (ValueError, TypeError, IndexError):
            return general(x, W) if b is None else general(x, W, b)
        if not now.recording or not any(parents) or type(value) is not ndarray or type(rules) is not tuple:
            return finish(np, value, saved, rules, arrays, parents, now)
        node = Node()
        node.serial = next_serial()
        node.op = name
        node.parents = parents
        node.rules = rules
        node.saved = saved
        if len(saved) == 2 and saved[0] is rows and saved[1] is matrix:
            node.sources = FIRST_TWO
        else:
            node.sources = source_positions(saved, (*arrays, value))
        node.shape = value.shape
        node.dtype = value.dtype
        node.xp = np
        node.time_step = now.time_step
        made = new(Tensor)
        made._data = value
        made.node = node
        return made

    return operation
