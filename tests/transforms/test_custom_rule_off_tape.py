"""Rules that leave the tape: right to first order, and an error, never a silent zero, where differentiated again."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import minigrad as mg
from minigrad import GraphError

VALUE = np.array([0.5, 2.0])


def cube(rule: Callable[..., Any]) -> Any:
    return mg.custom_rule(lambda x: x * x * x, rule=rule)


LEAVING: dict[str, Callable[..., Any]] = {
    "numpy of g": lambda g, y, x: mg.tensor(g.numpy() * 3.0) * x * x,
    "numpy of x": lambda g, y, x: g * mg.tensor(3.0 * x.numpy() ** 2),
    "both": lambda g, y, x: mg.tensor(3.0 * g.numpy() * x.numpy() ** 2),
    "an array": lambda g, y, x: 3.0 * g.numpy() * x.numpy() ** 2,
    "data": lambda g, y, x: g * (3.0 * x.data**2),
    "a list": lambda g, y, x: g * np.array([3.0 * v**2 for v in x.tolist()]),
    "numbers": lambda g, y, x: g * mg.tensor(np.array([3.0 * x[0].item() ** 2, 3.0 * x[1].item() ** 2])),
    "half of the sum": lambda g, y, x: g * x * x * 1.5 + mg.tensor(1.5 * g.numpy() * x.numpy() ** 2),
    "detached g": lambda g, y, x: g.detach() * 3.0 * x * x,
}
SECOND: dict[str, Callable[[Any], Any]] = {
    "jvp": lambda f: mg.jvp(f, [VALUE], [np.ones(2)]),
    "hvp": lambda f: mg.hvp(lambda x: (f(x) ** 2).sum(), VALUE, np.ones(2)),
    "hessian": lambda f: mg.hessian(lambda x: (f(x) ** 2).sum())(VALUE),
    "jacobian by columns": lambda f: mg.jacobian(lambda x: mg.concatenate([f(x), f(x) * 2.0]))(VALUE),
    "create_graph": lambda f: _twice(f),
}


def _twice(f: Any) -> None:
    x = mg.tensor(VALUE, requires_grad=True)
    (g,) = mg.gradients((f(x) ** 2).sum(), [x], create_graph=True)
    g.sum().backward()


@pytest.mark.parametrize("rule", LEAVING)
def test_the_first_order_is_right(rule: str) -> None:
    x = mg.tensor(VALUE, requires_grad=True)
    for create_graph in (False, True):
        (g,) = mg.gradients(cube(LEAVING[rule])(x).sum(), [x], create_graph=create_graph)
        np.testing.assert_allclose(g.numpy(), 3 * VALUE**2)


@pytest.mark.parametrize("second", SECOND)
@pytest.mark.parametrize("rule", LEAVING)
def test_another_order_is_an_error(rule: str, second: str) -> None:
    with pytest.raises(GraphError, match=r"<lambda>: its rule left the tape.*cannot be differentiated again"):
        SECOND[second](cube(LEAVING[rule]))


@pytest.mark.parametrize("second", SECOND)
def test_a_rule_on_the_tape_may_look_at_values(second: str) -> None:
    def rule(g: Any, y: Any, x: Any) -> Any:
        assert f"{x}".startswith("tensor")
        assert (x > 0).all()
        scale = x.detach().numpy().max()  # detached: meant to be constant
        return g / scale * scale * 3.0 * x * x

    SECOND[second](cube(rule))
    np.testing.assert_allclose(mg.hessian(lambda x: cube(rule)(x).sum())(VALUE), np.diag(6 * VALUE))


def test_only_the_gradient_that_was_cut_is_refused() -> None:
    product = mg.custom_rule(lambda a, b: a * b, rule=lambda g, y, a, b: (mg.tensor(g.numpy() * b.numpy()), g * a))
    with pytest.raises(GraphError, match=r"left the tape by \.numpy\(\)"):
        mg.jvp(lambda a: product(a, 2.0 * a), [VALUE], [np.ones(2)])
    other = mg.custom_rule(lambda a, b: a * b, rule=lambda g, y, a, b: (g.detach() * b, g * a))
    _, along = mg.jvp(lambda b: other(VALUE, b), [VALUE], [np.ones(2)])  # towards b the rule stays on the tape
    np.testing.assert_allclose(along, VALUE)
    with pytest.raises(GraphError, match="left the tape, so"):
        mg.jvp(lambda a: other(a, VALUE), [VALUE], [np.ones(2)])


def test_straight_through_and_none_are_no_cuts() -> None:
    through = mg.custom_rule(lambda x: mg.floor(x), rule=lambda g, y, x: g)
    np.testing.assert_allclose(mg.hessian(lambda x: (through(x) * x).sum())(VALUE), np.diag([2.0, 2.0]))
    nothing = mg.custom_rule(lambda x: x * 1.0, rule=lambda g, y, x: None)
    np.testing.assert_allclose(mg.hessian(lambda x: (nothing(x) * x * x).sum())(VALUE), np.diag(2 * VALUE))
