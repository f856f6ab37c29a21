"""Convert the arguments of operations to tensors, to arrays and to the backend of another argument."""

from __future__ import annotations

from typing import Any

import numpy as np

from ...backend import Backend, backend_of, default_backend, is_array, to_numpy
from ...engine.host_array import host_array
from ...engine.primitive import to_common_backend
from ...engine.tensor import Tensor, tensor_view
from ...foreign_arrays import import_array

Array = Any


def backend_at(x: Any) -> Backend:
    """The backend that a tensor or array lives on; the default backend for anything else."""
    array = x._array if isinstance(x, Tensor) else x
    return backend_of(array) if is_array(array) else default_backend()


def to_tensor(x: Any) -> Tensor:
    """`x` itself if it is a tensor, else a constant: a view of an array, or a number or a list of numbers."""
    if isinstance(x, Tensor):
        return x
    if not is_array(x):
        x = to_common_backend(None, [list(x) if isinstance(x, tuple) else x])[1][0]
    return tensor_view(x)


def to_array(x: Any, like: Any = None) -> Array:
    """The array of a tensor, or an array itself; numbers and lists become an array on the backend of `like`."""
    x = x._array if isinstance(x, Tensor) else import_array("array", "value", x)
    return x if is_array(x) else backend_at(like).from_numpy(host_array(x, np.float64))


def as_host_array(x: Any) -> np.ndarray[Any, Any]:
    """The values of `x` in a NumPy array. Synchronises with the device if they are there."""
    x = x._array if isinstance(x, Tensor) else import_array("array", "value", x)
    return to_numpy(x) if is_array(x) else host_array(x, np.float64)


def array_like(value: Any, x: Any, dtype: Any = None) -> Any:
    """A tensor or array as it is; numbers and lists as an array on the backend of `x`, in `dtype` or that of `x`."""
    if isinstance(value, Tensor) or is_array(value):
        return value
    value = import_array("array", "value", value)
    return backend_at(x).from_numpy(host_array(value, np.float64).astype(x.dtype if dtype is None else dtype))
