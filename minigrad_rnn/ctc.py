"""Connectionist temporal classification: the loss of a labelling whose timing nobody knows (Graves et al. 2006).

A net reads T frames and says at each how likely every class is; one class is the blank. A path is a class per frame.
It collapses to a labelling: of equal neighbours one is kept, then the blanks go. `ctc_loss` is −log of the probability
that the paths which collapse to the target have together.

The sum over paths runs through a lattice: the target with a blank before, between and after its labels, W = 2S + 1
states. From one frame to the next a path stays, moves one state on, or skips the blank between two different labels.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

import minigrad as mg
from minigrad import Tensor, nn
from minigrad.backend import NUMPY, Backend, backend_of, is_array
from minigrad.losses import REDUCTIONS

Array = Any
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
    """−log p(target | log_probs) for each sequence (Graves et al. 2006, section 4).

    The gradient is the loss's exact derivative with respect to `log_probs`: minus the probability, given the target,
    of being at that class in that frame. (torch's adds `exp(log_probs)`, which is right only behind a log_softmax;
    behind one, both give the same gradient to what goes into it.) What lies beyond a sequence's length has no
    influence on either, be it NaN.

    A target that no path collapses to has a loss of inf and a gradient of zero: a class of probability zero, or too
    few frames, since equal neighbours need a blank between them. A target with more labels than its input has frames
    is a mistake in the data more often than not, and an error; `zero_infinity=True` allows for it.

    Args:
        log_probs: (T, B, C), or (T, C) for one sequence; floating point, the logarithms of the classes'
            probabilities, as `log_softmax` gives them.
        targets: integers on the host, (B, S) padded with whatever, or (sum of target_lengths,) one after the other.
        input_lengths: (B,) integers on the host from 0 to T; one integer for one sequence.
        target_lengths: (B,) integers on the host from 0 to S.
        blank: the class that stands for no label.
        reduction: "none" for one loss per sequence, "sum", or "mean": each loss is divided by its target's length
            (by 1 where that is 0), then averaged over the batch.
        zero_infinity: the loss is 0 where it would be inf.

    Returns:
        A scalar, or with "none" (B,); in the dtype of log_probs.

    Raises:
        ValueError: shapes that do not fit; a length out of range; a label that is the blank or no class; a target
            longer than its input without `zero_infinity`; an unknown reduction.
        TypeError: log_probs is not floating point; targets or lengths are no integers, or live on a device.
    """
    if reduction not in REDUCTIONS:
        raise ValueError(f"ctc_loss: reduction: got {reduction!r}, want one of {[*REDUCTIONS]}")
    if not isinstance(log_probs, Tensor):
        log_probs = Tensor(log_probs) if is_array(log_probs) else log_probs
    blank = check_log_probs("ctc_loss", log_probs, blank)
    single = log_probs.ndim == 2
    if single:
        log_probs = mg.expand_dims(log_probs, 1)
    T, B, C = log_probs.shape
    frames = check_lengths("ctc_loss", "input_lengths", input_lengths, B, T, "T")
    labels, counts = _labels(targets, target_lengths, B, C, blank)
    if not zero_infinity and (counts > frames).any():
        b = int(np.argmax(counts > frames))
        raise ValueError(
            f"ctc_loss: target_lengths: got {counts[b]} labels for input_lengths of {frames[b]} at batch entry {b}, "
            "want no more labels than frames (or zero_infinity=True, for a loss of 0 there)"
        )
    lattice = _lattice(backend_of(log_probs._data), labels, counts, frames, T, blank, log_probs.dtype)
    loss: Tensor = ctc_negative_log_likelihood(log_probs, lattice=lattice, zero_infinity=bool(zero_infinity))
    if reduction == "mean":
        return mg.mean(loss / lattice.divisors)
    if reduction == "sum":
        return mg.sum(loss)
    return mg.reshape(loss, ()) if single else loss


class CTCLoss(nn.Module):
    """`ctc_loss` as a module, with torch.nn.CTCLoss's arguments.

    Args:
        blank, reduction, zero_infinity: as for `ctc_loss`.
    """

    def __init__(self, blank: int = 0, reduction: str = "mean", zero_infinity: bool = False) -> None:
        super().__init__()
        if reduction not in REDUCTIONS:
            raise ValueError(f"CTCLoss: reduction: got {reduction!r}, want one of {[*REDUCTIONS]}")
        self.blank = blank
        self.reduction = reduction
        self.zero_infinity = zero_infinity

    def forward(self, log_probs: Any, targets: Any, input_lengths: Any, target_lengths: Any) -> Tensor:
        """The loss; shapes and errors as for `ctc_loss`."""
        return ctc_loss(
            log_probs, targets, input_lengths, target_lengths, self.blank, self.reduction, self.zero_infinity
        )

    def extra_repr(self) -> str:
        return f"blank={self.blank}, reduction={self.reduction!r}, zero_infinity={self.zero_infinity}"


# The lattice


@dataclass(frozen=True, eq=False)
class Lattice:
    """What the sum over paths needs to know of a batch's targets and lengths, in arrays beside log_probs.

    Beyond a target's own states the lattice goes on with blanks. No path comes back from there, so they never count.
    """

    states: Array
    """(B, W) integers, the class of each state: blank, label, blank, label, …, blank."""
    skip: Array
    """(B, W + 2), 0 where a state can be reached from two before it, else −inf; two more −inf at the end."""
    live: Array
    """(T, B, 1) booleans: frame t is before the sequence's end."""
    last: Array
    """(T, B, 1) booleans: frame t is the sequence's last one."""
    end: Array
    """(B, W), 0 at the two states where a path may end, else −inf."""
    frames: Array
    """(B,) integers, the inputs' lengths."""
    final: Array
    """(B,) integers, the state after the last label, 2 · target length."""
    names: Array
    """(B, U) integers, each target's labels once, then blanks."""
    named: Array
    """(B, S, U), 1 where a target's label is that name, else 0."""
    rows: Array
    """(B, 1) integers, 0 to B − 1."""
    divisors: Array
    """(B,), the targets' lengths, at least 1."""
    blank: int


