"""The sum over all paths of a CTC (Graves et al. 2006, section 4.1), as one primitive.

The sum runs over a lattice: the target with a blank before, between and after its labels, W = 2S + 1 states. From one
frame to the next a path stays, moves one state on, or skips the blank between two different labels.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

import minigrad as mg
from minigrad import Tensor
from minigrad.backend import Backend, backend_of
from minigrad.engine.primitive import call_in

Array = Any
Whole = npt.NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Lattice:
    """A batch's targets and lengths as index arrays and masks for the sum over paths, on the backend of log_probs.

    The axis of states comes before the batch, so that a move to the next state is a move by one contiguous row. A
    target shorter than the longest is padded with states that no path may enter.
    """

    states: Array
    """(W, B) integers, the class of each state: blank, label, blank, label, …, blank."""
    inside: Array
    """(T, W, B) booleans: frame t is before the sequence's end, and the state is one of its own."""
    skip: Array
    """(W, 2B), 0 where a state can be reached from two before it, else −inf; from column B on, the same of the lattice
    read from its end: states in reverse order."""
    start: Array
    """(W + 2, 2B), 0 where a path starts before the first frame, else −inf; columns as in `skip`, and two extra rows as
    in `sums_over_paths`."""
    mirror: Array
    """(T, B) integers: n − 1 − t for the frames t before the sequence's end n: the frames in reverse."""
    frames: Array
    """(B,) integers, the inputs' lengths."""
    final: Array
    """(B,) integers, the state after the last label, 2 · target length."""
    names: Array
    """(B, U) integers, each target's labels once, then blanks."""
    named: Array
    """(B, S, U), 1 where a target's label is that name, else 0."""
    sequences: Array
    """(B,) integers, 0 to B − 1."""
    divisors: Array
    """(B,), the targets' lengths, at least 1."""
    blank: int


def lattice_of(
    backend: Backend, labels: Whole, counts: Whole, frames: Whole, T: int, blank: int, dtype: np.dtype[Any]
) -> Lattice:
    """Build a lattice on the host and move it to the backend. labels (B, S), blank from each target's end on."""
    B, S = labels.shape
    W = 2 * S + 1
    states = np.full((W, B), blank, np.int64)
    states[1::2] = labels.T
    final = 2 * counts
    unique = [np.unique(row[:n]) for row, n in zip(labels, counts)]
    names = np.full((B, max(map(len, unique))), blank, np.int64)
    for row, labels_once in zip(names, unique):
        row[: len(labels_once)] = labels_once
    t = np.arange(T)[:, None]
    skips = _skips(states)
    move = backend.from_numpy
    return Lattice(
        states=move(states),
        inside=move((t < frames)[:, None] & (np.arange(W)[:, None] <= final)),
        skip=move(np.concatenate([skips[:W], skips[:1:-1]], axis=1).astype(dtype)),
        start=move(_starts(W, np.concatenate([np.zeros_like(final), W - 1 - final])).astype(dtype)),
        mirror=move(np.where(t < frames, frames - 1 - t, t)),
        frames=move(frames),
        final=move(final),
        names=move(names),
        named=move((labels[:, :, None] == names[:, None, :]).astype(dtype)),
        sequences=move(np.arange(B)),
        divisors=move(np.maximum(counts, 1).astype(dtype)),
        blank=blank,
    )


def _skips(states: Whole) -> npt.NDArray[np.float64]:
    """(W + 2, B): 0 at every label that differs from the one before it, else −inf.

    The first label may be reached from before the start, and the state behind the last label from that label: this is
    where a path begins in the lattice read from its end.
    """
    W, B = states.shape
    skip = np.full((W + 2, B), -np.inf)
    skip[1] = skip[W] = 0
    skip[3:W:2] = np.where(states[3::2] != states[1:-2:2], 0, -np.inf)
    return skip


def _starts(W: int, first: Whole) -> npt.NDArray[np.float64]:
    """(W + 2, B): 0 one state before each sequence's first, which from there is a step away, its label a skip."""
    start = np.full((W + 2, len(first)), -np.inf)
    start[first + 1, np.arange(len(first))] = 0
    return start


# The sum over paths


