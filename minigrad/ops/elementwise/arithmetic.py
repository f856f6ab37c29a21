"""Elementwise arithmetic. Rules need not undo broadcasting; the backward pass does."""

from __future__ import annotations

from typing import Any, overload

import numpy as np

from ...backend import is_array, nonzero
from ...engine.primitive import composed, primitive
from ...engine.slope import slope_at_kinks
from ...engine.tensor import Tensor

Array = Any
__all__ = ["add", "divide", "float_power", "multiply", "pow", "power", "subtract", "true_divide"]
__all__ += ["abs", "absolute", "cbrt", "fabs", "negative", "positive", "reciprocal", "sqrt", "square"]
__all__ += ["astype", "clip", "fmax", "fmin", "lerp", "maximum", "minimum", "where"]


# The rules of the most common operations are built once, not at every call.
_ADD = (lambda xp, g: g, lambda xp, g: g)
_SUBTRACT = (lambda xp, g: g, lambda xp, g: -g)
_MULTIPLY = (lambda xp, g, a, b: g * b, lambda xp, g, a, b: g * a)
_DIVIDE = (lambda xp, g, a, b: g / b, lambda xp, g, a, b: -g * (a / b) / b)


@primitive
def add(xp: Any, a: Array, b: Array) -> Any:
    """`a + b`, broadcast."""
    return a + b, (), _ADD


@primitive
def subtract(xp: Any, a: Array, b: Array) -> Any:
    """`a - b`, broadcast."""
    return a - b, (), _SUBTRACT


@primitive
def multiply(xp: Any, a: Array, b: Array) -> Any:
    """`a * b`, broadcast."""
    return a * b, (a, b), _MULTIPLY


@primitive
def divide(xp: Any, a: Array, b: Array) -> Any:
    """`a / b`, broadcast."""
    return a / b, (a, b), _DIVIDE


@primitive
def power(xp: Any, a: Array, b: Array) -> Any:
    """`a ** b`, broadcast. The derivative by `b` needs `a > 0`; at `a = 0` it is 0, its limit for `b > 0`."""
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


true_divide, pow = divide, power


@composed
def float_power(a: Any, b: Any) -> Tensor:
    """`power` computed in float64 for any inputs, so that integers may have negative exponents."""
    a, b = (x if isinstance(x, (int, float)) else astype(x, np.float64) for x in (a, b))
    return power(float(a) if isinstance(a, int) else a, float(b) if isinstance(b, int) else b)


_NEGATIVE = (lambda xp, g: -g,)


@primitive
def negative(xp: Any, x: Array) -> Any:
    """`-x`."""
    return xp.negative(x), (), _NEGATIVE


@primitive
def positive(xp: Any, x: Array) -> Any:
    """`+x`, a copy."""
    return xp.positive(x), (), lambda xp, g: g


_SQUARE = (lambda xp, g, x: g * (x + x),)


@primitive
def square(xp: Any, x: Array) -> Any:
    """`x * x`."""
    return xp.square(x), (x,), _SQUARE


_SQRT = (lambda xp, g, y: g / (y + y),)


@primitive
def sqrt(xp: Any, x: Array) -> Any:
    """The square root; its derivative at 0 is infinite."""
    y = xp.sqrt(x)
    return y, (y,), _SQRT


@primitive
def cbrt(xp: Any, x: Array) -> Any:
    """The cube root, of negative numbers too; its derivative at 0 is infinite."""
    y = xp.cbrt(x)
    return y, (y,), lambda xp, g, y: g / (3 * y * y)


@primitive
def reciprocal(xp: Any, x: Array) -> Any:
    """`1 / x`."""
    y = xp.reciprocal(x)
    return y, (y,), lambda xp, g, y: -g * y * y


@primitive
def abs(xp: Any, x: Array) -> Any:
    """The absolute value, of complex numbers too; the derivative at 0 is 0."""
    y = xp.abs(x)
    return y, (x, y), _by_size_complex if x.dtype.kind == "c" else _by_size


def _by_size(xp: Any, g: Array, x: Array, y: Array) -> Array:
    slope = slope_at_kinks(g, y)
    return g * xp.sign(x) if slope is None else g * xp.sign(x) + slope * x


def _by_size_complex(xp: Any, g: Array, x: Array, y: Array) -> Array:
    slope, x = slope_at_kinks(g, y), xp.conj(x)
    g = g * x / xp.where(y == 0, 1.0, y)
    return g if slope is None else g + slope * x


absolute = abs


