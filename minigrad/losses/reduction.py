"""`reduced` takes the mean or the sum of losses; REDUCTIONS names the choices."""

from __future__ import annotations

from .. import ops
from ..engine.tensor import Tensor
from ..validation import check_choice

REDUCTIONS = ("mean", "sum", "none")


def reduced(caller: str, loss: Tensor, reduction: str) -> Tensor:
    """The losses themselves, their sum or their mean. Raises ValueError where there are none to average."""
    check_choice(caller, REDUCTIONS, reduction=reduction)
    if reduction == "none":
        return loss
    if reduction == "sum":
        return ops.sum(loss)
    if not loss.size:
        raise ValueError(f"{caller}: got no values (shape {loss.shape}), so there is no mean; want reduction='sum'")
    return ops.mean(loss)
