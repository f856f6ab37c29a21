"""Derivatives written by the user: used at every order, over trees, and refused where they do not fit."""

from __future__ import annotations

import gc
from typing import Any

import numpy as np
import pytest

import minigrad as mg

F64 = np.float64


@mg.custom_rule
def cube(x: Any) -> Any:
    return mg.tensor(np.asarray(x) ** 3)  # computed outside of minigrad, which constants allow


@cube.rule
def _(g: Any, y: Any, x: Any) -> Any:
    return g * 3.0 * y / x  # = 3x², through the result, so that its own derivative goes by the rule again


def test_every_order() -> None:
    x = F64(2.0)
    d = mg.grad(cube)
    assert [f(x).item() for f in (cube, d, mg.grad(d), mg.grad(mg.grad(d)))] == [8.0, 12.0, 12.0, 6.0]
    leaf = mg.tensor(np.array([0.5, -1.5]), requires_grad=True)
    assert mg.gradcheck(cube, [leaf])
    assert mg.gradgradcheck(cube, [leaf])
    assert cube(mg.tensor([1.0])).requires_grad is False
    assert cube(leaf).node.op == "cube"
    assert mg.jvp(cube, [x], [F64(1.0)])[1].item() == 12.0
    assert mg.hessian(lambda x: cube(x).sum())(np.array([1.0, 2.0])).tolist() == [[6.0, 0.0], [0.0, 12.0]]
    assert mg.grad(lambda x: mg.checkpoint(cube)(x * 2.0))(x).item() == 96.0


def test_the_rule_is_what_counts() -> None:
    reverse = mg.custom_rule(lambda x: x, lambda g, y, x: (-g,))
    assert mg.grad(lambda x: reverse(x) * x)(F64(3.0)).item() == 0.0
    nothing = mg.custom_rule(lambda x, y: x * y, lambda g, z, x, y: (None, g * x))
    gx, gy = mg.grad(nothing, (0, 1))(F64(3.0), F64(5.0))
    assert (gx.item(), gy.item()) == (0.0, 3.0)


def test_trees_in_and_out() -> None:
    @mg.custom_rule
    def polar(point: Any, unit: Any, *, turns: int = 0) -> Any:
        x, y = point["x"].numpy(), point["y"].numpy()
        return [np.hypot(x, y) * unit, (mg.tensor(np.arctan2(y, x) + 2 * np.pi * turns), np.array([turns]))]

    @polar.rule
    def _(g: Any, result: Any, point: Any, unit: Any, *, turns: int) -> Any:
        (gr, (ga, none)), (r, (_, whole)) = g, result
        assert none is None
        assert whole.tolist() == [turns]
        assert unit == 2.0
        x, y = point["x"], point["y"]
        gx = gr * 4.0 * x / r - ga * y / (x * x + y * y)
        gy = gr * 4.0 * y / r + ga * x / (x * x + y * y)
        return {"x": gx, "y": gy}, None

    def by_hand(point: Any, unit: Any) -> Any:
        return mg.hypot(point["x"], point["y"]) * unit, mg.arctan2(point["y"], point["x"])

    point = {"y": np.array([0.5, 2.0]), "x": np.array([1.0, -1.0])}

    def loss(f: Any) -> Any:
        def scalar(point: Any) -> Any:
            r, angle = f(point, 2.0)
            return (r * r * mg.sin(angle[0] if isinstance(angle, tuple) else angle)).sum()

        return scalar

    mine, want = (mg.grad(loss(f))(point) for f in (lambda p, u: polar(p, unit=u, turns=3), by_hand))
    for key in point:
        np.testing.assert_allclose(mine[key], want[key], rtol=1e-10)
    mine, want = (mg.hessian(loss(f))(point) for f in (polar, by_hand))
    for key in point:
        np.testing.assert_allclose(mine["x"][key], want["x"][key], rtol=1e-10)


def test_what_is_kept_is_differentiated_too() -> None:
    calls = []

    def softplus(x: Any) -> Any:
        calls.append(x.requires_grad)
        e = mg.exp(x)
        return mg.log1p(e), {"e": e}

    ours = mg.custom_rule(softplus, lambda g, kept, x: g * (kept["e"] / (1.0 + kept["e"])), keeps=True)
    x = F64(0.3)
    s = 1 / (1 + np.exp(-0.3))
    np.testing.assert_allclose(mg.grad(ours)(x).item(), s, rtol=1e-12)
    assert calls == [False]  # kept from the forward
    np.testing.assert_allclose(mg.grad(mg.grad(ours))(x).item(), s * (1 - s), rtol=1e-12)
    np.testing.assert_allclose(mg.grad(mg.grad(mg.grad(ours)))(x).item(), s * (1 - s) * (1 - 2 * s), rtol=1e-12)

    @mg.custom_rule(keeps=True)
    def decorated(x: Any) -> Any:
        return x * 2.0, None

    decorated.rule(lambda g, kept, x: g * 5.0)
    assert mg.grad(decorated)(x).item() == 5.0


