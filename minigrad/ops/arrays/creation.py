"""New arrays, of tensors and numbers. They pass gradients to what they are made of; of nothing they are constants."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from ...backend import backend_of, default_backend, is_array
from ...engine.primitive import composed, nondifferentiable, primitive
from ...engine.tensor import Tensor, tensor
from ..elementwise.arithmetic import astype, power
from .joining import stack
from .shape import broadcast_to, moveaxis, reshape, shape, whole

Array = Any
__all__ = [
    "array",
    "asarray",
    "copy",
    "eye",
    "full",
    "full_like",
    "geomspace",
    "identity",
    "linspace",
    "logspace",
    "meshgrid",
    "tri",
]


@primitive
def copy(xp: Any, x: Array) -> Any:
    """The same values in memory of their own."""
    return x.copy(), (), lambda xp, g: g


def array(object: Any, dtype: Any = None) -> Tensor:
    """One tensor of nested lists of tensors, arrays and numbers, all of one shape; of an array or a tensor a copy.

    Gradients flow to the tensors. Numbers take the dtype of what stands beside them, and alone become float32 and
    int64, as in `tensor`.

    Raises:
        ValueError: the lists have different lengths, or what is in them different shapes.
    """
    if not isinstance(object, (list, tuple)):
        made = copy(object) if isinstance(object, Tensor) else tensor(object)
        return made if dtype is None else astype(made, dtype)
    items = list(_items(object))
    beside = [item for item in items if hasattr(item, "dtype")]
    if not beside:
        return tensor(object, dtype=dtype)
    whole = _lengths(object)
    common = np.result_type(*{i.dtype for i in beside}, *{type(i)(0) for i in items if isinstance(i, (int, float))})
    places = [item._data if isinstance(item, Tensor) else item for item in beside]
    backend = next((backend_of(a) for a in places if is_array(a)), default_backend())
    same = [i if hasattr(i, "dtype") else backend.from_numpy(np.asarray(i, common)) for i in items]
    made = reshape(stack(same), (*whole, *shape(same[0])))
    return made if dtype is None and made.dtype == common else astype(made, dtype or common)


def _items(object: Any) -> Iterator[Any]:
    """What is in nested lists, in order."""
    for item in object:
        if isinstance(item, (list, tuple)):
            yield from _items(item)
        else:
            yield item


def _lengths(object: Any) -> tuple[int, ...]:
    """The shape of nested lists, what is in them counted as one."""
    if not isinstance(object, (list, tuple)):
        return ()
    inner = {_lengths(item) for item in object}
    if len(inner) > 1:
        raise ValueError("array: object: got nested lists of different lengths, want a full array")
    return (len(object), *(inner.pop() if inner else ()))


def asarray(object: Any, dtype: Any = None) -> Tensor:
    """A tensor as it is, anything else as `array` makes it: a copy, so that later writes do no harm."""
    if isinstance(object, Tensor) and (dtype is None or object.dtype == dtype):
        return object
    return astype(object, dtype) if isinstance(object, Tensor) else array(object, dtype)


def full(shape: Any, fill_value: Any, dtype: Any = None) -> Tensor:
    """One value, or an array that broadcasts, all over a shape. Gradients flow to it. Python floats become float32."""
    filled = fill_value if isinstance(fill_value, Tensor) else tensor(fill_value)
    return broadcast_to(filled if dtype is None else astype(filled, dtype), _as_shape(shape))


def full_like(x: Any, fill_value: Any, dtype: Any = None, shape: Any = None) -> Tensor:
    """One value, or an array that broadcasts, all over the shape of `x` and in its dtype. Gradients flow to it."""
    wanted = x.shape if shape is None else _as_shape(shape)
    kind = np.dtype(x.dtype if dtype is None else dtype)
    if not isinstance(fill_value, Tensor) and not is_array(fill_value):
        x = x._data if isinstance(x, Tensor) else x
        fill_value = backend_of(x).from_numpy(np.asarray(fill_value, kind))
    filled = astype(fill_value, kind) if fill_value.dtype != kind else fill_value
    return broadcast_to(filled, wanted)


def _as_shape(shape: Any) -> tuple[int, ...]:
    return tuple(shape) if isinstance(shape, (tuple, list)) else (whole(shape),)


@nondifferentiable
def eye(N: int, M: int | None = None, k: int = 0, dtype: Any = np.float32) -> Tensor:
    """Zeros (N, M) with ones on the diagonal `k` places right of the main one, on the default backend."""
    return Tensor(default_backend().xp.eye(N, M, k, dtype=dtype))


@nondifferentiable
def identity(n: int, dtype: Any = np.float32) -> Tensor:
    """The n × n identity matrix on the default backend."""
    return eye(n, dtype=dtype)


@nondifferentiable
def tri(N: int, M: int | None = None, k: int = 0, dtype: Any = np.float32) -> Tensor:
    """Ones (N, M) up to the diagonal `k` places right of the main one, zeros above, on the default backend."""
    return Tensor(default_backend().xp.tri(N, M, k, dtype=dtype))


def _shares(ends: Any, num: int, endpoint: bool) -> Any:
    """How far each of `num` numbers is from the first to the last, along a new first axis before those of `ends`."""
    if num < 0:
        raise ValueError(f"linspace: num: got {num}, want no negative number")
    steps = num - 1 if endpoint else num
    share = np.arange(num) / steps if steps else np.zeros(num)
    dtypes = [e.dtype for e in ends if hasattr(e, "dtype") and e.dtype.kind == "f"]
    if not dtypes and any(hasattr(e, "dtype") for e in ends):
        dtypes = [np.dtype(np.float64)]  # arrays of whole numbers
    share = share.astype(np.result_type(*dtypes) if dtypes else np.float32)
    arrays = [e._data if isinstance(e, Tensor) else e for e in ends]
    backend = next((backend_of(a) for a in arrays if is_array(a)), default_backend())
    axes = len(np.broadcast_shapes(*map(shape, ends)))
    return Tensor(backend.from_numpy(share.reshape((num,) + (1,) * axes)))


def _placed(y: Tensor, axis: int) -> Tensor:
    return moveaxis(y, 0, axis) if axis else y


@composed
def linspace(start: Any, stop: Any, num: int = 50, endpoint: bool = True, axis: int = 0) -> Tensor:
    """`num` numbers in equal steps from `start` to `stop`, which broadcast, along a new axis. Numbers make float32."""
    share = _shares((start, stop), num, endpoint)
    return _placed(start * (1 - share) + stop * share, axis)


@composed
def logspace(start: Any, stop: Any, num: int = 50, endpoint: bool = True, base: Any = 10.0, axis: int = 0) -> Tensor:
    """`base` to the power of `num` numbers in equal steps from `start` to `stop`, along a new axis."""
    share = _shares((start, stop, base), num, endpoint)
    return _placed(power(base, start * (1 - share) + stop * share), axis)


@composed
def geomspace(start: Any, stop: Any, num: int = 50, endpoint: bool = True, axis: int = 0) -> Tensor:
    """`num` numbers of equal ratios from `start` to `stop`, two of one sign, along a new axis.

    float32 stays float32, as in `linspace`; NumPy makes float64 of it here.
    """
    share = _shares((start, stop), num, endpoint)
    return _placed(start * power(stop / start, share), axis)


@composed
def meshgrid(*xi: Any, indexing: str = "xy", sparse: bool = False) -> tuple[Tensor, ...]:
    """One grid for each vector, with its values along an axis of its own; `sparse` leaves the other axes at length one.

    Axes in the order of the vectors for `indexing="ij"`, the first two exchanged for "xy". Views.
    """
    if indexing not in ("xy", "ij"):
        raise ValueError(f"meshgrid: indexing: got {indexing!r}, want 'xy' or 'ij'")
    n = len(xi)
    order = list(range(n))
    if indexing == "xy" and n > 1:
        order[:2] = [1, 0]
    grids = [reshape(x, [-1 if k == order[j] else 1 for k in range(n)]) for j, x in enumerate(xi)]
    whole = np.broadcast_shapes(*(g.shape for g in grids))
    return tuple(g if sparse else broadcast_to(g, whole) for g in grids)
