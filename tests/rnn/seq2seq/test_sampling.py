"""Temperature sampling from a model of the next symbol."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
from hypothesis import given, strategies as st

import minigrad as mg
from minigrad_rnn.seq2seq.sampling import draw, likely, probabilities, sample, sample_stream
from minigrad_rnn.text.model import CharacterModel


def test_probabilities_are_the_softmax_over_the_temperature() -> None:
    logits = np.array([1.0, 3.0, -2.0, -np.inf])
    z = np.exp(logits / 0.7)
    np.testing.assert_allclose(probabilities(logits, 0.7), z / z.sum(), rtol=1e-12)
    np.testing.assert_array_equal(probabilities([2.0, 5.0, 5.0], 0.0), [0, 0.5, 0.5])
    np.testing.assert_array_equal(probabilities([2e4, 1e4], 1e-3), [1, 0])


@pytest.mark.parametrize(
    ("logits", "temperature", "message"),
    [([0.0], -1, "temperature: got -1"), ([0.0], np.nan, "got nan"), ([0.0, np.nan], 1, "logits: got NaN")],
)
def test_probabilities_refuse(logits: list[float], temperature: float, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        probabilities(logits, temperature)


@pytest.mark.parametrize("temperature", [0.5, 1.0, 2.0])
def test_draws_follow_the_softmax(temperature: float) -> None:
    logits, n = np.array([0.3, 1.7, -0.4, 0.9, -1.1], "float32"), 5_000
    rng = np.random.default_rng(1)
    counts = np.bincount([draw(logits, temperature, rng) for _ in range(n)], minlength=5)
    expected = n * probabilities(logits, temperature)
    chi_square = float(((counts - expected) ** 2 / expected).sum())
    assert chi_square < 18.5  # 99.9 % of chi-square with 4 degrees of freedom


def test_a_low_temperature_is_greedy() -> None:
    rng = np.random.default_rng(0)
    logits = rng.standard_normal(30)
    assert {draw(logits, t, rng) for t in (0.0, 1e-4) for _ in range(50)} == {int(logits.argmax())}


def test_what_cannot_come_is_never_drawn() -> None:
    rng = np.random.default_rng(0)
    assert {draw([-np.inf, 0.0, -np.inf], 1.0, rng) for _ in range(200)} == {1}


@given(st.lists(st.floats(-5, 5), min_size=2, max_size=8), st.integers(1, 9), st.floats(0.01, 1.0), st.floats(0.2, 3))
def test_likely_keeps_the_fewest_that_reach_p(z: list[float], k: int, p: float, temperature: float) -> None:
    kept = np.isfinite(likely(z, top_k=k))
    assert kept.sum() == min(k, len(z))
    assert np.array(z)[kept].min() >= np.array(z)[~kept].max(initial=-np.inf)
    q = np.exp(np.array(z) / temperature)
    q /= q.sum()
    kept = np.isfinite(likely(z, temperature, top_p=p))
    assert q[kept].sum() >= p - 1e-9
    assert kept.sum() == 1 or q[kept].sum() - q[kept].min() < p + 1e-9
    assert q[kept].min() >= q[~kept].max(initial=0) - 1e-12


@pytest.mark.parametrize("options", [{"top_k": 2}, {"top_p": 0.6}, {"top_k": 3, "top_p": 0.4, "temperature": 2.0}])
def test_likely_takes_a_batch_row_by_row(options: dict[str, Any]) -> None:
    z = np.random.default_rng(0).standard_normal((2, 3, 5))
    rows = [[likely(row, **options) for row in block] for block in z]
    np.testing.assert_array_equal(likely(z, **options), rows)
    with pytest.raises(ValueError, match=r"^draw: logits: got shape \(3, 5\), want \(V,\)"):
        draw(z[0])


OPTIONS: list[dict[str, Any]] = [{"top_k": 3}, {"top_p": 0.7}, {"top_k": 4, "top_p": 0.8, "temperature": 1.5}]


@pytest.mark.parametrize("options", OPTIONS)
def test_draws_follow_the_truncated_distribution(options: dict[str, Any]) -> None:
    """Against the definition, written down here: sort, cut, renormalise."""
    logits, n, temperature = np.array([0.3, 1.7, -0.4, 0.9, -1.1]), 4_000, options.get("temperature", 1.0)
    order = np.argsort(-logits)[: options.get("top_k", 5)]
    q = np.exp(logits[order] / temperature)
    q /= q.sum()
    size = 1 + np.count_nonzero(np.cumsum(q)[:-1] < options.get("top_p", 1.0))
    expected = np.zeros(5)
    expected[order[:size]] = q[:size] / q[:size].sum()
    assert 1 < size < 5
    rng = np.random.default_rng(1)
    counts = np.bincount([draw(logits, rng=rng, **options) for _ in range(n)], minlength=5)
    assert (counts[expected == 0] == 0).all()
    kept = expected > 0
    chi_square = float(((counts - n * expected)[kept] ** 2 / (n * expected[kept])).sum())
    assert chi_square < 16.3  # 99.9 % of chi-square with 3 degrees of freedom


def test_exact_sets_and_ties() -> None:
    z = [1.0, 2.0, 2.0, 2.0, 0.0]
    assert np.flatnonzero(np.isfinite(likely(z, top_k=2))).tolist() == [1, 2]  # the first of equals
    assert np.flatnonzero(np.isfinite(likely(np.log([0.125, 0.5, 0.25, 0.125]), top_p=0.75))).tolist() == [1, 2]
    assert np.flatnonzero(np.isfinite(likely(np.log([0.125, 0.5, 0.25, 0.125]), top_p=0.76))).tolist() == [0, 1, 2]
    assert np.isfinite(likely(z, top_p=1.0)).all()
    rng = np.random.default_rng(0)
    assert {draw(z, rng=rng, top_k=2) for _ in range(100)} == {1, 2}
    assert {draw(z, 0.0, rng, top_k=3) for _ in range(100)} == {1}
    assert {draw(z, rng=rng, top_p=1e-9) for _ in range(100)} == {1}
    with pytest.raises(ValueError, match=r"^likely: logits: got float64 of shape \(\), want real numbers"):
        likely(0.0, top_k=1)


@pytest.mark.parametrize("cell", ["rnn", "lstm"])
def test_a_sample_is_the_models_own_and_goes_on_from_its_state(cell: str) -> None:
    model = CharacterModel(11, cell, 6, 9, num_layers=2, dropout=0.5, rng=np.random.default_rng(3))
    whole, _ = sample(model, [1, 2, 3], 24, rng=np.random.default_rng(7))
    rng = np.random.default_rng(7)
    first, state = sample(model, [1, 2, 3], 10, rng=rng)
    second, _ = sample(model, first[-1:], 14, rng=rng, state=state)
    np.testing.assert_array_equal(whole, [*first, *second])
    assert model.training
    assert model.dropout.training

    model.eval()
    with mg.no_grad():  # the same, each time from the beginning
        read, rng = [1, 2, 3], np.random.default_rng(7)
        for _ in range(10):
            logits, _ = model(np.array(read)[:, None])
            read.append(draw(logits.numpy()[-1, 0], 1.0, rng))
    assert read[3:] == first.tolist()


@pytest.mark.parametrize("options", [{}, *OPTIONS, {"temperature": 0.0}])
def test_a_stream_is_the_sample(options: dict[str, Any]) -> None:
    model = CharacterModel(11, "gru", 6, 9, dropout=0.5, rng=np.random.default_rng(3))
    ids, _ = sample(model, [1, 2, 3], 12, rng=7, **options)
    streamed = []
    for drawn in itertools.islice(sample_stream(model, [1, 2, 3], rng=7, **options), 12):
        assert model.training  # between two ids the model is the caller's
        assert model(np.zeros((1, 1), int))[0].requires_grad
        streamed += drawn.tolist()
    assert streamed == ids.tolist()


def test_excluded_ids_are_never_drawn() -> None:
    model = CharacterModel(5, "rnn", 3, 4, rng=np.random.default_rng(3))
    for options in ({}, {"top_k": 2}, {"top_p": 0.9}, {"temperature": 0.0}):
        ids, _ = sample(model, np.zeros((1, 20), int), 20, rng=0, exclude=[0, 3], **options)  # type: ignore[arg-type]
        assert set(ids.ravel()) <= {1, 2, 4}
    with pytest.raises(ValueError, match=r"^sample: exclude: got 5, want ids below 5"):
        sample(model, [0], 1, exclude=[5])


def test_sequences_at_once(xp: Any) -> None:
    model = CharacterModel(11, "lstm", 6, 9, rng=np.random.default_rng(3)).to(xp.name)
    prime = np.array([[1, 4], [2, 5], [3, 6]])
    ids, state = sample(model, prime, 8, rng=np.random.default_rng(7))
    assert ids.shape == (8, 2)
    # One number is drawn for each sequence in turn: each alone, with the numbers that fall to it.
    numbers = np.random.default_rng(7).random((8, 2))
    for b in range(2):
        alone, end = sample(model, prime[:, b], 8, rng=Numbers(numbers[:, b]))
        assert alone.tolist() == ids[:, b].tolist()
        np.testing.assert_allclose(end[0].numpy()[:, 0], state[0].numpy()[:, b], rtol=1e-5, atol=1e-6)
    greedy, _ = sample(model, prime, 8, temperature=0)
    assert [sample(model, prime[:, b], 8, temperature=0)[0].tolist() for b in range(2)] == greedy.T.tolist()


class Numbers(np.random.Generator):
    """A generator that hands out given numbers."""

    def __init__(self, numbers: Any) -> None:
        super().__init__(np.random.PCG64(0))
        self.numbers = iter(numbers)

    def random(self, size: Any = None, *_: Any, **__: Any) -> Any:
        return np.array([next(self.numbers) for _ in range(size)])


def test_the_prime_changes_what_follows() -> None:
    model = CharacterModel(11, "lstm", 6, 9, rng=np.random.default_rng(3))
    states = [sample(model, prime, 1, temperature=0)[1] for prime in ([1, 2, 5], [4, 2, 5])]
    assert not np.array_equal(states[0][0].numpy(), states[1][0].numpy())


@pytest.mark.parametrize(
    ("prime", "length", "error", "message"),
    [
        ([], 3, ValueError, "prime: got shape"),
        ([0.5], 3, TypeError, "want integers"),
        ([[[0]]], 3, ValueError, r"prime: got shape \(1, 1, 1\), want \(N,\) or \(N, B\)"),
        ([0], 0, ValueError, "length: got 0"),
    ],
)
def test_sample_refuses(prime: list[Any], length: int, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        sample(CharacterModel(4, "rnn", 3, 3), prime, length)


def test_a_stream_refuses_before_it_starts() -> None:
    model = CharacterModel(4, "rnn", 3, 3)
    with pytest.raises(ValueError, match=r"^sample_stream: top_k: got 0"):
        sample_stream(model, [0], top_k=0)
    with pytest.raises(ValueError, match=r"^sample_stream: top_p: got 1\.5, want a number above 0 and at most 1"):
        sample_stream(model, [0], top_p=1.5)
