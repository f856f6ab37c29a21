"""Byte-pair pieces: what is joined, that texts come back, dropout, and what is refused."""

from __future__ import annotations

import itertools
import json
from collections import Counter
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

from minigrad_rnn.text import SubwordVocabulary, load_vocabulary, subwords


def pieces(vocabulary: SubwordVocabulary, text: str, **options: Any) -> list[str]:
    return [vocabulary.pieces[k] for k in vocabulary.encode(text, **options)]


def naive_merges(text: str, count: int) -> list[tuple[str, str]]:
    """The pairs that Sennrich et al.'s procedure joins, counted anew each time."""
    words = {word: list(word) for word in subwords._WORD.findall(text)}
    often, merges = Counter(subwords._WORD.findall(text)), []
    for _ in range(count):
        pairs: Counter[tuple[str, str]] = Counter()
        for word, cut in words.items():
            for pair in itertools.pairwise(cut):
                pairs[pair] += often[word]
        frequent = {pair: n for pair, n in pairs.items() if n >= 2}
        if not frequent:
            break
        pair = min(frequent, key=lambda pair: (-frequent[pair], pair))
        merges.append(pair)
        words = {word: subwords._with_pair_joined(cut, pair) for word, cut in words.items()}
    return merges


def test_the_example_of_the_paper() -> None:
    text = " low" * 5 + " lower" * 2 + " newest" * 6 + " widest" * 3
    vocabulary = SubwordVocabulary.from_text(text, max_size=18, unknown=None)
    merges = [["e", "s"], ["es", "t"], [" ", "l"], [" l", "o"], [" lo", "w"], [" ", "n"], [" n", "e"]]
    assert vocabulary.state_dict()["merges"] == merges
    assert pieces(vocabulary, " lowest") == [" low", "est"]


@settings(max_examples=60)
@given(st.text(alphabet="abc d.1", min_size=1, max_size=60), st.integers(1, 12))
def test_counting_on_the_way_finds_what_counting_anew_finds(text: str, count: int) -> None:
    vocabulary = SubwordVocabulary.from_text(text, max_size=len(set(text)) + count, unknown=None)
    learned = [tuple(pair) for pair in vocabulary.state_dict()["merges"]]
    assert learned == naive_merges(text, len(learned))
    assert len(vocabulary) == len(set(text)) + count or len(naive_merges(text, 99)) == len(learned)


@settings(max_examples=60)
@given(st.text(min_size=1, max_size=40), st.sampled_from([0.0, 0.3, 1.0]))
def test_every_text_comes_back(text: str, dropout: float) -> None:
    vocabulary = SubwordVocabulary.from_text(text * 3, max_size=500, unknown=None)
    ids = vocabulary.encode(text, dropout, rng=0)
    assert ids.dtype == np.int32
    assert vocabulary.decode(ids) == text
    if dropout == 1:
        assert len(ids) == len(text)


def test_dropout_cuts_in_other_ways_and_without_it_there_is_one() -> None:
    vocabulary = SubwordVocabulary.from_text("translate translation translator " * 3, max_size=60)
    rng = np.random.default_rng(0)
    ways = {tuple(vocabulary.encode("translation", 0.5, rng)) for _ in range(20)}
    assert len(ways) > 5
    assert len({tuple(vocabulary.encode("translation")) for _ in range(3)}) == 1
    assert min(map(len, ways)) >= len(vocabulary.encode("translation"))


def test_what_is_saved_is_the_same_vocabulary() -> None:
    vocabulary = SubwordVocabulary.from_text("the theatre, the thesis: 1984", max_size=40)
    again = load_vocabulary(json.loads(json.dumps(vocabulary.state_dict())))
    assert isinstance(again, SubwordVocabulary)
    assert again.pieces == vocabulary.pieces
    np.testing.assert_array_equal(again.encode("other themes, 48"), vocabulary.encode("other themes, 48"))


def test_a_word_keeps_the_space_before_it_and_digits_stand_alone() -> None:
    vocabulary = SubwordVocabulary.from_text("in 1984 in 1984 in 1984", max_size=100, unknown=None)
    assert pieces(vocabulary, "in 1984 in") == ["in", " ", "1", "9", "8", "4", " in"]


def test_what_is_refused() -> None:
    with pytest.raises(ValueError, match="max_size: got 3, want at least 4, the characters"):
        SubwordVocabulary.from_text("abc", max_size=3)
    with pytest.raises(ValueError, match="merges: got 'a' and 'cd', want pieces made before"):
        SubwordVocabulary("abcd", [["a", "cd"]])
    with pytest.raises(TypeError, match=r"merges: got .*, want pairs of pieces"):
        SubwordVocabulary("abcd", ["a"])
    with pytest.raises(ValueError, match=r"encode: text: got 'é' \(U\+00E9\), want characters of the vocabulary"):
        SubwordVocabulary("abcd").encode("abé")
    with pytest.raises(ValueError, match="decode: ids: got 0 to 4, want 0 to 3"):
        SubwordVocabulary("abcd").decode([0, 4])
    assert pieces(SubwordVocabulary("abcd?", [["a", "b"]], "?"), "abé") == ["ab", "?"]
