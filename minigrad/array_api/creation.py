"""Creation of tensors with the array API's arguments: `dtype`, `device` and `copy`.

A device is "cpu" for NumPy and else the backend's name, such as "cupy"; None is where the argument is, or the default
backend. Python floats become float32, complex numbers complex64.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from .. import numpy_protocol, ops
from ..backend import Backend, default_backend, get_backend, is_array
from ..engine.host_array import is_dtypeless
from ..engine.tensor import Tensor, tensor_view
from ..foreign_arrays import import_array
from ..tensor_methods import to_device

DType = Any
Device = str | None
NO_COPY = "copy=False: want an array of this dtype on this device, which needs no copy"


def asarray(obj: Any, /, *, dtype: DType = None, device: Device = None, copy: bool | None = None) -> Tensor:
    """Return a tensor: itself if nothing changes, or on the memory of an array, whose later writes are noticed.

    Gradients flow from a tensor, and from tensors in lists. `copy=True` always copies.

    Raises:
        ValueError: `copy=False` where a copy is needed. BackendError: an unknown device.
    """
    x = obj if isinstance(obj, Tensor) else import_array("asarray", "obj", obj)
    if is_array(x):
        x = tensor_view(x)
    elif not isinstance(x, Tensor):
        if copy is False:
            raise ValueError(f"asarray: {NO_COPY}; got {type(obj).__name__}")
        return _on(_weak_complex(obj, ops.array(obj, dtype), dtype), device)
    y = x if dtype is None or x.dtype == dtype else ops.astype(x, dtype)
    y = _on(y, device)
    if copy is False and y is not x:
        raise ValueError(f"asarray: {NO_COPY}; got {x.dtype} on {x.device}")
    return ops.copy(y) if copy and y is x else y


def astype(x: Tensor, dtype: DType, /, *, copy: bool = True, device: Device = None) -> Tensor:
    """Return the values in another dtype; without a change of it a copy, or with `copy=False` the tensor itself."""
    return asarray(x, dtype=dtype, device=device, copy=True if copy else None)


def from_dlpack(x: Any, /, *, device: Device = None, copy: bool | None = None) -> Tensor:
    """Return a tensor on another library's memory (see `minigrad.from_dlpack`), or with `copy=True` on its own."""
    return asarray(numpy_protocol.from_dlpack(x), device=device, copy=copy)


def arange(start: Any, /, stop: Any = None, step: Any = 1, *, dtype: DType = None, device: Device = None) -> Tensor:
    """Return the numbers from `start` (0 if it stands alone) up to, and without, `stop`."""
    limits = (0, start, step) if stop is None else (start, stop, step)
    return _on(ops.arange(*limits, dtype=dtype), device)


def linspace(
    start: Any, stop: Any, /, num: int, *, dtype: DType = None, device: Device = None, endpoint: bool = True
) -> Tensor:
    """Return `num` equally spaced numbers from `start` to `stop`, the last one included if `endpoint`."""
    if dtype is not None:
        exact = np.result_type(dtype, np.float32) if np.dtype(dtype).kind in "fc" else np.float64
        start, stop = asarray(start, dtype=exact), asarray(stop, dtype=exact)
    y = ops.linspace(start, stop, num, endpoint)
    return _on(y if dtype is None or y.dtype == dtype else ops.astype(y, dtype), device)


def eye(n_rows: int, n_cols: int | None = None, /, *, k: int = 0, dtype: DType = None, device: Device = None) -> Tensor:
    """Return zeros with ones on the `k`-th diagonal above the main one."""
    return Tensor(_backend(device).xp.eye(n_rows, n_cols, k, dtype=_default(dtype)))


def zeros(shape: Any, *, dtype: DType = None, device: Device = None) -> Tensor:
    """Return zeros."""
    return Tensor(_backend(device).xp.zeros(shape, dtype=_default(dtype)))


def ones(shape: Any, *, dtype: DType = None, device: Device = None) -> Tensor:
    """Return ones."""
    return Tensor(_backend(device).xp.ones(shape, dtype=_default(dtype)))


empty = zeros
"""Zeros as well."""


def full(shape: Any, fill_value: Any, *, dtype: DType = None, device: Device = None) -> Tensor:
    """Return `fill_value` in every place. Gradients flow to it."""
    return _on(_own(_weak_complex(fill_value, ops.full(shape, fill_value, dtype), dtype)), device)


def zeros_like(x: Tensor, /, *, dtype: DType = None, device: Device = None) -> Tensor:
    """Return zeros in the shape of `x`, and in its dtype and on its device by default."""
    return zeros(x.shape, dtype=dtype or x.dtype, device=device or x.device)


def ones_like(x: Tensor, /, *, dtype: DType = None, device: Device = None) -> Tensor:
    """Return ones in the shape of `x`, and in its dtype and on its device by default."""
    return ones(x.shape, dtype=dtype or x.dtype, device=device or x.device)


empty_like = zeros_like


def full_like(x: Tensor, /, fill_value: Any, *, dtype: DType = None, device: Device = None) -> Tensor:
    """Return `fill_value` in the shape of `x`, and in its dtype and on its device by default."""
    return _on(_own(ops.full_like(x, fill_value, dtype)), device)


def _own(x: Tensor) -> Tensor:
    """A constant in memory of its own, which can be written into."""
    return x if x.node is not None else ops.copy(x)


def _backend(device: Device) -> Backend:
    return default_backend() if device is None else get_backend("numpy" if device == "cpu" else device)


def _on(x: Tensor, device: Device) -> Tensor:
    return x if device is None else to_device(x, device)


def _default(dtype: DType) -> Any:
    return np.float32 if dtype is None else dtype


def _weak_complex(value: Any, x: Tensor, dtype: DType) -> Tensor:
    """`x` in complex64 if it comes from Python's complex numbers: beside float32 that is the default."""
    return ops.astype(x, np.complex64) if dtype is None and x.dtype.kind == "c" and is_dtypeless(value) else x
