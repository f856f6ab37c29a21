"""What training makes small. The class is always the last axis, and targets from the host go where the logits are."""

from __future__ import annotations

from typing import Any

import numpy as np

from . import ops
from .backend import NUMPY, BackendError, backend_of, is_array
from .engine.tensor import Tensor, tensor_view

Array = Any
REDUCTIONS = ("mean", "sum", "none")


def cross_entropy(
    logits: Tensor,
    targets: Any,
    weight: Any = None,
    ignore_index: int = -100,
    reduction: str = "mean",
) -> Tensor:
    """`-log softmax(logits)[target]`, averaged over the targets that count.

    The class is the last axis whatever the number of axes, so a language model's logits (T, B, V) go in as they are
    (torch wants the class on axis 1). The mean divides by the counted targets' number, or by the sum of their weights;
    where every target is ignored it is 0, and so is its gradient.

    Args:
        logits: (..., C), floating point, unnormalised.
        targets: (...), integers from 0 to C − 1, or `ignore_index`. On the host they are checked; on a device that
            would wait for it, so they must be right there.
        weight: (C,), each class's weight; 1 for all where it is None. A constant.
        ignore_index: the target that does not count.
        reduction: "mean", "sum", or "none" for one loss per target, 0 where it is ignored.

    Returns:
        A scalar, or with "none" a tensor of the targets' shape, in the logits' dtype.

    Raises:
        ValueError: shapes that do not fit, a target out of range, an unknown reduction.
        TypeError: logits that are not floating point or targets that are not integers.
        BackendError: targets or weight live on another device than the logits.
    """
    _one_of("cross_entropy", reduction)
    logits = _tensor("cross_entropy", "logits", logits)
    if logits.ndim < 1 or not logits.shape[-1]:
        raise ValueError(f"cross_entropy: logits: got shape {logits.shape}, want (..., C) with at least one class")
    if logits.dtype.kind != "f":
        raise TypeError(f"cross_entropy: logits: got dtype {logits.dtype}, want floating point")
    classes = logits.shape[-1]
    ids = _beside(targets, logits, ignore_index)
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
        total = xp.sum(counted, dtype=logits.dtype)
    else:
        each = _as_constant("cross_entropy", "weight", weight, logits)
        if tuple(each.shape) != (classes,):
            raise ValueError(f"cross_entropy: weight: got shape {tuple(each.shape)}, want ({classes},)")
        shares = xp.take(each, xp.where(counted, flat, 0)) * counted
        loss = loss * shares
        total = xp.sum(shares)
    if reduction == "none":
        return ops.reshape(loss, tuple(ids.shape))
    summed: Tensor = ops.sum(loss)
    if reduction == "sum":
        return summed
    # The count stays on the device; nobody waits for it to see whether it is zero.
    mean: Tensor = summed / xp.asarray(xp.where(total == 0, xp.ones_like(total), total))
    return mean


def mse(prediction: Tensor, target: Any, reduction: str = "mean") -> Tensor:
    """`(prediction − target)²`.

    Args:
        prediction: any shape, floating point.
        target: the same shape; what lives on the host goes where the prediction is, in its dtype.
        reduction: "mean", "sum", or "none" for one loss per value.

    Raises:
        ValueError: shapes that differ (nothing is broadcast), no values to average, an unknown reduction.
        BackendError: the target lives on another device.
    """
    prediction = _tensor("mse", "prediction", prediction)
    wanted = _same_shape("mse", prediction, "prediction", target, "target")
    return _reduced("mse", ops.square(prediction - wanted), reduction)


def bce_with_logits(logits: Tensor, targets: Any, pos_weight: Any = None, reduction: str = "mean") -> Tensor:
    """The binary cross-entropy of `sigmoid(logits)`, `−t log σ(z) − (1 − t) log(1 − σ(z))`, without overflow.

    Args:
        logits: any shape, floating point.
        targets: the same shape, each from 0 to 1; what lives on the host goes where the logits are, in their dtype.
        pos_weight: broadcasts to the logits; multiplies the loss of the positive part.
        reduction: "mean", "sum", or "none" for one loss per value.

    Raises:
        ValueError: shapes that differ (nothing is broadcast), no values to average, an unknown reduction.
        BackendError: the targets live on another device.
    """
    logits = _tensor("bce_with_logits", "logits", logits)
    t = _same_shape("bce_with_logits", logits, "logits", targets, "targets")
    if pos_weight is None:
        loss = ops.softplus(logits) - logits * t
    else:
        w = _as_constant("bce_with_logits", "pos_weight", pos_weight, logits)
        if any(n not in (1, m) for n, m in zip(w.shape[::-1], logits.shape[::-1])) or w.ndim > logits.ndim:
            raise ValueError(
                f"bce_with_logits: pos_weight: got shape {tuple(w.shape)}, want one that broadcasts to {logits.shape}"
            )
        loss = (1 - t) * logits + ((w - 1) * t + 1) * ops.softplus(-logits)
    return _reduced("bce_with_logits", loss, reduction)


def _one_of(name: str, reduction: str) -> None:
    if reduction not in REDUCTIONS:
        raise ValueError(f"{name}: reduction: got {reduction!r}, want one of {list(REDUCTIONS)}")


def _tensor(name: str, argument: str, value: Any) -> Tensor:
    if isinstance(value, Tensor):
        return value
    if is_array(value):
        return tensor_view(value)
    raise TypeError(f"{name}: {argument}: got {type(value).__name__}, want a Tensor or an array")


def _reduced(name: str, loss: Tensor, reduction: str) -> Tensor:
    _one_of(name, reduction)
    if reduction == "none":
        return loss
    if reduction == "sum":
        return ops.sum(loss)
    if not loss.size:
        raise ValueError(f"{name}: got no values (shape {loss.shape}), so there is no mean; want reduction='sum'")
    return ops.mean(loss)


def _beside(targets: Any, logits: Tensor, ignore_index: int) -> Array:
    """The targets as int64 on the logits' backend, checked against the number of classes while they are on the host."""
    ids = targets._data if isinstance(targets, Tensor) else targets
    if not is_array(ids):
        ids = np.asarray(ids)
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
    return _moved("cross_entropy", "targets", ids, logits)


def _same_shape(name: str, x: Tensor, x_name: str, target: Any, target_name: str) -> Any:
    if x.dtype.kind != "f":
        raise TypeError(f"{name}: {x_name}: got dtype {x.dtype}, want floating point")
    shape = tuple(target.shape) if isinstance(target, Tensor) or is_array(target) else np.shape(target)
    if shape != x.shape:
        raise ValueError(f"{name}: {target_name}: got shape {shape}, want {x.shape}, that of {x_name}")
    if isinstance(target, Tensor) and target.requires_grad:
        return target if target.dtype == x.dtype else ops.astype(target, x.dtype)
    return _as_constant(name, target_name, target, x)


def _as_constant(name: str, argument: str, value: Any, beside: Tensor) -> Array:
    """An array of numbers in the dtype and on the backend of a tensor."""
    array = value._data if isinstance(value, Tensor) else value
    if not is_array(array):
        array = np.asarray(array)
    return _moved(name, argument, array.astype(beside.dtype), beside)


def _moved(name: str, argument: str, array: Array, beside: Tensor) -> Array:
    here, there = backend_of(array), backend_of(beside._data)
    if here is there:
        return array
    if here is not NUMPY:
        raise BackendError(f"{name}: {argument}: is on {here.name}, want {there.name}; move it with .to(backend)")
    return there.from_numpy(array)
