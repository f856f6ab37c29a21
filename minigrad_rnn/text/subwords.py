"""SubwordVocabulary: words in pieces that come often <-> integers, by byte-pair encoding.

A vocabulary of words is large and knows no word that is not in it; one of characters makes long sequences. Byte-pair
encoding (Gage 1994; Sennrich, Haddow & Birch 2016) starts from characters and joins, again and again, the two
neighbours that stand beside each other most often. So frequent words become one piece and rare ones several.
"""

import heapq
import itertools
import math
import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from minigrad import nn
from minigrad.validation import check_integer, check_probability, check_text, check_type, shown

from .tokens import as_token_ids

# A word with the space before it, one digit, punctuation, or space: whatever a text is, it is these, joined.
_WORD = re.compile(r" ?[^\W\d_]+|\d| ?(?:[^\w\s]|_)+|\s+")
Pair = tuple[str, str]


class SubwordVocabulary:
    """Pieces of words <-> integers from 0 to `len(vocabulary) - 1`; what was encoded is decoded to the same text.

    A text is cut into words, each with the space before it, digits one by one, punctuation and space. Within these,
    pieces are joined in the order of `merges`. First come the characters' ids, then those of the joined pieces.

    Args:
        characters: every character once.
        merges: pairs of pieces that are joined, the first first; each piece is a character or made by an earlier pair.
        unknown: the character that stands for all others, or None.

    Raises:
        ValueError: no characters, a repeated one, an unknown that is not among them, a pair of pieces not made before.
        TypeError: something else than text and pairs of texts.

    >>> vocabulary = SubwordVocabulary.from_text("low lower lowest", max_size=12)
    >>> [vocabulary.pieces[k] for k in vocabulary.encode("lower slow")]
    ['low', 'e', 'r', ' ', 's', 'low']
    """

    def __init__(self, characters: str, merges: Sequence[Sequence[str]] = (), unknown: str | None = None) -> None:
        check_text("SubwordVocabulary", characters=characters)
        if not len(set(characters)) == len(characters) >= 1:
            got = f"{len(characters)}, {len(set(characters))} distinct"
            raise ValueError(f"SubwordVocabulary: characters: got {got}, want each of them once")
        if unknown is not None:
            check_text("SubwordVocabulary", unknown=unknown)
        if unknown is not None and (len(unknown) != 1 or unknown not in characters):
            raise ValueError(f"SubwordVocabulary: unknown: got {unknown!r}, want one of the characters or None")
        check_type("SubwordVocabulary", (list, tuple), "a list of pairs", merges=merges)
        self.characters, self.unknown = characters, unknown
        self.pieces = list(characters)
        """The text of every id."""
        self._ids = {piece: k for k, piece in enumerate(self.pieces)}
        self._ranks: dict[Pair, int] = {}
        for pair in merges:
            if not isinstance(pair, (list, tuple)) or len(pair) != 2 or not all(isinstance(p, str) for p in pair):
                raise TypeError(f"SubwordVocabulary: merges: got {shown(pair)}, want pairs of pieces")
            left, right = pair
            if left not in self._ids or right not in self._ids:
                raise ValueError(f"SubwordVocabulary: merges: got {left!r} and {right!r}, want pieces made before")
            self._ranks.setdefault((left, right), len(self._ranks))
            if left + right not in self._ids:  # two pairs may make the same piece
                self._ids[left + right] = len(self.pieces)
                self.pieces.append(left + right)
        self._cache: dict[str, tuple[int, ...]] = {}

    @classmethod
    def from_text(
        cls, text: str, *, max_size: int = 1000, unknown: str | None = "\ufffd", min_count: int = 2
    ) -> "SubwordVocabulary":
        """Return the vocabulary of up to `max_size` pieces that byte-pair encoding learns from a text.

        Args:
            text: to learn from. It is read in words, so lines may stand in any order.
            max_size: the most pieces, the characters and the unknown symbol among them.
            unknown: a symbol for characters that are not in the text; None for none.
            min_count: joined are only pieces that stand beside each other at least so often.

        Raises:
            ValueError: an empty text, a max_size below the number of characters, a min_count below 1.
        """
        name = "SubwordVocabulary.from_text"
        check_text(name, text=text)
        check_integer(name, max_size=max_size, min_count=min_count)
        if unknown is not None:
            check_text(name, unknown=unknown)
        if not text:
            raise ValueError(f"{name}: text: got an empty text, want at least one character")
        characters = "".join(sorted({*text, *(unknown or "")}))
        if len(characters) > max_size:
            raise ValueError(f"{name}: max_size: got {max_size}, want at least {len(characters)}, the characters")
        merges = list(_learned(Counter(_WORD.findall(text)), set(characters), max_size, min_count))
        return cls(characters, merges, unknown)

    def __len__(self) -> int:
        return len(self.pieces)

    def encode(self, text: str, dropout: float = 0.0, rng: nn.init.Rng = None) -> npt.NDArray[np.int32]:
        """Return the ids of a text's pieces, int32 of shape (pieces,).

        Args:
            text: any text.
            dropout: the probability with which a joining is passed over each time, so that a text is cut in other ways
                when it comes again: for training (Provilkov, Emelianenko & Voita 2020). 0 cuts every text in one way.
            rng: draws what is passed over: a generator, a seed, or None for the library's own generator.

        Raises:
            ValueError: a character outside the vocabulary, if there is no unknown symbol; a dropout not in [0, 1].
        """
        check_text("SubwordVocabulary.encode", text=text)
        check_probability("SubwordVocabulary.encode", one=True, dropout=dropout)
        if self.unknown is None:  # before anything is drawn
            for character in text:
                if character not in self._ids:
                    got = f"{character!r} (U+{ord(character):04X})"
                    want = "characters of the vocabulary: no unknown symbol"
                    raise ValueError(f"SubwordVocabulary.encode: text: got {got}, want {want}")
        generator = nn.init.as_generator(rng, "encode") or nn.init.default_generator()
        ids: list[int] = []
        for word in _WORD.findall(text):
            if dropout:
                ids += self._ids_of(self._joined(word, dropout, generator))
                continue
            known = self._cache.get(word)
            if known is None:
                known = self._cache[word] = self._ids_of(self._joined(word))
            ids += known
        return np.array(ids, np.int32)

    def _joined(self, word: str, dropout: float = 0.0, rng: np.random.Generator | None = None) -> list[str]:
        """The pieces of a word: of all neighbours that can be joined the earliest pair is, until none can."""
        pieces = list(word)
        while len(pieces) > 1:
            found = [(self._ranks.get(pair, math.inf), k) for k, pair in enumerate(itertools.pairwise(pieces))]
            if rng is not None:
                kept = rng.random(len(found)) >= dropout
                found = [pair for pair, stays in zip(found, kept) if stays]
            rank, k = min(found, default=(math.inf, 0))
            if rank == math.inf:
                break
            pieces[k : k + 2] = [pieces[k] + pieces[k + 1]]
        return pieces

    def _ids_of(self, pieces: list[str]) -> tuple[int, ...]:
        """The ids; a piece that is not in the vocabulary is one character, which `encode` has checked."""
        other = -1 if self.unknown is None else self._ids[self.unknown]
        return tuple(self._ids.get(piece, other) for piece in pieces)

    def decode(self, ids: npt.ArrayLike) -> str:
        """Return the text of `ids` (integers, any shape, read in C order).

        Raises:
            TypeError: ids that are not integers. ValueError: an id outside the vocabulary.
        """
        tokens = as_token_ids("SubwordVocabulary.decode", ids, len(self))
        return "".join(self.pieces[k] for k in tokens.ravel().tolist())

    def state_dict(self) -> dict[str, Any]:
        """Return plain strings and lists for JSON; `SubwordVocabulary(**state)` is the same vocabulary."""
        return {"characters": self.characters, "merges": [list(p) for p in self._ranks], "unknown": self.unknown}


