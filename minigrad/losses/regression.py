"""mse, l1, smooth_l1 and huber: how far a prediction is from its target."""

from __future__ import annotations

from typing import Any

from .. import ops
from ..arguments_of import arguments_of
from ..engine.primitive import primitive
from ..engine.tensor import Tensor
from ..validation import check_number
from .reduction import reduced
from .target_arrays import floating_tensor, same_shape

Array = Any


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
    return reduced("mse", ops.square(_difference("mse", prediction, target)), reduction)


@arguments_of(mse)
def l1(prediction: Tensor, target: Any, reduction: str = "mean") -> Tensor:
    """Compute `|prediction − target|`, averaged; the derivative where they are equal is 0.

    Raises:
        TypeError: the prediction is not floating point.
    """
    return reduced("l1", ops.abs(_difference("l1", prediction, target)), reduction)


@arguments_of(mse)
def huber(prediction: Tensor, target: Any, reduction: str = "mean", delta: float = 1.0) -> Tensor:
    """Compute `d² / 2` for differences |d| ≤ δ and `δ · (|d| − δ / 2)` for larger ones, averaged (Huber 1964).

    Args:
        delta: δ, a finite number above 0.

    Raises:
        TypeError: the prediction is not floating point.
    """
    check_number("huber", 0, delta=delta)
    if delta == 0:
        raise ValueError("huber: delta: got 0, want a finite number above 0")
    return reduced("huber", _huber(_difference("huber", prediction, target), float(delta)), reduction)


@arguments_of(mse)
def smooth_l1(prediction: Tensor, target: Any, reduction: str = "mean", beta: float = 1.0) -> Tensor:
    """Compute `d² / (2 β)` for differences |d| < β and `|d| − β / 2` for larger ones, averaged: `huber` divided by β.

    Args:
        beta: β, a finite number of at least 0, which makes it `l1`.

    Raises:
        TypeError: the prediction is not floating point.
    """
    check_number("smooth_l1", 0, beta=beta)
    difference = _difference("smooth_l1", prediction, target)
    loss = _huber(difference, float(beta)) / float(beta) if beta else ops.abs(difference)
    return reduced("smooth_l1", loss, reduction)


def _difference(caller: str, prediction: Any, target: Any) -> Tensor:
    prediction = floating_tensor(caller, "prediction", prediction)
    difference: Tensor = prediction - same_shape(caller, prediction, "prediction", target, "target")
    return difference


@primitive
def _huber(xp: Any, d: Array, delta: float) -> Any:
    near = xp.clip(d, -delta, delta)
    return near * (d - 0.5 * near), (d,), (lambda xp, g, d: g * xp.clip(d, -delta, delta), None)
