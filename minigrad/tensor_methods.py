"""Bind Python's operators and NumPy's methods to Tensor, from one table. `engine/tensor_typing.py` has their types."""

from __future__ import annotations

import re
from array import array
from collections.abc import Callable
from importlib import import_module
from numbers import Number
from typing import Any

import numpy as np

from . import numpy_protocol, ops
from .backend import BY_ARRAY_TYPE, NUMPY, Backend, backend_of, get_backend
from .differentiate import backward
from .engine import pickling as pickling  # it binds itself to Tensor and Leaf
from .engine.hooks import register_hook
from .engine.host_array import NUMBERS, is_sparse
from .engine.modes import mode
from .engine.primitive import WITH_GENERAL, record
from .engine.tape import Node
from .engine.tensor import Tensor
from .in_place import in_place
from .ops.indexing.gather import constant_index
from .option_checks import check_dtype, check_text
from .sparse_products import left_product, right_product


def _defers(other: Any) -> bool:
    """Whether an operator leaves `other` to its own reflected operator, or to Python's answer for strings and None.

    NEP 13: an operand opts out by `__array_ufunc__ = None`.
    """
    kind = type(other)
    return kind is type(None) or getattr(kind, "__array_ufunc__", kind) is None or issubclass(kind, str)


def _other_operand(name: str, x: Tensor, other: Any, general: Callable[..., Any], reflected: bool) -> Any:
    """The operator called `name` for an operand that is neither a tensor, nor an array, nor a Python number."""
    if _defers(other):
        return NotImplemented
    if is_sparse(other) and name == "matmul":
        return left_product(x, other) if reflected else right_product(x, other)
    if name in ("multiply", "power") and isinstance(other, np.matrix):
        symbol = "*" if name == "multiply" else "**"
        raise TypeError(
            f"{name}: got a numpy.matrix, for which {symbol} means a matrix product; use @ or np.asarray(m)"
        )
    if name in ("equal", "not_equal") and not _is_comparable(other):
        return NotImplemented
    return general(other, x) if reflected else general(x, other)


def _is_comparable(other: Any) -> bool:
    return isinstance(other, (Number, list, tuple, memoryview, array)) or hasattr(other, "__array__")


def operator(operation: Callable[..., Any], reverse: bool = False) -> Any:
    """Return a binary operation as Python's operator, as fast as itself.

    Args:
        reverse: as the operator that Python calls for the operand on the right.
    """
    name = operation.__name__
    general, build = WITH_GENERAL.get(operation, (operation, None))

    def operator(a: Any, b: Any) -> Any:
        kind = type(a if reverse else b)
        if kind is Tensor or kind in BY_ARRAY_TYPE or kind in NUMBERS:
            return general(a, b)
        return _other_operand(name, b, a, general, True) if reverse else _other_operand(name, a, b, general, False)

    if build is not None:
        return build(operator, reverse)
    return (lambda a, b: operator(b, a)) if reverse else operator


def _reshape(x: Tensor, *shape: Any) -> Tensor:
    """The same values in another `shape`, given as numbers or as a tuple; of x, the tensor; −1 stands for the rest."""
    return ops.reshape(x, tuple(shape[0]) if len(shape) == 1 and isinstance(shape[0], (tuple, list)) else shape)


def _transpose(x: Tensor, *axes: Any) -> Tensor:
    """The tensor x with its `axes` in another order, given as numbers or as a tuple; reversed if there are none."""
    if not axes or axes == (None,):
        return ops.transpose(x)
    return ops.transpose(x, tuple(axes[0]) if len(axes) == 1 and isinstance(axes[0], (tuple, list)) else axes)


def _astype(x: Tensor, dtype: Any) -> Tensor:
    """The values of the tensor x in another `dtype`; the gradient comes back in x's own."""
    return ops.astype(x, dtype=check_dtype("Tensor.astype", dtype, "fiubc"))


