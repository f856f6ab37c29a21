"""`Text` is what a character model is trained and measured on."""

from __future__ import annotations

import hashlib
from typing import Any

from minigrad_rnn.text import ByteVocabulary, Corpus, Vocabulary, WordVocabulary, read_corpus, split, tokenize

from .settings import Settings

KINDS: dict[str, Any] = {"characters": Vocabulary, "bytes": ByteVocabulary, "words": WordVocabulary}
TOKENS = ("characters", "values", "words")
"""The attributes of the three that have their tokens in the order of ids."""
LARGEST_VOCABULARY = 10_000
"""How many the model tells apart unless `--vocabulary-size` says otherwise; the logits grow with them."""


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
        """Return what the training text is made of: characters, bytes or words."""
        most = settings.vocabulary_size or LARGEST_VOCABULARY
        return KINDS[settings.vocabulary].from_text(self.train, max_size=most)


def prime_ids(settings: Settings, vocabulary: Any) -> tuple[str, Any]:
    """Return the text that samples begin with, and its ids. Raises ValueError for what the vocabulary has not."""

    def is_known(text: str) -> bool:
        return bool(vocabulary.decode(vocabulary.encode(text)) == text)

    prime = settings.prime or ("\n" if is_known("\n") else vocabulary.decode([0]))
    parts = tokenize(prime) if settings.vocabulary == "words" else sorted(set(prime))
    if unknown := [part for part in parts if not is_known(part)]:
        got = ", ".join(map(repr, unknown))
        raise ValueError(f"--prime: got {got}, want {settings.vocabulary} that the training text has")
    return prime, vocabulary.encode(prime)


def unknown_ids(vocabulary: Any) -> list[int]:
    """Return the id of what stands for everything unknown, if there is one: no sample shall have it."""
    if vocabulary.unknown is None or len(vocabulary) == 1:
        return []
    return [getattr(vocabulary, name).index(vocabulary.unknown) for name in TOKENS if hasattr(vocabulary, name)]


def _downloaded(name: str) -> Corpus:
    from datasets import CORPORA

    corpus: Corpus = CORPORA[name]()
    return corpus
