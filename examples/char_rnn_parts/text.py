"""`Text` is what a character model is trained and measured on."""

from __future__ import annotations

import hashlib
from typing import Any

from minigrad_rnn.text.corpus import Corpus, read_corpus, split
from minigrad_rnn.text.vocabulary import Vocabulary

from .settings import Settings

LARGEST_VOCABULARY = 10_000
"""Characters that the model tells apart unless `--vocabulary-size` says otherwise; the logits grow with them."""


class Text:
    """The training text and the held-out text of `--text` or `--data`.

    Raises:
        OSError, ValueError: the text cannot be read or downloaded, or is too short to hold out a part of it.
    """

    def __init__(self, settings: Settings) -> None:
        corpus = read_corpus(settings.text) if settings.data in (None, "code") else _downloaded(settings.data)
        self.description = corpus.description
        self.train, self.held_out = split(corpus, settings.held_out)
        both = f"{len(self.train)}\n{self.train}{self.held_out}"
        self.fingerprint = hashlib.sha256(both.encode(errors="surrogatepass")).hexdigest()

    def vocabulary(self, settings: Settings) -> Any:
        """Return what the training text is made of."""
        return Vocabulary.from_text(self.train, max_size=settings.vocabulary_size or LARGEST_VOCABULARY)


def vocabulary_of(state: dict[str, Any]) -> Any:
    """Return the vocabulary of a checkpoint."""
    return Vocabulary(**state)


def prime_ids(settings: Settings, vocabulary: Any) -> tuple[str, Any]:
    """Return the text that samples begin with, and its ids. Raises ValueError for unknown characters."""
    known = vocabulary.characters
    prime = settings.prime or ("\n" if "\n" in known else known[0])
    if unknown := sorted(set(prime) - set(known)):
        raise ValueError(f"--prime: got {', '.join(map(repr, unknown))}, want characters that the training text has")
    return prime, vocabulary.encode(prime)


def _downloaded(name: str) -> Corpus:
    from datasets import CORPORA

    corpus: Corpus = CORPORA[name]()
    return corpus
