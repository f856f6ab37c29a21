"""Operations that only move values, for random shapes and axes, and NumPy's conventions for them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given, settings, strategies as st
from hypothesis.extra.numpy import array_shapes

import minigrad as mg

SHAPES = array_shapes(min_dims=1, max_dims=3, min_side=0, max_side=4)
Call = Callable[[Any, Any], Any]


def noise(shape: Any, k: int = 0) -> np.ndarray:
    return np.random.default_rng(k).standard_normal(shape)


def check(call: Call, *hosts: np.ndarray) -> None:
    """The value is NumPy's. The operation is linear, so <seed, f(dx)> = <gradient, dx> exactly, for any dx."""
    expected = call(np, *hosts)
    xs = [mg.tensor(h, requires_grad=True) for h in hosts]
    y = call(mg, *xs)
    assert y.shape == expected.shape
    np.testing.assert_array_equal(y.numpy(), expected)
    seed, changes = noise(expected.shape, 1), [noise(h.shape, 2 + k) for k, h in enumerate(hosts)]
    result = mg.gradients(y, xs, mg.tensor(seed), allow_unused=True)
    slopes = [np.sum(g.numpy() * c) for g, c in zip(result, changes) if g is not None]
    np.testing.assert_allclose(sum(slopes), np.sum(seed * call(np, *changes)), atol=1e-12)


def axes_of(data: Any, n: int) -> Any:
    """One axis, several axes, or None."""
    axis = st.integers(-n, n - 1)
    several = st.lists(axis, unique_by=lambda a: a % n, min_size=1, max_size=n).map(tuple)
    return data.draw(st.one_of(axis, several, axis.map(np.int64)))


@given(shape=SHAPES, data=st.data())
def test_axes_in_any_order(xp: Any, shape: Any, data: Any) -> None:
    n = len(shape)
    source = axes_of(data, n)
    count = len(source) if isinstance(source, tuple) else 1
    there = data.draw(st.permutations(range(n)))[:count]
    target = tuple(there) if isinstance(source, tuple) else there[0]
    check(lambda m, x: m.moveaxis(x, source, target), noise(shape))
    order = tuple(data.draw(st.permutations(range(n))))
    check(lambda m, x: m.permute_dims(x, order), noise(shape))
    axis, start = data.draw(st.integers(-n, n - 1)), data.draw(st.integers(-n, n))
    check(lambda m, x: m.rollaxis(x, axis, start), noise(shape))


@given(shape=SHAPES, data=st.data())
def test_flipped_rolled_and_turned(xp: Any, shape: Any, data: Any) -> None:
    n = len(shape)
    axes = axes_of(data, n)
    check(lambda m, x: m.flip(x, axes), noise(shape))
    shift = data.draw(st.integers(-5, 5))
    check(lambda m, x: m.roll(x, shift, axes), noise(shape))
    check(lambda m, x: m.roll(x, shift), noise(shape))
    if n > 1:
        a, b = data.draw(st.permutations(range(n)))[:2]
        k = data.draw(st.integers(-5, 5))
        check(lambda m, x: m.rot90(x, k, (a, b - n)), noise(shape))


@given(shape=SHAPES, data=st.data())
def test_said_again(xp: Any, shape: Any, data: Any) -> None:
    n = len(shape)
    reps = data.draw(st.one_of(st.integers(0, 3), st.lists(st.integers(0, 3), min_size=1, max_size=4).map(tuple)))
    check(lambda m, x: m.tile(x, reps), noise(shape))
    axis = data.draw(st.one_of(st.none(), st.integers(-n, n - 1)))
    length = int(np.prod(shape)) if axis is None else shape[axis]
    counts = data.draw(st.one_of(st.integers(0, 3), st.lists(st.integers(0, 2), min_size=length, max_size=length)))
    assume(counts != [])  # NumPy takes an empty list for floats
    check(lambda m, x: m.repeat(x, counts, axis=axis), noise(shape))
    new = data.draw(array_shapes(min_dims=1, max_dims=2, min_side=0, max_side=5))
    check(lambda m, x: m.resize(x, new), noise(shape))


