"""What the catalogue does not reach: any shapes, kinks, whole ranges, derivatives where a formula has a hole."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st
from hypothesis.extra.numpy import array_shapes, mutually_broadcastable_shapes

import minigrad as mg
from minigrad.engine.tensor import Tensor

TWO = {
    "float_power": np.float_power,
    "remainder": np.remainder,
    "fmod": np.fmod,
    "logaddexp": np.logaddexp,
    "logaddexp2": np.logaddexp2,
    "hypot": np.hypot,
    "arctan2": np.arctan2,
    "fmax": np.fmax,
    "fmin": np.fmin,
    "copysign": np.copysign,
    "xlogy": lambda a, b: a * np.log(b),
    "lerp": lambda a, b, w: a + w * (b - a),
}
"""Operations that broadcast, and what they are."""


def derivative(function: Callable[[Any], Any], x: float, order: int) -> float:
    """The derivative of some order at a point, by walking that often."""
    at = mg.tensor(np.array(x), requires_grad=True)
    y = function(at)
    for k in range(order):
        (y,) = mg.gradients(y, [at], create_graph=k + 1 < order)
    return float(y.numpy())


@pytest.mark.parametrize("name", TWO)
@settings(max_examples=25)
@given(shapes=mutually_broadcastable_shapes(num_shapes=3, max_dims=3, min_side=0, max_side=3))
def test_broadcasting(xp: Any, name: str, shapes: Any) -> None:
    """NumPy's value, and the gradient that a small step in a random direction asks for, in each input's shape."""
    rng = np.random.default_rng(3)
    count = 3 if name == "lerp" else 2
    arrays = [rng.uniform(0.5, 1.5, shape) for shape in shapes.input_shapes[:count]]
    steps = [rng.uniform(-1e-6, 1e-6, a.shape) for a in arrays]
    expected = TWO[name](*arrays)
    seed = rng.standard_normal(expected.shape)
    xs = [mg.tensor(a, requires_grad=True) for a in arrays]
    y = getattr(mg, name)(*xs)
    np.testing.assert_allclose(y.numpy(), expected, rtol=1e-12, atol=1e-14)
    found = mg.gradients(y, xs, mg.tensor(seed))
    assert [g.shape for g in found] == [a.shape for a in arrays]
    ends = [TWO[name](*(a + s * d for a, d in zip(arrays, steps))) for s in (0.5, -0.5)]
    moved = sum(float(np.sum(g.numpy() * d)) for g, d in zip(found, steps))
    np.testing.assert_allclose(moved, np.sum(seed * (ends[0] - ends[1])), rtol=1e-6, atol=1e-13)


ONE = [
    "tan",
    "arcsinh",
    "arctan",
    "sinc",
    "i0",
    "i1",
    "erf",
    "erfc",
    "erfcx",
    "ndtr",
    "log_ndtr",
    "lgamma",
    "digamma",
    "gelu",
    "mish",
    "celu",
    "softsign",
    "cbrt",
]


@pytest.mark.parametrize("name", ONE)
@settings(max_examples=20)
@given(shape=array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=3), dtype=st.sampled_from(["f4", "f8"]))
def test_any_shape(xp: Any, name: str, shape: Any, dtype: str) -> None:
    """Each element has its own value and derivative, whatever stands around it."""
    host = np.random.default_rng(2).uniform(0.2, 1.4, shape).astype(dtype)
    x = mg.tensor(host, requires_grad=True)
    y = getattr(mg, name)(x)
    y.sum().backward()
    assert (y.shape, y.dtype, x.grad.shape, x.grad.dtype) == (shape, host.dtype, shape, host.dtype)
    flat = mg.tensor(host.reshape(-1), requires_grad=True)
    alone = getattr(mg, name)(flat)
    alone.sum().backward()
    np.testing.assert_allclose(y.numpy().reshape(-1), alone.numpy(), rtol=1e-6)
    np.testing.assert_allclose(x.grad.numpy().reshape(-1), flat.grad.numpy(), rtol=1e-5)


KINKS = np.array([-6.0, -3.0, -1.0, -0.5, -0.0, 0.0, 0.5, 1.0, 3.0, 6.0])
FUNCTIONAL: dict[str, tuple[str, tuple[float, ...]]] = {
    "relu": ("relu", ()),
    "relu6": ("relu6", ()),
    "leaky_relu": ("leaky_relu", (0.3,)),
    "elu": ("elu", (0.7,)),
    "selu": ("selu", ()),
    "celu": ("celu", (0.7,)),
    "hardtanh": ("hardtanh", (-0.5, 3.0)),
    "hard_sigmoid": ("hardsigmoid", ()),
    "hard_swish": ("hardswish", ()),
    "softshrink": ("softshrink", (1.0,)),
    "hardshrink": ("hardshrink", (1.0,)),
    "threshold": ("threshold", (0.5, 2.0)),
    "softsign": ("softsign", ()),
}


@pytest.mark.parametrize("name", FUNCTIONAL)
def test_activations_at_kinks_are_torchs(xp: Any, name: str) -> None:
    torch = pytest.importorskip("torch")
    theirs, args = FUNCTIONAL[name]
    x, tx = mg.tensor(KINKS, requires_grad=True), torch.tensor(KINKS, requires_grad=True)
    y, ty = getattr(mg, name)(x, *args), getattr(torch.nn.functional, theirs)(tx, *args)
    # torch keeps some of these functions' numbers as float32
    np.testing.assert_allclose(y.numpy(), ty.detach().numpy(), rtol=1e-6)
    y.sum().backward()
    ty.sum().backward()
    np.testing.assert_allclose(x.grad.numpy(), tx.grad.numpy(), rtol=1e-6)


@pytest.mark.parametrize("name", ["hard_swish", "softplus", "mish", "gelu", "silu"])
def test_second_derivatives_at_zero_are_torchs(xp: Any, name: str) -> None:
    torch = pytest.importorskip("torch")
    tx = torch.tensor(0.0, dtype=torch.float64, requires_grad=True)
    theirs = {"hard_swish": "hardswish"}.get(name, name)
    (first,) = torch.autograd.grad(getattr(torch.nn.functional, theirs)(tx), tx, create_graph=True)
    (second,) = torch.autograd.grad(first, tx)
    function = lambda x: getattr(mg, name)(x)  # noqa: E731
    np.testing.assert_allclose(derivative(function, 0.0, 1), first.detach().item(), rtol=1e-6)
    np.testing.assert_allclose(derivative(function, 0.0, 2), second.item(), rtol=1e-6)


@pytest.mark.parametrize(
    ("name", "expected"), [("elu", 1.0), ("celu", 1.0), ("selu", 1.0507009873554805 * 1.6732632423543772)]
)
def test_second_derivatives_of_exponential_units_at_zero_are_those_from_below(
    xp: Any, name: str, expected: float
) -> None:
    """As the first are; torch takes the first from below, the second from above."""
    np.testing.assert_allclose(derivative(lambda x: getattr(mg, name)(x), 0.0, 2), expected)


RANGES: dict[str, tuple[float, float]] = {
    "erf": (-6, 6),
    "erfc": (-6, 26),
    "erfcx": (-5, 100),
    "erfinv": (-0.999, 0.999),
    "erfcinv": (0.001, 1.999),
    "ndtri": (0.001, 0.999),
    "log_ndtr": (-40, 5),
    "lgamma": (0.001, 200),
    "digamma": (0.001, 200),
    "i0": (-40, 80),
    "i1": (-40, 80),
}


@pytest.mark.parametrize("name", RANGES)
@pytest.mark.parametrize(("dtype", "rtol"), [("f8", 2e-14), ("f4", 3e-6)])
def test_approximations_hold_over_their_range(xp: Any, name: str, dtype: str, rtol: float) -> None:
    """Near a zero of the function relative errors are those of scipy, hence the absolute part."""
    special = pytest.importorskip("scipy.special")
    x = np.linspace(*RANGES[name], 1500).astype(dtype)
    expected = getattr(special, {"lgamma": "gammaln"}.get(name, name))(x.astype("f8"))
    found = getattr(mg, name)(mg.tensor(x)).numpy()
    np.testing.assert_allclose(found, expected, rtol=rtol, atol=rtol / 10)


@pytest.mark.parametrize("name", ["lgamma", "digamma"])
def test_the_gamma_function_below_zero(xp: Any, name: str) -> None:
    special = pytest.importorskip("scipy.special")
    x = -np.linspace(0.01, 30, 777)
    expected = getattr(special, {"lgamma": "gammaln"}.get(name, name))(x)
    np.testing.assert_allclose(getattr(mg, name)(mg.tensor(x)).numpy(), expected, rtol=1e-11, atol=1e-12)


def test_the_gamma_function_near_its_logarithms_zeros(xp: Any) -> None:
    """Where ln Γ vanishes no digits do: it is −γ (x − 1) near 1, and (1 − γ)(x − 2) near 2."""
    step = 2.0**-40
    x = np.array([1 - step, 1 + step, 2 - step, 2 + step])
    slope = np.array([-np.euler_gamma, -np.euler_gamma, 1 - np.euler_gamma, 1 - np.euler_gamma])
    expected = slope * (x - np.round(x))
    np.testing.assert_allclose(mg.lgamma(mg.tensor(x)).numpy(), expected, rtol=1e-11)


@pytest.mark.parametrize("order", range(7))
def test_derivatives_of_sinc_at_zero(xp: Any, order: int) -> None:
    """The power series of sin(πx) / πx: 0 for odd orders, else ±πⁿ / (n + 1)."""
    expected = 0.0 if order % 2 else (-1) ** (order // 2) * math.pi**order / (order + 1)
    np.testing.assert_allclose(derivative(mg.sinc, 0.0, order), expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("order", range(7))
def test_derivatives_of_bessel_functions_at_zero(xp: Any, order: int) -> None:
    """Of I₀: (n choose n/2) / 2ⁿ for even n."""
    expected = 0.0 if order % 2 else math.comb(order, order // 2) / 2**order
    np.testing.assert_allclose(derivative(mg.i0, 0.0, order), expected, rtol=1e-12, atol=1e-14)
    if order:
        np.testing.assert_allclose(derivative(mg.i1, 0.0, order - 1), expected, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("x", [0.3, 2.5, 9.0, 14.0, -1.3])
@pytest.mark.parametrize("order", [1, 2, 3, 4])
def test_derivatives_of_lgamma_are_scipys(xp: Any, x: float, order: int) -> None:
    special = pytest.importorskip("scipy.special")
    if x < 0 and order > 1:
        step = 1e-5
        ends = [derivative(mg.lgamma, x + s, order - 1) for s in (step, -step)]
        np.testing.assert_allclose(derivative(mg.lgamma, x, order), (ends[0] - ends[1]) / (2 * step), rtol=1e-6)
    else:
        expected = special.digamma(x) if order == 1 else special.polygamma(order - 1, x)
        np.testing.assert_allclose(derivative(mg.lgamma, x, order), expected, rtol=1e-12)


FAR = [-1e30, -800.0, -30.0, -1e-30, 0.0, 1e-30, 30.0, 800.0, 1e30]
STEADY = [
    "arctan",
    "arcsinh",
    "tanh",
    "sigmoid",
    "log_sigmoid",
    "softplus",
    "relu6",
    "elu",
    "selu",
    "celu",
    "gelu",
    "silu",
    "mish",
    "softsign",
    "hardtanh",
    "hard_sigmoid",
    "hard_swish",
    "softshrink",
    "hardshrink",
    "tanhshrink",
    "erf",
    "erfc",
    "ndtr",
    "sinc",
    "degrees",
    "radians",
]


@pytest.mark.parametrize("name", STEADY)
@pytest.mark.parametrize("dtype", ["f4", "f8"])
def test_far_away_and_near_zero_nothing_overflows(xp: Any, name: str, dtype: str) -> None:
    """Finite values and derivatives, first and second, without a warning (which is an error in this suite)."""
    x = mg.tensor(np.array(FAR, dtype), requires_grad=True)
    y = getattr(mg, name)(x)
    (g,) = mg.gradients(y.sum(), [x], create_graph=True)
    assert np.isfinite(y.numpy()).all()
    assert np.isfinite(g.numpy()).all()
    if g.requires_grad and name != "mish":
        (second,) = mg.gradients(g.sum(), [x], allow_unused=True)
        assert second is None or np.isfinite(second.numpy()).all()


@pytest.mark.parametrize(
    ("call", "shape"),
    [
        (lambda m, x: m.trunc(x), (3, 4)),
        (lambda m, x: m.ceil(x), (3, 4)),
        (lambda m, x: m.rint(x), (3, 4)),
        (lambda m, x: (m.trunc if m is np else m.fix)(x), (3, 4)),  # NumPy 2.5 would rather not be asked for fix
        (lambda m, x: m.round(x, 1), (3, 4)),
        (lambda m, x: m.around(x, decimals=1), (3, 4)),
        (lambda m, x: m.floor_divide(x, 0.3), (3, 4)),
        (lambda m, x: m.floor_divide(2.0, x), (3, 4)),
        (lambda m, x: m.divmod(x, 0.3)[0], (3, 4)),
        (lambda m, x: m.modf(x)[1], (3, 4)),
        (lambda m, x: m.frexp(x)[1], (3, 4)),
        (lambda m, x: m.heaviside(x, 0.5), (3, 4)),
        (lambda m, x: m.signbit(x), (3, 4)),
        (lambda m, x: m.isinf(x), (3, 4)),
        (lambda m, x: m.isneginf(x), (3, 4)),
        (lambda m, x: m.isposinf(x), (3, 4)),
        (lambda m, x: m.isreal(x), (3, 4)),
        (lambda m, x: m.iscomplex(x), (3, 4)),
        (lambda m, x: m.isclose(x, 0.0, atol=0.5), (3, 4)),
        (lambda m, x: m.logical_xor(x > 0, x < 1), (3, 4)),
        (lambda m, x: m.bitwise_and(x > 0, x < 1), (3, 4)),
        (lambda m, x: m.bitwise_or(x > 0, x > 1), (3, 4)),
        (lambda m, x: m.bitwise_xor(x > 0, x < 1), (3, 4)),
        (lambda m, x: m.invert(x > 0), (3, 4)),
        (lambda m, x: m.left_shift((x > 0).astype(int), 2), (3, 4)),
        (lambda m, x: m.right_shift((x > 0).astype(int), 1), (3, 4)),
        (lambda m, x: m.bitwise_count((x > 0).astype(int)), (3, 4)),
        (lambda m, x: m.gcd((x > 0).astype(int), 2), (3, 4)),
        (lambda m, x: m.lcm((x > 0).astype(int), 2), (3, 4)),
    ],
)
def test_constants_are_off_the_tape(xp: Any, call: Any, shape: Any) -> None:
    host = np.random.default_rng(0).standard_normal(shape)
    with xp.no_sync():
        found = call(mg, mg.tensor(host, requires_grad=True))
    expected = np.asarray(call(np, host))
    np.testing.assert_array_equal(found.numpy(), expected)
    assert found.dtype == expected.dtype
    assert found.backend == xp.name
    assert not found.requires_grad


ALIASES = {
    "divide": ["true_divide"],
    "power": ["pow"],
    "abs": ["absolute"],
    "remainder": ["mod"],
    "conj": ["conjugate"],
    "arcsin": ["asin"],
    "arccos": ["acos"],
    "arctan": ["atan"],
    "arctan2": ["atan2"],
    "arcsinh": ["asinh"],
    "arccosh": ["acosh"],
    "arctanh": ["atanh"],
    "invert": ["bitwise_not", "bitwise_invert"],
    "left_shift": ["bitwise_left_shift"],
    "right_shift": ["bitwise_right_shift"],
    "degrees": ["rad2deg"],
    "radians": ["deg2rad"],
    "sigmoid": ["expit"],
    "log_sigmoid": ["logsigmoid"],
    "silu": ["swish"],
    "hard_sigmoid": ["hardsigmoid"],
    "hard_swish": ["hardswish"],
    "lgamma": ["gammaln"],
}


@pytest.mark.parametrize("name", ALIASES)
def test_other_names_are_the_same_object(name: str) -> None:
    assert all(getattr(mg, other) is getattr(mg, name) for other in ALIASES[name])


def test_every_ufunc_of_numpy_is_there() -> None:
    """But those of integers' or strings' own, which have no use on a tape."""
    left_out = {"matvec", "vecmat", "vecdot", "spacing", "nextafter", "isnat"}
    names = {name for name in dir(np) if isinstance(getattr(np, name), np.ufunc)}
    assert {name for name in names - left_out if not hasattr(mg, name)} == set()


def test_integers_are_constants(xp: Any) -> None:
    whole = mg.tensor(np.array([1, 2, 3]))
    for name in ("exp2", "log2", "tan", "arctan", "erf", "lgamma", "sinc", "cbrt", "fabs", "degrees"):
        y = getattr(mg, name)(whole)
        assert (y.dtype, y.requires_grad) == (np.float64, False), name
    assert mg.remainder(whole, 2).dtype == np.int64
    assert mg.float_power(whole, -1).tolist() == [1, 1 / 2, 1 / 3]


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda x: mg.select([], []), "select: got 0 conditions"),
        (lambda x: mg.select([x > 0], [x, x]), "select: got 1 conditions for 2 choices"),
        (lambda x: mg.piecewise(x, [x > 0], [1.0, 2.0, 3.0]), "piecewise: got 3 functions for 1 conditions"),
        (lambda x: mg.glu(x), "glu: x: got shape"),
        (lambda x: mg.gelu(x, approximate="sigmoid"), "gelu: .*'sigmoid', want 'none' or 'tanh'"),
        (lambda x: mg.polygamma(-1, x), "polygamma: .*got -1, want 0 or more"),
        (lambda x: mg.hypot(x, np.ones(4)), r"hypot: got \(\(2, 3\) float64"),
    ],
)
def test_errors_name_the_operation_and_what_it_wants(call: Any, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        call(mg.tensor(np.ones((2, 3)), requires_grad=True))


def test_saved_numbers_are_not_taken_for_constants_in_a_recorded_walk(xp: Any) -> None:
    """gelu keeps Φ(x) for its rule, which no second derivative may take for a constant."""
    x = 0.7
    density = math.exp(-x * x / 2) / math.sqrt(2 * math.pi)
    np.testing.assert_allclose(derivative(mg.gelu, x, 2), density * (2 - x * x), rtol=1e-12)
    np.testing.assert_allclose(derivative(mg.gelu, x, 3), density * (x**3 - 4 * x), rtol=1e-12)


def test_piecewise_calls_functions_on_what_they_are_for(xp: Any) -> None:
    x = mg.tensor(np.array([-1.0, 4.0, 9.0]), requires_grad=True)
    y = mg.piecewise(x, [x > 0], [mg.sqrt, 0.0])
    assert isinstance(y, Tensor)
    y.sum().backward()
    assert y.tolist() == [0, 2, 3]
    np.testing.assert_allclose(x.grad.numpy(), [0, 1 / 4, 1 / 6])


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_the_tail_of_the_logistic_function_keeps_its_digits(xp: Any, dtype: Any) -> None:
    """σ(x) = exp(x) as x → −∞; and nothing overflows on the other side."""
    far = np.array([-80.0, -40.0, -20.0], dtype)
    x = mg.tensor(far, requires_grad=True)
    y = mg.sigmoid(x)
    np.testing.assert_allclose(y.numpy(), np.exp(far) / (1 + np.exp(far)), rtol=4 * np.finfo(dtype).eps)
    (g,) = mg.gradients(y.sum(), [x])
    np.testing.assert_allclose(g.numpy(), np.exp(far), rtol=1e-5)
    np.testing.assert_allclose(mg.silu(x).numpy(), far * np.exp(far), rtol=1e-5)
    extremes = mg.sigmoid(mg.tensor(np.array([-1e30, 1e30], dtype)))
    assert extremes.numpy()[0] < np.finfo(dtype).tiny * 100
    assert extremes.numpy()[1] == 1


@pytest.mark.parametrize("name", ["erf", "erfc", "ndtr", "gammaln", "digamma"])
def test_large_arrays_are_what_their_parts_are(xp: Any, name: str) -> None:
    """A host computes them a block at a time."""
    host = np.random.default_rng(0).uniform(0.1, 5.0, (3, 30001))
    function = getattr(mg, name)
    whole = function(mg.tensor(host)).numpy()
    assert whole.shape == host.shape
    for part in (slice(0, 5), slice(2765, 2770), slice(29996, None)):
        alone = function(mg.tensor(host[:, part].copy())).numpy()
        np.testing.assert_allclose(whole[:, part], alone, rtol=1e-14, atol=1e-15)


@pytest.mark.parametrize(("name", "first"), [("maximum", 0.0), ("fmax", 0.0), ("minimum", 1.0), ("fmin", 1.0)])
def test_equal_values_share_the_gradient_evenly(xp: Any, name: str, first: float) -> None:
    a, b = mg.tensor([1.0, -0.0, 2.0], requires_grad=True), mg.tensor([1.0, 0.0, 3.0], requires_grad=True)
    by_a, by_b = mg.gradients(getattr(mg, name)(a, b).sum(), [a, b])
    assert by_a.tolist() == [0.5, 0.5, first]
    assert by_b.tolist() == [0.5, 0.5, 1.0 - first]


def test_where_there_is_no_slope_the_gradient_is_zero(xp: Any) -> None:
    x = mg.tensor([1.0, 2.0], requires_grad=True)
    for y in (mg.power(0.0, x), mg.power(0, x), mg.power(mg.zeros(2), x), mg.power(x, 0), mg.angle(-x)):
        assert mg.gradients(y.sum(), [x])[0].tolist() == [0.0, 0.0]


def test_astype_takes_plain_arrays(xp: Any) -> None:
    whole = mg.astype(xp.array(np.array([1.5, -2.5])), np.int64)
    assert (whole.tolist(), whole.dtype) == ([1, -2], np.int64)


def test_logit_keeps_its_digits_around_one_half(xp: Any) -> None:
    """logit(1/2 + d) = 4 d + 16 d³/3 + …; by the logarithm of the quotient digits would be lost."""
    d = np.array([2.0**-30, -(2.0**-20), 2.0**-40])
    np.testing.assert_allclose(mg.logit(mg.tensor(0.5 + d)).numpy(), 4 * d + 16 / 3 * d**3, rtol=1e-15)


def test_logit_passes_a_gradient_on_up_to_the_bounds(xp: Any) -> None:
    x = mg.tensor(np.array([0.25, 0.75, 0.2, 0.8]), requires_grad=True)
    (g,) = mg.gradients(mg.logit(x, 0.25).sum(), [x])
    np.testing.assert_allclose(g.numpy(), [16 / 3, 16 / 3, 0, 0])


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_erfcx_falls_as_the_reciprocal_to_the_end(xp: Any, dtype: Any) -> None:
    x = np.array([1e10, 1e29, 3e30, 1e37, np.finfo(dtype).max ** 0.97, np.inf], dtype)
    found = mg.erfcx(mg.tensor(x)).numpy()
    np.testing.assert_allclose(found, dtype(1 / np.sqrt(np.pi)) / x, rtol=8 * np.finfo(dtype).eps)
