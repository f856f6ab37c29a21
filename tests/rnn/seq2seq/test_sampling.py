"""Temperature sampling from a model of the next symbol."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import minigrad as mg
from minigrad_rnn.seq2seq.sampling import draw, probabilities, sample
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
    logits, n = np.array([0.3, 1.7, -0.4, 0.9, -1.1], "float32"), 20_000
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


def test_the_prime_changes_what_follows() -> None:
    model = CharacterModel(11, "lstm", 6, 9, rng=np.random.default_rng(3))
    states = [sample(model, prime, 1, temperature=0)[1] for prime in ([1, 2, 5], [4, 2, 5])]
    assert not np.array_equal(states[0][0].numpy(), states[1][0].numpy())


@pytest.mark.parametrize(
    ("prime", "length", "error", "message"),
    [
        ([], 3, ValueError, "prime: got shape"),
        ([0.5], 3, TypeError, "want integers"),
        ([0], 0, ValueError, "length: got 0"),
    ],
)
def test_sample_refuses(prime: list[Any], length: int, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        sample(CharacterModel(4, "rnn", 3, 3), prime, length)
