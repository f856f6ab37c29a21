"""Decompositions of matrices with equal eigenvalues or singular values, against formulas that need no decomposition."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

import minigrad as mg

RNG = np.random.default_rng(0)
TURN = np.linalg.qr(RNG.standard_normal((3, 3)))[0]
W = RNG.standard_normal((3, 3))
FUNCTIONS: dict[str, tuple[Callable[[Any], Any], Callable[[Any], Any]]] = {
    "square": (lambda w: w * w, lambda w: 2 * w),
    "sqrt": (np.sqrt, lambda w: 0.5 / np.sqrt(w)),
    "exp": (np.exp, np.exp),
    "log": (np.log, lambda w: 1 / w),
}


def gradient(function: Callable[[Any], Any], x: np.ndarray, **how: Any) -> np.ndarray:
    leaf = mg.tensor(x, requires_grad=True)
    (g,) = mg.gradients(function(leaf), [leaf], **how)
    return g.numpy()


def rebuilt(x: Any) -> Any:
    u, s, vt = np.linalg.svd(x, full_matrices=False)
    return np.matmul(u * s[..., None, :], vt)


def of_symmetric(f: Callable[[Any], Any], x: Any) -> Any:
    w, v = np.linalg.eigh((x + np.swapaxes(x, -1, -2)) / 2)
    return np.matmul(v * f(w)[..., None, :], np.swapaxes(v, -1, -2))


def of_any(f: Callable[[Any], Any], x: Any) -> Any:
    w, v = np.linalg.eig(x)
    return np.real(np.matmul(v * f(w)[..., None, :], np.linalg.inv(v)))


def divided_differences(f: Callable[[Any], Any], slope: Callable[[Any], Any], w: np.ndarray) -> np.ndarray:
    """The derivative of f of a matrix in its eigenvectors' basis (Daleckii and Krein 1965)."""
    gap = w[:, None] - w[None, :]
    equal = np.abs(gap) < 1e-9
    middle = slope((w[:, None] + w[None, :]) / 2)
    return np.where(equal, middle, (f(w)[:, None] - f(w)[None, :]) / np.where(equal, 1, gap))


@pytest.mark.parametrize("full", [True, False])
@pytest.mark.parametrize("x", [np.eye(3), TURN, -2 * TURN, np.zeros((3, 3)), TURN @ np.diag([2, 2, 1]) @ TURN.T])
def test_a_matrix_rebuilt_from_its_singular_values(x: np.ndarray, full: bool) -> None:
    def loss(x: Any) -> Any:
        u, s, vt = np.linalg.svd(x, full_matrices=full)
        return np.sum((u * s) @ vt * W)

    np.testing.assert_allclose(gradient(loss, x), W, atol=1e-13)


@settings(max_examples=25)
@given(
    shape=st.sampled_from([(2, 2), (3, 3), (4, 2), (2, 4), (5, 3)]),
    values=st.lists(st.sampled_from([0.0, 1.0, 1.0 + 1e-15, 1.0 + 1e-11, 3.0]), min_size=3, max_size=3),
    batch=st.sampled_from([(), (2,)]),
    dtype=st.sampled_from(["f4", "f8"]),
    layout=st.sampled_from("CF"),
    seed=st.integers(0, 99),
)
def test_any_matrix_rebuilt(shape: Any, values: Any, batch: Any, dtype: str, layout: Any, seed: int) -> None:
    """The function is the identity, so its gradient is the weight, whatever values are equal, nearly equal or 0."""
    rng = np.random.default_rng(seed)
    k = min(shape)
    u = np.linalg.qr(rng.standard_normal((*batch, shape[0], k)))[0]
    v = np.linalg.qr(rng.standard_normal((*batch, shape[1], k)))[0]
    x = np.array((u * np.array(values[:k])) @ np.swapaxes(v, -1, -2), dtype, order=layout)
    weight = rng.standard_normal(x.shape).astype(dtype)
    g = gradient(lambda x: np.sum(rebuilt(x) * weight), x)
    assert g.dtype == dtype
    np.testing.assert_allclose(g, weight, atol=3e-6 if dtype == "f8" else 3e-2)


@pytest.mark.parametrize("name", FUNCTIONS)
@pytest.mark.parametrize(
    "values", [[1, 1, 1], [2, 2, 1], [1, 1 + 1e-15, 1 - 1e-15], [2, 2 + 1e-12, 3], [1, 2, 4]], ids=str
)
def test_functions_of_symmetric_matrices(name: str, values: list[float]) -> None:
    """The matrix square root through `eigh` among them."""
    f, slope = FUNCTIONS[name]
    w = np.array(values, float)
    expected = TURN @ (divided_differences(f, slope, w) * (TURN.T @ (W + W.T) @ TURN / 2)) @ TURN.T
    g = gradient(lambda x: np.sum(of_symmetric(f, x) * W), TURN @ np.diag(w) @ TURN.T)
    np.testing.assert_allclose(g, expected, atol=1e-7)


@pytest.mark.parametrize("name", FUNCTIONS)
@pytest.mark.parametrize("values", [[1, 1, 1], [2, 2, 1], [1, 2, 4]], ids=str)
@pytest.mark.parametrize("basis", [np.eye(3), TURN, np.eye(3) + np.diag([1.0, 2.0], 1) / 2], ids=["1", "turn", "skew"])
def test_functions_of_any_matrix(name: str, values: list[float], basis: np.ndarray) -> None:
    f, slope = FUNCTIONS[name]
    w, back = np.array(values, float), np.linalg.inv(basis)
    expected = back.T @ (divided_differences(f, slope, w) * (basis.T @ W @ back.T)) @ basis.T
    g = gradient(lambda x: np.sum(of_any(f, x) * W), basis @ np.diag(w) @ back)
    np.testing.assert_allclose(g, expected, atol=1e-6)


