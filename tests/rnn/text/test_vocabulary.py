"""Vocabularies of characters, bytes and words: exact round trips, sizes that are kept, and errors."""

import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given, strategies as st

from minigrad_rnn.text.byte_vocabulary import ByteVocabulary
from minigrad_rnn.text.saved_vocabulary import load_vocabulary
from minigrad_rnn.text.vocabulary import Vocabulary
from minigrad_rnn.text.word_vocabulary import WordVocabulary, tokenize

from .alphabets import CHINESE, EMOJI, FRENCH, GREEK

UNSEEN = "\U0010fffe"
UNICODE = st.text(st.characters(exclude_categories=["Cs"]), min_size=1)


@given(UNICODE)
def test_decode_inverts_encode(text: str) -> None:
    vocabulary = Vocabulary.from_text(text, unknown=None)
    ids = vocabulary.encode(text)
    assert ids.dtype == np.int32
    assert ids.shape == (len(text),)
    assert vocabulary.decode(ids) == text
    assert vocabulary.characters == "".join(sorted(set(text)))
    assert len(vocabulary) == len(set(text))


@given(UNICODE, UNICODE)
def test_unknown_symbol_stands_for_what_the_vocabulary_lacks(known: str, text: str) -> None:
    vocabulary = Vocabulary.from_text(known, unknown="?")
    expected = "".join(character if character in known else "?" for character in text)
    assert vocabulary.decode(vocabulary.encode(text)) == expected


@pytest.mark.parametrize("text", [FRENCH, GREEK, CHINESE, EMOJI, FRENCH + GREEK + CHINESE + EMOJI])
def test_alphabets(text: str) -> None:
    vocabulary = Vocabulary.from_text(text)
    assert vocabulary.decode(vocabulary.encode(text)) == text
    assert vocabulary.unknown == "\ufffd"
    assert vocabulary.decode(vocabulary.encode("\u0416")) == "\ufffd"


@pytest.mark.parametrize("kind", [Vocabulary, ByteVocabulary, WordVocabulary])
@given(UNICODE)
def test_state_survives_json(kind: Any, text: str) -> None:
    vocabulary = kind.from_text(text)
    again = load_vocabulary(json.loads(json.dumps(vocabulary.state_dict())))
    assert type(again) is kind
    assert again.state_dict() == vocabulary.state_dict()
    np.testing.assert_array_equal(again.encode(text + "\u0000x"), vocabulary.encode(text + "\u0000x"))


@pytest.mark.parametrize("kind", [Vocabulary, ByteVocabulary, WordVocabulary])
@given(UNICODE)
def test_every_kind_gives_a_text_back_and_keeps_to_its_size(kind: Any, text: str) -> None:
    vocabulary = kind.from_text(text)
    assert vocabulary.decode(vocabulary.encode(text)) == text
    small = kind.from_text(text, max_size=2)
    assert len(small) <= 2
    assert small.encode(text).shape == vocabulary.encode(text).shape
    known = small.encode(text) != (-1 if small.unknown is None else small.encode(UNSEEN)[0])
    ids = small.encode(text)[known]
    assert vocabulary.decode(vocabulary.encode(text)[known]) == small.decode(ids)


@given(st.text())
def test_bytes_are_those_of_utf_8(text: str) -> None:
    """The codec is the oracle; lone surrogates pass through."""
    vocabulary = ByteVocabulary()
    ids = vocabulary.encode(text)
    assert ids.dtype == np.int32
    assert ids.tolist() == list(text.encode("utf-8", "surrogatepass"))
    assert vocabulary.decode(ids) == text
    assert vocabulary.decode([0xC3, 0x41]) == "\ufffdA"  # no UTF-8


@given(st.text())
def test_words_joined_are_the_text(text: str) -> None:
    tokens = tokenize(text)
    assert "".join(tokens) == text
    for token in tokens:
        assert tokenize(token) == [token]


def test_words_take_their_space_along() -> None:
    assert tokenize("x = [1.5, Zoë_2]\n\n    return") == [
        "x", " =", " [", "1", ".", "5", ",", " Zoë_2", "]", "\n\n    ", "return"
    ]  # fmt: skip
    vocabulary = WordVocabulary.from_text("a a a b b c", max_size=3, unknown="<?>")
    assert vocabulary.words == (" a", " b", "<?>")
    assert vocabulary.decode(vocabulary.encode("c a b c")) == "<?> a b<?>"


def test_frequent_bytes_stay() -> None:
    vocabulary = ByteVocabulary.from_text("aaabbbccd", max_size=3, unknown=ord("_"))
    assert bytes(vocabulary.values) == b"_ab"
    assert vocabulary.decode(vocabulary.encode("abcdé")) == "ab____"
    assert ByteVocabulary.from_text("a").unknown is None  # all bytes are there


def test_a_state_of_no_vocabulary_is_refused() -> None:
    with pytest.raises(ValueError, match=r"got the keys \['tokens'\], want unknown and characters"):
        load_vocabulary({"tokens": []})


