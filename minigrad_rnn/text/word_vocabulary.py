"""`WordVocabulary` gives each word a number; what stands between words is tokens too, so a text comes back exactly."""

import re
from collections import Counter
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from minigrad.validation import check_text, check_type, shown

from .tokens import as_token_ids, frequent_tokens

_TOKEN = re.compile(r" ?\w+| ?[^\w\s]|\s+")


def tokenize(text: str) -> list[str]:
    """Cut a text into words, each with the space before it; single signs, likewise; and other white space.

    Every character is in one token, so that the tokens, joined, are the text.

    >>> tokenize("To be, or  not!")
    ['To', ' be', ',', ' or', '  ', 'not', '!']
    """
    check_text("tokenize", text=text)
    return _TOKEN.findall(text)


class WordVocabulary:
    """Words <-> integers from 0 to `len(vocabulary) - 1`.

    A text is cut by `minigrad_rnn.text.tokenize`: a word is a run of letters, digits and underscores, and takes the
    space before it along; so does a sign of punctuation. The tokens, joined, are the text again, and where none is
    unknown `decode(encode(text))` is the text.

    Args:
        words: each token once, as `tokenize` cuts them; its index is its id.
        unknown: the one that stands for every token outside the vocabulary, or None.

    Raises:
        TypeError: words that are no list of texts.
        ValueError: no words, a repeated one, one that is no single token, a lone surrogate, unknown not among them.

    >>> vocabulary = WordVocabulary.from_text("to be or not to be", max_size=4)
    >>> vocabulary.words
    (' be', ' not', ' or', '\ufffd')
    >>> vocabulary.decode(vocabulary.encode("to be or what"))
    '\ufffd be or\ufffd'
    """

    def __init__(self, words: Sequence[str], unknown: str | None = None) -> None:
        check_type("WordVocabulary", (list, tuple), "a list of texts", words=words)
        check_text("WordVocabulary", **{f"words[{k}]": word for k, word in enumerate(words)})
        if not len(set(words)) == len(words) >= 1:
            got = f"{len(words)}, {len(set(words))} distinct"
            raise ValueError(f"WordVocabulary: words: got {got}, want each of them once")
        if unknown is not None:
            check_text("WordVocabulary", unknown=unknown)
            if unknown not in words:
                raise ValueError(f"WordVocabulary: unknown: got {unknown!r}, want one of the words or None")
        "".join(words).encode("utf-8")  # raises UnicodeEncodeError, a ValueError, for a lone surrogate
        if wrong := [word for word in words if word != unknown and not _TOKEN.fullmatch(word)]:
            raise ValueError(f"WordVocabulary: words: got {shown(wrong[0])}, want single tokens as tokenize cuts them")
        self.words, self.unknown = tuple(words), unknown
        self._ids = {word: k for k, word in enumerate(self.words)}

    @classmethod
    def from_text(cls, text: str, *, max_size: int | None = None, unknown: str | None = "\ufffd") -> "WordVocabulary":
        """Return the tokens of a text and the symbol `unknown` (None: no symbol), sorted.

        Args:
            text: where tokens are counted.
            max_size: the most tokens; the rarest are left out (of equally frequent ones those that sort last), and
                `unknown` stands for them too. None for all.
            unknown: a token that stands for all others, or None.

        Raises:
            ValueError: empty text; `max_size` below 2 or no unknown symbol when tokens must be left out.
        """
        check_text("WordVocabulary.from_text", text=text)
        if unknown is not None:
            check_text("WordVocabulary.from_text", unknown=unknown)
        if not text:
            raise ValueError("WordVocabulary.from_text: text: got an empty text, want at least one character")
        counts = Counter(_TOKEN.findall(text))
        return cls(sorted(frequent_tokens("WordVocabulary.from_text", "words", counts, max_size, unknown)), unknown)

    def __len__(self) -> int:
        return len(self.words)

    def encode(self, text: str) -> npt.NDArray[np.int32]:
        """Return the ids of a text's tokens, int32 of shape (number of tokens,).

        Raises:
            ValueError: a token outside the vocabulary, if there is no unknown symbol.
        """
        check_text("WordVocabulary.encode", text=text)
        tokens = _TOKEN.findall(text)
        missing = -1 if self.unknown is None else self._ids[self.unknown]
        ids = np.fromiter((self._ids.get(token, missing) for token in tokens), dtype=np.int32, count=len(tokens))
        if ids.size and ids.min() < 0:
            position = int(np.argmax(ids < 0))
            got = f"{tokens[position]!r}, token {position}"
            raise ValueError(f"WordVocabulary.encode: text: got {got}, want words of the vocabulary: no unknown symbol")
        return ids

    def decode(self, ids: npt.ArrayLike) -> str:
        """Return the text of `ids` (integers, any shape, read in C order): the inverse of `encode`.

        Raises:
            TypeError: ids that are not integers. ValueError: an id outside the vocabulary.
        """
        return "".join(self.words[k] for k in as_token_ids("WordVocabulary.decode", ids, len(self)).ravel().tolist())

    def state_dict(self) -> dict[str, list[str] | str | None]:
        """Return plain texts for JSON; `WordVocabulary(**state)` is the same vocabulary."""
        return {"words": list(self.words), "unknown": self.unknown}
