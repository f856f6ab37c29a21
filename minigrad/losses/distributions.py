"""kl_div: how far a predicted distribution is from a target, the Kullback–Leibler divergence."""

from __future__ import annotations

from typing import Any

from .. import ops
from ..engine.tensor import Tensor
from ..validation import check_choice, check_flag
from .reduction import REDUCTIONS, reduced
from .target_arrays import floating_tensor, same_shape


def kl_div(log_probs: Tensor, target: Any, reduction: str = "mean", log_target: bool = False) -> Tensor:
    """Compute `target · (log target − log_probs)` for each value: the Kullback–Leibler divergence, once summed.

    Args:
        log_probs: any shape, floating point, the logarithms of the predicted probabilities.
        target: the same shape, probabilities, or their logarithms with `log_target`; an array on the host is moved to
            the backend and dtype of `log_probs`. It may require a gradient.
        reduction: "mean" over all values, as in torch; "batchmean" for the sum divided by the length of the first axis,
            which is the divergence for (N, C); "sum", or "none" for one loss per value.
        log_target: whether the target holds logarithms.

    Raises:
        ValueError: shapes that differ (nothing is broadcast), no values to average, an unknown reduction.
        TypeError: `log_probs` are not floating point.
        BackendError: the target lives on another device.
    """
    check_choice("kl_div", (*REDUCTIONS, "batchmean"), reduction=reduction)
    check_flag("kl_div", log_target=log_target)
    log_probs = floating_tensor("kl_div", "log_probs", log_probs)
    t: Any = same_shape("kl_div", log_probs, "log_probs", target, "target")
    loss = ops.exp(t) * (t - log_probs) if log_target else ops.xlogy(t, t) - log_probs * t
    if reduction != "batchmean":
        return reduced("kl_div", loss, reduction)
    if not loss.size:
        raise ValueError(f"kl_div: got no values (shape {loss.shape}), so there is no mean; want reduction='sum'")
    return ops.sum(loss) / (loss.shape[0] if loss.ndim else 1)