def _lattice(
    backend: Backend, labels: Whole, counts: Whole, frames: Whole, T: int, blank: int, dtype: np.dtype[Any]
) -> Lattice:
    """Built on the host, then moved. labels (B, S), blank from each target's end on."""
    B, S = labels.shape
    states = np.full((B, 2 * S + 1), blank, np.int64)
    states[:, 1::2] = labels
    final = 2 * counts[:, None]
    columns = np.arange(2 * S + 1)
    unique = [np.unique(row[:n]) for row, n in zip(labels, counts)]
    names = np.full((B, max(map(len, unique))), blank, np.int64)
    for row, found in zip(names, unique):
        row[: len(found)] = found
    t = np.arange(T)[:, None, None]
    move = backend.from_numpy
    return Lattice(
        states=move(states),
        skip=move(_skips(states).astype(dtype)),
        live=move(t < frames[:, None]),
        last=move(t == frames[:, None] - 1),
        end=move(np.where((columns == final) | (columns == final - 1), 0, -np.inf).astype(dtype)),
        frames=move(frames),
        final=move(2 * counts),
        names=move(names),
        named=move((labels[:, :, None] == names[:, None, :]).astype(dtype)),
        rows=move(np.arange(B)[:, None]),
        divisors=move(np.maximum(counts, 1).astype(dtype)),
        blank=blank,
    )


def _skips(states: Whole) -> npt.NDArray[np.float64]:
    """0 at every label that differs from the one before it, else −inf. The first is reached from before the start."""
    B, W = states.shape
    labels = states[:, 1::2]
    differs = np.ones(labels.shape, bool)
    differs[:, 1:] = labels[:, 1:] != labels[:, :-1]
    skip = np.full((B, W + 2), -np.inf)
    skip[:, 1:W:2] = np.where(differs, 0, -np.inf)
    return skip


# The sum over paths


@mg.primitive
def ctc_negative_log_likelihood(xp: Any, log_probs: Array, lattice: Lattice, zero_infinity: bool) -> Any:
    """−log of the probability of all paths through each lattice: log_probs (T, B, C) to (B,).

    Its rule joins the forward variables α with the backward ones, β. In a recorded walk (`create_graph`) it runs the
    forward recursion op by op instead, and the tape differentiates that.
    """
    alphas, log_p = ctc_forward(xp, log_probs, lattice)
    impossible = log_p == -math.inf

    def rule(xp: Any, g: Any, log_probs: Any) -> Any:
        if isinstance(g, Tensor):
            x = mg.reshape(log_probs, log_probs.shape)  # a fresh entry: the walk ends there, with this loss's share
            return mg.gradients(_op_by_op(x, lattice), [x], [g], create_graph=True)[0]
        visits = ctc_posterior(xp, log_probs, alphas, log_p, lattice)
        return _per_class(xp, visits, -g[:, None], lattice, log_probs)

    loss = xp.where(impossible, xp.zeros_like(log_p), 0 - log_p) if zero_infinity else 0 - log_p
    return loss, (log_probs,), rule


