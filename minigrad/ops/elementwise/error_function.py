"""The error function, the normal distribution and their inverses, accurate to the last digits of float64.

erf, erfc and ndtr: look up the integral at the nearest grid point and add a short Taylor series.
erfcx: the mapping of M. M. Shepherd & J. G. Laframboise, "Chebyshev approximation of (1 + 2x) exp(x²) erfc(x) in
0 ≤ x < ∞" (Math. Comp. 36, 1981), with coefficients computed to 40 digits.
Inverses: M. J. Wichura, "Algorithm AS 241" (Applied Statistics 37, 1988).
Every branch is computed for every element, which avoids synchronising with a device.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import cache, partial
from typing import Any, NamedTuple

import numpy as np

from ...backend import Backend, backend_of
from ...engine.primitive import call_in, primitive
from ...engine.summation import half_to_single

Array = Any
__all__ = ["erf", "erfc", "erfcinv", "erfcx", "erfinv", "log_ndtr", "ndtr", "ndtri"]

ROOT2, ROOT_PI, ROOT_2PI = math.sqrt(2), math.sqrt(math.pi), math.sqrt(2 * math.pi)
# Polynomials are listed from the highest power down.
DOUBLE = (
    4.0,
    (9.3117449782340891213e-10, 1.5738283774192365523e-9, -1.2346866043824409786e-8, -1.6371779763567163537e-8,
     1.0633855618595105343e-7, 7.1153378005853538015e-8, -8.2109390425605996025e-7, 2.9801353803031259865e-7,
     5.706604414895736283e-6, -1.1225101875659176228e-5, -2.4397746422436417983e-5, 1.5062309720018628636e-4,
     -1.9925714661091188316e-4, -7.5777370706382497388e-4, 5.031970067657488919e-3, -1.6197733981455192729e-2,
     3.7167515526555670195e-2, -6.6330365820311547622e-2, 9.3732834999094408127e-2, -1.0103906603586530932e-1,
     6.8097054254669087836e-2, 1.537965210261047297e-2, -1.3962111684056229158e-1, 1.232995118625552542),
)  # fmt: skip
SINGLE = (
    3.0,
    (7.7310242241e-5, -9.2545166869e-5, -7.2645367903e-4, 1.8750791238e-3, 2.4991168696e-3, -2.3763576439e-2,
     6.8316567771e-2, -1.1927527528e-1, 1.2964411434e-1, -4.7562156928e-2, -1.356210694e-1, 1.2530080564),
)  # fmt: skip
"""k, and (1 + 2x) exp(x²) erfc(x) for x ≥ 0 as a polynomial in (x − k) / (x + k), for float64 and float32."""

CENTRE = (
    (2.5090809287301226727e3, 3.3430575583588128105e4, 6.7265770927008700853e4, 4.5921953931549871457e4,
     1.3731693765509461125e4, 1.9715909503065514427e3, 1.3314166789178437745e2, 3.3871328727963666080),
    (5.2264952788528545610e3, 2.8729085735721942674e4, 3.9307895800092710610e4, 2.1213794301586595867e4,
     5.3941960214247511077e3, 6.8718700749205790830e2, 4.2313330701600911252e1, 1.0),
)  # fmt: skip
TAIL = (
    (7.74545014278341407640e-4, 2.27238449892691845833e-2, 2.41780725177450611770e-1, 1.27045825245236838258,
     3.64784832476320460504, 5.76949722146069140550, 4.63033784615654529590, 1.42343711074968357734),
    (1.05075007164441684324e-9, 5.47593808499534494600e-4, 1.51986665636164571966e-2, 1.48103976427480074590e-1,
     6.89767334985100004550e-1, 1.67638483018380384940, 2.05319162663775882187, 1.0),
)  # fmt: skip
FAR_TAIL = (
    (2.01033439929228813265e-7, 2.71155556874348757815e-5, 1.24266094738807843860e-3, 2.65321895265761230930e-2,
     2.96560571828504891230e-1, 1.78482653991729133580, 5.46378491116411436990, 6.65790464350110377720),
    (2.04426310338993978564e-15, 1.42151175831644588870e-7, 1.84631831751005468180e-5, 7.86869131145613259100e-4,
     1.48753612908506148525e-2, 1.36929880922735805310e-1, 5.99832206555887937690e-1, 1.0),
)  # fmt: skip
"""Numerators and denominators of AS 241: |p − 1/2| ≤ 0.425, and beyond it √(−ln p) ≤ 5 and > 5."""

BLOCK = 1 << 15
"""Elements computed at once on the host, few enough for all passes over them to stay in its caches."""


def in_blocks(xp: Any, function: Callable[[Any, Array], Array], x: Array) -> Array:
    """Wrap a function that makes many passes, so that on the host it gets `BLOCK` elements at a time."""
    if xp is not np or x.size <= BLOCK:
        return function(xp, x)
    flat = x.reshape(-1)
    first = function(xp, flat[:BLOCK])
    y = np.empty(flat.size, first.dtype)
    y[:BLOCK] = first
    for start in range(BLOCK, flat.size, BLOCK):
        y[start : start + BLOCK] = function(xp, flat[start : start + BLOCK])
    return y.reshape(x.shape)


def polynomial(x: Array, coefficients: Sequence[float]) -> Array:
    """Evaluate by Horner's rule, coefficients from the highest power down, in one new array."""
    y = x * coefficients[0] + coefficients[1]
    for c in coefficients[2:]:
        y *= x
        y += c
    return y


