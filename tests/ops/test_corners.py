"""Integers, infinities, 0-d and empty arrays: value, dtype and shape are NumPy's."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest
from hypothesis import given, strategies as st

import minigrad as mg
from tests.support.numpy_version import beside_numpy_2_4

WHOLE = np.array([[1, -2, 3], [4, 0, 1]])
NUMBER, NOTHING = np.array(2.0, np.float32), np.zeros((3, 0))


@beside_numpy_2_4
@pytest.mark.parametrize(
    ("call", "host"),
    [
        *((lambda m, x, ord=ord: m.linalg.norm(x, ord), WHOLE) for ord in (None, 1, -np.inf, 2)),
        *((lambda m, x, ord=ord: m.linalg.norm(x, ord, axis=0), WHOLE) for ord in (0, 1, np.inf)),
        (lambda m, x: m.linalg.vector_norm(x, ord=1), WHOLE),
        (lambda m, x: m.linalg.matrix_norm(x, ord=1), WHOLE > 0),
        (lambda m, x: m.modf(x)[0], WHOLE),
        (lambda m, x: m.modf(x)[1], WHOLE),
        (lambda m, x: m.modf(x)[1], WHOLE > 0),
        (lambda m, x: m.linspace(x, 7, 4), WHOLE),
        (lambda m, x: m.cross(x, x[::-1]), WHOLE),
        (lambda m, x: m.repeat(x, 2, axis=0), NUMBER),
        (lambda m, x: m.repeat(x, [2], axis=-1), NUMBER),
        (lambda m, x: m.take(x, [0, 0], axis=0), NUMBER),
        (lambda m, x: m.take(x, 0, axis=-1), NUMBER),
        (lambda m, x: m.apply_along_axis(lambda v: v.sum(), -1, x), NOTHING),
        (lambda m, x: m.linalg.matrix_rank(x), NOTHING),
        (lambda m, x: m.linalg.matrix_rank(x), np.zeros((2, 3, 0), np.float32)),
    ],
)
def test_corners_are_numpys(xp: Any, call: Any, host: np.ndarray) -> None:
    x = mg.tensor(host, requires_grad=host.dtype.kind == "f")
    y, expected = call(mg, x), np.asarray(call(np, host))
    assert (y.dtype, y.shape, y.backend) == (expected.dtype, expected.shape, xp.name)
    np.testing.assert_allclose(y.numpy(), expected, rtol=1e-13)
    if y.requires_grad:
        (g,) = mg.gradients(y, [x], mg.ones_like(y))
        assert (g.dtype, g.shape) == (x.dtype, x.shape)
        np.testing.assert_array_equal(g.numpy(), y.size)


def test_a_cross_product_of_whole_numbers_is_whole(xp: Any) -> None:
    flat = mg.tensor(WHOLE[:, :2])
    y = mg.cross(flat, mg.tensor(WHOLE))
    with_third = np.concatenate([WHOLE[:, :2], np.zeros((2, 1), int)], axis=1)
    assert y.dtype == WHOLE.dtype
    np.testing.assert_array_equal(y.numpy(), np.cross(with_third, WHOLE))


@pytest.mark.parametrize("name", ["nanquantile", "nanpercentile"])
@pytest.mark.parametrize(
    ("q", "axis", "keepdims", "shape"),
    [
        (0.3, None, False, ()),
        (0.3, -1, False, (3,)),
        (0.3, -1, True, (3, 1)),
        ((0.1, 0.9), (0, 1), True, (2, 1, 1)),
        ((0.1, 0.9), 1, False, (2, 3)),
        ((0.1, 0.9), 0, False, (2, 0)),
    ],
)
def test_quantiles_of_nothing_have_their_shape(
    xp: Any, name: str, q: Any, axis: Any, keepdims: bool, shape: Any
) -> None:
    """NumPy forgets the axes of `q` there."""
    x = mg.tensor(NOTHING.astype(np.float32), requires_grad=True)
    y = getattr(mg, name)(x, q, axis=axis, keepdims=keepdims)
    assert (y.dtype, y.shape) == (np.float32, shape)
    assert np.isnan(y.numpy()).all()
    assert mg.gradients(y, [x], mg.ones_like(y))[0].shape == x.shape


@pytest.mark.parametrize(("axis", "keepdims"), [(None, False), (None, True), (-1, False), ((0, 1), False), (1, True)])
def test_medians_of_nothing_have_their_shape(xp: Any, axis: Any, keepdims: bool) -> None:
    with pytest.warns(RuntimeWarning):
        expected = np.median(NOTHING, axis=axis, keepdims=keepdims)
    y = mg.nanmedian(mg.tensor(NOTHING), axis=axis, keepdims=keepdims)
    assert y.shape == np.shape(expected)
    assert np.isnan(y.numpy()).all()


PADDING: dict[str, dict[str, Any]] = {
    "constant": {"constant_values": 2.7},
    "edge": {},
    "linear_ramp": {"end_values": ((3.6, 7), (1, -2))},
    "maximum": {"stat_length": 2},
    "mean": {"stat_length": 2},
    "median": {"stat_length": 2},
    "minimum": {"stat_length": 2},
    "reflect": {"reflect_type": "odd"},
    "symmetric": {"reflect_type": "odd"},
    "wrap": {},
}


@pytest.mark.parametrize("mode", PADDING)
@pytest.mark.parametrize("dtype", [np.int64, np.int8, np.uint8, bool])
def test_whole_numbers_stay_whole_around_an_array(xp: Any, mode: str, dtype: Any) -> None:
    host = np.array([[1, 4, 7, 90], [5, 3, 0, 2]]).astype(dtype)
    for options in ({}, PADDING[mode]):
        for width in (1, ((2, 7), (3, 0))):
            y = mg.pad(mg.tensor(host), width, mode, **options)
            expected = np.pad(host, width, mode, **options)
            assert y.dtype == dtype
            np.testing.assert_array_equal(y.numpy(), expected)


@pytest.mark.parametrize("mode", PADDING)
def test_a_mode_of_padding_refuses_the_options_of_others(mode: str) -> None:
    for options in PADDING.values():
        if options and options.keys() != PADDING[mode].keys():
            for m in (np, mg):
                with pytest.raises(ValueError, match=next(iter(options))):
                    m.pad(np.ones(3), 1, mode, **options)


NUMBERS = [
    np.array([[1, 2, 4], [3, 3, 1]]),
    np.array([True, False, True]),
    np.array([1.0, np.nan, 3.0]),
    np.array([[np.nan, 1.0, 2.0], [3.0, np.nan, np.nan]]),
    np.array([2, 2]),
    np.array([1 + 1j, 2, 3j]),
    np.array(3),
    np.array(3.0),
    np.zeros((2, 0)),
    np.zeros((0, 2), int),
]


@pytest.mark.parametrize("options", [{}, {"ddof": 2}, {"ddof": 3}, {"ddof": 4}, {"axis": -1, "ddof": 2}], ids=str)
@pytest.mark.parametrize("name", ["nanvar", "nanstd", "nanmean", "cov", "corrcoef"])
def test_statistics_of_too_few_are_numpys(name: str, options: dict[str, Any]) -> None:
    """NaN or infinity as there, and those of the NaN-functions without its warnings."""
    known = {"nanmean": {"axis"}, "cov": {"ddof"}, "corrcoef": set()}.get(name, {"axis", "ddof"})
    options = {key: value for key, value in options.items() if key in known}
    for host in NUMBERS:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                expected = np.asarray(getattr(np, name)(host, **options))
            except np.exceptions.AxisError:
                with pytest.raises(np.exceptions.AxisError):
                    getattr(mg, name)(mg.tensor(host), **options)
                continue
            if not name.startswith("nan"):
                result = getattr(mg, name)(mg.tensor(host), **options)
        if name.startswith("nan"):
            result = getattr(mg, name)(mg.tensor(host), **options)
        assert (result.dtype, result.shape) == (expected.dtype, expected.shape)
        np.testing.assert_allclose(result.numpy(), expected, rtol=1e-13)


@pytest.mark.parametrize(
    ("options", "kind", "words"),
    [
        ({"fweights": [1, 0.5, 1]}, TypeError, "fweights: got fractions"),
        ({"fweights": [1, 1]}, RuntimeError, "fweights: got shape"),
        ({"fweights": [1, -1, 1]}, ValueError, "fweights: got a negative"),
        ({"aweights": [[1.0, 2.0, 1.0]]}, RuntimeError, "aweights: got shape"),
        ({"aweights": [1.0, -2.0, 1.0]}, ValueError, "aweights: got a negative"),
        ({"ddof": 1.5}, ValueError, "ddof: got 1.5"),
    ],
)
def test_what_covariances_refuse(options: dict[str, Any], kind: Any, words: str) -> None:
    with pytest.raises(kind):
        np.cov(np.eye(3), **options)
    with pytest.raises(kind, match=words):
        mg.cov(mg.tensor(np.eye(3)), **options)


def test_lists_of_weights_are_as_exact_as_what_they_weigh(xp: Any) -> None:
    host, options = (
        np.random.default_rng(0).standard_normal((2, 3)),
        {"fweights": [1, 2, 1], "aweights": [0.1, 0.2, 0.7]},
    )
    np.testing.assert_allclose(mg.cov(mg.tensor(host), **options).numpy(), np.cov(host, **options), rtol=1e-13)
    assert mg.cov(mg.tensor(host.astype(np.float32)), **options).dtype == np.float32


@pytest.mark.parametrize("axis", [np.int64(1), (np.int64(0), 1)])
def test_axes_may_be_numpy_integers(xp: Any, axis: Any) -> None:
    for function in (mg.sum, mg.mean, mg.max, mg.logsumexp):
        x = mg.tensor(np.ones((2, 3)), requires_grad=True)
        function(x, axis=axis).sum().backward()
        assert x.grad.shape == (2, 3)


@given(ids=st.lists(st.integers(-4, 3), max_size=12))
def test_rows_are_summed_for_any_ids(xp: Any, ids: list[int]) -> None:
    W = mg.tensor(np.ones((4, 2)), requires_grad=True)
    seed = np.random.default_rng(1).standard_normal((len(ids), 2))
    y = mg.take(W, xp.array(np.array(ids, int)), axis=0)
    (g,) = mg.gradients(y, [W], mg.tensor(seed))
    expected = np.zeros((4, 2))
    np.add.at(expected, np.array(ids, int), seed)
    np.testing.assert_allclose(g.numpy(), expected, atol=1e-14)


def test_logsumexp_of_infinities(xp: Any) -> None:
    """Masking in the log domain feeds −inf: no NaN, no warning, and no gradient where there is nothing but mask."""
    x = mg.tensor(xp.array([[-np.inf, -np.inf], [-np.inf, 2.0], [1.0, np.inf]]), requires_grad=True)
    y = mg.logsumexp(x, axis=1)
    np.testing.assert_array_equal(y.numpy(), [-np.inf, 2.0, np.inf])
    mg.logsumexp(x[:2], axis=1).backward(xp.array([1.0, 1.0]))
    assert x.grad is not None
    np.testing.assert_array_equal(x.grad.numpy(), [[0, 0], [0, 1], [0, 0]])


@pytest.mark.parametrize("extremum", [mg.max, mg.min])
def test_the_largest_of_a_nan_is_nan_and_passes_no_gradient(extremum: Any, xp: Any) -> None:
    x = mg.tensor(xp.array([[np.nan, 1.0], [3.0, 3.0]]), requires_grad=True)
    y = extremum(x, axis=1)
    np.testing.assert_array_equal(y.numpy(), [np.nan, 3.0])
    y.backward(xp.array([1.0, 1.0]))
    assert x.grad is not None
    np.testing.assert_array_equal(x.grad.numpy(), [[0, 0], [0.5, 0.5]])


@pytest.mark.parametrize(
    "call",
    [
        lambda: mg.linspace(0, 1, 3.0),
        lambda: mg.geomspace(1, 2, np.float64(3)),
        lambda: mg.quantile(np.ones(2), 0.5 + 1j),
        lambda: mg.nanquantile(np.ones(2), 2 + 1j),
    ],
)
def test_a_number_of_the_wrong_kind_is_a_type_error(call: Any) -> None:
    with pytest.raises(TypeError):
        call()


INF = np.inf


@pytest.mark.parametrize("name", ["logsumexp", "logaddexp", "logaddexp2", "logcumsumexp"])
@pytest.mark.parametrize(
    ("values", "shares"),
    [
        ([INF, 1.0], [1, 0]),
        ([1.0, INF], [0, 1]),
        ([INF, -INF], [1, 0]),
        ([-INF, 1.0], [0, 1]),
        ([INF, INF], [0.5, 0.5]),
        ([-INF, -INF], [0, 0]),
        ([1e30, 0.0], [1, 0]),
        ([1e15, 1e15], [0.5, 0.5]),
        ([-1e30, -1e30], [0.5, 0.5]),
    ],
)
def test_shares_of_a_sum_of_exponentials(xp: Any, name: str, values: list[float], shares: list[float]) -> None:
    """The limits: all of it to what is infinite, equal shares to equals, however large; torch has NaN or 1 + 1."""
    for dtype in (np.float32, np.float64):
        x = mg.tensor(np.array(values, dtype), requires_grad=True)
        if name == "logsumexp":
            y = mg.logsumexp(x)
        elif name == "logcumsumexp":
            y = mg.logcumsumexp(x)[1]
        else:
            y = getattr(mg, name)(x[0], x[1])
        (g,) = mg.gradients(y, [x], create_graph=True)
        np.testing.assert_array_equal(g.numpy(), shares)
        (h,) = mg.gradients(mg.sum(g * mg.tensor(xp.array(np.array([1, 0], dtype)))), [x], allow_unused=True)
        if values != [INF, INF]:
            change = shares[0] * shares[1] * (np.log(2) if name == "logaddexp2" else 1)
            np.testing.assert_allclose(0 if h is None else h.numpy(), [change, -change], atol=1e-7)


def test_a_large_sum_does_not_blur_its_shares(xp: Any) -> None:
    """exp(x) / sum(exp(x)) does not change when all x grow by 2²⁰, which float32 represents exactly here."""
    low = np.array([[0.0, 1.0, 3.5], [2.0, 2.0, -1.0]], np.float32)
    for axis in (0, 1, None):
        found = []
        for x in (low, low + 2**20):
            t = mg.tensor(x, requires_grad=True)
            y = mg.logsumexp(t, axis=axis)
            found.append(mg.gradients(y, [t], mg.ones_like(y))[0].numpy())
        np.testing.assert_allclose(found[1], found[0], rtol=1e-6)
