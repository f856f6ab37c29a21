"""cross_entropy and nll_loss: how unlikely the right class was. The class is the last axis for any number of axes."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from .. import ops
from ..arguments_of import arguments_of
from ..backend import backend_of
from ..engine.summation import half_to_single
from ..engine.tensor import Tensor
from ..validation import as_array, check_choice, check_integer, check_probability
from .reduction import REDUCTIONS
from .target_arrays import class_ids, floating_tensor, in_dtype_of, same_shape

Array = Any
DEFAULT_IGNORED = -100


def cross_entropy(
    logits: Tensor,
    targets: Any,
    weight: Any = None,
    ignore_index: int = DEFAULT_IGNORED,
    reduction: str = "mean",
    label_smoothing: float = 0.0,
) -> Tensor:
    """Compute `-log softmax(logits)[target]`, averaged over the targets that count; or of probabilities as targets.

    The class is the last axis for any number of axes, so a language model's logits (T, B, V) need no transposing
    (torch wants the class on axis 1). The mean divides by the number of counted targets, or by the sum of their
    weights; where every target is ignored it is 0, and so is its gradient. Of probabilities it divides by their number
    of rows, whatever the weights, as torch's.

    Args:
        logits: (..., C), floating point, unnormalised.
        targets: (...), integers from 0 to C − 1, or `ignore_index`; or (..., C), floating point, the probabilities of
            the classes, which may require a gradient. Integers are checked on the host only: on a device that would
            synchronise with it.
        weight: (C,), a weight for each class, which may require a gradient; None for 1.
        ignore_index: the target that does not count.
        reduction: "mean", "sum", or "none" for one loss per target, 0 where it is ignored.
        label_smoothing: ε from 0 to 1: the target's probability is 1 − ε + ε / C, that of the others ε / C (Szegedy et
            al. 2016); probabilities p become (1 − ε) · p + ε / C.

    Returns:
        A scalar, or with "none" a tensor of the targets' shape (without the classes), in the logits' dtype.

    Raises:
        ValueError: shapes that do not fit, a target out of range, an unknown reduction, a smoothing that is no
            probability, an `ignore_index` for probabilities.
        TypeError: logits that are not floating point, or targets that are neither integers nor probabilities.
        BackendError: targets or weight live on another device than the logits.
    """
    caller = "cross_entropy"
    check_choice(caller, REDUCTIONS, reduction=reduction)
    check_integer(caller, None, ignore_index=ignore_index)
    check_probability(caller, one=True, label_smoothing=label_smoothing)
    logits = floating_tensor(caller, "logits", logits)
    _check_classes(caller, "logits", logits)
    targets = targets if isinstance(targets, Tensor) else as_array(targets, caller, "targets")
    if targets.dtype.kind == "f" and tuple(targets.shape) == logits.shape:
        if ignore_index != DEFAULT_IGNORED:
            raise ValueError(f"{caller}: ignore_index: got {ignore_index}, want none where targets are probabilities")
        return _of_probabilities(logits, targets, weight, reduction, float(label_smoothing))
    rows = _rows(caller, "logits", logits, targets, weight, ignore_index)
    loss = ops.negative_log_likelihood(rows.scores, rows.ids, ignore_index=ignore_index)
    if label_smoothing:
        loss = _smoothed(loss, rows, float(label_smoothing))
    elif rows.weights is not None:
        loss = loss * rows.weights
    return _averaged(loss, rows, reduction)


@arguments_of(cross_entropy, sections=())
def nll_loss(
    log_probs: Tensor, targets: Any, weight: Any = None, ignore_index: int = DEFAULT_IGNORED, reduction: str = "mean"
) -> Tensor:
    """Compute `-log_probs[target]`, averaged over the targets that count: the cross-entropy of `log_softmax`.

    Args:
        log_probs: (..., C), floating point, the logarithms of the classes' probabilities.
        targets: (...), integers from 0 to C − 1, or `ignore_index`. They are checked on the host only.

    Returns:
        A scalar, or with "none" a tensor of the targets' shape, in the dtype of `log_probs`.

    Raises:
        ValueError: shapes that do not fit, a target out of range, an unknown reduction.
        TypeError: `log_probs` are not floating point or targets are not integers.
        BackendError: targets or weight live on another device.
    """
    caller = "nll_loss"
    check_choice(caller, REDUCTIONS, reduction=reduction)
    check_integer(caller, None, ignore_index=ignore_index)
    log_probs = floating_tensor(caller, "log_probs", log_probs)
    _check_classes(caller, "log_probs", log_probs)
    rows = _rows(caller, "log_probs", log_probs, targets, weight, ignore_index)
    picked = _picked(rows)
    loss = ops.negative(picked) if rows.all_count else ops.where(rows.counted, ops.negative(picked), 0.0)
    return _averaged(loss if rows.weights is None else loss * rows.weights, rows, reduction)


class _Rows(NamedTuple):
    """Scores (N, C) and targets (N,) with what each target counts."""

    scores: Tensor
    ids: Array
    counted: Array
    all_count: bool
    """Known on the host only; on a device, asking would synchronise with it."""
    class_weights: Any
    """(C,), or None."""
    weights: Any
    """Those of the targets (N,), 0 where they are ignored; or None."""
    shape: tuple[int, ...]
    """Of the targets as they were passed."""


def _check_classes(caller: str, name: str, scores: Tensor) -> None:
    if scores.ndim < 1 or not scores.shape[-1]:
        raise ValueError(f"{caller}: {name}: got shape {scores.shape}, want (..., C) with at least one class")


def _rows(caller: str, name: str, scores: Tensor, targets: Any, weight: Any, ignore_index: int) -> _Rows:
    ids = class_ids(caller, targets, scores, name, ignore_index)
    flat = ids.reshape(-1)
    counted = flat != ignore_index
    all_count = isinstance(counted, np.ndarray) and bool(counted.all())
    class_weights = weights = None
    if weight is not None:
        class_weights = _class_weights(caller, weight, scores)
        weights = ops.take(class_weights, backend_of(flat).xp.where(counted, flat, 0)) * counted
    rows = ops.reshape(scores, (flat.shape[0], scores.shape[-1]))
    return _Rows(rows, flat, counted, all_count, class_weights, weights, tuple(ids.shape))


def _class_weights(caller: str, weight: Any, scores: Tensor) -> Any:
    weight = in_dtype_of(caller, "weight", weight, scores)
    if tuple(weight.shape) != scores.shape[-1:]:
        raise ValueError(f"{caller}: weight: got shape {tuple(weight.shape)}, want {scores.shape[-1:]}")
    return weight


def _picked(rows: _Rows) -> Tensor:
    """The target's score in each row (N,); in an ignored one that of class 0."""
    safe = backend_of(rows.ids).xp.where(rows.counted, rows.ids, 0)
    return ops.reshape(ops.take_along_axis(rows.scores, safe[:, None], axis=-1), rows.ids.shape)


