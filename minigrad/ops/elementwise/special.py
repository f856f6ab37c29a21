"""The logarithm of the gamma function and its derivatives; modified Bessel functions.

Approximations are accurate to the last digits of float64. Every branch is computed for every element, which avoids
synchronising with a device; a branch that is not chosen gets a harmless argument.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from ...backend import scalar
from ...engine.primitive import call_in, composed, primitive
from ...engine.summation import half_to_single
from ...engine.tensor import Tensor
from .error_function import in_blocks, polynomial

Array = Any
__all__ = ["digamma", "gammaln", "i0", "i1", "lgamma", "polygamma"]

LOG_GAMMA = (
    -1.3415702734600259788e-7, 2.7880013392491844941e-7, -4.3032346929567318798e-7, 9.1998980756713946658e-7,
    -2.0449353231800520522e-6, 4.3847319318293745255e-6, -9.4384548840547226928e-6, 2.0505584372896931277e-5,
    -4.4926351667703417736e-5, 9.9457674400967637858e-5, -2.2315475069647702848e-4, 5.0966951534843731360e-4,
    -1.1927539120033872876e-3, 2.8905103310367721293e-3, -7.3855510286680962112e-3, 2.0580808427780335431e-2,
    -6.7352301053198139913e-2, 3.2246703342411323585e-1, 4.2278433509846713945e-1,
)  # fmt: skip
"""ln Γ(2 + y) / y for |y| ≤ 1/2, highest power first: its Chebyshev series to 10⁻¹⁷, written as a polynomial.

The power series, Abramowitz & Stegun 6.1.33, needs 27 terms for the same precision.
"""
BERNOULLI = (1 / 6, -1 / 30, 1 / 42, -1 / 30, 5 / 66, -691 / 2730, 7 / 6, -3617 / 510, 43867 / 798, -174611 / 330)
"""B₂, B₄, …, B₂₀."""
STIRLING = tuple(b / (2 * k * (2 * k - 1)) for k, b in enumerate(BERNOULLI[:8], 1))[::-1]
"""ln Γ for x ≥ 8, Abramowitz & Stegun 6.1.41."""
DIGAMMA = tuple(-b / (2 * k) for k, b in enumerate(BERNOULLI[:8], 1))[::-1]
"""digamma for x ≥ 10, Abramowitz & Stegun 6.3.18."""
ROOT = (1569415565 / 2**30, 381566830 / 2**60, 0.9016312093258695918615325266959189453125e-19)
"""The positive zero of the digamma function, as a sum of three parts."""
NEAR_ROOT = (
    (-0.0020713321167745952, -0.045251321448739056, -0.28919126444774784, -0.65031853770896507, -0.32555031186804491,
     0.25479851061131551),
    (-0.55789841321675513e-6, 0.0021284987017821144, 0.054151797245674225, 0.43593529692665969, 1.4606242909763515,
     2.0767117023730469, 1.0),
    0.99558162689208984,
)  # fmt: skip
"""digamma(x) / (x − root) − 0.9955… as a quotient of polynomials in x − 1 for 1 ≤ x ≤ 2 (Boost.Math, J. Maddock)."""
BESSEL_1 = (
    0.38928811750914006024, -0.0097610974913614684078, -0.00011058893876262371629, -3.8825648088776903935e-6,
    -2.5122362378702089253e-7, -2.6314688468895195068e-8, -3.835380385964237022e-9, -5.5897434621965838069e-10,
    -1.8974958123505412345e-11, 3.2526035830154882385e-11, 1.4125807436613781332e-11, 2.0356285441470895074e-12,
    -7.1985517762459085232e-13, -4.0835511110921973054e-13, -2.1015418427726641314e-14, 4.2724400167119505736e-14,
    1.042027698412880933e-14, -3.8144030724369899341e-15, -1.8803547755108366939e-15, 3.308202310921150573e-16,
    2.9626289976476430681e-16, -3.2095259220292277523e-17, -4.6503053684974685067e-17,
)  # fmt: skip
"""Chebyshev coefficients of √x exp(−x) I₁(x) in 16 / x − 1 for x ≥ 8, as in S. Moshier's Cephes, i1.c."""


