"""From a net's CTC log probabilities to labellings, on the host: the best path, and a search over prefixes."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from ..validation import as_tensor
from .loss import check_lengths, check_log_probs

Floats = npt.NDArray[np.float64]
Prefix = tuple[int, ...]
LanguageModel = Callable[[Prefix, int], float]


class Labelling(NamedTuple):
    """A sequence of labels, and how good it is."""

    labels: Prefix
    log_prob: float
    """Under the CTC: of the one path for `best_path`, of all paths that were followed for `prefix_beam_search`."""
    score: float
    """What it was ranked by: `log_prob`, plus the weighed language model's score where there is one."""


def best_path(log_probs: Any, input_lengths: Any = None, blank: int = 0) -> Any:
    """The labelling of the most probable path: each frame's most probable class, collapsed.

    The most probable labelling may be another one, whose probability many paths share; `prefix_beam_search` looks for
    that. Of equally probable classes the first is taken.

    Args:
        log_probs: (T, B, C), or (T, C) for one sequence: a Tensor or an array, which is copied to the host if it is
            not there. May be −inf.
        input_lengths: (B,) integers on the host from 0 to T, or one for one sequence; None for T everywhere.
        blank: the class that stands for no label.

    Returns:
        A list of B `Labelling`s, or one for one sequence.

    Raises:
        ValueError: a shape that does not fit, a length or blank out of range, NaN or +inf within the length.
        TypeError: log_probs is not floating point, or the lengths are no integers on the host.
    """
    frames, single, blank = _frames("best_path", log_probs, input_lengths, blank)
    found = []
    for rows in frames:
        path = rows.argmax(axis=1)
        kept = path[np.diff(path, prepend=-1) != 0]
        log_prob = float(rows.max(axis=1).sum())
        found.append(Labelling(tuple(kept[kept != blank].tolist()), log_prob, log_prob))
    return found[0] if single else found


def prefix_beam_search(
    log_probs: Any,
    input_lengths: Any = None,
    beam_width: int = 16,
    blank: int = 0,
    language_model: LanguageModel | None = None,
    weight: float = 1.0,
) -> Any:
    """The best labellings that a search over prefixes finds, the best first.

    After Graves et al. 2006, section 3.2, and Hannun et al. 2014. Frame by frame it keeps the `beam_width` best
    prefixes, each with the log probability of all paths so far that collapse to it, one for those that end in a blank
    and one for the others. With a beam as wide as there are prefixes it finds every labelling with its exact
    probability. The language model ranks and prunes, too; it is asked about every prefix in the beam and every label,
    and not at a labelling's end.

    Args:
        log_probs, input_lengths, blank: as for `best_path`.
        beam_width: prefixes to keep, at least 1.
        language_model: `language_model(prefix, label)`, the log score of going on with that label after the prefix, a
            tuple of labels; −inf forbids it.
        weight: what the language model's scores are multiplied by, at least 0. At 0 it is not asked.

    Returns:
        For each of the B sequences a list of at most beam_width `Labelling`s, or one such list for one sequence.
        Shorter, or empty, where not so many have a probability above zero.

    Raises:
        ValueError: as `best_path`; a beam_width below 1, a weight that is negative or not finite, a language model's
            score of NaN or +inf.
        TypeError: as `best_path`; a beam_width that is no integer, a language model that cannot be called.
    """
    name = "prefix_beam_search"
    if isinstance(beam_width, bool) or not isinstance(beam_width, (int, np.integer)):
        raise TypeError(f"{name}: beam_width: got {type(beam_width).__name__}, want an integer")
    if beam_width < 1:
        raise ValueError(f"{name}: beam_width: got {beam_width}, want at least 1")
    if language_model is not None and not callable(language_model):
        raise TypeError(f"{name}: language_model: got {type(language_model).__name__}, want a callable")
    if not 0 <= weight < math.inf:
        raise ValueError(f"{name}: weight: got {weight!r}, want a finite number of at least 0")
    frames, single, blank = _frames(name, log_probs, input_lengths, blank)
    caller = language_model if weight > 0 else None
    found = [_search(rows, int(beam_width), blank, caller, float(weight)) for rows in frames]
    return found[0] if single else found


