"""Derivatives of functions: over trees and modules, as matrices, and what is refused."""

from __future__ import annotations

import dataclasses
from collections import namedtuple
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import minigrad as mg
from minigrad import nn
from minigrad_rnn import GRU

F64 = np.float64


# Trees and modules

Point = namedtuple("Point", ["x", "y"])


@dataclasses.dataclass
class Settings:
    rate: Any
    steps: int = dataclasses.field(default=3, metadata={"static": True})


def test_any_tree_is_differentiated_as_it_is() -> None:
    tree = {
        "list": [F64(1.0), (np.array([2.0, 3.0]), None)],
        "point": Point(mg.tensor(4.0), 5.0),
        "s": Settings(F64(6)),
    }

    def f(t: Any, scale: float, offset: Any = 0.0) -> Any:
        assert t["list"][1][1] is None
        inner = t["list"][0] * (t["list"][1][0] ** 2).sum() + t["point"].x * t["point"].y
        return scale * (inner + t["s"].rate ** t["s"].steps + offset)

    value, g = mg.value_and_grad(f)(tree, 10.0, offset=1.0)
    assert value.item() == 10 * (13 + 20 + 216 + 1)
    assert g["list"][0].item() == 130.0
    assert g["list"][1][0].tolist() == [40.0, 60.0]
    assert g["list"][1][1] is None
    assert isinstance(g["point"], Point)
    assert [part.item() for part in g["point"]] == [50.0, 40.0]
    assert g["s"].rate.item() == 1080.0
    assert g["s"].steps == 3
    assert [part.dtype for part in (g["list"][0], g["point"].y)] == [np.float64, np.float64]
    assert mg.tree_flatten(g)[1] == mg.tree_flatten(tree)[1]


def test_several_arguments_and_other_results() -> None:
    def f(x: Any, n: int, y: Any) -> Any:
        return x**n * y, {"n": n, "twice": 2.0 * x, "x": x}

    (gx, gy), aux = mg.grad(f, argnums=(0, -1), has_aux=True)(F64(2.0), 3, F64(5.0))
    assert (gx.item(), gy.item()) == (60.0, 8.0)
    assert (aux["n"], aux["twice"].item(), aux["x"].item()) == (3, 4.0, 2.0)
    assert type(aux["twice"]) is np.float64
    (value, _), (gy,) = mg.value_and_grad(f, argnums=[2], has_aux=True)(F64(2.0), 3, F64(5.0))
    assert (value.item(), gy.item()) == (40.0, 8.0)
    value, pullback, aux = mg.vjp(lambda x: (x * x, x), F64(3.0), has_aux=True)
    assert (value.item(), pullback(F64(1.0))[0].item(), aux.item()) == (9.0, 6.0, 3.0)
    blocks, aux = mg.jacobian(lambda x: (x * x, "other"), has_aux=True)(np.array([1.0, 2.0]))
    assert (blocks.tolist(), aux) == ([[2.0, 0.0], [0.0, 4.0]], "other")


def test_a_result_that_is_the_argument() -> None:
    w = mg.Parameter([2.0])
    value, g = mg.value_and_grad(lambda w: w)(w)
    assert value is w
    assert g.tolist() == [1.0]
    _, aux = mg.grad(lambda m: (m.weight.sum(), m), has_aux=True)(model := nn.Linear(2, 1))
    assert aux.weight is model.weight


