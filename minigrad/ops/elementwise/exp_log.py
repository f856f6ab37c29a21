"""Exponentials and logarithms, element by element."""

from __future__ import annotations

import math
from typing import Any

from ...engine.primitive import primitive

Array = Any
__all__ = ["exp", "exp2", "expm1", "log", "log1p", "log2", "log10", "logaddexp", "logaddexp2", "logit", "xlogy"]

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
    return y, (y,), lambda xp, g, y: g * (y + 1)


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
    """`log(exp(a) + exp(b))`, without overflow, broadcast; the gradient is 0 where the result is infinite."""
    return _log_of_sum(xp.logaddexp(a, b), a, b, "exp")


@primitive
def logaddexp2(xp: Any, a: Array, b: Array) -> Any:
    """`log2(2**a + 2**b)`, without overflow, broadcast; the gradient is 0 where the result is infinite."""
    return _log_of_sum(xp.logaddexp2(a, b), a, b, "exp2")


def _log_of_sum(y: Array, a: Array, b: Array, exp: str) -> Any:
    """The value y and its rules: each input gets its share exp(input − y) of the gradient, 0 where y is infinite."""

    def rule(xp: Any, g: Array, x: Array, y: Array) -> Array:
        finite = xp.isfinite(y)
        return g * getattr(xp, exp)(xp.where(finite, x - xp.where(finite, y, 0.0), -math.inf))

    return y, (a, b, y), (lambda xp, g, a, b, y: rule(xp, g, a, y), lambda xp, g, a, b, y: rule(xp, g, b, y))


@primitive
def xlogy(xp: Any, a: Array, b: Array) -> Any:
    """`a * log(b)`, and 0 with gradient 0 where `a = b = 0`, as `scipy.special.xlogy`."""
    zero = xp.logical_and(a == 0, b == b)

    def by_a(xp: Any, g: Array, a: Array, b: Array) -> Array:
        return g * xp.log(xp.where(xp.logical_and(a == 0, b == 0), 1.0, b))

    def by_b(xp: Any, g: Array, a: Array, b: Array) -> Array:
        return g * a / xp.where(xp.logical_and(a == 0, b == 0), 1.0, b)

    return xp.where(zero, 0.0, a * xp.log(xp.where(zero, 1.0, b))), (a, b), (by_a, by_b)


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
