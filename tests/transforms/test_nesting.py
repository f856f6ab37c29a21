"""Derivatives of derivatives: nested in any way, and on the tape of a caller."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import minigrad as mg
from minigrad import nn

F64 = np.float64


# Nesting: the variables of one derivative are none of another's


@pytest.mark.parametrize(
    ("derivative", "at", "want"),
    [
        (mg.grad(mg.grad(mg.grad(lambda x: x**4))), 2.0, 48.0),
        (mg.grad(mg.grad(lambda x: mg.sin(x) * x)), 0.7, 2 * np.cos(0.7) - 0.7 * np.sin(0.7)),
        # The confusion of perturbations (Siskind & Pearlmutter 2005): d/dx [x · d/dy (x + y)] is 1, not 2.
        (mg.grad(lambda x: x * mg.grad(lambda y: x + y)(F64(1.0))), 3.0, 1.0),
        (mg.grad(lambda x: x * mg.grad(lambda y: x + y)(x)), 3.0, 1.0),
        (mg.grad(lambda x: x * mg.grad(lambda y: x * y)(x)), 3.0, 6.0),
        (mg.grad(lambda x: x * mg.grad(lambda y: x * y * y)(F64(2.0))), 3.0, 24.0),
        (mg.grad(lambda x: mg.grad(lambda y: mg.grad(lambda z: x * y * z * z)(y))(x)), 2.0, 16.0),
        (mg.grad(lambda x: mg.jvp(lambda y: x * y**3, [x], [F64(1.0)])[1]), 2.0, 36.0),
        (mg.grad(lambda x: mg.jvp(lambda y: x * y, [F64(5.0)], [x])[1]), 3.0, 6.0),
        (mg.grad(lambda x: x * mg.jvp(lambda y: x + y, [F64(1.0)], [F64(1.0)])[1]), 3.0, 1.0),
        (lambda x: mg.jvp(mg.grad(lambda y: y**3), [x], [F64(1.0)])[1], 2.0, 12.0),
        (lambda x: mg.jvp(lambda y: y * mg.jvp(lambda z: y * z, [y], [F64(1.0)])[1], [x], [F64(1.0)])[1], 3.0, 6.0),
        (mg.grad(lambda x: mg.vjp(lambda y: x * y**2, x)[1](x)[0]), 2.0, 24.0),
        (mg.grad(lambda x: mg.vjp(lambda y: y**2, F64(3.0))[1](x)[0]), 2.0, 6.0),
        (mg.grad(lambda x: mg.vjp(lambda y: x * y, F64(3.0))[0]), 2.0, 3.0),
        (mg.grad(lambda x: mg.value_and_grad(lambda y: x * y * y)(F64(3.0))[0]), 2.0, 9.0),
        (mg.grad(lambda x: mg.value_and_grad(lambda y: (x * y, x**3), has_aux=True)(F64(3.0))[0][1]), 2.0, 12.0),
        (mg.grad(lambda x: mg.hvp(lambda y: x * y**3, F64(2.0), x)), 3.0, 72.0),
        (mg.grad(lambda x: mg.hvp(lambda y: x * y**3, F64(2.0), F64(1.0))), 3.0, 12.0),
        (mg.grad(lambda x: mg.hessian(lambda y: x * y**3)(x)), 3.0, 36.0),
        (mg.grad(mg.jacobian(mg.grad(lambda x: x**4))), 2.0, 48.0),
        (mg.grad(lambda x: mg.jacobian(lambda y: mg.stack([y, x * y * y]))(x)[1]), 3.0, 12.0),
        (mg.hessian(mg.hessian(lambda x: x**5)), 2.0, 240.0),
        (mg.grad(lambda x: mg.grad(lambda y: x * 3.0)(x)), 2.0, 0.0),
        (mg.grad(mg.grad(lambda x: x * 3.0)), 2.0, 0.0),
    ],
)
def test_nested(derivative: Callable[..., Any], at: float, want: float) -> None:
    found = derivative(F64(at))
    assert type(found) is np.float64  # a number in, a number out: off the tape
    np.testing.assert_allclose(found, want, rtol=1e-12)


def test_a_hessian_of_a_hessian() -> None:
    found = mg.hessian(mg.hessian(lambda x: (x**4).sum() + x[0] ** 2 * x[1] ** 2))(np.array([1.0, 2.0]))
    assert found.shape == (2, 2, 2, 2)
    want = np.zeros((2, 2, 2, 2))
    want[0, 0, 0, 0] = want[1, 1, 1, 1] = 24
    for place in {(0, 0, 1, 1), (0, 1, 0, 1), (0, 1, 1, 0), (1, 0, 0, 1), (1, 0, 1, 0), (1, 1, 0, 0)}:
        want[place] = 4
    np.testing.assert_allclose(found, want)


# On a caller's tape


def penalty(create_graph: bool | None, leaf: Any, w: Any) -> Any:
    return mg.grad(lambda x: (w * x**3).sum(), create_graph=create_graph)(leaf)


def test_a_gradient_can_be_differentiated_with_respect_to_all_that_it_depends_on() -> None:
    x = mg.tensor(np.array([2.0]), requires_grad=True)
    w = mg.tensor(np.array([5.0]), requires_grad=True)
    g = penalty(None, x, w)
    assert [d.tolist() for d in mg.gradients(g.sum(), [x, w])] == [[60.0], [12.0]]  # type: ignore[union-attr]
    g = penalty(None, np.array([2.0]), w)  # on the tape by what the function refers to alone
    assert mg.gradients(g.sum(), [w])[0].tolist() == [12.0]  # type: ignore[union-attr]
    computed = w * 2.0
    g = penalty(None, np.array([2.0]), computed)
    g.sum().backward()
    assert w.grad is not None
    assert w.grad.tolist() == [24.0]
    assert x.grad is None


def test_what_a_caller_has_computed_stays_whole() -> None:
    x = mg.tensor(np.array([2.0]), requires_grad=True)
    h = x * x
    for create_graph in (False, None, True):
        g = mg.grad(lambda y: (h * y * y).sum(), create_graph=create_graph)(h)
        assert g.requires_grad is (create_graph is not False)
        assert g.tolist() == [32.0]
    assert mg.gradients(h.sum(), [x])[0].tolist() == [4.0]  # type: ignore[union-attr]


def test_off_the_tape_when_asked() -> None:
    x = mg.tensor(np.array([2.0]), requires_grad=True)
    assert not penalty(False, x, x).requires_grad
    with mg.no_grad():
        g = penalty(None, x, x)
        assert not g.requires_grad
        assert g.tolist() == [24.0]
        assert mg.grad(mg.grad(lambda y: (y**3).sum()))(F64(2.0)).item() == 12.0
        g = penalty(True, x, np.ones(1))  # on the tape by its argument alone
        with mg.enable_grad():
            assert mg.gradients(g.sum(), [x])[0].tolist() == [12.0]  # type: ignore[union-attr]
        value, pullback = mg.vjp(lambda y: y * x, np.ones(1))
        assert (type(value), type(pullback(x)[0])) == (np.ndarray, np.ndarray)
    assert type(penalty(None, np.ones(1), np.ones(1))) is np.ndarray


def test_directions_and_cotangents_on_the_tape() -> None:
    w, x = mg.Parameter(np.array([2.0])), mg.tensor(np.array([3.0]), requires_grad=True)
    along = mg.tensor(np.array([5.0]), requires_grad=True)
    _, dy = mg.jvp(lambda w: w**3, [w], [along])  # 3 w² v
    assert [d.tolist() for d in mg.gradients(dy.sum(), [w, along])] == [[60.0], [12.0]]  # type: ignore[union-attr]
    _, dy = mg.jvp(lambda w: w**3, [np.array([2.0])], [along])
    assert [d.tolist() for d in mg.gradients(dy.sum(), [along])] == [[12.0]]  # type: ignore[union-attr]
    _, pullback = mg.vjp(lambda w: w**3, w)
    g = pullback(along * 1.0)[0]
    assert [d.tolist() for d in mg.gradients(g.sum(), [w, along])] == [[60.0], [12.0]]  # type: ignore[union-attr]
    for tensor in (w, x):
        assert not mg.jvp(lambda y: y**3, [tensor], [along], create_graph=False)[1].requires_grad
        assert not mg.vjp(lambda y: y**3, tensor, create_graph=False)[1](along)[0].requires_grad
        with mg.no_grad():
            assert not mg.jvp(lambda y: y**3, [tensor], [along])[1].requires_grad
            assert not mg.vjp(lambda y: y**3, tensor)[1](along)[0].requires_grad


def test_a_training_step_is_a_plain_walk() -> None:
    model = nn.Linear(2, 1)
    x = np.ones((3, 2), np.float32)
    loss, gradients = mg.value_and_grad(lambda m: (m(x) ** 2).sum())(model)
    assert not loss.requires_grad
    assert not any(g.requires_grad for g in gradients.values())
    gradients = mg.grad(lambda m: (m(x) ** 2).sum(), create_graph=True)(model)
    sum((g * g).sum() for g in gradients.values()).backward()
    assert model.weight.grad is not None
    other = mg.tensor(1.0, requires_grad=True)  # makes the result depend on something: then on the module as well
    gradients = mg.grad(lambda m: (m(x) ** 2).sum() * other)(model)
    found = mg.gradients(sum((g * g).sum() for g in gradients.values()), [model.weight, other])
    assert found[1] is not None
    np.testing.assert_allclose(found[0].numpy(), model.weight.grad.numpy(), rtol=1e-6)  # type: ignore[union-attr]
    W, bias = model.weight.numpy()[0], model.bias.numpy()[0]  # dL/dW = 6 (W·1 + b) [1, 1], dL/db the same
    np.testing.assert_allclose(model.weight.grad.numpy()[0], np.full(2, 6 * 36 * (W.sum() + bias)), rtol=1e-5)


def test_a_parameter_by_itself_and_in_a_tree() -> None:
    w = mg.Parameter(np.array([1.0, 2.0]))
    g = mg.grad(lambda t: (t["w"] ** 3).sum())({"w": w})["w"]
    assert g.tolist() == [3.0, 12.0]
    assert not g.requires_grad
    _, pullback = mg.vjp(lambda w: w**3, w)
    seed = mg.tensor(np.ones(2), requires_grad=True)
    assert pullback(seed)[0].requires_grad
    assert mg.gradients(pullback(seed)[0].sum(), [w])[0].tolist() == [6.0, 12.0]  # type: ignore[union-attr]
    assert w.grad is None


def test_a_write_after_the_walk_is_noticed() -> None:
    w = mg.Parameter(np.array([1.0, 2.0]))
    g = mg.grad(lambda w: (w**3).sum(), create_graph=True)(w)
    w.grad = mg.tensor(np.ones(2))
    mg.optim.SGD([w], lr=0.1).step()
    with pytest.raises(mg.GraphError, match="written into since"):
        g.sum().backward()
    x = mg.tensor(np.array([1.0, 2.0]), requires_grad=True)
    g = mg.grad(lambda x: (x**3).sum())(x)
    x.data[0] = 5.0
    with pytest.raises(mg.GraphError, match="written into since"):
        g.sum().backward()


def test_leaves_made_inside_and_gradients_asked_inside() -> None:
    def f(x: Any) -> Any:
        w = mg.tensor(np.array(3.0), requires_grad=True)
        y = w * x * x
        (g,) = mg.gradients(y, [w], create_graph=True)
        assert not x.is_leaf
        assert x.grad is None
        assert g is not None
        return g * x

    np.testing.assert_allclose(mg.grad(f)(F64(2.0)).item(), 12.0)
