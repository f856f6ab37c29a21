"""Connectionist temporal classification: the loss of a labelling without alignment (Graves et al. 2006).

A net reads T frames and outputs the probabilities of all classes at each; one class is the blank. A path is a class per
frame. It collapses to a labelling: repeated neighbours are merged, then the blanks removed. `ctc_loss` is −log of the
total probability of all paths that collapse to the target.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

import minigrad as mg
from minigrad import Tensor, nn
from minigrad.arguments_of import arguments_of
from minigrad.backend import NUMPY, backend_of
from minigrad.losses import REDUCTIONS
from minigrad.validation import as_array, as_tensor, check_choice, check_flag, check_integer, is_integer

from .lattice import ctc_negative_log_likelihood, lattice_of

Whole = npt.NDArray[np.int64]


def ctc_loss(
    log_probs: Any,
    targets: Any,
    input_lengths: Any,
    target_lengths: Any,
    blank: int = 0,
    reduction: str = "mean",
    zero_infinity: bool = False,
) -> Tensor:
    """Return −log p(target | log_probs) for each sequence (Graves et al. 2006, section 4).

    The gradient is the loss's exact derivative with respect to `log_probs`: minus the probability, given the target,
    of being at that class in that frame. (torch's adds `exp(log_probs)`, which is right only after a log_softmax;
    there both give the same gradient to the log_softmax's input.) Values beyond a sequence's length, even NaN,
    affect neither loss nor gradient. A class ruled out by −inf has probability 0: no path passes through it,
    and its gradient is 0. In float32 the gradient is right to 1e-3 of a probability over 6,000 frames (torch's: 0.1).

    A target that no path collapses to has a loss of inf and a gradient of zero: a class of probability zero, or too
    few frames, since equal neighbours need a blank between them. A target with more labels than its input has frames
    is usually a mistake in the data, and an error; `zero_infinity=True` permits it.

    Args:
        log_probs: (T, B, C), or (T, C) for one sequence; floating point, the logarithms of the classes'
            probabilities, as `log_softmax` gives them.
        targets: integers on the host, (B, S) with any padding, or (sum of target_lengths,) one after the other.
        input_lengths: (B,) integers on the host from 0 to T; one integer for one sequence.
        target_lengths: (B,) integers on the host from 0 to S.
        blank: the class that stands for no label.
        reduction: "none" for (B,), one loss per sequence; "sum"; or "mean": each loss is divided by its target's length
            (by 1 where that is 0), then averaged over the batch. The result has the dtype of log_probs.
        zero_infinity: the loss is 0 where it would be inf.

    Raises:
        ValueError: shapes that do not fit; a length out of range; a label that is the blank or no class; a target
            longer than its input without `zero_infinity`; an unknown reduction.
        TypeError: log_probs is not floating point; targets or lengths are not integers, or are on a device.
    """
    check_choice("ctc_loss", REDUCTIONS, reduction=reduction)
    check_flag("ctc_loss", zero_infinity=zero_infinity)
    log_probs, single, blank = check_log_probs("ctc_loss", log_probs, blank)
    T, B, C = log_probs.shape
    frames = check_lengths("ctc_loss", "input_lengths", input_lengths, B, T, "T")
    labels, counts = labels_of("ctc_loss", targets, target_lengths, B, C, blank)
    if not zero_infinity and (counts > frames).any():
        b = int(np.argmax(counts > frames))
        raise ValueError(
            f"ctc_loss: target_lengths: got {counts[b]} labels for input_lengths of {frames[b]} at batch entry {b}, "
            "want no more labels than frames (or zero_infinity=True, for a loss of 0 there)"
        )
    lattice = lattice_of(backend_of(log_probs._array), labels, counts, frames, T, blank, log_probs.dtype)
    loss: Tensor = ctc_negative_log_likelihood(log_probs, lattice=lattice, zero_infinity=bool(zero_infinity))
    if reduction == "mean":
        return mg.mean(loss / lattice.divisors)
    if reduction == "sum":
        return mg.sum(loss)
    return mg.reshape(loss, ()) if single else loss


@arguments_of(ctc_loss, without=("log_probs", "targets", "input_lengths", "target_lengths"))
class CTCLoss(nn.Module):
    """`ctc_loss` as a module, with torch.nn.CTCLoss's arguments.

    Call: `loss = module(log_probs, targets, input_lengths, target_lengths)`.
        log_probs: (T, B, C), or (T, C) for one sequence: the logarithms of the classes' probabilities.
        targets: integers on the host, (B, S) with any padding, or (sum of target_lengths,) one after the other.
        input_lengths: (B,) integers on the host from 0 to T; one integer for one sequence.
        target_lengths: (B,) integers on the host from 0 to S.
    """

    def __init__(self, blank: int = 0, reduction: str = "mean", zero_infinity: bool = False) -> None:
        super().__init__()
        check_choice("CTCLoss", REDUCTIONS, reduction=reduction)
        check_integer("CTCLoss", 0, blank=blank)
        check_flag("CTCLoss", zero_infinity=zero_infinity)
        self.blank, self.reduction, self.zero_infinity = blank, reduction, zero_infinity

    def forward(self, log_probs: Any, targets: Any, input_lengths: Any, target_lengths: Any) -> Tensor:
        """Return the loss: (B,) without a reduction, else one number."""
        return ctc_loss(
            log_probs, targets, input_lengths, target_lengths, self.blank, self.reduction, self.zero_infinity
        )

    def extra_repr(self) -> str:
        return f"blank={self.blank}, reduction={self.reduction!r}, zero_infinity={self.zero_infinity}"


# What comes from the user


def check_log_probs(name: str, log_probs: Any, blank: Any) -> tuple[Tensor, bool, int]:
    """Return log_probs, (T, B, C) or (T, C), as (T, B, C); whether it was (T, C); and the blank, one of the classes."""
    log_probs = as_tensor(name, "log_probs", log_probs)
    if log_probs.dtype.kind != "f":
        raise TypeError(f"{name}: log_probs: got dtype {log_probs.dtype}, want floating point")
    shape = log_probs.shape
    if len(shape) not in (2, 3) or 0 in shape:
        raise ValueError(f"{name}: log_probs: got shape {shape}, want (T, B, C) or (T, C), no axis of length 0")
    check_integer_type(name, "blank", blank)
    if not 0 <= blank < shape[-1]:
        raise ValueError(f"{name}: blank: got {blank}, want a class from 0 to {shape[-1] - 1}")
    single = len(shape) == 2
    return mg.expand_dims(log_probs, 1) if single else log_probs, single, int(blank)


def check_integer_type(name: str, argument: str, value: Any) -> None:
    """Raise TypeError unless a value is an integer."""
    if not is_integer(value):
        raise TypeError(f"{name}: {argument}: got {type(value).__name__}, want an integer")


def check_lengths(name: str, argument: str, value: Any, B: int, most: int, most_name: str) -> Whole:
    """Return B integers from 0 to `most` as an array; if B is 1, one integer is enough."""
    lengths = _integers(name, argument, value)
    if lengths.ndim == 0 and B == 1:
        lengths = lengths.reshape(1)
    if lengths.shape != (B,):
        raise ValueError(f"{name}: {argument}: got shape {lengths.shape}, want ({B},), one for each sequence")
    outside = (lengths < 0) | (lengths > most)
    if outside.any():
        b = int(np.argmax(outside))
        raise ValueError(f"{name}: {argument}: got {lengths[b]} at batch entry {b}, want 0 to {most_name} = {most}")
    return lengths


def _integers(name: str, argument: str, value: Any) -> Whole:
    try:
        array = as_array(value, name, argument)
    except ValueError as error:
        raise ValueError(f"{name}: {argument}: got lists of different lengths, want a full array: {error}") from None
    if backend_of(array) is not NUMPY:
        raise TypeError(f"{name}: {argument}: got an array on {backend_of(array).name}, want integers on the host")
    if array.dtype.kind not in "iu" and array.size:
        raise TypeError(f"{name}: {argument}: got dtype {array.dtype}, want integers")
    return np.array(array, np.int64)


def labels_of(name: str, targets: Any, target_lengths: Any, B: int, C: int, blank: int) -> tuple[Whole, Whole]:
    """Return the targets as (B, longest), with the blank from each one's end on, and their lengths (B,).

    Without `target_lengths` all have the same number of labels.
    """
    rows = _integers(name, "targets", targets)
    if rows.ndim not in (1, 2) or (rows.ndim == 2 and rows.shape[0] != B):
        raise ValueError(f"{name}: targets: got shape {rows.shape}, want ({B}, S), or all in one row")
    most, of = (rows.shape[1], "S") if rows.ndim == 2 else (rows.shape[0], "the number of labels")
    counts = check_lengths(name, "target_lengths", target_lengths, B, most, of)
    if rows.ndim == 1 and counts.sum() != most:
        want = f"the sum of target_lengths, {counts.sum()}"
        raise ValueError(f"{name}: targets: got {most} labels in one row, want {want}")
    longest = int(counts.max())
    inside = np.arange(longest) < counts[:, None]
    labels = np.full((B, longest), blank, np.int64)
    labels[inside] = rows if rows.ndim == 1 else rows[:, :longest][inside]
    wrong = inside & ((labels < 0) | (labels >= C) | (labels == blank))
    if wrong.any():
        b, s = (int(k) for k in np.argwhere(wrong)[0])
        got, want = f"{labels[b, s]} at batch entry {b}, label {s}", f"a class from 0 to {C - 1}"
        raise ValueError(f"{name}: targets: got {got}, want {want} other than the blank, {blank}")
    return labels, counts
