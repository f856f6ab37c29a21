"""Reading and writing at indices of every kind, for random shapes and indices."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given, settings, strategies as st
from hypothesis.extra.numpy import array_shapes, arrays, basic_indices, integer_array_indices

import minigrad as mg
from minigrad.ops.indexing import gather as indexing

SHAPES = array_shapes(max_dims=3, min_side=1, max_side=4)


@pytest.fixture(params=["few", "many"])
def size(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Small arrays, added up by the method for small arrays and by that for large ones."""
    if request.param == "many":
        monkeypatch.setattr(indexing, "FEW", 0)
        monkeypatch.setattr(indexing, "BLOCK", 2)


def noise(shape: Any, k: int = 0) -> np.ndarray:
    return np.random.default_rng(k).standard_normal(shape)


def added(shape: Any, index: Any, g: np.ndarray) -> np.ndarray:
    y = np.zeros(shape)
    np.add.at(y, index, g)
    return y


@st.composite
def indices(draw: Any) -> tuple[tuple[int, ...], Any]:
    """A shape, and an index to it: basic, integer arrays, masks, or some of each."""
    shape = draw(SHAPES)
    kind = draw(st.sampled_from(["basic", "arrays", "mask", "mixed"]))
    if kind == "basic":
        return shape, draw(basic_indices(shape, allow_newaxis=True))
    if kind == "arrays":
        lead = draw(st.integers(1, len(shape)))
        return shape, draw(integer_array_indices(shape[:lead], result_shape=array_shapes(max_dims=2, max_side=4)))
    if kind == "mask":
        return shape, draw(arrays(bool, shape[: draw(st.integers(1, len(shape)))]))
    ids = integer_array_indices(shape[:1], result_shape=st.just((3,)))
    parts = [draw(st.one_of(st.just(slice(None, None, 2)), st.integers(-n, n - 1))) for n in shape]
    place = draw(st.integers(0, len(shape) - 1))
    parts[place] = draw(ids)[0] % shape[place]
    return shape, tuple(parts)


def on_device(xp: Any, index: Any) -> Any:
    """The index with its arrays on the backend."""
    if isinstance(index, tuple):
        return tuple(xp.array(p) if isinstance(p, np.ndarray) else p for p in index)
    return xp.array(index) if isinstance(index, np.ndarray) else index


@settings(max_examples=150)
@given(drawn=indices())
def test_any_index(xp: Any, size: None, drawn: Any) -> None:
    """The value is NumPy's; the gradient adds up over repeated elements."""
    shape, index = drawn
    host = noise(shape)
    x = mg.tensor(host, requires_grad=True)
    y = x[on_device(xp, index)]
    np.testing.assert_array_equal(y.numpy(), host[index])
    seed = noise(y.shape, 1)
    (g,) = mg.gradients(y, [x], mg.tensor(seed))
    np.testing.assert_allclose(g.numpy(), added(shape, index, seed), atol=1e-14)


@pytest.mark.parametrize("width", [(), (3,), (2, 5), (1500,)])
def test_many_rows_are_added_up(xp: Any, width: tuple[int, ...]) -> None:
    """Enough rows for every method of adding, negative indices among them, with the same result in every run."""
    ids = np.random.default_rng(0).integers(-6, 6, (40, 30))
    seed = noise((40, 30, *width), 1)

    def gradient() -> np.ndarray:
        x = mg.tensor(noise((6, *width)), requires_grad=True)
        (g,) = mg.gradients(x[xp.array(ids)], [x], mg.tensor(seed))
        return g.numpy()

    np.testing.assert_allclose(gradient(), added((6, *width), ids, seed), atol=1e-12)
    np.testing.assert_array_equal(gradient(), gradient())


