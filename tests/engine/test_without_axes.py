"""Gradients without axes: NumPy turns them into scalars, the backward pass into arrays again."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import minigrad as mg
from minigrad.backend import is_array
from tests.engine.leaves import leaf


def test_a_hook_on_a_scalar(xp: Any) -> None:
    x = leaf(2.0)
    x.register_hook(lambda g: g * 2)
    (x * 3).backward()
    assert x.grad.tolist() == 6.0  # 2 · d(3x)/dx


@pytest.mark.parametrize("create_graph", [False, True])
def test_every_gradient_of_a_scalar_is_an_array(xp: Any, create_graph: bool) -> None:
    x = leaf(3.0)
    seen: list[Any] = []

    def use(y: mg.Tensor) -> mg.Tensor:
        y.register_hook(lambda g: seen.append(g._array))
        return y

    y = use(x * x)  # used once, twice, and three times
    z = use(y * y + y * 2.0)
    w = use(z * z + z + z * 0.5)
    use(mg.exp(w * 1e-4) + mg.sum(mg.stack([z, w]))).backward(create_graph=create_graph)
    assert len(seen) == 4
    assert all(is_array(g) and g.shape == () for g in [*seen, x.grad._array])


def test_the_same_scalar_picked_and_used(xp: Any) -> None:
    s = leaf(2.0)
    (s[...] + s * 3.0 + s * 1.0).backward()
    assert s.grad.tolist() == 5.0
    s = leaf(2.0)
    (s * 3.0 + s * 1.0 + s[...] + s[()]).backward()
    assert s.grad.tolist() == 6.0


def test_a_checkpoint_behind_a_scalar(xp: Any) -> None:
    x = leaf([1.0, 2.0])
    (mg.checkpoint(lambda x: (x * x).sum())(x) * 0.5).backward()
    assert x.grad.tolist() == [1.0, 2.0]


def test_a_gradient_added_to_one_on_the_tape(xp: Any) -> None:
    x = leaf(2.0)
    (x**3).backward(create_graph=True)
    (x.grad**2).backward()
    assert x.grad.tolist() == 300.0  # 3x² + d(9x⁴)/dx = 12 + 288
    assert "300" in repr(x.grad)
    mg.optim.clip_grad_value([x], 1.0)
    assert x.grad.tolist() == 1.0


def test_the_norm_of_a_scalar_on_the_tape_is_clipped(xp: Any) -> None:
    x = leaf(2.0)
    (x**3).backward(create_graph=True)
    (x.grad * 3.0).backward()
    assert mg.optim.clip_grad_norm([x], 1.0).item() == 48.0  # 12 + 3 · 6x
    np.testing.assert_allclose(x.grad.numpy(), 1.0, rtol=1e-6)


def test_a_modules_backward_hook_on_a_loss(xp: Any) -> None:
    class Loss(mg.nn.Module):
        def forward(self, x: Any) -> Any:
            return (x * x).sum()

    module, seen = Loss(), []
    module.register_full_backward_hook(lambda module, ins, outs: seen.append((ins[0].tolist(), outs[0].tolist())))
    (module(leaf([1.0, 2.0])) * 2.0).backward()
    assert seen == [([4.0, 8.0], 2.0)]


def test_ledger_lines_of_a_scalar(xp: Any) -> None:
    x = leaf(3.0)
    book = mg.ledger(x * x * 2.0 + x, [x])
    assert [g.tolist() for _, g in book[x]] == [1.0, 6.0, 6.0]
    assert all(is_array(g._array) for _, g in book[x])
    assert book.by_time_step(x)[None].tolist() == 13.0


def test_a_custom_rule_of_a_scalar(xp: Any) -> None:
    square = mg.custom_rule(lambda x: x * x, rule=lambda g, y, x: g * 2.0 * x)
    x = leaf(3.0)
    (square(x) * square(x) * 0.5).backward()
    assert x.grad.tolist() == 54.0  # d(x⁴/2)/dx
    assert is_array(x.grad._array)


def test_a_tensor_holds_an_array() -> None:
    t = mg.Tensor(np.float32(2.5))
    assert type(t._array) is np.ndarray
    assert (t.dtype, t.shape, t.tolist()) == (np.float32, (), 2.5)


@pytest.mark.parametrize("joint", [False, True])
def test_a_users_rule_is_given_arrays(joint: bool) -> None:
    """It may write into a copy of g, as a rectifier's does; NumPy's scalars refuse that."""

    def rule(xp: Any, g: Any, x: Any) -> Any:
        assert type(g) is np.ndarray
        g = g.copy()
        g[x < 0] = 0
        return g

    @mg.primitive
    def rectified(xp: Any, x: Any) -> Any:
        return xp.maximum(x, 0), (x,), mg.JointRule(lambda xp, g, needs, x: (rule(xp, g, x),)) if joint else rule

    for value, slope in ((2.0, 3.0), (-2.0, 0.0)):
        x = leaf(value)
        (rectified(x * 1.0) * 3.0).backward()
        assert x.grad.tolist() == slope
