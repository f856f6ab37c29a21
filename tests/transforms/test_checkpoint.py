"""checkpoint: the same values and derivatives of every order, from much less memory, for one more forward."""

from __future__ import annotations

import functools
import itertools
import math
import tracemalloc
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, strategies as st

import minigrad as mg
from minigrad import nn
from minigrad_rnn import LSTM, RNN

F64 = np.float64


def identity(function: Any) -> Any:
    return function


def orders(objective: Callable[[], Any], inputs: list[Any]) -> list[np.ndarray]:
    """The objective, its gradient, that of a function of the gradient, and once more."""
    result, value = [], objective()
    for order in range(3):
        result.append(value)
        parts = mg.gradients(value, inputs, create_graph=order < 2, allow_unused=True)
        result += [g for g in parts if g is not None]
        value = sum((g * mg.sin(g)).sum() for g in parts if g is not None)
    return [y.numpy() for y in result]


def agree(mine: list[np.ndarray], want: list[np.ndarray]) -> None:
    assert len(mine) == len(want)
    for a, b in zip(mine, want):
        assert a.dtype == b.dtype
        np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-12)


def leaves(*shapes: tuple[int, ...]) -> list[Any]:
    rng = np.random.default_rng(0)
    return [mg.tensor(0.5 * rng.standard_normal(shape), requires_grad=True) for shape in shapes]


def test_every_order_with_tensors_that_the_function_refers_to() -> None:
    x, w, v = leaves((2, 3), (3, 3), (3,))

    def chain(keep: Any) -> Any:
        def objective() -> Any:
            h = mg.sin(w)  # computed outside, so that w is reached on two ways

            def f(x: Any) -> Any:
                return mg.tanh(mg.tanh(x @ w) @ h) * mg.exp(x) + v

            return (keep(f)(keep(f)(x)) ** 2).sum()

        return objective

    want = orders(chain(identity), [x, w, v])
    agree(orders(chain(mg.checkpoint), [x, w, v]), want)
    agree(orders(chain(lambda f: mg.checkpoint(lambda x: mg.checkpoint(f)(x))), [x, w, v]), want)
    agree(orders(lambda: mg.checkpoint(lambda: chain(mg.checkpoint)())(), [x, w, v]), want)


def test_every_order_of_the_transformations_inside_and_outside() -> None:
    x, w = np.random.default_rng(0).standard_normal((2, 3))

    def f(x: Any, w: Any) -> Any:
        return (mg.tanh(x * w) ** 3).sum()

    for derivative in (
        lambda f: mg.grad(lambda x: (mg.grad(f)(x, w) ** 2).sum()),
        lambda f: mg.grad(lambda x: (mg.grad(lambda w: (mg.grad(f, (0, 1))(x, w)[0] ** 3).sum())(w) ** 2).sum()),
        lambda f: mg.hessian(lambda x: f(x, w)),
        lambda f: mg.hessian(mg.grad(lambda x: f(x, w))),
        lambda f: lambda x: mg.jvp(mg.grad(f), [x, w], [w, x])[1],
        lambda f: lambda x: mg.hvp(f, (x, w), (w, x))[1],
        lambda f: mg.grad(lambda x: mg.vjp(f, x, w)[1](mg.sin(x).sum())[0].sum()),
    ):
        want = derivative(f)(x)
        np.testing.assert_allclose(derivative(mg.checkpoint(f))(x), want, rtol=1e-9)
    inside = mg.checkpoint(lambda x: mg.grad(lambda y: f(x * y, w))(x))
    want = mg.grad(lambda x: (mg.grad(lambda y: f(x * y, w))(x) ** 2).sum())(x)
    np.testing.assert_allclose(mg.grad(lambda x: (inside(x) ** 2).sum())(x), want, rtol=1e-9)


