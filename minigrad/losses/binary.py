"""bce and bce_with_logits: the cross-entropy of a yes or no, from its probability or its logit."""

from __future__ import annotations

from typing import Any

import numpy as np

from .. import ops
from ..engine.primitive import primitive
from ..engine.summation import half_to_single
from ..engine.tensor import Tensor
from .reduction import reduced
from .target_arrays import broadcastable, floating_tensor, same_shape

Array = Any
LEAST_LOG = -100.0
"""A logarithm of 0 counts as this, as in torch: the loss stays finite."""
LEAST_VARIANCE = 1e-12
"""The least p (1 − p) by which a gradient is divided, torch's."""


def bce_with_logits(
    logits: Tensor, targets: Any, pos_weight: Any = None, reduction: str = "mean", weight: Any = None
) -> Tensor:
    """Compute the binary cross-entropy of `sigmoid(logits)`, `−t log σ(z) − (1 − t) log(1 − σ(z))`, without overflow.

    Args:
        logits: any shape, floating point.
        targets: the same shape, each from 0 to 1; an array on the host is moved to the logits' backend and dtype.
        pos_weight: broadcasts to the logits; multiplies the loss of the positive part. It may require a gradient.
        reduction: "mean", "sum", or "none" for one loss per value. The mean divides by the number of values.
        weight: broadcasts to the logits; multiplies the loss of each value. It may require a gradient.

    Raises:
        ValueError: shapes that differ (nothing else is broadcast), no values to average, an unknown reduction.
        TypeError: the logits are not floating point.
        BackendError: the targets or a weight live on another device.
    """
    caller = "bce_with_logits"
    logits = floating_tensor(caller, "logits", logits)
    t = same_shape(caller, logits, "logits", targets, "targets")
    if pos_weight is None:
        loss = ops.softplus(logits) - logits * t
    else:
        w = broadcastable(caller, "pos_weight", pos_weight, logits)
        loss = (1 - t) * logits + ((w - 1) * t + 1) * ops.softplus(-logits)
    if weight is not None:
        loss = loss * broadcastable(caller, "weight", weight, logits)
    return reduced(caller, loss, reduction)


def bce(probabilities: Tensor, targets: Any, weight: Any = None, reduction: str = "mean") -> Tensor:
    """Compute the binary cross-entropy `−t log p − (1 − t) log(1 − p)` of probabilities p.

    `bce_with_logits` is the better choice where there are logits. As in torch a logarithm is at least −100, and the
    gradient, (p − t) / (p (1 − p)), has at least 1e-12 below.

    Args:
        probabilities: any shape, floating point, each from 0 to 1; checked on the host only.
        targets: the same shape, each from 0 to 1; an array on the host is moved to the backend and dtype of p.
        weight: broadcasts to the probabilities; multiplies the loss of each value. It may require a gradient.
        reduction: "mean", "sum", or "none" for one loss per value. The mean divides by the number of values.

    Raises:
        ValueError: shapes that differ (nothing else is broadcast), a probability outside [0, 1], no values to average,
            an unknown reduction.
        TypeError: the probabilities are not floating point.
        BackendError: the targets or the weight live on another device.
    """
    p = floating_tensor("bce", "probabilities", probabilities)
    if isinstance(p._array, np.ndarray):
        outside = (p._array < 0) | (p._array > 1)
        if outside.any():
            raise ValueError(
                f"bce: probabilities: got {p._array[outside][0]}, want 0 to 1; of logits take bce_with_logits"
            )
    t = same_shape("bce", p, "probabilities", targets, "targets")
    wide = half_to_single(p)
    loss = _binary_cross_entropy(wide, half_to_single(t))
    if weight is not None:
        loss = loss * broadcastable("bce", "weight", weight, p)
    loss = reduced("bce", loss, reduction)
    return loss if loss.dtype == p.dtype else loss.astype(p.dtype)


@primitive
def _binary_cross_entropy(xp: Any, p: Array, t: Array) -> Any:
    def logs(xp: Any, p: Array) -> tuple[Array, Array]:
        """log p and log(1 − p), neither below `LEAST_LOG`; no logarithm of 0 is taken, whose derivative is none."""
        yes, no = p > 0, p < 1
        yes_log = xp.where(yes, xp.maximum(xp.log(xp.where(yes, p, 1.0)), LEAST_LOG), LEAST_LOG)
        return yes_log, xp.where(no, xp.maximum(xp.log1p(xp.where(no, -p, 0.0)), LEAST_LOG), LEAST_LOG)

    def by_p(xp: Any, g: Array, p: Array, t: Array) -> Array:
        return g * (p - t) / xp.maximum(p * (1 - p), LEAST_VARIANCE)

    def by_t(xp: Any, g: Array, p: Array, t: Array) -> Array:
        yes, no = logs(xp, p)
        return g * (no - yes)

    yes, no = logs(xp, p)
    return -(t * yes + (1 - t) * no), (p, t), (by_p, by_t)
