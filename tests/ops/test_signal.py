"""Transforms, windows, convolution, pooling, differences and interpolation on any shapes and options.

What is linear is checked by <seed, f(v)> = <gradient, v>, the rest against PyTorch or central differences.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given, settings, strategies as st

import minigrad as mg

SIDES = st.lists(st.integers(0, 4), min_size=1, max_size=3).map(tuple)
NORMS = st.sampled_from([None, "backward", "ortho", "forward"])


def noise(shape: Any, seed: int = 3) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape)


def check_linear(call: Callable[[Any, Any], Any], shape: tuple[int, ...], theirs: Any = None) -> None:
    """`call(m, x)` has NumPy's value, and its gradient is its adjoint."""
    host = noise(shape)
    x = mg.tensor(host, requires_grad=True)
    y = call(mg, x)
    expected = (theirs or call)(np, host)
    np.testing.assert_allclose(y.numpy(), expected, atol=1e-12)
    assert y.shape == expected.shape
    seed, v = noise(y.shape, 4), noise(shape, 5)
    (g,) = mg.gradients(y, [x], mg.tensor(seed))
    assert g.shape == shape
    np.testing.assert_allclose(np.sum(seed * (theirs or call)(np, v)), np.sum(g.numpy() * v), atol=1e-10)


@settings(max_examples=60)
@given(
    name=st.sampled_from(["fft", "ifft", "rfft", "irfft", "hfft", "ihfft"]),
    shape=SIDES,
    axis=st.integers(-3, 2),
    n=st.none() | st.integers(1, 6),
    norm=NORMS,
    part=st.sampled_from(["real", "imag"]),
)
def test_transforms_along_one_axis(
    xp: Any, name: str, shape: Any, axis: int, n: int | None, norm: Any, part: str
) -> None:
    assume(-len(shape) <= axis < len(shape))
    assume(n or shape[axis] > (name in ("irfft", "hfft")))
    check_linear(lambda m, x: getattr(m, part)(getattr(m.fft, name)(x, n=n, axis=axis, norm=norm)), shape)


@settings(max_examples=60)
@given(
    name=st.sampled_from(["fftn", "ifftn", "rfftn", "irfftn"]),
    shape=st.lists(st.integers(2, 4), min_size=2, max_size=3).map(tuple),
    axes=st.lists(st.integers(-2, 1), min_size=1, max_size=3),
    lengths=st.none() | st.lists(st.sampled_from([1, 2, 3, 5]), min_size=3, max_size=3),
    norm=NORMS,
)
def test_transforms_along_several_axes_also_twice_along_one(
    xp: Any, name: str, shape: Any, axes: list[int], lengths: Any, norm: Any
) -> None:
    s = lengths and lengths[: len(axes)]
    check_linear(lambda m, x: m.real(getattr(m.fft, name)(x, s, axes, norm) * (1 - 0.5j)), shape)


@settings(max_examples=60)
@given(shape=SIDES, data=st.data())
def test_sliding_windows(xp: Any, shape: Any, data: Any) -> None:
    axes = data.draw(st.none() | st.lists(st.integers(-len(shape), len(shape) - 1), unique_by=lambda k: k % len(shape)))
    sizes = [data.draw(st.integers(0, shape[k])) for k in (range(len(shape)) if axes is None else axes)]
    check_linear(
        lambda m, x: m.sliding_window_view(x, sizes, axes),
        shape,
        lambda m, x: np.lib.stride_tricks.sliding_window_view(x, sizes, None if axes is None else tuple(axes)),
    )


@settings(max_examples=60)
@given(n=st.integers(1, 7), k=st.integers(1, 7), mode=st.sampled_from(["full", "same", "valid"]), turned=st.booleans())
def test_convolution_of_sequences(xp: Any, n: int, k: int, mode: str, turned: bool) -> None:
    name = "correlate" if turned else "convolve"
    other = noise(k, 6)
    check_linear(lambda m, x: getattr(m, name)(x, xp.array(other) if m is mg else other, mode), (n,))
    check_linear(lambda m, x: getattr(m, name)(xp.array(other) if m is mg else other, x, mode), (n,))


GEOMETRY = {
    "batch": st.none() | st.integers(0, 3),
    "groups": st.integers(1, 3),
    "inner": st.integers(1, 2),
    "outer": st.integers(1, 2),
    "length": st.integers(1, 9),
    "size": st.integers(1, 4),
    "stride": st.integers(1, 4),
    "padding": st.integers(0, 3),
    "dilation": st.integers(1, 3),
}