@pytest.mark.parametrize("implementation", ["graph", "fused", "native"])
def test_a_recurrent_network(implementation: str) -> None:
    rng = np.random.default_rng(0)
    model = LSTM(3, 4, 2, dtype="float64", rng=rng, impl=implementation)
    xs = mg.tensor(rng.standard_normal((4, 2, 3)), requires_grad=True)
    inputs = [xs, *model.parameters()]

    def objective(model: Any) -> Any:
        output, (h, c) = model(xs, lengths=[4, 2])
        return (output**2).sum() + (h * c).sum()

    agree(
        orders(lambda: objective(mg.checkpoint(model)), inputs)[: -len(inputs) - 1],
        orders(lambda: objective(model), inputs)[: -len(inputs) - 1],
    )


def test_trees_constants_and_results_that_pass_through() -> None:
    x, w = leaves((3,), (3,))

    def f(t: Any, scale: float, *, bias: Any) -> Any:
        return {"y": t["x"] * scale + bias, "x": t["x"], "w": w, "n": 3, "whole": mg.argmax(t["x"])}, t["constant"]

    out, constant = mg.checkpoint(f)({"x": x, "constant": np.ones(2), "none": None}, 2.0, bias=w)
    assert (out["n"], out["whole"].requires_grad) == (3, False)
    assert constant.tolist() == [1.0, 1.0]
    assert out["y"].node.parents[0].op == "checkpoint"
    (out["y"].sum() + (out["x"] * out["w"]).sum()).backward()
    np.testing.assert_allclose(x.grad.numpy(), 2.0 + w.numpy())
    np.testing.assert_allclose(w.grad.numpy(), 1.0 + x.numpy())
    assert mg.checkpoint(lambda x: x * 2.0)(np.ones(2)).tolist() == [2.0, 2.0]
    with mg.no_grad():
        assert not mg.checkpoint(mg.tanh)(x).requires_grad
    assert mg.checkpoint(lambda: mg.ones(2))().tolist() == [1.0, 1.0]
    assert mg.checkpoint(scalar_of).__name__ == "scalar_of"
    assert mg.checkpoint(nn.Linear(2, 1)).__name__ == "Linear"
    with pytest.raises(TypeError, match="checkpoint: function: got int, want a function"):
        mg.checkpoint(3)  # type: ignore[arg-type]


def scalar_of(x: Any) -> Any:
    """Its docstring."""
    return x.sum()


def test_a_module_as_an_argument_is_the_module_itself() -> None:
    class Counting(nn.Module):
        def __init__(self) -> None:
            self.w = mg.Parameter([2.0])
            self.calls = 0

        def forward(self, x: Any) -> Any:
            self.calls += 1
            return x * self.w

    model = Counting()
    mg.checkpoint(lambda m, x: m(x))(model, np.array([3.0], np.float32)).sum().backward()
    assert model.calls == 2
    assert model.w.grad is not None
    assert model.w.grad.tolist() == [3.0]


def test_a_parameter_made_at_the_first_call() -> None:
    class Lazy(nn.Module):
        def forward(self, x: Any) -> Any:
            if not hasattr(self, "w"):
                self.w = mg.Parameter([2.0])
            inner = mg.tensor([1.0], requires_grad=True)  # and one that nobody sees
            return x * self.w * inner

    model = Lazy()
    mg.checkpoint(model)(np.array([3.0], np.float32)).sum().backward()
    assert model.w.grad is not None
    assert model.w.grad.tolist() == [3.0]


# Memory


def peak(run: Callable[[], Any]) -> int:
    tracemalloc.start()
    try:
        run()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_bptt_in_the_memory_of_the_square_root_of_time() -> None:
    B, H = 32, 32
    model = RNN(H, H, impl="graph", rng=np.random.default_rng(0))
    every = np.random.default_rng(1).standard_normal((576, B, H)).astype(np.float32)

    def last_state(xs: Any, h: Any) -> Any:
        return model(xs, h)[1]

    def gradients(keep: Any, T: int) -> Any:
        segment = math.isqrt(T)
        h: Any = mg.tensor(np.zeros((1, B, H), np.float32))
        for start in range(0, T, segment):
            h = keep(last_state)(every[start : start + segment], h)
        model.zero_grad()
        (h**2).sum().backward()
        return [p.grad.numpy() for p in model.parameters()]  # type: ignore[union-attr]

    for mine, want in zip(gradients(mg.checkpoint, 144), gradients(identity, 144)):
        np.testing.assert_allclose(mine, want, rtol=1e-4, atol=1e-6)
    plain, kept = (
        [peak(functools.partial(gradients, keep, T)) for T in (144, 576)] for keep in (identity, mg.checkpoint)
    )
    assert plain[1] > 3 * plain[0]  # four times as many steps
    assert kept[1] < 2.2 * kept[0]
    assert kept[1] < plain[1] / 4