def _smoothed(loss: Tensor, rows: _Rows, smoothing: float) -> Tensor:
    """`(1 − ε) · w[target] · nll[target] + ε / C · Σ w[c] · nll[c]`, from `loss`, which is nll[target].

    nll[c] is nll[target] + z[target] − z[c], so the softmax is computed once.
    """
    if not rows.all_count:  # ignored rows may hold NaN and inf
        rows = rows._replace(scores=ops.where(rows.counted[:, None], rows.scores, 0.0))
    scores, classes = rows.scores, rows.scores.shape[-1]
    wide, target = half_to_single(scores), half_to_single(_picked(rows))
    w = rows.class_weights
    if w is None:
        others = loss + target - ops.mean(wide, axis=-1)
        smooth = loss * (1 - smoothing) + others * smoothing
    else:
        total = ops.sum(half_to_single(w))
        others = (loss + target) * total - ops.sum(wide * w, axis=-1)
        smooth = loss * rows.weights * (1 - smoothing) + others * (smoothing / classes)
    smooth = smooth if rows.all_count else ops.where(rows.counted, smooth, 0.0)
    return smooth if smooth.dtype == scores.dtype else smooth.astype(scores.dtype)


def _of_probabilities(logits: Tensor, targets: Any, weight: Any, reduction: str, smoothing: float) -> Tensor:
    probabilities = same_shape("cross_entropy", logits, "logits", targets, "targets")
    if smoothing:
        probabilities = probabilities * (1 - smoothing) + smoothing / logits.shape[-1]
    terms = ops.log_softmax(half_to_single(logits)) * probabilities
    if weight is not None:
        terms = terms * _class_weights("cross_entropy", weight, logits)
    loss = ops.negative(ops.sum(terms, axis=-1))
    if reduction != "none":
        loss = ops.sum(loss) if reduction == "sum" else ops.sum(loss) / max(loss.size, 1)
    return loss if loss.dtype == logits.dtype else loss.astype(logits.dtype)


def _averaged(loss: Tensor, rows: _Rows, reduction: str) -> Tensor:
    """The losses (N,) in the targets' shape, their sum, or that divided by what the targets count."""
    if reduction == "none":
        return ops.reshape(loss, rows.shape)
    if reduction == "sum":
        return ops.sum(loss)
    dtype, xp = rows.scores.dtype, backend_of(rows.ids).xp
    if rows.weights is None:
        total = xp.sum(rows.counted, dtype=np.result_type(dtype, np.float32))
    else:
        total = ops.sum(half_to_single(rows.weights))
    loss_sum = ops.sum(half_to_single(loss))  # it may leave float16's range, as may the number of losses
    # The total stays on the device: looking whether it is zero would synchronise.
    mean: Tensor = loss_sum / ops.where(total == 0, xp.ones((), dtype=total.dtype), total)
    return mean if mean.dtype == dtype else mean.astype(dtype)
