"""Recurrent models and losses over time, whose contributions the tests of the ledgers add up."""

from __future__ import annotations

from typing import Any

import numpy as np

import minigrad as mg
import minigrad_rnn as mr

T, B, I, H = 4, 3, 2, 4
OPTIONS: dict[str, dict[str, Any]] = {
    "plain": {},
    "stacked": {"num_layers": 2},
    "two directions": {"bidirectional": True},
    "stacked in two directions": {"num_layers": 2, "bidirectional": True},
    "reverse": {"reverse": True},
}
NETWORKS: dict[str, Any] = {
    "RNN": mr.RNN,
    "LSTM": lambda *sizes, **options: mr.LSTM(*sizes, peephole=True, proj_size=3, **options),
    "GRU": mr.GRU,
    "GRU reset first": lambda *sizes, **options: mr.GRU(*sizes, reset_after=False, **options),
}


def model_of(network: str, options: str, **others: Any) -> Any:
    return NETWORKS[network](I, H, rng=3, dtype="float64", **OPTIONS[options], **others)


def inputs(steps: int = T) -> Any:
    return np.random.default_rng(4).standard_normal((steps, B, I))


def losses_of(model: Any, xs: Any, lengths: Any = None) -> mg.Tensor:
    """(T,): the loss of each time step, of which no two are alike."""
    ys, _ = model(xs, lengths=lengths)
    return ((ys - 0.1 * np.arange(ys.shape[2])) ** 2).sum(axis=(1, 2))


def relative(a: Any, b: Any) -> float:
    """The largest difference over b's largest entry."""
    return float(np.max(np.abs(a - b)) / np.max(np.abs(b)))
