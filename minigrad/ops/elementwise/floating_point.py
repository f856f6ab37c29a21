"""Remainders, fractional parts, mantissas and exponents, signs, and replacement of NaN."""

from __future__ import annotations

from typing import Any

from ...engine.primitive import composed, primitive
from ...engine.tensor import Tensor
from .arithmetic import absolute, astype, divide, where
from .nondifferentiable import equal, floor_divide, frexp_exponent, off_tape, trunc

Array = Any
__all__ = ["copysign", "divmod", "fmod", "frexp", "heaviside", "ldexp", "mod", "modf", "nan_to_num", "remainder"]
__all__ += ["sign"]


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


_sign, _heaviside = off_tape("sign"), off_tape("heaviside")


@composed
def sign(x: Any) -> Tensor:
    """−1, 0 or 1, a constant; of complex values `x / |x|`, which has a derivative except at 0, where it is 0."""
    if getattr(x, "dtype", None) is None or x.dtype.kind != "c":
        return _sign(x)
    at_zero = equal(x, 0)
    return where(at_zero, 0, divide(x, where(at_zero, 1, absolute(x))))


@composed
def heaviside(x1: Any, x2: Any) -> Tensor:
    """0 where x1 is negative, 1 where it is positive, x2 where it is 0: there the gradient flows to x2."""
    step = _heaviside(x1, x2)
    if isinstance(x2, Tensor) and x2.requires_grad:
        return where(equal(x1, 0), x2, step)
    return step
