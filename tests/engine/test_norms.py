"""Norms of arrays and of products of thin factors: against NumPy in more digits, where squares leave the range too."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, strategies as st

from minigrad.engine.norms import StepRows, norm, norm_of_product, norms_of_products

RNG = np.random.default_rng(0)


@pytest.mark.parametrize(("dtype", "rtol"), [("e", 1e-3), ("f", 1e-6), ("d", 1e-14), ("F", 1e-6), ("D", 1e-14)])
@pytest.mark.parametrize("exponent", [0, -30, 30])
def test_the_norm_of_an_array(xp: Any, dtype: str, rtol: float, exponent: int) -> None:
    """Of numbers near 10^±30, whose squares float32 cannot hold; near 10^±300 in float64, and 10^±3 in float16."""
    power = {"e": exponent / 10, "d": 10 * exponent, "D": 10 * exponent}.get(dtype, exponent)
    a = RNG.standard_normal((7, 5)) + (1j if dtype in "FD" else 0)
    host = (a * 10.0**power).astype(dtype)
    wide = host.astype(complex if dtype in "FD" else float) / 10.0**power
    wanted = np.sqrt(np.sum(np.abs(wide) ** 2))
    np.testing.assert_allclose(norm(xp.array(host)) / 10.0**power, wanted, rtol=rtol)
    np.testing.assert_allclose(norm(xp.array(host).T) / 10.0**power, wanted, rtol=rtol)


def test_norms_that_are_no_positive_numbers(xp: Any) -> None:
    assert norm(xp.array(np.zeros((2, 3)))) == norm(xp.array(np.zeros((0, 3)))) == 0.0
    assert norm(xp.array(np.array([1.0, np.inf]))) == np.inf
    assert np.isnan(norm(xp.array(np.array([1.0, np.nan], np.float32))))
    assert norm(np.float64(-3.0)) == 3.0
    assert norm(xp.array(np.array(-3.0))) == 3.0


@given(st.integers(1, 5), st.integers(1, 12), st.integers(1, 9), st.integers(1, 9), st.sampled_from([0, -170, 170]))
def test_norms_of_products(T: int, n: int, p: int, q: int, exponent: int) -> None:
    """By Gram matrices for few rows and by the products for many; of a step near 10^±170 too."""
    rng = np.random.default_rng(T + 7 * n + 70 * p + 700 * q)
    left, right = rng.standard_normal((T, n, p)), rng.standard_normal((T, n, q))
    left[T // 2] *= 10.0**exponent
    a, b = StepRows(lambda: left), StepRows(lambda: right)
    scales = np.where(np.arange(T) == T // 2, 10.0**exponent, 1.0)
    wanted = np.linalg.norm(np.matmul((left / scales[:, None, None]).transpose(0, 2, 1), right), axis=(1, 2))
    np.testing.assert_allclose(norms_of_products(a, b) / scales, wanted, rtol=1e-12)
    for t in range(T):
        np.testing.assert_allclose(norm_of_product(left[t], right[t]) / scales[t], wanted[t], rtol=1e-12)
    sums = np.linalg.norm((left / scales[:, None, None]).sum(axis=1), axis=1)
    np.testing.assert_allclose(norms_of_products(a, StepRows(None)) / scales, sums, rtol=1e-12)


@pytest.mark.parametrize("dtype", ["e", "f", "d"])
def test_norms_of_products_on_every_backend(xp: Any, dtype: str) -> None:
    left, right = RNG.standard_normal((3, 2, 6)).astype(dtype), RNG.standard_normal((3, 2, 5)).astype(dtype)
    a, b = xp.array(left), xp.array(right)
    wanted = np.linalg.norm(np.matmul(left.transpose(0, 2, 1).astype(float), right.astype(float)), axis=(1, 2))
    np.testing.assert_allclose(norms_of_products(StepRows(lambda: a), StepRows(lambda: b)), wanted, rtol=1e-5)
    np.testing.assert_allclose(norm_of_product(a[1], b[1]), wanted[1], rtol=1e-5)


def test_a_sum_that_cancels_keeps_its_digits() -> None:
    """Rows that are almost each other's negative: of their Gram matrix hardly a digit is left."""
    left = RNG.standard_normal((1, 2, 50)).astype(np.float32)
    right = np.ones((1, 2, 40), np.float32)
    left[0, 1] = -left[0, 0] * np.float32(1 + 1e-5)
    product = left[0].T.astype(float) @ right[0].astype(float)
    got = norms_of_products(StepRows(lambda: left), StepRows(lambda: right))[0]
    np.testing.assert_allclose(got, np.linalg.norm(product), rtol=1e-6)
    np.testing.assert_allclose(norm_of_product(left[0], right[0]), np.linalg.norm(product), rtol=1e-6)
    gram = (left[0] @ left[0].T * (right[0] @ right[0].T)).sum()
    assert abs(np.sqrt(max(gram, 0.0)) / np.linalg.norm(product) - 1) > 1e-3  # what it would be otherwise


def test_numbers_that_are_not_finite_stay_so() -> None:
    left, right = np.ones((3, 2, 6), np.float32), np.ones((3, 2, 6), np.float32)
    left[0, 0, 0], left[1, 0, 0] = np.nan, np.inf
    found = norms_of_products(StepRows(lambda: left), StepRows(lambda: right))
    assert not np.isfinite(found[:2]).any()
    np.testing.assert_allclose(found[2], 12.0)
