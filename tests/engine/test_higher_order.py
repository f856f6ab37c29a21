"""Derivatives of higher order, random graphs against finite differences, and complex inputs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, strategies as st

import minigrad as mg
from minigrad import Tensor
from minigrad.engine.primitive import primitive
from tests.engine.leaves import leaf, noise


def test_third_order(xp: Any) -> None:
    x = leaf([0.3, -0.7])
    y = mg.exp(mg.sin(x) * 2)
    orders = []
    for _ in range(3):
        (y,) = mg.gradients(y.sum(), [x], create_graph=True)
        orders.append(y.numpy())
    v = x.numpy()
    s, c, e = np.sin(v), np.cos(v), np.exp(2 * np.sin(v))
    np.testing.assert_allclose(orders[0], 2 * c * e, rtol=1e-12)
    np.testing.assert_allclose(orders[1], (4 * c * c - 2 * s) * e, rtol=1e-12)
    np.testing.assert_allclose(orders[2], (8 * c**3 - 12 * s * c - 2 * c) * e, rtol=1e-12)


def test_a_gradient_penalty_reaches_the_leaves(xp: Any) -> None:
    w, x = leaf(noise(3, 3)), leaf(noise(2, 3, seed=1))

    def penalty(w: Tensor, x: Tensor) -> Tensor:
        (g,) = mg.gradients(mg.tanh(mg.linear(x, w)).sum(), [x], create_graph=True)
        return (g * g).sum()

    assert mg.gradcheck(penalty, [w, x])
    penalty(w, x).backward()
    assert w.grad.shape == (3, 3)


def test_gradients_of_gradients_by_the_seed(xp: Any) -> None:
    """The walk is linear in its seed: differentiating by it gives a Jacobian times a vector."""
    x, v = leaf([0.5, 1.5]), leaf([1.0, 1.0])
    (g,) = mg.gradients(mg.sin(x), [x], [v], create_graph=True)
    (jv,) = mg.gradients((g * mg.tensor(np.array([2.0, 3.0]))).sum(), [v])
    np.testing.assert_allclose(jv.numpy(), np.cos(x.numpy()) * [2.0, 3.0])


@given(data=st.data())
def test_random_graphs_against_finite_differences(data: st.DataObject) -> None:
    """Values used, reused, broadcast and left unused, as they come."""
    moves: list[Callable[[Tensor, Tensor], Tensor]] = [
        lambda a, b: a * b,
        lambda a, b: a + b,
        lambda a, b: mg.tanh(a - b),
        lambda a, b: mg.sigmoid(a) @ b,
        lambda a, b: a.T * 0.5,
        lambda a, b: a.sum(axis=0, keepdims=True) * 0.3 + b,
        lambda a, b: mg.concatenate([a, b])[1:3],
        lambda a, b: mg.linear(a, b, a[0]),
        lambda a, b: mg.softmax(a)[..., ::-1],
    ]
    plan = data.draw(st.lists(st.tuples(*(st.integers(0, 99) for _ in range(3))), min_size=1, max_size=8))

    def run(*inputs: Tensor) -> Tensor:
        values = list(inputs)
        for move, first, second in plan:
            values.append(moves[move % len(moves)](values[first % len(values)], values[second % len(values)]))
        return values[-1]

    inputs = [leaf(noise(2, 2, seed=k)) for k in range(2)]
    assert mg.gradcheck(run, inputs)


@pytest.mark.parametrize("lifted", [False, True])
def test_a_real_input_feels_the_real_part_and_a_complex_one_the_whole(xp: Any, lifted: bool) -> None:
    x, W = leaf([[1.0, 2.0]]), leaf([[0.5, -1.0], [2.0, 0.3]])
    turned = x * 1j  # whose gradient by the next is complex
    back = mg.real(turned * 1j)  # -x
    through = mg.real((turned * (2 - 3j)) @ W) + mg.real((x * (1 + 1j)) @ W)  # 3 x W + x W
    dx, dW = mg.gradients((back + through).sum(), [x, W], create_graph=lifted)
    assert dx.dtype == dW.dtype == np.float64
    np.testing.assert_allclose(dx.numpy(), [[-1 + 4 * (0.5 - 1.0), -1 + 4 * (2.0 + 0.3)]])
    np.testing.assert_allclose(dW.numpy(), [[4.0, 4.0], [8.0, 8.0]])


def test_a_complex_input_of_another_precision_feels_the_whole(xp: Any) -> None:
    x = mg.tensor(np.array([1.0, 2.0], np.float32), requires_grad=True)
    turned = x * 1j
    assert turned.dtype == np.complex64
    y = mg.real(turned * xp.array(np.array([2 - 3j, 2 - 3j])))  # 3 x, in double precision
    (g,) = mg.gradients(y.sum(), [x])
    assert (g.dtype, g.tolist()) == (np.float32, [3.0, 3.0])


PRODUCTS: dict[str, Any] = {  # what a·b saves, and its rules for a and for b
    "ab": (lambda a, b: (a, b), lambda xp, g, a, b: g * b, lambda xp, g, a, b: g * a),
    "ba": (lambda a, b: (b, a), lambda xp, g, b, a: g * b, lambda xp, g, b, a: g * a),
    "b": (lambda a, b: (b,), lambda xp, g, b: g * b, lambda xp, g, b: g * 0),
    "a": (lambda a, b: (a,), lambda xp, g, a: g * 0, lambda xp, g, a: g * a),
}


@pytest.mark.parametrize("options", [{}, {"scale": 1}], ids=["two inputs", "an option"])
@pytest.mark.parametrize("saved", PRODUCTS)
def test_two_inputs_that_are_one_array_are_told_apart(xp: Any, saved: str, options: dict[str, int]) -> None:
    """a·b of one array: d(∂/∂a)/d(a, b) is (0, 1), d(∂/∂b)/d(a, b) is (1, 0), wherever the factor was saved."""
    choose, by_a, by_b = PRODUCTS[saved]
    if options:

        @primitive
        def product(xp: Any, a: Any, b: Any, *, scale: int) -> Any:
            return a * b, choose(a, b), (by_a, by_b)

    else:

        @primitive
        def product(xp: Any, a: Any, b: Any) -> Any:
            return a * b, choose(a, b), (by_a, by_b)

    a = leaf([3.0, 5.0])
    b = mg.Tensor(a._array, leaf([3.0, 5.0]).node)  # another node, the same array
    gradients = mg.gradients(product(a, b, **options).sum(), [a, b], create_graph=True)
    for k, (g, other) in enumerate(zip(gradients, (b, a))):
        if saved in ("a", "b") and "ba"[k] != saved:
            continue  # this rule lacks its factor
        assert g.tolist() == [3.0, 5.0]
        own, across = mg.gradients(g.sum(), [(a, b)[k], other], retain_graph=True, allow_unused=True)
        assert own is None
        assert across.tolist() == [1.0, 1.0]


def test_a_list_with_one_array_twice(xp: Any) -> None:
    x = leaf([1.0, 2.0])
    y = mg.concatenate([x, x.detach(), x])
    (y * y * y).sum().backward()
    assert x.grad.tolist() == [6.0, 24.0]  # 2 · 3x²
