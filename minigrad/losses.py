"""Loss functions. The class is always the last axis; targets on the host are moved to the logits' backend."""

from __future__ import annotations

from typing import Any

import numpy as np

from . import ops
from .backend import NUMPY, BackendError, backend_of
from .engine.summation import half_to_single
from .engine.tensor import Tensor
from .validation import as_array, as_tensor, check_choice, check_integer

Array = Any
REDUCTIONS = ("mean", "sum", "none")


def cross_entropy(
    logits: Tensor, targets: Any, weight: Any = None, ignore_index: int = -100, reduction: str = "mean"
) -> Tensor:
    """Compute `-log softmax(logits)[target]`, averaged over the targets that count.

    The class is the last axis for any number of axes, so a language model's logits (T, B, V) need no transposing
    (torch wants the class on axis 1). The mean divides by the number of counted targets, or by the sum of their
    weights; where every target is ignored it is 0, and so is its gradient.

    Args:
        logits: (..., C), floating point, unnormalised.
        targets: (...), integers from 0 to C − 1, or `ignore_index`. They are checked on the host only: on a device
            that would synchronise with it.
        weight: (C,), a weight for each class, which may require a gradient; None for 1.
        ignore_index: the target that does not count.
        reduction: "mean", "sum", or "none" for one loss per target, 0 where it is ignored.

    Returns:
        A scalar, or with "none" a tensor of the targets' shape, in the logits' dtype.

    Raises:
        ValueError: shapes that do not fit, a target out of range, an unknown reduction.
        TypeError: logits that are not floating point or targets that are not integers.
        BackendError: targets or weight live on another device than the logits.
    """
    check_choice("cross_entropy", REDUCTIONS, reduction=reduction)
    check_integer("cross_entropy", None, ignore_index=ignore_index)
    logits = as_tensor("cross_entropy", "logits", logits)
    if logits.ndim < 1 or not logits.shape[-1]:
        raise ValueError(f"cross_entropy: logits: got shape {logits.shape}, want (..., C) with at least one class")
    if logits.dtype.kind != "f":
        raise TypeError(f"cross_entropy: logits: got dtype {logits.dtype}, want floating point")
    classes = logits.shape[-1]
    ids = _class_ids(targets, logits, ignore_index)
    if tuple(ids.shape) != logits.shape[:-1]:
        raise ValueError(
            f"cross_entropy: targets: got shape {tuple(ids.shape)}, want {logits.shape[:-1]} for logits of shape "
            f"{logits.shape}"
        )
    xp = backend_of(ids).xp
    flat = ids.reshape(-1)
    rows = ops.reshape(logits, (flat.shape[0], classes))
    loss = ops.negative_log_likelihood(rows, flat, ignore_index=ignore_index)
    counted = flat != ignore_index
    if weight is None:
        total = xp.sum(counted, dtype=np.result_type(logits.dtype, np.float32))
    else:
        class_weights = _in_dtype_of("cross_entropy", "weight", weight, logits)
        if tuple(class_weights.shape) != (classes,):
            raise ValueError(f"cross_entropy: weight: got shape {tuple(class_weights.shape)}, want ({classes},)")
        target_weights = ops.take(class_weights, xp.where(counted, flat, 0)) * counted
        loss = loss * target_weights
        total = ops.sum(half_to_single(target_weights))
    if reduction == "none":
        return ops.reshape(loss, tuple(ids.shape))
    if reduction == "sum":
        return ops.sum(loss)
    loss_sum = ops.sum(half_to_single(loss))  # it may leave float16's range, as may the number of losses
    # The total stays on the device: looking whether it is zero would synchronise.
    mean: Tensor = loss_sum / ops.where(total == 0, xp.ones((), dtype=total.dtype), total)
    return mean if mean.dtype == logits.dtype else mean.astype(logits.dtype)


def mse(prediction: Tensor, target: Any, reduction: str = "mean") -> Tensor:
    """Compute `(prediction − target)²`, averaged.

    Args:
        prediction: any shape, floating point.
        target: the same shape; an array on the host is moved to the prediction's backend, in its dtype.
        reduction: "mean", "sum", or "none" for one loss per value.

    Raises:
        ValueError: shapes that differ (nothing is broadcast), no values to average, an unknown reduction.
        BackendError: the target lives on another device.
    """
    prediction = as_tensor("mse", "prediction", prediction)
    target = _same_shape("mse", prediction, "prediction", target, "target")
    return _reduced("mse", ops.square(prediction - target), reduction)


