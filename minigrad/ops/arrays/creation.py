"""Create arrays. Gradients flow to the tensors they are made of."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from ...backend import Backend, backend_of, default_backend, is_array
from ...engine.primitive import composed, nondifferentiable, primitive
from ...engine.tensor import Tensor, tensor
from ...validation import check_choice
from ..elementwise.arithmetic import astype, power
from .conversion import array_like
from .joining import stack
from .shape import as_int, broadcast_to, moveaxis, reshape, shape, vector_shape

Array = Any
__all__ = ["array", "asarray", "copy", "eye", "full", "full_like", "geomspace", "identity", "linspace", "logspace"]
__all__ += ["meshgrid", "tri"]


@primitive
def copy(xp: Any, x: Array) -> Any:
    """A copy of `x`."""
    return x.copy(), (), lambda xp, g: g


def array(object: Any, dtype: Any = None) -> Tensor:
    """Make a tensor from nested lists of tensors, arrays and numbers, all of one shape, or copy an array or a tensor.

    Gradients flow to the tensors. Numbers take the dtype of the tensors and arrays in the lists; lists of numbers alone
    become float32 and int64, as in `tensor`.

    Raises:
        ValueError: the lists have different lengths, or their entries different shapes.
    """
    if not isinstance(object, (list, tuple)):
        y = copy(object) if isinstance(object, Tensor) else tensor(object)
        return y if dtype is None else astype(y, dtype)
    items = list(_items(object))
    arrays = [item for item in items if hasattr(item, "dtype")]
    if not arrays:
        return tensor(object, dtype=dtype)
    lengths = _lengths(object)
    common = np.result_type(*{a.dtype for a in arrays}, *{type(i)(0) for i in items if isinstance(i, (int, float))})
    backend = _backend_of_first(arrays)
    parts = [i if hasattr(i, "dtype") else backend.from_numpy(np.asarray(i, common)) for i in items]
    y = reshape(stack(parts), (*lengths, *shape(parts[0])))
    return y if dtype is None and y.dtype == common else astype(y, dtype or common)


def _backend_of_first(values: Sequence[Any]) -> Backend:
    """The backend of the first tensor or array among the values; without one the default backend."""
    arrays = (value._array if isinstance(value, Tensor) else value for value in values)
    return next((backend_of(a) for a in arrays if is_array(a)), default_backend())


def _items(object: Any) -> Iterator[Any]:
    """The entries of nested lists, in order."""
    for item in object:
        if isinstance(item, (list, tuple)):
            yield from _items(item)
        else:
            yield item


def _lengths(object: Any) -> tuple[int, ...]:
    """The shape of nested lists, each entry counted as one element."""
    if not isinstance(object, (list, tuple)):
        return ()
    inner = {_lengths(item) for item in object}
    if len(inner) > 1:
        raise ValueError("array: object: got nested lists of different lengths, want a full array")
    return (len(object), *(inner.pop() if inner else ()))


def asarray(object: Any, dtype: Any = None) -> Tensor:
    """A tensor unchanged, anything else as `array` makes it: a copy, so that later writes do not change it."""
    if isinstance(object, Tensor) and (dtype is None or object.dtype == dtype):
        return object
    return astype(object, dtype) if isinstance(object, Tensor) else array(object, dtype)


def full(shape: Any, fill_value: Any, dtype: Any = None) -> Tensor:
    """`fill_value`, which broadcasts, in the given shape. Gradients flow to it. Python floats become float32."""
    value = fill_value if isinstance(fill_value, Tensor) else tensor(fill_value)
    return broadcast_to(value if dtype is None else astype(value, dtype), _as_shape(shape))


def full_like(x: Any, fill_value: Any, dtype: Any = None, shape: Any = None) -> Tensor:
    """`fill_value`, which broadcasts, in the shape and dtype of `x`. Gradients flow to it."""
    dtype = np.dtype(x.dtype if dtype is None else dtype)
    value = array_like(fill_value, x, dtype)
    value = astype(value, dtype) if value.dtype != dtype else value
    return broadcast_to(value, x.shape if shape is None else _as_shape(shape))


def _as_shape(shape: Any) -> tuple[int, ...]:
    return tuple(shape) if isinstance(shape, (tuple, list)) else (as_int(shape),)


@nondifferentiable
def eye(N: int, M: int | None = None, k: int = 0, dtype: Any = np.float32) -> Tensor:
    """Zeros (N, M) with ones on the `k`-th diagonal above the main one, on the default backend."""
    return Tensor(default_backend().xp.eye(N, M, k, dtype=dtype))


@nondifferentiable
def identity(n: int, dtype: Any = np.float32) -> Tensor:
    """The n × n identity matrix on the default backend."""
    return eye(n, dtype=dtype)


@nondifferentiable
def tri(N: int, M: int | None = None, k: int = 0, dtype: Any = np.float32) -> Tensor:
    """Ones (N, M) up to the `k`-th diagonal above the main one, zeros above it, on the default backend."""
    return Tensor(default_backend().xp.tri(N, M, k, dtype=dtype))


def _fractions(ends: Any, num: int, endpoint: bool) -> Any:
    """The fractions 0 to 1 of `num` equal steps, along a new first axis before those of `ends`."""
    num = as_int(num)
    if num < 0:
        raise ValueError(f"linspace: num: got {num}, want at least 0")
    steps = num - 1 if endpoint else num
    fractions = np.arange(num) / steps if steps else np.zeros(num)
    dtypes = [e.dtype for e in ends if hasattr(e, "dtype") and e.dtype.kind == "f"]
    if not dtypes and any(hasattr(e, "dtype") for e in ends):
        dtypes = [np.dtype(np.float64)]  # arrays of integers
    fractions = fractions.astype(np.result_type(*dtypes) if dtypes else np.float32)
    axes = len(np.broadcast_shapes(*map(shape, ends)))
    return Tensor(_backend_of_first(ends).from_numpy(fractions.reshape(vector_shape(0, axes + 1))))


def _first_to(y: Tensor, axis: int) -> Tensor:
    """`y` with its first axis moved to `axis`."""
    return moveaxis(y, 0, axis) if axis else y


@composed
def linspace(start: Any, stop: Any, num: int = 50, endpoint: bool = True, axis: int = 0) -> Tensor:
    """`num` equally spaced values from `start` to `stop`, which broadcast, along a new axis. Numbers give float32."""
    t = _fractions((start, stop), num, endpoint)
    return _first_to(start * (1 - t) + stop * t, axis)


@composed
def logspace(start: Any, stop: Any, num: int = 50, endpoint: bool = True, base: Any = 10.0, axis: int = 0) -> Tensor:
    """`base` to the power of `num` equally spaced values from `start` to `stop`, along a new axis."""
    t = _fractions((start, stop, base), num, endpoint)
    return _first_to(power(base, start * (1 - t) + stop * t), axis)


@composed
def geomspace(start: Any, stop: Any, num: int = 50, endpoint: bool = True, axis: int = 0) -> Tensor:
    """`num` values with equal ratios from `start` to `stop`, which have the same sign, along a new axis.

    float32 stays float32, as in `linspace`; NumPy's result is float64.
    """
    t = _fractions((start, stop), num, endpoint)
    return _first_to(start * power(stop / start, t), axis)


@composed
def meshgrid(*xi: Any, indexing: str = "xy", sparse: bool = False) -> tuple[Tensor, ...]:
    """A coordinate grid for each vector, which varies along its own axis; `sparse` keeps the other axes at length one.

    The axes are in the order of the vectors for `indexing="ij"`; for "xy" the first two are exchanged. Views.
    """
    check_choice("meshgrid", ("xy", "ij"), indexing=indexing)
    axes = list(range(len(xi)))
    if indexing == "xy" and len(xi) > 1:
        axes[:2] = [1, 0]
    grids = tuple(reshape(x, vector_shape(axis, len(xi))) for axis, x in zip(axes, xi))
    common = np.broadcast_shapes(*(g.shape for g in grids))
    return grids if sparse else tuple(broadcast_to(g, common) for g in grids)
