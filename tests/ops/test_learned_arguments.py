"""Arguments that look like constants: gradients flow to those with a derivative, the others are refused by name."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

import minigrad as mg

X = np.array([-2.3, -0.4, 0.3, 1.7])

LEARNED: dict[str, tuple[Callable[..., mg.Tensor], float]] = {
    "leaky_relu": (mg.leaky_relu, 0.2),
    "elu": (mg.elu, 1.3),
    "celu": (mg.celu, 0.7),
    "hardtanh, lower": (lambda x, a: mg.hardtanh(x, a, 1.0), -1.5),
    "hardtanh, upper": (lambda x, a: mg.hardtanh(x, -1.0, a), 1.5),
    "softshrink": (mg.softshrink, 0.5),
    "threshold": (lambda x, a: mg.threshold(x, 0.1, a), 0.5),
    "heaviside": (lambda x, a: mg.heaviside(mg.concatenate([x, [0.0, -0.0]]), a), 0.3),
}


@pytest.mark.parametrize("name", LEARNED)
def test_a_learned_argument_has_its_derivative(xp: Any, name: str) -> None:
    """Of first and second order, beside finite differences; for one number and for one per column."""
    function, a = LEARNED[name]
    assert mg.gradgradcheck(function, [mg.tensor(X, requires_grad=True), mg.tensor(np.array(a), requires_grad=True)])
    if name != "heaviside":
        columns = mg.tensor(a * np.array([0.8, 0.9, 1.1, 1.2]), requires_grad=True)
        assert mg.gradgradcheck(function, [mg.tensor(np.stack([X, -X]), requires_grad=True), columns])


@pytest.mark.parametrize("name", ["leaky_relu", "elu", "celu"])
def test_a_learned_argument_is_torchs(name: str) -> None:
    """torch differentiates prelu's slope; the others have none there, so they stand beside their own formulas."""
    torch = pytest.importorskip("torch")
    formulas = {
        "leaky_relu": lambda x, a: torch.where(x > 0, x, a * x),
        "elu": lambda x, a: torch.where(x > 0, x, a * torch.expm1(torch.clamp(x, max=0))),
        "celu": lambda x, a: torch.where(x > 0, x, a * torch.expm1(torch.clamp(x, max=0) / a)),
    }
    function, value = LEARNED[name]
    x, a = mg.tensor(X, requires_grad=True), mg.tensor(np.array(value), requires_grad=True)
    mg.sum(mg.square(function(x, a))).backward()
    tx, ta = torch.tensor(X, requires_grad=True), torch.tensor(value, dtype=torch.float64, requires_grad=True)
    formulas[name](tx, ta).square().sum().backward()
    np.testing.assert_allclose(x.grad.numpy(), tx.grad.numpy(), rtol=1e-12)
    np.testing.assert_allclose(a.grad.item(), ta.grad.item(), rtol=1e-12)


@pytest.mark.parametrize(
    ("call", "argument"),
    [
        (lambda x, a: mg.hardshrink(x, a), "hardshrink: argument 1, lambd,"),
        (lambda x, a: mg.threshold(x, a, 0.0), "threshold: argument 1, threshold,"),
        (lambda x, a: mg.roll(x, a), "roll: argument 1, shift,"),
        (lambda x, a: mg.polygamma(a, x), "polygamma: argument 0, n,"),
        (lambda x, a: mg.nan_to_num(x, nan=a), "nan_to_num: argument 2, nan,"),
        (lambda x, a: mg.var(x, ddof=a), "var: argument 3, ddof,"),
    ],
    ids=["hardshrink", "threshold", "roll", "polygamma", "nan_to_num", "var"],
)
def test_an_argument_without_a_rule_is_refused_by_name(xp: Any, call: Callable[[Any, Any], Any], argument: str) -> None:
    x, a = mg.tensor(np.abs(X), requires_grad=True), mg.tensor(np.array(1.0), requires_grad=True)
    with pytest.raises(TypeError, match=f"^{argument} requires a gradient, but"):
        call(x, a)
    assert call(x, a.item()).requires_grad


CONTINUOUS = ("linear", "hazen", "weibull", "median_unbiased", "normal_unbiased", "interpolated_inverted_cdf")


