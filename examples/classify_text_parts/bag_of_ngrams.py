"""`NgramFeatures` turns a text into the n-grams that it has; `BagOfNgrams` is logistic regression on them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

import minigrad as mg
from minigrad import nn

Ints = npt.NDArray[np.int64]


def ngrams(units: Sequence[str], longest: int) -> set[tuple[str, ...]]:
    """Return the different runs of 1 to `longest` units."""
    return {tuple(units[k : k + n]) for n in range(1, longest + 1) for k in range(len(units) - n + 1)}


class NgramFeatures:
    """The n-grams that come in at least two of the training texts, the most frequent `size` of them.

    Args:
        texts: the training texts.
        units: what cuts a text into characters or words.
        longest: units in the longest n-gram.
        size: the most n-grams.
    """

    def __init__(self, texts: Sequence[str], units: Callable[[str], list[str]], longest: int, size: int) -> None:
        counts = Counter(ngram for text in texts for ngram in ngrams(units(text), longest))
        frequent = [ngram for ngram, count in counts.most_common(size) if count > 1]
        self.ids = {ngram: k for k, ngram in enumerate(frequent)}
        self.units, self.longest = units, longest

    def __len__(self) -> int:
        return len(self.ids)

    def encode(self, text: str) -> Ints:
        """Return the ids of the n-grams that a text has, each once; at least one, `len(self)` standing for none."""
        known = [self.ids[ngram] for ngram in ngrams(self.units(text), self.longest) if ngram in self.ids]
        return np.array(sorted(known) or [len(self)], dtype=np.int64)


class BagOfNgrams(nn.Module):
    """Logistic regression (softmax, for more classes) on which n-grams there are.

    A text of n n-grams has 1/√n for each of them, so that its vector has length 1. The logits are a sum of rows of one
    matrix: an embedding as wide as there are classes.
    """

    def __init__(self, size: int, classes: int) -> None:
        super().__init__()
        self.weights = nn.Embedding(size + 1, classes, padding_idx=size, rng=0)
        # From zero: the loss has one minimum, so nothing hangs on where it starts.
        self.weights.load_state_dict({"weight": np.zeros((size + 1, classes), dtype=np.float32)})
        self.bias = mg.Parameter(np.zeros(classes, dtype=np.float32))

    def forward(self, ids: Any, lengths: Any) -> mg.Tensor:
        total = mg.sum(self.weights(ids), axis=0)
        scale = mg.tensor(lengths[:, None] ** -0.5, dtype="float32", backend=total.backend)
        return total * scale + self.bias
