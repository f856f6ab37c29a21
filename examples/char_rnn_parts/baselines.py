"""Baselines without a network: bits per character of a held-out text from n-gram counts and from LZMA.

Compare them with a model's cross-entropy in bits per character (its loss in nats / ln 2). A model that beats
`unigram_bits` has learnt something about the order of characters, one that beats `ngram_bits` more than short strings;
`lzma_bits` is what a general-purpose compressor needs for the same text.
"""

import lzma
from typing import Any

import numpy as np
import numpy.typing as npt

IntArray = npt.NDArray[np.integer[Any]]
Keys = npt.NDArray[np.int64]


def unigram_bits(train_ids: IntArray, test_ids: IntArray, vocab_size: int) -> float:
    """Return the bits per character if only the frequencies of characters are known: `ngram_bits` of order 1."""
    return ngram_bits(train_ids, test_ids, vocab_size, order=1)


def ngram_bits(train_ids: IntArray, test_ids: IntArray, vocab_size: int, order: int = 3) -> float:
    """Return the bits per character of an n-gram model: the mean of -log2 of `ngram_probabilities`."""
    return float(-np.mean(np.log2(ngram_probabilities(train_ids, test_ids, vocab_size, order))))


def ngram_probabilities(
    train_ids: IntArray, test_ids: IntArray, vocab_size: int, order: int = 3
) -> npt.NDArray[np.float64]:
    """Return the probability of each character of a text under an n-gram model counted on another text.

    `order` is the length n of the n-gram, so the context is the `order - 1` characters before the predicted one
    (fewer at the beginning of the text). Contexts of all lengths are interpolated by Witten–Bell's rule: for a
    context h, h' without its first character, followed N(h) times by D(h) different characters,

        p(c | h) = (count(h c) + D(h) · p(c | h')) / (N(h) + D(h)),

    starting from 1/vocab_size below the single characters. It sums to 1 over the vocabulary and is never 0.
    (Witten and Bell 1991, "The zero-frequency problem"; Chen and Goodman 1999, "An empirical study of smoothing
    techniques for language modeling", section 2.5.)

    Args:
        train_ids: the text to count, integers (N,).
        test_ids: the text to predict, integers (M,).
        vocab_size: ids run from 0 to `vocab_size - 1`.
        order: 1 for single characters, 3 for three.

    Returns:
        float64 of shape (M,).

    Raises:
        TypeError: ids that are not integers.
        ValueError: ids that are empty, not one-dimensional or outside the vocabulary; an order below 1, or so high that
            an n-gram's number does not fit into 63 bits.
    """
    if order < 1 or vocab_size < 1 or int(vocab_size) ** int(order) >= 2**63:
        raise ValueError(
            f"ngram_probabilities: order: got {order} for vocab_size {vocab_size}, want both at least 1 and "
            "vocab_size**order below 2**63"
        )
    train = _check_ids("train_ids", train_ids, vocab_size)
    test = _check_ids("test_ids", test_ids, vocab_size)

    p = np.full(test.size, 1.0 / vocab_size)
    # The characters of an n-gram are the digits of its number in base vocab_size: sorting groups n-grams by context.
    train_grams, test_grams = np.zeros_like(train), np.zeros_like(test)
    for n in range(1, min(order, train.size, test.size) + 1):
        train_grams = train_grams[: train.size - n + 1] * vocab_size + train[n - 1 :]
        test_grams = test_grams[: test.size - n + 1] * vocab_size + test[n - 1 :]
        grams, counts = np.unique(train_grams, return_counts=True)
        contexts, first = np.unique(grams // vocab_size, return_index=True)
        total = np.add.reduceat(counts, first)  # N(h)
        distinct = np.diff(first, append=grams.size)  # D(h)

        lower = p[n - 1 :]  # a view; the first n - 1 characters have no context of this length and are left as they are
        count = _look_up(grams, counts, test_grams)
        n_h = _look_up(contexts, total, test_grams // vocab_size)
        d_h = _look_up(contexts, distinct, test_grams // vocab_size)
        seen = n_h > 0
        lower[seen] = ((count + d_h * lower) / np.maximum(n_h + d_h, 1))[seen]
    return p


def lzma_bits(train_text: str, test_text: str, *, limit: int = 12_000_000) -> float:
    """Return the bits per character that LZMA (the compressor of .xz files) needs for a text after another one.

    That is the compressed size of both texts minus that of the first, over the characters of the second. The
    compressor's dictionary is as long as both together, so it can refer to everything before.

    Args:
        train_text: the text that comes first; only its last `limit` characters are used, to bound the time.
        test_text: the text to measure.
        limit: 12 million characters of Python code take about 12 seconds.

    Raises:
        ValueError: an empty test_text, or a limit below 0.
    """
    if not test_text:
        raise ValueError("lzma_bits: test_text: got an empty text, want at least one character")
    if limit < 0:
        raise ValueError(f"lzma_bits: limit: got {limit}, want at least 0")
    train, test = train_text[max(0, len(train_text) - limit) :].encode(), test_text.encode()
    dictionary = min(max(len(train) + len(test), 2**12), 2**30)  # LZMA accepts no less, and not much more
    filters = [{"id": lzma.FILTER_LZMA2, "preset": 6, "dict_size": dictionary}]
    before, both = (len(lzma.compress(data, filters=filters)) for data in (train, train + test))
    return (both - before) * 8 / len(test_text)


def _look_up(keys: Keys, values: Keys, queries: Keys) -> Keys:
    """Return the value of each query among the sorted keys, 0 for one that is not there."""
    positions = np.minimum(np.searchsorted(keys, queries), keys.size - 1)
    return np.where(keys[positions] == queries, values[positions], 0)


def _check_ids(name: str, ids: IntArray, vocab_size: int) -> Keys:
    ids = np.asarray(ids)
    if ids.ndim != 1 or ids.size == 0:
        raise ValueError(f"ngram_probabilities: {name}: got shape {ids.shape}, want (N,) with at least one character")
    if ids.dtype.kind not in "iu":
        raise TypeError(f"ngram_probabilities: {name}: got {ids.dtype}, want integers")
    if ids.min() < 0 or ids.max() >= vocab_size:
        raise ValueError(
            f"ngram_probabilities: {name}: got ids from {ids.min()} to {ids.max()}, want 0 to {vocab_size - 1}"
        )
    return ids.astype(np.int64)