@primitive
def lgamma(xp: Any, x: Array) -> Any:
    """ln |Γ(x)|; +∞ at the poles 0, −1, −2, …

    For |x| < 8 the recurrence Γ(x + 1) = x Γ(x) leads to ln Γ(2 + y), beyond that Stirling's series is used; below
    zero the reflection Γ(x) Γ(−x) = −π / (x sin πx).
    """
    return in_blocks(xp, _lgamma, x), (x,), lambda xp, g, x: g * call_in(xp, digamma, x)


def _lgamma(xp: Any, x: Array) -> Array:
    size = xp.abs(x)
    below = size < 8
    u = xp.where(below, size, 2.0)
    shift = xp.floor(u + 0.5) - 2  # u = 2 + shift + y with |y| ≤ 1/2
    y = u - (shift + 2)
    up = xp.ones_like(u)  # Γ(u) = Γ(2 + y) · up / down
    for k in range(1, 7):
        up *= xp.where(shift >= k, u - k, 1.0)
    down = xp.where(shift < 0, xp.where(u > 0, u, 1.0), 1.0) * xp.where(shift < -1, u + 1, 1.0)
    small = y * polynomial(y, LOG_GAMMA) + xp.log(up) - xp.log(down)
    z = xp.where(below, 8.0, size)
    infinite = xp.isinf(z)
    z = xp.where(infinite, 8.0, z)
    inverse = 1 / z
    large = (z - 0.5) * xp.log(z) - z + 0.5 * math.log(2 * math.pi) + inverse * polynomial(inverse * inverse, STIRLING)
    value = xp.where(below, small, xp.where(infinite, math.inf, large))
    size, offset = _below_zero(xp, x)
    pole = offset == 0
    sine = xp.sin(math.pi * xp.where(pole, 0.5, xp.abs(offset)))
    value = xp.where(x < 0, math.log(math.pi) - xp.log(sine) - xp.log(size) - value, value)
    return xp.where((x == 0) | (x == -math.inf) | pole, math.inf, value)


def _below_zero(xp: Any, x: Array) -> tuple[Array, Array]:
    """−x and its exact distance from the nearest integer where x is negative and finite, elsewhere 1/2 for both."""
    size = xp.where((x < 0) & xp.isfinite(x), -x, 0.5)
    offset = size - xp.floor(size)
    return size, xp.where(offset > 0.5, offset - 1, offset)


gammaln = lgamma


@primitive
def digamma(xp: Any, x: Array) -> Any:
    """The derivative of `lgamma`: ∓∞ at ±0, NaN at the poles −1, −2, …"""
    return in_blocks(xp, _digamma, x), (x,), lambda xp, g, x: g * call_in(xp, polygamma, 1, x)


def _digamma(xp: Any, x: Array) -> Array:
    u = xp.where(x <= 0, 1 - x, x)  # reflected: ψ(x) = ψ(1 − x) − π cot πx
    below = u < 10
    w = xp.where(below, u, 1.5)
    terms = xp.where(w < 1, -1 / xp.where(w < 1, w, 1.0), 0.0)
    w = xp.where(w < 1, w + 1, w)
    for _ in range(8):  # ψ(w) = ψ(w − 1) + 1 / (w − 1), down to 1 ≤ w ≤ 2
        over = w > 2
        w = xp.where(over, w - 1, w)
        terms = terms + xp.where(over, 1 / w, 0.0)
    top, bottom, leading = NEAR_ROOT
    from_root = ((w - ROOT[0]) - ROOT[1]) - ROOT[2]
    small = from_root * leading + from_root * (polynomial(w - 1, top) / polynomial(w - 1, bottom)) + terms
    z = xp.where(below, 10.0, u)
    inverse = 1 / z
    square = inverse * inverse
    large = xp.log(z) - 0.5 * inverse + square * polynomial(square, DIGAMMA)
    value = xp.where(below, small, large)
    value = value - xp.where(x <= 0, math.pi * _cotangent(xp, x), 0.0)
    return xp.where(x == 0, -xp.copysign(math.inf, x), value)


def _cotangent(xp: Any, x: Array) -> Array:
    """cot πx for negative x, NaN at integers; 0 for x ≥ 0."""
    offset = _below_zero(xp, x)[1]
    pole = offset == 0
    return xp.where(pole, math.nan, -1 / xp.tan(math.pi * xp.where(pole, 0.5, offset)))