def test_the_graph_is_freed_without_the_garbage_collector() -> None:
    gc.collect()
    gc.disable()
    try:
        leaf = mg.tensor(np.ones(3), requires_grad=True)
        cube(leaf)
        mg.checkpoint(mg.tanh)(leaf)
        mg.grad(mg.grad(lambda x: (x**3).sum()))
        gc.collect()
        before = len([o for o in gc.get_objects() if issubclass(type(o), mg.Tensor)])
        for _ in range(5):
            cube(leaf)
            mg.checkpoint(lambda x: (mg.tanh(x), x * leaf))(leaf)
        assert len([o for o in gc.get_objects() if issubclass(type(o), mg.Tensor)]) == before
    finally:
        gc.enable()


def test_a_write_into_an_argument_is_noticed() -> None:
    x = mg.tensor(np.ones(2), requires_grad=True)
    y = cube(x)
    x.data[0] = 3.0
    with pytest.raises(mg.GraphError, match="'cube' saved a tensor"):
        y.sum().backward()


def test_arguments_cannot_be_written_into() -> None:
    def careless(x: Any) -> Any:
        x.data[0] = 5.0
        return x * 1.0

    with pytest.raises(ValueError, match="read-only"):
        mg.custom_rule(careless, lambda g, y, x: g)(mg.tensor(np.ones(2), requires_grad=True))


def test_what_is_refused() -> None:
    w = mg.tensor(np.ones(2), requires_grad=True)
    with pytest.raises(TypeError, match=r"<lambda>: a custom_rule without a rule"):
        mg.custom_rule(lambda x: x)(w)
    with pytest.raises(TypeError, match="custom_rule: function: got int, want a function"):
        mg.custom_rule(3)
    with pytest.raises(TypeError, match="refers to a tensor on the tape that is not among its arguments"):
        mg.custom_rule(lambda x: x * w, lambda g, y, x: g)(w)
    with pytest.raises(TypeError, match="refers to a tensor on the tape"):
        mg.custom_rule(lambda m: m(np.ones((1, 2), np.float32)), lambda g, y, m: g)(mg.nn.Linear(2, 1))
    with pytest.raises(TypeError, match="<lambda>: returned int, want a Tensor"):
        mg.custom_rule(lambda x: 3, lambda g, y, x: g)(w)
    with pytest.raises(TypeError, match="<lambda>: keeps: returned Tensor, want"):
        mg.custom_rule(lambda x: x, lambda g, y, x: g, keeps=True)(w)

    def keyword_only(x: Any, *, y: Any) -> Any:
        return x * y

    with pytest.raises(TypeError, match="keyword_only: y: got a tensor on the tape in a keyword-only"):
        mg.custom_rule(keyword_only, lambda g, z, x, y: g)(w, y=w)


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (lambda g: (g,), "its rule returned 1, want a tuple of 2 gradients"),
        (lambda g: g, "its rule returned Tensor, want a tuple of 2 gradients"),
        (lambda g: (g, g, g), "its rule returned 3, want a tuple of 2"),
        (lambda g: (g[:1], [g]), r"its rule returned a gradient of shape \(1,\), want \(2,\)"),
        (lambda g: (g, g), r"its rule's gradient of argument 1: got Tensor, want \[\*\]"),
        (lambda g: (g, [g, g]), r"its rule's gradient of argument 1: got \[\*, \*\], want \[\*\]"),
    ],
)
def test_a_rule_that_does_not_fit(answer: Any, message: str) -> None:
    product = mg.custom_rule(lambda x, y: x * y[0], lambda g, z, x, y: answer(g))
    x = mg.tensor(np.ones(2), requires_grad=True)
    with pytest.raises(ValueError, match=f"<lambda>: {message}"):
        product(x, [x]).sum().backward()
    assert x.grad is None


def test_arrays_from_a_rule_and_results_that_are_arguments(xp: Any) -> None:
    twice = mg.custom_rule(lambda x, n: [x, n], lambda g, y, x, n: (g[0]._array * 2.0, None))
    x = mg.tensor(xp.array([1.0, 2.0]), requires_grad=True)
    y, n = twice(x, mg.tensor(xp.array([3])))
    assert (y.tolist(), n.tolist(), n.requires_grad) == ([1.0, 2.0], [3], False)
    y.sum().backward()
    assert x.grad is not None
    assert x.grad.backend == xp.name
    assert x.grad.tolist() == [2.0, 2.0]
    only_whole = mg.custom_rule(lambda x: mg.argmax(x), lambda g, y, x: g)
    assert only_whole(x).item() == 1
