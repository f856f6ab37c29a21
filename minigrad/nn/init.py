"""Initial values of weights: host arrays drawn from a NumPy generator, the same on every backend.

Numbers are drawn in float64 and rounded, so that a float32 and a float64 network made with one seed agree too.
"""

from __future__ import annotations

import functools
import inspect
import math
from collections.abc import Callable, Sequence
from typing import Any, ParamSpec, TypeVar

import numpy as np

from .. import arguments_of as docstrings
from ..validation import check_choice, check_dtype, check_integer, check_number, is_integer, type_shown

Host = np.ndarray[Any, Any]
Rng = np.random.Generator | int | None
"""An argument `rng`: a generator, the seed of a new one, or None for the library's own."""
_default = np.random.default_rng()
P = ParamSpec("P")
R = TypeVar("R")


def default_generator() -> np.random.Generator:
    """Return the generator that layers draw from by default, always the same object."""
    return _default


def manual_seed(seed: int) -> np.random.Generator:
    """Seed the library's default generator, and return it. Raises ValueError unless seed is a whole number ≥ 0."""
    check_integer("manual_seed", 0, seed=seed)
    _default.bit_generator.state = np.random.default_rng(seed).bit_generator.state
    return _default


def as_generator(rng: Rng, caller: str) -> np.random.Generator | None:
    """Convert the argument `rng` to a generator, a new one for a seed; None, for the default generator, stays None.

    A caller that draws more than once converts once, so that a seed does not give the same numbers every time.

    Raises:
        TypeError: anything else. ValueError: a negative seed.
    """
    if rng is None or isinstance(rng, np.random.Generator):
        return rng
    if not is_integer(rng):
        raise TypeError(
            f"{caller}: rng: got {type_shown(rng)}, want a numpy.random.Generator, a whole number as a seed, or None"
        )
    if rng < 0:
        raise ValueError(f"{caller}: rng: got {rng}, want a seed of at least 0")
    return np.random.default_rng(int(rng))


def check_shape(caller: str, shape: Any, least: int = 0, argument: str = "shape") -> tuple[int, ...]:
    """The shape as a tuple of Python integers; `caller` and `argument` name it in an error.

    Raises:
        TypeError: it is no tuple or list. ValueError: it holds anything but whole numbers of at least `least`.
    """
    if not isinstance(shape, (tuple, list)):
        raise TypeError(f"{caller}: {argument}: got {type_shown(shape)}, want a tuple of whole numbers")
    for size in shape:
        check_integer(caller, least, **{argument: size})
    return tuple(int(size) for size in shape)