def check_against_torch(call: Callable[[Any, Any], Any], theirs: Any, hosts: list[np.ndarray]) -> None:
    torch = pytest.importorskip("torch")
    xs = [mg.tensor(host, requires_grad=True) for host in hosts]
    their_xs = [torch.tensor(host, requires_grad=True) for host in hosts]
    y, their_y = call(*xs), theirs(torch.nn.functional, *their_xs)
    assert y.shape == tuple(their_y.shape)
    np.testing.assert_allclose(y.numpy(), their_y.detach().numpy(), atol=1e-12)
    seed = noise(y.shape, 4)
    result = mg.gradients(y, xs, mg.tensor(seed))
    for g, their_g in zip(result, torch.autograd.grad(their_y, their_xs, torch.tensor(seed))):
        np.testing.assert_allclose(g.numpy(), their_g.numpy(), atol=1e-11)


@settings(max_examples=80)
@given(**GEOMETRY)
def test_conv1d_of_any_geometry(
    xp: Any, batch: Any, groups: int, inner: int, outer: int, length: int, size: int, stride: int, padding: int,
    dilation: int,
) -> None:  # fmt: skip
    assume(length + 2 * padding > dilation * (size - 1))
    lead = () if batch is None else (batch,)
    hosts = [noise((*lead, inner * groups, length)), noise((outer * groups, inner, size)), noise(outer * groups)]
    options = {"stride": stride, "padding": padding, "dilation": dilation, "groups": groups}
    check_against_torch(lambda *xs: mg.conv1d(*xs, **options), lambda F, *xs: F.conv1d(*xs, **options), hosts)


@settings(max_examples=80)
@given(**GEOMETRY, extra=st.integers(0, 2))
def test_conv_transpose1d_of_any_geometry(
    xp: Any, batch: Any, groups: int, inner: int, outer: int, length: int, size: int, stride: int, padding: int,
    dilation: int, extra: int,
) -> None:  # fmt: skip
    assume(extra < max(stride, dilation))
    assume((length - 1) * stride - 2 * padding + dilation * (size - 1) + extra + 1 > 0)
    lead = () if batch is None else (batch,)
    hosts = [noise((*lead, outer * groups, length)), noise((outer * groups, inner, size)), noise(inner * groups)]
    options = {"stride": stride, "padding": padding, "output_padding": extra, "dilation": dilation, "groups": groups}
    check_against_torch(
        lambda *xs: mg.conv_transpose1d(*xs, **options), lambda F, *xs: F.conv_transpose1d(*xs, **options), hosts
    )


@settings(max_examples=80)
@given(
    batch=st.integers(0, 2),
    length=st.integers(1, 40),
    size=st.integers(1, 36),
    stride=st.none() | st.integers(1, 5),
    padding=st.integers(0, 4),
    dilation=st.integers(1, 3),
    ceil_mode=st.booleans(),
    with_padding=st.booleans(),
)
def test_pooling_of_any_geometry(
    xp: Any, batch: int, length: int, size: int, stride: Any, padding: int, dilation: int, ceil_mode: bool,
    with_padding: bool,
) -> None:  # fmt: skip
    reach = dilation * (size - 1) + 1
    host = [noise((batch, 2, length))]
    options: Any = {"stride": stride, "padding": padding, "ceil_mode": ceil_mode}
    if reach <= length + 2 * padding and padding <= size // 2:
        check_against_torch(
            lambda x: mg.max_pool1d(x, size, dilation=dilation, **options),
            lambda F, x: F.max_pool1d(x, size, dilation=dilation, **options),
            host,
        )
    if size <= length + 2 * padding and padding <= size // 2:
        options["count_include_pad"] = with_padding
        check_against_torch(
            lambda x: mg.avg_pool1d(x, size, **options), lambda F, x: F.avg_pool1d(x, size, **options), host
        )
    check_against_torch(lambda x: mg.adaptive_avg_pool1d(x, size), lambda F, x: F.adaptive_avg_pool1d(x, size), host)


