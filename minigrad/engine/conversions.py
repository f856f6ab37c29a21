"""`Conversions` makes a tensor a Python number, text or a NumPy array, or refuses where a gradient would be lost."""

from __future__ import annotations

import sys
from opcode import opmap
from typing import Any

import numpy as np

from ..backend import scalar, to_numpy
from .tape import Leaf, is_traced

GRADIENT_LOST = (
    "array[...] = Tensor: this tensor is on the tape and the array would lose its gradient. To drop the gradient store "
    "float(tensor); to keep it use mg.stack or mg.at(x)[...].set(tensor)."
)


NUMBER_LOST = (
    "{}(Tensor): inside a transformation (grad, jacobian, …) this would lose the gradient of a variable: use NumPy's "
    "or minigrad's functions (np.exp for math.exp), or .item() where no gradient is wanted"
)


def _refuse_to_be_stored() -> None:
    """Raise TypeError if the instruction that converts a tensor to a number is an assignment to an item.

    NumPy's floating-point arrays replace the error by "setting an array element with a sequence". Our words are put
    back when that error reaches the caller's frame, unless a debugger or a coverage tool is tracing.
    """
    frame = sys._getframe(2)
    if frame.f_code.co_code[frame.f_lasti] != opmap.get("STORE_SUBSCR"):
        return
    if sys.gettrace() is None:
        frame.f_trace = _put_back
        sys.settrace(lambda *_: None)
    raise TypeError(GRADIENT_LOST)


def _put_back(frame: Any, event: str, argument: Any) -> None:
    """Trace the next event of a frame, the error of its assignment; then stop tracing."""
    sys.settrace(None)
    frame.f_trace = None
    if event == "exception" and isinstance(argument[1], ValueError):
        argument[1].args = (GRADIENT_LOST,)


def _callers_in_sparse() -> list[str]:
    """Return the names of the functions of scipy.sparse that `__array__` is called by, the innermost first."""
    names = []
    frame = sys._getframe(2)
    while frame is not None and frame.f_globals.get("__name__", "").startswith("scipy.sparse."):
        names.append(frame.f_code.co_name)
        frame = frame.f_back  # type: ignore[assignment]
    return names


SPARSE_PRODUCTS = frozenset(("_matmul_dispatch", "_mul_dispatch", "_multiply_2d_with_broadcasting"))
"""The functions of scipy.sparse that return NotImplemented for what NumPy knows no array for."""


class Conversions:
    """The part of Tensor that leads off the tape without being asked for by name."""

    __slots__ = ()

    def __float__(self: Any) -> float:
        """Return the single value, without its gradient.

        `array[0] = tensor` comes here too. It would lose a gradient by accident, so it raises an error: the caller's
        bytecode instruction tells it from `float(tensor)`. `math.exp(tensor)` and `array.fill(tensor)` are not caught,
        except inside a transformation, where this of a variable's value raises an error.
        """
        if self.node is not None:
            _refuse_to_be_stored()
        if is_traced(self.node):
            raise TypeError(NUMBER_LOST.format("float"))
        return float(self.item())

    def __complex__(self: Any) -> complex:
        """Return the single value, as `__float__` does."""
        if self.node is not None:
            _refuse_to_be_stored()
        if is_traced(self.node):
            raise TypeError(NUMBER_LOST.format("complex"))
        return complex(self.item())

    def __int__(self: Any) -> int:
        if self.node is not None:
            _refuse_to_be_stored()
        return int(self.item())

    def __index__(self: Any) -> int:
        """Return a whole scalar as an index: of a list or a string, in `range`."""
        if self.ndim or self.dtype.kind not in "iu":
            raise TypeError(f"index(Tensor): got {self.dtype} of shape {self.shape}, want a whole number of shape ()")
        return int(self.item())

    def __bool__(self: Any) -> bool:
        array = self._array
        if array.size != 1:
            raise ValueError(f"bool(Tensor): a tensor of shape {self.shape} has no single truth value; reduce it first")
        return bool(array.item() if type(array) is np.ndarray else scalar(array))

    def __array__(self: Any, dtype: Any = None, copy: bool | None = None) -> np.ndarray[Any, Any]:
        if callers := _callers_in_sparse():
            operators = {"__matmul__"} if self.node is None else {"__matmul__", "__mul__"}
            if callers[0] in SPARSE_PRODUCTS and not operators.isdisjoint(callers):
                unknown = np.empty((), object)  # by this scipy.sparse knows that it should return NotImplemented
                unknown[()] = self
                return unknown
            if self.node is not None:
                raise TypeError(
                    f"scipy.sparse, {callers[-1]}: got a tensor on the tape, whose gradient would be lost; tensors and "
                    "sparse matrices meet in x @ M and M @ x alone; use M.toarray() here"
                )
        if self.node is not None:
            raise TypeError(
                "numpy.asarray(Tensor): this tensor is on the tape and NumPy would lose its gradient; use minigrad's "
                "functions on it, minigrad.stack(tensors) to join tensors, or take .numpy() or .detach() first"
            )
        if self.backend != "numpy":
            raise TypeError(f"numpy.asarray(Tensor): it is on {self.backend}; copy it to the host with .numpy()")
        if copy is False:
            raise ValueError("numpy.asarray(Tensor, copy=False): NumPy always gets a copy; .data is the array itself")
        return np.array(self._array, dtype=dtype)

    @property
    def _mask(self: Any) -> Any:
        """What numpy.ma asks each operand for, before or after it took the values: here it learns that it may not."""
        if self.node is None:
            raise AttributeError("_mask")  # a constant, without a mask
        raise TypeError(
            "numpy.ma: got a tensor on the tape, whose gradient would be lost; use minigrad.where(~m.mask, x, 0) and "
            "m.filled(value), or take .detach()"
        )

    def __format__(self: Any, spec: str) -> str:
        if not spec:
            return str(self)
        if self.size != 1:
            raise TypeError(
                f"format(Tensor): a tensor of shape {self.shape} takes no format {spec!r}; format its numbers, from "
                ".tolist()"
            )
        return format(self._scalar(), spec)

    def __str__(self: Any) -> str:
        """Return a scalar as its number, anything else as `repr` does, as NumPy does."""
        return repr(self) if self.ndim else str(self._scalar())

    def _scalar(self: Any) -> Any:
        return to_numpy(self._array).reshape(())[()]

    def __repr__(self: Any) -> str:
        values = np.array2string(to_numpy(self._array), precision=4, threshold=20, prefix="tensor(")
        extra = "" if self.dtype in (np.float64, np.int64, np.bool_) else f", dtype={self.dtype}"
        if self.backend != "numpy":
            extra += f", backend={self.backend!r}"
        if type(self.node) is Leaf:
            extra += ", requires_grad=True"
        elif self.node is not None:
            extra += f", op={self.node.op}"
        return f"{type(self).__name__.lower()}({values}{extra})"