def test_a_modules_gradient_has_its_parameters_names() -> None:
    rng = np.random.default_rng(0)
    model = GRU(3, 4, 2, dtype="float64", rng=rng)
    xs = rng.standard_normal((5, 2, 3))

    def loss(m: Any, xs: Any) -> Any:
        return (m(xs)[0] ** 2).sum()

    value, g = mg.value_and_grad(loss)(model, xs)
    loss(model, xs).backward()
    assert list(g) == [name for name, _ in model.named_parameters()]
    for name, p in model.named_parameters():
        assert p.grad is not None
        np.testing.assert_allclose(g[name].numpy(), p.grad.numpy(), rtol=1e-12, atol=1e-14)
    model.zero_grad()
    mg.assign_gradients(model, g)
    mg.optim.SGD(model.parameters(), lr=1e-3).step()
    assert loss(model, xs).item() < value.item()
    before = model.state_dict()
    with mg.no_grad():
        model = mg.tree_map(lambda p, g: p - 1e-3 * g, model, g)
    assert [p.requires_grad for p in model.parameters()] == [True] * len(g)
    np.testing.assert_allclose(model.state_dict()["forward0.b"], before["forward0.b"] - 1e-3 * g["forward0.b"].numpy())
    gx = mg.grad(loss, argnums=1)(model, xs)  # a module that is only passed along
    assert gx.shape == xs.shape


def test_frozen_and_shared_parameters() -> None:
    model = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2))
    model[0].requires_grad_(False)
    model[1].weight = model[0].bias = None
    shared = mg.Parameter(np.eye(2, dtype=np.float32))
    model[0].extra = model[1].weight = shared
    x = np.ones((1, 2), np.float32)
    g = mg.grad(lambda m: (m(x) * m[0].extra.sum()).sum())(model)
    assert list(g) == ["0.weight", "0.extra", "1.bias"]
    assert not g["0.weight"].numpy().any()
    assert g["0.extra"].numpy().all()
    mg.assign_gradients(model, g)
    assert model[0].weight.grad is None
    assert shared.grad is g["0.extra"]


def test_second_derivatives_of_a_module() -> None:
    model = nn.Linear(2, 1, dtype="float64")
    x = np.random.default_rng(0).standard_normal((4, 2))

    def loss(m: Any) -> Any:
        return (mg.tanh(m(x)) ** 2).sum()

    h = mg.hessian(loss)(model)
    assert h["weight"]["bias"].shape == (1, 2, 1)
    np.testing.assert_allclose(h["weight"]["bias"].numpy().ravel(), h["bias"]["weight"].numpy().ravel(), rtol=1e-10)
    v = {name: np.random.default_rng(1).standard_normal(p.shape) for name, p in model.named_parameters()}
    product = mg.hvp(loss, model, v)
    for name, found in product.items():
        want = sum(np.tensordot(h[name][other].numpy(), v[other], v[other].ndim) for other in v)
        np.testing.assert_allclose(found.numpy(), want, rtol=1e-10)
    value, moved = mg.jvp(loss, [model], [v])
    g = mg.grad(loss)(model)
    np.testing.assert_allclose(moved.item(), sum((g[name].numpy() * v[name]).sum() for name in v), rtol=1e-10)
    np.testing.assert_allclose(value.item(), loss(model).item())
    _, twice = mg.jvp(mg.grad(loss), [model], [v])
    for name in v:
        np.testing.assert_allclose(twice[name].numpy(), product[name].numpy(), rtol=1e-10)


# Matrices


def test_a_jacobian_by_rows_is_one_by_columns() -> None:
    a, b = np.random.default_rng(0).standard_normal((2, 3)), np.array([0.5])

    def f(a: Any, b: Any) -> Any:
        return {"y": mg.tanh(a) * b, "none": a[:0], "sum": mg.sin(a).sum()}

    by_rows = mg.jacobian(f, argnums=(0, 1))(a, b)  # 7 numbers in, 7 out
    by_columns = mg.jacobian(lambda a, b: (f(a, b), a * a), argnums=(0, 1))(a, b)[0]
    for found in (by_rows, by_columns):
        assert (found["y"][0].shape, found["y"][1].shape) == ((2, 3, 2, 3), (2, 3, 1))
        assert (found["none"][0].shape, found["none"][1].shape) == ((0, 3, 2, 3), (0, 3, 1))
        want = np.zeros((2, 3, 2, 3))
        for place in np.ndindex(2, 3):
            want[place + place] = (1 - np.tanh(a[place]) ** 2) * b[0]
        np.testing.assert_allclose(found["y"][0], want, rtol=1e-12)
        np.testing.assert_allclose(found["y"][1][..., 0], np.tanh(a), rtol=1e-12)
        np.testing.assert_allclose(found["sum"][0], np.cos(a), rtol=1e-12)
        assert found["sum"][1].tolist() == [0.0]


