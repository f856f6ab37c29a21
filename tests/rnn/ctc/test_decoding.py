"""CTC's two decoders: beside all paths, and beside the loss."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
from hypothesis import given, strategies as st

import minigrad as mg
from minigrad_rnn import best_path, ctc_loss, prefix_beam_search
from tests.rnn.ctc.test_loss import LikeAnArray, X, collapsed, drawn, over_all_paths


@pytest.mark.parametrize(("T", "C", "blank"), [(1, 3, 0), (4, 3, 0), (5, 3, 1), (4, 4, 3), (6, 2, 0)])
def test_a_wide_beam_finds_every_labelling(xp: Any, T: int, C: int, blank: int) -> None:
    log_probs = drawn(T, C, seed=T)
    want = over_all_paths(log_probs, blank)
    found = prefix_beam_search(mg.tensor(log_probs), T, beam_width=10_000, blank=blank)
    assert {y.labels for y in found} == want.keys()
    np.testing.assert_allclose([np.exp(y.log_prob) for y in found], [want[y.labels] for y in found], rtol=1e-12)
    assert found == sorted(found, key=lambda y: -y.log_prob)
    assert all(y.score == y.log_prob for y in found)


def test_what_the_search_finds_is_what_the_loss_says() -> None:
    log_probs = drawn(6, 4)
    for y in prefix_beam_search(log_probs, beam_width=10_000)[:20]:
        loss = ctc_loss(log_probs, list(y.labels), 6, len(y.labels), reduction="sum")
        np.testing.assert_allclose(loss.item(), -y.log_prob, rtol=1e-12)


def test_the_best_path_is_not_the_best_labelling() -> None:
    """Two blanks are the best path (0.36), but three paths say "a" (0.64): Graves et al. 2006, section 3.2."""
    log_probs = np.log([[0.6, 0.4], [0.6, 0.4]])
    path = best_path(log_probs)
    best, second = prefix_beam_search(log_probs)
    assert (path.labels, best.labels, second.labels) == ((), (1,), ())
    np.testing.assert_allclose(np.exp([path.log_prob, best.log_prob, second.log_prob]), [0.36, 0.64, 0.36])


@given(st.integers(1, 5), st.integers(2, 4), st.integers(0, 99))
def test_the_best_path_is_the_best_of_all_paths(T: int, C: int, seed: int) -> None:
    log_probs, blank = drawn(T, C, seed=seed), seed % C
    paths = itertools.product(range(C), repeat=T)
    best = max(paths, key=lambda path: log_probs[range(T), path].sum())
    found = best_path(log_probs, T, blank)
    assert found.labels == collapsed(best, blank)
    np.testing.assert_allclose(found.log_prob, log_probs[range(T), best].sum(), rtol=1e-12)


def test_a_narrow_beam_keeps_the_best_and_promises_no_more_than_there_is() -> None:
    log_probs = drawn(6, 4, seed=2)
    exact = over_all_paths(log_probs, 0)
    for width in (1, 2, 5, 20):
        found = prefix_beam_search(log_probs, beam_width=width)
        assert len(found) == width
        assert all(np.exp(y.log_prob) <= exact[y.labels] * (1 + 1e-12) for y in found)
    assert found[0].labels == max(exact, key=exact.__getitem__)


@pytest.mark.parametrize("decode", [best_path, prefix_beam_search])
def test_a_batch_is_its_sequences(xp: Any, decode: Any) -> None:
    log_probs = drawn(7, 3, 4)
    log_probs[5:, 1] = np.nan  # beyond its end
    many = decode(mg.tensor(log_probs), [7, 5, 0])
    assert many == decode(xp.array(log_probs), np.array([7, 5, 0]))
    assert many == [decode(log_probs[:, b], n) for b, n in enumerate([7, 5, 0])]
    assert many[1] == decode(log_probs[:5, 1])
    nothing = many[2] if decode is best_path else many[2][0]
    assert (nothing.labels, nothing.log_prob) == ((), 0)


def bigram(prefix: tuple[int, ...], label: int) -> float:
    """After 1 comes 2, sooner than another; 2 never comes twice."""
    if prefix[-1:] == (2,) and label == 2:
        return -np.inf
    return -0.3 * (len(prefix) + 1) + (1.5 if prefix[-1:] == (1,) and label == 2 else 0.0)


@pytest.mark.parametrize("weight", [0.0, 0.7, 2.0])
def test_a_language_model_ranks_all_labellings(weight: float) -> None:
    log_probs = drawn(5, 3, seed=4)
    want = {}
    for labels, p in over_all_paths(log_probs, 0).items():
        said = sum(bigram(labels[:k], labels[k]) for k in range(len(labels)))
        if weight == 0 or said > -np.inf:
            want[labels] = np.log(p) + (weight * said if weight else 0.0)
    found = prefix_beam_search(log_probs, beam_width=10_000, language_model=bigram, weight=weight)
    assert {y.labels for y in found} == want.keys()
    np.testing.assert_allclose([y.score for y in found], [want[y.labels] for y in found], rtol=1e-12)
    assert [y.labels for y in found] == sorted(want, key=lambda labels: -want[labels])
    plain = {y.labels: y.log_prob for y in prefix_beam_search(log_probs, beam_width=10_000)}
    np.testing.assert_allclose([y.log_prob for y in found], [plain[y.labels] for y in found], rtol=1e-12)


def test_what_cannot_be_is_not_listed() -> None:
    log_probs = np.full((3, 3), -np.inf)
    log_probs[:, 1] = 0
    assert prefix_beam_search(log_probs) == [((1,), 0.0, 0.0)]
    log_probs[1, 1] = -np.inf
    assert prefix_beam_search(log_probs) == []
    assert best_path(log_probs).log_prob == -np.inf


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: best_path(X.tolist()), TypeError, "best_path: log_probs: got list"),
        (lambda: best_path(LikeAnArray()), TypeError, "best_path: log_probs: got LikeAnArray, want a Tensor or an arr"),
        (lambda: best_path(X, [4]), ValueError, r"best_path: input_lengths: got shape \(1,\), want \(2,\)"),
        (lambda: best_path(X, [4, 5]), ValueError, "best_path: input_lengths: got 5 at batch entry 1"),
        (lambda: best_path(X, blank=3), ValueError, "best_path: blank: got 3"),
        (lambda: best_path(X * np.nan), ValueError, "best_path: log_probs: got NaN or inf at batch entry 0"),
        (lambda: prefix_beam_search(X[0, 0]), ValueError, r"prefix_beam_search: log_probs: got shape \(3,\)"),
        (lambda: prefix_beam_search(X, beam_width=0), ValueError, "beam_width: got 0, want a whole number"),
        (lambda: prefix_beam_search(X, beam_width=2.0), TypeError, "beam_width: got float, want an integer"),
        (lambda: prefix_beam_search(X, language_model=3), TypeError, "language_model: got int, want a function"),
        (lambda: prefix_beam_search(X, weight=-1), ValueError, "weight: got -1, want a finite number of at least 0"),
        (
            lambda: prefix_beam_search(X, language_model=lambda prefix, label: np.nan),
            ValueError,
            r"language_model: got nan for label 1 after \(\), want a number below inf",
        ),
    ],
)
def test_a_decoders_bad_arguments_are_named(call: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        call()
