"""Second derivatives where a root, a length or an absolute value is 0 and is squared again: the square is smooth."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

import minigrad as mg

CENTRE = np.eye(3) - 1 / 3
ROOTS: dict[str, tuple[Callable[[Any], Any], np.ndarray]] = {
    "norm": (np.linalg.norm, np.eye(3)),
    "norm of a matrix": (lambda x: np.linalg.norm(np.reshape(x, (1, 3))), np.eye(3)),
    "vector_norm": (mg.linalg.vector_norm, np.eye(3)),
    "hypot": (lambda x: np.hypot(x[0], np.hypot(x[1], x[2])), np.eye(3)),
    "std": (np.std, CENTRE / 3),
    "std ddof": (lambda x: np.std(x, ddof=1), CENTRE / 2),
    "nanstd": (np.nanstd, CENTRE / 3),
    "complex": (lambda x: np.abs(x[0] + 1j * x[1]), np.diag([1.0, 1.0, 0.0])),
    "spectral norm": (lambda x: np.linalg.norm(np.reshape(x, (3, 1)), 2), np.eye(3)),
    "nuclear norm": (lambda x: np.linalg.norm(np.reshape(x, (1, 3)), "nuc"), np.eye(3)),
}
"""Roots y of a quadratic form x·A·x, and A."""
SQUARES: dict[str, tuple[Callable[[Any], Any], float]] = {
    "power": (lambda y: y**2, 2),
    "product": (lambda y: y * y, 2),
    "square": (np.square, 2),
    "cos": (np.cos, -1),
    "exp": (lambda y: np.exp(-(y**2) / 2), -1),
    "logarithm": (lambda y: np.log1p(y * y) + 3.0, 2),
    "fourth": (lambda y: y**4, 0),
}
"""Even functions f of y, and f''(0): the Hessian of f(√(x·A·x)) at 0 is f''(0) A."""


@pytest.mark.parametrize("square", SQUARES)
@pytest.mark.parametrize("root", ROOTS)
def test_even_functions_of_a_root(root: str, square: str) -> None:
    y, form = ROOTS[root]
    f, second = SQUARES[square]
    at = np.full(3, 0.5) if "std" in root else np.zeros(3)
    np.testing.assert_allclose(mg.hessian(lambda x: f(y(x)))(at), second * form, atol=1e-12)
    np.testing.assert_allclose(mg.grad(lambda x: f(y(x)))(at), np.zeros(3), atol=1e-15)


@settings(max_examples=25)
@given(
    zeros=st.lists(st.booleans(), min_size=4, max_size=4),
    dtype=st.sampled_from(["f4", "f8"]),
    name=st.sampled_from(["abs", "fabs", "norm", "hypot", "std"]),
    seed=st.integers(0, 99),
)
def test_sums_of_squares_with_some_kinks(zeros: list[bool], dtype: str, name: str, seed: int) -> None:
    """The rows that are 0 have the second derivative that all others have."""
    x = np.random.default_rng(seed).uniform(0.5, 2, (4, 2)).astype(dtype) * [1, -1]
    x = np.where(np.array(zeros)[:, None], 0, x).astype(dtype)

    def loss(x: Any) -> Any:
        if name == "norm":
            y = np.linalg.norm(x, axis=1)
        elif name == "std":
            y = np.std(x, axis=1) * 2
        elif name == "hypot":
            y = np.hypot(x[:, 0], x[:, 1])
        else:
            y = getattr(np, name)(x)
        return np.sum(y**2)

    h = mg.hessian(loss)(x).reshape(4, 2, 4, 2)
    block = np.array([[1, -1], [-1, 1]]) if name == "std" else np.eye(2)
    np.testing.assert_allclose(h, np.einsum("ij,kl->ikjl", np.eye(4), 2 * block), atol=1e-5)


def test_kinks_that_stay_keep_their_convention() -> None:
    """The sum of lengths has no second derivative at 0, and neither has the square of a sum of two: 0, as before."""
    for loss in (np.linalg.norm, lambda x: np.sum(np.abs(x)), lambda x: np.sum(np.abs(x)) ** 2, np.std):
        h = mg.hessian(loss)(np.zeros(2))
        np.testing.assert_array_equal(h, np.zeros((2, 2)))
    # Of |x| + x² the second derivative is that of x².
    np.testing.assert_array_equal(mg.hessian(lambda x: np.abs(x) + np.abs(x) ** 2)(0.0), 2.0)
    # One kink beside a regular value: (|x| + |y|)² at (0, 1).
    h = mg.hessian(lambda x: np.sum(np.abs(x)) ** 2)(np.array([0.0, 1.0]))
    np.testing.assert_array_equal(h, [[2, 0], [0, 2]])
