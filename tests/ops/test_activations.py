"""Activations at kinks and far from zero, and their second derivatives."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

import minigrad as mg
from tests.support.derivative import derivative

KINKS = np.array([-6.0, -3.0, -1.0, -0.5, -0.0, 0.0, 0.5, 1.0, 3.0, 6.0])


FUNCTIONAL: dict[str, tuple[str, tuple[float, ...]]] = {
    "relu": ("relu", ()),
    "relu6": ("relu6", ()),
    "leaky_relu": ("leaky_relu", (0.3,)),
    "elu": ("elu", (0.7,)),
    "selu": ("selu", ()),
    "celu": ("celu", (0.7,)),
    "hardtanh": ("hardtanh", (-0.5, 3.0)),
    "hard_sigmoid": ("hardsigmoid", ()),
    "hard_swish": ("hardswish", ()),
    "softshrink": ("softshrink", (1.0,)),
    "hardshrink": ("hardshrink", (1.0,)),
    "threshold": ("threshold", (0.5, 2.0)),
    "softsign": ("softsign", ()),
}


@pytest.mark.parametrize("name", FUNCTIONAL)
def test_activations_at_kinks_are_torchs(xp: Any, name: str) -> None:
    torch = pytest.importorskip("torch")
    theirs, args = FUNCTIONAL[name]
    x, tx = mg.tensor(KINKS, requires_grad=True), torch.tensor(KINKS, requires_grad=True)
    y, ty = getattr(mg, name)(x, *args), getattr(torch.nn.functional, theirs)(tx, *args)
    # torch keeps some of these functions' numbers as float32
    np.testing.assert_allclose(y.numpy(), ty.detach().numpy(), rtol=1e-6)
    y.sum().backward()
    ty.sum().backward()
    np.testing.assert_allclose(x.grad.numpy(), tx.grad.numpy(), rtol=1e-6)


@pytest.mark.parametrize("name", ["hard_swish", "softplus", "mish", "gelu", "silu"])
def test_second_derivatives_at_zero_are_torchs(xp: Any, name: str) -> None:
    torch = pytest.importorskip("torch")
    tx = torch.tensor(0.0, dtype=torch.float64, requires_grad=True)
    theirs = {"hard_swish": "hardswish"}.get(name, name)
    (first,) = torch.autograd.grad(getattr(torch.nn.functional, theirs)(tx), tx, create_graph=True)
    (second,) = torch.autograd.grad(first, tx)
    function = lambda x: getattr(mg, name)(x)  # noqa: E731
    np.testing.assert_allclose(derivative(function, 0.0, 1), first.detach().item(), rtol=1e-6)
    np.testing.assert_allclose(derivative(function, 0.0, 2), second.item(), rtol=1e-6)


@pytest.mark.parametrize(
    ("name", "expected"), [("elu", 1.0), ("celu", 1.0), ("selu", 1.0507009873554805 * 1.6732632423543772)]
)
def test_second_derivatives_of_exponential_units_at_zero_are_those_from_below(
    xp: Any, name: str, expected: float
) -> None:
    """As the first are; torch takes the first from below, the second from above."""
    np.testing.assert_allclose(derivative(lambda x: getattr(mg, name)(x), 0.0, 2), expected)


def test_saved_numbers_are_not_taken_for_constants_in_a_recorded_walk(xp: Any) -> None:
    """gelu keeps Φ(x) for its rule, which no second derivative may take for a constant."""
    x = 0.7
    density = math.exp(-x * x / 2) / math.sqrt(2 * math.pi)
    np.testing.assert_allclose(derivative(mg.gelu, x, 2), density * (2 - x * x), rtol=1e-12)
    np.testing.assert_allclose(derivative(mg.gelu, x, 3), density * (x**3 - 4 * x), rtol=1e-12)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_the_tail_of_the_logistic_function_keeps_its_digits(xp: Any, dtype: Any) -> None:
    """σ(x) = exp(x) as x → −∞; and nothing overflows on the other side."""
    far = np.array([-80.0, -40.0, -20.0], dtype)
    x = mg.tensor(far, requires_grad=True)
    y = mg.sigmoid(x)
    np.testing.assert_allclose(y.numpy(), np.exp(far) / (1 + np.exp(far)), rtol=4 * np.finfo(dtype).eps)
    (g,) = mg.gradients(y.sum(), [x])
    np.testing.assert_allclose(g.numpy(), np.exp(far), rtol=1e-5)
    np.testing.assert_allclose(mg.silu(x).numpy(), far * np.exp(far), rtol=1e-5)
    extremes = mg.sigmoid(mg.tensor(np.array([-1e30, 1e30], dtype)))
    assert extremes.numpy()[0] < np.finfo(dtype).tiny * 100
    assert extremes.numpy()[1] == 1
