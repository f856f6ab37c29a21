"""`forced_align` finds when each label of a known target was said: the most probable path that collapses to it."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from minigrad.validation import as_array

from .decoding import frames_on_the_host
from .loss import labels_of

Floats = npt.NDArray[np.float64]
Whole = npt.NDArray[np.int64]


class Alignment(NamedTuple):
    """The most probable path of one target."""

    path: tuple[int, ...]
    """The class of each frame."""
    spans: tuple[tuple[int, int], ...]
    """For each label its frames, from the first to the one after the last: `path[start:stop]` is that label alone."""
    log_prob: float
    """Of this path; the target's, `-ctc_loss`, is that of all its paths."""


def forced_align(
    log_probs: Any, targets: Any, input_lengths: Any = None, target_lengths: Any = None, blank: int = 0
) -> Any:
    """Return the `Alignment` of each target with its sequence, after Viterbi; for a batch a list of B.

    With `best_path` a net says what it hears, here it is told, and says when. (torchaudio's `forced_align` returns the
    path of one sequence.) It is computed on the host in float64 and has no gradient. Where all paths of the target
    are of interest, the gradient of `ctc_loss` with respect to `log_probs` is minus the probability of each class at
    each frame.

    >>> import numpy as np
    >>> log_probs = np.log([[0.8, 0.1, 0.1], [0.1, 0.8, 0.1], [0.1, 0.7, 0.2], [0.7, 0.2, 0.1], [0.1, 0.2, 0.7]])
    >>> alignment = forced_align(log_probs, [1, 2])
    >>> alignment.path, alignment.spans
    ((0, 1, 1, 0, 2), ((1, 3), (4, 5)))

    Args:
        log_probs: (T, B, C), or (T, C) for one sequence: a Tensor or an array on any backend; −inf is allowed.
        targets: integers on the host, (B, S) with any padding, (sum of target_lengths,) one after the other, or (S,)
            for one sequence.
        input_lengths: (B,) integers on the host from 0 to T, or one for one sequence; None for T everywhere.
        target_lengths: (B,) integers on the host from 0 to S, or one for one sequence; None for S everywhere.
        blank: the class that stands for no label.

    Raises:
        ValueError: a shape that does not fit, a length or blank out of range, NaN or +inf within the length; a label
            that is the blank or no class; a target that no path with a probability above zero collapses to, such as one
            with more labels than frames.
        TypeError: log_probs is not floating point; targets or lengths are not integers on the host.
    """
    name = "forced_align"
    frames, single, blank = frames_on_the_host(name, log_probs, input_lengths, blank)
    if target_lengths is None:
        shape = as_array(targets, name, "targets").shape
        target_lengths = [shape[-1] if shape else 0] * len(frames)
    labels, counts = labels_of(name, targets, target_lengths, len(frames), log_probs.shape[-1], blank)
    alignments = []
    for b, (rows, target, count) in enumerate(zip(frames, labels, counts)):
        alignment = _viterbi(rows, target[:count], blank)
        if alignment is None:
            repeats = int(np.sum(target[1:count] == target[: max(0, count - 1)]))
            raise ValueError(
                f"{name}: targets: got {count} labels at batch entry {b} that no path of {len(rows)} frames with a "
                f"probability above 0 collapses to (it takes at least {count + repeats} frames)"
            )
        alignments.append(alignment)
    return alignments[0] if single else alignments


def _viterbi(rows: Floats, target: Whole, blank: int) -> Alignment | None:
    """The best path of one sequence, rows (T, C), through blank, label, blank, …, blank; None if there is none."""
    T, S = len(rows), len(target)
    states = np.full(2 * S + 1, blank, np.int64)
    states[1::2] = target
    # A step of two skips a blank, and is allowed between labels that differ.
    skip = np.full(2 * S + 1, -np.inf)
    skip[3::2][target[1:] != target[:-1]] = 0.0
    score = np.full(2 * S + 1, -np.inf)
    score[:2] = rows[0, states[:2]] if T else (0.0, -np.inf)[: 2 * S + 1]
    moves = np.zeros((T, 2 * S + 1), np.int64)
    for t in range(1, T):
        step = np.concatenate([[-np.inf], score[:-1]])
        leap = np.concatenate([[-np.inf], step[:-1]]) + skip
        ways = np.stack([score, step, leap])
        moves[t] = ways.argmax(axis=0)
        score = ways.max(axis=0) + rows[t, states]
    last = 2 * S if S == 0 or score[2 * S] >= score[2 * S - 1] else 2 * S - 1
    if score[last] == -np.inf:
        return None
    at = np.zeros(T, np.int64)
    at[-1:] = last
    for t in range(T - 1, 0, -1):
        at[t - 1] = at[t] - moves[t, at[t]]
    spans = tuple((int(np.searchsorted(at, 2 * s + 1)), int(np.searchsorted(at, 2 * s + 2))) for s in range(S))
    return Alignment(tuple(states[at].tolist()), spans, float(score[last]))