def test_jacobians_of_nothing_and_of_constants() -> None:
    assert mg.jacobian(lambda x: x * 2.0)(np.ones((0, 2))).shape == (0, 2, 0, 2)
    assert mg.jacobian(lambda x: mg.concatenate([x, np.ones(2)]))(np.ones(0)).shape == (2, 0)
    constant = mg.tensor(np.ones(2))
    assert mg.jacobian(lambda x: constant)(np.ones(3)).tolist() == [[0.0] * 3] * 2
    assert mg.jacobian(lambda x: (constant, constant))(np.ones(3))[1].tolist() == [[0.0] * 3] * 2
    assert mg.hvp(lambda x: x.sum(), np.ones(3), np.ones(3)).tolist() == [0.0] * 3
    assert mg.hessian(lambda x: constant.sum())(np.ones(2)).tolist() == [[0.0] * 2] * 2


@pytest.mark.parametrize("results", [3, 5])
def test_complex_results(results: int) -> None:
    x, v = np.random.default_rng(0).standard_normal((2, 6))

    def f(x: Any) -> Any:
        return mg.fft.fft(x * x)[:results]

    want = np.fft.fft(2 * x * v)[:results]
    y, moved = mg.jvp(f, [x], [v])
    np.testing.assert_allclose(y, np.fft.fft(x * x)[:results], rtol=1e-12)
    np.testing.assert_allclose(moved, want, rtol=1e-12)
    np.testing.assert_allclose(mg.jacobian(f)(x) @ v, want, rtol=1e-12)


def test_hvp_of_several_arguments() -> None:
    found = mg.hvp(lambda x, y: x**2 * y, (F64(3.0), F64(5.0)), (F64(1.0), F64(10.0)))
    assert [part.item() for part in found] == [10.0 + 60.0, 6.0]


def test_a_pullback_is_called_often_and_linear() -> None:
    value, pullback = mg.vjp(lambda t: {"y": t["a"] * t["b"]}, {"a": np.array([2.0, 3.0]), "b": F64(5.0)})
    assert value["y"].tolist() == [10.0, 15.0]
    for scale in (1.0, -2.0):
        (g,) = pullback({"y": np.full(2, scale)})
        assert (g["a"].tolist(), g["b"].item()) == ([5.0 * scale] * 2, 5.0 * scale)


def test_every_derivative_on_every_backend(xp: Any) -> None:
    x, v = (mg.tensor(xp.array(np.array(a, np.float32))) for a in ([0.5, -1.0], [1.0, 2.0]))

    def f(x: Any) -> Any:
        return (mg.tanh(x) ** 3).sum()

    with xp.no_sync():
        found = [
            mg.value_and_grad(f)(x)[1],
            mg.hvp(f, x, v),
            mg.jacobian(mg.tanh)(x),
            mg.jacobian(lambda x: mg.concatenate([x, x]))(x),
            mg.hessian(f)(x),
            mg.vjp(mg.tanh, x)[1](v)[0],
            mg.checkpoint(mg.tanh)(x),
            mg.grad(lambda x: mg.checkpoint(f)(x * v))(x),
            mg.hvp(mg.checkpoint(f), x, v),
        ]
    assert {(y.backend, str(y.dtype)) for y in found} == {(xp.name, "float32")}
    np.testing.assert_allclose(found[4].numpy() @ v.numpy(), found[1].numpy(), rtol=1e-5)


# Errors