def _quotient(x: Array, terms: tuple[Sequence[float], Sequence[float]]) -> Array:
    y = polynomial(x, terms[0])
    y /= polynomial(x, terms[1])
    return y


def _scaled_erfc(xp: Any, x: Array) -> Array:
    """exp(x²) erfc(x) for x ≥ 0."""
    if x.dtype.char == "e":
        return _scaled_erfc(xp, half_to_single(x)).astype(x.dtype)
    bounded = xp.minimum(x, 1e30)  # so that t at infinity is 1
    centre, terms = SINGLE if x.dtype.itemsize < 8 else DOUBLE
    t = bounded - centre
    t /= bounded + centre
    y = polynomial(t, terms)
    y /= x + 0.5
    y *= 0.5
    return y


P = [(-2.0) ** n / math.factorial(n + 1) for n in range(7, -1, -1)]
Q = [(-2.0) ** n / (math.factorial(n) * (n + 3)) for n in range(4, -1, -1)]


class GaussianTable(NamedTuple):
    """An integral of a Gaussian, tabulated: values and slopes at the grid points k / `per` from `low` to `high`.

    Between grid points, with v = t·h and w = h·h (both halved for exp(−x²/2)), the Taylor series of the integral of
    exp(t² − x²) from t to t + h is h (p(v) − w q(v) + w²/10 …), with the polynomials `p` and `q`.
    """

    values: Array
    slopes: Array
    low: float
    high: float
    per: int
    half: bool
    p: list[float]
    q: list[float]


@cache
def _table(name: str, double: bool, backend: Backend, device: str) -> GaussianTable:
    """The table of `erf`, `erfc` or `ndtr` on a device; beyond its ends the function is constant in the dtype."""
    low, high = {"erf": (-6.0, 6.0), "erfc": (-6.0, 27.5), "ndtr": (-39.0, 9.0)}[name]
    per, half = 1024 if double and name == "erf" else 512, name == "ndtr"
    p, q = (P[-4:], Q[-2:]) if name == "erf" else (P, Q)
    if not double:
        low, high = {"erf": (-4.0, 4.0), "erfc": (-4.0, 10.5), "ndtr": (-15.0, 6.0)}[name]
        p, q = P[-2:] if name == "erf" else P[-3:], Q[-1:]
    t = np.arange(int(low * per), int(high * per) + 1) / per
    slopes = np.array([math.exp(-s) for s in (t * t / 2 if half else t * t).tolist()])
    if half:
        slopes *= 1 / ROOT_2PI
        tail = 0.5 * np.array([math.erfc(s) for s in (np.abs(t) / ROOT2).tolist()])
        tail -= slopes * _rounding_of_division(np.abs(t))
        values = np.where(t < 0, tail, 1 - tail)
    else:
        slopes *= (2 if name == "erf" else -2) / ROOT_PI
        values = np.array([getattr(math, name)(s) for s in t.tolist()])
    dtype = np.float64 if double else np.float32
    values, slopes = (backend.from_numpy(a.astype(dtype)) for a in (values, slopes))
    return GaussianTable(values, slopes, low, high, per, half, p, q)


