"""Tensor: an array and its node on the tape. `tensor_methods` binds the operations to it."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

import numpy as np

from ..backend import (
    BY_ARRAY_TYPE,
    NUMPY,
    Backend,
    backend_of,
    default_backend,
    fingerprint,
    get_backend,
    is_array,
    scalar,
    to_numpy,
)
from ..foreign_arrays import import_array, type_name
from ..option_checks import check_dtype, check_flag
from .conversions import Conversions
from .host_array import check_numbers, host_array
from .mutation import expose, hand_out, mark_user_owned, note_write, viewed
from .tape import Leaf, Node, is_traced, new_leaf

if TYPE_CHECKING:
    from .tensor_typing import TensorMethods
else:
    TensorMethods = object

Array = Any
Operand = Any
"""An operation's argument: a tensor, an array, a Python number, or a nested list of numbers."""


_taken_off: ContextVar[list[str] | None] = ContextVar("methods that took values off the tape", default=None)


@contextmanager
def values_taken_off() -> Iterator[list[str]]:
    """List the methods by which the block reads values of tensors on the tape, other than by `.detach()`."""
    methods: list[str] = []
    token = _taken_off.set(methods)
    try:
        yield methods
    finally:
        _taken_off.reset(token)


class Tensor(Conversions, TensorMethods):
    """An array that may be on the tape. Make one with `minigrad.tensor`.

    On the tape its values never change: `x += 1` binds `x` to a new tensor; other names still refer to the old one. A
    leaf is updated in place, as in torch: by `w -= 0.1 * w.grad` under `no_grad`, an optimizer, or writes into
    `w.data`; a constant on the host by `x[index] = value`.

    `node` is its node on the tape: None for a constant, a `Leaf` for a tensor made with `requires_grad=True`.
    """

    __slots__ = ("__weakref__", "_array", "node")
    __array_priority__ = 1000.0  # array + tensor calls the tensor, also in libraries without __array_ufunc__
    _array: Array
    node: Node | None

    def __init__(self, data: Array, node: Node | None = None) -> None:
        if type(data) not in BY_ARRAY_TYPE:
            if isinstance(data, np.generic):  # NumPy's results without axes: a tensor always holds an array
                data = np.asarray(data)
            elif not is_array(data):
                raise TypeError(
                    f"{type(self).__name__}: data: got {type(data).__name__}, want an array; minigrad.tensor(data) "
                    "makes a tensor of numbers, lists and other libraries' arrays"
                )
        self._array = data
        self.node = node

    # Data and attributes

    @property
    def data(self) -> Array:
        """The array itself, not a copy.

        The array of a leaf may be written into between two training steps (`w.data -= 0.1 * w.grad.data`); a write
        between forward and backward is an error in the backward pass. The array of a computed tensor is read-only on
        NumPy.
        """
        self._note_taken_off("data")
        if self.is_leaf:
            self._expose()
            return self._array
        hand_out(self._array, viewed)
        return self._read_only_array()

    @data.setter
    def data(self, array: Array) -> None:
        if isinstance(array, Tensor):
            array = array._array
        if array is self._array:  # `w.data -= step` changed the array in place
            self.written()
            return
        if tuple(array.shape) != self.shape:
            raise ValueError(f"Tensor.data: got an array of shape {tuple(array.shape)}, want {self.shape}")
        if array.dtype != self.dtype:
            raise TypeError(f"Tensor.data: got dtype {array.dtype}, want {self.dtype}")
        if self.node is not None and type(self.node) is not Leaf:
            raise ValueError(f"Tensor.data: this tensor was computed by '{self.node.op}'; only a leaf can be set")
        if type(self.node) is Leaf:
            self.node.xp = backend_of(array).xp
        if isinstance(array, np.ndarray):
            expose(array, fingerprint)
        self._array = array

    def _read_only_array(self) -> Array:
        if not isinstance(self._array, np.ndarray):
            return self._array
        view = self._array.view()
        view.flags.writeable = False
        return view

    def _expose(self) -> None:
        """Fingerprint the array, since the user can write into it from now on."""
        if isinstance(self._array, np.ndarray):
            expose(self._array, fingerprint)

    def written(self) -> None:
        """Tell the tape that the array was changed in place.

        A backward pass of an older node then raises if the node saved any of the array's memory, under whatever name.
        """
        serial = note_write(self._array)
        if type(self.node) is Leaf:
            self.node.written_at = serial

    @property
    def shape(self) -> tuple[int, ...]:
        """The length of each axis."""
        return tuple(self._array.shape)

    @property
    def ndim(self) -> int:
        """The number of axes."""
        return int(self._array.ndim)

    @property
    def size(self) -> int:
        """The number of values."""
        return int(self._array.size)

    @property
    def dtype(self) -> np.dtype[Any]:
        """The values' type, NumPy's."""
        return self._array.dtype  # type: ignore[no-any-return]

    @property
    def backend(self) -> str:
        """The name of the array's backend: "numpy" or "cupy"."""
        return backend_of(self._array).name

    @property
    def requires_grad(self) -> bool:
        """Whether gradients flow to this tensor."""
        return self.node is not None

    @requires_grad.setter
    def requires_grad(self, value: bool) -> None:
        if value is not self.requires_grad:
            raise AttributeError(
                "Tensor.requires_grad: it does not change; make a leaf by minigrad.tensor(x, requires_grad=True), cut "
                "a tensor off the tape by .detach(), freeze a module's parameters by module.requires_grad_(False)"
            )

    @property
    def is_leaf(self) -> bool:
        """Whether the user made this tensor, rather than an operation."""
        return self.node is None or type(self.node) is Leaf

    @property
    def grad(self) -> Tensor | None:
        """The sum of the gradients of all backward passes so far, in the leaf's shape and dtype, or None.

        Only leaves keep one. Asking a computed tensor warns, since None would be mistaken for "no gradient".
        """
        if type(self.node) is Leaf:
            return self.node.grad  # type: ignore[no-any-return]
        if self.node is not None and not isinstance(self.node, Leaf):
            warnings.warn(
                f"Tensor.grad: this tensor was computed by '{self.node.op}', and only leaves keep their gradient; use "
                "minigrad.gradients(loss, [y]), or y.register_hook(function), which sees the gradient as it passes",
                stacklevel=2,
            )
        return None

    @grad.setter
    def grad(self, value: Tensor | None) -> None:
        self.check_grad(value)
        self.node.grad = value  # type: ignore[union-attr]  # a leaf

    def check_grad(self, value: Tensor | None) -> None:
        """Raise unless the tensor is a leaf and `value` can be its `.grad`."""
        if type(self.node) is not Leaf:
            raise ValueError(
                "Tensor.grad: only a leaf made with requires_grad=True holds a gradient; for a computed tensor use "
                "minigrad.gradients(outputs, inputs)"
            )
        if value is not None and (not isinstance(value, Tensor) or value.shape != self.shape):
            got = value.shape if isinstance(value, Tensor) else type_name(value)
            raise ValueError(f"Tensor.grad: got {got}, want None or a Tensor of shape {self.shape}")
        if value is not None and (value.dtype, value.backend) != (self.dtype, self.backend):
            raise TypeError(
                f"Tensor.grad: got {value.dtype} on {value.backend}, want {self.dtype} on {self.backend}, as the tensor"
            )

    # Off the tape

    def detach(self) -> Tensor:
        """Return the same array as a constant without a gradient; read-only if an operation computed it."""
        return Tensor(self._array if self.is_leaf else self._read_only_array())

    def numpy(self) -> np.ndarray[Any, Any]:
        """Return a host copy of the values, off the tape."""
        self._note_taken_off("numpy")
        return np.array(to_numpy(self._array))

    def _note_taken_off(self, method: str) -> None:
        """Note the method for `values_taken_off`, if this tensor is on the tape."""
        if self.node is not None and (methods := _taken_off.get()) is not None:
            methods.append(method)

    def item(self) -> Any:
        """Return the single value as a Python number. Synchronises with the device.

        Raises:
            ValueError: the tensor holds more or fewer than one value.
        """
        array = self._array
        if array.size != 1:
            raise ValueError(f"Tensor.item: got a tensor of shape {self.shape}, want one with a single value")
        self._note_taken_off("item")
        return array.item() if type(array) is np.ndarray else scalar(array)

    def tolist(self) -> Any:
        """Return the values as nested Python lists."""
        return self.numpy().tolist()

    def __len__(self) -> int:
        if not self.ndim:
            raise TypeError("len(Tensor): a tensor of shape () has no length")
        return self.shape[0]

    def __iter__(self) -> Iterator[Tensor]:
        if self.node is None:
            return (Tensor(self._array[k, ...]) for k in range(len(self)))
        return (self[k] for k in range(len(self)))

    __hash__ = object.__hash__