@settings(max_examples=60)
@given(shape=SIDES, axis=st.integers(-3, 2), n=st.integers(0, 5))
def test_differences(xp: Any, shape: Any, axis: int, n: int) -> None:
    assume(-len(shape) <= axis < len(shape))
    check_linear(lambda m, x: m.diff(x, n=n, axis=axis), shape)
    check_linear(lambda m, x: m.ediff1d(x), shape)
    places = np.cumsum(np.arange(1.0, 1 + shape[axis]))
    for order in (1, 2):
        if shape[axis] > order:
            check_linear(lambda m, x, k=order: m.gradient(x, 0.5, axis=axis, edge_order=k), shape)
            check_linear(
                lambda m, x, k=order: m.gradient(x, xp.array(places) if m is mg else places, axis=axis, edge_order=k),
                shape,
            )


@settings(max_examples=60)
@given(
    nodes=st.lists(st.integers(-5, 5), min_size=1, max_size=6, unique=True).map(sorted),
    points=st.lists(st.floats(-7, 7), max_size=6),
    bounds=st.tuples(*[st.none() | st.floats(-2, 2)] * 2),
    period=st.none() | st.just(11.5),
)
def test_interpolation(xp: Any, nodes: Any, points: Any, bounds: Any, period: Any) -> None:
    x, places = np.array(points, float), np.array(nodes, float)
    check_linear(
        lambda m, fp: m.interp(xp.array(x), xp.array(places), fp, *(b and 0.0 for b in bounds), period=period),
        places.shape,
        lambda m, fp: np.interp(x, places, fp, *(b and 0.0 for b in bounds), period=period),
    )
    fp = noise(places.shape)
    result = mg.interp(mg.tensor(x), mg.tensor(places), mg.tensor(fp), *bounds, period=period)
    np.testing.assert_allclose(result.numpy(), np.interp(x, places, fp, *bounds, period=period), atol=1e-12)


def test_a_spectral_convolution_is_a_convolution(xp: Any) -> None:
    hosts = [noise(6), noise(4, 4)]
    xs = [mg.tensor(host, requires_grad=True) for host in hosts]
    direct = mg.convolve(*xs)
    spectral = mg.fft.irfft(mg.fft.rfft(xs[0], 9) * mg.fft.rfft(xs[1], 9), 9)
    np.testing.assert_allclose(spectral.numpy(), direct.numpy(), atol=1e-12)
    seed = mg.tensor(noise(9, 5))
    for g, other in zip(mg.gradients(direct, xs, seed), mg.gradients(spectral, xs, seed)):
        np.testing.assert_allclose(g.numpy(), other.numpy(), atol=1e-12)


def test_single_precision_stays_single_through_a_spectrum(xp: Any) -> None:
    x = mg.tensor(noise(6).astype(np.float32), requires_grad=True)
    z = mg.fft.rfft(x)
    assert z.dtype == np.complex64
    y = mg.fft.irfft(z * 2)
    assert y.dtype == np.float32
    (g,) = mg.gradients(y.sum(), [x], create_graph=True)
    assert g.dtype == np.float32


def test_of_equal_values_the_first_is_chosen(xp: Any) -> None:
    x = mg.tensor([[1.0, 1.0, 0.0, 2.0, 2.0]], requires_grad=True)
    mg.max_pool1d(x, 3, 1).sum().backward()
    assert x.grad.tolist() == [[1, 0, 0, 2, 0]]
    x = mg.tensor([[-np.inf, -np.inf]], requires_grad=True)
    mg.max_pool1d(x, 3, 1, 1).backward(mg.tensor([[1.0, 2.0]]))
    assert x.grad.tolist() == [[3, 0]]


def test_at_a_node_the_slope_is_that_on_the_right(xp: Any) -> None:
    x = mg.tensor([-1.0, 0.0, 1.0, 2.0, 3.0], requires_grad=True)
    mg.interp(x, [0.0, 1.0, 2.0], [0.0, 1.0, 5.0]).sum().backward()
    assert x.grad.tolist() == [0, 1, 4, 0, 0]


def test_no_gradient_flows_to_the_row_of_padding(xp: Any) -> None:
    W = mg.tensor(np.ones((3, 2)), requires_grad=True)
    for row, passes in ((1, [1, 0, 1]), (-2, [1, 0, 1]), (0, [0, 2, 1]), (-3, [0, 2, 1]), (-1, [1, 2, 0])):
        W.grad = None
        y = mg.embedding(xp.array(np.array([[0, 1], [1, 2]])), W, padding_idx=row)
        y.sum().backward()
        assert W.grad.tolist() == [[n, n] for n in passes]
    assert not mg.one_hot(mg.tensor([0, 2]), 3).requires_grad
    assert mg.one_hot(mg.tensor([0, 2])).tolist() == [[1, 0, 0], [0, 0, 1]]
    assert mg.one_hot(mg.tensor([0, 2]), 3).dtype == np.int64


