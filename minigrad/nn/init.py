"""Initial values of weights: host arrays drawn from a NumPy generator, so that they are the same on every backend.

Numbers are drawn in float64 and rounded, so a float32 and a float64 net made with one seed agree too.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

Host = np.ndarray[Any, Any]
_default = np.random.default_rng()


def default_generator() -> np.random.Generator:
    """The generator that layers draw from when they are given none. Always the same object."""
    return _default


def manual_seed(seed: int) -> np.random.Generator:
    """Start the library's default generator anew from `seed`, and return it."""
    _default.bit_generator.state = np.random.default_rng(seed).bit_generator.state
    return _default


def zeros(shape: Sequence[int], dtype: Any = "float32") -> Host:
    """Zeros."""
    return np.zeros(shape, dtype)


def uniform(
    shape: Sequence[int],
    low: float = 0.0,
    high: float = 1.0,
    rng: np.random.Generator | None = None,
    dtype: Any = "float32",
) -> Host:
    """Uniform on [low, high)."""
    return np.asarray((rng or _default).uniform(low, high, shape)).astype(dtype)


def normal(
    shape: Sequence[int],
    mean: float = 0.0,
    std: float = 1.0,
    rng: np.random.Generator | None = None,
    dtype: Any = "float32",
) -> Host:
    """Normal with the given mean and standard deviation."""
    return np.asarray((rng or _default).normal(mean, std, shape)).astype(dtype)


def xavier_uniform(
    shape: Sequence[int], gain: float = 1.0, rng: np.random.Generator | None = None, dtype: Any = "float32"
) -> Host:
    """Uniform on ±gain · √(6 / (fan_in + fan_out)) (Glorot & Bengio 2010); shape (fan_out, fan_in, …).

    Raises:
        ValueError: the shape has fewer than two axes.
    """
    bound = gain * math.sqrt(6 / sum(_fans("xavier_uniform", shape)))
    return uniform(shape, -bound, bound, rng, dtype)


def xavier_normal(
    shape: Sequence[int], gain: float = 1.0, rng: np.random.Generator | None = None, dtype: Any = "float32"
) -> Host:
    """Normal, standard deviation gain · √(2 / (fan_in + fan_out)) (Glorot & Bengio 2010); shape (fan_out, fan_in, …).

    Raises:
        ValueError: the shape has fewer than two axes.
    """
    return normal(shape, 0.0, gain * math.sqrt(2 / sum(_fans("xavier_normal", shape))), rng, dtype)


def kaiming_uniform(
    shape: Sequence[int],
    a: float = 0.0,
    mode: str = "fan_in",
    rng: np.random.Generator | None = None,
    dtype: Any = "float32",
) -> Host:
    """Uniform on ±√(6 / ((1 + a²) · fan)) (He et al. 2015); shape (fan_out, fan_in, …).

    Args:
        a: the slope of the leaky relu that follows; 0 for relu, √5 gives ±1/√fan, the bound of `Linear`.
        mode: which fan, "fan_in" or "fan_out".

    Raises:
        ValueError: the shape has fewer than two axes, or `mode` is neither.
    """
    fans = dict(zip(("fan_in", "fan_out"), _fans("kaiming_uniform", shape)))
    if mode not in fans:
        raise ValueError(f"kaiming_uniform: mode: got {mode!r}, want 'fan_in' or 'fan_out'")
    bound = math.sqrt(6 / ((1 + a * a) * fans[mode]))
    return uniform(shape, -bound, bound, rng, dtype)


def orthogonal(
    shape: Sequence[int], gain: float = 1.0, rng: np.random.Generator | None = None, dtype: Any = "float32"
) -> Host:
    """gain · a random matrix whose rows, or columns where there are fewer, are orthonormal (Saxe et al. 2014).

    A shape of more than two axes is a matrix of its first axis by all others.

    Raises:
        ValueError: the shape has fewer than two axes.
    """
    _fans("orthogonal", shape)
    rows, columns = shape[0], math.prod(shape[1:])
    q, r = np.linalg.qr((rng or _default).normal(size=(max(rows, columns), min(rows, columns))))
    q = q * np.sign(np.diagonal(r))  # makes the distribution uniform (Mezzadri 2007)
    return np.ascontiguousarray(gain * (q.T if rows < columns else q)).reshape(shape).astype(dtype)


def _fans(name: str, shape: Sequence[int]) -> tuple[int, int]:
    """(fan_in, fan_out) of a weight of shape (out, in, …)."""
    if len(shape) < 2:
        raise ValueError(f"{name}: shape: got {tuple(shape)}, want at least two axes, (fan_out, fan_in)")
    area = math.prod(shape[2:])
    return shape[1] * area, shape[0] * area
