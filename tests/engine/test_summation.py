"""Sums stay accurate over many values in every memory order and dtype, in operations, in rules and in the pool."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

import minigrad as mg
from minigrad import nn
from minigrad.engine.summation import CHUNK, FEW, ROWS, accurate_mean, accurate_sum, long_product, product_over_rows

LENGTHS = [1, 2, 3, 7, ROWS // 2, ROWS // 2 + 1, ROWS + 1, 3 * ROWS + 5]


@st.composite
def layouts(draw: st.DrawFn) -> tuple[np.ndarray, Any, bool]:
    """An array in some memory order (permuted, strided, reversed, broadcast), axes to sum over, and keepdims."""
    shape = tuple(draw(st.lists(st.sampled_from(LENGTHS), min_size=1, max_size=4)))
    while math.prod(shape) > 100_000:
        shape = shape[:-1]
    rng = np.random.default_rng(draw(st.integers(0, 1000)))
    dtype = draw(st.sampled_from("efdFD"))
    x = rng.standard_normal(shape) + (1j * rng.standard_normal(shape) if dtype in "FD" else 0)
    x = x.astype(dtype).transpose(draw(st.permutations(range(len(shape)))))
    x = x[tuple(slice(None, None, draw(st.sampled_from([1, 1, 2, -1]))) for _ in shape)]
    if draw(st.booleans()):
        axis = draw(st.integers(0, len(shape) - 1))
        x = np.broadcast_to(x.take([0], axis=axis), x.shape)
    axes = draw(st.one_of(st.none(), st.lists(st.integers(0, len(shape) - 1), unique=True).map(tuple)))
    return x, axes, draw(st.booleans())


@settings(max_examples=25, deadline=None)
@given(layouts())
def test_in_every_layout(case: tuple[np.ndarray, Any, bool]) -> None:
    """The oracle is NumPy's sum in float64 or complex128; the scale of an error is the sum of absolute values."""
    x, axis, keepdims = case
    wide = x.astype(np.complex128 if x.dtype.kind == "c" else np.float64)
    expected = wide.sum(axis=axis, keepdims=keepdims)
    count = max(x.size // max(expected.size, 1), 1)
    scale = np.abs(wide).sum(axis=axis, keepdims=keepdims)
    eps = float(np.finfo(x.dtype).eps)
    for y, factor in ((accurate_sum(x, axis, keepdims), 1), (accurate_mean(x, axis, keepdims), 1 / count)):
        assert (y.shape, y.dtype) == (expected.shape, x.dtype)
        tolerance = (2 if x.dtype == np.float16 else 40) * eps * scale * factor + float(np.finfo(x.dtype).tiny)
        assert (np.abs(y - expected * factor) <= tolerance).all()


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.complex64])
@pytest.mark.parametrize("rows", [FEW // 4, 3 * CHUNK // 4 + 1])
def test_what_is_not_finite_stays_in_its_column(dtype: Any, rows: int) -> None:
    x = np.ones((rows, 4), dtype)
    x[5, 1], x[-1, 2], x[0, 3], x[-1, 3] = np.inf, np.nan, np.inf, -np.inf
    with np.errstate(invalid="ignore"):
        y = accurate_sum(x, 0).real
    assert y[0] == np.float16(rows) if dtype == np.float16 else y[0] == rows
    assert y[1] == np.inf
    assert np.isnan(y[2:]).all()


@pytest.mark.parametrize("axis", [2, -3, (0, 0), (0, 5)])
def test_axes_that_do_not_exist(axis: Any) -> None:
    for x in (np.ones((40, 40), "f2"), np.ones((40, 40), "f4"), np.ones((2, 2))):
        with pytest.raises(ValueError, match="axis"):
            accurate_sum(x, axis)


@pytest.mark.parametrize("shapes", [((9000, 1), (9000, 3)), ((9000, 3), (9000, 1)), ((9000, 1), (9000, 1))])
def test_products_with_a_vector(shapes: Any) -> None:
    left, right = (np.full(shape, 1e-2, "f4") for shape in shapes)
    expected = math.fsum([float(left[0, 0]) * float(right[0, 0])] * 9000)
    np.testing.assert_allclose(product_over_rows(left, right), expected, rtol=2e-5)
    halves = left.astype("f2"), right.astype("f2")
    expected = 9000 * float(halves[0][0, 0]) * float(halves[1][0, 0])
    np.testing.assert_allclose(product_over_rows(*halves), expected, rtol=1e-3)


THOUSANDTH = float(np.float32(1e-3))


@settings(max_examples=25, deadline=None)
@given(st.sampled_from([5, 1024, 1025, 2500, 4096]), st.integers(0, 3), st.integers(0, 3), st.booleans())
def test_products_of_long_vectors(k: int, n: int, m: int, turned: bool) -> None:
    """(n, k) by (k, m), 0 standing for a vector; the oracle is the product in float64."""
    rng = np.random.default_rng(k)
    a, b = (rng.random((*size, k)).astype("f4") + 1 for size in ([n] * (n > 0), [m] * (m > 0)))
    a = np.asfortranarray(a) if turned else a
    expected = a.astype("f8") @ b.T.astype("f8")
    y = long_product(a, b.T)
    assert y.shape == expected.shape
    np.testing.assert_allclose(y, expected, rtol=5e-6)


def test_small_products_over_many_rows() -> None:
    """OpenBLAS has kernels for small products, which add in order: 1.5e-3 off over 200,000 rows."""
    x = np.full((200_000, 4), 1e-3, np.float32)
    for left, right in ((x[:, :2], x[:, 2:]), (x[:, :2].copy(), x[:, 2:].copy())):
        y = product_over_rows(left, right)
        np.testing.assert_allclose(y, 200_000 * float(x[0, 0]) ** 2, rtol=1e-5)


def used_by(call: Any, n: int, dtype: Any, g: float) -> np.ndarray:
    """The gradient of b (2,) of `call(x, b)` with x (n, 2) ones, where each value of the result has the gradient g."""
    b = mg.Parameter(np.ones(2, dtype))
    y = call(np.ones((n, 2), dtype), b)
    y.backward(mg.tensor(np.full(y.shape, g, dtype)))
    assert b.grad is not None
    assert b.grad.dtype == dtype
    return b.grad.numpy()


def layer_norm(x: Any, b: mg.Parameter) -> mg.Tensor:
    layer = nn.LayerNorm(2, dtype=x.dtype)
    layer.bias = b
    return layer(x)


BROADCASTS = {
    "add": lambda x, b: x + b,
    "multiply": lambda x, b: x * b,
    "subtract": lambda x, b: b - x,
    "where": lambda x, b: mg.where(x > 0, b, x),
    "broadcast_to": lambda x, b: mg.broadcast_to(b, x.shape),
    "keepdims": lambda x, b: x + b[None],
    "linear": lambda x, b: mg.linear(x, np.eye(2, dtype=x.dtype), b),
    "weight": lambda x, b: mg.linear(x[:, :1], b[:, None]),
    "matmul": lambda x, b: x[:, :1] @ b[None],
    "matvec": lambda x, b: x @ b,
    "vecmat": lambda x, b: b @ x.T,
    "outer": lambda x, b: mg.outer(x[:, 0], b),
    "tensordot": lambda x, b: mg.tensordot(x, b, 1),
    "inner": lambda x, b: mg.inner(x, b),
    "vecdot": lambda x, b: mg.vecdot(x, b),
    "einsum_product": lambda x, b: mg.einsum("ni,i->n", x, b),
    "einsum": lambda x, b: mg.einsum("ni,i->ni", x, b),
    "tile": lambda x, b: mg.tile(b, (len(x), 1)),
    "repeat": lambda x, b: mg.repeat(b[None], len(x), axis=0),
    "embedding": lambda x, b: mg.embedding(np.zeros(len(x), int), mg.stack([b, b * 0])),
    "take": lambda x, b: mg.take(b[None], np.zeros(len(x), int), axis=0),
    "getitem": lambda x, b: b[None][np.zeros(len(x), int)],
    "cumsum": lambda x, b: mg.cumsum(b[None] * np.eye(len(x), 1, dtype=x.dtype), axis=0),
    "layer_norm": layer_norm,
}


@pytest.mark.parametrize("name", BROADCASTS)
def test_gradients_over_many_rows(name: str) -> None:
    """10⁶ rows of 1e-3 in float32 add up to 1000, 8192 of 2⁻⁹ in float16 to 16 (algebra)."""
    call = BROADCASTS[name]
    np.testing.assert_allclose(used_by(call, 10**6, np.float32, THOUSANDTH), 1e6 * THOUSANDTH, rtol=2e-5)
    np.testing.assert_array_equal(used_by(call, 8192, np.float16, 2.0**-9), 16)


def test_a_pool_of_float16_over_many_uses() -> None:
    """4,000 uses of 2⁻¹⁰ add up to 3.90625; in float16 they would stop at 2."""
    for use in (lambda w: w * 1.0, lambda w: w[:1] * mg.tensor(np.ones(2, "f2"))):
        w = mg.tensor(np.ones(2, "f2"), requires_grad=True)
        total: Any = 0.0
        for _ in range(4000):
            total = total + use(w).sum()
        total.backward(mg.tensor(np.array(2.0**-10, "f2")))
        assert w.grad is not None
        assert w.grad.dtype == np.float16
        assert w.grad.sum().item() == pytest.approx(2 * 3.90625, rel=1e-3)


def test_the_recorded_backward_pass_too() -> None:
    x, b = np.full((8192, 2), 2.0**-9, "f2"), mg.tensor(np.ones(2, "f2"), requires_grad=True)
    (g,) = mg.gradients(mg.sum((mg.tensor(x) + b) ** 2), [b], create_graph=True)
    (gg,) = mg.gradients(mg.sum(g), [b])
    np.testing.assert_allclose(g.numpy(), 2 * 8192 * (1 + 2.0**-9), rtol=1e-3)
    np.testing.assert_array_equal(gg.numpy(), 16384)