X, W3 = np.ones((2, 4, 6)), np.ones((4, 2, 3))


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: mg.fft.rfft(mg.tensor(X), norm="half"), "norm"),
        (lambda: mg.fft.fft(mg.tensor(X), n=0), r"fft: got \(\(2, 4, 6\) float64"),
        (lambda: mg.fft.fftn(mg.tensor(X), s=(2, 3), axes=(0,)), "s: got 2 lengths"),
        (lambda: mg.sliding_window_view(mg.tensor(X), 7, 2), "does not fit in an axis of 6"),
        (lambda: mg.sliding_window_view(mg.tensor(X), (2, 2), 0), "want a size for each of the axes"),
        (lambda: mg.sliding_window_view(mg.tensor(X), -1, 0), "want size ≥ 0"),
        (lambda: mg.conv1d(mg.tensor(X), mg.tensor(W3)), "groups = 1"),
        (lambda: mg.conv1d(mg.tensor(X), mg.tensor(W3), groups=3), "groups = 3"),
        (lambda: mg.conv1d(mg.tensor(X), mg.tensor(W3), mg.tensor(np.ones(3)), groups=2), r"want b of shape \(4,\)"),
        (lambda: mg.conv1d(mg.tensor(X), mg.tensor(W3), stride=2, padding="same", groups=2), "stride of 1"),
        (lambda: mg.conv1d(mg.tensor(X), mg.tensor(W3), dilation=3, groups=2), "does not fit in an axis of 6"),
        (lambda: mg.conv1d(mg.tensor(X), mg.tensor(X[0])), "want x of shape"),
        (lambda: mg.conv_transpose1d(mg.tensor(X), mg.tensor(W3), output_padding=1), "output_padding: got 1"),
        (lambda: mg.conv_transpose1d(mg.tensor(X[:, :3]), mg.tensor(W3)), "do not fit"),
        (lambda: mg.conv_transpose1d(mg.tensor(X), mg.tensor(W3), padding=9), "length of -10"),
        (lambda: mg.convolve(mg.tensor(np.ones(3)), mg.tensor(np.ones(0))), "convolve: got"),
        (lambda: mg.max_pool1d(mg.tensor(X), 2, padding=2), "padding of at most half"),
        (lambda: mg.avg_pool1d(mg.tensor(X), 7), "want 7 or more for one window"),
        (lambda: mg.adaptive_avg_pool1d(mg.tensor(X), 0), "at least one"),
        (lambda: mg.diff(mg.tensor(X), n=-1), "diff: got"),
        (lambda: mg.diff(mg.tensor(1.0), prepend=1), "at least one axis"),
        (lambda: mg.gradient(mg.tensor(X), [0, 1]), "got 1 spacings"),
        (lambda: mg.gradient(mg.tensor(X), [0, 1], axis=2), "want 6 of them"),
        (lambda: mg.gradient(mg.tensor(X), edge_order=3), "want 1 or 2"),
        (lambda: mg.gradient(mg.tensor(X[:, :, :2]), edge_order=2, axis=2), "slopes: got"),
        (lambda: mg.interp(mg.tensor(X), [0.0, 1.0], [1.0]), r"got shapes \(2,\) and \(1,\)"),
        (lambda: mg.interp(mg.tensor(X), [0.0], [1.0], period=0), "period: got 0"),
        (lambda: mg.vander(mg.tensor(X)), "want a vector"),
        (lambda: mg.embedding([0], mg.tensor(X[0], requires_grad=True), padding_idx=4), "index of one of 4 rows"),
    ],
)
def test_what_does_not_fit_is_named(xp: Any, call: Any, words: str) -> None:
    with pytest.raises((ValueError, TypeError), match=words):
        call()


def test_no_differences_are_the_values_themselves(xp: Any) -> None:
    host = np.array([1.0, 4.0, 9.0])
    result = mg.diff(mg.tensor(host), n=0, prepend=0.0, append=[1.0])
    np.testing.assert_array_equal(result.numpy(), np.diff(host, n=0, prepend=0.0, append=[1.0]))
