"""Operations with several outputs, some unused, and joint rules."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import minigrad as mg
from minigrad import JointRule
from minigrad.engine.primitive import primitive, primitive_with_outputs
from tests.engine.leaves import leaf, noise


@primitive_with_outputs
def polar(xp: Any, x: Any, y: Any) -> Any:
    """(x·y, x + sin y): each output depends on both inputs, and the rule uses an output."""
    product, total = x * y, x + xp.sin(y)

    def rule(xp: Any, g: Any, needs: Any, x: Any, y: Any, product: Any) -> Any:
        by_product, by_total = g
        dx = by_product * y + by_total if needs[0] else None
        dy = by_product * product / y + by_total * xp.cos(y) if needs[1] else None
        return dx, dy

    return (product, total), (x, y, product), JointRule(rule)


def plain(x: Any, y: Any) -> tuple[Any, Any]:
    return x * y, x + mg.sin(y)


USED: dict[str, Callable[[tuple[Any, Any]], Any]] = {
    "both": lambda out: (out[0] * out[1]).sum(),
    "first": lambda out: (out[0] * out[0]).sum(),
    "second": lambda out: (out[1] * out[1]).sum(),
    "one twice": lambda out: (out[1] * 2 + out[1] * out[1] + out[0]).sum(),
}


@pytest.mark.parametrize("constant", [None, 0, 1])
@pytest.mark.parametrize("used", USED)
def test_several_outputs_some_unused(xp: Any, used: str, constant: int | None) -> None:
    results = []
    for function in (polar, plain):
        inputs = [leaf([1.0, 2.0]), leaf([0.5, 0.25])]
        if constant is not None:
            inputs[constant] = inputs[constant].detach()
        wanted = [x for x in inputs if x.requires_grad]
        loss = USED[used](function(*inputs))
        first = mg.gradients(loss, wanted, create_graph=True)
        second = mg.gradients(sum((g * g).sum() for g in first) + sum(x.sum() for x in wanted) * 0, wanted)
        results.append([g.numpy() for g in (*first, *second)])
    for ours, expected in zip(*results):
        np.testing.assert_allclose(ours, expected, rtol=1e-12)


def test_several_outputs_pass_the_checks(xp: Any) -> None:
    inputs = [leaf(noise(3)), leaf(0.5 + noise(3, seed=1) ** 2)]
    assert mg.gradcheck(polar, inputs)
    assert mg.gradgradcheck(polar, inputs)


@pytest.mark.parametrize("k", [0, 1])
def test_second_derivatives_by_one_of_several_outputs(xp: Any, k: int) -> None:
    """An output that a rule saved is the same value as the one that the user holds."""

    @primitive_with_outputs
    def exps(xp: Any, x: Any) -> Any:
        outputs = (xp.exp(x), xp.exp(2 * x))
        return outputs, outputs, JointRule(lambda xp, g, needs, u, v: (g[0] * u + g[1] * 2 * v,))

    x = leaf([0.3, 0.7])
    outputs = exps(x)
    (g,) = mg.gradients(outputs[k].sum(), [x], create_graph=True)  # u, or 2v
    (by_output,) = mg.gradients(g.sum(), [outputs[k]])
    np.testing.assert_allclose(by_output.numpy(), float(k + 1))


def test_gradients_of_one_of_several_outputs(xp: Any) -> None:
    x, y = leaf([1.0, 2.0]), leaf([0.5, 0.25])
    product, total = polar(x, y)
    result = mg.gradients((product * total).sum(), [product, total, x])
    np.testing.assert_allclose(result[0].numpy(), total.numpy())
    np.testing.assert_allclose(result[1].numpy(), product.numpy())


def test_outputs_that_are_single_numbers(xp: Any) -> None:
    @primitive_with_outputs
    def moments(xp: Any, x: Any) -> Any:
        return (xp.sum(x), xp.sum(x * x)), (x,), JointRule(lambda xp, g, needs, x: (g[0] + g[1] * 2 * x,))

    for x in (leaf([1.0, 2.0]), mg.tensor([1.0, 2.0])):
        first, second = moments(x)
        assert (first.backend, first.shape, second.item()) == (xp.name, (), 5.0)
    x = leaf([1.0, 2.0])
    mg.tanh(sum(moments(x)) * 0.1).backward()
    np.testing.assert_allclose(x.grad.numpy(), (1 - np.tanh(0.8) ** 2) * 0.1 * (1 + 2 * x.numpy()))


@pytest.mark.parametrize("missing", [0, 1])
def test_a_joint_rule_may_have_nothing_to_give(xp: Any, missing: int) -> None:
    @primitive
    def first_or_second(xp: Any, a: Any, b: Any) -> Any:
        value = b * 2.0 if missing == 0 else a * 2.0
        return value, (), JointRule(lambda xp, g, needs: (None, g * 2.0) if missing == 0 else (g * 2.0, None))

    inputs = [leaf([1.0]), leaf([1.0])]
    (first_or_second(*inputs) + inputs[missing]).sum().backward()
    assert inputs[1 - missing].grad.tolist() == [2.0]
    assert inputs[missing].grad.tolist() == [1.0]


def test_an_entry_that_gets_nothing_does_not_end_the_walk(xp: Any) -> None:
    @primitive
    def only_second(xp: Any, a: Any, b: Any) -> Any:
        return a + b, (), (lambda xp, g: None, lambda xp, g: g)

    x = leaf([1.0, 3.0])
    older = x * 2.0
    newer = mg.tanh(x)  # the walk comes here first
    only_second(newer, older).sum().backward()
    assert x.grad.tolist() == [2.0, 2.0]