def ctc_forward(xp: Any, log_probs: Array, lattice: Lattice) -> tuple[Array, Array]:
    """The forward variables and log p (Graves et al. 2006, section 4.1).

    α(t, s) is the log probability of all beginnings of paths that are in state s at frame t. Returned are α
    (T + 1, B, W + 2) and log p (B,). α[t + 1, :, s + 2] is α(t, s): row 0 is before the first frame, where a path
    stands one state before the first, and columns 0 and 1 are there for what steps and skips come from.
    """
    T, B, _ = log_probs.shape
    W = lattice.states.shape[1]
    alphas = xp.full((T + 1, B, W + 2), -math.inf, dtype=log_probs.dtype)
    alphas[0] = before_the_first_frame(xp, alphas[0])
    alphas[1:, :, 2:] = _emissions(xp, log_probs, lattice)
    moves = xp.empty((3, B, W), dtype=log_probs.dtype)
    skip = lattice.skip[:, :W]
    for before, now in zip(alphas, alphas[1:, :, 2:]):
        moves[0], moves[1] = before[:, 2:], before[:, 1:-1]
        xp.add(before[:, :-2], skip, out=moves[2])
        xp.add(now, _log_sum(xp, moves), out=now)
    rows = lattice.rows[:, 0]
    ends = [alphas[lattice.frames, rows, lattice.final + k] for k in (2, 1)]
    return alphas, _log_sum(xp, xp.stack(ends))


def before_the_first_frame(xp: Any, like: Array) -> Array:
    """Every path stands one state before the first: the leading blank is a step away, the first label a skip."""
    start = xp.full(like.shape, -math.inf, dtype=like.dtype)
    start[:, 1] = 0
    return start


def ctc_posterior(xp: Any, log_probs: Array, alphas: Array, log_p: Array, lattice: Lattice) -> Array:
    """How probable each state is at each frame, given the target: (T, B, W), 0 beyond the input's end (section 4.2).

    β(t, s) is the log probability of all endings of paths that are in state s at frame t, without the emission of t
    itself (the paper's β has it too, and divides by it later).
    """
    T, B, _ = log_probs.shape
    W = lattice.states.shape[1]
    visits = _emissions(xp, log_probs, lattice)
    ahead = xp.full((B, W + 2), -math.inf, dtype=log_probs.dtype)
    moves = xp.empty((3, B, W), dtype=log_probs.dtype)
    skip = lattice.skip[:, 2:]
    for t in range(T - 1, -1, -1):
        moves[0], moves[1] = ahead[:, :-2], ahead[:, 1:-1]
        xp.add(ahead[:, 2:], skip, out=moves[2])
        beta = xp.where(lattice.last[t], lattice.end, _log_sum(xp, moves))
        xp.add(beta, visits[t], out=ahead[:, :-2])
        visits[t] = beta
    visits += alphas[1:, :, 2:]
    visits -= xp.where(log_p == -math.inf, xp.zeros_like(log_p), log_p)[:, None]
    return xp.exp(visits, out=visits)


def _per_class(xp: Any, visits: Array, factor: Array, lattice: Lattice, like: Array) -> Array:
    """The visits (T, B, W) times `factor` (B, 1), added up over the states of each class: (T, B, C).

    A label that a target repeats is added up by a product; so each place is written once, which scattered additions
    are not, and the order is the same on every run.
    """
    total = xp.zeros(like.shape, dtype=like.dtype)
    if lattice.names.shape[1]:
        of_labels = xp.matmul(xp.swapaxes(visits[:, :, 1::2], 0, 1), lattice.named)
        total[:, lattice.rows, lattice.names] = xp.swapaxes(of_labels, 0, 1) * factor
    # Last, since names shorter than the longest are filled up with the blank.
    total[:, :, lattice.blank] = xp.sum(visits[:, :, ::2], axis=2) * factor[:, 0]
    return total


def _emissions(xp: Any, log_probs: Any, lattice: Lattice) -> Any:
    """The log probability of every state's class at every frame, (T, B, W); 0 beyond the input's end."""
    found = log_probs[:, lattice.rows, lattice.states]
    return xp.where(lattice.live, found, xp.zeros_like(found))


def _log_sum(xp: Any, moves: Array) -> Array:
    """log Σ exp along the first axis, −inf where all are."""
    most = xp.max(moves, axis=0)
    shift = xp.maximum(most, float(np.finfo(moves.dtype).min))  # finite, so that −inf − shift is −inf and not NaN
    total = xp.sum(xp.exp(moves - shift), axis=0)
    return xp.log(xp.maximum(total, 1)) + most  # the largest alone gives 1


