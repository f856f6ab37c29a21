"""`gradcheck` and `gradgradcheck` catch wrong rules and say where they are wrong."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import minigrad as mg
from minigrad import GradcheckError, JointRule, Tensor
from minigrad.engine.primitive import primitive, primitive_with_outputs


def tanh_with(rule: Callable[..., Any]) -> Callable[..., Tensor]:
    @primitive
    def tanh_of_test(xp: Any, x: Any) -> Any:
        y = xp.tanh(x)
        return y, (y,), rule

    return tanh_of_test


def leaf(*shape: int, seed: int = 0) -> Tensor:
    return mg.tensor(np.random.default_rng(seed).standard_normal(shape), requires_grad=True)


def right(xp: Any, g: Any, y: Any) -> Any:
    return g * (1 - y * y)


def one_entry_wrong(xp: Any, g: Any, y: Any) -> Any:
    mask = xp.reshape(xp.arange(y.size), y.shape) == y.size - 1
    return right(xp, g, y) * xp.where(mask, xp.zeros_like(y), xp.ones_like(y))


WRONG = {
    "by a thousandth": lambda xp, g, y: right(xp, g, y) * 1.001,
    "a sign": lambda xp, g, y: -right(xp, g, y),
    "the square dropped": lambda xp, g, y: g * (1 - y),
    "the gradient of the result dropped": lambda xp, g, y: 1 - y * y,
    "zero": lambda xp, g, y: g * 0,
    "one entry": one_entry_wrong,
    "not a number": lambda xp, g, y: g * float("nan"),
}


def test_a_right_rule_passes(xp: Any) -> None:
    function = tanh_with(right)
    assert mg.gradcheck(function, [leaf(2, 3)])
    assert mg.gradgradcheck(function, [leaf(2, 3)])


@pytest.mark.parametrize("fault", WRONG)
def test_a_wrong_rule_is_caught(xp: Any, fault: str) -> None:
    with pytest.raises(GradcheckError, match=r"inputs\[0\] of shape \(2, 3\), entry \(\d, \d\): the rule gives"):
        mg.gradcheck(tanh_with(WRONG[fault]), [leaf(2, 3)])


def test_a_rule_wrong_at_second_order_only_is_caught(xp: Any) -> None:
    """The slope is right but computed from a saved array that hides where it came from."""

    @primitive
    def hidden(xp: Any, x: Any) -> Any:
        y = xp.tanh(x)
        slope = 1 - y * y
        return y, (slope,), lambda xp, g, slope: g * slope

    assert mg.gradcheck(hidden, [leaf(4)])
    with pytest.raises(GradcheckError):
        mg.gradgradcheck(hidden, [leaf(4)])


def test_a_rule_that_is_not_linear_in_the_gradient_is_caught(xp: Any) -> None:
    with pytest.raises(GradcheckError):
        mg.gradcheck(tanh_with(lambda xp, g, y: xp.abs(g) * (1 - y * y)), [leaf(6)])


def test_a_dropped_sum_over_a_broadcast_is_caught(xp: Any) -> None:
    def first_row_only(x: Tensor, b: Tensor) -> Any:
        @primitive
        def add_of_test(xp: Any, x: Any, b: Any) -> Any:
            return x + b, (), (lambda xp, g: g, lambda xp, g: g[0])

        return add_of_test(x, b)

    with pytest.raises(GradcheckError, match=r"inputs\[1\] of shape \(3,\)"):
        mg.gradcheck(first_row_only, [leaf(2, 3), leaf(3, seed=1)])


def test_a_wrong_output_of_several_is_caught(xp: Any) -> None:
    def split(factor: float) -> Any:
        @primitive_with_outputs
        def halves(xp: Any, x: Any) -> Any:
            return (
                (x[:2] * x[:2], x[2:] * 3.0),
                (x,),
                JointRule(lambda xp, g, needs, x: (xp.concatenate([g[0] * (2 * x[:2]), g[1] * factor]),)),
            )

        return halves

    assert mg.gradcheck(split(3.0), [leaf(4)])
    assert mg.gradgradcheck(split(3.0), [leaf(4)])
    with pytest.raises(GradcheckError):
        mg.gradcheck(split(3.003), [leaf(4)])


def test_an_input_cut_off_is_caught(xp: Any) -> None:
    with pytest.raises(GradcheckError, match=r"inputs\[1\].*gives 0,"):
        mg.gradcheck(lambda a, b: a * b.detach(), [leaf(2), leaf(2, seed=1)])


def test_the_message_names_the_worst_entry_and_both_numbers() -> None:
    @primitive
    def squared(xp: Any, x: Any) -> Any:
        wrong = xp.asarray([[0.0, 0.0], [0.5, 0.0]])
        return x * x, (x, wrong), lambda xp, g, x, wrong: g * (2 * x + wrong)

    with pytest.raises(GradcheckError) as caught:
        mg.gradcheck(squared, [mg.tensor(1.0), mg.tensor(np.ones((2, 2)), requires_grad=True)][1:])
    message = str(caught.value)
    assert "inputs[0] of shape (2, 2), entry (1, 0)" in message
    rule, difference = (float(message.split(word)[1].split()[0].strip(",")) for word in ("gives", "difference"))
    assert abs(rule / difference) == pytest.approx(1.25)


def test_float32_is_refused() -> None:
    with pytest.raises(TypeError, match=r"inputs\[1\]: got float32, want float64"):
        mg.gradcheck(mg.add, [leaf(2), mg.tensor([1.0, 2.0], requires_grad=True)])


def test_nothing_to_check_is_refused() -> None:
    with pytest.raises(ValueError, match="none requires a gradient"):
        mg.gradcheck(mg.tanh, [mg.tensor([1.0])])


def test_the_inputs_are_left_alone(xp: Any) -> None:
    x = leaf(3)
    before = x.numpy()
    mg.gradcheck(mg.tanh, [x])
    mg.gradgradcheck(mg.tanh, [x])
    assert x.grad is None
    np.testing.assert_array_equal(x.numpy(), before)


def test_inputs_stay_on_their_backend() -> None:
    constant = mg.tensor(np.ones(3), backend="numpy")
    x = mg.tensor(np.arange(3.0), requires_grad=True, backend="numpy")
    with mg.use_backend("strict"):
        assert mg.gradcheck(lambda x: x * constant, [x])
        assert mg.gradgradcheck(lambda x: x * x * constant, [x])


def test_constants_and_other_arguments_pass_through(xp: Any) -> None:
    constant = mg.tensor(np.arange(3.0))
    assert mg.gradcheck(lambda x, c, n: (x * c) ** n, [leaf(3), constant, 2])
    assert constant.grad is None