@mg.primitive
def ctc_negative_log_likelihood(xp: Any, log_probs: Array, lattice: Lattice, zero_infinity: bool) -> Any:
    """−log of the probability of all paths through each lattice: log_probs (T, B, C) to (B,).

    Its rule needs the probability of visiting each state, which the same pass computes. In a recorded backward pass
    (`create_graph`) the rule runs the recursion op by op instead, and the tape differentiates that.
    """
    log_p, visits = ctc_posterior(xp, log_probs, lattice)
    impossible = log_p == -math.inf

    def rule(xp: Any, g: Any, log_probs: Any) -> Any:
        if isinstance(g, Tensor):
            x = mg.reshape(log_probs, log_probs.shape)  # a fresh node: the inner backward pass ends there
            grad = mg.gradients(mg.sum(_op_by_op(x, lattice)), [x], create_graph=True)[0]
            return grad * mg.expand_dims(_per_path(mg, mg.sum(grad, axis=2), -g), 2)
        return _per_class(xp, visits, -g, lattice, log_probs)

    loss = xp.where(impossible, xp.zeros_like(log_p), 0 - log_p) if zero_infinity else 0 - log_p
    return loss, (log_probs,), rule


def ctc_posterior(xp: Any, log_probs: Array, lattice: Lattice) -> tuple[Array, Array]:
    """log p (B,), and the probability of each state at each frame, given the target (T, W, B); 0 outside the lattice.

    The forward variable α(t, s) sums over all beginnings of paths that are in state s at frame t, the backward one
    β(t, s) over all endings (Graves et al. 2006, section 4.1). β is the α of the lattice read from its end, so one
    pass over a batch of 2B sequences makes both. β here is without the emission of t itself; the paper's has it too,
    and divides by it later.
    """
    B = len(lattice.sequences)
    emissions = _emissions(xp, log_probs, lattice)

    def mirrored(a: Array) -> Array:
        return xp.swapaxes(a, 1, 2)[lattice.mirror, lattice.sequences].swapaxes(1, 2)[:, ::-1]

    both = xp.concatenate([emissions, mirrored(emissions)], axis=2)
    alphas, betas, scales = sums_over_paths(xp, both, lattice.start, lattice.skip)
    ends = [alphas[lattice.frames, lattice.final + k, lattice.sequences] for k in (2, 1)]
    log_p = call_in(xp, mg.logsumexp, xp.stack(ends), axis=0) + scales[lattice.frames, lattice.sequences]
    visits = alphas[1:, 2:, :B] + mirrored(betas[:, :, B:])
    frame_scales = scales[1:, :B] + scales[:-1, B:][lattice.mirror, lattice.sequences]
    visits -= (_finite(xp, log_p) - frame_scales)[:, None]
    return log_p, xp.exp(visits, out=visits)


SCALED_EVERY = 32
"""Frames from one rescaling of the forward variables to the next: often enough that float32 keeps its digits."""


def sums_over_paths(xp: Any, emissions: Array, start: Array, skip: Array) -> tuple[Array, Array, Array]:
    """The log probability of all beginnings of paths, by the state they reach, with and without its emission.

    Over long inputs these numbers grow to thousands, and their rounding with them. Therefore the largest of a frame is
    taken out every few frames, and what was taken out is returned beside them.

    Args:
        emissions: (T, W, N), log probabilities of each state's class. start: (W + 2, N). skip: (W, N).

    Returns:
        With: (T + 1, W + 2, N), where [t + 1, s + 2] is state s at frame t; row 0 is `start`, and steps and skips into
        the first states come from the two rows of −inf in front. Without: (T, W, N). Scales: (T + 1, N), to be added to
        the first result; row t also belongs to frame t of the second.
    """
    T, W, N = emissions.shape
    reached = xp.full((T + 1, W + 2, N), -math.inf, dtype=emissions.dtype)
    reached[0] = start
    reached[1:, 2:] = emissions
    arrived = xp.empty_like(emissions)
    moves = xp.empty((3, W, N), dtype=emissions.dtype)
    stay, step, leap = moves
    most, shift = xp.empty_like(stay), xp.empty_like(stay)
    lowest = float(np.finfo(emissions.dtype).min)
    taken_out = xp.zeros((T + 1, N), dtype=emissions.dtype)
    for t, (before, now, arriving) in enumerate(zip(reached, reached[1:, 2:], arrived), start=1):
        xp.add(before[:-2], skip, out=leap)
        xp.maximum(before[2:], before[1:-1], out=most)
        xp.maximum(most, leap, out=most)
        xp.maximum(most, lowest, out=shift)  # finite, so that −inf − shift is −inf and not NaN
        xp.subtract(before[2:], shift, out=stay)
        xp.subtract(before[1:-1], shift, out=step)
        xp.subtract(leap, shift, out=leap)
        xp.exp(moves, out=moves)
        stay += step
        stay += leap
        xp.maximum(stay, 1, out=stay)  # the largest alone gives 1
        xp.log(stay, out=stay)
        xp.add(stay, most, out=arriving)
        now += arriving
        if t % SCALED_EVERY == 0:
            taken_out[t] = _finite(xp, xp.max(now, axis=0))
            now -= taken_out[t]
    return reached, arrived, xp.cumsum(taken_out, axis=0)