def _rounding_of_division(t: Array) -> Array:
    """How much t exceeds √2 times the rounded t / √2, by Dekker's exact product; t² must be exact."""
    y = t / ROOT2
    c = 134217729.0 * y
    high = c - (c - y)
    low = y - high
    square = y * y
    error = ((high * high - square) + 2 * high * low) + low * low
    return np.where(t > 0, ((t * t / 2 - square) - error) / np.where(t > 0, y * ROOT2, 1.0), 0.0)


def _integral(name: str, xp: Any, x: Array) -> Array:
    if x.dtype.itemsize < 4 or x.dtype.kind != "f":
        wide = x.astype(np.float32 if x.dtype.kind == "f" else np.float64)
        y = _integral(name, xp, wide)
        return y.astype(x.dtype) if x.dtype.kind == "f" else y
    double = x.dtype.itemsize > 4
    table = _table(name, double, backend_of(x), str(getattr(x, "device", "")))
    h = xp.clip(x, table.low, table.high)
    t = xp.fmax(h, table.low)  # NaN cannot be an index
    t *= table.per
    t = xp.rint(t)
    index = (t - table.low * table.per).astype(np.intp)  # not negative: `take` would be slower
    t *= 1 / table.per  # the nearest grid point
    h -= t
    v, w = t, h * h
    v *= h
    if table.half:
        v *= 0.5
        w *= 0.5
    y = polynomial(v, table.p)
    if double:
        q = polynomial(v, table.q)
        q -= 0.1 * w
        w *= q
    else:
        w *= table.q[0]
    y -= w
    y *= h
    y *= table.slopes.take(index)
    y += table.values.take(index)
    return y


_erf, _erfc, _ndtr = (partial(_integral, name) for name in ("erf", "erfc", "ndtr"))


def _exp_of_square(xp: Any, x: Array, by: float, times: float = 1.0) -> Array:
    """times · exp(by · x²) for the rules; clipping at 40, beyond which it is 0, prevents overflow of the square."""

    def function(xp: Any, x: Array) -> Array:
        x = xp.clip(x, -40.0, 40.0)
        return times * xp.exp(by * (x * x))

    return in_blocks(xp, function, x)


@primitive
def erf(xp: Any, x: Array) -> Any:
    """2/√π · ∫₀ˣ exp(−t²) dt."""
    return in_blocks(xp, _erf, x), (x,), lambda xp, g, x: g * _exp_of_square(xp, x, -1.0, 2 / ROOT_PI)


@primitive
def erfc(xp: Any, x: Array) -> Any:
    """1 − erf(x), with full relative precision however small it is."""
    return in_blocks(xp, _erfc, x), (x,), lambda xp, g, x: g * _exp_of_square(xp, x, -1.0, -2 / ROOT_PI)


@primitive
def erfcx(xp: Any, x: Array) -> Any:
    """exp(x²) erfc(x), which does not underflow for large x."""
    return _erfcx(xp, x), (x,), lambda xp, g, x: g * call_in(xp, _erfcx_derivative, x, n=1)


def _erfcx(xp: Any, x: Array) -> Array:
    y, negative = _scaled_erfc(xp, xp.abs(x)), xp.minimum(x, 0.0)
    return xp.where(x < 0, 2 * xp.exp(negative * negative) - y, y)


FAR, TERMS = 10.0, 12
"""From where on the derivatives of erfcx are summed by their asymptotic series, and how many terms of it."""


@primitive
def _erfcx_derivative(xp: Any, x: Array, n: int) -> Any:
    """The n-th derivative f⁽ⁿ⁾ of erfcx, in float64 for any dtype, since terms cancel.

    Up to `FAR` by the recurrence f⁽ⁿ⁾ = 2x f⁽ⁿ⁻¹⁾ + 2(n − 1) f⁽ⁿ⁻²⁾ from f' = 2x f − 2/√π; beyond, where it loses
    its digits, by the series (−1)ⁿ 2/√π (2x)⁻ⁿ⁻¹ 2ⁿ Σ (−1)ᵐ (2m + n)! / (m! (2x)²ᵐ)
    (Abramowitz & Stegun 7.2.9, 7.2.14).
    """
    rule = lambda xp, g, x: g * call_in(xp, _erfcx_derivative, x, n=n + 1)  # noqa: E731
    wide = x.astype(np.float64)
    far = wide > FAR
    near = xp.where(far, 0.0, wide)
    before = _erfcx(xp, near)
    value = 2 * near * before - 2 / ROOT_PI
    for k in range(2, n + 1):
        before, value = value, 2 * near * value + 2 * (k - 1) * before
    inverse = 0.5 / xp.where(far, wide, FAR)
    terms = [(-1) ** m * math.factorial(2 * m + n) / math.factorial(m) for m in range(TERMS, -1, -1)]
    series = polynomial(inverse * inverse, terms) * inverse ** (n + 1) * ((-2.0) ** n * 2 / ROOT_PI)
    return xp.where(far, series, value).astype(x.dtype), (x,), rule


