"""Products of arrays of any shape, and the factors that a weight's gradient pool receives."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st
from hypothesis.extra.numpy import mutually_broadcastable_shapes

import minigrad as mg
from minigrad.engine.gradient_pool import OuterProduct, Pool

RNG = np.random.default_rng(11)


def check_linear_in_each(call: Callable[..., Any], expected: Callable[..., Any], *arrays: np.ndarray) -> None:
    """The value is NumPy's; and <seed, f(.., d, ..)> = <gradient, d> for any d in the place of each factor."""
    rng = np.random.default_rng(4)
    xs = [mg.tensor(a, requires_grad=True) for a in arrays]
    y = call(*xs)
    wanted = np.asarray(expected(*arrays))
    assert y.shape == wanted.shape
    np.testing.assert_allclose(y.numpy(), wanted, atol=1e-11)
    seed = rng.standard_normal(wanted.shape)
    found = mg.gradients(y, xs, mg.tensor(seed))
    for k, g in enumerate(found):
        assert g.shape == arrays[k].shape
        d = rng.standard_normal(arrays[k].shape)
        moved = expected(*(d if j == k else a for j, a in enumerate(arrays)))
        np.testing.assert_allclose(np.sum(seed * moved), np.sum(g.numpy() * d), atol=1e-10)


@st.composite
def summations(draw: Any) -> tuple[str, list[tuple[int, ...]]]:
    """Subscripts of one to three arrays, with repeated labels, axes to be stretched, an ellipsis, and sizes of zero."""
    sizes = dict(zip("abcd", draw(st.lists(st.integers(0, 3), min_size=4, max_size=4))))
    dots = draw(st.lists(st.integers(1, 3), max_size=2))
    parts, shapes = [], []
    for _ in range(draw(st.integers(1, 3))):
        labels = draw(st.lists(st.sampled_from("abcd"), max_size=3))
        one = draw(st.booleans()) and len(set(labels)) == len(labels)
        shape = [1 if one and draw(st.booleans()) else sizes[label] for label in labels]
        under = draw(st.booleans())
        at = draw(st.integers(0, len(labels)))
        if under:
            own = dots[draw(st.integers(0, len(dots))) :]
            shape[at:at] = [1 if draw(st.booleans()) else n for n in own]
        parts.append("".join(labels[:at]) + ("..." if under else "") + "".join(labels[at:]))
        shapes.append(tuple(shape))
    named = sorted(set("".join(parts)) - {"."})
    result = "".join(draw(st.permutations(draw(st.lists(st.sampled_from(named), unique=True)) if named else [])))
    if any("..." in part for part in parts):
        at = draw(st.integers(0, len(result)))
        result = f"{result[:at]}...{result[at:]}"
    return f"{','.join(parts)}{'->' + result if draw(st.booleans()) else ''}", shapes


@settings(max_examples=150)
@given(case=summations(), optimize=st.sampled_from([False, True, "optimal"]))
def test_einsum_of_any_subscripts(case: Any, optimize: Any) -> None:
    text, shapes = case
    arrays = [np.asarray(np.random.default_rng(k).standard_normal(shape)) for k, shape in enumerate(shapes)]
    check_linear_in_each(lambda *xs: mg.einsum(text, *xs, optimize=optimize), lambda *xs: np.einsum(text, *xs), *arrays)


@settings(max_examples=80)
@given(data=st.data())
def test_tensordot_over_any_axes(xp: Any, data: Any) -> None:
    shape = data.draw(st.lists(st.integers(0, 3), max_size=4))
    left = data.draw(st.lists(st.sampled_from(range(len(shape))), unique=True)) if shape else []
    other = data.draw(st.lists(st.integers(0, 3), max_size=2)) + [shape[k] for k in left]
    order = data.draw(st.permutations(range(len(other))))
    right = [order.index(k) for k in range(len(other) - len(left), len(other))]
    left = [k - len(shape) if data.draw(st.booleans()) else k for k in left]
    a, b = (np.random.default_rng(3).standard_normal(s) for s in (shape, [other[k] for k in order]))
    check_linear_in_each(
        lambda a, b: mg.tensordot(a, b, (left, right)), lambda a, b: np.tensordot(a, b, (left, right)), a, b
    )