def _op_by_op(log_probs: Tensor, lattice: Lattice) -> Tensor:
    """The loss again, from operations that the tape records one by one."""
    xp = backend_of(log_probs._data).xp
    T, B, _ = log_probs.shape
    W = lattice.states.shape[1]
    emissions = _emissions(mg, log_probs, lattice)
    nowhere = Tensor(xp.full((B, 2), -math.inf, dtype=log_probs.dtype))
    alpha = Tensor(before_the_first_frame(xp, xp.empty((B, W + 2), dtype=log_probs.dtype)))
    skip = lattice.skip[:, :W]
    for t in range(T):
        moved = mg.logsumexp(mg.stack([alpha[:, 2:], alpha[:, 1:-1], alpha[:, :-2] + skip]), axis=0)
        new = mg.concatenate([nowhere, emissions[t] + moved], axis=1)
        alpha = mg.where(lattice.live[t], new, alpha)
    rows = lattice.rows[:, 0]
    ends = mg.stack([alpha[rows, lattice.final + k] for k in (2, 1)])
    return -mg.logsumexp(ends, axis=0)


# What comes from the user


def check_log_probs(name: str, log_probs: Any, blank: Any) -> int:
    """See that log_probs is (T, B, C) or (T, C) with a frame, a sequence and a class, and blank one of its classes.

    Returns:
        blank as a Python integer.
    """
    if not hasattr(log_probs, "dtype") or not hasattr(log_probs, "shape"):
        raise TypeError(f"{name}: log_probs: got {type(log_probs).__name__}, want a Tensor or an array")
    if log_probs.dtype.kind != "f":
        raise TypeError(f"{name}: log_probs: got dtype {log_probs.dtype}, want floating point")
    shape = tuple(log_probs.shape)
    if len(shape) not in (2, 3) or 0 in shape:
        raise ValueError(f"{name}: log_probs: got shape {shape}, want (T, B, C) or (T, C), nothing of them 0")
    if isinstance(blank, bool) or not isinstance(blank, (int, np.integer)):
        raise TypeError(f"{name}: blank: got {type(blank).__name__}, want an integer")
    if not 0 <= blank < shape[-1]:
        raise ValueError(f"{name}: blank: got {blank}, want a class from 0 to {shape[-1] - 1}")
    return int(blank)


def check_lengths(name: str, argument: str, value: Any, B: int, most: int, most_name: str) -> Whole:
    """B integers from 0 to `most`, as an array; one integer will do where B is 1."""
    found = _whole(name, argument, value)
    if found.ndim == 0 and B == 1:
        found = found.reshape(1)
    if found.shape != (B,):
        raise ValueError(f"{name}: {argument}: got shape {found.shape}, want ({B},), one for each sequence")
    outside = (found < 0) | (found > most)
    if outside.any():
        b = int(np.argmax(outside))
        raise ValueError(f"{name}: {argument}: got {found[b]} at batch entry {b}, want 0 to {most_name} = {most}")
    return found


def _whole(name: str, argument: str, value: Any) -> Whole:
    array = value._data if isinstance(value, Tensor) else value
    if is_array(array) and backend_of(array) is not NUMPY:
        raise TypeError(f"{name}: {argument}: got an array on {backend_of(array).name}, want integers on the host")
    try:
        array = np.asarray(array)
    except ValueError as error:
        raise ValueError(f"{name}: {argument}: got lists of different lengths, want a full array: {error}") from None
    if array.dtype.kind not in "iu" and array.size:
        raise TypeError(f"{name}: {argument}: got dtype {array.dtype}, want integers")
    return array.astype(np.int64)


def _labels(targets: Any, target_lengths: Any, B: int, C: int, blank: int) -> tuple[Whole, Whole]:
    """The targets as (B, longest), with the blank from each one's end on, and their lengths (B,)."""
    given = _whole("ctc_loss", "targets", targets)
    if given.ndim not in (1, 2) or (given.ndim == 2 and given.shape[0] != B):
        raise ValueError(f"ctc_loss: targets: got shape {given.shape}, want ({B}, S), or all in one row")
    most, of = (given.shape[1], "S") if given.ndim == 2 else (given.shape[0], "the number of labels")
    counts = check_lengths("ctc_loss", "target_lengths", target_lengths, B, most, of)
    if given.ndim == 1 and counts.sum() != given.shape[0]:
        raise ValueError(
            f"ctc_loss: targets: got {given.shape[0]} labels in one row, want the sum of target_lengths, {counts.sum()}"
        )
    longest = int(counts.max())
    within = np.arange(longest) < counts[:, None]
    labels = np.full((B, longest), blank, np.int64)
    labels[within] = given if given.ndim == 1 else given[:, :longest][within]
    wrong = within & ((labels < 0) | (labels >= C) | (labels == blank))
    if wrong.any():
        b, s = (int(k) for k in np.argwhere(wrong)[0])
        raise ValueError(
            f"ctc_loss: targets: got {labels[b, s]} at batch entry {b}, label {s}, want a class from 0 to {C - 1} "
            f"other than the blank, {blank}"
        )
    return labels, counts
