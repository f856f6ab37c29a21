"""The logistic function, its logarithm, its inverse, and the share of one number in a sum of exponentials."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ...engine.primitive import call_in, primitive
from ...engine.tensor import Tensor

Array = Any
__all__ = ["expit", "log_sigmoid", "logit", "logsigmoid", "sigmoid"]

LARGEST = {2: 11.0, 4: 88.0}
"""The largest argument of `exp` without overflow, by the bytes of the dtype; 708 for float64."""
SMALL = 256
"""Up to this many values it is cheaper to keep an argument as well as the value, and to look in the rule which one it
needs, than to look in the forward pass; they take no more memory than the node itself."""
FLAT = {"e": 3.0, "f": 5.0, "d": 20.0}
"""From where on 1 − sigmoid(x) has lost digits, by the dtype's letter: relative errors are 1e-5 there in float32, 1e-7
in float64."""
FLAT_VALUE = {np.dtype(letter): 1 / (1 + math.exp(-limit)) for letter, limit in FLAT.items()}
"""sigmoid(x) there."""


def logistic(xp: Any, x: Array) -> Array:
    """`1 / (1 + exp(-x))`, accurate in its tail; the exponential cannot overflow. Of a tensor, `sigmoid`."""
    if isinstance(x, Tensor):
        return sigmoid(x)
    largest, one = _numbers_for(xp, x)
    return one / (xp.exp(xp.minimum(-x, largest)) + one)


_NUMBERS = {
    np.dtype(letter): (np.array(largest, letter), np.ones((), letter))
    for letter, largest in (("e", LARGEST[2]), ("f", LARGEST[4]), ("d", 708.0))
}


def _numbers_for(xp: Any, x: Array) -> tuple[Any, Any]:
    """`LARGEST` for `x`, and 1. NumPy takes arrays of the dtype of `x` at half the price of Python's numbers."""
    numbers = _NUMBERS.get(x.dtype) if xp is np else None
    return (LARGEST.get(x.dtype.itemsize, 708.0), 1) if numbers is None else numbers


@primitive
def sigmoid_slope(xp: Any, x: Array) -> Any:
    """The derivative of `sigmoid`, σ(x) σ(−x), from its argument."""
    y = logistic_and_slope(xp, x)[1]
    return y, (x, y), lambda xp, g, x, y: -g * y * xp.tanh(x * 0.5)


def logistic_and_slope(xp: Any, x: Array) -> tuple[Array, Array]:
    """`logistic` and its derivative, with one exponential; a tensor's are recorded as operations."""
    if isinstance(x, Tensor):
        return sigmoid(x), sigmoid_slope(x)
    largest, one = _numbers_for(xp, x)
    e = xp.exp(xp.minimum(-x, largest))
    s = one / (e + one)
    return s, e * s * s


# The rules of the most common operations are made once, not at every call.
_SIGMOID = (lambda xp, g, y: g * (y - y * y),)
_FLAT_SIGMOID = (lambda xp, g, x: g * call_in(xp, sigmoid_slope, x),)


def _by_sigmoid(xp: Any, g: Array, x: Array, y: Array) -> Array:
    host = y if xp is np else y._array
    limit = FLAT_VALUE.get(host.dtype)
    if limit is None or host.item(host.argmax()) <= limit:  # never true of NaN
        return g * (y - y * y)
    return g * call_in(xp, sigmoid_slope, x)


_SMALL_SIGMOID = (_by_sigmoid,)


@primitive
def sigmoid(xp: Any, x: Array) -> Any:
    """`1 / (1 + exp(-x))`, without overflow. Its derivative is accurate where the value rounds to 1, too."""
    y = logistic(xp, x)
    if xp is np and 0 < x.size <= SMALL:
        return y, (x, y), _SMALL_SIGMOID
    limit = FLAT.get(x.dtype.char)
    # On a device, finding the largest element would synchronise.
    if limit is None or (xp is np and (not x.size or x.item(x.argmax()) <= limit)):
        return y, (y,), _SIGMOID
    return y, (x,), _FLAT_SIGMOID


expit = sigmoid


@primitive
def log_sigmoid(xp: Any, x: Array) -> Any:
    """`log(sigmoid(x))`, without overflow."""
    y = xp.minimum(x, 0) - xp.log1p(xp.exp(-xp.abs(x)))
    return y, (x,), lambda xp, g, x: g * logistic(xp, -x)


logsigmoid = log_sigmoid


def share_of_sum(xp: Any, a: Array, b: Array, scale: float = 1.0) -> Array:
    """`exp(a) / (exp(a) + exp(b))` of `scale` times both; 0 if a is −inf, and equal shares if both are +inf."""
    none = a == -math.inf
    equal = xp.logical_or(none, xp.logical_and(a == math.inf, b == math.inf))
    difference = xp.where(equal, 0.0, a) - xp.where(equal, 0.0, b)
    none = xp.logical_or(none, difference < -800.0)
    return xp.where(none, 0.0, logistic(xp, xp.where(none, 0.0, difference) * scale))


@primitive
def logit(xp: Any, x: Array, eps: float | None = None) -> Any:
    """`log(x / (1 - x))`, the inverse of `sigmoid`; with `eps`, x is clipped to [eps, 1 − eps] first, as in torch.

    Clipped values pass no gradient on.
    """
    p = x if eps is None else xp.clip(x, eps, 1 - eps)
    central = xp.abs(p - 0.5) < 0.25  # there the quotient is near 1, where log loses digits, but 2p − 1 is exact
    y = xp.where(central, 2 * xp.arctanh(xp.where(central, 2 * p - 1, 0.0)), xp.log(p / (1 - p)))

    def rule(xp: Any, g: Array, x: Array) -> Array:
        if eps is None:
            return g / (x * (1 - x))
        inside = xp.logical_and(x >= eps, x <= 1 - eps)
        x = xp.where(inside, x, 0.5)
        return xp.where(inside, g / (x * (1 - x)), xp.zeros_like(g))

    return y, (x,), rule
