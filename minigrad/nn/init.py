"""Initial values of weights: host arrays drawn from a NumPy generator, so that they are the same on every backend.

Numbers are drawn in float64 and rounded, so a float32 and a float64 net made with one seed agree too.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

Host = np.ndarray[Any, Any]
Rng = np.random.Generator | int | None
"""What an argument `rng` may be: a generator, the seed of a new one, or None for the library's own."""
_default = np.random.default_rng()


def default_generator() -> np.random.Generator:
    """The generator that layers draw from when they are given none. Always the same object."""
    return _default


def manual_seed(seed: int) -> np.random.Generator:
    """Start the library's default generator anew from `seed`, and return it."""
    _default.bit_generator.state = np.random.default_rng(seed).bit_generator.state
    return _default


def as_generator(rng: Rng, caller: str) -> np.random.Generator | None:
    """What was given for `rng` as a generator, a seed as a new one; None stays None, for the default generator.

    What draws more than once asks for it once, so that a seed does not give the same numbers every time.

    Raises:
        TypeError: anything else, in the name of `asked`. ValueError: a negative seed.
    """
    if rng is None or isinstance(rng, np.random.Generator):
        return rng
    if isinstance(rng, bool) or not isinstance(rng, (int, np.integer)):
        got = f"{type(rng).__module__}.{type(rng).__qualname__}".removeprefix("builtins.")
        raise TypeError(f"{caller}: rng: got {got}, want a numpy.random.Generator, a whole number as a seed, or None")
    if rng < 0:
        raise ValueError(f"{caller}: rng: got {rng}, want a seed of at least 0")
    return np.random.default_rng(int(rng))


def _drawing(rng: Rng, caller: str) -> np.random.Generator:
    given = as_generator(rng, caller)
    return _default if given is None else given


def zeros(shape: Sequence[int], dtype: Any = "float32") -> Host:
    """Zeros."""
    return np.zeros(shape, dtype)


def uniform(
    shape: Sequence[int],
    low: float = 0.0,
    high: float = 1.0,
    rng: Rng = None,
    dtype: Any = "float32",
) -> Host:
    """Uniform on [low, high)."""
    return np.asarray(_drawing(rng, "uniform").uniform(low, high, shape)).astype(dtype)


def normal(
    shape: Sequence[int],
    mean: float = 0.0,
    std: float = 1.0,
    rng: Rng = None,
    dtype: Any = "float32",
) -> Host:
    """Normal with the given mean and standard deviation."""
    return np.asarray(_drawing(rng, "normal").normal(mean, std, shape)).astype(dtype)


def xavier_uniform(shape: Sequence[int], gain: float = 1.0, rng: Rng = None, dtype: Any = "float32") -> Host:
    """Uniform on ±gain · √(6 / (fan_in + fan_out)) (Glorot & Bengio 2010); shape (fan_out, fan_in, …).

    Raises:
        ValueError: the shape has fewer than two axes.
    """
    bound = gain * math.sqrt(6 / sum(_fans("xavier_uniform", shape)))
    return uniform(shape, -bound, bound, rng, dtype)


def xavier_normal(shape: Sequence[int], gain: float = 1.0, rng: Rng = None, dtype: Any = "float32") -> Host:
    """Normal, standard deviation gain · √(2 / (fan_in + fan_out)) (Glorot & Bengio 2010); shape (fan_out, fan_in, …).

    Raises:
        ValueError: the shape has fewer than two axes.
    """
    return normal(shape, 0.0, gain * math.sqrt(2 / sum(_fans("xavier_normal", shape))), rng, dtype)


def kaiming_uniform(
    shape: Sequence[int],
    a: float = 0.0,
    mode: str = "fan_in",
    rng: Rng = None,
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


def orthogonal(shape: Sequence[int], gain: float = 1.0, rng: Rng = None, dtype: Any = "float32") -> Host:
    """gain · a random matrix whose rows, or columns where there are fewer, are orthonormal (Saxe et al. 2014).

    A shape of more than two axes is a matrix of its first axis by all others.

    Raises:
        ValueError: the shape has fewer than two axes.
    """
    _fans("orthogonal", shape)
    rows, columns = shape[0], math.prod(shape[1:])
    drawn = _drawing(rng, "orthogonal").normal(size=(max(rows, columns), min(rows, columns)))
    q, r = np.linalg.qr(drawn)
    q = q * np.sign(np.diagonal(r))  # makes the distribution uniform (Mezzadri 2007)
    return np.ascontiguousarray(gain * (q.T if rows < columns else q)).reshape(shape).astype(dtype)


def _fans(name: str, shape: Sequence[int]) -> tuple[int, int]:
    """(fan_in, fan_out) of a weight of shape (out, in, …)."""
    if len(shape) < 2:
        raise ValueError(f"{name}: shape: got {tuple(shape)}, want at least two axes, (fan_out, fan_in)")
    area = math.prod(shape[2:])
    return shape[1] * area, shape[0] * area