def test_the_orthogonal_factor_of_the_polar_decomposition() -> None:
    """At an orthogonal matrix Q its derivative is the part of Qᵀ dX that is skew: the gradient is (W − Q Wᵀ Q) / 2."""

    def polar(x: Any) -> Any:
        u, _, vt = np.linalg.svd(x)
        return np.sum(u @ vt * W)

    np.testing.assert_allclose(gradient(polar, TURN), (W - TURN @ W.T @ TURN) / 2, atol=1e-13)


@pytest.mark.parametrize("part", ["svd u", "svd v", "eigh", "eig"])
@pytest.mark.parametrize("x", [np.eye(3), TURN @ TURN.T, 2 * np.eye(3)])
def test_a_choice_of_vectors_has_no_gradient(part: str, x: np.ndarray) -> None:
    """NaN, not a number that depends on how the decomposition happened to choose or to round."""

    def loss(x: Any) -> Any:
        if part == "eig":
            return np.sum(np.real(np.linalg.eig(x)[1]) * W)
        if part == "eigh":
            return np.sum(np.linalg.eigh(x)[1] * W)
        return np.sum(np.linalg.svd(x)[0 if part == "svd u" else 2] * W)

    assert np.isnan(gradient(loss, x)).any()


LOGARITHMS: dict[str, Callable[[Any], Any]] = {
    "eigvalsh": lambda x: np.sum(np.log(np.linalg.eigvalsh((x + x.T) / 2))),
    "eigvals": lambda x: np.real(np.sum(np.log(np.linalg.eigvals(x)))),
    "svdvals": lambda x: np.sum(np.log(np.linalg.svdvals(x))),
    "eigh": lambda x: np.sum(np.log(np.linalg.eigh((x + x.T) / 2)[0])),
    "svd": lambda x: np.sum(np.log(np.linalg.svd(x)[1])),
}


@pytest.mark.parametrize("name", LOGARITHMS)
@pytest.mark.parametrize(
    "x", [np.eye(2), np.diag([2.0, 2.0, 3.0]), np.diag([2.0, 2 + 1e-13, 3.0])], ids=["1", "2", "3"]
)
def test_second_derivatives_of_values_alone(name: str, x: np.ndarray) -> None:
    """All are log |det x|, whose second derivative in the directions A and B is −tr(x⁻¹ A x⁻¹ B)."""
    n, inverse = len(x), np.linalg.inv(x)
    units = np.eye(n * n).reshape(n, n, n, n)
    if name in ("eigvalsh", "eigh"):
        units = (units + np.swapaxes(units, -1, -2)) / 2
    expected = -np.einsum("ij,abjk,kl,cdli->abcd", inverse, units, inverse, units)
    np.testing.assert_allclose(mg.hessian(LOGARITHMS[name])(x), expected, atol=1e-7)
    direction = RNG.standard_normal((n, n))
    product = mg.hvp(LOGARITHMS[name], (x,), (direction,))[0]
    np.testing.assert_allclose(product, np.einsum("abcd,cd->ab", expected, direction), atol=1e-7)


def test_second_derivatives_of_matrix_norms() -> None:
    """Of the sum of squared singular values, 2 everywhere; of the nuclear norm at 1, the part that is skew."""
    for x in (np.eye(2), np.zeros((2, 3)), np.diag([1.0, 0.0])):
        h = mg.hessian(lambda x: np.sum(np.linalg.svdvals(x) ** 2))(x)
        np.testing.assert_allclose(h, 2 * np.eye(x.size).reshape(*x.shape, *x.shape), atol=1e-12)
    h = mg.hessian(lambda x: np.linalg.norm(x, "nuc"))(np.eye(2))
    np.testing.assert_allclose(h[0, 1], [[0, 0.5], [-0.5, 0]], atol=1e-12)
    h = mg.hessian(lambda x: np.linalg.norm(x, 2))(np.diag([3.0, 1.0, 1.0]))
    np.testing.assert_allclose(h[0, 1], np.array([[0, 3, 0], [1, 0, 0], [0, 0, 0]]) / 8, atol=1e-12)


def test_second_derivatives_through_vectors_of_equal_values_are_not_known() -> None:
    """`without_derivative` stands in for the quotient, which gradcheck has nothing to compare with."""
    assert np.isnan(mg.hessian(lambda x: np.sum(rebuilt(x) ** 2 * W))(np.eye(3))).any()
    np.testing.assert_allclose(gradient(lambda x: np.sum(rebuilt(x) * W), np.eye(3), create_graph=True), W, atol=1e-13)


def test_the_pass_that_looks_for_limits_is_like_any_other() -> None:
    x = mg.tensor(np.eye(3), requires_grad=True)
    loss = np.sum(rebuilt(x) * W)
    loss.backward(retain_graph=True)
    assert x.grad.node is None
    loss.backward()
    np.testing.assert_allclose(x.grad.numpy(), 2 * W, atol=1e-13)
    with pytest.raises(mg.GraphError, match="consumed"):
        loss.backward()
    y = x * 2.0
    book = mg.ledger(np.sum(rebuilt(y) * W), [x])
    np.testing.assert_allclose(book[x][0][1].numpy(), 2 * W, atol=1e-13)
    with pytest.raises(mg.GraphError, match="consumed"):
        mg.gradients(y.sum(), [x])
