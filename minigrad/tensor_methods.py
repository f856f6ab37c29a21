"""Bind Python's operators and NumPy's methods to Tensor, from one table. `engine/tensor_typing.py` has their types."""

from __future__ import annotations

import re
from importlib import import_module
from typing import Any

import numpy as np

from . import numpy_protocol, ops
from .backend import Backend, backend_of, get_backend
from .differentiate import backward
from .engine import pickling as pickling  # it binds itself to Tensor and Leaf
from .engine.hooks import register_hook
from .engine.modes import mode
from .engine.primitive import record
from .engine.tape import Node
from .engine.tensor import Tensor
from .in_place import in_place


def _swapped(operation: Any) -> Any:
    return lambda a, b: operation(b, a)


def _reshape(x: Tensor, *shape: Any) -> Tensor:
    return ops.reshape(x, tuple(shape[0]) if len(shape) == 1 and isinstance(shape[0], (tuple, list)) else shape)


def _transpose(x: Tensor, *axes: Any) -> Tensor:
    if not axes or axes == (None,):
        return ops.transpose(x)
    return ops.transpose(x, tuple(axes[0]) if len(axes) == 1 and isinstance(axes[0], (tuple, list)) else axes)


def _astype(x: Tensor, dtype: Any) -> Tensor:
    return ops.astype(x, dtype=np.dtype(dtype))


def to(x: Tensor, backend: str | Backend) -> Tensor:
    """Return the tensor on another backend, or the tensor itself if it is there; its gradient moves back.

    Raises:
        BackendError: the backend is unknown or has no device.
    """
    source, target = backend_of(x._data), get_backend(backend)
    if source is target:
        return x
    array = target.from_numpy(source.to_numpy(x._data))
    if x.node is None or not mode().recording:
        return Tensor(array)
    moved: Tensor = record(
        "to", Node(), target.xp, array, (), _move_gradient(source, target), (x._data,), (x.node,), mode().time_step
    )
    return moved


def device(x: Tensor) -> str:
    """The array API's name of where the tensor is: "cpu" for NumPy's arrays, else the backend's, such as "cupy"."""
    name = backend_of(x._data).name
    return "cpu" if name == "numpy" else name


def to_device(x: Tensor, device: str, /, *, stream: Any = None) -> Tensor:
    """Return the tensor on another device, as `to` (the array API's name for it). Raises as `to`."""
    return to(x, "numpy" if device == "cpu" else device)


def array_namespace(x: Tensor, *, api_version: str | None = None) -> Any:
    """Return the array API's namespace, `minigrad.array_api`.

    Raises:
        ValueError: a version of the standard that is not known here.
    """
    namespace = import_module(f"{__package__}.array_api")
    newest = namespace.__array_api_version__
    if api_version is not None and not (re.fullmatch(r"20\d\d\.12", api_version) and api_version <= newest):
        raise ValueError(f"Tensor.__array_namespace__: api_version: got {api_version!r}, want {newest!r} or older")
    return namespace


def _move_gradient(source: Backend, target: Backend) -> Any:
    """Return the rule that moves a gradient from `target` back to `source`."""

    def rule(xp: Any, g: Any) -> Any:
        return to(g, source) if isinstance(g, Tensor) else source.from_numpy(target.to_numpy(g))

    return rule


TABLE: dict[str, Any] = {
    "__add__": ops.add,
    "__radd__": _swapped(ops.add),
    "__sub__": ops.subtract,
    "__rsub__": _swapped(ops.subtract),
    "__mul__": ops.multiply,
    "__rmul__": _swapped(ops.multiply),
    "__truediv__": ops.divide,
    "__rtruediv__": _swapped(ops.divide),
    "__pow__": ops.power,
    "__rpow__": _swapped(ops.power),
    "__matmul__": ops.matmul,
    "__rmatmul__": _swapped(ops.matmul),
    "__floordiv__": ops.floor_divide,
    "__rfloordiv__": _swapped(ops.floor_divide),
    "__mod__": ops.mod,
    "__rmod__": _swapped(ops.mod),
    "__divmod__": ops.divmod,
    "__rdivmod__": _swapped(ops.divmod),
    "__and__": ops.bitwise_and,
    "__rand__": _swapped(ops.bitwise_and),
    "__or__": ops.bitwise_or,
    "__ror__": _swapped(ops.bitwise_or),
    "__xor__": ops.bitwise_xor,
    "__rxor__": _swapped(ops.bitwise_xor),
    "__invert__": ops.invert,
    "__round__": lambda x, ndigits=0: ops.round(x, ndigits),
    "__neg__": ops.negative,
    "__pos__": ops.positive,
    "__abs__": ops.abs,
    "__lt__": ops.less,
    "__le__": ops.less_equal,
    "__gt__": ops.greater,
    "__ge__": ops.greater_equal,
    "__eq__": ops.equal,
    "__ne__": ops.not_equal,
    "__getitem__": ops.getitem,
    "T": property(lambda x: ops.transpose(x), doc="The tensor with its axes reversed."),
    "mT": property(lambda x: ops.matrix_transpose(x), doc="The tensor with its last two axes exchanged."),
    "real": property(lambda x: ops.real(x), doc="The real part."),
    "imag": property(lambda x: ops.imag(x), doc="The imaginary part."),
    "reshape": _reshape,
    "transpose": _transpose,
    "astype": _astype,
    "to": to,
    "backward": backward,
    "register_hook": register_hook,
    "__array_ufunc__": numpy_protocol.array_ufunc,
    "__array_function__": numpy_protocol.array_function,
    "__array_namespace__": array_namespace,
    "device": property(device, doc='The array API\'s name of where the tensor is, such as "cpu".'),
    "to_device": to_device,
    "__complex__": lambda x: complex(x.item()),
    "__lshift__": ops.left_shift,
    "__rlshift__": lambda x, other: ops.left_shift(other, x),
    "__rshift__": ops.right_shift,
    "__rrshift__": lambda x, other: ops.right_shift(other, x),
    "__dlpack__": numpy_protocol.to_dlpack,
    "__dlpack_device__": lambda x: x._data.__dlpack_device__(),
}

SAME_NAME = """all any argmax argmin argsort choose clip conj copy cumprod cumsum diagonal dot flatten max mean min
nonzero prod ravel repeat round searchsorted squeeze std sum swapaxes take trace var"""
"""Methods of NumPy's arrays that equal our functions of the same name. (`sort` does not: ndarray.sort is in place.)"""
TABLE |= {name: getattr(ops, name) for name in SAME_NAME.split()}

AUGMENTED = {
    "+": "add",
    "-": "sub",
    "*": "mul",
    "/": "truediv",
    "//": "floordiv",
    "%": "mod",
    "**": "pow",
    "@": "matmul",
    "&": "and",
    "|": "or",
    "^": "xor",
}
"""The names of the operators that have an augmented assignment."""
TABLE |= {f"__i{name}__": in_place(f"{symbol}=", TABLE[f"__{name}__"]) for symbol, name in AUGMENTED.items()}

for _name, _method in TABLE.items():
    setattr(Tensor, _name, _method)