@given(n=st.integers(1, 4), axis=st.integers(-2, 1), data=st.data())
def test_taking_along_any_axis(xp: Any, size: None, n: int, axis: int, data: Any) -> None:
    shape = (n, 3)
    ids = data.draw(arrays(np.int64, st.tuples(st.integers(0, 4)), elements=st.integers(-shape[axis], shape[axis] - 1)))
    host = noise(shape)
    x = mg.tensor(host, requires_grad=True)
    y = mg.take(x, xp.array(ids), axis=axis)
    expected = np.take(host, ids, axis=axis)
    np.testing.assert_array_equal(y.numpy(), expected)
    seed = noise(expected.shape, 1)
    (g,) = mg.gradients(y, [x], mg.tensor(seed))
    place = (*(slice(None),) * (axis % 2), ids)
    np.testing.assert_allclose(g.numpy(), added(shape, place, seed), atol=1e-14)


WRITES = {"add": np.add.at, "multiply": np.multiply.at, "max": np.maximum.at, "min": np.minimum.at}


@settings(max_examples=60)
@given(drawn=indices(), name=st.sampled_from(["set", *WRITES]))
def test_writing_at_any_index(xp: Any, size: None, drawn: Any, name: str) -> None:
    """The value is that of NumPy's in-place write; the gradient agrees with finite differences."""
    shape, index = drawn
    host = noise(shape)
    values, changes = noise(host[index].shape, 1), (noise(shape, 2), noise(host[index].shape, 3))
    assume(values.size)

    def written(x: np.ndarray, v: np.ndarray) -> np.ndarray:
        y = x.copy()
        if name == "set":
            y[index] = v
        else:
            WRITES[name](y, index, v)
        return y

    x, v = mg.tensor(host, requires_grad=True), mg.tensor(values, requires_grad=True)
    y = getattr(mg.at(x)[on_device(xp, index)], name)(v)
    np.testing.assert_allclose(y.numpy(), written(host, values), rtol=1e-13)
    seed = noise(shape, 4)
    found = mg.gradients(y, [x, v], mg.tensor(seed))
    step = 1e-6
    ends = [written(host + s * step * changes[0], values + s * step * changes[1]) for s in (1, -1)]
    slope = np.sum(seed * (ends[0] - ends[1])) / (2 * step)
    np.testing.assert_allclose(sum(np.sum(g.numpy() * c) for g, c in zip(found, changes)), slope, rtol=1e-6, atol=1e-7)


def test_the_array_is_left_alone(xp: Any) -> None:
    x = mg.tensor([1.0, 2.0], requires_grad=True)
    places = mg.at(x)[xp.array(np.array([0, 0]))]
    for name in ("set", "add", "subtract", "multiply", "divide", "max", "min"):
        assert getattr(places, name)(3.0).dtype == np.float32
    assert x.tolist() == [1.0, 2.0]


def test_one_value_by_a_mask_waits_for_no_device(xp: Any) -> None:
    x, v = mg.tensor(np.ones((2, 3)), requires_grad=True), mg.tensor(2.0, dtype=np.float64, requires_grad=True)
    mask = xp.array(np.array([True, False]))
    with xp.no_sync():
        y = mg.at(x)[mask].multiply(v)
        found = mg.gradients(y.sum(), [x, v])
    assert y.tolist() == [[2.0] * 3, [1.0] * 3]
    assert found[0].tolist() == [[2.0] * 3, [1.0] * 3]
    assert found[1].item() == 3.0


