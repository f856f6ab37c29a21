"""Arrays in, arrays out: derivatives for NumPy's and SciPy's code, and Python numbers in float64."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st
from hypothesis.extra import numpy as npst

import minigrad as mg
from minigrad import nn
from minigrad.engine.tensor import Tensor

X = np.array([0.5, -1.0, 2.0])


def cubes(x: Any) -> Any:
    return np.sum(x**3)


# What each result is


@pytest.mark.parametrize("number", [1.1, 2, np.float64(1.1), np.array(1.1)])
def test_a_number_is_differentiated_in_float64_as_in_numpy(number: Any) -> None:
    """d/dx sin³ = 3 sin² cos; in float32 the last eight digits would be wrong."""
    value, g = mg.value_and_grad(lambda x: np.sin(x) ** 3)(number)
    assert (type(value), type(g)) == (np.float64, np.float64)
    np.testing.assert_allclose(value, np.sin(number) ** 3, rtol=1e-15)
    np.testing.assert_allclose(g, 3 * np.sin(number) ** 2 * np.cos(number), rtol=1e-15)
    np.testing.assert_allclose(mg.hessian(lambda x: np.sin(x))(number), -np.sin(number), rtol=1e-15)
    _, along = mg.jvp(np.sin, [number], [1.0])
    np.testing.assert_allclose(along, np.cos(number), rtol=1e-15)


def test_numbers_in_lists_are_float64_variables_of_their_own() -> None:
    g = mg.grad(lambda t: np.sin(t[0]) * t[1][0])([1.1, (2, 3.0)])
    assert [type(x) for x in (g[0], *g[1])] == [np.float64] * 3
    np.testing.assert_allclose([g[0], *g[1]], [2 * np.cos(1.1), np.sin(1.1), 0.0], rtol=1e-15)


@settings(max_examples=25)
@given(
    npst.arrays(
        st.sampled_from(["f2", "f4", "f8"]),
        npst.array_shapes(min_dims=0, max_dims=3, max_side=3),
        elements=st.just(0.5),
    ),
    st.sampled_from(["C", "F", "reversed", "read-only"]),
)
def test_an_array_in_any_layout_gives_an_array(x: np.ndarray, layout: str) -> None:
    x = x[..., ::-1] if layout == "reversed" and x.ndim else np.array(x, order="F" if layout == "F" else "C")
    x.flags.writeable = layout != "read-only"
    value, g = mg.value_and_grad(cubes)(x)
    assert type(value) is x.dtype.type
    assert type(g) is (np.ndarray if x.ndim else x.dtype.type)
    assert (g.shape, g.dtype) == (x.shape, x.dtype)
    np.testing.assert_array_equal(g, np.full(x.shape, 0.75))
    assert not x.ndim or g.flags.writeable
    assert mg.jacobian(np.sin)(x).shape == (*x.shape, *x.shape)
    assert type(mg.hvp(cubes, x, np.ones_like(x))) is type(g)
    y, pullback = mg.vjp(np.sin, x)
    assert type(y) is type(pullback(np.ones_like(x))[0]) is type(g)


def test_each_gradient_is_of_its_arguments_kind() -> None:
    model = nn.Linear(2, 1, dtype="float64")
    tree = {"array": np.ones(2), "tensor": mg.tensor(np.ones(2)), "number": 1.0, "module": model, "none": None}
    g = mg.grad(lambda t: np.sum(t["module"](t["array"] * t["tensor"] * t["number"])))(tree)
    assert {name: type(x) for name, x in g.items() if name != "module"} == {
        "array": np.ndarray,
        "tensor": Tensor,
        "number": np.float64,
        "none": type(None),
    }
    assert {type(x) for x in g["module"].values()} == {Tensor}
    mg.assign_gradients(model, {name: x.numpy() for name, x in g["module"].items()})
    np.testing.assert_array_equal(model.weight.grad, [[1.0, 1.0]])


def test_other_results_are_arrays_where_no_tensor_was_passed() -> None:
    def f(x: Any, other: Any) -> Any:
        return np.sum(x * other), {"twice": 2 * x, "whole": np.argmax(x), "word": "a"}

    (value, aux), _ = mg.value_and_grad(f, has_aux=True)(X, X)
    assert (type(value), type(aux["twice"]), type(aux["whole"])) == (np.float64, np.ndarray, np.int64)
    (value, aux), g = mg.value_and_grad(f, has_aux=True)(X, mg.tensor(X))
    assert (type(value), type(aux["twice"]), type(g)) == (Tensor, Tensor, np.ndarray)
    assert type(mg.jvp(np.sin, [X], [mg.tensor(X)])[1]) is Tensor


def test_what_is_on_an_outer_tape_stays_a_tensor() -> None:
    w = mg.tensor(np.array(3.0), requires_grad=True)
    g = mg.grad(lambda x: cubes(x) * w)(X)
    assert g.requires_grad
    g.sum().backward()
    np.testing.assert_allclose(w.grad, (3 * X**2).sum())
    assert mg.grad(cubes, create_graph=True)(X).requires_grad
    with mg.no_grad():
        assert type(mg.grad(lambda x: cubes(x) * w)(X)) is np.ndarray
    np.testing.assert_allclose(mg.grad(lambda x: mg.grad(cubes)(x) * 2.0)(2.0), 24.0)


def test_results_share_no_memory_with_the_tape() -> None:
    y, pullback = mg.vjp(np.exp, X)
    y[:] = 0.0  # exp's rule needs the value
    np.testing.assert_allclose(pullback(np.ones(3))[0], np.exp(X))
    constant = mg.tensor(X)
    (_, aux), _ = mg.value_and_grad(lambda x: (cubes(x), (constant, x)), has_aux=True)(X)
    aux[0][:] = aux[1][:] = 7.0
    assert constant.tolist() == X.tolist() == [0.5, -1.0, 2.0]


def test_device_arrays_give_device_arrays(xp: Any) -> None:
    x = xp.array(np.array([1.0, 2.0], np.float32))
    value, g = mg.value_and_grad(lambda x: (x**3).sum())(x)
    assert type(g) is type(x)
    assert (type(value) is np.float32) == (xp.name == "numpy")
    assert mg.tensor(g).tolist() == [3.0, 12.0]


def test_descent_on_arrays_and_on_tensors() -> None:
    W = np.array([2.0, -3.0])
    for _ in range(50):
        W -= 0.1 * mg.grad(lambda W: np.sum((W - 1.0) ** 2))(W)
    np.testing.assert_allclose(W, 1.0, atol=1e-3)
    c = mg.tensor(np.array([2.0, -3.0]))
    c -= 0.5 * mg.grad(cubes)(c)
    assert c.tolist() == [2.0 - 6.0, -3.0 - 13.5]


# scipy.optimize


def rosenbrock(x: Any) -> Any:
    return np.sum(100.0 * (x[1:] - x[:-1] ** 2) ** 2 + (1.0 - x[:-1]) ** 2)


MINIMIZERS: dict[str, Callable[[], dict[str, Any]]] = {
    "L-BFGS-B, value and gradient at once": lambda: {"fun": mg.value_and_grad(rosenbrock), "jac": True},
    "L-BFGS-B, a tensor for a value": lambda: {"fun": lambda x: rosenbrock(mg.tensor(x)), "jac": mg.grad(rosenbrock)},
    "SLSQP": lambda: {
        "fun": rosenbrock,
        "jac": mg.grad(rosenbrock),
        "constraints": {"type": "eq", "fun": lambda x: np.sum(x) - 4.0, "jac": mg.grad(lambda x: np.sum(x) - 4.0)},
    },
    "Newton-CG": lambda: {"fun": rosenbrock, "jac": mg.grad(rosenbrock), "hess": mg.hessian(rosenbrock)},
    "Newton-CG, products": lambda: {
        "fun": rosenbrock,
        "jac": mg.grad(rosenbrock),
        "hessp": lambda x, v: mg.hvp(rosenbrock, x, v),
    },
    "trust-exact": lambda: {"fun": rosenbrock, "jac": mg.grad(rosenbrock), "hess": mg.hessian(rosenbrock)},
}


@pytest.mark.parametrize("name", MINIMIZERS)
def test_scipy_minimizes(name: str) -> None:
    optimize = pytest.importorskip("scipy.optimize")
    result = optimize.minimize(x0=np.zeros(4), method=name.split(",")[0], **MINIMIZERS[name]())
    np.testing.assert_allclose(result.x, 1.0, atol=1e-3)


def test_scipy_fits() -> None:
    optimize = pytest.importorskip("scipy.optimize")
    t = np.linspace(0.0, 1.0, 20)

    def residuals(p: Any) -> Any:
        return p[0] * np.exp(-p[1] * t) - 2.0 * np.exp(-3.0 * t)

    result = optimize.least_squares(residuals, np.array([1.0, 1.0]), jac=mg.jacobian(residuals))
    np.testing.assert_allclose(result.x, [2.0, 3.0], rtol=1e-6)
    root = optimize.root(lambda x: np.cos(x) - x, np.array([0.5]), jac=mg.jacobian(lambda x: np.cos(x) - x))
    np.testing.assert_allclose(root.x, 0.7390851332151607)  # the Dottie number
