"""`class_ids`, `same_shape` and `in_dtype_of` bring targets and weights to the backend and dtype of a prediction."""

from __future__ import annotations

from typing import Any

import numpy as np

from .. import ops
from ..backend import NUMPY, BackendError, backend_of
from ..engine.tensor import Tensor
from ..validation import as_array, as_tensor

Array = Any


def floating_tensor(caller: str, argument: str, value: Any) -> Tensor:
    """A prediction as a tensor. Raises TypeError unless it is floating point."""
    x = as_tensor(caller, argument, value)
    if x.dtype.kind != "f":
        raise TypeError(f"{caller}: {argument}: got dtype {x.dtype}, want floating point")
    return x


def class_ids(caller: str, targets: Any, scores: Tensor, name: str, ignore_index: int) -> Array:
    """The targets as int64 on the backend of `scores` (..., C), whose argument has this name.

    Those on the host are checked against the number of classes.
    """
    ids = as_array(targets, caller, "targets")
    if ids.dtype.kind not in "iu":
        soft = (
            f", or probabilities of shape {scores.shape}" if caller == "cross_entropy" and ids.dtype.kind == "f" else ""
        )
        raise TypeError(f"{caller}: targets: got dtype {ids.dtype}, want integers{soft}")
    ids = ids.astype(np.int64)
    if isinstance(ids, np.ndarray):
        outside = ((ids < 0) | (ids >= scores.shape[-1])) & (ids != ignore_index)
        if outside.any():
            raise ValueError(
                f"{caller}: targets: got {ids[outside][0]}, want 0 to {scores.shape[-1] - 1}, or {ignore_index}, "
                "which is ignored"
            )
    if tuple(ids.shape) != scores.shape[:-1]:
        raise ValueError(
            f"{caller}: targets: got shape {tuple(ids.shape)}, want {scores.shape[:-1]} for {name} of shape "
            f"{scores.shape}"
        )
    return to_backend_of(caller, "targets", ids, scores)


def same_shape(caller: str, x: Tensor, x_name: str, target: Any, target_name: str) -> Any:
    """The target in the dtype and on the backend of `x`. Raises ValueError unless it has its shape."""
    shape = target.shape if isinstance(target, Tensor) else as_array(target, caller, target_name).shape
    if tuple(shape) != x.shape:
        raise ValueError(f"{caller}: {target_name}: got shape {tuple(shape)}, want {x.shape}, that of {x_name}")
    return in_dtype_of(caller, target_name, target, x)


def broadcastable(caller: str, argument: str, value: Any, x: Tensor) -> Any:
    """Weights in the dtype and on the backend of `x`. Raises ValueError unless they broadcast to its shape."""
    w = in_dtype_of(caller, argument, value, x)
    if any(n not in (1, m) for n, m in zip(w.shape[::-1], x.shape[::-1])) or w.ndim > x.ndim:
        raise ValueError(f"{caller}: {argument}: got shape {tuple(w.shape)}, want one that broadcasts to {x.shape}")
    return w


def in_dtype_of(caller: str, argument: str, value: Any, like: Tensor) -> Any:
    """A value in the dtype and on the backend of a tensor: an array, or a tensor if it requires a gradient."""
    if not isinstance(value, Tensor):
        value = as_array(value, caller, argument)
    if value.dtype.kind == "c":  # else its imaginary part would be lost
        raise TypeError(f"{caller}: {argument}: got dtype {value.dtype}, want real numbers")
    if isinstance(value, Tensor) and value.requires_grad:
        return value if value.dtype == like.dtype else ops.astype(value, like.dtype)
    return to_backend_of(caller, argument, as_array(value, caller, argument).astype(like.dtype), like)


def to_backend_of(caller: str, argument: str, array: Array, like: Tensor) -> Array:
    """The array on the tensor's backend. Raises BackendError where it is on another device."""
    here, there = backend_of(array), backend_of(like._array)
    if here is there:
        return array
    if here is not NUMPY:
        raise BackendError(f"{caller}: {argument}: is on {here.name}, want {there.name}; move it with .to(backend)")
    return there.from_numpy(array)