@primitive
def fabs(xp: Any, x: Array) -> Any:
    """The absolute value of a real number, a float even for an integer; the derivative at 0 is 0."""
    y = xp.fabs(x)
    return y, (x, y), _by_size


@primitive
def maximum(xp: Any, a: Array, b: Array) -> Any:
    """The larger of two values, broadcast; where they are equal each gets half of the gradient."""
    by_a, by_b = (lambda xp, g, a, b: g * _wins(a, b, g)), (lambda xp, g, a, b: g * _wins(b, a, g))
    return xp.maximum(a, b), (a, b), (by_a, by_b)


@primitive
def minimum(xp: Any, a: Array, b: Array) -> Any:
    """The smaller of two values, broadcast; where they are equal each gets half of the gradient."""
    by_a, by_b = (lambda xp, g, a, b: g * _wins(b, a, g)), (lambda xp, g, a, b: g * _wins(a, b, g))
    return xp.minimum(a, b), (a, b), (by_a, by_b)


def _wins(a: Array, b: Array, like: Array) -> Array:
    """1 where a > b, 1/2 where they are equal, else 0, in the dtype of `like`."""
    return ((a > b) + 0.5 * (a == b)).astype(like.dtype)


@primitive
def fmax(xp: Any, a: Array, b: Array) -> Any:
    """The larger of two values, ignoring NaN, broadcast; where they are equal each gets half of the gradient."""
    by_a, by_b = (lambda xp, g, a, b: g * _wins_or_nan(a, b, g)), (lambda xp, g, a, b: g * _wins_or_nan(b, a, g))
    return xp.fmax(a, b), (a, b), (by_a, by_b)


@primitive
def fmin(xp: Any, a: Array, b: Array) -> Any:
    """The smaller of two values, ignoring NaN, broadcast; where they are equal each gets half of the gradient."""
    by_a, by_b = (lambda xp, g, a, b: g * _wins_or_nan(-a, -b, g)), (lambda xp, g, a, b: g * _wins_or_nan(-b, -a, g))
    return xp.fmin(a, b), (a, b), (by_a, by_b)


def _wins_or_nan(a: Array, b: Array, like: Array) -> Array:
    """`_wins`, and 1 where only b is NaN."""
    return ((a > b) + 0.5 * (a == b) + (b != b) * (a == a)).astype(like.dtype)


@primitive
def lerp(xp: Any, start: Array, end: Array, weight: Array) -> Any:
    """`start + weight * (end - start)`, the linear interpolation between two values, broadcast; torch's `lerp`."""
    return (
        start + weight * (end - start),
        (start, end, weight),
        (
            lambda xp, g, start, end, weight: g * (1 - weight),
            lambda xp, g, start, end, weight: g * weight,
            lambda xp, g, start, end, weight: g * (end - start),
        ),
    )


@primitive
def _where(xp: Any, condition: Array, a: Array, b: Array) -> Any:
    return (
        xp.where(condition, a, b),
        (condition,),
        (
            lambda xp, g, condition: xp.zeros_like(g),
            lambda xp, g, condition: xp.where(condition, g, xp.zeros_like(g)),
            lambda xp, g, condition: xp.where(condition, xp.zeros_like(g), g),
        ),
    )


@overload
def where(condition: Any, /) -> tuple[Tensor, ...]: ...
@overload
def where(condition: Any, a: Any, b: Any, /) -> Tensor: ...
def where(condition: Any, /, *choices: Any) -> Any:
    """Return `a` where the condition holds, else `b`; all three broadcast. No gradient flows to the condition.

    `where(condition)` alone returns the indices where it holds, as `nonzero` does; this synchronises with the device.
    """
    if choices:
        return _where(condition, *choices)
    array = condition._array if isinstance(condition, Tensor) else condition
    return tuple(Tensor(index) for index in (nonzero if is_array(array) else np.nonzero)(array))


def clip(x: Any, a_min: Any = None, a_max: Any = None, *, min: Any = None, max: Any = None) -> Tensor:
    """Return `x` limited to two bounds, either of which may be None; the gradient of a value outside goes to the bound.

    `min` and `max` are the Array API's names of the bounds.
    """
    return _clip(x, a_min if min is None else min, a_max if max is None else max)


@primitive
def _clip(xp: Any, x: Array, low: Any, high: Any) -> Any:
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
    """Return `x` in another dtype; the gradient comes back in x's own. Integers and booleans are off the tape."""
    dtype = np.dtype(dtype)
    return _astype(x if dtype.kind in "fc" or not isinstance(x, Tensor) else x.detach(), dtype=dtype)