def _finite(xp: Any, log_p: Array) -> Array:
    """Logarithms of probabilities, with 0 in place of −inf, so that −inf minus the result is −inf and not NaN."""
    return xp.where(log_p == -math.inf, xp.zeros_like(log_p), log_p)


def _per_class(xp: Any, visits: Array, factor: Array, lattice: Lattice, like: Array) -> Array:
    """The visits (T, W, B) times `factor` (B,), added up over the states of each class: (T, B, C).

    A product adds up the visits of a
    repeated label, so that each element is written once and the order of the sum is the same on every run, unlike with
    scattered additions.
    """
    result = xp.zeros(like.shape, dtype=like.dtype)
    of_blank = xp.sum(visits[:, ::2], axis=1)
    of_labels = xp.swapaxes(xp.matmul(visits[:, 1::2].transpose(2, 0, 1), lattice.named), 0, 1)
    of_all = of_blank + xp.sum(of_labels, axis=2)
    factor = _per_path(xp, of_all, factor)
    result[:, lattice.sequences[:, None], lattice.names] = of_labels * factor[:, :, None]
    # Last, since `names` is padded with the blank.
    result[:, :, lattice.blank] = of_blank * factor
    return result


def _per_path(xp: Any, visits: Any, factor: Any) -> Any:
    """`factor` (B,) divided by the visits of all states (T, B); 0 visits count as 1.

    A path is in exactly one state at each frame, so the sum of all visits is 1 but for rounding. Over long inputs that
    rounding, which all visits of a frame share, is the largest error of the gradient. The sum is 0 beyond a sequence's
    end, and everywhere if no path leads through the lattice.
    """
    return factor / xp.where(visits == 0, xp.ones_like(visits), visits)


def _emissions(xp: Any, log_probs: Any, lattice: Lattice) -> Any:
    """The log probability of every state's class at every frame (T, W, B); −inf outside the lattice."""
    return xp.where(lattice.inside, log_probs[:, lattice.sequences, lattice.states], -math.inf)


def _op_by_op(log_probs: Tensor, lattice: Lattice) -> Tensor:
    """The same loss from operations that the tape records one by one."""
    xp = backend_of(log_probs._array).xp
    T, B, _ = log_probs.shape
    emissions = _emissions(mg, log_probs, lattice)
    nowhere = Tensor(xp.full((2, B), -math.inf, dtype=log_probs.dtype))
    alpha, skip = Tensor(lattice.start[:, :B]), lattice.skip[:, :B]
    taken_out = xp.zeros(B, dtype=log_probs.dtype)
    for t in range(T):
        moved = mg.logsumexp(mg.stack([alpha[2:], alpha[1:-1], alpha[:-2] + skip]), axis=0)
        new = mg.concatenate([nowhere, emissions[t] + moved])
        alpha = mg.where(t < lattice.frames, new, alpha)
        if t % SCALED_EVERY == 0:  # as in `sums_over_paths`; a constant that is added again at the end
            largest = _finite(xp, xp.max(alpha._array, axis=0))
            alpha, taken_out = alpha - largest, taken_out + largest
    ends = mg.stack([alpha[lattice.final + k, lattice.sequences] for k in (2, 1)])
    loss: Tensor = -(mg.logsumexp(ends, axis=0) + taken_out)
    return loss