def scalar(x: Any) -> Any:
    return (x * x).sum()


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: mg.grad(scalar, 1)(1.0), ValueError, r"grad: argnums: got 1, but scalar was called with 1 positional"),
        (lambda: mg.grad(scalar, (0, -1))(1.0), ValueError, r"argnums: got \(0, -1\), which names an argument twice"),
        (lambda: mg.jacobian(scalar, -2)(1.0), ValueError, r"jacobian: argnums: got -2, but scalar was called with 1"),
        (lambda: mg.grad(scalar, "x")(1.0), TypeError, r"grad: argnums: got 'x', want a whole number"),  # type: ignore[arg-type]
        (lambda: mg.grad(scalar)(True), TypeError, "grad: argument 0: got bool, want floating-point"),
        (
            lambda: mg.grad(scalar)(np.ones(2, int)),
            TypeError,
            r"grad: argument 0: got int64 of shape \(2,\), want float",
        ),
        (lambda: mg.grad(scalar)(np.ones(2) * 1j), TypeError, r"grad: argument 0: got complex128 of shape \(2,\)"),
        (lambda: mg.vjp(scalar, {"a": [1.0, True]}), TypeError, r"vjp: argument 0\['a'\]\[1\]: got bool"),
        (lambda: mg.hvp(scalar, "text", 1.0), TypeError, "hvp: argument 0: got str"),
        (lambda: mg.grad(lambda x: x)(np.ones(2)), ValueError, r"grad: <lambda> returned shape \(2,\), want a scalar"),
        (lambda: mg.value_and_grad(lambda x: 1.0)(1.0), TypeError, "value_and_grad: <lambda> returned float, want"),
        (lambda: mg.grad(lambda x: mg.argmax(x))(np.ones(2)), TypeError, "grad: <lambda> returned dtype int64, want"),
        (lambda: mg.grad(lambda x: (x, x, x), has_aux=True)(1.0), TypeError, "has_aux: <lambda> returned a tuple of 3"),
        (lambda: mg.grad(lambda x: x, has_aux=True)(1.0), TypeError, "has_aux: <lambda> returned Tensor"),
        (lambda: mg.vjp(lambda x: [x, 2], 1.0), TypeError, r"vjp: <lambda> returned int at \[1\], want a floating"),
        (lambda: mg.jacobian(mg.argmax)(np.ones(2)), TypeError, "jacobian: argmax returned int64, want"),
        (lambda: mg.vjp(lambda x: [x], 1.0)[1](1.0), ValueError, r"vjp: cotangent: got float, want \[\*\]"),
        (lambda: mg.vjp(lambda x: [x], 1.0)[1]([[1.0]]), ValueError, r"vjp: cotangent\[0\]: got shape \(1,\)"),
        (lambda: mg.vjp(lambda x: x, 1.0)[1](np.ones(3)), ValueError, r"vjp: cotangent: got shape \(3,\), want \(\)"),
        (lambda: mg.vjp(lambda x: x, 1.0)[1]("a"), TypeError, "vjp: cotangent: got str, want numbers"),
        (
            lambda: mg.jvp(lambda d: d["a"], [{"a": 1.0}], [{"b": 1.0}]),
            ValueError,
            r"jvp: tangents\[0\]: got \{'b': \*\}, want \{'a'",
        ),
        (lambda: mg.hvp(scalar, (1.0,), 1.0), ValueError, "hvp: vector: got float, want one for each of 1 primals"),
        (lambda: mg.hvp(scalar, (1.0,), (1.0, 2.0)), ValueError, "hvp: vector: got 2, want one for each of 1"),
        (lambda: mg.hvp(scalar, np.ones(2), np.ones(3)), ValueError, r"hvp: vector: got shape \(3,\), want \(2,\)"),
        (lambda: mg.grad(3), TypeError, "grad: function: got int, want a function"),  # type: ignore[arg-type]
        (lambda: mg.assign_gradients(nn.Linear(2, 1), {"weight": 1}), ValueError, "assign_gradients: gradients: got"),
        (
            lambda: mg.assign_gradients([mg.Parameter([1.0])], [mg.tensor([1.0, 2.0])]),
            ValueError,
            r"assign_gradients: gradients\[0\]: got shape \(2,\), want \(1,\)",
        ),
    ],
)
def test_what_is_refused(call: Callable[[], Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        call()
