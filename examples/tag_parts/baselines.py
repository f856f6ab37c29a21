"""`window_baseline` tags a character with the class that was most frequent for it and its neighbours."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

Ints = npt.NDArray[np.int64]


def majority_baseline(train: Sequence[Ints], labels: Sequence[Ints], test: Sequence[Ints], classes: int) -> list[Ints]:
    """Return the most frequent class of all for every character of each test text."""
    most = int(np.argmax(np.bincount(np.concatenate(labels), minlength=classes)))
    return [np.full(len(text), most) for text in test]


def window_baseline(
    train: Sequence[Ints], labels: Sequence[Ints], test: Sequence[Ints], classes: int, *, before: int, after: int
) -> list[Ints]:
    """Return the class that each character of each test text most often had between the same neighbours.

    Where a window was never seen, the next smaller one decides, down to the character alone, and then the majority.

    Args:
        train, labels: the ids and the classes of the training texts' characters.
        test: the ids of the test texts' characters.
        classes: how many classes there are.
        before, after: how many neighbours are looked at.
    """
    results = majority_baseline(train, labels, test, classes)
    base = 1 + max(int(text.max(initial=0)) for text in (*train, *test)) + 1  # one more stands for the edge of a text
    targets = np.concatenate(labels)
    for width in range(max(before, after) + 1):
        window = min(before, width), min(after, width)
        keys = np.concatenate([_windows(text, base, *window) for text in train])
        # One number for window and class: their counts, and of each window the class with the largest.
        pairs, counts = np.unique(keys * classes + targets, return_counts=True)
        order = np.lexsort((counts, pairs // classes))
        last = np.flatnonzero(np.diff(pairs[order] // classes, append=-1))
        known, best = pairs[order][last] // classes, pairs[order][last] % classes
        for result, text in zip(results, test):
            wanted = _windows(text, base, *window)
            place = np.minimum(np.searchsorted(known, wanted), len(known) - 1)
            seen = known[place] == wanted
            result[seen] = best[place[seen]]
    return results


def _windows(text: Ints, base: int, before: int, after: int) -> Ints:
    """Return one number for each character and its neighbours."""
    padded = np.concatenate([np.full(before, base - 1), text, np.full(after, base - 1)]).astype(np.int64)
    key = np.zeros(len(text), dtype=np.int64)
    for k in range(before + after + 1):
        key = key * base + padded[k : k + len(text)]
    return key