@settings(max_examples=60)
@given(
    n=st.lists(st.integers(0, 3), max_size=3),
    m=st.lists(st.integers(0, 3), max_size=3),
    name=st.sampled_from(["dot", "inner", "kron", "outer"]),
)
def test_products_of_any_ranks(xp: Any, n: list[int], m: list[int], name: str) -> None:
    if n and m and name in ("dot", "inner"):
        m[-2 if name == "dot" and len(m) > 1 else -1] = n[-1]
    a, b = (np.asarray(np.random.default_rng(3).standard_normal(shape)) for shape in (n, m))
    check_linear_in_each(getattr(mg, name), getattr(np, name), a, b)


@settings(max_examples=60)
@given(shapes=mutually_broadcastable_shapes(num_shapes=2, max_dims=2, min_side=0, max_side=3), data=st.data())
def test_stacks_of_vectors_broadcast(xp: Any, shapes: Any, data: Any) -> None:
    left, right = shapes.input_shapes
    n, m = data.draw(st.integers(0, 3)), data.draw(st.integers(0, 3))
    draw = np.random.default_rng(3).standard_normal
    check_linear_in_each(mg.vecdot, lambda a, b: np.sum(a * b, -1), draw((*left, n)), draw((*right, n)))
    check_linear_in_each(
        mg.matvec, lambda a, b: np.matmul(a, b[..., None])[..., 0], draw((*left, m, n)), draw((*right, n))
    )
    check_linear_in_each(
        mg.vecmat, lambda a, b: np.matmul(a[..., None, :], b)[..., 0, :], draw((*left, n)), draw((*right, n, m))
    )
    check_linear_in_each(mg.cross, np.cross, draw((*left, 3)), draw((*right, 3)))


@settings(max_examples=60)
@given(shape=st.lists(st.integers(0, 3), min_size=2, max_size=4), offset=st.integers(-4, 4), data=st.data())
def test_trace_along_any_diagonal(xp: Any, shape: list[int], offset: int, data: Any) -> None:
    first, second = data.draw(st.permutations(range(len(shape))))[:2]
    x = np.random.default_rng(3).standard_normal(shape)
    check_linear_in_each(
        lambda x: mg.trace(x, offset, first, second - len(shape)), lambda x: np.trace(x, offset, first, second), x
    )


W = np.asarray(RNG.standard_normal((3, 4)))


