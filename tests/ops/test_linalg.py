"""Linear algebra of any shapes, at the places where matrices are singular or values equal, and what is constant."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

import minigrad as mg
from tests.support.numpy_version import beside_numpy_2_4

sizes = st.integers(1, 4)
stacks = st.lists(st.integers(0, 2), max_size=2).map(tuple)


def apart(*shape: int) -> np.ndarray:
    """Matrices whose singular values, and eigenvalues, are well apart."""
    x = 0.3 * np.random.default_rng(9).standard_normal(shape)
    k = range(min(shape[-2:]))
    x[..., k, k] += np.array([2.0, 4.0, 7.0, 11.0])[: len(k)]
    return x


def check_along_a_line(call: Callable[..., Any], *arrays: np.ndarray, h: float = 1e-5) -> None:
    """<gradient, d> is the slope of <seed, call> along d, by central differences; and of zero-size stacks, zeros."""
    rng = np.random.default_rng(4)
    xs = [mg.tensor(a, requires_grad=True) for a in arrays]
    y = call(*xs)
    seed = rng.standard_normal(y.shape)
    found = mg.gradients(y, xs, mg.tensor(seed))
    assert [g.shape for g in found] == [a.shape for a in arrays]
    ways = [rng.standard_normal(a.shape) for a in arrays]
    ends = [np.sum(seed * call(*(mg.tensor(a + step * d) for a, d in zip(arrays, ways))).numpy()) for step in (h, -h)]
    slope = sum(np.sum(g.numpy() * d) for g, d in zip(found, ways))
    np.testing.assert_allclose(slope, (ends[0] - ends[1]) / (2 * h), rtol=1e-6, atol=1e-6)


@settings(max_examples=40)
@given(left=stacks, right=stacks, n=sizes, k=st.integers(0, 2), lower=st.booleans(), trans=st.booleans())
def test_systems_of_any_stacks(xp: Any, left: Any, right: Any, n: int, k: int, lower: bool, trans: bool) -> None:
    try:
        np.broadcast_shapes(left, right)
    except ValueError:
        right = left
    a, b = apart(*left, n, n), np.random.default_rng(3).standard_normal((*right, n, k))
    np.testing.assert_allclose(mg.linalg.solve(mg.tensor(a), mg.tensor(b)).numpy(), np.linalg.solve(a, b), atol=1e-12)
    check_along_a_line(mg.linalg.solve, a, b)
    check_along_a_line(mg.linalg.solve, a, b[(0,) * len(right)][:, 0] if b.size else np.ones(n))
    t = np.tril(a) if lower else np.triu(a)
    x = mg.linalg.solve_triangular(mg.tensor(a), mg.tensor(b), int(trans), lower)
    np.testing.assert_allclose(x.numpy(), np.linalg.solve(np.swapaxes(t, -1, -2) if trans else t, b), atol=1e-12)
    check_along_a_line(lambda a, b: mg.linalg.solve_triangular(a, b, int(trans), lower), a, b)


@settings(max_examples=40)
@given(stack=stacks, m=sizes, n=sizes, full=st.booleans())
def test_factors_of_matrices_of_any_shape(xp: Any, stack: Any, m: int, n: int, full: bool) -> None:
    a = apart(*stack, m, n)
    k = min(m, n)
    u, s, vt = mg.linalg.svd(mg.tensor(a), full_matrices=full)
    assert [x.shape for x in (u, s, vt)] == [x.shape for x in np.linalg.svd(a, full_matrices=full)]
    q, r = mg.linalg.qr(mg.tensor(a), "complete" if full else "reduced")
    assert (q.shape, r.shape) == tuple(x.shape for x in np.linalg.qr(a, "complete" if full else "reduced"))
    np.testing.assert_allclose((q @ r).numpy(), a, atol=1e-12)

    def rebuilt(x: Any) -> Any:
        u, s, vt = mg.linalg.svd(x, full_matrices=full)
        return (u[..., :k] * mg.sin(s)[..., None, :]) @ vt[..., :k, :]

    check_along_a_line(rebuilt, a)
    check_along_a_line(lambda x: mg.linalg.qr(x)[0], a)
    check_along_a_line(lambda x: mg.linalg.qr(x, "complete" if full else "r")[full][..., :k, :] ** 2, a)
    check_along_a_line(mg.linalg.pinv, a)
    check_along_a_line(mg.linalg.svdvals, a)


@settings(max_examples=40)
@given(stack=stacks, n=sizes)
def test_square_matrices_of_any_stack(xp: Any, stack: Any, n: int) -> None:
    a = apart(*stack, n, n)
    for name in ("inv", "det"):
        np.testing.assert_allclose(
            getattr(mg.linalg, name)(mg.tensor(a)).numpy(), getattr(np.linalg, name)(a), rtol=1e-12, atol=1e-14
        )
        check_along_a_line(getattr(mg.linalg, name), a)
    check_along_a_line(lambda x: mg.linalg.slogdet(x)[1], a)
    check_along_a_line(mg.linalg.cholesky, a)
    check_along_a_line(mg.linalg.eigvalsh, a)
    check_along_a_line(lambda x: mg.linalg.eigh(x)[1] ** 2, a)
    check_along_a_line(lambda x: mg.real(mg.linalg.eigvals(x)), a)
    check_along_a_line(lambda x: mg.linalg.expm(x * 0.3), a)
    np.testing.assert_allclose(
        (mg.linalg.expm(mg.tensor(-a)) @ mg.linalg.expm(mg.tensor(a))).numpy(), np.eye(n) + 0 * a, atol=1e-6
    )


@settings(max_examples=60)
@given(data=st.data(), ord=st.sampled_from([None, 1, 2, 3, 0.5, math.inf, -math.inf, "fro", "nuc"]))
def test_norms_along_any_axes(xp: Any, data: Any, ord: Any) -> None:
    shape = data.draw(st.lists(st.integers(1, 3), min_size=2, max_size=4))
    count = 2 if isinstance(ord, str) else 1 if ord in (3, 0.5) else data.draw(st.integers(1, 2))
    axis = tuple(data.draw(st.permutations(range(len(shape))))[:count])
    axis = tuple(k - len(shape) if data.draw(st.booleans()) else k for k in axis)
    keepdims = data.draw(st.booleans())
    x = np.random.default_rng(2).standard_normal(shape)
    named: Any = axis[0] if count == 1 and data.draw(st.booleans()) else axis
    np.testing.assert_allclose(
        mg.linalg.norm(mg.tensor(x), ord, named, keepdims).numpy(), np.linalg.norm(x, ord, named, keepdims), rtol=1e-12
    )
    check_along_a_line(lambda x: mg.linalg.norm(x, ord, named, keepdims), x)


@pytest.mark.parametrize("ord", [None, "fro", "nuc", 1, -1, 2, -2, math.inf, -math.inf])
def test_norms_of_a_zero_matrix_pass_zeros(xp: Any, ord: Any) -> None:
    x = mg.tensor(np.zeros((2, 3)), requires_grad=True)
    mg.linalg.norm(x, ord).backward()
    np.testing.assert_array_equal(x.grad.numpy(), np.zeros((2, 3)))


@pytest.mark.parametrize("ord", [None, 1, 2, 3, 1.5, 0.5, math.inf, -math.inf])
def test_norms_of_zero_vectors_pass_zeros(xp: Any, ord: Any) -> None:
    x = mg.tensor([[0.0, 0.0], [3.0, 0.0]], requires_grad=True)
    mg.linalg.norm(x, ord, axis=1).sum().backward()
    assert x.grad.tolist()[0] == [0.0, 0.0]
    np.testing.assert_allclose(x.grad.numpy()[1], [1.0, 0.0] if ord != -math.inf else [0.0, 0.0], rtol=1e-6)


def test_the_count_of_what_is_not_zero_is_a_constant(xp: Any) -> None:
    x = mg.tensor([[0.0, 2.0], [3.0, 4.0]], requires_grad=True)
    count = mg.linalg.norm(x, 0, axis=1)
    assert count.tolist() == [1.0, 2.0]
    assert not count.requires_grad


def test_equal_values_pass_what_does_not_tell_them_apart(xp: Any) -> None:
    """The eigenvalues' sum is the trace, and the singular values' sum the nuclear norm, of the identity too."""
    x = mg.tensor(np.eye(3), requires_grad=True)
    (g,) = mg.gradients(mg.linalg.eigh(x)[0].sum(), [x])
    np.testing.assert_allclose(g.numpy(), np.eye(3), atol=1e-14)
    (g,) = mg.gradients(mg.linalg.svd(x)[1].sum(), [x])
    np.testing.assert_allclose(g.numpy(), np.eye(3), atol=1e-14)
    w, v = mg.linalg.eigh(x)
    (g,) = mg.gradients(((v * w**2) @ v.T).sum(), [x], create_graph=True)
    np.testing.assert_allclose(g.numpy(), 4 * np.tri(3) - 2 * np.eye(3), atol=1e-14)


def test_derivatives_of_a_determinant_of_a_singular_matrix(xp: Any) -> None:
    """det of zeros of 2 x 2 has no first derivative there, but a second one; of 3 x 3 neither. All are exact."""
    x = mg.tensor(np.zeros((2, 2)), requires_grad=True)
    (g,) = mg.gradients(mg.linalg.det(x), [x], create_graph=True)
    np.testing.assert_array_equal(g.numpy(), np.zeros((2, 2)))
    (h,) = mg.gradients(g[0, 0], [x])
    np.testing.assert_allclose(h.numpy(), [[0, 0], [0, 1]], atol=1e-15)
    x = mg.tensor(np.diag([1.0, 0.0, 0.0]), requires_grad=True)
    (g,) = mg.gradients(mg.linalg.det(x), [x], create_graph=True)
    np.testing.assert_array_equal(g.numpy(), np.zeros((3, 3)))
    (h,) = mg.gradients(g[2, 2], [x])
    np.testing.assert_allclose(h.numpy(), np.diag([0, 1.0, 0]), atol=1e-15)


def test_the_third_derivative_of_a_determinant(xp: Any) -> None:
    x = mg.tensor(apart(3, 3), requires_grad=True)
    (first,) = mg.gradients(mg.linalg.det(x), [x], create_graph=True)
    (second,) = mg.gradients(first[0, 0], [x], create_graph=True)
    (third,) = mg.gradients(second[1, 1], [x])
    expected = np.zeros((3, 3))
    expected[2, 2] = 1.0
    np.testing.assert_allclose(third.numpy(), expected, atol=1e-10)


def test_signs_and_ranks_are_constants(xp: Any) -> None:
    host = np.stack([apart(3, 3), -apart(3, 3)])
    x = mg.tensor(host, requires_grad=True)
    result = mg.linalg.slogdet(x)
    assert result.sign.tolist() == [1.0, -1.0]
    assert not result.sign.requires_grad
    assert result.logabsdet.requires_grad
    assert mg.linalg.matrix_rank(x).tolist() == [3, 3]
    for a in (np.zeros((3, 2)), np.outer([1.0, 2.0, 3.0], [1.0, 2.0]), np.zeros(3), np.array([0.0, 1.0])):
        rank = mg.linalg.matrix_rank(mg.tensor(a, requires_grad=True))
        assert rank.tolist() == int(np.linalg.matrix_rank(a))
        assert (rank.dtype, rank.requires_grad) == (np.int64, False)
    x = mg.tensor(np.diag([5.0, 1.0, 0.01]))
    assert mg.linalg.matrix_rank(x, tol=0.5).tolist() == 2
    assert mg.linalg.matrix_rank(x, rtol=0.5).tolist() == 1
    both = mg.stack([x, x])
    assert mg.linalg.matrix_rank(both, tol=mg.tensor([0.5, 2.0])).tolist() == [2, 1]


@pytest.mark.parametrize(("m", "n"), [(4, 3), (3, 4), (3, 3)])
@pytest.mark.parametrize("shape", [(), (2,)])
def test_least_squares_give_what_numpys_do(xp: Any, m: int, n: int, shape: Any) -> None:
    for a in (apart(m, n), np.outer(np.arange(1.0, m + 1), np.arange(1.0, n + 1))):
        b = np.random.default_rng(0).standard_normal((m, *shape))
        found = mg.linalg.lstsq(mg.tensor(a, requires_grad=True), mg.tensor(b))
        for ours, theirs in zip(found, np.linalg.lstsq(a, b, rcond=None)):
            assert ours.shape == np.shape(theirs)
            np.testing.assert_allclose(ours.numpy(), theirs, atol=1e-12)
        assert [x.requires_grad for x in found] == [True, True, False, False]


def test_the_other_triangle_is_not_looked_at(xp: Any) -> None:
    a = mg.tensor([[2.0, np.nan], [1.0, 4.0]], dtype=np.float64, requires_grad=True)
    x = mg.linalg.solve_triangular(a, mg.tensor([2.0, 5.0], dtype=np.float64), lower=True)
    assert x.tolist() == [1.0, 1.0]
    x.sum().backward()
    assert a.grad.tolist() == [[-0.375, 0.0], [-0.25, -0.25]]


def test_exponentials_of_stacks_whose_norms_differ(xp: Any) -> None:
    """Each matrix is halved as often as it needs, and an infinite one spoils no other."""
    angle = np.array([0.0, 1e-8, 1.0, 40.0, 1000.0])
    turn = angle[:, None, None] * np.array([[0.0, -1.0], [1.0, 0.0]])
    y = mg.linalg.expm(mg.tensor(turn)).numpy()
    expected = np.stack([np.cos(angle), -np.sin(angle), np.sin(angle), np.cos(angle)], -1).reshape(5, 2, 2)
    np.testing.assert_allclose(y, expected, atol=1e-11)
    np.testing.assert_allclose(mg.linalg.expm(mg.tensor(np.diag([-800.0, 3.0]))).numpy(), np.diag([0, np.exp(3)]))
    np.testing.assert_allclose(mg.linalg.expm(mg.tensor(np.eye(2, dtype=int))).numpy(), np.e * np.eye(2), rtol=1e-14)
    assert mg.linalg.expm(mg.tensor(np.eye(2), dtype=np.float32)).dtype == np.float32


@pytest.mark.parametrize("name", ["svd", "svdvals", "qr", "eigh", "eigvalsh", "cholesky", "pinv"])
def test_complex_matrices_are_refused_where_the_rule_is_for_real_ones(xp: Any, name: str) -> None:
    x = mg.tensor(np.eye(2), requires_grad=True)
    y = getattr(mg.linalg, name)(x * (1 + 0j))
    rule = {"svdvals": "svd", "eigvalsh": "eigh"}.get(name, name)  # values on the tape come from these
    with pytest.raises(TypeError, match=f"{rule}: got a complex128 matrix"):
        mg.abs(y[-1] if isinstance(y, tuple) else y).sum().backward()


def test_powers(xp: Any) -> None:
    x = mg.tensor(np.stack([apart(3, 3)] * 2), requires_grad=True)
    one = mg.linalg.matrix_power(x, 0)
    np.testing.assert_array_equal(one.numpy(), np.stack([np.eye(3)] * 2))
    assert (one.dtype, one.backend, one.requires_grad) == (np.float64, xp.name, False)


def test_a_chain_is_multiplied_in_the_cheapest_order() -> None:
    """Thirty by one by forty by ten: the two thin ones last would cost fourteen times as much."""
    shapes = [(30, 1), (1, 40), (40, 10), (10, 25)]
    xs = [mg.tensor(np.ones(shape), requires_grad=True) for shape in shapes]
    y = mg.linalg.multi_dot(xs)
    assert [p.shape for p in y.node.parents] == [(30, 1), (1, 25)]
    np.testing.assert_array_equal(y.numpy(), np.linalg.multi_dot([x.numpy() for x in xs]))


def test_results_have_numpys_names(xp: Any) -> None:
    x = mg.tensor(apart(3, 3))
    assert mg.linalg.qr(x)._fields == np.linalg.qr(apart(3, 3))._fields
    assert mg.linalg.svd(x)._fields == np.linalg.svd(apart(3, 3))._fields
    assert mg.linalg.eigh(x)._fields == np.linalg.eigh(apart(3, 3))._fields
    assert mg.linalg.eig(x)._fields == np.linalg.eig(apart(3, 3))._fields
    assert mg.linalg.slogdet(x)._fields == np.linalg.slogdet(apart(3, 3))._fields


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda a: mg.linalg.inv(a), r"inv: got \(\(2, 3\) float64\)"),
        (lambda a: mg.linalg.inv(mg.zeros((2, 2))), "inv: got .*[Ss]ingular"),
        (lambda a: mg.linalg.cholesky(-mg.linalg.expm(a[:, :2])), "cholesky: got"),
        (lambda a: mg.linalg.solve(a[:, :2], a.T), r"solve: got \(\(2, 2\) float64, \(3, 2\)"),
        (lambda a: mg.linalg.solve_triangular(a[:, :2], a, 2), "trans: got 2"),
        (lambda a: mg.linalg.qr(a, "raw"), "qr: mode: got 'raw'"),
        (lambda a: mg.linalg.norm(a, "mean"), "norm: ord: got 'mean' for matrices"),
        (lambda a: mg.linalg.norm(a, "fro", 1), "norm: ord: got 'fro' for vectors"),
        (lambda a: mg.linalg.norm(a, axis=(0, 0)), "norm: axis: got"),
        (lambda a: mg.linalg.norm(a, axis=(0, 1, 1)), "norm: axis: got 3"),
        (lambda a: mg.linalg.matrix_power(a, 2), "matrix_power: got shape"),
        (lambda a: mg.linalg.multi_dot([a]), "multi_dot: arrays: got 1"),
        (lambda a: mg.linalg.expm(a), "expm: got shape"),
        (lambda a: mg.linalg.tensorinv(a, 0), "tensorinv: ind: got 0"),
        (lambda a: mg.linalg.tensorsolve(a, a[0]), "tensorsolve: got shapes"),
        (lambda a: mg.linalg.cross(a[:, :2], a[:, :2]), "cross: got shapes"),
    ],
)
def test_what_does_not_fit_is_named(call: Any, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        call(mg.tensor(np.ones((2, 3)), requires_grad=True))


ORDERS: list[Any] = [None, "fro", "nuc", 0, 1, -1, 2, -2, 3, math.inf, -math.inf]


@beside_numpy_2_4
@pytest.mark.parametrize("shape", [(0,), (0, 3), (3, 0), (0, 0), (2, 0, 3), (2, 3, 0), (0, 2, 2)])
@pytest.mark.parametrize("ord", ORDERS, ids=str)
def test_norms_of_nothing_are_numpys(xp: Any, shape: tuple[int, ...], ord: Any) -> None:
    """0, or an empty array, or NumPy's error, whichever axes are empty."""
    calls: list[Callable[..., Any]] = [lambda m, x: m.linalg.matrix_norm(x, ord=ord)]
    for axis in (None, 0, -1, (0, 1), (-2, -1)):
        calls += [lambda m, x, axis=axis: m.linalg.norm(x, ord, axis)]
        calls += [lambda m, x, axis=axis: m.linalg.norm(x, ord, axis, keepdims=True)]
        if not isinstance(ord, (str, type(None))):
            calls += [lambda m, x, axis=axis: m.linalg.vector_norm(x, ord=ord, axis=axis)]
    host = np.zeros(shape)
    for call in calls:
        x = mg.tensor(host, requires_grad=True)
        try:
            with np.errstate(all="ignore"):
                expected = np.asarray(call(np, host))
        except (ValueError, IndexError) as error:
            with pytest.raises(type(error)):
                call(mg, x)
            continue
        with np.errstate(divide="ignore"):  # the power of a negative order of an empty sum
            y = call(mg, x)
        assert (y.shape, y.dtype) == (expected.shape, expected.dtype)
        np.testing.assert_array_equal(y.numpy(), expected)
        if ord != 0:
            assert mg.gradients(y, [x], mg.ones_like(y))[0].shape == shape


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.complex128])
@pytest.mark.parametrize("kind", ["regular", "nearly singular", "singular", "tiny", "huge"])
def test_cofactors_are_right_by_either_way(xp: Any, kind: str, dtype: Any) -> None:
    """By the inverse where it is exact enough, else by the singular values: minors, written out, are the judge."""
    a = apart(2, 3, 3)
    a[1] = a[1].T @ a[1]
    if "singular" in kind:
        a[1, 2] = a[1, 0] + a[1, 1] + (1e-7 if kind == "nearly singular" else 0.0)
    a = (a * {"tiny": 1e-14, "huge": 1e10}.get(kind, 1.0) * (1 + 0.5j if dtype == np.complex128 else 1)).astype(dtype)
    minors = np.empty_like(a, np.complex128 if dtype == np.complex128 else np.float64)
    for i in range(3):
        for j in range(3):
            (p, q), (r, s) = np.moveaxis(np.delete(np.delete(a.astype(minors.dtype), i, 1), j, 2), 0, -1)
            minors[:, i, j] = (p * s - q * r) * (-1) ** (i + j)
    found = mg.ops.linalg.determinants._cofactors(mg.tensor(a)).numpy()
    largest = np.abs(minors).max(axis=(1, 2), keepdims=True)
    np.testing.assert_allclose(found / largest, minors / largest, rtol=0, atol=np.finfo(dtype).eps ** (2 / 3))
