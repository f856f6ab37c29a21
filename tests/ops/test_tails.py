"""Derivatives far from 0, where the value rounds to its limit: mpmath computes them to 60 digits and more."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

import minigrad as mg
from tests.support.derivative import derivative

DIGITS = 300
"""Enough for 1 − tanh(90)², which is 1e-77, and its derivatives by differences."""


def logistic(mp: Any, x: Any) -> Any:
    return 1 / (1 + mp.exp(-x))


def softplus(mp: Any, x: Any) -> Any:
    return mp.log1p(mp.exp(x))


SATURATING: dict[str, tuple[Callable[[Any], Any], Callable[[Any, Any], Any]]] = {
    "expm1": (mg.expm1, lambda mp, x: mp.expm1(x) if x < 300 else mp.mpf(0)),
    "tanh": (mg.tanh, lambda mp, x: mp.tanh(x)),
    "sigmoid": (mg.sigmoid, logistic),
    "log_sigmoid": (mg.log_sigmoid, lambda mp, x: -softplus(mp, -x)),
    "softplus": (mg.softplus, softplus),
    "silu": (mg.silu, lambda mp, x: x * logistic(mp, x)),
    "mish": (mg.mish, lambda mp, x: x * mp.tanh(softplus(mp, x))),
    "gelu tanh": (
        lambda x: mg.gelu(x, approximate="tanh"),
        lambda mp, x: x * logistic(mp, mp.sqrt(8 / mp.pi) * (x + mp.mpf(0.044715) * x**3)),
    ),
    "elu": (mg.elu, lambda mp, x: x if x > 0 else mp.expm1(x)),
    "tanhshrink": (mg.tanhshrink, lambda mp, x: x - mp.tanh(x)),
    "logaddexp": (lambda x: mg.logaddexp(x, 1.0), lambda mp, x: mp.log(mp.exp(x) + mp.e)),
    "softsign": (mg.softsign, lambda mp, x: x / (1 + abs(x))),
    "arctan": (mg.arctan, lambda mp, x: mp.atan(x)),
}


def derivatives(function: Callable[[Any, Any], Any], x: float, orders: int) -> list[Any]:
    """The first derivatives of an mpmath function by differences at a precision that leaves them exact."""
    mp = pytest.importorskip("mpmath")
    with mp.workdps(DIGITS):
        step = mp.mpf(10) ** -(DIGITS // 4)
        return [mp.diff(lambda t: function(mp, t), mp.mpf(x), k, h=step) for k in range(1, orders + 1)]


def want_close(result: float, exact: Any, dtype: Any, rtol: float) -> None:
    if np.finfo(dtype).tiny * 2 < abs(exact) < np.finfo(dtype).max:
        assert abs(result - exact) <= rtol * abs(exact), (result, exact)


@pytest.mark.parametrize("name", SATURATING)
@pytest.mark.parametrize("x", [-40.0, -11.9, -0.3, 9.5, 18.0, 40.0, 90.0])
def test_derivatives_of_first_and_second_order_keep_their_digits(name: str, x: float) -> None:
    ours, exact = SATURATING[name]
    for order, theirs in enumerate(derivatives(exact, x, 2), 1):
        want_close(derivative(ours, x, order), theirs, np.float64, 1e-6)


SLOPES: dict[str, Callable[[Any, Any], Any]] = {
    "expm1": lambda mp, x: mp.exp(x),
    "tanh": lambda mp, x: mp.sech(x) ** 2,
    "sigmoid": lambda mp, x: logistic(mp, x) * logistic(mp, -x),
}


@pytest.mark.parametrize("name", SLOPES)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@settings(max_examples=15)
@given(x=st.floats(-60, 60), others=st.lists(st.floats(-1, 1), max_size=3))
def test_no_neighbour_changes_a_tail(xp: Any, name: str, dtype: Any, x: float, others: list[float]) -> None:
    """Which formula an element gets depends on the others of its array. 2e-5 in float32, which has seven digits."""
    mp = pytest.importorskip("mpmath")
    host = np.array([*others, x], dtype)
    t = mg.tensor(host, requires_grad=True)
    (g,) = mg.gradients(SATURATING[name][0](t).sum(), [t])
    for value, ours in zip(host, g.numpy()):
        want_close(float(ours), SLOPES[name](mp, mp.mpf(float(value))), dtype, 2e-5 if dtype == np.float32 else 1e-6)


@pytest.mark.parametrize(("order", "x"), [(n, x) for n in (1, 2, 3, 4) for x in (-3.0, 0.0, 2.0, 9.9, 10.1, 60.0)])
def test_derivatives_of_the_scaled_error_function(order: int, x: float) -> None:
    exact = derivatives(lambda mp, t: mp.exp(t * t) * mp.erfc(t), x, order)[-1]
    want_close(derivative(mg.erfcx, x, order), exact, np.float64, 1e-7)


def test_the_scaled_error_function_is_the_reciprocal_far_out(xp: Any) -> None:
    """erfcx(x) = (1 − 1/(2x²) + …) / (x √π), whose derivatives are −1 / (x² √π) and 2 / (x³ √π)."""
    for dtype in (np.float32, np.float64):
        x = mg.tensor(np.array([1e4, 1e6, 1e8], dtype), requires_grad=True)
        (g,) = mg.gradients(mg.erfcx(x).sum(), [x], create_graph=True)
        (h,) = mg.gradients(g.sum(), [x])
        far = x.numpy().astype(np.float64)
        np.testing.assert_allclose(g.numpy(), -1 / (np.sqrt(np.pi) * far**2), rtol=1e-6)
        np.testing.assert_allclose(h.numpy(), 2 / (np.sqrt(np.pi) * far**3), rtol=1e-6)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("gap", [8.0, 16.0, 40.0, 80.0])
def test_the_probability_that_rounds_to_one_keeps_its_gradient(gap: float, dtype: str) -> None:
    """p − 1 of the largest is minus the sum of the others, here e^−gap and e^−2·gap over their sum: exact in mpmath."""
    mp = pytest.importorskip("mpmath")
    x = mg.tensor(np.array([[0.0, gap, -gap]], dtype), requires_grad=True)
    with mp.workdps(200):
        weights = [mp.exp(mp.mpf(z)) for z in (0.0, gap, -gap)]
        p = [w / sum(weights) for w in weights]
        exact = [p[0], -(p[0] + p[2]), p[2]]  # of −log p[1]; p[1] times that, negated, of p[1]
        of_softmax = [-p[1] * part for part in exact]
    for loss, want in (
        (mg.cross_entropy(x, [1]), exact),
        (-mg.log_softmax(x)[0, 1], exact),
        (mg.softmax(x)[0, 1], of_softmax),
    ):
        for create_graph in (False, True):
            (g,) = mg.gradients(loss, [x], create_graph=create_graph, retain_graph=True)
            for result, part in zip(g.detach().numpy()[0], want):
                want_close(float(result), part, dtype, 2e-3 if dtype == "float32" else 1e-6)
