"""Leaves and arrays of noise for the tests of the engine."""

from __future__ import annotations

from typing import Any

import numpy as np

import minigrad as mg
from minigrad import Tensor


def leaf(values: Any, **options: Any) -> Tensor:
    return mg.tensor(np.asarray(values, np.float64), requires_grad=True, **options)


def noise(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape)


def recurrence(w: Tensor, b: Tensor, steps: int) -> Tensor:
    """A small recurrent net whose steps are labelled; returns the sum of its last state."""
    h = mg.tensor(noise(2, 3))
    for t in range(steps):
        with mg.time_step(t):
            h = mg.tanh(mg.linear(h, w, b) + b * 0.5)
    return h.sum()
