"""vmap and elementwise_grad: beside loops, torch and JAX's rules, nested with the other transformations."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

import minigrad as mg
from minigrad import nn

rng = np.random.default_rng(0)
X, W = rng.standard_normal((4, 3)), rng.standard_normal((3, 2))


@settings(max_examples=30)
@given(st.integers(-3, 2), st.sampled_from([None, 0, 1, -1]), st.integers(-3, 2))
def test_axes_are_torchs(xp: Any, x_axis: int, y_axis: int | None, out_axis: int) -> None:
    torch = pytest.importorskip("torch")
    x, y = np.moveaxis(rng.standard_normal((4, 2, 3)), 0, x_axis), rng.standard_normal((2, 3))
    if y_axis is not None:
        y = np.moveaxis(rng.standard_normal((4, 3)), 0, y_axis)
    got = mg.vmap(lambda a, b: a * b + 1, (x_axis, y_axis), out_axis)(mg.tensor(x), mg.tensor(y))
    want = torch.func.vmap(lambda a, b: a * b + 1, (x_axis, y_axis), out_axis)(torch.tensor(x), torch.tensor(y))
    np.testing.assert_array_equal(got.numpy(), want.numpy())


def test_trees_of_axes_go_in_and_out(xp: Any) -> None:
    arguments = {"w": mg.tensor(W), "rows": (mg.tensor(X), mg.tensor(X.T))}

    def function(a: Any, scale: float) -> Any:
        x, y = a["rows"]
        return {"h": x @ a["w"] * scale, "both": [mg.sum(x * y), 2.0]}

    axes = ({"w": None, "rows": (0, 1)}, None)
    got = mg.vmap(function, axes, {"h": 1, "both": 0})(arguments, 3.0)
    np.testing.assert_allclose(got["h"].numpy(), (X @ W * 3).T, rtol=1e-14)
    np.testing.assert_allclose(got["both"][0].numpy(), (X * X).sum(axis=1), rtol=1e-14)
    assert got["both"][1].tolist() == [2, 2, 2, 2]
    mg.vmap(lambda x, *, power: x**power)(mg.tensor(X), power=2)
    with mg.use_backend("numpy"):
        assert mg.vmap(lambda pair: pair[0] + pair[1])((X, X)).shape == (4, 3)


@pytest.mark.parametrize(
    ("transformed", "want"),
    [
        (lambda f: mg.grad(lambda x: mg.sum(mg.vmap(f)(x) * X[:, 0]))(X), None),
        (lambda f: mg.jacobian(mg.vmap(f))(X), None),
        (lambda f: mg.jvp(mg.vmap(f), [X], [X * 2])[1], None),
        (lambda f: mg.hvp(lambda x: mg.sum(mg.vmap(f)(x)), X, X * 2), None),
        (lambda f: mg.vmap(mg.grad(f))(X), None),
        (lambda f: mg.vmap(mg.hessian(f))(X), None),
        (lambda f: mg.grad(lambda x: mg.sum(mg.vmap(mg.grad(f))(x) ** 2))(X), None),
        (lambda f: mg.vmap(lambda x: mg.vjp(f, x)[1](1.0)[0])(X), None),
    ],
)
def test_it_nests_with_the_other_transformations(transformed: Callable[..., Any], want: Any) -> None:
    """Beside the same function written on batches, or a Python loop over it."""

    def function(x: Any) -> mg.Tensor:
        return mg.sum(mg.sin(x) * x) ** 2

    def batch(x: Any) -> mg.Tensor:
        return mg.sum(mg.sin(x) * x, axis=-1) ** 2

    def loop(f: Any, in_axes: Any = 0, out_axes: Any = 0) -> Any:
        return lambda x: mg.stack([f(row) for row in x])

    original = mg.vmap
    got = transformed(function)
    try:
        mg.vmap = loop  # type: ignore[assignment]
        expected = transformed(function)
    finally:
        mg.vmap = original
    np.testing.assert_allclose(
        np.asarray(got), expected.numpy() if isinstance(expected, mg.Tensor) else expected, rtol=1e-12
    )
    np.testing.assert_allclose(mg.vmap(function)(X), batch(X).numpy(), rtol=1e-13)


def test_gradients_of_each_example_are_torchs() -> None:
    torch = pytest.importorskip("torch")
    model, ys = nn.Linear(3, 2, rng=0, dtype="float64"), rng.standard_normal((4, 2))
    got = mg.vmap(mg.grad(lambda m, x, y: mg.mse(m(x), y)), (None, 0, 0))(model, X, ys)
    theirs = {k: torch.tensor(v) for k, v in model.state_dict().items()}

    def loss(p: Any, x: Any, y: Any) -> Any:
        return ((p["weight"] @ x + p["bias"] - y) ** 2).mean()

    want = torch.func.vmap(torch.func.grad(loss), (None, 0, 0))(theirs, torch.tensor(X), torch.tensor(ys))
    assert got.keys() == want.keys()
    for name, g in got.items():
        np.testing.assert_allclose(g.numpy(), want[name].numpy(), rtol=1e-12)


def test_a_batch_of_models_is_a_tree_of_stacked_parameters() -> None:
    models = [nn.Linear(3, 2, rng=k, dtype="float64") for k in range(3)]
    stacked = mg.tree_map(lambda *ps: mg.stack(ps), *models)
    got = mg.vmap(lambda m, x: m(x), (0, None))(stacked, X)
    want = [m(X).numpy() for m in models]
    np.testing.assert_allclose(got.numpy(), want, rtol=1e-14)
    mg.sum(got).backward()
    np.testing.assert_allclose(models[1].weight.grad.numpy(), np.tile(X.sum(axis=0), (2, 1)), rtol=1e-14)


def test_gradients_flow_to_what_the_function_refers_to() -> None:
    w = mg.tensor(W, requires_grad=True)
    y = mg.vmap(lambda x: x @ w)(X)
    assert isinstance(y, mg.Tensor)
    mg.sum(y).backward()
    np.testing.assert_allclose(w.grad.numpy(), np.tile(X.sum(axis=0)[:, None], (1, 2)), rtol=1e-14)


def test_arrays_in_arrays_out_and_branches_on_values() -> None:
    got = mg.vmap(lambda x: mg.sum(x) if float(mg.sum(x)) > 0 else 0.0)(X)
    assert type(got) is np.ndarray
    np.testing.assert_allclose(got, np.maximum(X.sum(axis=1), 0), rtol=1e-14)
    assert isinstance(mg.vmap(mg.sum)(mg.tensor(X)), mg.Tensor)
    assert mg.vmap(lambda k: k + 1)(np.arange(3)).dtype == np.int64


def test_random_numbers_are_drawn_for_each_example() -> None:
    drop = nn.Dropout(0.5, rng=0)
    rows = mg.vmap(drop)(np.ones((6, 8)))
    assert len({tuple(row) for row in rows}) > 1


def test_a_recurrence_takes_examples_one_by_one() -> None:
    import minigrad_rnn as mr

    gru, xs = mr.GRU(3, 2, rng=0, dtype="float64"), rng.standard_normal((5, 4, 3))
    got = mg.vmap(lambda x: gru(x[:, None])[0][:, 0], 1, 1)(xs)
    np.testing.assert_allclose(got.numpy(), gru(xs)[0].numpy(), rtol=1e-12)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: mg.vmap(mg.sum, (0, 0))(X), "vmap: in_axes: got 2, but sum was called with 1 arguments"),
        (lambda: mg.vmap(mg.sum, None)(X), "vmap: in_axes: got None for every argument"),
        (lambda: mg.vmap(mg.add)(X, W), "vmap: argument 1: got 3 examples, want 4 as in argument 0"),
        (lambda: mg.vmap(mg.sum, 2)(X), "vmap: argument 0: got shape (4, 3), which has no axis 2"),
        (lambda: mg.vmap(mg.sum)(3.0), "vmap: argument 0: got float, want a Tensor or an array, or None in in_axes"),
        (lambda: mg.vmap(mg.sum)(X[:0]), "vmap: argument 0: got no example"),
        (lambda: mg.vmap(lambda x: "text")(X), "returned str, want numbers"),
        (lambda: mg.vmap(lambda x: None)(X), "returned NoneType, want a Tensor or a tree"),
        (lambda: mg.vmap(lambda x: mg.ones(int(x) + 1))(np.arange(3.0)), "example 1 gives shape (2,), want (1,)"),
        (lambda: mg.vmap(lambda x: x if x > 0 else (x, x))(np.arange(2.0)), "example 1 gives TreeDef(*)"),
        (lambda: mg.vmap(mg.sum, 0, 1)(X), "vmap: out_axes: got 1, want an axis of a batch of results of shape ()"),
        (lambda: mg.vmap(mg.sum, "0"), "vmap: in_axes: got '0', want a whole number, or None"),
        (lambda: mg.vmap(mg.sum, 0, None), "vmap: out_axes: got None, want a whole number"),
        (lambda: mg.vmap(lambda a: a["x"], ({"y": 0},))({"x": X}), "vmap: argument 0: got {'x': *}, want {'y': *}"),
    ],
)
def test_errors_name_what_is_wrong(call: Any, message: str) -> None:
    with pytest.raises((ValueError, TypeError)) as caught:
        call()
    assert message in str(caught.value)


# elementwise_grad


@pytest.mark.parametrize("name", ["tanh", "exp", "square", "gelu", "sigmoid"])
def test_elementwise_grad_is_the_jacobians_diagonal(xp: Any, name: str) -> None:
    x = mg.tensor(xp.array(X))
    slopes = mg.elementwise_grad(getattr(mg, name))
    np.testing.assert_allclose(
        slopes(x).numpy().ravel(), np.diag(mg.jacobian(getattr(mg, name))(x).numpy().reshape(12, 12)), rtol=1e-12
    )
    second = mg.elementwise_grad(slopes)(x)
    (want,) = mg.gradients(mg.sum(slopes(leaf := mg.tensor(xp.array(X), requires_grad=True))), [leaf])
    np.testing.assert_array_equal(second.numpy(), want.numpy())


def test_elementwise_grad_is_autograds() -> None:
    autograd = pytest.importorskip("autograd")
    import autograd.numpy as anp

    got = mg.elementwise_grad(lambda a, b: mg.sin(a * b) * a, argnums=(0, 1))(X, X.T.reshape(4, 3))
    for k in (0, 1):
        want = autograd.elementwise_grad(lambda a, b: anp.sin(a * b) * a, k)(X, X.T.reshape(4, 3))
        np.testing.assert_allclose(got[k], want, rtol=1e-12)
    assert type(got[0]) is np.ndarray


def test_elementwise_grad_takes_trees_and_adds_up() -> None:
    got = mg.elementwise_grad(lambda p: {"y": p["a"] * p["b"], "z": [p["a"]]})({"a": X, "b": 2.0})
    np.testing.assert_allclose(got["a"], np.full((4, 3), 3.0))
    np.testing.assert_allclose(got["b"], X.sum(), rtol=1e-13)
    with pytest.raises(TypeError, match=r"elementwise_grad: .* returned dtype complex128, want real numbers"):
        mg.elementwise_grad(mg.fft.fft)(X)
