"""Exponentials and logarithms, element by element."""

from __future__ import annotations

import math
from typing import Any

from ...engine.primitive import primitive
from .logistic import share_of_sum

Array = Any
__all__ = ["exp", "exp2", "expm1", "log", "log1p", "log2", "log10", "logaddexp", "logaddexp2", "xlogy"]

LN2, LN10 = math.log(2), math.log(10)


# The rules of the most common operations are built once, not at every call.
_EXP = (lambda xp, g, y: g * y,)


@primitive
def exp(xp: Any, x: Array) -> Any:
    """The exponential."""
    y = xp.exp(x)
    return y, (y,), _EXP


@primitive
def exp2(xp: Any, x: Array) -> Any:
    """`2 ** x`."""
    y = xp.exp2(x)
    return y, (y,), lambda xp, g, y: g * y * LN2


@primitive
def expm1(xp: Any, x: Array) -> Any:
    """`exp(x) - 1`, exact near 0."""
    y = xp.expm1(x)
    return y, (x,), lambda xp, g, x: g * xp.exp(x)  # y + 1 would vanish where y rounds to −1


_LOG = (lambda xp, g, x: g / x,)


@primitive
def log(xp: Any, x: Array) -> Any:
    """The natural logarithm."""
    return xp.log(x), (x,), _LOG


@primitive
def log2(xp: Any, x: Array) -> Any:
    """The logarithm to the base 2."""
    return xp.log2(x), (x,), lambda xp, g, x: g / (x * LN2)


@primitive
def log10(xp: Any, x: Array) -> Any:
    """The logarithm to the base 10."""
    return xp.log10(x), (x,), lambda xp, g, x: g / (x * LN10)


@primitive
def log1p(xp: Any, x: Array) -> Any:
    """`log(1 + x)`, exact near 0."""
    return xp.log1p(x), (x,), lambda xp, g, x: g / (1 + x)


@primitive
def logaddexp(xp: Any, a: Array, b: Array) -> Any:
    """`log(exp(a) + exp(b))`, without overflow, broadcast; where both are −inf the gradient is 0."""
    return xp.logaddexp(a, b), (a, b), _shares(1.0)


@primitive
def logaddexp2(xp: Any, a: Array, b: Array) -> Any:
    """`log2(2**a + 2**b)`, without overflow, broadcast; where both are −inf the gradient is 0."""
    return xp.logaddexp2(a, b), (a, b), _shares(LN2)


def _shares(scale: float) -> Any:
    """The rules of a logarithm of a sum, in which each input has its share; `scale` is the logarithm of the base."""
    return (
        lambda xp, g, a, b: g * share_of_sum(xp, a, b, scale),
        lambda xp, g, a, b: g * share_of_sum(xp, b, a, scale),
    )


@primitive
def xlogy(xp: Any, a: Array, b: Array) -> Any:
    """`a * log(b)`, and 0 with gradient 0 where `a = b = 0`, as `scipy.special.xlogy`."""
    zero = xp.logical_and(a == 0, b == b)

    def by_a(xp: Any, g: Array, a: Array, b: Array) -> Array:
        return g * xp.log(xp.where(xp.logical_and(a == 0, b == 0), 1.0, b))

    def by_b(xp: Any, g: Array, a: Array, b: Array) -> Array:
        return g * a / xp.where(xp.logical_and(a == 0, b == 0), 1.0, b)

    return xp.where(zero, 0.0, a * xp.log(xp.where(zero, 1.0, b))), (a, b), (by_a, by_b)
