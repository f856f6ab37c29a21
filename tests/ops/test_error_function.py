"""erf, erfc and the normal distribution are right to the last digits."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

import minigrad as mg


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(("name", "low", "high"), [("erf", -7.0, 7.0), ("erf", -0.01, 0.01), ("erfc", -7.0, 26.0)])
def test_integrals_of_the_bell_are_right_to_the_last_digits(
    xp: Any, name: str, low: float, high: float, dtype: Any
) -> None:
    """Nowhere more than a few units of the last digit from the C library's."""
    x = np.random.default_rng(0).uniform(low, min(high, 9.0) if dtype == np.float32 else high, 20000).astype(dtype)
    expected = np.array([getattr(math, name)(float(v)) for v in x])
    result = getattr(mg, name)(mg.tensor(x)).numpy()
    off = np.abs(result.astype(np.float64) - expected) / np.spacing(np.abs(expected.astype(dtype)))
    assert off.max() < 6


@pytest.mark.parametrize("name", ["erf", "erfc", "ndtr"])
def test_integrals_of_the_bell_of_anything(xp: Any, name: str) -> None:
    special = pytest.importorskip("scipy.special")
    function, theirs = getattr(mg, name), getattr(special, name)
    assert np.isnan(function(mg.tensor([np.nan])).numpy()).all()
    whole = function(mg.tensor([-3, 0, 2]))
    assert whole.dtype == np.float64
    np.testing.assert_allclose(whole.numpy(), theirs([-3, 0, 2]), rtol=1e-14)
    half = np.linspace(-3, 3, 50).astype(np.float16)
    assert function(mg.tensor(half)).dtype == np.float16
    np.testing.assert_array_equal(function(mg.tensor(half)).numpy(), theirs(half.astype(np.float64)).astype(np.float16))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_erfcx_falls_as_the_reciprocal_to_the_end(xp: Any, dtype: Any) -> None:
    x = np.array([1e10, 1e29, 3e30, 1e37, np.finfo(dtype).max ** 0.97, np.inf], dtype)
    result = mg.erfcx(mg.tensor(x)).numpy()
    np.testing.assert_allclose(result, dtype(1 / np.sqrt(np.pi)) / x, rtol=8 * np.finfo(dtype).eps)
