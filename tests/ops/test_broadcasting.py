"""Broadcasting of elementwise operations, and gradients summed back to each input's shape."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis.extra.numpy import mutually_broadcastable_shapes

import minigrad as mg
from minigrad.engine.tensor import Tensor


def summed_to(g: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """`g` summed over the axes along which `shape` was stretched, written independently of the engine."""
    padded = (1,) * (g.ndim - len(shape)) + shape
    for axis, n in enumerate(padded):
        if n == 1:
            g = g.sum(axis=axis, keepdims=True)
    return g.reshape(shape)


@pytest.mark.parametrize("name", ["add", "subtract", "multiply", "divide", "power", "maximum", "minimum", "where"])
@settings(max_examples=30)
@given(shapes=mutually_broadcastable_shapes(num_shapes=3, max_dims=3, min_side=0, max_side=3))
def test_broadcasting(xp: Any, name: str, shapes: Any) -> None:
    """Broadcasting gives what stretched copies give, and gradients summed back to each input's shape."""
    rng = np.random.default_rng(3)
    arrays = [rng.uniform(0.5, 2.0, shape) for shape in shapes.input_shapes][: 3 if name == "where" else 2]
    full = np.broadcast_shapes(*(a.shape for a in arrays))
    condition = [rng.uniform(size=shapes.input_shapes[2]) > 0.5] if name == "where" else []
    arrays = arrays[:2]

    def result(values: list[np.ndarray]) -> tuple[Tensor, list[Tensor]]:
        xs = [mg.tensor(v, requires_grad=True) for v in values]
        y = getattr(mg, name)(*map(mg.tensor, condition), *xs)
        seed = np.random.default_rng(5).standard_normal(full)
        return y, mg.gradients(y, xs, mg.tensor(seed))

    y, found = result(arrays)
    stretched_y, stretched = result([np.broadcast_to(a, full) for a in arrays])
    assert y.shape == full
    np.testing.assert_array_equal(y.numpy(), stretched_y.numpy())
    np.testing.assert_array_equal(y.numpy(), getattr(np, name)(*condition, *arrays))
    for a, g, whole in zip(arrays, found, stretched):
        assert g.shape == a.shape
        np.testing.assert_allclose(g.numpy(), summed_to(whole.numpy(), a.shape), rtol=1e-12, atol=1e-12)


TWO = {
    "float_power": np.float_power,
    "remainder": np.remainder,
    "fmod": np.fmod,
    "logaddexp": np.logaddexp,
    "logaddexp2": np.logaddexp2,
    "hypot": np.hypot,
    "arctan2": np.arctan2,
    "fmax": np.fmax,
    "fmin": np.fmin,
    "copysign": np.copysign,
    "xlogy": lambda a, b: a * np.log(b),
    "lerp": lambda a, b, w: a + w * (b - a),
}
"""Operations that broadcast, and what they are."""


@pytest.mark.parametrize("name", TWO)
@settings(max_examples=25)
@given(shapes=mutually_broadcastable_shapes(num_shapes=3, max_dims=3, min_side=0, max_side=3))
def test_broadcasting_of_formulas(xp: Any, name: str, shapes: Any) -> None:
    """NumPy's value, and the gradient that a small step in a random direction asks for, in each input's shape."""
    rng = np.random.default_rng(3)
    count = 3 if name == "lerp" else 2
    arrays = [rng.uniform(0.5, 1.5, shape) for shape in shapes.input_shapes[:count]]
    steps = [rng.uniform(-1e-6, 1e-6, a.shape) for a in arrays]
    expected = TWO[name](*arrays)
    seed = rng.standard_normal(expected.shape)
    xs = [mg.tensor(a, requires_grad=True) for a in arrays]
    y = getattr(mg, name)(*xs)
    np.testing.assert_allclose(y.numpy(), expected, rtol=1e-12, atol=1e-14)
    found = mg.gradients(y, xs, mg.tensor(seed))
    assert [g.shape for g in found] == [a.shape for a in arrays]
    ends = [TWO[name](*(a + s * d for a, d in zip(arrays, steps))) for s in (0.5, -0.5)]
    moved = sum(float(np.sum(g.numpy() * d)) for g, d in zip(found, steps))
    np.testing.assert_allclose(moved, np.sum(seed * (ends[0] - ends[1])), rtol=1e-6, atol=1e-13)
