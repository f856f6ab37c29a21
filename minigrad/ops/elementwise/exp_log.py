"""Exponentials and logarithms, element by element."""

from __future__ import annotations

import math
from typing import Any

from ...engine.primitive import primitive

Array = Any
__all__ = [
    "exp",
    "exp2",
    "expm1",
    "log",
    "log1p",
    "log2",
    "log10",
    "logaddexp",
    "logaddexp2",
    "logit",
    "xlogy",
]

LN2, LN10 = math.log(2), math.log(10)


# The rules of the commonest operations are made once, not at every call.
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
    """`log(exp(a) + exp(b))`, without overflow, broadcast; no gradient where that is infinite."""
    y = xp.logaddexp(a, b)
    by_a, by_b = (
        (lambda xp, g, a, b, y: g * xp.exp(_below(xp, a, y))),
        (lambda xp, g, a, b, y: g * xp.exp(_below(xp, b, y))),
    )
    return y, (a, b, y), (by_a, by_b)


@primitive
def logaddexp2(xp: Any, a: Array, b: Array) -> Any:
    """`log2(2**a + 2**b)`, without overflow, broadcast; no gradient where that is infinite."""
    y = xp.logaddexp2(a, b)
    by_a, by_b = (
        (lambda xp, g, a, b, y: g * xp.exp2(_below(xp, a, y))),
        (lambda xp, g, a, b, y: g * xp.exp2(_below(xp, b, y))),
    )
    return y, (a, b, y), (by_a, by_b)


def _below(xp: Any, a: Array, y: Array) -> Array:
    """How far `a` is below the sum `y`; −inf, a share of nothing, where the sum is infinite."""
    finite = xp.isfinite(y)
    return xp.where(finite, a - xp.where(finite, y, 0.0), -math.inf)


@primitive
def xlogy(xp: Any, a: Array, b: Array) -> Any:
    """`a * log(b)`, and 0 with no gradient where `a = b = 0`, as `scipy.special.xlogy`."""
    nothing = xp.logical_and(a == 0, b == b)

    def by_a(xp: Any, g: Array, a: Array, b: Array) -> Array:
        return g * xp.log(xp.where(xp.logical_and(a == 0, b == 0), 1.0, b))

    def by_b(xp: Any, g: Array, a: Array, b: Array) -> Array:
        return g * a / xp.where(xp.logical_and(a == 0, b == 0), 1.0, b)

    return xp.where(nothing, 0.0, a * xp.log(xp.where(nothing, 1.0, b))), (a, b), (by_a, by_b)


@primitive
def logit(xp: Any, x: Array, eps: float | None = None) -> Any:
    """`log(x / (1 - x))`, the inverse of `sigmoid`; with `eps`, of x held between eps and 1 − eps, as torch's.

    What is held there passes no gradient on.
    """
    kept = x if eps is None else xp.clip(x, eps, 1 - eps)
    central = xp.abs(kept - 0.5) < 0.25  # where the quotient is near 1, and 2x − 1 exact
    y = xp.where(central, 2 * xp.arctanh(xp.where(central, 2 * kept - 1, 0.0)), xp.log(kept / (1 - kept)))

    def rule(xp: Any, g: Array, x: Array) -> Array:
        if eps is None:
            return g / (x * (1 - x))
        inside = xp.logical_and(x >= eps, x <= 1 - eps)
        x = xp.where(inside, x, 0.5)
        return xp.where(inside, g / (x * (1 - x)), xp.zeros_like(g))

    return y, (x,), rule
