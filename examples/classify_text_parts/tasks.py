"""`TASKS` are the two tasks of `classify_text.py`: whose language a name is from, and whether a review is positive."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from datasets import LANGUAGES, movie_reviews, names_by_language

from minigrad_rnn.text import Vocabulary, WordVocabulary, tokenize


class Texts(NamedTuple):
    """Texts to classify."""

    texts: list[str]
    labels: list[int]
    classes: tuple[str, ...]
    groups: list[str]
    """Where each text is from, if results are told apart by that."""


class Task(NamedTuple):
    """What is read, in which units, and how large a model is trained how long."""

    load: Callable[[], Texts]
    vocabulary: Any
    vocabulary_size: int
    units: Callable[[str], list[str]]
    """What the baseline counts."""
    longest_ngram: int
    ngrams: int
    """The most n-grams that the baseline knows."""
    epochs: int
    defaults: dict[str, Any]
    """Of the flags that describe the net."""


def names() -> Texts:
    """Return the names of countries, languages, scripts and currencies in sixteen languages."""
    rows = names_by_language()
    classes = tuple(LANGUAGES)
    return Texts([name for name, _ in rows], [classes.index(label) for _, label in rows], classes, [""] * len(rows))


def reviews() -> Texts:
    """Return reviews in lower case, as half of them are written."""
    rows = movie_reviews()
    texts = [review.text.lower() for review in rows]
    return Texts(texts, [int(row.positive) for row in rows], ("negative", "positive"), [row.source for row in rows])


TASKS = {
    "names": Task(
        names, Vocabulary, 400, lambda text: ["<", *text, ">"], 4, 40_000, 12,
        {"cell": "gru", "embedding_size": 32, "hidden_size": 128, "dropout": 0.3, "longest": 80, "batch_size": 64},
    ),
    "reviews": Task(
        reviews, WordVocabulary, 20_000, lambda text: [token.strip() for token in tokenize(text)], 2, 60_000, 10,
        {"cell": "lstm", "embedding_size": 64, "hidden_size": 64, "dropout": 0.5, "longest": 200, "batch_size": 64},
    ),
}  # fmt: skip