@settings(max_examples=60)
@given(shape=SHAPES, data=st.data())
def test_joined_and_cut(xp: Any, shape: Any, data: Any) -> None:
    n = len(shape)
    axis = data.draw(st.integers(-n, n - 1))
    hosts = [noise((*shape[: axis % n], k, *shape[axis % n + 1 :]), k) for k in (shape[axis], 2, 0)]
    check(lambda m, *xs: m.concatenate(xs, axis=axis), *hosts)
    check(lambda m, a, b: m.stack([a, b, a], axis=axis), noise(shape), noise(shape, 1))
    places = data.draw(st.lists(st.integers(-5, 5), max_size=3))
    pieces = len(places) + 1
    for k in range(pieces):
        check(lambda m, x, k=k: m.split(x, places, axis)[k], noise(shape))
    check(lambda m, x: m.concatenate(m.array_split(x, 3, axis)[::-1], axis=axis), noise(shape))
    assert len(mg.unstack(mg.tensor(noise(shape)), axis=axis)) == shape[axis]


LINEAR = ("constant", "edge", "reflect", "symmetric", "wrap", "mean", "linear_ramp")


@settings(max_examples=60)
@given(shape=SHAPES, mode=st.sampled_from(LINEAR), kind=st.sampled_from(["even", "odd"]), data=st.data())
def test_padded_by_any_widths(xp: Any, shape: Any, mode: str, kind: str, data: Any) -> None:
    assume(mode == "constant" or 0 not in shape)
    width = st.integers(0, 7)
    widths = data.draw(st.lists(st.tuples(width, width), min_size=len(shape), max_size=len(shape)))
    options = {"reflect_type": kind} if mode in ("reflect", "symmetric") else {}
    host = noise(shape)
    expected = np.pad(host, widths, mode, **options)
    np.testing.assert_allclose(mg.pad(mg.tensor(host), widths, mode, **options).numpy(), expected, atol=1e-13)
    x = mg.tensor(host, requires_grad=True)
    seed, change = noise(expected.shape, 1), noise(shape, 2)
    (g,) = mg.gradients(mg.pad(x, widths, mode, **options), [x], mg.tensor(seed))
    there = np.sum(seed * np.pad(change, widths, mode, **options))
    np.testing.assert_allclose(np.sum(g.numpy() * change), there, atol=1e-11)


@given(n=st.integers(1, 5), data=st.data())
def test_put_in_and_left_out(xp: Any, n: int, data: Any) -> None:
    place = st.integers(-n, n - 1)
    mask = st.lists(st.booleans(), min_size=n, max_size=n).map(np.array)
    piece = st.slices(n)
    gone = data.draw(st.one_of(place, st.lists(place, max_size=4), piece, mask))
    check(lambda m, x: m.delete(x, gone, axis=0), noise((n, 2)))
    new = data.draw(st.one_of(place, st.lists(place, min_size=2, max_size=4), piece))
    check(lambda m, x, v: m.insert(x, new, v, axis=0), noise((n, 2)), noise((1, 2), 1))


@given(shape=array_shapes(min_dims=2, max_dims=3, min_side=0, max_side=4), k=st.integers(-5, 5), data=st.data())
def test_diagonals_and_triangles(xp: Any, shape: Any, k: int, data: Any) -> None:
    a, b = data.draw(st.permutations(range(len(shape))))[:2]
    check(lambda m, x: m.diagonal(x, k, a, b - len(shape)), noise(shape))
    check(lambda m, x: m.tril(x, k), noise(shape))
    check(lambda m, x: m.triu(x, k), noise(shape))
    check(lambda m, x: m.diagflat(x, k), noise(shape))


def test_results_are_lists_and_tuples_as_numpys(xp: Any) -> None:
    x = mg.tensor(np.ones((4, 4)))
    assert type(mg.split(x, 2)) is list
    for several in (mg.atleast_2d(x, x), mg.broadcast_arrays(x, x[0]), mg.meshgrid(x[0], x[1]), mg.unstack(x)):
        assert type(several) is tuple
    assert mg.atleast_1d(x) is x
    assert (mg.shape(x), mg.ndim(x), mg.size(x), mg.size(x, 1)) == ((4, 4), 2, 16, 4)
    assert (mg.shape([[1, 2]]), mg.ndim(1.0), mg.size([1, 2])) == ((1, 2), 0, 2)
    assert [part.shape for part in mg.where(mg.tensor(np.array([1.0, 0.0, 2.0])))] == [(2,)]
    assert mg.unstack(x[:0]) == ()
    assert mg.asarray(x) is x


