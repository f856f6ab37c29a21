"""divergence_gradient computes the divergence of a model's outputs, the share of each output, and dY."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

import minigrad as mg
from minigrad import Tensor
from minigrad.foreign_arrays import type_name
from minigrad.validation import as_array, check_choice, check_function

from ..divergence import LOCAL, local_divergence
from .recording import Loss

Array = Any
REDUCTIONS = ("mean", "sum")


def divergence_gradient(loss: str | Callable[..., Tensor] | None, output: Tensor, targets: Any, reduction: str) -> Loss:
    """Return the divergence of `output` (n, B, O) from `targets`, (n, B) whole numbers or (n, B, O).

    Args:
        loss: a name of `minigrad_rnn.divergence.LOCAL`; a function of (outputs, targets) that returns one number for
            each step (n, B) or feature (n, B, O), or one for all; None for "cross_entropy" with whole numbers as
            targets and "squared_error" with others.
        reduction: "mean" over all terms, or "sum"; not used where the function returns one number.

    Raises:
        ValueError: an unknown name, or targets of another shape. TypeError: no function, targets that are no numbers.
    """
    name = "explore"
    check_choice(name, REDUCTIONS, reduction=reduction)
    d = as_array(targets, name, "targets")
    d = d if isinstance(d, np.ndarray) else Tensor(d).numpy()
    if d.dtype.kind not in "biuf":
        raise TypeError(f"{name}: targets: got dtype {d.dtype}, want numbers")
    whole = d.dtype.kind in "iu"
    if loss is None:
        loss = "cross_entropy" if whole and d.shape == output.shape[:2] else "squared_error"
    if isinstance(loss, str):
        if loss not in LOCAL:
            raise ValueError(f"{name}: loss: got {loss!r}, want one of {list(LOCAL)} or a function")
        shapes = [output.shape[:2]] if whole and loss == "cross_entropy" else [output.shape]
        if d.shape not in shapes:
            raise ValueError(f"{name}: targets: got shape {d.shape}, want {shapes[0]} for {loss!r} of {output.shape}")
        classes = output.shape[2]
        if whole and loss == "cross_entropy" and not ((d == -100) | ((d >= 0) & (d < classes))).all():
            raise ValueError(f"{name}: targets: got {d.min()} to {d.max()}, want classes 0 to {classes - 1}, or −100")
    else:
        check_function(name, loss=loss)
    y = mg.tensor(output.numpy(), requires_grad=True)
    if not isinstance(loss, str):
        result = loss(y, d.astype(y.dtype) if d.dtype.kind == "f" else d)
        if not isinstance(result, Tensor) or (result.size != 1 and result.shape[:2] != y.shape[:2]):
            got = f"shape {result.shape}" if isinstance(result, Tensor) else type_name(result)
            raise ValueError(f"{name}: loss: got {got}, want a tensor {y.shape[:2]} or {y.shape}, or one number")
        title = getattr(loss, "__name__", type(loss).__name__)
        if result.size == 1:
            return Loss(title, result.numpy().reshape(()), None, _gradient(mg.sum(result), y, output))
        terms, counted = result, result.size
    else:
        title = loss
        terms = local_divergence(loss, y, d, reduction="none")
        counted = terms.size if terms.ndim > 2 or not whole else int((d != -100).sum())
    total = mg.sum(terms)
    share = 1 / max(counted, 1) if reduction == "mean" else 1.0
    each = np.asarray(terms.numpy(), np.float64).reshape(len(d), -1).sum(1) * share
    return Loss(title, (total * share).numpy(), each, _gradient(total * share, y, output))


def _gradient(total: Tensor, y: Tensor, output: Tensor) -> Tensor:
    if total.node is None:
        raise ValueError("explore: loss: got a number that does not depend on the outputs, want one that does")
    (dY,) = mg.gradients([total], [y], allow_unused=True)
    if dY is None:
        raise ValueError("explore: loss: got a number that does not depend on the outputs, want one that does")
    return mg.tensor(dY.numpy(), backend=output.backend)