@primitive
def erfinv(xp: Any, x: Array) -> Any:
    """The inverse of `erf`; ±∞ at ±1."""
    y = _normal_quantile(xp, x * 0.5, (1 - xp.abs(x)) * 0.5) / ROOT2
    return y, (y,), lambda xp, g, y: g * (ROOT_PI / 2) * xp.exp(y * y)


@primitive
def erfcinv(xp: Any, x: Array) -> Any:
    """The inverse of `erfc`; +∞ at 0, −∞ at 2."""
    y = _normal_quantile(xp, (1 - x) * 0.5, xp.minimum(x, 2 - x) * 0.5) / ROOT2
    return y, (y,), lambda xp, g, y: g * (-ROOT_PI / 2) * xp.exp(y * y)


@primitive
def ndtri(xp: Any, x: Array) -> Any:
    """The inverse of `ndtr`, that is, the quantiles of the normal distribution; −∞ at 0, +∞ at 1."""
    y = _normal_quantile(xp, x - 0.5, xp.minimum(x, 1 - x))
    return y, (y,), lambda xp, g, y: g * ROOT_2PI * xp.exp(y * y * 0.5)


def _normal_quantile(xp: Any, from_half: Array, smaller: Array) -> Array:
    """Φ⁻¹ of a probability p, given p − 1/2 and the smaller of p and 1 − p."""
    if from_half.dtype.char == "e":  # the coefficients leave its range
        return _normal_quantile(xp, half_to_single(from_half), half_to_single(smaller)).astype(from_half.dtype)
    d = xp.clip(from_half, -0.425, 0.425)
    centre = d * _quotient(0.180625 - d * d, CENTRE)
    inside = (smaller > 0) & (smaller < 0.5)
    root = xp.sqrt(-xp.log(xp.where(inside, smaller, 0.5)))
    tail = xp.where(root <= 5.0, _quotient(root - 1.6, TAIL), _quotient(xp.maximum(root, 5.0) - 5.0, FAR_TAIL))
    tail = xp.where(smaller > 0, tail, math.nan)
    tail = xp.where(smaller == 0, math.inf, tail)
    return xp.where(xp.abs(from_half) <= 0.425, centre, xp.copysign(tail, from_half))


@primitive
def ndtr(xp: Any, x: Array) -> Any:
    """Φ, the cumulative distribution function of the normal distribution."""
    return in_blocks(xp, _ndtr, x), (x,), lambda xp, g, x: g * _exp_of_square(xp, x, -0.5, 1 / ROOT_2PI)


@primitive
def log_ndtr(xp: Any, x: Array) -> Any:
    """The logarithm of `ndtr`, finite also where `ndtr` underflows."""
    low = x < -1
    size = xp.where(low, -x, 1.0)
    tail = xp.log(0.5 * _scaled_erfc(xp, xp.minimum(size / ROOT2, 1e30))) - 0.5 * size * size
    y = xp.where(low, tail, xp.log1p(-_ndtr(xp, xp.where(low, 0.0, -x))))

    def rule(xp: Any, g: Array, x: Array, y: Array) -> Array:
        low = x < -1
        size, other = xp.where(low, -x, 1.0), xp.where(low, 0.0, x)
        tail = (2 / ROOT_2PI) / call_in(xp, erfcx, size / ROOT2)
        centre = _exp_of_square(xp, other, -0.5) * xp.exp(-xp.where(low, 0.0, y)) / ROOT_2PI
        return g * xp.where(low, tail, centre)

    return y, (x, y), rule