@primitive
def polygamma(xp: Any, n: int, x: Array) -> Any:
    """The n-th derivative of `digamma`, as `scipy.special.polygamma`; NaN at the poles 0, −1, −2, …

    For n > 0 it is (−1)ⁿ⁺¹ n! Σ (x + k)⁻ⁿ⁻¹, summed by Euler-Maclaurin (Abramowitz & Stegun 23.1.30), below zero with
    the reflection ψ⁽ⁿ⁾(x) = (−1)ⁿ ψ⁽ⁿ⁾(1 − x) − π dⁿ/dxⁿ cot πx.
    """
    n = int(scalar(n))
    if n < 0:
        raise ValueError(f"n: got {n}, want 0 or more")
    rules = (None, lambda xp, g, x: g * call_in(xp, polygamma, n + 1, x))
    if n == 0:
        return in_blocks(xp, _digamma, x), (x,), rules
    if x.dtype.char == "e":  # its terms leave float16's range
        return call_in(xp, polygamma, n, half_to_single(x)).astype(x.dtype), (x,), rules
    s, terms = n + 1, n + 10
    u = xp.where(x <= 0, 1 - x, x)
    total = xp.zeros_like(u)
    for k in range(terms):
        total = total + (u + k) ** -s
    # The rest of the sum: the integral from a, half of the first term, and the derivatives at a
    a = u + terms
    inverse, power = 1 / a, a**-s
    total = total + a**-n / n + 0.5 * power
    factor, power = 0.5 * s, power * inverse
    for j, b in enumerate(BERNOULLI, 1):
        total = total + power * (b * factor / math.factorial(2 * j) * 2)
        factor *= (s + 2 * j - 1) * (s + 2 * j)
        power = power * inverse * inverse
    value = (-1) ** s * math.factorial(n) * total
    c = _cotangent(xp, x)
    value = xp.where(x <= 0, (-1) ** n * value - math.pi ** (n + 1) * polynomial(c, _cotangents(n)), value)
    return value, (x,), rules


def _cotangents(n: int) -> list[float]:
    """The n-th derivative of cot as a polynomial in c = cot, highest power first; c' = −1 − c²."""
    p = [0.0, 1.0]
    for _ in range(n):
        slope = [k * c for k, c in enumerate(p)][1:]
        p = [-a - b for a, b in zip([*slope, 0.0, 0.0], [0.0, 0.0, *slope])]
    return p[::-1]


@composed
def i0(x: Any) -> Tensor:
    """The modified Bessel function of the first kind, order 0."""
    return _bessel(x, n=0)


@composed
def i1(x: Any) -> Tensor:
    """The modified Bessel function of the first kind, order 1, which is the derivative of `i0`."""
    return _bessel(x, n=1)


@primitive
def _bessel(xp: Any, x: Array, n: int) -> Any:
    """Iₙ(x): the power series Σ (x/2)²ᵏ⁺ⁿ / (k! (k + n)!) up to 8, beyond that the recurrence in n."""

    def rule(xp: Any, g: Array, x: Array) -> Array:
        following = call_in(xp, _bessel, x, n=n + 1)
        return g * (following if n == 0 else 0.5 * (call_in(xp, _bessel, x, n=n - 1) + following))

    if x.dtype.char == "e":  # exp(x) leaves its range before Iₙ(x) does
        return call_in(xp, _bessel, half_to_single(x), n=n).astype(x.dtype), (x,), rule
    if n == 0:
        return xp.i0(x), (x,), rule
    size = xp.abs(x)
    near = size <= 8
    half = xp.where(near, x, 0.0) * 0.5
    square, series = half * half, xp.ones_like(half)
    for k in range(30, 0, -1):
        series = series * square * (1 / (k * (k + n))) + 1
    series = series * half**n / math.factorial(n)
    far = xp.where(near, 8.0, size)
    lower, beyond = xp.i0(far), xp.exp(far) / xp.sqrt(far) * _clenshaw(16 / far - 1, BESSEL_1)
    for k in range(1, n):  # Iₖ₊₁ = Iₖ₋₁ − 2k/x Iₖ
        lower, beyond = beyond, lower - 2 * k / far * beyond
    if n % 2:
        beyond = xp.copysign(beyond, x)
    return xp.where(near, series, beyond), (x,), rule


def _clenshaw(t: Array, coefficients: Sequence[float]) -> Array:
    """Sum a Chebyshev series by Clenshaw's recurrence."""
    b1 = b2 = t * 0
    for c in coefficients[:0:-1]:
        b1, b2 = 2 * t * b1 - b2 + c, b1
    return t * b1 - b2 + coefficients[0]