def test_lists_and_arrays_beside_tensors(xp: Any) -> None:
    """Python lists take the dtype of the tensor; an array keeps its own."""
    x = mg.tensor([1.0, 2.0], requires_grad=True)
    for y in (mg.concatenate([x, [3.0]]), mg.append(x, 3.0), mg.insert(x, 2, 3.0), mg.hstack([x, 3.0])):
        assert (y.tolist(), y.dtype, y.requires_grad) == ([1.0, 2.0, 3.0], np.float32, True)
    assert mg.array([x[0], 1, 2.5]).tolist() == [1.0, 1.0, 2.5]
    assert mg.array([x[0], mg.tensor(2.0, dtype=np.float64)]).dtype == np.float64
    assert mg.array([1.0, 2.0]).dtype == np.float32
    assert mg.array(np.ones(2)).dtype == np.float64
    assert mg.linspace(0, 1, 3).tolist() == [0.0, 0.5, 1.0]
    assert mg.full((2,), 1.5).dtype == np.float32


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda x: mg.moveaxis(x, 0, (0, 1)), "moveaxis: got 1 axes as source and 2"),
        (lambda x: mg.moveaxis(x, (0, 0), (0, 1)), "source: got"),
        (lambda x: mg.moveaxis(x, 3, 0), "source: axis 3 is out of bounds"),
        (lambda x: mg.rollaxis(x, 0, 4), "'start' arg"),
        (lambda x: mg.reshape(x, (3, 2), order="A"), "order: got 'A'"),
        (lambda x: mg.matrix_transpose(x[0]), "matrix_transpose: got shape"),
        (lambda x: mg.fliplr(x[0]), "fliplr: got shape"),
        (lambda x: mg.split(x, 2, axis=1), "split: got 2 sections of 3 elements"),
        (lambda x: mg.array_split(x, 0), "got 0, want at least one section"),
        (lambda x: mg.vsplit(x[0], 1), "vsplit: got shape"),
        (lambda x: mg.dsplit(x, 1), "dsplit: got shape"),
        (lambda x: mg.unstack(x[0, 0]), "unstack: got shape"),
        (lambda x: mg.block([x, [x]]), "block: arrays: want lists nested"),
        (lambda x: mg.block([]), "block: arrays: want lists nested"),
        (lambda x: mg.pad(x, 1, "bounce"), "pad: mode: got 'bounce'"),
        (lambda x: mg.pad(x, -1), "pad: pad_width: got -1"),
        (lambda x: mg.pad(x, ((1, 2, 3),)), "pad: pad_width: got"),
        (lambda x: mg.pad(x, 1, constant_values=((1, 2),) * 3), "pad: got 3 pairs of values for 2 axes"),
        (lambda x: mg.pad(x[:0], 1, "edge"), "axis 0 of shape .* is empty"),
        (lambda x: mg.pad(x, 1, "mean", stat_length=0), "stat_length: got 0"),
        (lambda x: mg.array([[x], [x, x]]), "array: object: got nested lists"),
        (lambda x: mg.array([x, 1.0]), "stack: got"),
        (lambda x: mg.linspace(x, x, -1), "num: got -1"),
        (lambda x: mg.meshgrid(x[0], indexing="yx"), "indexing: got 'yx'"),
        (lambda x: mg.apply_along_axis(mg.sum, 1, x[:0]), "apply_along_axis: got shape"),
        (lambda x: mg.apply_over_axes(lambda a, k: a[0, 0], x, 0), "apply_over_axes: func returned shape"),
        (lambda x: mg.vectorize(mg.sin)(x[:0]), "vectorize: got arrays of shape"),
        (lambda x: mg.insert(x, 9, 1.0), "index 9 is out of bounds"),
        (lambda x: mg.delete(x, 9), "index 9 is out of bounds"),
    ],
)
def test_errors_say_what_is_wanted(xp: Any, call: Any, words: str) -> None:
    with pytest.raises((ValueError, IndexError), match=words):
        call(mg.tensor(np.ones((2, 3)), requires_grad=True))


@pytest.mark.parametrize("reps", [2, (2, 1), [2, 1], [3], np.int64(2), np.array(2), np.array([2, 1])], ids=repr)
def test_tile_takes_its_numbers_in_any_form(reps: Any) -> None:
    host = np.arange(6.0).reshape(2, 3)
    np.testing.assert_array_equal(mg.tile(mg.tensor(host), reps).numpy(), np.tile(host, reps))


def test_pieces_are_views_whose_memory_is_watched() -> None:
    """A write into the array before the backward pass is detected through a saved view of it."""
    x = mg.tensor(np.ones((4, 2)), requires_grad=True)
    first, _ = mg.split(x, 2)
    loss = (first * first).sum()
    x.data[...] = 2.0
    with pytest.raises(mg.GraphError, match="was written into since"):
        loss.backward()