def _learned(words: Counter[str], pieces: set[str], max_size: int, min_count: int) -> Iterator[Pair]:
    """Yield the pairs to join, of equally frequent ones the first in the alphabet, until there are max_size pieces."""
    cut = [list(word) for word in words]
    often = list(words.values())
    counts: Counter[Pair] = Counter()
    places: defaultdict[Pair, set[int]] = defaultdict(set)  # the words in which a pair stands, or once stood
    for k, word in enumerate(cut):
        for pair in itertools.pairwise(word):
            counts[pair] += often[k]
            places[pair].add(k)
    queue = [(-count, pair) for pair, count in counts.items()]
    heapq.heapify(queue)
    while queue and len(pieces) < max_size:
        count, pair = heapq.heappop(queue)
        if -count != counts[pair]:  # an entry of before: the one of now is in the queue too
            continue
        if -count < min_count:
            return
        yield pair
        pieces.add(pair[0] + pair[1])
        changed: set[Pair] = set()
        for k in places.pop(pair):
            before, after = cut[k], _with_pair_joined(cut[k], pair)
            for old in itertools.pairwise(before):
                counts[old] -= often[k]
            for new in itertools.pairwise(after):
                counts[new] += often[k]
                places[new].add(k)
            changed.update(itertools.pairwise(before), itertools.pairwise(after))
            cut[k] = after
        for other in changed - {pair}:
            if counts[other] > 0:
                heapq.heappush(queue, (-counts[other], other))
        del counts[pair]


def _with_pair_joined(word: list[str], pair: Pair) -> list[str]:
    joined: list[str] = []
    k = 0
    while k < len(word):
        if k + 1 < len(word) and (word[k], word[k + 1]) == pair:
            joined.append(word[k] + word[k + 1])
            k += 2
        else:
            joined.append(word[k])
            k += 1
    return joined
