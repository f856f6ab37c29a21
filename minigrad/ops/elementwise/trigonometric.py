"""Trigonometric and hyperbolic functions and their inverses, under both of NumPy's names."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ...engine.primitive import call_in, primitive
from ...engine.slope import slope_at_kinks
from ...engine.tensor import Tensor
from .logistic import LARGEST, SMALL

Array = Any
__all__ = ["acos", "arccos", "arcsin", "arctan", "arctan2", "asin", "atan", "atan2", "cos", "hypot", "sin", "tan"]
__all__ += ["acosh", "arccosh", "arcsinh", "arctanh", "asinh", "atanh", "cosh", "sinh", "tanh"]
__all__ += ["deg2rad", "degrees", "rad2deg", "radians", "sinc", "unwrap"]


# The rules of the most common operations are built once, not at every call.
_SIN = (lambda xp, g, x: g * xp.cos(x),)


@primitive
def sin(xp: Any, x: Array) -> Any:
    """The sine of an angle in radians."""
    return xp.sin(x), (x,), _SIN


_COS = (lambda xp, g, x: -g * xp.sin(x),)


@primitive
def cos(xp: Any, x: Array) -> Any:
    """The cosine of an angle in radians."""
    return xp.cos(x), (x,), _COS


@primitive
def tan(xp: Any, x: Array) -> Any:
    """The tangent of an angle in radians."""
    y = xp.tan(x)
    return y, (y,), lambda xp, g, y: g * (y * y + 1)


@primitive
def arcsin(xp: Any, x: Array) -> Any:
    """The angle, in [−π/2, π/2], whose sine is x; its derivative at ±1 is infinite."""
    return xp.arcsin(x), (x,), lambda xp, g, x: g / xp.sqrt((1 - x) * (1 + x))


@primitive
def arccos(xp: Any, x: Array) -> Any:
    """The angle, in [0, π], whose cosine is x; its derivative at ±1 is infinite."""
    return xp.arccos(x), (x,), lambda xp, g, x: -g / xp.sqrt((1 - x) * (1 + x))


@primitive
def arctan(xp: Any, x: Array) -> Any:
    """The angle, in [−π/2, π/2], whose tangent is x."""

    def rule(xp: Any, g: Array, x: Array) -> Array:
        length = xp.hypot(x, 1.0)  # divided by twice, since its square could overflow
        return g / length / length

    return xp.arctan(x), (x,), rule


@primitive
def hypot(xp: Any, a: Array, b: Array) -> Any:
    """`sqrt(a² + b²)`, without overflow, broadcast; the gradient at the origin is 0."""

    def rule(xp: Any, g: Array, x: Array, y: Array) -> Array:
        slope = slope_at_kinks(g, y)
        g = g * (x / xp.where(y == 0, 1.0, y))
        return g if slope is None else g + slope * x

    y = xp.hypot(a, b)
    return y, (a, b, y), (lambda xp, g, a, b, y: rule(xp, g, a, y), lambda xp, g, a, b, y: rule(xp, g, b, y))


@primitive
def arctan2(xp: Any, a: Array, b: Array) -> Any:
    """The angle of the point (b, a), in [−π, π], broadcast; the gradient at the origin is 0."""

    def rule(xp: Any, g: Array, a: Array, b: Array, other: Array) -> Array:
        length = xp.hypot(a, b)
        length = xp.where(length == 0, 1.0, length)
        return g * (other / length) / length

    by_a, by_b = (lambda xp, g, a, b: rule(xp, g, a, b, b)), (lambda xp, g, a, b: -rule(xp, g, a, b, a))
    return xp.arctan2(a, b), (a, b), (by_a, by_b)


@primitive
def sinh(xp: Any, x: Array) -> Any:
    """The hyperbolic sine."""
    return xp.sinh(x), (x,), lambda xp, g, x: g * xp.cosh(x)


@primitive
def cosh(xp: Any, x: Array) -> Any:
    """The hyperbolic cosine."""
    return xp.cosh(x), (x,), lambda xp, g, x: g * xp.sinh(x)


@primitive
def sech_squared(xp: Any, x: Array) -> Any:
    """The derivative of `tanh`, 1 / cosh(x)², from its argument."""
    size = xp.abs(x)
    c = xp.cosh(xp.minimum(size, LARGEST.get(x.dtype.itemsize, 708.0)))
    y = 1 / c
    y = y * y
    return y, (x, y), lambda xp, g, x, y: -2 * g * y * xp.tanh(x)


_TANH = (lambda xp, g, y: g - g * y * y,)
_FLAT_TANH = (lambda xp, g, x: g * call_in(xp, sech_squared, x),)
FLAT = {"e": 2.0, "f": 3.0, "d": 10.0}
"""From where on 1 − tanh(x)² has lost digits, by the dtype's letter: relative errors are 1e-5 there in float32, 1e-7 in
float64."""
FLAT_SQUARE = {np.dtype(letter): math.tanh(limit) ** 2 for letter, limit in FLAT.items()}
"""tanh(x)² there."""


def _by_tanh(xp: Any, g: Array, x: Array, y: Array) -> Array:
    square = y * y
    host = square if xp is np else square._array
    limit = FLAT_SQUARE.get(host.dtype)
    if limit is None or host.item(host.argmax()) <= limit:  # never true of NaN
        return g - g * square
    return g * call_in(xp, sech_squared, x)


_SMALL_TANH = (_by_tanh,)


@primitive
def tanh(xp: Any, x: Array) -> Any:
    """The hyperbolic tangent. Its derivative is accurate where the value rounds to ±1, too."""
    y = xp.tanh(x)
    if xp is np and 0 < x.size <= SMALL:
        return y, (x, y), _SMALL_TANH
    limit = FLAT.get(x.dtype.char)
    # On a device, finding the largest elements would synchronise.
    if limit is None or (xp is np and (not x.size or (x.item(x.argmax()) <= limit and x.item(x.argmin()) >= -limit))):
        return y, (y,), _TANH
    return y, (x,), _FLAT_TANH


@primitive
def arcsinh(xp: Any, x: Array) -> Any:
    """The inverse of `sinh`."""

    def rule(xp: Any, g: Array, x: Array) -> Array:
        return g / (xp.sqrt(x * x + 1) if x.dtype.kind == "c" else xp.hypot(x, 1.0))

    return xp.arcsinh(x), (x,), rule


@primitive
def arccosh(xp: Any, x: Array) -> Any:
    """The inverse of `cosh` for x ≥ 1; its derivative at 1 is infinite."""
    return xp.arccosh(x), (x,), lambda xp, g, x: g / (xp.sqrt(x - 1) * xp.sqrt(x + 1))


@primitive
def arctanh(xp: Any, x: Array) -> Any:
    """The inverse of `tanh` for |x| < 1."""
    return xp.arctanh(x), (x,), lambda xp, g, x: g / ((1 - x) * (1 + x))


asin, acos, atan, atan2, asinh, acosh, atanh = arcsin, arccos, arctan, arctan2, arcsinh, arccosh, arctanh


@primitive
def degrees(xp: Any, x: Array) -> Any:
    """Convert an angle from radians to degrees."""
    return xp.degrees(x), (), lambda xp, g: g * (180 / math.pi)


@primitive
def radians(xp: Any, x: Array) -> Any:
    """Convert an angle from degrees to radians."""
    return xp.radians(x), (), lambda xp, g: g * (math.pi / 180)


rad2deg, deg2rad = degrees, radians


@primitive
def unwrap(xp: Any, p: Array, discont: float | None = None, axis: int = -1, *, period: float = 2 * math.pi) -> Any:
    """Remove jumps of a period or more from angles along `axis`; they are only shifted, so the derivative is 1."""
    return xp.unwrap(p, discont=discont, axis=axis, period=period), (), (lambda xp, g: g, None, None)


def sinc(x: Any) -> Tensor:
    """`sin(πx) / (πx)`, and 1 at 0, where its derivatives of every order are exact too."""
    return _sinc(x, n=0)


NEAR, TERMS = 3.0, 18
"""|πx| below which the power series is used, and how many terms it has."""


@primitive
def _sinc(xp: Any, x: Array, n: int) -> Any:
    """The n-th derivative of sinc.

    With s(u) = sin(u) / u, u = πx: near 0 its power series Σ (−1)^k u^(2k) / (2k + 1)!, differentiated term by term;
    beyond, the recurrence u s⁽ⁿ⁾ = sin(u + nπ/2) − n s⁽ⁿ⁻¹⁾.
    """
    rule = lambda xp, g, x: g * call_in(xp, _sinc, x, n=n + 1)  # noqa: E731
    if n == 0:
        return xp.sinc(x), (x,), rule
    u = x * math.pi
    near = xp.abs(u) < NEAR
    small, large = xp.where(near, u, 0.0), xp.where(near, NEAR, u)
    first, square = (n + 1) // 2, small * small
    series = xp.zeros_like(u)
    for k in range(first + TERMS, first - 1, -1):
        series = series * square + (-1) ** k * math.perm(2 * k, n) / math.factorial(2 * k + 1)
    if n % 2:
        series = series * small
    sine, cosine = xp.sin(large), xp.cos(large)
    beyond = sine / large
    for k in range(1, n + 1):  # sin(u + kπ/2) is cos u, −sin u, −cos u, sin u for k = 1, 2, 3, 4
        wave = cosine if k % 2 else sine
        beyond = ((-wave if k % 4 > 1 else wave) - k * beyond) / large
    return xp.where(near, series, beyond) * math.pi**n, (x,), rule
