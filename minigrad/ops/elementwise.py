"""Functions of one or two arrays, element by element. The chore of un-broadcasting is the pool's, not the rules'."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..primitive import primitive
from ..tensor import Tensor

Array = Any
__all__ = [
    "abs",
    "add",
    "astype",
    "clip",
    "cos",
    "divide",
    "exp",
    "expm1",
    "log",
    "log1p",
    "maximum",
    "minimum",
    "multiply",
    "negative",
    "positive",
    "power",
    "reciprocal",
    "relu",
    "sigmoid",
    "sin",
    "softplus",
    "sqrt",
    "square",
    "subtract",
    "tanh",
    "where",
]


# The rules of the commonest operations are made once, not at every call.
_ADD = (lambda xp, g: g, lambda xp, g: g)
_SUBTRACT = (lambda xp, g: g, lambda xp, g: -g)
_MULTIPLY = (lambda xp, g, a, b: g * b, lambda xp, g, a, b: g * a)
_DIVIDE = (lambda xp, g, a, b: g / b, lambda xp, g, a, b: -g * a / (b * b))


@primitive
def add(xp: Any, a: Array, b: Array) -> Any:
    """`a + b`, broadcast."""
    return xp.add(a, b), (), _ADD


@primitive
def subtract(xp: Any, a: Array, b: Array) -> Any:
    """`a - b`, broadcast."""
    return xp.subtract(a, b), (), _SUBTRACT


@primitive
def multiply(xp: Any, a: Array, b: Array) -> Any:
    """`a * b`, broadcast."""
    return xp.multiply(a, b), (a, b), _MULTIPLY


@primitive
def divide(xp: Any, a: Array, b: Array) -> Any:
    """`a / b`, broadcast."""
    return xp.divide(a, b), (a, b), _DIVIDE


@primitive
def power(xp: Any, a: Array, b: Array) -> Any:
    """`a ** b`, broadcast. The derivative by `b` needs `a > 0`; at `a = 0` it is taken as 0, its limit for `b > 0`."""
    y = xp.power(a, b)

    def by_base(xp: Any, g: Array, a: Array, b: Array, y: Array) -> Array:
        if isinstance(b, (int, float)):
            return g * b * a ** (b - 1) if b != 0 else g * 0
        return g * b * a ** xp.where(b == 0, 1, b - 1)

    def by_exponent(xp: Any, g: Array, a: Array, b: Array, y: Array) -> Array:
        if isinstance(a, (int, float)):
            return g * y * xp.log(xp.ones_like(y) * a) if a > 0 else g * 0
        return g * y * xp.log(xp.where(a == 0, xp.ones_like(a), a))

    return y, (a, b, y), (by_base, by_exponent)


@primitive
def negative(xp: Any, x: Array) -> Any:
    """`-x`."""
    return xp.negative(x), (), lambda xp, g: -g


@primitive
def positive(xp: Any, x: Array) -> Any:
    """`+x`, a copy."""
    return xp.positive(x), (), lambda xp, g: g


@primitive
def square(xp: Any, x: Array) -> Any:
    """`x * x`."""
    return xp.square(x), (x,), lambda xp, g, x: g * (2 * x)


@primitive
def sqrt(xp: Any, x: Array) -> Any:
    """The square root; its derivative at 0 is infinite."""
    y = xp.sqrt(x)
    return y, (y,), lambda xp, g, y: g * 0.5 / y


@primitive
def reciprocal(xp: Any, x: Array) -> Any:
    """`1 / x`."""
    y = xp.reciprocal(x)
    return y, (y,), lambda xp, g, y: -g * y * y


@primitive
def exp(xp: Any, x: Array) -> Any:
    """The exponential."""
    y = xp.exp(x)
    return y, (y,), lambda xp, g, y: g * y


@primitive
def expm1(xp: Any, x: Array) -> Any:
    """`exp(x) - 1`, exact near 0."""
    y = xp.expm1(x)
    return y, (y,), lambda xp, g, y: g * (y + 1)


@primitive
def log(xp: Any, x: Array) -> Any:
    """The natural logarithm."""
    return xp.log(x), (x,), lambda xp, g, x: g / x


@primitive
def log1p(xp: Any, x: Array) -> Any:
    """`log(1 + x)`, exact near 0."""
    return xp.log1p(x), (x,), lambda xp, g, x: g / (1 + x)


@primitive
def sin(xp: Any, x: Array) -> Any:
    """The sine of an angle in radians."""
    return xp.sin(x), (x,), lambda xp, g, x: g * xp.cos(x)


@primitive
def cos(xp: Any, x: Array) -> Any:
    """The cosine of an angle in radians."""
    return xp.cos(x), (x,), lambda xp, g, x: -g * xp.sin(x)


@primitive
def tanh(xp: Any, x: Array) -> Any:
    """The hyperbolic tangent."""
    y = xp.tanh(x)
    return y, (y,), lambda xp, g, y: g - g * y * y


@primitive
def sigmoid(xp: Any, x: Array) -> Any:
    """`1 / (1 + exp(-x))`, computed as `tanh(x / 2) / 2 + 1 / 2`, which never overflows."""
    y = xp.tanh(x * 0.5) * 0.5 + 0.5
    return y, (y,), lambda xp, g, y: g * (y - y * y)


@primitive
def relu(xp: Any, x: Array) -> Any:
    """`max(x, 0)`; the derivative at 0 is 0."""
    return xp.maximum(x, 0), (x,), lambda xp, g, x: g * (x > 0)


@primitive
def softplus(xp: Any, x: Array) -> Any:
    """`log(1 + exp(x))`, without overflow."""
    return xp.logaddexp(x, xp.zeros_like(x)), (x,), lambda xp, g, x: g * (xp.tanh(x * 0.5) * 0.5 + 0.5)


@primitive
def abs(xp: Any, x: Array) -> Any:
    """The absolute value; the derivative at 0 is 0."""
    return xp.abs(x), (x,), lambda xp, g, x: g * xp.sign(x)


@primitive
def maximum(xp: Any, a: Array, b: Array) -> Any:
    """The larger of two, broadcast; where they are equal each gets half of the gradient."""
    by_a, by_b = (lambda xp, g, a, b: g * _wins(a, b, g)), (lambda xp, g, a, b: g * _wins(b, a, g))
    return xp.maximum(a, b), (a, b), (by_a, by_b)


@primitive
def minimum(xp: Any, a: Array, b: Array) -> Any:
    """The smaller of two, broadcast; where they are equal each gets half of the gradient."""
    by_a, by_b = (lambda xp, g, a, b: g * _wins(b, a, g)), (lambda xp, g, a, b: g * _wins(a, b, g))
    return xp.minimum(a, b), (a, b), (by_a, by_b)


def _wins(a: Array, b: Array, like: Array) -> Array:
    """1 where a > b, one half where they are equal, else 0; in the dtype of `like`."""
    return ((a > b) + 0.5 * (a == b)).astype(like.dtype)


@primitive
def where(xp: Any, condition: Array, a: Array, b: Array) -> Any:
    """`a` where the condition holds, else `b`; all three broadcast. No gradient flows to the condition."""
    return (
        xp.where(condition, a, b),
        (condition,),
        (
            lambda xp, g, condition: xp.zeros_like(g),
            lambda xp, g, condition: xp.where(condition, g, xp.zeros_like(g)),
            lambda xp, g, condition: xp.where(condition, xp.zeros_like(g), g),
        ),
    )


@primitive
def clip(xp: Any, x: Array, low: Any, high: Any) -> Any:
    """`x` held between two bounds, either of which may be None; a value outside gives its gradient to the bound."""

    def inside(xp: Any, g: Array, x: Array, low: Any, high: Any) -> Array:
        g = g if low is None else xp.where(x < low, xp.zeros_like(g), g)
        return g if high is None else xp.where(x > high, xp.zeros_like(g), g)

    return (
        xp.clip(x, low, high),
        (x, low, high),
        (
            inside,
            lambda xp, g, x, low, high: xp.where(x < low, g, xp.zeros_like(g)),
            lambda xp, g, x, low, high: xp.where(x > high, g, xp.zeros_like(g)),
        ),
    )


@primitive
def _astype(xp: Any, x: Array, dtype: Any) -> Any:
    return x.astype(dtype), (), lambda xp, g: g


def astype(x: Any, dtype: Any) -> Tensor:
    """`x` in another dtype; the gradient comes back in its own. Integers and booleans are off the tape."""
    dtype = np.dtype(dtype)
    return _astype(x if dtype.kind in "fc" or not isinstance(x, Tensor) else x.detach(), dtype=dtype)