@pytest.mark.parametrize(
    ("call", "shape"),
    [
        (lambda x, W: mg.matmul(x, W), (3,)),
        (lambda x, W: mg.matmul(W, x), (4,)),
        (lambda x, W: mg.dot(x, W), (5, 3)),
        (lambda x, W: mg.inner(x, W), (2, 4)),
        (lambda x, W: mg.matvec(W, x), (2, 4)),
        (lambda x, W: mg.vecmat(x, W), (2, 3)),
        (lambda x, W: mg.tensordot(x, W, 1), (2, 2, 3)),
        (lambda x, W: mg.tensordot(W, x, 1), (4, 2, 2)),
        (lambda x, W: mg.tensordot(x, W, (1, 1)), (2, 4, 3)),
        (lambda x, W: mg.tensordot(W, x, (0, 0)), (3,)),
        (lambda x, W: mg.einsum("btj,ij->bti", x, W), (2, 3, 4)),
        (lambda x, W: mg.einsum("ij,btj->ibt", W, x), (2, 3, 4)),
        (lambda x, W: mg.einsum("bi,ij", x, W), (2, 3)),
        (lambda x, W: mg.einsum("i,ij->j", x, W), (3,)),
        (lambda x, W: mg.einsum("...i,ij->...j", x, W), (2, 2, 3)),
    ],
)
def test_a_weight_receives_factors(monkeypatch: pytest.MonkeyPatch, call: Any, shape: Any) -> None:
    """What the pool of a matrix used at several times is handed are thin factors, and their sum is right."""
    handed: list[Any] = []
    add = Pool.add
    monkeypatch.setattr(Pool, "add", lambda self, part: (handed.append(type(part)), add(self, part))[1])
    weight = mg.tensor(W, requires_grad=True)
    xs = [np.random.default_rng(k).standard_normal(shape) for k in range(3)]
    total: Any = 0.0
    for x in xs:
        total = total + (call(mg.tensor(x), weight) * np.float64(2.0)).sum()
    total.backward()
    assert handed == [OuterProduct] * 3
    units = [mg.tensor(unit) for unit in np.eye(12).reshape(12, 3, 4)]
    expected = [2.0 * call(mg.tensor(np.sum(xs, 0)), unit).sum().item() for unit in units]
    np.testing.assert_allclose(weight.grad.numpy().ravel(), expected, atol=1e-12)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda a, b: mg.einsum("ij,jk", a), "got 1 arrays, want one for each of the 2"),
        (lambda a, b: mg.einsum("ij,jk", a, a), "subscript 'j': got sizes 4 and 3"),
        (lambda a, b: mg.einsum("ijk->i", a), "array of 2 axes"),
        (lambda a, b: mg.einsum("ij->iz", a), "'z' appears twice, or in no array"),
        (lambda a, b: mg.einsum("ij->ii", a), "'i' appears twice"),
        (lambda a, b: mg.einsum("ii->i", a), "'i': got sizes 3 and 4"),
        (lambda a, b: mg.einsum("ii->i", a[:1]), "'i': got sizes 1 and 4 in one array"),
        (lambda a, b: mg.einsum("...j->j", a), "no ellipsis"),
        (lambda a, b: mg.einsum("i.j->j", a), "got '.'"),
        (lambda a, b: mg.einsum(), "got nothing"),
        (lambda a, b: mg.tensordot(a, b, 3), "axes: got 3 for 2 and 2 axes"),
        (lambda a, b: mg.tensordot(a, b, ([0, 1], [0])), "axes: got"),
        (lambda a, b: mg.tensordot(a, b, (0, 1)), "tensordot: got"),
        (lambda a, b: mg.vecdot(a, b), "vecdot: got shapes"),
        (lambda a, b: mg.cross(a, b), "cross: got vectors of 4"),
    ],
)
def test_what_does_not_fit_is_named(call: Any, words: str) -> None:
    a, b = mg.tensor(np.ones((3, 4)), requires_grad=True), mg.tensor(np.ones((4, 2)))
    with pytest.raises(ValueError, match=words):
        call(a, b)


@settings(max_examples=60)
@given(shapes=mutually_broadcastable_shapes(signature="(n?,k),(k,m?)->(n?,m?)", max_dims=2, min_side=0, max_side=3))
def test_matmul_of_any_shapes(xp: Any, shapes: Any) -> None:
    """matmul is linear in each factor, so <seed, dA @ B> = <gradient of A, dA> exactly, for any dA."""
    rng = np.random.default_rng(4)
    a, b, da, db = (rng.standard_normal(shape) for shape in shapes.input_shapes * 2)
    expected = np.matmul(a, b)
    xs = [mg.tensor(v, requires_grad=True) for v in (a, b)]
    y = mg.matmul(*xs)
    np.testing.assert_allclose(y.numpy(), expected, atol=1e-12)
    seed = rng.standard_normal(expected.shape)
    ga, gb = mg.gradients(y, xs, mg.tensor(seed))
    np.testing.assert_allclose(np.sum(seed * np.matmul(da, b)), np.sum(ga.numpy() * da), atol=1e-12)
    np.testing.assert_allclose(np.sum(seed * np.matmul(a, db)), np.sum(gb.numpy() * db), atol=1e-12)


