"""`copy`, `NearestNeighbour` and `Dictionary` translate without a net: what a model has to beat."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Sequence
from typing import Any

import numpy as np

from .lexicon import lexicon_of

Pairs = Sequence[tuple[str, str]]


def copy(source: str) -> str:
    """Return the English text as it is: names and many technical words are the same in both languages."""
    return source


class NearestNeighbour:
    """A translation memory: the French of the training pair whose English is most alike.

    Alike is the cosine of the counts of three neighbouring characters, weighted by how rare each of these is
    (tf-idf: Spärck Jones 1972).
    """

    def __init__(self, pairs: Pairs) -> None:
        self.targets = [target for _, target in pairs]
        counts = [_trigrams(source) for source, _ in pairs]
        frequency = Counter(gram for grams in counts for gram in grams)
        self.rarity = {gram: float(np.log(len(pairs) / n)) for gram, n in frequency.items()}
        entries: defaultdict[str, tuple[list[int], list[float]]] = defaultdict(lambda: ([], []))
        for k, grams in enumerate(counts):
            weights = {gram: n * self.rarity[gram] for gram, n in grams.items()}
            length = sum(w * w for w in weights.values()) ** 0.5 or 1.0
            for gram, weight in weights.items():
                entries[gram][0].append(k)
                entries[gram][1].append(weight / length)
        self.entries = {gram: (np.array(rows), np.array(weights)) for gram, (rows, weights) in entries.items()}

    def __call__(self, source: str) -> str:
        alike = np.zeros(len(self.targets))
        for gram, n in _trigrams(source).items():
            if gram in self.entries:
                rows, weights = self.entries[gram]
                alike[rows] += n * self.rarity[gram] * weights
        return self.targets[int(alike.argmax())]


def _trigrams(text: str) -> Counter[str]:
    padded = f"  {text.casefold()}  "
    return Counter(padded[k : k + 3] for k in range(len(padded) - 2))


class Dictionary:
    """Word for word, each by its most probable translation t(f | e), in the order of the English.

    The probabilities are those of IBM's Model 1, which needs no dictionary but learns it from the pairs (`lexicon_of`).
    A word that was never seen is copied; a sentence begins with a capital as the English one does.
    """

    def __init__(self, pairs: Pairs) -> None:
        words = [(_words(source), _words(target)) for source, target in pairs]
        ids = {word: k for k, word in enumerate(sorted({word for pair in words for side in pair for word in side}), 1)}
        examples = [tuple(np.array([ids[word] for word in side], np.int64) for side in pair) for pair in words]
        e, f, p = lexicon_of(examples, 1 + len(ids), nothing=0)
        rising = np.lexsort((f, p, e))
        best = dict(zip(e[rising].tolist(), f[rising].tolist()))  # of each e the last one, the most probable, stays
        word_of = {k: word for word, k in ids.items()}
        self.best = {word_of[e]: word_of[f] for e, f in best.items() if e}

    def __call__(self, source: str) -> str:
        text = " ".join(self.best.get(word, word) for word in _words(source))
        text = re.sub(r"(?<=['’]) | (?=[.,…)\]])|(?<=[(\[]) ", "", text)
        return text[:1].upper() + text[1:] if source[:1].isupper() else text


def _words(text: str) -> list[str]:
    """Words in small letters, with their apostrophe (l', d'), and each other character that is no space."""
    found: list[Any] = re.findall(r"\w+['’]|\w+|[^\w\s]", text.casefold())
    return found
