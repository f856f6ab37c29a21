"""The gradient of one update: the mean over the batches that are accumulated."""

from __future__ import annotations

import math
from typing import Any

import minigrad as mg
from minigrad import nn
from minigrad.option_checks import is_number, shown, type_shown


def checked_loss(loss: Any) -> mg.Tensor:
    """What a divergence returned, as a scalar on the tape. Raises TypeError or ValueError if it is something else."""
    if not isinstance(loss, mg.Tensor):
        raise TypeError(f"Trainer: divergence: got {type_shown(loss)}, want a loss, a tensor with one element")
    if loss.size != 1:
        raise ValueError(f"Trainer: divergence: got a loss of shape {loss.shape}, want a scalar: its mean or sum")
    if loss.node is None:
        raise ValueError("Trainer: divergence: got a loss without a graph, want one computed from the model's weights")
    return loss.reshape(()) if loss.shape else loss


def loss_and_state(result: Any) -> tuple[mg.Tensor, Any]:
    """What a divergence with a state returned. Raises TypeError if it is not a pair."""
    if not isinstance(result, tuple) or len(result) != 2:
        raise TypeError(f"Trainer: divergence: got {type_shown(result)}, want the pair (loss, state)")
    return checked_loss(result[0]), result[1]


def checked_weight(weight: Any) -> float:
    """What `tokens` returned. Raises ValueError unless it is a finite number above 0."""
    if isinstance(weight, mg.Tensor) and weight.size == 1:
        weight = weight.item()
    if not is_number(weight) or not 0 < weight < math.inf:
        raise ValueError(f"Trainer: tokens: got {shown(weight)}, want a number above 0")
    return float(weight)


def scale_gradients(model: nn.Module, factor: float) -> None:
    """Multiply every gradient by a factor."""
    for parameter in model.parameters():
        if parameter.grad is not None:
            parameter.grad = parameter.grad.detach() * factor


def require_finite(update: int, loss: float, norm: float, saved: str | None) -> None:
    """Raise FloatingPointError, naming the update, if the loss or the gradients' norm is NaN or infinite."""
    if not math.isfinite(loss) or not math.isfinite(norm):
        kept = "" if saved is None else f"; the last checkpoint is untouched: {saved}"
        raise FloatingPointError(
            f"Trainer: update {update:,}: the loss is {loss:g} and the gradients' norm {norm:g}; a lower learning rate "
            f"or clip_norm may help{kept}"
        )
