"""Scheduled sampling: how often a decoder in training is fed the true last token rather than its own.

The schedules are those of Bengio, Vinyals, Jaitly & Shazeer (2015), section 2.4: functions from the training step i to
the probability ε_i of the truth. For each token a random number is drawn on the host, so every backend sees the same
ones. `Decoder` describes what is fed in place of the truth: the most probable token or a sampled one.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial

import numpy as np
import numpy.typing as npt

from minigrad import nn
from minigrad.validation import check_function, check_integer, is_number, shown

Schedule = Callable[[int], float]


def constant_schedule(p: float) -> Schedule:
    """Return ε_i = p. With p = 1 the truth is always fed, with p = 0 never."""
    _check_range("constant_schedule", "p", p, 0, 1)
    return partial(_constant, p)


def linear_schedule(start: float = 1.0, slope: float = 1e-4, least: float = 0.0) -> Schedule:
    """Return ε_i = max(least, start − slope · i)."""
    _check_range("linear_schedule", "start", start, 0, 1)
    _check_range("linear_schedule", "slope", slope, 0, math.inf)
    _check_range("linear_schedule", "least", least, 0, start)
    return partial(_linear, start, slope, least)


def exponential_schedule(k: float = 0.999) -> Schedule:
    """Return ε_i = k^i, with k in [0, 1]."""
    _check_range("exponential_schedule", "k", k, 0, 1)
    return partial(_exponential, k)


def inverse_sigmoid_schedule(k: float = 1000.0) -> Schedule:
    """Return ε_i = k / (k + exp(i / k)), with k ≥ 1."""
    _check_range("inverse_sigmoid_schedule", "k", k, 1, math.inf)
    return partial(_inverse_sigmoid, k)


# Functions of this module and not local ones, so that a `TeacherForcing` can be pickled.


def _constant(p: float, step: int) -> float:
    return p


def _linear(start: float, slope: float, least: float, step: int) -> float:
    return max(least, start - slope * step)


def _exponential(k: float, step: int) -> float:
    return float(k**step)


def _inverse_sigmoid(k: float, step: int) -> float:
    decay = k * math.exp(-step / k)  # exp(i / k) itself would overflow
    return decay / (decay + 1)


class TeacherForcing:
    """Draw for each token whether the true one is fed to the decoder.

    Args:
        schedule: from the training step, which starts at 0, to the probability of feeding the truth.
        rng: a generator or a seed; required, so that a run can be repeated.
    """

    def __init__(self, schedule: Schedule, rng: np.random.Generator | int) -> None:
        check_function("TeacherForcing", schedule=schedule)
        generator = nn.init.as_generator(rng, "TeacherForcing")
        if generator is None:
            raise TypeError("TeacherForcing: rng: got None, want a numpy.random.Generator, or a whole number as a seed")
        self.schedule, self.rng = schedule, generator

    def draw(self, step: int, T: int, B: int) -> npt.NDArray[np.bool_]:
        """Return (T, B), on the host: whether the truth is fed at step t to sequence b. Always draws T · B numbers.

        Raises:
            ValueError: a negative step, or a schedule that returns no probability.
        """
        check_integer("TeacherForcing.draw", 0, step=step)
        check_integer("TeacherForcing.draw", T=T, B=B)
        p = self.schedule(step)
        _check_range("TeacherForcing.draw", f"schedule({step})", p, 0, 1)
        return np.asarray(self.rng.random((T, B)) < p)


def _check_range(name: str, argument: str, value: float, low: float, high: float) -> None:
    if not is_number(value) or not (low <= value <= high and math.isfinite(value)):
        raise ValueError(f"{name}: {argument}: got {shown(value)}, want a number from {low:g} to {high:g}")
