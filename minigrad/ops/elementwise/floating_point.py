"""Remainders, fractional parts, mantissas and exponents, signs, and replacement of NaN."""

from __future__ import annotations

from typing import Any

from ...engine.primitive import composed, primitive
from ...engine.tensor import Tensor
from .arithmetic import astype
from .nondifferentiable import floor_divide, frexp_exponent, trunc

Array = Any
__all__ = ["copysign", "divmod", "fmod", "frexp", "ldexp", "mod", "modf", "nan_to_num", "remainder"]


@primitive
def remainder(xp: Any, a: Array, b: Array) -> Any:
    """`a - b * floor(a / b)`, with the sign of b, broadcast; at a jump the derivative is the one beside it."""
    return xp.remainder(a, b), (a, b), (lambda xp, g, a, b: g, lambda xp, g, a, b: -g * xp.floor_divide(a, b))


mod = remainder


@primitive
def fmod(xp: Any, a: Array, b: Array) -> Any:
    """`a - b * trunc(a / b)`, with the sign of a, broadcast; at a jump the derivative is the one beside it."""
    return xp.fmod(a, b), (a, b), (lambda xp, g, a, b: g, lambda xp, g, a, b: -g * xp.trunc(a / b))


@composed
def divmod(a: Any, b: Any) -> tuple[Tensor, Tensor]:
    """`(floor_divide(a, b), remainder(a, b))`; the first is a constant."""
    return floor_divide(a, b), remainder(a, b)


@primitive
def _fraction(xp: Any, x: Array) -> Any:
    return xp.modf(x)[0], (), lambda xp, g: g


@composed
def modf(x: Any) -> tuple[Tensor, Tensor]:
    """The fractional part, whose derivative is 1, and the integral part, a constant; both with the sign of x."""
    fraction, integral = _fraction(x), trunc(x)
    return fraction, integral if integral.dtype == fraction.dtype else astype(integral, fraction.dtype)


@primitive
def _mantissa(xp: Any, x: Array) -> Any:
    y, exponent = xp.frexp(x)
    return y, (exponent,), lambda xp, g, exponent: xp.ldexp(g, -exponent)


@composed
def frexp(x: Any) -> tuple[Tensor, Tensor]:
    """Split x into a mantissa, 1/2 ≤ |m| < 1, and the exponent of a power of two, which is a constant."""
    return _mantissa(x), frexp_exponent(x)


@primitive
def ldexp(xp: Any, a: Array, b: Array) -> Any:
    """`a * 2**b` for integers b, broadcast."""
    return xp.ldexp(a, b), (b,), (lambda xp, g, b: xp.ldexp(g, b), None)


@primitive
def copysign(xp: Any, a: Array, b: Array) -> Any:
    """The size of a with the sign of b, broadcast; the derivative by a is ±1, and 0 where a is 0; by b it is 0."""
    flipped, zero = xp.signbit(a) != xp.signbit(b), a == 0

    def by_a(xp: Any, g: Array, flipped: Array, zero: Array) -> Array:
        return xp.where(zero, xp.zeros_like(g), xp.where(flipped, -g, g))

    return xp.copysign(a, b), (flipped, zero), (by_a, lambda xp, g, flipped, zero: xp.zeros_like(g))


@primitive
def nan_to_num(
    xp: Any, x: Array, copy: bool = True, nan: float = 0.0, posinf: float | None = None, neginf: float | None = None
) -> Any:
    """Replace NaN and ±∞ with numbers, by default 0 and the dtype's largest; no gradient passes there.

    `copy` is accepted as in NumPy, but the result is always a copy.
    """
    finite = xp.isfinite(x)
    return (
        xp.nan_to_num(x, nan=nan, posinf=posinf, neginf=neginf),
        (finite,),
        (lambda xp, g, finite: xp.where(finite, g, xp.zeros_like(g)), None),
    )
