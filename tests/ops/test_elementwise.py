"""Elementwise operations on any shape, far from zero, at ties and bounds, and their other names."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st
from hypothesis.extra.numpy import array_shapes

import minigrad as mg
from minigrad.engine.tensor import Tensor

ONE = [
    "tan",
    "arcsinh",
    "arctan",
    "sinc",
    "i0",
    "i1",
    "erf",
    "erfc",
    "erfcx",
    "ndtr",
    "log_ndtr",
    "lgamma",
    "digamma",
    "gelu",
    "mish",
    "celu",
    "softsign",
    "cbrt",
]


@pytest.mark.parametrize("name", ONE)
@settings(max_examples=20)
@given(shape=array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=3), dtype=st.sampled_from(["f4", "f8"]))
def test_any_shape(xp: Any, name: str, shape: Any, dtype: str) -> None:
    """Each element has its own value and derivative, whatever stands around it."""
    host = np.random.default_rng(2).uniform(0.2, 1.4, shape).astype(dtype)
    x = mg.tensor(host, requires_grad=True)
    y = getattr(mg, name)(x)
    y.sum().backward()
    assert (y.shape, y.dtype, x.grad.shape, x.grad.dtype) == (shape, host.dtype, shape, host.dtype)
    flat = mg.tensor(host.reshape(-1), requires_grad=True)
    alone = getattr(mg, name)(flat)
    alone.sum().backward()
    np.testing.assert_allclose(y.numpy().reshape(-1), alone.numpy(), rtol=1e-6)
    np.testing.assert_allclose(x.grad.numpy().reshape(-1), flat.grad.numpy(), rtol=1e-5)


FAR = [-1e30, -800.0, -30.0, -1e-30, 0.0, 1e-30, 30.0, 800.0, 1e30]


STEADY = [
    "arctan",
    "arcsinh",
    "tanh",
    "sigmoid",
    "log_sigmoid",
    "softplus",
    "relu6",
    "elu",
    "selu",
    "celu",
    "gelu",
    "silu",
    "mish",
    "softsign",
    "hardtanh",
    "hard_sigmoid",
    "hard_swish",
    "softshrink",
    "hardshrink",
    "tanhshrink",
    "erf",
    "erfc",
    "ndtr",
    "sinc",
    "degrees",
    "radians",
]


@pytest.mark.parametrize("name", STEADY)
@pytest.mark.parametrize("dtype", ["f4", "f8"])
def test_far_away_and_near_zero_nothing_overflows(xp: Any, name: str, dtype: str) -> None:
    """Finite values and derivatives, first and second, without a warning (which is an error in this suite)."""
    x = mg.tensor(np.array(FAR, dtype), requires_grad=True)
    y = getattr(mg, name)(x)
    (g,) = mg.gradients(y.sum(), [x], create_graph=True)
    assert np.isfinite(y.numpy()).all()
    assert np.isfinite(g.numpy()).all()
    if g.requires_grad and name != "mish":
        (second,) = mg.gradients(g.sum(), [x], allow_unused=True)
        assert second is None or np.isfinite(second.numpy()).all()


ALIASES = {
    "divide": ["true_divide"],
    "power": ["pow"],
    "abs": ["absolute"],
    "remainder": ["mod"],
    "conj": ["conjugate"],
    "arcsin": ["asin"],
    "arccos": ["acos"],
    "arctan": ["atan"],
    "arctan2": ["atan2"],
    "arcsinh": ["asinh"],
    "arccosh": ["acosh"],
    "arctanh": ["atanh"],
    "invert": ["bitwise_not", "bitwise_invert"],
    "left_shift": ["bitwise_left_shift"],
    "right_shift": ["bitwise_right_shift"],
    "degrees": ["rad2deg"],
    "radians": ["deg2rad"],
    "sigmoid": ["expit"],
    "log_sigmoid": ["logsigmoid"],
    "silu": ["swish"],
    "hard_sigmoid": ["hardsigmoid"],
    "hard_swish": ["hardswish"],
    "lgamma": ["gammaln"],
}


@pytest.mark.parametrize("name", ALIASES)
def test_other_names_are_the_same_object(name: str) -> None:
    assert all(getattr(mg, other) is getattr(mg, name) for other in ALIASES[name])


def test_every_ufunc_of_numpy_is_there() -> None:
    """But those of integers' or strings' own, which have no use on a tape."""
    left_out = {"matvec", "vecmat", "vecdot", "spacing", "nextafter", "isnat"}
    names = {name for name in dir(np) if isinstance(getattr(np, name), np.ufunc)}
    assert {name for name in names - left_out if not hasattr(mg, name)} == set()


def test_piecewise_calls_functions_on_what_they_are_for(xp: Any) -> None:
    x = mg.tensor(np.array([-1.0, 4.0, 9.0]), requires_grad=True)
    y = mg.piecewise(x, [x > 0], [mg.sqrt, 0.0])
    assert isinstance(y, Tensor)
    y.sum().backward()
    assert y.tolist() == [0, 2, 3]
    np.testing.assert_allclose(x.grad.numpy(), [0, 1 / 4, 1 / 6])


@pytest.mark.parametrize(("name", "first"), [("maximum", 0.0), ("fmax", 0.0), ("minimum", 1.0), ("fmin", 1.0)])
def test_equal_values_share_the_gradient_evenly(xp: Any, name: str, first: float) -> None:
    a, b = mg.tensor([1.0, -0.0, 2.0], requires_grad=True), mg.tensor([1.0, 0.0, 3.0], requires_grad=True)
    by_a, by_b = mg.gradients(getattr(mg, name)(a, b).sum(), [a, b])
    assert by_a.tolist() == [0.5, 0.5, first]
    assert by_b.tolist() == [0.5, 0.5, 1.0 - first]


def test_where_there_is_no_slope_the_gradient_is_zero(xp: Any) -> None:
    x = mg.tensor([1.0, 2.0], requires_grad=True)
    for y in (mg.power(0.0, x), mg.power(0, x), mg.power(mg.zeros(2), x), mg.power(x, 0), mg.angle(-x)):
        assert mg.gradients(y.sum(), [x])[0].tolist() == [0.0, 0.0]


@pytest.mark.parametrize("k", [0, 1])
def test_bounds_of_clip_get_their_gradient(xp: Any, k: int) -> None:
    x = mg.tensor([-2.0, 0.0, 2.0, 3.0], dtype=np.float64)
    bound = mg.tensor([-1.0, 1.0][k], dtype=np.float64, requires_grad=True)
    clipped = mg.clip(x, bound, 1.0) if k == 0 else mg.clip(x, -1.0, bound)
    clipped.sum().backward()
    assert x.grad is None
    assert bound.grad.item() == [1.0, 2.0][k]
