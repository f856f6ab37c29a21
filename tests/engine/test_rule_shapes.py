"""The shape of what a rule returns: the input's, or the one that the input was broadcast to."""

from __future__ import annotations

import re
from typing import Any

import hypothesis
import hypothesis.strategies as st
import numpy as np
import pytest

import minigrad as mg
from minigrad.debug.gradcheck import GradcheckError
from tests.engine.leaves import leaf


def doubled_by(rule: Any) -> Any:
    @mg.primitive
    def doubled(xp: Any, x: Any) -> Any:
        return x * 2, (), rule

    return doubled


@pytest.mark.parametrize("create_graph", [False, True])
@pytest.mark.parametrize("shape", [(), (1,), (5,), (3, 2), (2, 2), (2, 1), (1, 2), (0,)], ids=str)
def test_another_shape_is_refused(xp: Any, shape: tuple[int, ...], create_graph: bool) -> None:
    x = leaf([1.0, 2.0])
    y = doubled_by(lambda xp, g: xp.ones(shape))(x).sum()
    message = re.escape(f"rule of 'doubled' returned a gradient of shape {shape} for an input of shape (2,); want")
    with pytest.raises(ValueError, match=message):
        y.backward(create_graph=create_graph)
    assert x.grad is None


def test_a_scalars_rule_of_another_shape(xp: Any) -> None:
    x = leaf(1.0)
    with pytest.raises(ValueError, match=r"shape \(3,\) for an input of shape \(\)"):
        doubled_by(lambda xp, g: xp.ones((3,)))(x).backward()


def test_no_array_is_refused(xp: Any) -> None:
    with pytest.raises(
        TypeError, match=r"rule of 'doubled' returned float for an input of shape \(2,\), want an array"
    ):
        doubled_by(lambda xp, g: 2.0)(leaf([1.0, 2.0])).sum().backward()


def test_a_joint_rules_shapes_are_checked(xp: Any) -> None:
    @mg.primitive
    def both(xp: Any, x: Any, y: Any) -> Any:
        return (x * 1, y * 1), (), mg.JointRule(lambda xp, gs, needs: (gs[0], gs[0]))

    x, y = leaf([1.0, 2.0]), leaf([1.0, 2.0, 3.0])
    one, other = both(x, y)
    with pytest.raises(
        ValueError, match=r"rule of 'both' returned a gradient of shape \(2,\) for an input of shape \(3"
    ):
        (one.sum() + other.sum()).backward()


def test_gradcheck_names_the_rule() -> None:
    with pytest.raises(GradcheckError, match=r"'doubled' returned a gradient of shape \(\) for an input of shape \(2,"):
        mg.gradcheck(doubled_by(lambda xp, g: xp.sum(g)), [leaf([1.0, 2.0])])


SIDES = st.lists(st.sampled_from([1, 2, 3]), max_size=3).map(tuple)


@hypothesis.settings(max_examples=25)
@hypothesis.given(SIDES, SIDES)
def test_what_was_broadcast_is_summed_and_nothing_else(a: tuple[int, ...], b: tuple[int, ...]) -> None:
    """For all pairs of shapes: NumPy's broadcasting says which rule's result is right."""
    x = leaf(np.ones(a))
    try:
        to = np.broadcast_shapes(a, b)
    except ValueError:
        to = None

    @mg.primitive
    def scaled(xp: Any, x: Any, like: Any) -> Any:
        return (
            (x * like if to is not None else x * 1.0),
            (),
            (lambda xp, g, *_: xp.ones(to if to is not None else b), None),
        )

    y = scaled(x, np.ones(b)).sum()
    if to is None:
        with pytest.raises(ValueError, match="rule of 'scaled' returned"):
            y.backward()
    else:
        y.backward()
        assert x.grad.shape == a
        assert x.grad.numpy().sum() == np.prod(to)


def test_a_loss_may_leave_the_sum_over_what_it_broadcast_to_the_pool(xp: Any) -> None:
    @mg.primitive
    def squared_error(xp: Any, x: Any, target: Any) -> Any:
        d = x - target
        return xp.sum(d * d), (d,), (lambda xp, g, d: g * 2 * d, None)

    x = leaf([1.0, 2.0])
    squared_error(x, xp.array(np.zeros((5, 2)))).backward()
    assert x.grad.tolist() == [10.0, 20.0]
