"""The losses as modules, under torch.nn's names; `minigrad.losses` computes them. The class is the last axis here."""

from __future__ import annotations

from typing import Any

from .. import losses
from ..arguments_of import arguments_of
from ..engine.tensor import Tensor
from ..validation import as_array, check_choice, check_flag, check_integer, check_number, check_probability
from .module import Module

__all__ = ["BCELoss", "BCEWithLogitsLoss", "CrossEntropyLoss", "HuberLoss", "KLDivLoss", "L1Loss", "MSELoss"]
__all__ += ["NLLLoss", "SmoothL1Loss"]


class _Loss(Module):
    """What all losses have in common: the reduction."""

    def __init__(self, reduction: str, *more: str) -> None:
        super().__init__()
        check_choice(type(self).__name__, (*losses.REDUCTIONS, *more), reduction=reduction)
        self.reduction = reduction

    def _weights(self, name: str, value: Any) -> None:
        """A buffer of weights, in the dtype in which it is passed; `to` moves and converts it with the module."""
        if value is not None and not isinstance(value, Tensor):
            value = as_array(value, type(self).__name__, name)
        if value is not None and value.dtype.kind not in "fiu":
            raise TypeError(f"{type(self).__name__}: {name}: got dtype {value.dtype}, want real numbers")
        self.register_buffer(name, value)

    def extra_repr(self) -> str:
        return f"reduction={self.reduction!r}"


@arguments_of(losses.cross_entropy, sections=())
class CrossEntropyLoss(_Loss):
    """`-log softmax(logits)[target]`, averaged; or of probabilities as targets. The class is the last axis.

    Args:
        weight: (C,), a weight for each class; None for 1.

    Buffers: `weight` (C,), if it is passed.
    Call: logits (..., C) and targets (...), integers, or (..., C), probabilities, give a scalar, or with "none" (...).
    """

    weight: Tensor | None

    def __init__(
        self, weight: Any = None, ignore_index: int = -100, reduction: str = "mean", label_smoothing: float = 0.0
    ) -> None:
        super().__init__(reduction)
        check_integer("CrossEntropyLoss", None, ignore_index=ignore_index)
        check_probability("CrossEntropyLoss", one=True, label_smoothing=label_smoothing)
        self._weights("weight", weight)
        self.ignore_index, self.label_smoothing = ignore_index, float(label_smoothing)

    def forward(self, logits: Any, targets: Any) -> Tensor:
        return losses.cross_entropy(
            logits, targets, self.weight, self.ignore_index, self.reduction, self.label_smoothing
        )


@arguments_of(losses.cross_entropy, sections=())
class NLLLoss(_Loss):
    """`-log_probs[target]`, averaged: the cross-entropy behind a `LogSoftmax`. The class is the last axis.

    Args:
        weight: (C,), a weight for each class; None for 1.

    Buffers: `weight` (C,), if it is passed.
    Call: log_probs (..., C) and integer targets (...) give a scalar, or with "none" (...).
    """

    weight: Tensor | None

    def __init__(self, weight: Any = None, ignore_index: int = -100, reduction: str = "mean") -> None:
        super().__init__(reduction)
        check_integer("NLLLoss", None, ignore_index=ignore_index)
        self._weights("weight", weight)
        self.ignore_index = ignore_index

    def forward(self, log_probs: Any, targets: Any) -> Tensor:
        return losses.nll_loss(log_probs, targets, self.weight, self.ignore_index, self.reduction)


@arguments_of(losses.mse, sections=())
class MSELoss(_Loss):
    """`(prediction − target)²`, averaged.

    Call: prediction and target of one shape give a scalar, or with "none" that shape.
    """

    def __init__(self, reduction: str = "mean") -> None:
        super().__init__(reduction)

    def forward(self, prediction: Any, target: Any) -> Tensor:
        return losses.mse(prediction, target, self.reduction)


@arguments_of(losses.mse, sections=())
class L1Loss(_Loss):
    """`|prediction − target|`, averaged.

    Call: prediction and target of one shape give a scalar, or with "none" that shape.
    """

    def __init__(self, reduction: str = "mean") -> None:
        super().__init__(reduction)

    def forward(self, prediction: Any, target: Any) -> Tensor:
        return losses.l1(prediction, target, self.reduction)


