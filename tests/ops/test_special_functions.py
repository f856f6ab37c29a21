"""Special functions over their whole range, and derivatives where a formula has a hole."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

import minigrad as mg
from tests.support.derivative import derivative

RANGES: dict[str, tuple[float, float]] = {
    "erf": (-6, 6),
    "erfc": (-6, 26),
    "erfcx": (-5, 100),
    "erfinv": (-0.999, 0.999),
    "erfcinv": (0.001, 1.999),
    "ndtri": (0.001, 0.999),
    "log_ndtr": (-40, 5),
    "lgamma": (0.001, 200),
    "digamma": (0.001, 200),
    "i0": (-40, 80),
    "i1": (-40, 80),
}


@pytest.mark.parametrize("name", RANGES)
@pytest.mark.parametrize(("dtype", "rtol"), [("f8", 2e-14), ("f4", 3e-6)])
def test_approximations_hold_over_their_range(xp: Any, name: str, dtype: str, rtol: float) -> None:
    """Near a zero of the function relative errors are those of scipy, hence the absolute part."""
    special = pytest.importorskip("scipy.special")
    x = np.linspace(*RANGES[name], 1500).astype(dtype)
    expected = getattr(special, {"lgamma": "gammaln"}.get(name, name))(x.astype("f8"))
    result = getattr(mg, name)(mg.tensor(x)).numpy()
    np.testing.assert_allclose(result, expected, rtol=rtol, atol=rtol / 10)


@pytest.mark.parametrize("name", ["lgamma", "digamma"])
def test_the_gamma_function_below_zero(xp: Any, name: str) -> None:
    special = pytest.importorskip("scipy.special")
    x = -np.linspace(0.01, 30, 777)
    expected = getattr(special, {"lgamma": "gammaln"}.get(name, name))(x)
    np.testing.assert_allclose(getattr(mg, name)(mg.tensor(x)).numpy(), expected, rtol=1e-11, atol=1e-12)


def test_the_gamma_function_near_its_logarithms_zeros(xp: Any) -> None:
    """Where ln Γ vanishes no digits do: it is −γ (x − 1) near 1, and (1 − γ)(x − 2) near 2."""
    step = 2.0**-40
    x = np.array([1 - step, 1 + step, 2 - step, 2 + step])
    slope = np.array([-np.euler_gamma, -np.euler_gamma, 1 - np.euler_gamma, 1 - np.euler_gamma])
    expected = slope * (x - np.round(x))
    np.testing.assert_allclose(mg.lgamma(mg.tensor(x)).numpy(), expected, rtol=1e-11)


@pytest.mark.parametrize("order", range(7))
def test_derivatives_of_sinc_at_zero(xp: Any, order: int) -> None:
    """The power series of sin(πx) / πx: 0 for odd orders, else ±πⁿ / (n + 1)."""
    expected = 0.0 if order % 2 else (-1) ** (order // 2) * math.pi**order / (order + 1)
    np.testing.assert_allclose(derivative(mg.sinc, 0.0, order), expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("order", range(7))
def test_derivatives_of_bessel_functions_at_zero(xp: Any, order: int) -> None:
    """Of I₀: (n choose n/2) / 2ⁿ for even n."""
    expected = 0.0 if order % 2 else math.comb(order, order // 2) / 2**order
    np.testing.assert_allclose(derivative(mg.i0, 0.0, order), expected, rtol=1e-12, atol=1e-14)
    if order:
        np.testing.assert_allclose(derivative(mg.i1, 0.0, order - 1), expected, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("x", [0.3, 2.5, 9.0, 14.0, -1.3])
@pytest.mark.parametrize("order", [1, 2, 3, 4])
def test_derivatives_of_lgamma_are_scipys(xp: Any, x: float, order: int) -> None:
    special = pytest.importorskip("scipy.special")
    if x < 0 and order > 1:
        step = 1e-5
        ends = [derivative(mg.lgamma, x + s, order - 1) for s in (step, -step)]
        np.testing.assert_allclose(derivative(mg.lgamma, x, order), (ends[0] - ends[1]) / (2 * step), rtol=1e-6)
    else:
        expected = special.digamma(x) if order == 1 else special.polygamma(order - 1, x)
        np.testing.assert_allclose(derivative(mg.lgamma, x, order), expected, rtol=1e-12)


@pytest.mark.parametrize("name", ["erf", "erfc", "ndtr", "gammaln", "digamma"])
def test_large_arrays_are_what_their_parts_are(xp: Any, name: str) -> None:
    """A host computes them a block at a time."""
    host = np.random.default_rng(0).uniform(0.1, 5.0, (3, 30001))
    function = getattr(mg, name)
    whole = function(mg.tensor(host)).numpy()
    assert whole.shape == host.shape
    for part in (slice(0, 5), slice(2765, 2770), slice(29996, None)):
        alone = function(mg.tensor(host[:, part].copy())).numpy()
        np.testing.assert_allclose(whole[:, part], alone, rtol=1e-14, atol=1e-15)


def test_logit_keeps_its_digits_around_one_half(xp: Any) -> None:
    """logit(1/2 + d) = 4 d + 16 d³/3 + …; by the logarithm of the quotient digits would be lost."""
    d = np.array([2.0**-30, -(2.0**-20), 2.0**-40])
    np.testing.assert_allclose(mg.logit(mg.tensor(0.5 + d)).numpy(), 4 * d + 16 / 3 * d**3, rtol=1e-15)


def test_logit_passes_a_gradient_on_up_to_the_bounds(xp: Any) -> None:
    x = mg.tensor(np.array([0.25, 0.75, 0.2, 0.8]), requires_grad=True)
    (g,) = mg.gradients(mg.logit(x, 0.25).sum(), [x])
    np.testing.assert_allclose(g.numpy(), [16 / 3, 16 / 3, 0, 0])
