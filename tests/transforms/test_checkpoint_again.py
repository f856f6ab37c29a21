"""checkpoint: what is the same when the function is run again, and what is refused because it is not."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import minigrad as mg
from minigrad import nn
from minigrad_rnn import GRU

from .test_checkpoint import agree, leaves

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
            with pytest.raises(mg.GraphError, match=r"checkpoint: <lambda>, run again .*, .* written into"):
                mg.gradients(y.sum(), [x], create_graph=create_graph)
            assert x.grad is None, name


def test_a_write_between_the_walk_and_the_walk_of_its_gradient() -> None:
    (x,) = leaves((3,))
    shift = np.ones(3)
    (g,) = mg.gradients(mg.checkpoint(lambda x: mg.tanh(x + shift))(x).sum(), [x], create_graph=True)
    assert g is not None
    shift[1] = 3.0
    with pytest.raises(mg.GraphError, match="<lambda>, run again for the backward pass, returned other values"):
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
    with pytest.raises(mg.GraphError, match=r"f, run again for the .* pass, referred to a tensor of shape \(2,\) not"):
        y.sum().backward(retain_graph=True)
    with pytest.raises(mg.GraphError, match=r"f, run again for the backward pass, returned \(2, 2\) float64, before"):
        y.sum().backward(retain_graph=True)
    growing: list[Any] = []

    def grows(x: Any) -> Any:
        growing.append(x * 1.0)
        return list(growing)

    with pytest.raises(mg.GraphError, match="grows, run again for the backward pass, returned 2 values, before 1"):
        mg.checkpoint(grows)(x)[0].sum().backward()


def test_a_graph_is_consumed_once() -> None:
    (x,) = leaves((2,))
    y = mg.checkpoint(mg.tanh)(x).sum()
    y.backward()
    with pytest.raises(mg.GraphError, match="has consumed the graph"):
        y.backward()
