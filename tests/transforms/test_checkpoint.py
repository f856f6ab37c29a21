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
from minigrad_rnn import GRU, LSTM, RNN

F64 = np.float64


def identity(function: Any) -> Any:
    return function


def orders(objective: Callable[[], Any], inputs: list[Any]) -> list[np.ndarray]:
    """The objective, its gradient, that of a function of the gradient, and once more."""
    found, value = [], objective()
    for order in range(3):
        found.append(value)
        parts = mg.gradients(value, inputs, create_graph=order < 2, allow_unused=True)
        found += [g for g in parts if g is not None]
        value = sum((g * mg.sin(g)).sum() for g in parts if g is not None)
    return [y.numpy() for y in found]


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
        want = derivative(f)(x).numpy()
        np.testing.assert_allclose(derivative(mg.checkpoint(f))(x).numpy(), want, rtol=1e-9)
    inside = mg.checkpoint(lambda x: mg.grad(lambda y: f(x * y, w))(x))
    want = mg.grad(lambda x: (mg.grad(lambda y: f(x * y, w))(x) ** 2).sum())(x).numpy()
    np.testing.assert_allclose(mg.grad(lambda x: (inside(x) ** 2).sum())(x).numpy(), want, rtol=1e-9)


@pytest.mark.parametrize("implementation", ["graph", "fused"])
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


# What is the same when it is run again


GENERATOR = np.random.default_rng(4)


class Noise:
    def __init__(self, rng: Any) -> None:
        self.rng = rng

    def draw(self, x: Any) -> Any:
        return x * self.rng.standard_normal(x.shape)


@pytest.mark.parametrize("whose", ["own", "module", "module argument", "legacy", "argument", "one", "several"])
def test_masks_are_drawn_the_same_again(whose: str) -> None:
    rng = np.random.default_rng(3)
    layer = nn.Dropout(0.5, rng=rng if whose.startswith("module") else None)
    functions: dict[str, Callable[[Any], Any]] = {
        "own": mg.checkpoint(lambda x: layer(x)),
        "module": mg.checkpoint(nn.Sequential(nn.Identity(), layer)),
        "module argument": lambda x: mg.checkpoint(lambda m, x: m(x))([nn.Sequential(layer)][0], x),
        "legacy": mg.checkpoint(lambda x: x * np.random.rand(4)),  # noqa: NPY002
        "argument": lambda x: mg.checkpoint(lambda x, rng: Noise(rng).draw(x))(x, rng),
        "one": mg.checkpoint(Noise(rng).draw, rng=rng),
        "several": mg.checkpoint(lambda x: Noise(rng).draw(Noise(GENERATOR).draw(x)), rng=[rng, GENERATOR]),
    }
    x = mg.tensor(np.ones(4), requires_grad=True)
    kept = functions[whose]
    first = kept(x)
    second = kept(x)  # draws on
    generators = (nn.default_generator(), rng, GENERATOR)
    states = [generator.bit_generator.state for generator in generators]
    assert first.tolist() != second.tolist() or whose in ("own", "module", "module argument")
    (g,) = mg.gradients(first.sum(), [x], retain_graph=True)
    (h,) = mg.gradients(first.sum(), [x], create_graph=True)
    assert g is not None
    assert h is not None
    np.testing.assert_allclose(g.numpy(), first.numpy())
    np.testing.assert_allclose(h.numpy(), g.numpy())
    assert states == [generator.bit_generator.state for generator in generators]