@settings(max_examples=20)
@given(st.sampled_from(CONTINUOUS), st.sampled_from([mg.quantile, mg.nanquantile]), st.integers(1, 6), st.data())
def test_quantiles_by_fraction(method: str, function: Any, n: int, data: Any) -> None:
    """The primitive is `by_fraction`. NumPy's values, derivatives as finite differences, away from the values."""
    x = np.random.default_rng(n).standard_normal((2, n))
    q = np.array(data.draw(st.lists(st.sampled_from([0.013, 0.217, 0.43, 0.571, 0.86, 0.977]), min_size=1, max_size=3)))
    a, fractions = mg.tensor(x, requires_grad=True), mg.tensor(q, requires_grad=True)
    value = function(a, fractions, axis=1, method=method)
    np.testing.assert_allclose(value.numpy(), np.quantile(x, q, axis=1, method=method), rtol=1e-12)
    assert mg.gradgradcheck(lambda a, q: function(a, q, axis=1, method=method), [a, fractions])
    assert mg.gradcheck(lambda q: mg.percentile(a.detach(), 100 * q, method=method), [fractions])


def test_quantiles_at_a_value_and_next_to_nan_and_inf(xp: Any) -> None:
    """Of 1, 2, 4 the quantile rises by 2 per unit of q up to ½, then by 4; NaN and inf do not spoil the others."""
    q = mg.tensor(np.array([0.0, 0.25, 0.5, 1.0]), requires_grad=True)
    mg.sum(mg.quantile(mg.tensor(np.array([4.0, 1.0, 2.0])), q)).backward()
    np.testing.assert_array_equal(q.grad.numpy(), [2, 2, 4, 4])
    q = mg.tensor(np.array([0.25]), requires_grad=True)
    mg.sum(mg.nanquantile(mg.tensor(np.array([4.0, np.nan, 1.0, 2.0])), q)).backward()
    np.testing.assert_array_equal(q.grad.numpy(), [2])
    q = mg.tensor(np.array([0.25]), requires_grad=True)
    value = mg.quantile(mg.tensor(np.array([np.inf, 1.0, 2.0])), q)
    mg.sum(value).backward()
    np.testing.assert_array_equal([value.item(), q.grad.item()], [1.5, 2])
    assert not mg.quantile(X, mg.tensor(0.5, requires_grad=True), method="nearest").requires_grad


@pytest.mark.parametrize("axis", [None, 0])
def test_unique_values_are_a_gather(xp: Any, axis: int | None) -> None:
    host = np.array([[3.0, 1.0], [2.0, 5.0], [3.0, 1.0]])
    x = mg.tensor(xp.array(host), requires_grad=True)
    y, index, counts = mg.unique(x, return_index=True, return_counts=True, axis=axis)
    want = np.unique(host, return_index=True, return_counts=True, axis=axis)
    for part, want_part in zip((y, index, counts), want):
        np.testing.assert_array_equal(part.detach().numpy(), want_part)
    weights = np.arange(1.0, y.size + 1).reshape(y.shape)
    mg.sum(y * mg.tensor(weights)).backward()
    # By hand: each distinct value's (row's) weights go to its first position.
    by_hand = [[3, 1], [2, 4], [0, 0]] if axis is None else [[3, 4], [1, 2], [0, 0]]
    np.testing.assert_array_equal(x.grad.numpy(), by_hand)


def test_the_sign_of_complex_numbers_turns(xp: Any) -> None:
    """z / |z| of first and second order, beside finite differences; real signs stay constants."""
    parts = [mg.tensor(np.array([0.6, -1.2]), requires_grad=True), mg.tensor(np.array([0.8, 0.5]), requires_grad=True)]

    def of(a: Any, b: Any) -> Any:
        s = mg.sign(a + b * 1j)
        return mg.real(s) * 2 + mg.imag(s)

    assert mg.gradgradcheck(of, parts)
    z = np.array([3 + 4j, 0j, -2])
    np.testing.assert_allclose(mg.sign(mg.tensor(z)).numpy(), np.sign(z), rtol=1e-15)
    assert not mg.sign(parts[0]).requires_grad


def test_the_sign_of_a_complex_determinant_turns() -> None:
    rng = np.random.default_rng(0)
    parts = [mg.tensor(rng.standard_normal((2, 3, 3)), requires_grad=True) for _ in range(2)]

    def of(a: Any, b: Any) -> Any:
        sign, log = mg.linalg.slogdet(a + b * 1j)
        return mg.real(sign) * 2 + mg.imag(sign) * 3 + log

    assert mg.gradgradcheck(of, parts)
    assert not mg.linalg.slogdet(parts[0])[0].requires_grad