def test_memory_falls_in_a_recorded_walk_too() -> None:
    def f(x: Any) -> Any:
        for _ in range(20):
            x = mg.tanh(x)
        return x

    def held(keep: Any) -> int:
        x = mg.tensor(np.full(10_000, 0.5), requires_grad=True)
        tracemalloc.start()
        try:
            y = x
            for _ in range(5):
                y = keep(f)(y)
            (g,) = mg.gradients(y.sum(), [x], create_graph=True)
            now = tracemalloc.get_traced_memory()[0]
            assert g is not None
            assert g.requires_grad
            return now
        finally:
            tracemalloc.stop()

    assert held(mg.checkpoint) < held(identity) / 6


def test_time_steps_are_kept_in_the_ledger() -> None:
    x, w = leaves((2, 3), (3, 3))

    def two_steps(h: Any, start: int) -> Any:
        for t in range(start, start + 2):
            with mg.time_step(t):
                h = mg.tanh(h @ w) + h @ w
        return h

    def by_step(keep: Any) -> Any:
        h = keep(two_steps)(keep(two_steps)(x, 0), 2)
        with mg.time_step(7):
            h = keep(lambda h: h @ w)(h)
        book = mg.ledger(h.sum(), [w, x])
        return book.by_time_step(w), book.by_time_step(x)

    for mine, want in zip(by_step(mg.checkpoint), by_step(identity)):
        assert list(mine) == list(want)
        for t, g in want.items():
            np.testing.assert_allclose(mine[t].numpy(), g.numpy(), rtol=1e-12)
    assert list(by_step(lambda f: mg.checkpoint(lambda *a: mg.checkpoint(f)(*a)))[0]) == [0, 1, 2, 3, 7]
    label = mg.checkpoint(lambda x: x * 1.0)(x).node.time_step
    assert label is None


# Any chain, cut anywhere


@given(st.lists(st.sampled_from(["tanh", "w", "h", "split", "residual", "sum"]), min_size=1, max_size=8), st.data())
def test_any_chain_cut_anywhere(names: list[str], data: st.DataObject) -> None:
    x, w = leaves((2, 2), (2, 2))
    steps: dict[str, Callable[[Any, Any], Any]] = {
        "tanh": lambda a, b: (mg.tanh(a), b),
        "w": lambda a, b: (a @ w, b * 0.5),
        "h": lambda a, b: (a, computed[-1] @ b),
        "split": lambda a, b: (a[::-1], b[:, :1] * a),
        "residual": lambda a, b: (a + mg.sin(b), a),
        "sum": lambda a, b: (a.sum(0) * 0.3 + b, a),
    }
    computed: list[Any] = []
    cuts = sorted(data.draw(st.sets(st.integers(0, len(names)), max_size=3)) | {0, len(names)})

    def objective(keep: Any) -> Any:
        pair = (x, x * w)
        computed.append(mg.cos(w))
        for start, end in itertools.pairwise(cuts):

            def piece(a: Any, b: Any, part: list[str] = names[start:end]) -> Any:
                for name in part:
                    a, b = steps[name](a, b)
                return a, b

            pair = keep(piece)(*pair)
        return (pair[0] * pair[1]).sum()

    agree(orders(lambda: objective(mg.checkpoint), [x, w]), orders(lambda: objective(identity), [x, w]))