def test_a_later_write_into_an_index_changes_nothing(xp: Any) -> None:
    """The user may write into the index before the backward pass."""
    ids = xp.array(np.array([0, 0]))
    x = mg.tensor(np.ones(3), requires_grad=True)
    y = mg.at(x)[ids].add(mg.tensor(np.ones(2))) * x[ids].sum() + mg.take(x, ids, axis=0).sum()
    ids[...] = 2
    (g,) = mg.gradients(y.sum(), [x])
    assert g.tolist() == [2 + 2 * 5 + 6, 2, 2]


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda x: mg.take(x, [0], axis=2), "take: axis: axis 2 is out of bounds"),
        (lambda x: mg.take(x, [0], axis=0, mode="bounce"), "take: mode: got 'bounce'"),
        (lambda x: mg.fill_diagonal(x[0], 1.0), r"fill_diagonal: got shape \(3,\)"),
        (lambda x: mg.diag(x[None]), r"diag: got shape \(1, 2, 3\)"),
        (lambda x: mg.ix_(x), "ix_: argument 0"),
        (lambda x: mg.diag_indices_from(x), "diag_indices_from: got shape"),
        (lambda x: mg.at(x)[0].set(mg.tensor([1.0, 2.0])), r"set_at: got \(\(2, 3\)"),
    ],
)
def test_errors_say_what_is_wanted(xp: Any, call: Any, words: str) -> None:
    with pytest.raises((ValueError, IndexError), match=words):
        call(mg.tensor(np.ones((2, 3)), requires_grad=True))


def test_numbers_beyond_the_choices_are_refused() -> None:
    with pytest.raises(ValueError, match="choose: a: got 0 to 2, want 0 to 1"):
        mg.choose(np.array([0, 2]), [mg.tensor([1.0, 2.0]), 3.0])


CONSTANTS: dict[str, Any] = {
    "nonzero": lambda m, x: m.nonzero(x)[1],
    "argwhere": lambda m, x: m.argwhere(x),
    "flatnonzero": lambda m, x: m.flatnonzero(x),
    "indices": lambda m, x: m.indices((2, 3)),
    "indices of another dtype": lambda m, x: m.indices((2,), dtype=np.int32),
    "indices of no axes": lambda m, x: m.indices(()),
    "sparse indices": lambda m, x: m.indices((2, 3), sparse=True)[1],
    "ix_": lambda m, x: m.ix_([0, 2], [True, False, True], [])[1],
    "ix_ of nothing": lambda m, x: m.ix_([0, 2], [])[1],
    "diag_indices": lambda m, x: m.diag_indices(3, 3)[2],
    "diag_indices_from": lambda m, x: m.diag_indices_from(x[:, :2])[1],
    "tril_indices": lambda m, x: m.tril_indices(3, -1, 4)[1],
    "triu_indices": lambda m, x: m.triu_indices(3, 1)[0],
    "tril_indices_from": lambda m, x: m.tril_indices_from(x)[1],
    "triu_indices_from": lambda m, x: m.triu_indices_from(x, 1)[1],
    "unravel_index": lambda m, x: m.unravel_index([5, 0], (2, 3))[1],
    "ravel_multi_index": lambda m, x: m.ravel_multi_index(([1, 0], [2, 1]), (2, 3)),
    "eye": lambda m, x: m.eye(2, 3, 1, dtype=np.float64),
    "identity": lambda m, x: m.identity(2, dtype=np.float32),
    "tri": lambda m, x: m.tri(2, 3, 1, dtype=np.float64),
    "full": lambda m, x: m.full(2, 1.5, dtype=np.float64),
    "full of a vector": lambda m, x: m.full((2, 2), [1, 2]),
    "array": lambda m, x: m.array([[1, 2], [3, 4]]),
    "array of another dtype": lambda m, x: m.array([[1, 2], [3, 4]], dtype=np.float64),
    "asarray": lambda m, x: m.asarray([1, 2]),
}


@pytest.mark.parametrize("name", CONSTANTS)
def test_constants(xp: Any, name: str) -> None:
    host = np.array([[0.0, 1.0, 2.0], [3.0, 0.0, 0.0]])[:, :3]
    found, expected = CONSTANTS[name](mg, mg.tensor(host, requires_grad=True)), CONSTANTS[name](np, host)
    np.testing.assert_array_equal(found.numpy(), expected)
    assert found.dtype == expected.dtype
    assert found.backend == xp.name
    assert not found.requires_grad
