"""The baselines: distributions that sum to one, a plain count beside the vectorised one, and known entropies."""

import sys
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, strategies as st

from minigrad_rnn.text.corpus import read_corpus, split
from minigrad_rnn.text.vocabulary import Vocabulary

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "examples"))
from char_rnn_parts.baselines import lzma_bits, ngram_bits, ngram_probabilities, unigram_bits

V = 4
IDS = st.lists(st.integers(0, V - 1), min_size=1, max_size=40).map(np.array)
ORDERS = st.integers(1, 5)


@given(IDS, IDS, ORDERS)
def test_probabilities_sum_to_one_over_the_vocabulary(train: np.ndarray, history: np.ndarray, order: int) -> None:
    total = sum(ngram_probabilities(train, np.append(history, c), V, order)[-1] for c in range(V))
    assert total == pytest.approx(1, abs=1e-12)


def by_hand(train: list[int], test: list[int], order: int) -> list[float]:
    """Witten–Bell as its formula stands, one character and one context at a time."""

    def p(context: list[int] | None, c: int) -> float:
        if context is None:
            return 1 / V
        n = len(context)
        followers = Counter(train[i + n] for i in range(len(train) - n) if train[i : i + n] == context)
        shorter = p(context[1:] if context else None, c)
        if not followers:
            return shorter
        return (followers[c] + len(followers) * shorter) / (followers.total() + len(followers))

    return [p(test[max(0, i - order + 1) : i], c) for i, c in enumerate(test)]


@given(IDS, IDS, ORDERS)
def test_vectorised_counts_agree_with_the_formula(train: np.ndarray, test: np.ndarray, order: int) -> None:
    expected = by_hand(train.tolist(), test.tolist(), order)
    p = ngram_probabilities(train, test, V, order)
    assert p.dtype == np.float64
    np.testing.assert_allclose(p, expected, rtol=1e-12)
    assert ngram_bits(train, test, V, order) == pytest.approx(-np.mean(np.log2(expected)))


def test_unigram_bits_are_the_entropy_of_independent_characters() -> None:
    frequencies = np.array([0.5, 0.25, 0.125, 0.125])
    ids = np.random.default_rng(0).choice(4, size=200_000, p=frequencies)
    assert unigram_bits(ids[:100_000], ids[100_000:], 4) == pytest.approx(1.75, abs=0.02)
    # What comes before tells nothing here, so longer n-grams must not pretend that it does.
    assert ngram_bits(ids[:100_000], ids[100_000:], 4, order=3) == pytest.approx(1.75, abs=0.02)


def test_order_is_the_length_of_the_ngram() -> None:
    # In 0 0 1 1 0 0 1 1 … two characters determine the next one; one character says nothing about it.
    ids = np.tile([0, 0, 1, 1], 1000)
    assert ngram_bits(ids, ids, 2, order=1) == pytest.approx(1, abs=1e-3)
    assert ngram_bits(ids, ids, 2, order=2) == pytest.approx(1, abs=1e-2)
    assert ngram_bits(ids, ids, 2, order=3) < 0.01


def test_small_dtypes_do_not_overflow() -> None:
    ids = np.random.default_rng(1).integers(0, 200, 5000)
    narrow = ids.astype(np.uint8)
    expected = ngram_bits(ids[:4000], ids[4000:], 200)
    assert ngram_bits(narrow[:4000], narrow[4000:], 200) == expected
    assert ngram_bits(ids[:4000], ids[4000:], np.uint8(200)) == expected  # type: ignore[arg-type]


def test_python_code_is_more_predictable_the_more_one_knows() -> None:
    train, test = split(read_corpus(limit=1_000_000))
    vocabulary = Vocabulary.from_text(train)
    ids = vocabulary.encode(train), vocabulary.encode(test)
    unigram, bigram, trigram = (ngram_bits(*ids, len(vocabulary), order) for order in (1, 2, 3))
    assert unigram == unigram_bits(*ids, len(vocabulary))
    assert 4 < unigram < 5.5
    assert 3 < bigram < unigram - 0.5
    assert 2 < trigram < bigram - 0.5
    assert 1 < lzma_bits(train, test) < trigram


def test_lzma_bits_use_what_was_read_before() -> None:
    generator = np.random.default_rng(0)
    noise = "".join(map(chr, generator.integers(0x3B1, 0x3C1, 20_000)))  # 16 Greek letters, 4 bits each
    fresh = "".join(map(chr, generator.integers(0x3B1, 0x3C1, 20_000)))
    assert 4 <= lzma_bits(noise, fresh) < 5
    assert lzma_bits(noise, noise) < 0.1
    assert lzma_bits("", noise) == lzma_bits(noise, noise, limit=0) > 4
    assert lzma_bits(noise + fresh, noise, limit=len(fresh)) > 4  # only the end of what came before is used


@pytest.mark.parametrize(
    ("error", "arguments", "message"),
    [
        (ValueError, ([0], [0], 2, 0), "order: got 0"),
        (ValueError, ([0], [0], 0, 1), "vocab_size 0"),
        (ValueError, ([0], [0], 1000, 7), r"vocab_size\*\*order below 2\*\*63"),
        (ValueError, ([], [0], 2, 1), r"train_ids: got shape \(0,\)"),
        (ValueError, ([0], [[0]], 2, 1), r"test_ids: got shape \(1, 1\)"),
        (TypeError, ([0.5], [0], 2, 1), "train_ids: got float64, want integers"),
        (ValueError, ([0], [1, 2], 2, 1), "test_ids: got ids from 1 to 2, want 0 to 1"),
        (ValueError, ([-1, 0], [0], 2, 1), "train_ids: got ids from -1 to 0"),
    ],
)
def test_ngram_errors(error: type[Exception], arguments: tuple[Any, ...], message: str) -> None:
    train, test, vocab_size, order = arguments
    with pytest.raises(error, match=message):
        ngram_probabilities(np.array(train), np.array(test), vocab_size, order)


def test_lzma_errors() -> None:
    with pytest.raises(ValueError, match="test_text: got an empty text"):
        lzma_bits("abc", "")
    with pytest.raises(ValueError, match="limit: got -1"):
        lzma_bits("abc", "abc", limit=-1)
