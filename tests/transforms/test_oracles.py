"""Transformations beside JAX's and autograd's, in float64: the same functions, nested in the same ways."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

import minigrad as mg

SEED = np.random.default_rng(0)
W1, W2, X, Y = (0.7 * SEED.standard_normal(shape) for shape in ((3, 4), (4, 2), (5, 3), (5, 2)))


@pytest.fixture(scope="module")
def jax() -> Iterator[Any]:
    jax = pytest.importorskip("jax")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # JAX's own, on machines that it finds wanting
        with jax.enable_x64(True):
            yield jax


def network(np_: Any) -> Callable[..., Any]:
    def loss(params: Any, x: Any, scale: Any = 1.0) -> Any:
        (w1, b1), out = params["hidden"], params["out"]
        h = np_.tanh(np_.matmul(x, w1) + b1) * scale
        return ((np_.matmul(h, out) - Y) ** 2).mean() + np_.exp(h).sum() * 0.01

    return loss


PARAMS = {"hidden": [W1, np.array([0.1, -0.2, 0.3, 0.4])], "out": W2}
DIRECTION = {"hidden": [W1[::-1].copy(), np.arange(4.0)], "out": W2 * 2.0}


def close(mine: Any, want: Any) -> None:
    """Two trees agree in structure, shape, dtype and values."""
    leaves, structure = mg.tree_flatten(mine)
    others, other = mg.tree_flatten(want)
    assert structure == other
    for a, b in zip(leaves, others):
        assert (a.shape, a.dtype) == (b.shape, b.dtype)
        np.testing.assert_allclose(a, np.asarray(b), rtol=1e-9, atol=1e-11)


NESTED: dict[str, Callable[[Any, Any], Any]] = {
    "grad": lambda m, f: m.grad(f)(PARAMS, X),
    "several": lambda m, f: m.grad(f, argnums=(1, 0))(PARAMS, X),
    "value_and_grad": lambda m, f: m.value_and_grad(f)(PARAMS, X, scale=0.5),
    "aux": lambda m, f: m.grad(lambda p: (f(p, X), {"x": p["out"] * 2.0}), has_aux=True)(PARAMS),
    "jvp": lambda m, f: m.jvp(lambda p: f(p, X), (PARAMS,), (DIRECTION,)),
    "jvp of grad": lambda m, f: m.jvp(m.grad(lambda p: f(p, X)), (PARAMS,), (DIRECTION,)),
    "grad of jvp": lambda m, f: m.grad(lambda p: m.jvp(lambda q: f(q, X), (p,), (DIRECTION,))[1])(PARAMS),
    "grad of jvp along itself": lambda m, f: m.grad(lambda p: m.jvp(lambda q: f(q, X), (p,), (p,))[1])(PARAMS),
    "vjp": lambda m, f: m.vjp(lambda p, x: f(p, x), PARAMS, X)[1](m_scalar(m, 2.0)),
    "vjp in grad": lambda m, f: m.grad(
        lambda p: sum((g**2).sum() for g in leaves_of(m.vjp(lambda q: f(q, X), p)[1](f(p, X))[0]))
    )(PARAMS),
    "penalty": lambda m, f: m.grad(lambda p: (m.grad(f, argnums=1)(p, X) ** 2).sum())(PARAMS),
    "thrice": lambda m, f: m.grad(
        lambda s: m.grad(lambda p: (m.grad(f, argnums=1)(p, X, s) ** 2).sum())(PARAMS)["out"].sum()
    )(m_scalar(m, 1.5)),
    "hessian": lambda m, f: m.hessian(lambda b: f({**PARAMS, "hidden": [W1, b]}, X))(PARAMS["hidden"][1]),
    "hessian of a tree": lambda m, f: m.hessian(f)(PARAMS, X),
    "hessian of two": lambda m, f: m.hessian(lambda b, s: f({**PARAMS, "hidden": [W1, b]}, X, s), argnums=(0, 1))(
        PARAMS["hidden"][1], m_scalar(m, 1.5)
    ),
}


def m_scalar(m: Any, value: float) -> Any:
    return np.float64(value) if m is mg else m.numpy.asarray(value)


def leaves_of(tree: Any) -> list[Any]:
    return mg.tree_flatten(tree)[0]


@pytest.mark.parametrize("name", NESTED)
def test_beside_jax(jax: Any, name: str) -> None:
    mine = NESTED[name](mg, network(mg))
    want = NESTED[name](jax, network(jax.numpy))
    close(mine, want)


@pytest.mark.parametrize("inputs", [3, 6])
def test_jacobians_beside_jax(jax: Any, inputs: int) -> None:
    x = np.linspace(-1.0, 1.0, inputs)

    def function(xp: Any) -> Callable[..., Any]:
        return lambda t: {"a": xp.sin(t["x"][:4]) * t["s"], "b": [xp.exp(t["x"]).sum()]}

    tree = {"x": x, "s": np.array(2.0)}
    close(mg.jacobian(function(mg))(tree), jax.jacobian(function(jax.numpy))(tree))
    close(mg.jacobian(mg.jacobian(function(mg)))(tree), jax.jacobian(jax.jacobian(function(jax.numpy)))(tree))
    pulled = mg.jacobian(mg.grad(lambda t: function(mg)(t)["b"][0] * t["s"]))(tree)
    want = jax.jacobian(jax.grad(lambda t: function(jax.numpy)(t)["b"][0] * t["s"]))(tree)
    close(pulled, want)


def test_a_custom_rule_beside_jax(jax: Any) -> None:
    """A rule that is wrong on purpose, so that its own derivatives are seen to be taken."""

    def value(xp: Any) -> Callable[..., Any]:
        return lambda x, y: xp.sin(x) * y

    ours = mg.custom_rule(value(mg), lambda g, z, x, y: (g * mg.cos(x * y), g * z * x))
    theirs = jax.custom_vjp(value(jax.numpy))
    theirs.defvjp(
        lambda x, y: (theirs(x, y), (x, y)),
        lambda kept, g: (g * jax.numpy.cos(kept[0] * kept[1]), g * theirs(*kept) * kept[0]),
    )
    for m, f in ((mg, ours), (jax, theirs)):
        at = (np.array([0.3, -0.8]), np.array([1.2, 0.4]))
        first = m.grad(lambda x, y, f=f: f(x, y).sum(), argnums=(0, 1))(*at)

        def penalty(x: Any, y: Any, m: Any = m, f: Any = f) -> Any:
            return (m.grad(lambda x: (f(x, y) ** 2).sum())(x) ** 3).sum()

        second = m.grad(penalty, argnums=(0, 1))(*at)
        if m is mg:
            mine = first, second
    close(mine, (first, second))


def test_a_checkpoint_beside_jax(jax: Any) -> None:
    def f(xp: Any, keep: Any) -> Callable[..., Any]:
        @keep
        def block(x: Any, w: Any) -> Any:
            return xp.tanh(xp.matmul(x, w)) * xp.exp(x)

        return lambda w: (block(block(W1[:, :3], w), w) ** 2).sum()

    w = W1[:, 1:].copy()
    close(mg.hessian(f(mg, mg.checkpoint))(w), jax.hessian(f(jax.numpy, jax.checkpoint))(w))


chains = st.lists(st.sampled_from(["sin", "tanh", "exp", "square", "closed", "grad", "jvp", "vjp"]), max_size=6)


@settings(max_examples=12)  # JAX compiles every one of them
@given(chains, st.floats(-1, 1))
def test_any_nest_of_transformations(names: list[str], at: float) -> None:
    """Of a number: derivatives of derivatives of ... beside JAX, which keeps its levels apart by other means."""
    jax = pytest.importorskip("jax")

    def nest(m: Any, xp: Any, one: Any) -> Callable[[Any], Any]:
        def wrap(f: Callable[[Any], Any], name: str) -> Callable[[Any], Any]:
            return {
                "sin": lambda x: xp.sin(f(x)),
                "tanh": lambda x: xp.tanh(f(x) * 0.5),
                "exp": lambda x: xp.exp(f(x) * 0.3),
                "square": lambda x: f(x) ** 2 * 0.5,
                "closed": lambda x: x * m.grad(lambda y: f(x * y))(one),
                "grad": lambda x: m.grad(f)(x),
                "jvp": lambda x: m.jvp(f, (x * 0.5,), (x,))[1],
                "vjp": lambda x: m.vjp(f, x)[1](x)[0],
            }[name]

        f: Callable[[Any], Any] = lambda x: x * x * x + x  # noqa: E731
        for name in names:
            f = wrap(f, name)
        return f

    with warnings.catch_warnings(), jax.enable_x64(True):
        warnings.simplefilter("ignore")
        theirs = jax.jit(nest(jax, jax.numpy, jax.numpy.float64(1.0)))(jax.numpy.float64(at))
    mine = nest(mg, mg, np.float64(1.0))(mg.tensor(np.float64(at)))
    np.testing.assert_allclose(mine.numpy(), np.asarray(theirs), rtol=1e-8, atol=1e-10)


def test_beside_autograd() -> None:
    autograd = pytest.importorskip("autograd")
    anp = pytest.importorskip("autograd.numpy")
    x, v = np.random.default_rng(0).standard_normal((2, 4))

    def f(xp: Any) -> Callable[..., Any]:
        return lambda x: xp.sum(xp.tanh(x) * xp.exp(x[::-1])) + xp.sum(x**3)

    def g(xp: Any) -> Callable[..., Any]:
        return lambda x: xp.sin(x[:2]) * xp.cos(x[2:])

    mine, theirs = f(mg), f(anp)
    close(mg.grad(mine)(x), autograd.grad(theirs)(x))
    close(mg.hessian(mine)(x), autograd.hessian(theirs)(x))
    close(mg.jacobian(g(mg))(x), autograd.jacobian(g(anp))(x))
    close(mg.hvp(mine, x, v), autograd.hessian_vector_product(theirs)(x, v))
    close(list(mg.jvp(g(mg), [x], [v])), list(autograd.make_jvp(g(anp))(x)(v)))
    close(mg.vjp(g(mg), x)[1](v[:2])[0], autograd.make_vjp(g(anp))(x)[0](v[:2]))
