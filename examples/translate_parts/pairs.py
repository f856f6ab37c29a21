"""`groups_of` says which pairs a split must not part; `batch_of` makes arrays of pairs, `references_of` tests."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from minigrad_rnn.data import pad_sequence

Pair = tuple[str, str]
Array = np.ndarray[Any, Any]


def normalised(text: str) -> str:
    """Return the words without capitals, punctuation, space, and the s of a plural: what near-duplicates share."""
    words = re.findall(r"\w+", text.casefold())
    return " ".join(word[:-1] if len(word) > 3 and word.endswith("s") else word for word in words)


def groups_of(pairs: Sequence[Pair]) -> list[int]:
    """Return a label for each pair: equal if two share a side up to `normalised`, or are linked by others that do.

    A split that keeps groups together holds out nothing whose English or French, or nearly so, was trained on.
    """
    label = list(range(len(pairs)))

    def root(k: int) -> int:
        while label[k] != k:
            label[k] = label[label[k]]
            k = label[k]
        return k

    first: dict[tuple[int, str], int] = {}
    for k, pair in enumerate(pairs):
        for side, text in enumerate(pair):
            label[root(k)] = root(first.setdefault((side, normalised(text)), k))
    return [root(k) for k in range(len(pairs))]


def references_of(pairs: Sequence[Pair]) -> dict[str, list[str]]:
    """Return every source once, with all translations that the data has."""
    references: defaultdict[str, list[str]] = defaultdict(list)
    for source, target in pairs:
        references[source].append(target)
    return dict(references)


class Batch(NamedTuple):
    """Pairs as ids, time first, padded with 0: (S, B) and (T, B), and how much of each counts, (B,)."""

    source: Array
    source_lengths: Array
    fed: Array
    """The token that begins and ends, then the target."""
    target: Array
    """The target, then the token that begins and ends."""
    target_lengths: Array


def batch_of(examples: Sequence[tuple[Array, Array]], end: int) -> Batch:
    """Return a batch of encoded pairs; `end` is the token that begins and ends a target."""
    fed, _ = pad_sequence([np.concatenate([[end], target]) for _, target in examples], return_lengths=True)
    sources = pad_sequence([source for source, _ in examples], return_lengths=True)
    targets = pad_sequence([np.concatenate([target, [end]]) for _, target in examples], return_lengths=True)
    return Batch(*sources, fed, *targets)