@pytest.mark.parametrize("whose", ["closed over", "global", "bound", "module", "inside"])
def test_a_generator_that_is_not_named_is_refused(whose: str) -> None:
    rng = np.random.default_rng(3)
    layer = nn.Dropout(0.5, rng=rng)
    functions: dict[str, Callable[[Any], Any]] = {
        "closed over": lambda x: x * rng.standard_normal(x.shape),
        "global": lambda x: x * GENERATOR.standard_normal(x.shape),
        "bound": Noise(rng).draw,
        "module": lambda x: layer(x),
        "inside": lambda x: mg.checkpoint(Noise(rng).draw, rng=rng)(x),
    }
    x = mg.tensor(np.ones(20), requires_grad=True)
    function = functions[whose]
    for create_graph in (False, True):
        y = mg.checkpoint(function)(x)
        with pytest.raises(mg.GraphError, match=r"returned other values than before: .* in rng="):
            mg.gradients(y.sum(), [x], create_graph=create_graph)
    y = mg.checkpoint(function, rng=[rng, GENERATOR])(x)
    (g,) = mg.gradients(y.sum(), [x])
    assert g is not None
    np.testing.assert_allclose(g.numpy(), y.numpy())


def test_what_is_no_generator() -> None:
    for wrong in (3, ["seed"]):
        with pytest.raises(TypeError, match=r"checkpoint: rng: got .*, want a numpy.random.Generator or a sequence"):
            mg.checkpoint(mg.tanh, rng=wrong)  # type: ignore[arg-type]


def test_dropout_in_a_recurrence_with_its_own_generator() -> None:
    rng = np.random.default_rng(0)
    model = GRU(3, 4, 2, dropout=0.5, recurrent_dropout=0.5, dtype="float64", rng=rng)
    xs = rng.standard_normal((4, 2, 3))
    state = rng.bit_generator.state
    model(xs)[0].sum().backward()
    want = [p.grad.numpy() for p in model.parameters() if p.grad is not None]
    model.zero_grad()
    rng.bit_generator.state = state
    mg.checkpoint(lambda xs: model(xs)[0], rng=rng)(xs).sum().backward()
    agree([p.grad.numpy() for p in model.parameters() if p.grad is not None], want)


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


# Refused


def test_a_parameter_that_was_changed_since() -> None:
    w = mg.Parameter(np.ones(2))
    y = mg.checkpoint(lambda x: mg.tanh(x + w))(np.ones(2))  # a sum saves nothing: only the checkpoint can notice
    w.grad = mg.tensor(np.ones(2))
    mg.optim.SGD([w], lr=0.1).step()
    w.grad = None
    with pytest.raises(mg.GraphError, match=r"<lambda> in a checkpoint refers to a tensor of shape \(2,\) that"):
        y.sum().backward()
    assert w.grad is None


@pytest.mark.parametrize("kind", ["leaf", "array", "constant"])
def test_an_argument_that_was_written_into_since(kind: str) -> None:
    w, batch = mg.Parameter(np.ones(2)), np.ones(2)
    x: Any = {"leaf": w, "array": batch, "constant": mg.tensor(batch)}[kind]
    y = mg.checkpoint(lambda x: mg.tanh(x) * w)(x)
    if kind == "array":
        x[0] = 5.0
    else:
        x.data[0] = 5.0
    with pytest.raises(mg.GraphError, match="written into"):
        y.sum().backward()


def test_a_write_into_an_array_that_the_function_closes_over() -> None:
    x = mg.tensor(np.array([0.5, 0.0, 2.0]), requires_grad=True)
    shift, factor, big = np.ones(3), np.ones(3), np.zeros((300, 300), np.float32)
    functions: dict[str, tuple[Any, Callable[[], Any]]] = {
        "a sum saves nothing": (shift, lambda: mg.checkpoint(lambda x: mg.tanh(x + shift))(x)),
        "where x is 0 the output stays": (factor, lambda: mg.checkpoint(lambda x: x * factor)(x)),
        "one element of many": (big, lambda: mg.checkpoint(lambda x: mg.exp(x.sum() * 1e-3 + big))(x)),
        "inside another": (shift, lambda: mg.checkpoint(lambda x: mg.checkpoint(lambda x: mg.exp(x + shift))(x))(x)),
    }
    for name, (array, function) in functions.items():
        for create_graph in (False, True):
            y = function()
            mg.gradients(y.sum(), [x], retain_graph=True)  # as long as nobody writes, nobody complains
            array.reshape(-1)[1] += 0.5
            with pytest.raises(mg.GraphError, match=r"checkpoint: <lambda>, run again for the walk, .* written into"):
                mg.gradients(y.sum(), [x], create_graph=create_graph)
            assert x.grad is None, name


