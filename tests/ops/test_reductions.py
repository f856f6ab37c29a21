"""Reductions, cumulative reductions, sorting, statistics: random shapes and axes, ties, zeros, NaN, bad arguments."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

import minigrad as mg
from minigrad.engine.tensor import Tensor

REDUCTIONS = ("sum", "mean", "prod", "max", "min", "var", "std", "nansum", "nanmean", "nanprod", "nanvar", "median")
RUNNING = ("cumsum", "cumprod", "nancumsum", "nancumprod", "sort")


def shapes(least: int, axes: int = 3) -> Any:
    return st.lists(st.integers(least, 4), min_size=1, max_size=axes).map(tuple)


@st.composite
def shape_and_axis(draw: Any, least: int, several: bool) -> tuple[tuple[int, ...], Any]:
    shape = draw(shapes(least))
    one = st.integers(-len(shape), len(shape) - 1)
    some = st.lists(one, unique_by=lambda a: a % len(shape)).map(tuple)
    return shape, draw(st.none() | one | some if several else st.none() | one)


def agrees_along_a_line(call: Any, host: np.ndarray, g: np.ndarray, seed: np.ndarray) -> None:
    """<seed, f(x + εv) − f(x − εv)> / 2ε is <gradient, v> for any v."""
    v, step = np.random.default_rng(8).standard_normal(host.shape), 1e-6
    along = (np.sum(seed * (call(np, host + step * v))) - np.sum(seed * call(np, host - step * v))) / (2 * step)
    np.testing.assert_allclose(np.sum(g * v), along, rtol=1e-5, atol=1e-7)


def check(xp: Any, call: Any, host: np.ndarray) -> None:
    x = mg.tensor(host, requires_grad=True)
    y, expected = call(mg, x), np.asarray(call(np, host))
    assert y.shape == expected.shape
    assert y.backend == xp.name
    np.testing.assert_allclose(y.numpy(), expected, rtol=1e-12, atol=1e-12)
    seed = np.random.default_rng(5).standard_normal(expected.shape)
    (g,) = mg.gradients(y, [x], mg.tensor(seed))
    assert g.shape == host.shape
    agrees_along_a_line(call, host, g.numpy(), seed)


def values(shape: tuple[int, ...]) -> np.ndarray:
    """Distinct values, so that small changes keep their order."""
    n = int(np.prod(shape))
    return (np.random.default_rng(n).permutation(n) - 0.4 * n + 0.3).reshape(shape) / 3


@pytest.mark.parametrize("name", REDUCTIONS)
@settings(max_examples=25)
@given(data=st.data())
def test_reductions_of_any_axes(xp: Any, name: str, data: Any) -> None:
    empty_too = name in ("sum", "prod", "nansum", "nanprod")
    shape, axis = data.draw(shape_and_axis(0 if empty_too else 1, several=True))
    keepdims = data.draw(st.booleans())
    if axis == () and name == "median":
        return  # NumPy takes no axes for all of them, but for this one
    host = values(shape)
    if "std" in name and np.any(np.std(host, axis=axis) == 0):
        return
    check(xp, lambda m, x: getattr(m, name)(x, axis=axis, keepdims=keepdims), host)


@pytest.mark.parametrize("name", RUNNING)
@settings(max_examples=25)
@given(drawn=shape_and_axis(0, several=False))
def test_running_reductions_along_any_axis(xp: Any, name: str, drawn: Any) -> None:
    shape, axis = drawn
    check(xp, lambda m, x: getattr(m, name)(x, axis=axis), values(shape))


@pytest.mark.parametrize("name", ["quantile", "nanquantile"])
@settings(max_examples=30)
@given(
    drawn=shape_and_axis(1, several=True),
    q=st.lists(st.floats(0, 1), min_size=1, max_size=3) | st.floats(0, 1),
    method=st.sampled_from(["linear", "lower", "higher", "midpoint", "nearest", "hazen", "weibull", "inverted_cdf"]),
)
def test_quantiles_of_any_axes(xp: Any, name: str, drawn: Any, q: Any, method: str) -> None:
    shape, axis = drawn
    if axis == ():
        return
    q = np.round(np.asarray(q), 3)  # a place beside a value by less than float64 tells is NumPy's to round
    check(xp, lambda m, x: getattr(m, name)(x, q, axis=axis, method=method), values(shape))


@pytest.mark.parametrize("zeros", [0, 1, 2, 3])
@pytest.mark.parametrize("name", ["prod", "cumprod"])
def test_products_are_right_at_zeros_in_every_order(xp: Any, name: str, zeros: int) -> None:
    """Agrees with explicit multiplications up to the third derivative."""
    host = np.array([1.5, -2.0, 0.5, 3.0, -1.0])
    host[[1, 3, 4][:zeros]] = 0.0

    def by_hand(x: Tensor) -> Tensor:
        running = [x[0]]
        for k in range(1, 5):
            running.append(running[-1] * x[k])
        return running[-1] if name == "prod" else mg.stack(running)

    def derivatives(function: Any) -> list[np.ndarray]:
        x, result = mg.tensor(host, requires_grad=True), []
        y = function(x)
        for order in range(3):
            weights = np.random.default_rng(order).standard_normal(y.shape)
            (y,) = mg.gradients(y, [x], mg.tensor(weights), create_graph=True)
            result.append(y.numpy())
        return result

    for ours, theirs in zip(derivatives(getattr(mg, name)), derivatives(by_hand)):
        np.testing.assert_allclose(ours, theirs, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("n", [1, 2, 3, 7, 8, 33])
def test_running_products_of_any_length(n: int) -> None:
    torch = pytest.importorskip("torch")
    host = np.random.default_rng(n).standard_normal((2, n))
    for name in ("cumprod", "logcumsumexp"):
        x, theirs = mg.tensor(host, requires_grad=True), torch.tensor(host, requires_grad=True)
        seed = np.random.default_rng(1).standard_normal(host.shape)
        (g,) = mg.gradients(getattr(mg, name)(x, axis=1), [x], mg.tensor(seed))
        (their_g,) = torch.autograd.grad(getattr(torch, name)(theirs, 1), theirs, torch.tensor(seed))
        np.testing.assert_allclose(g.numpy(), their_g.numpy(), rtol=1e-10, atol=1e-12)


ALTERNATING = [place for pair in zip(range(100), range(100, 200)) for place in pair]
"""The positions to which a stable sort moves the elements of [0, 5, 0, 5, …]."""


def gradient(call: Any, host: Any) -> Any:
    x = mg.tensor(np.asarray(host, np.float64), requires_grad=True)
    y = call(x)
    (g,) = mg.gradients(y, [x], mg.ones_like(y))
    return g.tolist()


@pytest.mark.parametrize(
    ("call", "host", "expected"),
    [
        (lambda x: mg.ptp(x), [1, 3, 3, 1, 2], [-0.5, 0.5, 0.5, -0.5, 0]),
        (lambda x: mg.nanmax(x), [1, 3, np.nan, 3], [0, 0.5, 0, 0.5]),
        (lambda x: mg.std(x), [2, 2, 2], [0, 0, 0]),
        (lambda x: mg.nanstd(x), [2, 2, np.nan], [0, 0, 0]),
        (lambda x: mg.cummax(x), [1, 3, 3, 2, 4], [1, 1, 2, 0, 1]),
        (lambda x: mg.cummin(x), [2, 3, 2, 1, 1], [2, 0, 1, 1, 1]),
        (lambda x: mg.cummax(x)[:3], [1, np.nan, 3], [1, 2, 0]),
        (lambda x: mg.sort(x, stable=True) * mg.tensor([1.0, 2.0, 3.0], dtype=np.float64), [5, 5, 1], [2, 3, 1]),
        *(
            (lambda x, how=how: mg.sort(x, **how) * mg.arange(200.0), [0, 5] * 100, ALTERNATING)
            for how in ({"stable": True}, {"kind": "stable"}, {"kind": "mergesort"})
        ),
        (lambda x: mg.nansum(x), [1, np.nan], [1, 0]),
        (lambda x: mg.nanmean(x), [1, np.nan, 2], [0.5, 0, 0.5]),
        (lambda x: mg.median(x), [3, 1, 2, 9], [0.5, 0, 0.5, 0]),
        (lambda x: mg.median(x), [3, np.nan, 2], [0, 0, 0]),
        (lambda x: mg.nanmedian(x), [3, np.nan, 2], [0.5, 0, 0.5]),
        (lambda x: mg.quantile(x, 0.75), [0, 8, 4], [0, 0.5, 0.5]),
        (lambda x: mg.quantile(x, [0.5, 0.5, 1.0]), [0, 8, 4], [0, 1, 2]),
        (lambda x: mg.logcumsumexp(x), [-np.inf, 0], [0, 1]),
        (lambda x: mg.sum(x, axis=0), 2.0, 1.0),
    ],
)
def test_where_the_gradient_goes(xp: Any, call: Any, host: Any, expected: Any) -> None:
    assert gradient(call, host) == expected


@pytest.mark.parametrize("name", ["nanmean", "nanvar", "nanstd", "nanmax", "nanmin", "nanmedian"])
def test_nothing_but_nan_is_nan(xp: Any, name: str) -> None:
    host = np.array([[np.nan, np.nan], [1.0, 3.0]])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        expected = getattr(np, name)(host, axis=1)
    x = mg.tensor(host, requires_grad=True)
    y = getattr(mg, name)(x, axis=1)
    np.testing.assert_array_equal(y.numpy(), expected)
    (g,) = mg.gradients(y, [x], mg.tensor(np.array([0.0, 1.0])))
    if name != "nanmedian":  # which picks a NaN, and gives it what it gets
        assert not np.any(g.numpy()[0])


@pytest.mark.parametrize(
    ("call", "dtype"),
    [
        (lambda m, x: m.sum(x, dtype=np.float64), np.float64),
        (lambda m, x: m.mean(x, axis=0, dtype=np.float64), np.float64),
        (lambda m, x: m.prod(x, axis=0, dtype="float64"), np.float64),
        (lambda m, x: m.cumsum(x, dtype=np.float64), np.float64),
        (lambda m, x: m.cumprod(x, axis=0, dtype=np.float64), np.float64),
        (lambda m, x: m.average(x, axis=0), np.float32),
        (lambda m, x: m.quantile(x, 0.3), np.float32),
        (lambda m, x: m.var(x, ddof=1), np.float32),
        (lambda m, x: m.var(x, dtype=np.float64), np.float64),
        (lambda m, x: m.std(x, axis=0, dtype=np.float64, ddof=1), np.float64),
        (lambda m, x: m.nansum(x, dtype=np.float64), np.float64),
        (lambda m, x: m.nanmean(x, axis=0, dtype=np.float64), np.float64),
        (lambda m, x: m.nanvar(x, axis=0, dtype=np.float64), np.float64),
        (lambda m, x: m.nanstd(x, dtype=np.float64, ddof=1), np.float64),
    ],
)
def test_the_dtype_asked_for_is_that_of_the_value(xp: Any, call: Any, dtype: Any) -> None:
    host = np.random.default_rng(0).standard_normal((3, 4)).astype(np.float32)
    x = mg.tensor(host, requires_grad=True)
    y, expected = call(mg, x), call(np, host)
    assert y.dtype == expected.dtype == dtype
    np.testing.assert_allclose(y.numpy(), expected, rtol=1e-6)
    y.sum().backward()
    assert x.grad is not None
    assert x.grad.dtype == np.float32


@pytest.mark.parametrize(
    "call",
    [
        lambda m, x, i: m.all(x > 0, axis=1),
        lambda m, x, i: m.any(x > 0),
        lambda m, x, i: m.count_nonzero(x > 0, axis=0),
        lambda m, x, i: m.nanargmax(x, axis=1),
        lambda m, x, i: m.nanargmin(x),
        lambda m, x, i: m.argpartition(x, 2, axis=0)[2],
        lambda m, x, i: m.searchsorted(m.sort(x[0]), x[1], side="right"),
        lambda m, x, i: m.lexsort((x[0], i[0])),
        lambda m, x, i: m.lexsort((x, i), axis=0),
        lambda m, x, i: m.lexsort([x, i]),
        lambda m, x, i: m.lexsort(x),
        lambda m, x, i: m.sum(i, axis=0),
        lambda m, x, i: m.sum(i > 0, dtype=np.int64),
        lambda m, x, i: m.median(i, axis=0),
        lambda m, x, i: m.quantile(i, 0.5, axis=0),
        lambda m, x, i: m.nanmax(i, axis=1),
        lambda m, x, i: m.nansum(i),
        lambda m, x, i: m.nanmean(i),
        lambda m, x, i: m.nanvar(i, axis=0),
        lambda m, x, i: m.cumsum(i, axis=1),
        lambda m, x, i: m.std(i),
        lambda m, x, i: m.average(i, axis=0),
    ],
)
def test_constants_are_off_the_tape(xp: Any, call: Any) -> None:
    rng = np.random.default_rng(0)
    host, numbers = rng.standard_normal((3, 4)), rng.integers(0, 3, (3, 4))
    with xp.no_sync():
        result = call(mg, mg.tensor(host, requires_grad=True), mg.tensor(numbers))
    expected = np.asarray(call(np, host, numbers))
    np.testing.assert_allclose(result.numpy(), expected)
    assert result.dtype == expected.dtype
    assert result.backend == xp.name
    assert not result.requires_grad


@pytest.mark.parametrize(
    "call",
    [
        lambda m, x, i: m.unique(i),
        lambda m, x, i: m.unique(i, return_index=True, return_inverse=True, return_counts=True),
        lambda m, x, i: m.bincount(i[0]),
        lambda m, x, i: m.bincount(i[0], minlength=7),
        lambda m, x, i: m.digitize(x, m.sort(x[0])),
    ],
)
def test_constants_for_which_the_device_is_waited_for(xp: Any, call: Any) -> None:
    rng = np.random.default_rng(0)
    host, numbers = rng.standard_normal((3, 4)), rng.integers(0, 3, (3, 4))
    result, expected = call(mg, mg.tensor(host, requires_grad=True), mg.tensor(numbers)), call(np, host, numbers)
    for ours, theirs in zip(result, expected) if isinstance(result, tuple) else [(result, expected)]:
        np.testing.assert_array_equal(ours.numpy(), theirs)
        assert ours.dtype == theirs.dtype
        assert not ours.requires_grad


def test_topk_and_kthvalue_say_where(xp: Any) -> None:
    torch = pytest.importorskip("torch")
    host = np.random.default_rng(0).standard_normal((4, 6))
    for k, dim, largest in ((2, 1, True), (3, 0, False), (4, 0, True)):
        _, places = mg.topk(mg.tensor(host), k, dim, largest)
        np.testing.assert_array_equal(places.numpy(), torch.topk(torch.tensor(host), k, dim, largest)[1].numpy())
    _, place = mg.kthvalue(mg.tensor(host), 2)
    np.testing.assert_array_equal(place.numpy(), torch.kthvalue(torch.tensor(host), 2)[1].numpy())


def test_infinities_beside_a_quantile_do_no_harm(xp: Any) -> None:
    x = mg.tensor(np.array([-np.inf, 1.0, 2.0, np.inf]), requires_grad=True)
    np.testing.assert_array_equal(mg.quantile(x[1:], [0.0, 0.5, 1.0]).numpy(), [1.0, 2.0, np.inf])
    assert mg.median(x).item() == 1.5


def test_lists_and_numbers_are_taken_too(xp: Any) -> None:
    for call in (mg.median, mg.nanmean, mg.average, mg.sort, mg.ptp, mg.trapezoid, mg.cummax, mg.nancumsum, mg.nanvar):
        expected = call(mg.tensor([3.0, 1.0, 2.0]))
        np.testing.assert_array_equal(call([3.0, 1.0, 2.0]).numpy(), expected.numpy())


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda x: mg.sum(x, dtype=np.int64), TypeError, "dtype: got int64 for float64 values"),
        (lambda x: mg.cumprod(x, dtype=bool), TypeError, "dtype: got bool for float64 values"),
        (lambda x: mg.quantile(x, 1.5), ValueError, r"q: got 1.5, want 0 to 1"),
        (lambda x: mg.percentile(x, [10, 101]), ValueError, r"q: got \[10, 101\], want 0 to 100"),
        (lambda x: mg.quantile(x, 0.5, method="middle"), ValueError, "method: got 'middle', want one of"),
        (lambda x: mg.quantile(x[:0], 0.5), ValueError, "want at least one value"),
        (lambda x: mg.topk(x, 4), ValueError, "k: got 4, want 0 to 3"),
        (lambda x: mg.kthvalue(x, 0), ValueError, "k: got 0, want 1 to 3"),
        (lambda x: mg.average(x, weights=x[0]), TypeError, "Axis must be specified"),
        (lambda x: mg.average(x, axis=0, weights=x[0]), ValueError, "Shape of weights must be consistent"),
        (lambda x: mg.var(x, ddof=1, correction=1), ValueError, "can't be provided simultaneously"),
        (lambda x: mg.nanvar(x, ddof=1, correction=1), ValueError, "can't be provided simultaneously"),
        (lambda x: mg.cov(mg.expand_dims(x, 0)), ValueError, "m: got 3 axes"),
        (lambda x: mg.bincount([0, -1], weights=x[0, :2]), ValueError, "negative"),
        (lambda x: mg.bincount([0, 1], weights=x[0]), ValueError, "one length"),
        (lambda x: mg.median(x, axis=2), ValueError, "axis"),
        (lambda x: mg.prod(x, axis=(0, -2)), ValueError, "axis"),
        (lambda x: mg.cumprod(x, axis=2), ValueError, "axis"),
        (lambda x: mg.sort(x, axis=2), ValueError, "axis"),
    ],
)
def test_bad_arguments_are_named(xp: Any, call: Any, error: Any, words: str) -> None:
    with pytest.raises(error, match=words):
        call(mg.tensor(np.ones((2, 3)), requires_grad=True))


def test_second_order_of_the_scale(xp: Any) -> None:
    """At zero variance the derivative of std is 0, and so is the second derivative."""
    x = mg.tensor(np.full((2, 3), 2.0), requires_grad=True)
    (g,) = mg.gradients(mg.std(x, axis=1).sum(), [x], create_graph=True)
    (second,) = mg.gradients((g * g).sum(), [x])
    np.testing.assert_array_equal(second.numpy(), 0)


def test_nanquantiles_of_integers(xp: Any) -> None:
    whole = np.array([[3, 1, 2], [5, 4, 9]])
    np.testing.assert_array_equal(
        mg.nanquantile(mg.tensor(whole), 0.5, axis=1).numpy(), np.quantile(whole, 0.5, axis=1)
    )
