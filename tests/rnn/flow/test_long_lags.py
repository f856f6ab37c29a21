"""A long-lag task in numbers: what each step contributes to the recurrent weights, in an RNN and in two LSTMs."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import minigrad as mg
from minigrad_rnn import LSTM, RNN, TrainingMonitor

T, B, I, H = 101, 8, 4, 64
"""The steps 1 … 100 read a past through Wr: lags 99 … 0."""


def contributions(model: Any, seed: int) -> np.ndarray[Any, Any]:
    """Recall at the last step the pattern that came at the first one, with noise in between; norms by lag."""
    rng = np.random.default_rng(seed)
    xs = 0.5 * rng.standard_normal((T, B, I))
    xs[0] = rng.choice([-1.0, 1.0], (B, I))
    monitor = TrainingMonitor(model)
    with monitor:
        output, _ = model(xs)
        mg.mse(output[-1, :, :I], xs[0]).backward()
    by_step = monitor.records[0]["contributions"]["forward0.Wr"]
    return np.array([by_step[str(t)] for t in range(T - 1, 0, -1)])


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_contributions_of_an_rnn_vanish_and_those_of_an_lstm_that_remembers_do_not(seed: int) -> None:
    options = {"dtype": "float64", "rng": seed}
    rnn = contributions(RNN(I, H, **options), seed)
    assert rnn[-1] < 1e-12 * rnn.max()
    remembering = contributions(LSTM(I, H, forget_bias=3.0, **options), seed)
    assert remembering.min() > 0.01 * remembering.max()
    plain = contributions(LSTM(I, H, **options), seed)  # its forget gate is half open: it vanishes too
    assert plain[-1] < 1e-12 * plain.max()
