"""Compare a slope with finite differences of a function along a direction; notice rounding and kinks."""

from __future__ import annotations

from collections.abc import Callable
from math import comb

import numpy as np

from .case import Array

STEPS = (1e-3, 1e-4, 1e-5, 1e-6, 1e-2)
"""Steps of the finite differences, tried in turn: a kink, as of relu, may lie within the larger ones, and rounding
hides a small slope from the smaller ones."""
Value = Callable[[float], float]
"""A function along a direction, of the step from 0."""


def difference(value: Value, slope: float, tolerance: float) -> float:
    """Relative error of `slope` against a central difference of fourth order of `value` at 0.

    What rounding in `value` explains is not counted, unless it would hide a slope that is off by a thousandth.
    """
    error, noise = float("inf"), None
    for h in STEPS:
        numeric = (8 * (value(h) - value(-h)) - (value(2 * h) - value(-2 * h))) / (12 * h)
        gap, scale = abs(numeric - slope), max(abs(numeric), abs(slope))
        error = min(error, gap / scale if scale > 1e-9 else gap)
        if error <= tolerance:
            break
        noise = rounding_of(value) if noise is None else noise
        if 4 * noise / h < 5e-4 * scale:
            error = min(error, max(gap - 4 * noise / h, 0.0) / scale)
    return float(error)


def rounding_of(value: Value) -> float:
    """The size of the rounding errors of `value` near 0, from its differences of fourth order over tiny steps.

    It is half a unit in the last place at least.
    """
    values = [value(k * 1e-10) for k in range(9)]
    measured = np.sqrt(np.mean(np.diff(values, 4) ** 2) / comb(8, 4))
    return float(max(measured, 0.5 * np.spacing(max(map(abs, values)))))


def has_kink(value: Value) -> bool:
    """Whether the slopes to the left and to the right of 0 differ, however short the step."""

    def gap(h: float) -> float:
        return abs(value(h) - 2 * value(0.0) + value(-h)) / h

    short = 4e-6
    return gap(short) > 0.3 * gap(100 * short) and gap(short) > 100 * rounding_of(value) / short


def direction(gradient: Array, rng: np.random.Generator) -> Array:
    """A random direction that leans towards the gradient, so that its slope is not small by chance.

    A wrong gradient still shows, since the true slope along it differs then.
    """
    noise = rng.standard_normal(gradient.shape)
    v: Array = np.asarray(noise / np.linalg.norm(noise))
    norm = float(np.linalg.norm(gradient))
    return v + gradient / norm if norm else v
