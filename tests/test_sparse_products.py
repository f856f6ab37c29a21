"""Products of tensors with the sparse matrices of scipy.sparse: as with the same matrix, dense."""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

import minigrad as mg
from minigrad.backend import BackendError

sparse = pytest.importorskip("scipy.sparse")
FORMATS = [
    f"{name}_{kind}" for name in ("csr", "csc", "coo", "bsr", "dia", "dok", "lil") for kind in ("array", "matrix")
]
DENSE = np.array([[0.0, 2.0, 0.0], [-1.0, 0.0, 3.0]])


def sides(matrix: Any, dense: Any, x: Any) -> list[tuple[Callable[[Any], Any], Callable[[Any], Any], Any]]:
    """(product with the sparse matrix, with the dense one, the other factor) for each side."""
    rows = np.arange(2.0 * x).reshape(x, 2)
    return [
        (lambda a: a @ matrix, lambda a: a @ dense, rows),
        (lambda a: matrix @ a, lambda a: dense @ a, np.arange(3.0 * x).reshape(3, x)),
    ]


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize("dtype", ["f4", "f8", "i8"])
def test_value_and_derivatives_are_those_of_the_dense_matrix(name: str, dtype: str) -> None:
    dense = DENSE.astype(dtype)
    matrix = getattr(sparse, name)(dense)
    for product, reference, factor in sides(matrix, dense, 4):
        for value in (factor, factor[:, 0] if factor.shape[0] == 3 else factor[0]):
            x = mg.tensor(value, requires_grad=True)
            y = product(x)
            assert (y.requires_grad, y.dtype) == (True, reference(value).dtype)
            np.testing.assert_allclose(y.numpy(), reference(value), rtol=1e-6)
            for derivative in (
                lambda f, v: mg.grad(lambda a: (f(a) ** 2).sum())(v),
                lambda f, v: mg.hvp(lambda a: (f(a) ** 3).sum(), v, np.ones_like(v)),
            ):
                np.testing.assert_allclose(derivative(product, value), derivative(reference, value), rtol=1e-5)


@settings(max_examples=20)
@given(
    st.lists(st.integers(0, 3), max_size=2), st.integers(0, 4), st.integers(0, 4), st.integers(0, 4),
    st.sampled_from(FORMATS), st.randoms(use_true_random=False),
)  # fmt: skip
def test_any_shapes(stack: list[int], m: int, n: int, k: int, name: str, random: Any) -> None:
    if not m or not n:  # some formats refuse empty matrices
        m, n = m + 1, n + 1
    rng = np.random.default_rng(random.randrange(10**6))
    dense = np.where(rng.random((m, n)) < 0.5, rng.standard_normal((m, n)), 0.0)
    matrix = getattr(sparse, name)(dense)
    for call, shape in ((lambda a, M: a @ M, (*stack, k, m)), (lambda a, M: M @ a, (*stack, n, k))):
        x = mg.tensor(rng.standard_normal(shape), requires_grad=True)
        y, want = call(x, matrix), call(x, dense)
        np.testing.assert_allclose(y.numpy(), want.numpy(), atol=1e-12)
        seed = rng.standard_normal(want.shape)
        (got,), (dense_gradient,) = mg.gradients(y, x, [seed]), mg.gradients(want, x, [seed])
        np.testing.assert_allclose(got, dense_gradient, atol=1e-12)


def test_a_later_write_into_the_matrix_changes_no_gradient() -> None:
    matrix = sparse.csr_array(DENSE)
    x = mg.tensor(np.ones(2), requires_grad=True)
    y = (x @ matrix).sum()
    matrix.data[:] = 7.0
    y.backward()
    np.testing.assert_array_equal(x.grad, DENSE.sum(1))


def test_constants_and_no_grad() -> None:
    matrix, c, w = sparse.csr_array(DENSE), mg.tensor(np.ones(3)), mg.tensor(np.ones(3), requires_grad=True)
    assert not (matrix @ c).requires_grad
    with mg.no_grad():
        y = matrix @ w
    assert (type(y), y.requires_grad) == (mg.Tensor, False)
    assert matrix.dot(w).requires_grad
    linear = pytest.importorskip("scipy.sparse.linalg")
    np.testing.assert_array_equal(linear.aslinearoperator(matrix) @ c, DENSE.sum(1))
    for call in (lambda: linear.aslinearoperator(matrix) @ w, lambda: sparse.kron(matrix, w)):
        with pytest.raises(TypeError, match=r"scipy\.sparse.*on the tape"):
            call()


def test_what_does_not_fit_is_refused(xp: Any) -> None:
    matrix = sparse.csr_array(DENSE)
    x = mg.tensor(xp.array(np.ones((2, 3), np.float32)), requires_grad=True)
    if xp.name != "numpy":
        with pytest.raises(BackendError, match=f"x @ M: x is on {xp.name}, the sparse matrix on numpy"):
            x.T @ matrix
        return
    with pytest.raises(ValueError, match=r"x @ M: got x of shape \(2, 3\) and a sparse matrix of shape \(2, 3\)"):
        x @ matrix
    with pytest.raises(ValueError, match=r"M @ x: got x of shape \(2, 3\)"):
        matrix @ x


OTHERS = [
    operator.mul,
    operator.add,
    operator.sub,
    operator.truediv,
    operator.pow,
    operator.eq,
    operator.lt,
    operator.ge,
]


@pytest.mark.parametrize("name", ["csr_array", "csr_matrix", "coo_array", "dok_matrix", "lil_array", "dia_matrix"])
@pytest.mark.parametrize("on_tape", [True, False])
def test_everything_else_is_refused_by_name(name: str, on_tape: bool) -> None:
    matrix = getattr(sparse, name)(DENSE)
    x = mg.tensor(DENSE, requires_grad=on_tape)
    calls: list[Any] = [lambda op=op: op(x, matrix) for op in OTHERS[:5]]
    calls += [lambda: mg.matmul(x, matrix), lambda: np.multiply(x, matrix), lambda: mg.where(x > 0, x, matrix)]
    calls += [lambda: mg.tensor(matrix), lambda: mg.tensor([matrix, matrix]), lambda: mg.maximum(x, matrix)]
    if on_tape:
        calls += [lambda op=op: op(matrix, x) for op in OTHERS if op is not operator.pow]
        calls += [lambda: matrix.multiply(x), lambda: matrix.maximum(x)]
    for call in calls:
        with pytest.raises(TypeError, match=r"scipy\.sparse"):
            call()
