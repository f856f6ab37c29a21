"""Activation functions with `torch.nn.functional`'s arguments and derivatives at kinks.

A rule that chooses between two pieces evaluates the other piece at a harmless value, so that nothing overflows and no
artificial kink appears: second derivatives are right at 0 too.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ...engine.primitive import call_in, composed, primitive
from ...engine.tensor import Tensor
from ..arrays.shape import along
from ..elementwise.arithmetic import divide, multiply, where
from ..elementwise.error_function import in_blocks, ndtr
from ..elementwise.logistic import logistic, logistic_and_slope, sigmoid
from ..elementwise.trigonometric import sech_squared

Array = Any
__all__ = ["celu", "elu", "gelu", "glu", "hard_sigmoid", "hard_swish", "hardshrink", "hardsigmoid"]
__all__ += ["hardswish", "hardtanh", "leaky_relu", "mish", "relu", "relu6", "selu"]
__all__ += ["silu", "softplus", "softshrink", "softsign", "swish", "tanhshrink", "threshold"]


_ZEROS = {np.dtype(letter): np.zeros((), letter) for letter in "efd"}


def _zero(xp: Any, x: Array) -> Any:
    """0; NumPy takes an array of the dtype of `x` at half the price of Python's number."""
    return _ZEROS.get(x.dtype, 0) if xp is np else 0


# The rules of the most common operations are made once, not at every call.
_RELU = (lambda xp, g, x: g * (x > _zero(xp, x)),)


@primitive
def relu(xp: Any, x: Array) -> Any:
    """`max(x, 0)`; the derivative at 0 is 0."""
    return xp.maximum(x, _zero(xp, x)), (x,), _RELU


@primitive
def relu6(xp: Any, x: Array) -> Any:
    """`min(max(x, 0), 6)`; the derivative at 0 and at 6 is 0."""
    return xp.clip(x, 0, 6), (x,), lambda xp, g, x: g * xp.logical_and(x > 0, x < 6)


@primitive
def leaky_relu(xp: Any, x: Array, negative_slope: float = 0.01) -> Any:
    """x, or `negative_slope * x` if x is negative; the derivative at 0 is that slope, which may be learned."""
    a = negative_slope
    return (
        xp.where(x > 0, x, x * a),
        (x, a),
        (lambda xp, g, x, a: xp.where(x > 0, g, g * a), lambda xp, g, x, a: g * xp.minimum(x, 0)),
    )


@primitive
def elu(xp: Any, x: Array, alpha: float = 1.0) -> Any:
    """x, or `alpha * (exp(x) - 1)` if x is negative; the derivative at 0 is alpha."""
    value, saved, by_x = _exponential_below(xp, x, 1.0, alpha, 1.0)
    return value, saved, (by_x, lambda xp, g, x, *_: g * xp.expm1(xp.minimum(x, 0)))


@primitive
def selu(xp: Any, x: Array) -> Any:
    """`elu` with the two constants that preserve mean 0 and variance 1 (Klambauer et al. 2017)."""
    alpha, scale = 1.6732632423543772848170429916717, 1.0507009873554804934193349852946
    return _exponential_below(xp, x, scale, scale * alpha, 1.0)


@primitive
def celu(xp: Any, x: Array, alpha: float = 1.0) -> Any:
    """x, or `alpha * (exp(x / alpha) - 1)` if x is negative: smooth at 0 for every alpha."""

    def by_alpha(xp: Any, g: Array, x: Array, alpha: Any, _: Any) -> Array:
        low = xp.minimum(x, 0) / alpha
        return g * (xp.expm1(low) - low * xp.exp(low))

    value, saved, by_x = _exponential_below(xp, x, 1.0, alpha, alpha)
    return value, saved, (by_x, by_alpha)


def _exponential_below(xp: Any, x: Array, above: float, below: Any, width: Any) -> Any:
    """`above * x` if x > 0, else `below * (exp(x / width) - 1)`; with the rule for x."""

    def rule(xp: Any, g: Array, x: Array, below: Any, width: Any) -> Array:
        positive = x > 0
        return g * xp.where(positive, above, xp.exp(xp.where(positive, 0.0, x / width)) * (below / width))

    low = xp.minimum(x, 0)
    return xp.where(x > 0, x * above, xp.expm1(low / width) * below), (x, below, width), rule


