"""Decode CTC log probabilities to labellings, on the host: the best path, and a search over prefixes."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from minigrad.validation import check_function, check_integer, check_number

from .loss import check_integer_type, check_lengths, check_log_probs

Floats = npt.NDArray[np.float64]
Prefix = tuple[int, ...]
LanguageModel = Callable[[Prefix, int], float]


class Labelling(NamedTuple):
    """A sequence of labels and its score."""

    labels: Prefix
    log_prob: float
    """Under the CTC: of the one path for `best_path`, of all paths that `prefix_beam_search` followed."""
    score: float
    """The rank: `log_prob`, plus the weighted score of the language model if there is one."""


def best_path(log_probs: Any, input_lengths: Any = None, blank: int = 0) -> Any:
    """Return the `Labelling` of the most probable path: each frame's most probable class, collapsed.

    The most probable labelling may be another one, whose probability many paths share; `prefix_beam_search` searches
    for it. Of equally probable classes the first is taken. For a batch the result is a list of B.

    Args:
        log_probs: (T, B, C), or (T, C) for one sequence: a Tensor or an array on any backend; −inf is allowed.
        input_lengths: (B,) integers on the host from 0 to T, or one for one sequence; None for T everywhere.
        blank: the class that stands for no label.

    Raises:
        ValueError: a shape that does not fit, a length or blank out of range, NaN or +inf within the length.
        TypeError: log_probs is not floating point, or the lengths are not integers on the host.
    """
    frames, single, blank = frames_on_the_host("best_path", log_probs, input_lengths, blank)
    labellings = []
    for rows in frames:
        path = rows.argmax(axis=1)
        collapsed = path[np.diff(path, prepend=-1) != 0]
        log_prob = float(rows.max(axis=1).sum())
        labellings.append(Labelling(tuple(collapsed[collapsed != blank].tolist()), log_prob, log_prob))
    return labellings[0] if single else labellings


def prefix_beam_search(
    log_probs: Any,
    input_lengths: Any = None,
    beam_width: int = 16,
    blank: int = 0,
    language_model: LanguageModel | None = None,
    weight: float = 1.0,
) -> Any:
    """Return for each sequence a list of the best `Labelling`s that a search over prefixes finds, the best first.

    After Graves et al. 2006, section 3.2, and Hannun et al. 2014. Frame by frame it keeps the `beam_width` best
    prefixes, each with the log probability of all paths so far that collapse to it, one for those that end in a blank
    and one for the others. With a beam that holds all prefixes it finds every labelling with its exact probability.
    The language model takes part in ranking and pruning; it scores every prefix in the beam with every label, but not
    the end of a labelling. A list is shorter than beam_width, or empty, if fewer labellings have a probability above
    zero. For one sequence without a batch axis the result is its list.

    Args:
        log_probs, input_lengths, blank: as for `best_path`.
        beam_width: prefixes to keep, at least 1.
        language_model: `language_model(prefix, label)`, the log score of going on with that label after the prefix, a
            tuple of labels; −inf forbids it.
        weight: the factor of the language model's scores, at least 0. With 0 the model is not called.

    Raises:
        ValueError: as `best_path`; a beam_width below 1, a weight that is negative or not finite, a language model's
            score of NaN or +inf.
        TypeError: as `best_path`; a beam_width that is not an integer, a language model that cannot be called.
    """
    name = "prefix_beam_search"
    check_integer_type(name, "beam_width", beam_width)
    check_integer(name, beam_width=beam_width)
    if language_model is not None:
        check_function(name, language_model=language_model)
    check_number(name, 0, weight=weight)
    frames, single, blank = frames_on_the_host(name, log_probs, input_lengths, blank)
    model = language_model if weight > 0 else None
    labellings = [_search(rows, int(beam_width), blank, model, float(weight)) for rows in frames]
    return labellings[0] if single else labellings


def _search(
    rows: Floats, beam_width: int, blank: int, language_model: LanguageModel | None, weight: float
) -> list[Labelling]:
    """Search one sequence. rows (T, C).

    `blanks` and `others` hold for every prefix in the beam the log probability of its paths that end in a blank, and of
    those that do not; `extra` its weighted language model score.
    """
    C = rows.shape[1]
    prefixes: list[Prefix] = [()]
    blanks, others, extra = np.zeros(1), np.full(1, -np.inf), np.zeros(1)
    scores: dict[Prefix, Floats] = {}
    for row in rows:
        K = len(prefixes)
        both = np.logaddexp(blanks, others)
        last = np.array([prefix[-1] if prefix else blank for prefix in prefixes], np.int64)
        # A prefix stays as it is with a blank, or with its last label again. (`others` is −inf for the empty one.)
        stay_blanks, stay_others = both + row[blank], others + row[last]
        grown = both[:, None] + row
        # The last label once more counts as a new label only after a blank.
        grown[np.arange(K), last] = blanks + row[last]
        grown[:, blank] = -np.inf
        # A grown prefix that is in the beam already: its probability goes there.
        positions = {prefix: k for k, prefix in enumerate(prefixes)}
        for prefix, k in positions.items():
            parent = positions.get(prefix[:-1]) if prefix else None
            if parent is not None:
                stay_others[k] = np.logaddexp(stay_others[k], grown[parent, prefix[-1]])
                grown[parent, prefix[-1]] = -np.inf
        steps = np.zeros((K, C))
        if language_model is not None:
            scores = {prefix: _scores_after(language_model, prefix, C, blank, scores, weight) for prefix in prefixes}
            steps = np.array([scores[prefix] for prefix in prefixes]).reshape(K, C)
        stay_ranks, grown_ranks = np.logaddexp(stay_blanks, stay_others) + extra, grown + extra[:, None] + steps
        # The first K ranks are those of prefixes that stay, the others of prefix and label in turn.
        ranks = np.concatenate([stay_ranks, grown_ranks.ravel()])
        best = np.argsort(-ranks, kind="stable")[:beam_width]
        best = best[ranks[best] > -np.inf]
        source, label = np.divmod(best - K, C)
        stays = best < K
        source = np.where(stays, best, source)
        prefixes = [prefixes[k] if s else (*prefixes[k], int(c)) for k, c, s in zip(source, label, stays)]
        blanks = np.where(stays, stay_blanks[source], -np.inf)
        others = np.where(stays, stay_others[source], grown[source, label])
        extra = extra[source] + np.where(stays, 0.0, steps[source, label])
    log_p = np.logaddexp(blanks, others)
    return [Labelling(prefix, float(p), float(p + e)) for prefix, p, e in zip(prefixes, log_p, extra)]


def _scores_after(
    language_model: LanguageModel, prefix: Prefix, C: int, blank: int, known: dict[Prefix, Floats], weight: float
) -> Floats:
    """The weighted scores of every label after a prefix (C,), computed once while the prefix stays in the beam."""
    if prefix in known:
        return known[prefix]
    scores = np.array([float(language_model(prefix, c)) if c != blank else 0.0 for c in range(C)])
    if not np.all(scores < math.inf):  # False for NaN, too
        c = int(np.argmin(scores < math.inf))
        got = f"{scores[c]} for label {c} after {prefix}"
        raise ValueError(f"prefix_beam_search: language_model: got {got}, want a number below inf")
    return scores * weight


def frames_on_the_host(name: str, log_probs: Any, input_lengths: Any, blank: Any) -> tuple[Sequence[Floats], bool, int]:
    """Return each sequence's rows (length, C) in float64 on the host; whether there was no batch axis; the blank."""
    log_probs, single, blank = check_log_probs(name, log_probs, blank)
    host = log_probs.numpy().astype(np.float64)
    T, B, _ = host.shape
    counts = np.full(B, T) if input_lengths is None else check_lengths(name, "input_lengths", input_lengths, B, T, "T")
    frames = [host[:n, b] for b, n in enumerate(counts)]
    for b, rows in enumerate(frames):
        if not np.all(rows < np.inf):  # False for NaN, too
            raise ValueError(f"{name}: log_probs: got NaN or inf at batch entry {b}, want numbers below inf")
    return frames, single, blank