def test_a_write_between_the_walk_and_the_walk_of_its_gradient() -> None:
    (x,) = leaves((3,))
    shift = np.ones(3)
    (g,) = mg.gradients(mg.checkpoint(lambda x: mg.tanh(x + shift))(x).sum(), [x], create_graph=True)
    assert g is not None
    shift[1] = 3.0
    with pytest.raises(mg.GraphError, match="checkpoint: <lambda>, run again for the walk, returned other values"):
        g.sum().backward()


def test_a_hidden_generator_is_noticed() -> None:
    (x,) = leaves((3,))

    class Hidden:
        rng = np.random.default_rng(0)

    hidden = {"inside": {1: Hidden()}}
    y = mg.checkpoint(lambda x: x * hidden["inside"][1].rng.random(3))(x)
    with pytest.raises(mg.GraphError, match=r"returned other values than before: .*, or drawn from, since"):
        y.sum().backward()


def test_values_that_change_places_are_noticed() -> None:
    (x,) = leaves((3,))
    for size in (5, 1000):
        for dtype in ("float16", "float32", "float64", "complex128"):
            offset = np.random.default_rng(0).standard_normal(size).astype(dtype)
            y = mg.checkpoint(lambda x: x.sum().astype("float16") + offset)(x)  # noqa: B023
            mg.gradients(mg.real(y).sum(), [x], retain_graph=True)
            if dtype == "float16":  # has too few digits to tell
                offset[...] = -offset
            offset[...] = offset[::-1].copy()
            with pytest.raises(mg.GraphError, match="checkpoint: <lambda>, run again"):
                mg.real(y).sum().backward()


def test_last_digits_may_be_others() -> None:
    x = mg.tensor(np.linspace(0.1, 1.0, 1000), requires_grad=True)
    last = [1.0, 1.0 + 1e-15, 1.0 + 1e-10]
    y = mg.checkpoint(lambda x: mg.exp(x) * last[0])(x).sum()
    last.pop(0)
    y.backward(retain_graph=True)
    last.pop(0)
    with pytest.raises(mg.GraphError, match="returned other values"):
        y.backward()


def test_a_function_that_is_another_when_it_is_run_again() -> None:
    x, w = leaves((2,), (2,))
    calls: list[int] = []

    def f(x: Any) -> Any:
        calls.append(1)
        return x * w if len(calls) == 1 else x * others[len(calls)]

    others = {2: mg.tensor(np.ones(2), requires_grad=True), 3: mg.tensor(np.ones((2, 2)))}
    y = mg.checkpoint(f)(x)
    with pytest.raises(mg.GraphError, match=r"f, run again for the walk, referred to a tensor of shape \(2,\) not"):
        y.sum().backward(retain_graph=True)
    with pytest.raises(mg.GraphError, match=r"f, run again for the walk, returned \(2, 2\) float64, before"):
        y.sum().backward(retain_graph=True)
    growing: list[Any] = []

    def grows(x: Any) -> Any:
        growing.append(x * 1.0)
        return list(growing)

    with pytest.raises(mg.GraphError, match="grows, run again for the walk, returned 2 values, before 1"):
        mg.checkpoint(grows)(x)[0].sum().backward()


def test_a_graph_is_consumed_once() -> None:
    (x,) = leaves((2,))
    y = mg.checkpoint(mg.tanh)(x).sum()
    y.backward()
    with pytest.raises(mg.GraphError, match="walked before"):
        y.backward()


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