def tensor_view(array: Array) -> Tensor:
    """Return a constant tensor on the user's own array, not a copy. Later writes into it are detected."""
    check_numbers("Tensor", array)
    mark_user_owned(array)
    return Tensor(array)


class Parameter(Tensor):
    """A leaf that a module owns and an optimizer changes.

    Args:
        data: an array, tensor or nested list of floating-point numbers; copied.
        dtype: of the values; None keeps that of `data`, and makes float32 of Python floats.
        backend: the name of where the values live; None: where `data` is, or the default backend.

    While a module keeps it frozen, `node` is None and `frozen_leaf` is the node that it had.
    """

    __slots__ = ("frozen_leaf",)
    frozen_leaf: Leaf | None

    def __init__(self, data: Any, dtype: Any = None, backend: str | None = None) -> None:
        leaf = tensor(data, dtype=dtype, requires_grad=True, backend=backend)
        super().__init__(leaf._array, leaf.node)


def tensor(data: Any, dtype: Any = None, requires_grad: bool = False, backend: str | Backend | None = None) -> Tensor:
    """Return a new tensor with its own copy of `data`.

    Python floats become float32, Python integers int64. What carries a dtype keeps it: arrays of any library, buffers,
    NumPy's scalars, also in lists; in the machine's byte order. The tensor is on `backend`; by default on the backend
    of `data` if that is a device, else on the default backend (`use_backend`).

    Raises:
        TypeError: `requires_grad` for a dtype that is not floating point, or `data` is not numeric.
        ValueError: nested lists of different lengths.
        BackendError: the backend is unknown or has no device.
    """
    if type(requires_grad) is not bool:
        check_flag("tensor", requires_grad=requires_grad)
    if dtype is not None:
        dtype = check_dtype("tensor", dtype, "fiubc")
    if isinstance(data, Tensor):
        if is_traced(data.node):
            raise TypeError(
                "tensor: data: got a tensor inside a transformation (grad, jacobian, …), whose gradient a copy would "
                "lose; use the tensor itself, or minigrad.tensor(x.detach()) where no gradient is wanted"
            )
        data = data._array
    data = import_array("tensor", "data", data)
    source = backend_of(data) if is_array(data) else None
    if backend is not None:
        target = get_backend(backend)
    else:
        target = source if source not in (None, NUMPY) else default_backend()
    if source is None:
        try:
            data = host_array(data, np.float32 if dtype is None else np.float64)
        except ValueError as error:
            raise ValueError(
                f"tensor: data: got nested lists of different lengths, want a full array: {error}"
            ) from None
        except TypeError as error:
            raise TypeError(f"tensor: data: {error}") from None
        source = NUMPY
    check_numbers("tensor: data", data)
    if dtype is not None and data.dtype.kind == "c" and dtype.kind != "c":
        raise TypeError(f"tensor: data: got dtype {data.dtype}, want real numbers for {dtype}; pass data.real")
    if dtype is None and not data.dtype.isnative:
        dtype = data.dtype.newbyteorder("=")
    if source is target:
        array = target.xp.array(data, dtype=dtype, copy=True)
    else:
        host = source.to_numpy(data)
        array = target.from_numpy(np.array(host, dtype=dtype))
    if not requires_grad:
        return Tensor(array)
    if array.dtype.kind != "f":
        raise TypeError(f"tensor: requires_grad: got dtype {array.dtype}, want a floating-point dtype")
    return Tensor(array, new_leaf(tuple(array.shape), array.dtype, target.xp))