def bce_with_logits(logits: Tensor, targets: Any, pos_weight: Any = None, reduction: str = "mean") -> Tensor:
    """Compute the binary cross-entropy of `sigmoid(logits)`, `−t log σ(z) − (1 − t) log(1 − σ(z))`, without overflow.

    Args:
        logits: any shape, floating point.
        targets: the same shape, each from 0 to 1; an array on the host is moved to the logits' backend and dtype.
        pos_weight: broadcasts to the logits; multiplies the loss of the positive part. It may require a gradient.
        reduction: "mean", "sum", or "none" for one loss per value.

    Raises:
        ValueError: shapes that differ (nothing is broadcast), no values to average, an unknown reduction.
        BackendError: the targets live on another device.
    """
    logits = as_tensor("bce_with_logits", "logits", logits)
    t = _same_shape("bce_with_logits", logits, "logits", targets, "targets")
    if pos_weight is None:
        loss = ops.softplus(logits) - logits * t
    else:
        w = _in_dtype_of("bce_with_logits", "pos_weight", pos_weight, logits)
        if any(n not in (1, m) for n, m in zip(w.shape[::-1], logits.shape[::-1])) or w.ndim > logits.ndim:
            raise ValueError(
                f"bce_with_logits: pos_weight: got shape {tuple(w.shape)}, want one that broadcasts to {logits.shape}"
            )
        loss = (1 - t) * logits + ((w - 1) * t + 1) * ops.softplus(-logits)
    return _reduced("bce_with_logits", loss, reduction)


def _reduced(caller: str, loss: Tensor, reduction: str) -> Tensor:
    check_choice(caller, REDUCTIONS, reduction=reduction)
    if reduction == "none":
        return loss
    if reduction == "sum":
        return ops.sum(loss)
    if not loss.size:
        raise ValueError(f"{caller}: got no values (shape {loss.shape}), so there is no mean; want reduction='sum'")
    return ops.mean(loss)


def _class_ids(targets: Any, logits: Tensor, ignore_index: int) -> Array:
    """The targets as int64 on the logits' backend. Those on the host are checked against the number of classes."""
    ids = as_array(targets, "cross_entropy", "targets")
    if ids.dtype.kind not in "iu":
        raise TypeError(f"cross_entropy: targets: got dtype {ids.dtype}, want integers")
    ids = ids.astype(np.int64)
    if isinstance(ids, np.ndarray):
        outside = ((ids < 0) | (ids >= logits.shape[-1])) & (ids != ignore_index)
        if outside.any():
            raise ValueError(
                f"cross_entropy: targets: got {ids[outside][0]}, want 0 to {logits.shape[-1] - 1}, or {ignore_index}, "
                "which is ignored"
            )
    return _to_backend_of("cross_entropy", "targets", ids, logits)


def _same_shape(caller: str, x: Tensor, x_name: str, target: Any, target_name: str) -> Any:
    if x.dtype.kind != "f":
        raise TypeError(f"{caller}: {x_name}: got dtype {x.dtype}, want floating point")
    shape = target.shape if isinstance(target, Tensor) else as_array(target, caller, target_name).shape
    if shape != x.shape:
        raise ValueError(f"{caller}: {target_name}: got shape {shape}, want {x.shape}, that of {x_name}")
    return _in_dtype_of(caller, target_name, target, x)


def _in_dtype_of(caller: str, argument: str, value: Any, like: Tensor) -> Any:
    """A value in the dtype and on the backend of a tensor: an array, or a tensor if it requires a gradient."""
    if not isinstance(value, Tensor):
        value = as_array(value, caller, argument)
    if value.dtype.kind == "c":  # else its imaginary part would be lost
        raise TypeError(f"{caller}: {argument}: got dtype {value.dtype}, want real numbers")
    if isinstance(value, Tensor) and value.requires_grad:
        return value if value.dtype == like.dtype else ops.astype(value, like.dtype)
    return _to_backend_of(caller, argument, as_array(value, caller, argument).astype(like.dtype), like)


def _to_backend_of(caller: str, argument: str, array: Array, like: Tensor) -> Array:
    """The array on the tensor's backend. Raises BackendError where it is on another device."""
    here, there = backend_of(array), backend_of(like._array)
    if here is there:
        return array
    if here is not NUMPY:
        raise BackendError(f"{caller}: {argument}: is on {here.name}, want {there.name}; move it with .to(backend)")
    return there.from_numpy(array)