def undo_draws(function: Callable[P, R]) -> Callable[P, R]:
    """Make `function`, a constructor that raises, leave the generator in its argument `rng`, or the default one, as it
    was.
    """
    signature = inspect.signature(function)

    @functools.wraps(function)
    def wrapper(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            rng = signature.bind_partial(*args, **kwargs).arguments.get("rng")
        except TypeError:  # arguments that do not fit: the call says which
            rng = None
        generator = rng if isinstance(rng, np.random.Generator) else _default
        before = generator.bit_generator.state
        try:
            return function(*args, **kwargs)
        except BaseException:
            generator.bit_generator.state = before
            raise

    return wrapper


def _generator(rng: Rng, caller: str) -> np.random.Generator:
    return as_generator(rng, caller) or _default


def zeros(shape: Sequence[int], dtype: Any = "float32") -> Host:
    """Return zeros.

    Args:
        shape: of the array, a tuple or list of whole numbers.
        dtype: of the array, floating point or complex.

    Raises:
        TypeError: a shape that is not a tuple or list, or another dtype. ValueError: a size below 0.
    """
    return np.zeros(*_check("zeros", shape, dtype))


@docstrings.arguments_of(zeros)
def uniform(shape: Sequence[int], low: float = 0.0, high: float = 1.0, rng: Rng = None, dtype: Any = "float32") -> Host:
    """Draw from the uniform distribution on [low, high).

    Args:
        low, high: the bounds, low at most high.
        rng: where values are drawn from: a generator, a seed, or None for the library's own generator.
    """
    shape, dtype = _check("uniform", shape, dtype, low=low, high=high)
    if low > high:
        raise ValueError(f"uniform: low, high: got {low} and {high}, want low of at most high")
    return np.asarray(_generator(rng, "uniform").uniform(low, high, shape)).astype(dtype)


@docstrings.arguments_of(uniform)
def normal(shape: Sequence[int], mean: float = 0.0, std: float = 1.0, rng: Rng = None, dtype: Any = "float32") -> Host:
    """Draw from the normal distribution.

    Args:
        mean, std: its mean and its standard deviation, at least 0.
    """
    shape, dtype = _check("normal", shape, dtype, mean=mean)
    check_number("normal", 0, std=std)
    return np.asarray(_generator(rng, "normal").normal(mean, std, shape)).astype(dtype)


@docstrings.arguments_of(uniform)
def xavier_uniform(shape: Sequence[int], gain: float = 1.0, rng: Rng = None, dtype: Any = "float32") -> Host:
    """Draw uniformly from ±gain · √(6 / (fan_in + fan_out)) (Glorot & Bengio 2010).

    Args:
        shape: (fan_out, fan_in, …).
        gain: a factor, at least 0.

    Raises:
        ValueError: the shape has fewer than two axes.
    """
    shape, dtype = _check("xavier_uniform", shape, dtype)
    check_number("xavier_uniform", 0, gain=gain)
    bound = gain * math.sqrt(6 / sum(_fans("xavier_uniform", shape)))
    return uniform(shape, -bound, bound, rng, dtype)


@docstrings.arguments_of(xavier_uniform, sections=())
def xavier_normal(shape: Sequence[int], gain: float = 1.0, rng: Rng = None, dtype: Any = "float32") -> Host:
    """Draw normally, standard deviation gain · √(2 / (fan_in + fan_out)) (Glorot & Bengio 2010).

    Raises:
        ValueError: the shape has fewer than two axes.
    """
    shape, dtype = _check("xavier_normal", shape, dtype)
    check_number("xavier_normal", 0, gain=gain)
    return normal(shape, 0.0, gain * math.sqrt(2 / sum(_fans("xavier_normal", shape))), rng, dtype)


@docstrings.arguments_of(xavier_uniform, sections=())
def kaiming_uniform(
    shape: Sequence[int], a: float = 0.0, mode: str = "fan_in", rng: Rng = None, dtype: Any = "float32"
) -> Host:
    """Draw uniformly from ±√(6 / ((1 + a²) · fan)) (He et al. 2015).

    Args:
        a: the slope of the leaky relu that follows; 0 for relu, √5 gives ±1/√fan, the bound of `Linear`.
        mode: which fan, "fan_in" or "fan_out".

    Raises:
        ValueError: the shape has fewer than two axes, or `mode` is neither.
    """
    shape, dtype = _check("kaiming_uniform", shape, dtype, a=a)
    fans = dict(zip(("fan_in", "fan_out"), _fans("kaiming_uniform", shape)))
    check_choice("kaiming_uniform", fans, mode=mode)
    bound = math.sqrt(6 / ((1 + a * a) * fans[mode]))
    return uniform(shape, -bound, bound, rng, dtype)


@docstrings.arguments_of(uniform)
def orthogonal(shape: Sequence[int], gain: float = 1.0, rng: Rng = None, dtype: Any = "float32") -> Host:
    """Return gain · a random matrix whose rows, or columns where there are fewer, are orthonormal (Saxe et al. 2014).

    Args:
        shape: with more than two axes it is a matrix of its first axis by all others.
        gain: a factor.

    Raises:
        ValueError: the shape has fewer than two axes.
    """
    shape, dtype = _check("orthogonal", shape, dtype, gain=gain)
    _fans("orthogonal", shape)
    rows, columns = shape[0], math.prod(shape[1:])
    matrix = _generator(rng, "orthogonal").normal(size=(max(rows, columns), min(rows, columns)))
    q, r = np.linalg.qr(matrix)
    q = q * np.sign(np.diagonal(r))  # makes the distribution uniform (Mezzadri 2007)
    return np.ascontiguousarray(gain * (q.T if rows < columns else q)).reshape(shape).astype(dtype)


def _check(name: str, shape: Any, dtype: Any, **numbers: Any) -> tuple[tuple[int, ...], np.dtype[Any]]:
    """The shape and the dtype, checked, as are the numbers."""
    check_number(name, **numbers)
    return check_shape(name, shape), check_dtype(name, dtype, "fc")


def _fans(name: str, shape: Sequence[int]) -> tuple[int, int]:
    """(fan_in, fan_out) of a weight of shape (out, in, …)."""
    if len(shape) < 2:
        raise ValueError(f"{name}: shape: got {tuple(shape)}, want at least two axes, (fan_out, fan_in)")
    area = math.prod(shape[2:])
    return shape[1] * area, shape[0] * area