def softplus(x: Any, beta: float = 1.0, threshold: float | None = None) -> Tensor:
    """`log(1 + exp(beta * x)) / beta`, without overflow.

    x itself if `beta * x` is above `threshold`. torch's default is 20, with an error of at most 2e-9.
    """
    if beta == 1 and threshold is None:
        return _softplus(x)
    scaled = multiply(x, beta)
    if threshold is None:
        return divide(_softplus(scaled), beta)
    above = scaled.detach() > threshold
    return where(above, x, divide(_softplus(where(above, 0.0, scaled)), beta))


@primitive
def _softplus(xp: Any, x: Array) -> Any:
    return xp.logaddexp(x, xp.zeros_like(x)), (x,), lambda xp, g, x: g * logistic(xp, x)


@primitive
def gelu(xp: Any, x: Array, approximate: str = "none") -> Any:
    """`x * Φ(x)` with the normal distribution's Φ, or its approximation by tanh (Hendrycks & Gimpel 2016)."""
    if approximate == "tanh":
        return (
            _bounded(xp, x) * logistic(xp, 2 * _inner(xp, x)),
            (x,),
            (_gelu_tanh_rule, None),
        )  # (1 + tanh u) / 2, exact in its tail
    if approximate != "none":
        raise ValueError(f"approximate: got {approximate!r}, want 'none' or 'tanh'")
    below = call_in(xp, ndtr, x)

    def rule(xp: Any, g: Array, x: Array, below: Array) -> Array:
        if isinstance(x, Tensor):  # a recorded backward pass: the saved value is a constant
            below = ndtr(x)
        return g * (below + in_blocks(xp, _times_density, x))

    return x * below, (x, below), (rule, None)


def _times_density(xp: Any, x: Array) -> Array:
    """x times the normal distribution's density. It is 0 beyond 40, so x is clipped to keep x² finite."""
    x = xp.clip(x, -40.0, 40.0)
    return x * (1 / math.sqrt(2 * math.pi)) * xp.exp(-0.5 * (x * x))


SLOPE, CUBE = math.sqrt(2 / math.pi), 0.044715


def _inner(xp: Any, x: Array) -> Array:
    """The argument of tanh; beyond 30, where tanh is ±1, x is clipped so that its cube stays finite."""
    x = xp.minimum(xp.maximum(x, -30.0), 30.0)
    return SLOPE * (x + CUBE * x * x * x)


def _gelu_tanh_rule(xp: Any, g: Array, x: Array) -> Array:
    u = 2 * _inner(xp, x)
    s, slope = logistic_and_slope(xp, u)
    x = xp.minimum(xp.maximum(x, -30.0), 30.0)
    return g * (s + x * slope * (2 * SLOPE) * (1 + 3 * CUBE * x * x))


@primitive
def silu(xp: Any, x: Array) -> Any:
    """`x * sigmoid(x)`, also called swish."""

    def rule(xp: Any, g: Array, x: Array) -> Array:
        s, slope = logistic_and_slope(xp, x)
        return g * (s + _bounded(xp, x) * slope)

    return _bounded(xp, x) * logistic(xp, x), (x,), rule


def _bounded(xp: Any, x: Array) -> Array:
    """x, at least −1000: its product with what decays as exp(x), but is never quite 0, is then small."""
    return xp.maximum(x, -1000.0)


swish = silu


@primitive
def mish(xp: Any, x: Array) -> Any:
    """`x * tanh(softplus(x))` (Misra 2019)."""

    def rule(xp: Any, g: Array, x: Array) -> Array:
        s = call_in(xp, _softplus, x)
        return g * (xp.tanh(s) + _bounded(xp, x) * call_in(xp, sech_squared, s) * logistic(xp, x))

    return x * xp.tanh(xp.logaddexp(x, xp.zeros_like(x))), (x,), rule


