"""`ByteVocabulary` gives each byte of UTF-8 a number: with 256 tokens it reads every text there is."""

from collections import Counter
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from minigrad.option_checks import is_integer
from minigrad.validation import check_text, check_type, shown

from .tokens import as_token_ids, frequent_tokens


class ByteVocabulary:
    """Bytes of UTF-8 <-> integers from 0 to `len(vocabulary) - 1`.

    A character outside ASCII is two to four tokens. With all 256 values, which is the default, there is nothing that
    the vocabulary does not know.

    Args:
        values: each byte's value once, 0 to 255; its index is its id. None for all, in order: the id is the value.
        unknown: the value that stands for every byte outside the vocabulary, or None.

    Raises:
        TypeError: values that are no list of integers, or an unknown that is no integer.
        ValueError: no values, a repeated one, one out of range, or an unknown that is not among them.

    >>> vocabulary = ByteVocabulary()
    >>> vocabulary.encode("né").tolist(), len(vocabulary)
    ([110, 195, 169], 256)
    >>> ByteVocabulary(**vocabulary.state_dict()).decode([110, 195, 169])
    'né'
    """

    def __init__(self, values: Sequence[int] | None = None, unknown: int | None = None) -> None:
        if values is None:
            values = range(256)
        check_type("ByteVocabulary", (list, tuple, range, bytes), "a list of integers", values=values)
        if wrong := [value for value in values if not is_integer(value)]:
            raise TypeError(f"ByteVocabulary: values: got {shown(wrong[0])}, want integers")
        if wrong := [value for value in values if not 0 <= value < 256]:
            raise ValueError(f"ByteVocabulary: values: got {shown(wrong[0])}, want 0 to 255")
        if not len(set(values)) == len(values) >= 1:
            got = f"{len(values)}, {len(set(values))} distinct"
            raise ValueError(f"ByteVocabulary: values: got {got}, want each of them once")
        check_unknown("ByteVocabulary", unknown)
        if unknown is not None and unknown not in values:
            raise ValueError(f"ByteVocabulary: unknown: got {shown(unknown)}, want one of the values or None")
        self.values = tuple(int(value) for value in values)
        self.unknown = None if unknown is None else int(unknown)
        self._bytes = np.array(self.values, dtype=np.uint8)
        self._table = np.full(256, -1 if unknown is None else self.values.index(unknown), dtype=np.int32)
        self._table[self._bytes] = np.arange(len(self.values), dtype=np.int32)

    @classmethod
    def from_text(cls, text: str, *, max_size: int | None = None, unknown: int | None = 0x1A) -> "ByteVocabulary":
        """Return all 256 bytes; or, with a smaller `max_size`, the most frequent ones of a text.

        Args:
            text: where bytes are counted.
            max_size: the most tokens; None or 256 and more for all, of which none is unknown.
            unknown: the value that stands for bytes that were left out; 0x1A is ASCII's SUBSTITUTE.

        Raises:
            ValueError: empty text; `max_size` below 2 or no unknown symbol when bytes must be left out.
        """
        check_text("ByteVocabulary.from_text", text=text)
        check_unknown("ByteVocabulary.from_text", unknown)
        if not text:
            raise ValueError("ByteVocabulary.from_text: text: got an empty text, want at least one character")
        counts = Counter(dict.fromkeys(range(256), 0))
        counts.update(_utf8(text))
        values = frequent_tokens("ByteVocabulary.from_text", "bytes", counts, max_size, unknown)
        return cls(sorted(values), None if len(values) == 256 else unknown)

    def __len__(self) -> int:
        return len(self.values)

    def encode(self, text: str) -> npt.NDArray[np.int32]:
        """Return the ids of the bytes of a text in UTF-8, int32 of shape (number of bytes,).

        Raises:
            ValueError: a byte outside the vocabulary, if there is no unknown symbol.
        """
        check_text("ByteVocabulary.encode", text=text)
        content = _utf8(text)
        ids = self._table[np.frombuffer(content, dtype=np.uint8)]
        if ids.size and ids.min() < 0:
            position = int(np.argmax(ids < 0))
            got = f"the byte 0x{content[position]:02X} at position {position}"
            raise ValueError(f"ByteVocabulary.encode: text: got {got}, want bytes of the vocabulary: no unknown symbol")
        return ids

    def decode(self, ids: npt.ArrayLike) -> str:
        """Return the text of `ids` (integers, any shape, read in C order): the inverse of `encode`.

        Bytes that are no UTF-8, such as a model may write, become U+FFFD.

        Raises:
            TypeError: ids that are not integers. ValueError: an id outside the vocabulary.
        """
        content = self._bytes[as_token_ids("ByteVocabulary.decode", ids, len(self))].tobytes()
        try:
            return content.decode("utf-8", "surrogatepass")
        except UnicodeDecodeError:
            return content.decode("utf-8", "replace")

    def state_dict(self) -> dict[str, list[int] | int | None]:
        """Return plain numbers for JSON; `ByteVocabulary(**state)` is the same vocabulary."""
        return {"values": list(self.values), "unknown": self.unknown}


def check_unknown(caller: str, unknown: int | None) -> None:
    """Raise TypeError unless the value is a byte's or None, ValueError if it is out of range."""
    if unknown is None:
        return
    if not is_integer(unknown):
        raise TypeError(f"{caller}: unknown: got {shown(unknown)}, want an integer or None")
    if not 0 <= unknown < 256:
        raise ValueError(f"{caller}: unknown: got {shown(unknown)}, want 0 to 255 or None")


def _utf8(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")
