"""`Vocabulary` gives each character a number, and turns a text into numbers and back."""

from collections import Counter

import numpy as np
import numpy.typing as npt

from minigrad.validation import check_text

from .tokens import as_token_ids, frequent_tokens


class Vocabulary:
    """Characters of any alphabet <-> integers from 0 to `len(vocabulary) - 1`.

    `characters` has each character once; its index is its id. `unknown` is the one that stands for every character
    outside the vocabulary, or None.

    Raises:
        ValueError: no characters, a repeated one, a lone surrogate (not valid in UTF-8), unknown not among them.

    >>> vocabulary = Vocabulary.from_text("banana", unknown=None)
    >>> vocabulary.characters, vocabulary.encode("nab").tolist()
    ('abn', [2, 0, 1])
    >>> Vocabulary(**vocabulary.state_dict()).decode([2, 0, 1])
    'nab'
    """

    def __init__(self, characters: str, unknown: str | None = None) -> None:
        check_text("Vocabulary", characters=characters)
        codes = _code_points(characters, "strict")
        distinct = len(set(characters))
        if not distinct == len(characters) >= 1:
            raise ValueError(f"Vocabulary: characters: got {codes.size}, {distinct} distinct, want each of them once")
        if unknown is not None:
            check_text("Vocabulary", unknown=unknown)
        if unknown is not None and (len(unknown) != 1 or unknown not in characters):
            raise ValueError(f"Vocabulary: unknown: got {unknown!r}, want one of the characters or None")
        self.characters, self.unknown, self._codes = characters, unknown, codes
        # From code point to id; the last entry serves every code point beyond the largest one in the vocabulary.
        missing = -1 if unknown is None else characters.index(unknown)
        self._table = np.full(int(codes.max()) + 2, missing, dtype=np.int32)
        self._table[codes] = np.arange(codes.size, dtype=np.int32)

    @classmethod
    def from_text(cls, text: str, *, max_size: int | None = None, unknown: str | None = "\ufffd") -> "Vocabulary":
        """Return the characters of a text and the symbol `unknown` (None: no symbol), sorted by code point.

        If these are more than `max_size`, the rarest are left out (of equally frequent ones those with the larger code
        point), and `unknown` stands for them too.

        Raises:
            ValueError: empty text; `max_size` below 2 or no unknown symbol when characters must be left out.
        """
        check_text("Vocabulary.from_text", text=text)
        if unknown is not None:
            check_text("Vocabulary.from_text", unknown=unknown)
            if len(unknown) != 1:
                raise ValueError(f"Vocabulary.from_text: unknown: got {unknown!r}, want one character or None")
        if not text:
            raise ValueError("Vocabulary.from_text: text: got an empty text, want at least one character")
        characters = frequent_tokens("Vocabulary.from_text", "characters", Counter(text), max_size, unknown)
        return cls("".join(sorted(characters)), unknown)

    def __len__(self) -> int:
        return len(self.characters)

    def encode(self, text: str) -> npt.NDArray[np.int32]:
        """Return the ids of a text, int32 of shape (len(text),).

        Raises:
            ValueError: a character outside the vocabulary, if there is no unknown symbol.
        """
        check_text("Vocabulary.encode", text=text)
        ids = self._table[np.minimum(_code_points(text), self._table.size - 1)]
        if ids.size and ids.min() < 0:
            position = int(np.argmax(ids < 0))
            got = f"{text[position]!r} (U+{ord(text[position]):04X}) at position {position}"
            want = "characters of the vocabulary: no unknown symbol"
            raise ValueError(f"Vocabulary.encode: text: got {got}, want {want}")
        return ids

    def decode(self, ids: npt.ArrayLike) -> str:
        """Return the text of `ids` (integers, any shape, read in C order): the exact inverse of `encode`.

        Raises:
            TypeError: ids that are not integers. ValueError: an id outside the vocabulary.
        """
        array = as_token_ids("Vocabulary.decode", ids, len(self))
        return self._codes[array].tobytes().decode("utf-32-le")

    def state_dict(self) -> dict[str, str | None]:
        """Return plain strings for JSON; `Vocabulary(**state)` is the same vocabulary."""
        return {"characters": self.characters, "unknown": self.unknown}


def _code_points(text: str, errors: str = "surrogatepass") -> npt.NDArray[np.uint32]:
    # UTF-32 is the array of code points. Lone surrogates pass and are looked up like any other character.
    return np.frombuffer(text.encode("utf-32-le", errors), dtype="<u4")