@pytest.mark.parametrize("dtypes", [*itertools.product(["float32", "float64"], repeat=3)], ids=str)
@pytest.mark.parametrize("rows", [(), (1,), (4,), (2, 3)], ids=str)
def test_linears_dtype_is_numpys(rows: tuple[int, ...], dtypes: tuple[str, str, str]) -> None:
    rng = np.random.default_rng(0)
    x, W, b = (rng.standard_normal(s).astype(d) for s, d in zip(((*rows, 3), (2, 3), (2,)), dtypes))
    leaves = [mg.tensor(a, requires_grad=True) for a in (x, W, b)]
    y = mg.linear(*leaves)
    assert y.dtype == (x @ W.T + b).dtype
    np.testing.assert_allclose(y.numpy(), x @ W.T + b, rtol=1e-6)
    y.sum().backward()
    assert [leaf.grad.dtype for leaf in leaves] == list(dtypes)


@pytest.mark.parametrize("dtypes", [*itertools.product(["float32", "float64"], repeat=5)], ids=str)
def test_linear_sums_dtype_is_numpys(dtypes: tuple[str, ...]) -> None:
    rng = np.random.default_rng(0)
    shapes = ((4, 3), (2, 3), (4, 5), (2, 5), (2,))
    x, Wx, h, Wh, b = (rng.standard_normal(s).astype(d) for s, d in zip(shapes, dtypes))
    leaves = [mg.tensor(a, requires_grad=True) for a in (x, Wx, h, Wh, b)]
    y, expected = mg.linear_sum(*leaves), x @ Wx.T + b + h @ Wh.T
    assert y.dtype == expected.dtype
    np.testing.assert_allclose(y.numpy(), expected, rtol=1e-6)
    y.sum().backward()
    assert [leaf.grad.dtype for leaf in leaves] == list(dtypes)


def test_linear_sum_is_the_sum_to_the_bit_and_adds_up_over_uses_in_one_product() -> None:
    """Used 60 times, as by a recurrent net of 60 steps: values and gradients beside two `linear` and an addition."""
    rng = np.random.default_rng(0)
    xs, *arrays = (rng.standard_normal(s).astype("f4") for s in ((60, 2, 3), (4, 3), (4, 4), (4,), (2, 4)))
    results = []
    for together in (True, False):
        Wx, Wh, b, h = leaves = [mg.tensor(a, requires_grad=True) for a in arrays]
        for x in mg.tensor(xs):
            h = mg.tanh(mg.linear_sum(x, Wx, h, Wh, b) if together else mg.linear(x, Wx, b) + mg.linear(h, Wh))
        h.sum().backward()
        results.append([h.numpy(), *(leaf.grad.numpy() for leaf in leaves)])
    for one, other in zip(*results):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize(
    ("shapes", "message"),
    [
        (
            ((2, 3), (4, 3), (3, 5), (4, 5)),
            r"linear_sum: .*want equal shapes: x with Wx gives \(2, 4\), h with Wh \(3, 4\)",
        ),
        (
            ((2, 3), (4, 3), (2, 5), (1, 5)),
            r"linear_sum: .*want equal shapes: x with Wx gives \(2, 4\), h with Wh \(2, 1\)",
        ),
        (((2, 3), (4, 3), (2, 5), (4, 5), (1,)), r"linear_sum: .*want b of shape \(4,\) for W of shape \(4, 3\)"),
        (((2, 3), (4, 3), (2, 5), (4, 6)), r"linear_sum: got \(\(2, 3\) float32, .*: shapes \(2,5\) and \(6,4\)"),
    ],
)
def test_linear_sum_names_what_does_not_fit(shapes: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        mg.linear_sum(*(mg.ones(shape) for shape in shapes))


def test_the_dtype_of_other_products_with_a_bias() -> None:
    x, W, b = np.ones((1, 2, 5), np.float32), np.ones((3, 2, 2), np.float32), np.full(3, 1e-12)
    assert mg.conv1d(x, W, b).dtype == np.float64
    np.testing.assert_array_equal(mg.conv1d(x, W, b).numpy(), np.full((1, 3, 4), 4 + 1e-12))