def test_ids_follow_the_given_order() -> None:
    assert Vocabulary("cab").encode("abc").tolist() == [1, 2, 0]


def test_max_size_keeps_the_frequent_characters() -> None:
    vocabulary = Vocabulary.from_text("aaabbbccd", max_size=3, unknown="_")
    assert vocabulary.characters == "_ab"
    assert vocabulary.decode(vocabulary.encode("abcd")) == "ab__"
    # Of equally frequent characters the smaller code point stays; a symbol that occurs in the text keeps its place.
    assert Vocabulary.from_text("dcba_", max_size=3, unknown="_").characters == "_ab"
    assert Vocabulary.from_text("ab", max_size=2, unknown=None).characters == "ab"
    assert Vocabulary.from_text("ab", max_size=3, unknown="_").characters == "_ab"


def test_encode_and_decode_of_nothing() -> None:
    vocabulary = Vocabulary("ab")
    assert vocabulary.encode("").shape == (0,)
    assert vocabulary.decode([]) == ""
    assert vocabulary.decode(np.array([[0, 1], [1, 0]])) == "abba"


def test_unlisted_character_is_named_with_its_position() -> None:
    vocabulary = Vocabulary.from_text("ab", unknown=None)
    with pytest.raises(ValueError, match=r"'é' \(U\+00E9\) at position 2"):
        vocabulary.encode("abé")
    with pytest.raises(ValueError, match=r"'\\ud800' \(U\+D800\) at position 1"):
        vocabulary.encode("a\ud800")
    with pytest.raises(ValueError, match="position 1"):
        Vocabulary("a?").encode("a\ud800")  # what the codec would write for it is in the vocabulary
    assert Vocabulary("a_", unknown="_").encode("\ud800").tolist() == [1]


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Vocabulary(""), "characters: got 0, 0 distinct"),
        (lambda: Vocabulary("aba"), "characters: got 3, 2 distinct"),
        (lambda: Vocabulary("a\ud800"), "surrogates not allowed"),
        (lambda: Vocabulary("ab", unknown="c"), "unknown: got 'c'"),
        (lambda: Vocabulary("ab", unknown="ab"), "unknown: got 'ab'"),
        (lambda: Vocabulary.from_text(""), "text: got an empty text"),
        (lambda: Vocabulary.from_text("ab", unknown="<unk>"), "unknown: got '<unk>'"),
        (lambda: Vocabulary.from_text("abc", max_size=2, unknown=None), "max_size: got 2 for 3 characters"),
        (lambda: Vocabulary.from_text("abc", max_size=1), "max_size: got 1 for 3 characters"),
        (lambda: Vocabulary("ab").decode([0, 2]), "ids: got 0 to 2, want 0 to 1"),
        (lambda: Vocabulary("ab").decode([-1]), "ids: got -1 to -1, want 0 to 1"),
        (lambda: ByteVocabulary([]), "values: got 0, 0 distinct"),
        (lambda: ByteVocabulary([1, 1]), "values: got 2, 1 distinct"),
        (lambda: ByteVocabulary([256]), "values: got 256, want 0 to 255"),
        (lambda: ByteVocabulary([1], unknown=2), "unknown: got 2, want one of the values"),
        (lambda: ByteVocabulary([97]).encode("ab"), "got the byte 0x62 at position 1"),
        (lambda: ByteVocabulary.from_text(""), "text: got an empty text"),
        (lambda: ByteVocabulary.from_text("ab", max_size=1), "max_size: got 1 for 256 bytes"),
        (lambda: ByteVocabulary.from_text("ab", max_size=9, unknown=None), "max_size: got 9 for 256 bytes"),
        (lambda: ByteVocabulary([97]).decode([1]), "ids: got 1 to 1, want 0 to 0"),
        (lambda: WordVocabulary([]), "words: got 0, 0 distinct"),
        (lambda: WordVocabulary(["a", "a"]), "words: got 2, 1 distinct"),
        (lambda: WordVocabulary(["a b"]), "words: got 'a b', want single tokens"),
        (lambda: WordVocabulary(["\ud800"]), "surrogates not allowed"),
        (lambda: WordVocabulary(["a"], unknown="b"), "unknown: got 'b', want one of the words"),
        (lambda: WordVocabulary(["a"]).encode("a b"), "text: got ' b', token 1"),
        (lambda: WordVocabulary.from_text(""), "text: got an empty text"),
        (lambda: WordVocabulary.from_text("a b", max_size=1), "max_size: got 1 for 2 words"),
        (lambda: WordVocabulary(["a"]).decode([1]), "ids: got 1 to 1, want 0 to 0"),
    ],
)
def test_vocabulary_errors(make: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()


def test_decode_refuses_floats() -> None:
    with pytest.raises(TypeError, match="ids: got float64, want integers"):
        Vocabulary("ab").decode([0.0, 1.0])