@primitive
def softsign(xp: Any, x: Array) -> Any:
    """`x / (1 + |x|)`."""

    def rule(xp: Any, g: Array, x: Array) -> Array:
        below = 1 / (1 + xp.abs(x))
        return g * below * below

    return x / (1 + xp.abs(x)), (x,), rule


@primitive
def hardtanh(xp: Any, x: Array, min_val: float = -1.0, max_val: float = 1.0) -> Any:
    """x clipped to an interval; the derivative at its ends is 0 by x and 1 by the end, which may be learned."""
    return (
        xp.clip(x, min_val, max_val),
        (x, min_val, max_val),
        (
            lambda xp, g, x, low, high: g * xp.logical_and(x > low, x < high),
            lambda xp, g, x, low, high: g * xp.logical_and(x <= low, x < high),
            lambda xp, g, x, low, high: g * (x >= high),
        ),
    )


@primitive
def hard_sigmoid(xp: Any, x: Array) -> Any:
    """`relu6(x + 3) / 6`; the derivative at ±3 is 0."""
    return xp.clip(x + 3, 0, 6) * (1 / 6), (x,), lambda xp, g, x: g * xp.logical_and(x > -3, x < 3) * (1 / 6)


@primitive
def hard_swish(xp: Any, x: Array) -> Any:
    """`x * relu6(x + 3) / 6`; the derivative at −3 is 0, at 3 it is 1."""

    def rule(xp: Any, g: Array, x: Array) -> Array:
        return g * xp.where(x <= -3, 0.0, xp.where(x < 3, x * (1 / 3) + 0.5, 1.0))

    return x * (xp.clip(x + 3, 0, 6) * (1 / 6)), (x,), rule


hardsigmoid, hardswish = hard_sigmoid, hard_swish


@primitive
def softshrink(xp: Any, x: Array, lambd: float = 0.5) -> Any:
    """x moved towards 0 by `lambd`, which may be learned; 0, with derivative 0, if |x| ≤ `lambd`."""
    return (
        x - xp.clip(x, -lambd, lambd),
        (x, lambd),
        (
            lambda xp, g, x, lambd: g * xp.logical_or(x > lambd, x < -lambd),
            lambda xp, g, x, lambd: xp.where(x > lambd, -g, xp.where(x < -lambd, g, 0.0)),
        ),
    )


@primitive
def hardshrink(xp: Any, x: Array, lambd: float = 0.5) -> Any:
    """x; 0, with derivative 0, if |x| ≤ `lambd`. There is no derivative by `lambd`, where the value jumps."""
    rule = lambda xp, g, x: g * xp.logical_or(x > lambd, x < -lambd)  # noqa: E731
    return xp.where(xp.logical_and(x >= -lambd, x <= lambd), 0.0, x), (x,), (rule, None)


@primitive
def tanhshrink(xp: Any, x: Array) -> Any:
    """`x - tanh(x)`."""

    def rule(xp: Any, g: Array, x: Array) -> Array:
        t = xp.tanh(x)
        return g * t * t

    return x - xp.tanh(x), (x,), rule


@primitive
def threshold(xp: Any, x: Array, threshold: float, value: float) -> Any:
    """x if x > `threshold`, else `value`, which may be learned. There is no derivative by `threshold`."""
    return (
        xp.where(x <= threshold, value, x),
        (x, threshold),
        (lambda xp, g, x, t: g * (x > t), None, lambda xp, g, x, t: g * (x <= t)),
    )


@composed
def glu(x: Any, dim: int = -1) -> Tensor:
    """The first half along `dim` times the sigmoid of the second half (Dauphin et al. 2017).

    Raises:
        ValueError: the axis has an odd length.
    """
    axis, n = dim % x.ndim, x.shape[dim]
    if n % 2:
        raise ValueError(f"glu: x: got shape {x.shape}, want an even length along axis {dim}")
    return multiply(x[along(axis, slice(None, n // 2))], sigmoid(x[along(axis, slice(n // 2, None))]))