@arguments_of(losses.huber, sections=())
class HuberLoss(_Loss):
    """`d² / 2` for differences |d| ≤ δ and `δ · (|d| − δ / 2)` for larger ones, averaged.

    Call: prediction and target of one shape give a scalar, or with "none" that shape.
    """

    def __init__(self, reduction: str = "mean", delta: float = 1.0) -> None:
        super().__init__(reduction)
        check_number("HuberLoss", 0, delta=delta)
        if delta == 0:
            raise ValueError("HuberLoss: delta: got 0, want a finite number above 0")
        self.delta = float(delta)

    def forward(self, prediction: Any, target: Any) -> Tensor:
        return losses.huber(prediction, target, self.reduction, self.delta)

    def extra_repr(self) -> str:
        return f"{super().extra_repr()}, delta={self.delta:g}"


@arguments_of(losses.smooth_l1, sections=())
class SmoothL1Loss(_Loss):
    """`d² / (2 β)` for differences |d| < β and `|d| − β / 2` for larger ones, averaged.

    Call: prediction and target of one shape give a scalar, or with "none" that shape.
    """

    def __init__(self, reduction: str = "mean", beta: float = 1.0) -> None:
        super().__init__(reduction)
        check_number("SmoothL1Loss", 0, beta=beta)
        self.beta = float(beta)

    def forward(self, prediction: Any, target: Any) -> Tensor:
        return losses.smooth_l1(prediction, target, self.reduction, self.beta)

    def extra_repr(self) -> str:
        return f"{super().extra_repr()}, beta={self.beta:g}"


@arguments_of(losses.kl_div, sections=())
class KLDivLoss(_Loss):
    """`target · (log target − log_probs)`, averaged over all values, or summed: the Kullback–Leibler divergence.

    Call: log_probs and target of one shape give a scalar, or with "none" that shape.
    """

    def __init__(self, reduction: str = "mean", log_target: bool = False) -> None:
        super().__init__(reduction, "batchmean")
        check_flag("KLDivLoss", log_target=log_target)
        self.log_target = bool(log_target)

    def forward(self, log_probs: Any, target: Any) -> Tensor:
        return losses.kl_div(log_probs, target, self.reduction, self.log_target)

    def extra_repr(self) -> str:
        return f"{super().extra_repr()}, log_target={self.log_target}"


class BCELoss(_Loss):
    """`−t log p − (1 − t) log(1 − p)` of probabilities p, averaged; `BCEWithLogitsLoss` is the better choice.

    Args:
        weight: broadcasts to the probabilities; multiplies the loss of each value; None for 1.
        reduction: "mean", "sum", or "none" for one loss per value.

    Buffers: `weight`, if it is passed.
    Call: probabilities and targets of one shape, from 0 to 1, give a scalar, or with "none" that shape.
    """

    weight: Tensor | None

    def __init__(self, weight: Any = None, reduction: str = "mean") -> None:
        super().__init__(reduction)
        self._weights("weight", weight)

    def forward(self, probabilities: Any, targets: Any) -> Tensor:
        return losses.bce(probabilities, targets, self.weight, self.reduction)


class BCEWithLogitsLoss(_Loss):
    """The binary cross-entropy of `sigmoid(logits)`, averaged, without overflow.

    Args:
        weight: broadcasts to the logits; multiplies the loss of each value; None for 1.
        reduction: "mean", "sum", or "none" for one loss per value.
        pos_weight: broadcasts to the logits; multiplies the loss of the positive part; None for 1.

    Buffers: `weight` and `pos_weight`, if they are passed.
    Call: logits and targets of one shape, targets from 0 to 1, give a scalar, or with "none" that shape.
    """

    weight: Tensor | None
    pos_weight: Tensor | None

    def __init__(self, weight: Any = None, reduction: str = "mean", pos_weight: Any = None) -> None:
        super().__init__(reduction)
        self._weights("weight", weight)
        self._weights("pos_weight", pos_weight)

    def forward(self, logits: Any, targets: Any) -> Tensor:
        return losses.bce_with_logits(logits, targets, self.pos_weight, self.reduction, self.weight)