def _search(
    rows: Floats, beam_width: int, blank: int, language_model: LanguageModel | None, weight: float
) -> list[Labelling]:
    """rows (T, C). Of every prefix: the log probability of its paths that end in a blank, and of the others."""
    C = rows.shape[1]
    prefixes: list[Prefix] = [()]
    blanks, others, extra = np.zeros(1), np.full(1, -np.inf), np.zeros(1)
    scores: dict[Prefix, Floats] = {}
    for row in rows:
        K = len(prefixes)
        both = np.logaddexp(blanks, others)
        last = np.array([prefix[-1] if prefix else blank for prefix in prefixes], np.int64)
        # A prefix stays as it is with a blank, or with its last label again. (Nothing in `others` for the empty one.)
        stay_blanks, stay_others = both + row[blank], others + row[last]
        grown = both[:, None] + row
        # The last label once more is a new label only behind a blank.
        grown[np.arange(K), last] = blanks + row[last]
        grown[:, blank] = -np.inf
        place = {prefix: k for k, prefix in enumerate(prefixes)}
        for prefix, k in place.items():
            parent = place.get(prefix[:-1]) if prefix else None
            if parent is not None:
                stay_others[k] = np.logaddexp(stay_others[k], grown[parent, prefix[-1]])
                grown[parent, prefix[-1]] = -np.inf
        steps = np.zeros((K, C))
        if language_model is not None:
            scores = {prefix: _asked(language_model, prefix, C, blank, scores, weight) for prefix in prefixes}
            steps = np.array([scores[prefix] for prefix in prefixes]).reshape(K, C)
        ranks = np.concatenate(
            [np.logaddexp(stay_blanks, stay_others) + extra, (grown + extra[:, None] + steps).ravel()]
        )
        kept = np.argsort(-ranks, kind="stable")[:beam_width]
        kept = kept[ranks[kept] > -np.inf]
        source, label = np.divmod(kept - K, C)
        stays = kept < K
        source = np.where(stays, kept, source)
        prefixes = [prefixes[k] if s else (*prefixes[k], int(c)) for k, c, s in zip(source, label, stays)]
        blanks = np.where(stays, stay_blanks[source], -np.inf)
        others = np.where(stays, stay_others[source], grown[source, label])
        extra = extra[source] + np.where(stays, 0.0, steps[source, label])
    log_p = np.logaddexp(blanks, others)
    return [Labelling(prefix, float(p), float(p + e)) for prefix, p, e in zip(prefixes, log_p, extra)]


def _asked(
    language_model: LanguageModel, prefix: Prefix, C: int, blank: int, known: dict[Prefix, Floats], weight: float
) -> Floats:
    """The weighed scores of every label after a prefix (C,), asked for once while the prefix stays in the beam."""
    if prefix in known:
        return known[prefix]
    found = np.zeros(C)
    for label in range(C):
        if label != blank:
            score = float(language_model(prefix, label))
            if not score < math.inf:  # False for NaN, too
                raise ValueError(
                    f"prefix_beam_search: language_model: got {score} for label {label} after {prefix}, want a number "
                    "below inf"
                )
            found[label] = score * weight
    return found


def _frames(name: str, log_probs: Any, input_lengths: Any, blank: Any) -> tuple[Sequence[Floats], bool, int]:
    """Each sequence's rows (its length, C) in float64 on the host; whether there was no batch axis; the blank."""
    log_probs = as_tensor(name, "log_probs", log_probs)
    blank = check_log_probs(name, log_probs, blank)
    host = log_probs.numpy().astype(np.float64)
    single = host.ndim == 2
    host = host[:, None] if single else host
    T, B, _ = host.shape
    counts = np.full(B, T) if input_lengths is None else check_lengths(name, "input_lengths", input_lengths, B, T, "T")
    frames = [host[:n, b] for b, n in enumerate(counts)]
    for b, rows in enumerate(frames):
        if not np.all(rows < np.inf):  # False for NaN, too
            raise ValueError(f"{name}: log_probs: got NaN or inf at batch entry {b}, want numbers below inf")
    return frames, single, blank