def setitem(x: Tensor, index: Any, value: Any) -> None:
    """Write into a constant on the host, and into all views of its array, as `x.data[index] = value` does.

    A graph that saved the array raises in its backward pass.

    Raises:
        TypeError: the tensor or the value is on the tape, or the tensor on a device, where no write is noticed.
    """
    if x.node is not None or backend_of(x._array) is not NUMPY:
        raise TypeError(
            "Tensor[...] = value: tensors are not written in place; minigrad.at(x)[...].set(value) gives a new "
            "one, and a leaf's .data may be written into between two backward passes"
        )
    if isinstance(value, Tensor) and value.node is not None:
        raise TypeError(
            f"Tensor[...] = value: the value of shape {value.shape} is on the tape and a constant would lose its "
            "gradient; minigrad.at(x)[...].set(value) gives a new tensor that keeps it"
        )
    x.data[constant_index(x, index)] = value._array if isinstance(value, Tensor) else value


def to(x: Tensor, backend: str | Backend) -> Tensor:
    """Return the tensor x on another `backend`, or the tensor itself if it is there; its gradient moves back.

    Raises:
        BackendError: the backend is unknown or has no device.
    """
    source, target = backend_of(x._array), get_backend(backend)
    if source is target:
        return x
    array = target.from_numpy(source.to_numpy(x._array))
    if x.node is None or not mode().recording:
        return Tensor(array)
    moved: Tensor = record(
        "to", Node(), target.xp, array, (), _move_gradient(source, target), (x._array,), (x.node,), mode().time_step
    )
    return moved


def device(x: Tensor) -> str:
    """The array API's name of where the tensor is: "cpu" for NumPy's arrays, else the backend's, such as "cupy"."""
    name = backend_of(x._array).name
    return "cpu" if name == "numpy" else name


def to_device(x: Tensor, device: str, /, *, stream: Any = None) -> Tensor:
    """Return the tensor x on another `device`, as `to` (the array API's name for it); `stream` is ignored.

    Raises:
        BackendError: the device is unknown.
    """
    check_text("Tensor.to_device", device=device)
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
    "__add__": operator(ops.add),
    "__radd__": operator(ops.add, reverse=True),
    "__sub__": operator(ops.subtract),
    "__rsub__": operator(ops.subtract, reverse=True),
    "__mul__": operator(ops.multiply),
    "__rmul__": operator(ops.multiply, reverse=True),
    "__truediv__": operator(ops.divide),
    "__rtruediv__": operator(ops.divide, reverse=True),
    "__pow__": operator(ops.power),
    "__rpow__": operator(ops.power, reverse=True),
    "__matmul__": operator(ops.matmul),
    "__rmatmul__": operator(ops.matmul, reverse=True),
    "__floordiv__": operator(ops.floor_divide),
    "__rfloordiv__": operator(ops.floor_divide, reverse=True),
    "__mod__": operator(ops.mod),
    "__rmod__": operator(ops.mod, reverse=True),
    "__divmod__": operator(ops.divmod),
    "__rdivmod__": operator(ops.divmod, reverse=True),
    "__and__": operator(ops.bitwise_and),
    "__rand__": operator(ops.bitwise_and, reverse=True),
    "__or__": operator(ops.bitwise_or),
    "__ror__": operator(ops.bitwise_or, reverse=True),
    "__xor__": operator(ops.bitwise_xor),
    "__rxor__": operator(ops.bitwise_xor, reverse=True),
    "__invert__": ops.invert,
    "__round__": lambda x, ndigits=0: ops.round(x, ndigits),
    "__neg__": ops.negative,
    "__pos__": ops.positive,
    "__abs__": ops.abs,
    "__lt__": operator(ops.less),
    "__le__": operator(ops.less_equal),
    "__gt__": operator(ops.greater),
    "__ge__": operator(ops.greater_equal),
    "__eq__": operator(ops.equal),
    "__ne__": operator(ops.not_equal),
    "__getitem__": ops.getitem,
    "__setitem__": setitem,
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
    "__lshift__": operator(ops.left_shift),
    "__rlshift__": operator(ops.left_shift, reverse=True),
    "__rshift__": operator(ops.right_shift),
    "__rrshift__": operator(ops.right_shift, reverse=True),
    "__dlpack__": numpy_protocol.to_dlpack,
    "__dlpack_device__": lambda x: x._array.__dlpack_device__(),
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
