"""Writes into the arrays of leaves and computed tensors, caught before they make a gradient wrong."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import minigrad as mg
from minigrad import GraphError, Tensor
from tests.engine.leaves import leaf, noise

WRITES: dict[str, Callable[[Tensor, Any], None]] = {}


def write(function: Callable[[Tensor, Any], None]) -> Callable[[Tensor, Any], None]:
    WRITES[function.__name__] = function
    return function


@write
def by_augmented_assignment(w: Tensor, held: Any) -> None:
    w.data -= 0.5


@write
def into_data(w: Tensor, held: Any) -> None:
    w.data[...] = 9.0


@write
def into_an_array_held_since_before(w: Tensor, held: Any) -> None:
    held[0, 0] += 1.0


USES: dict[str, Callable[[Tensor], Tensor]] = {
    "itself": lambda w: (w * w).sum(),
    "a product": lambda w: mg.tanh(leaf(noise(2, 2)) @ w).sum(),
    "its transpose": lambda w: (leaf(noise(2, 2)) @ w.T).sum(),
    "a view of a view": lambda w: mg.exp(w[0].reshape((2, 1)) * leaf(noise(2, 1))).sum(),
    "linear": lambda w: mg.linear(leaf(noise(2, 2)), w).sum(),
}


@pytest.mark.parametrize("how", WRITES)
@pytest.mark.parametrize("use", USES)
def test_writing_between_forward_and_backward_is_caught(use: str, how: str) -> None:
    w = leaf(noise(2, 2))
    held = w.data if how == "into_an_array_held_since_before" else None
    if how == "into_data":
        _ = w.data  # the array must have been asked for before the use, or nobody could know what it held
    loss = USES[use](w)
    WRITES[how](w, held)
    with pytest.raises(GraphError, match=r"saved a tensor of shape \(2, [12]\) that was written into"):
        loss.backward()


@pytest.mark.parametrize("use", USES)
def test_an_augmented_write_is_caught_on_every_backend(xp: Any, use: str) -> None:
    w = leaf(noise(2, 2))
    loss = USES[use](w)
    w.data -= 0.5
    with pytest.raises(GraphError, match="written into"):
        loss.backward()


@pytest.mark.parametrize("how", WRITES)
@pytest.mark.parametrize("use", USES)
def test_writing_between_walks_is_fine(xp: Any, use: str, how: str) -> None:
    w = leaf(noise(2, 2))
    held = w.data
    for _ in range(3):
        w.grad = None
        USES[use](w).backward()
        WRITES[how](w, held)
    expected = leaf(w.numpy())
    w.grad = None
    for x in (w, expected):
        USES[use](x).backward()
    np.testing.assert_allclose(w.grad.numpy(), expected.grad.numpy())


def test_a_write_after_a_forward_that_was_never_walked_is_caught() -> None:
    w = leaf(noise(2, 2))
    _ = w.data
    (w * w).sum()  # an evaluation, dropped
    w.data[...] = 2.0
    loss = (w * w).sum()
    w.data[...] = 3.0
    with pytest.raises(GraphError, match="written into"):
        loss.backward()


def test_rebinding_the_array_leaves_the_recorded_graph_alone(xp: Any) -> None:
    w = leaf([1.0, 2.0])
    loss = (w * w).sum()
    w.data = xp.array(np.array([5.0, 6.0]))
    loss.backward()
    assert w.grad.tolist() == [2.0, 4.0]
    w.grad = None
    (w * w).sum().backward()
    assert w.grad.tolist() == [10.0, 12.0]


def test_an_array_bound_to_a_leaf_is_watched() -> None:
    w = leaf([1.0, 2.0])
    mine = np.array([5.0, 6.0])
    w.data = mine
    loss = (w * w).sum()
    mine[0] = 0.0
    with pytest.raises(GraphError, match="written into"):
        loss.backward()


def test_a_write_that_no_rule_needs_is_no_matter(xp: Any) -> None:
    w = leaf([1.0, 2.0])
    loss = (w + w).sum()
    w.data -= 1.0
    loss.backward()
    assert w.grad.tolist() == [2.0, 2.0]


def test_a_leafs_data_may_be_given_as_a_tensor() -> None:
    w = leaf([1.0, 2.0])
    w.data = mg.tensor(np.array([3.0, 4.0]))
    assert w.tolist() == [3.0, 4.0]
    assert [part.tolist() for part in w.detach()] == [3.0, 4.0]
    assert [part.requires_grad for part in w] == [True, True]


def test_empty_leaves_are_watched_too() -> None:
    w = leaf(np.zeros((0, 3)))
    _ = w.data
    (w * w).sum().backward()
    assert w.grad.shape == (0, 3)


def test_data_of_a_computed_tensor_is_read_only() -> None:
    y = leaf([1.0, 2.0]) * 2
    with pytest.raises(ValueError, match="read-only"):
        y.data[0] = 5.0
    with pytest.raises(ValueError, match="computed by 'multiply'"):
        y.data = np.zeros(2)


def test_data_must_fit(xp: Any) -> None:
    w = leaf([1.0, 2.0])
    with pytest.raises(ValueError, match=r"shape \(3,\), want \(2,\)"):
        w.data = xp.array(np.zeros(3))
    with pytest.raises(TypeError, match="float32, want float64"):
        w.data = xp.array(np.zeros(2, np.float32))


def test_tensors_are_not_written_by_index(xp: Any) -> None:
    with pytest.raises(TypeError, match=r"minigrad\.at\(x\)"):
        leaf([1.0])[0] = 2.0


@pytest.mark.parametrize("saved_by", [lambda w: w * w, lambda w: w.T @ w.T, lambda w: w[0] * w[1]])
def test_the_first_data_access_may_be_the_write(saved_by: Any) -> None:
    w = mg.tensor(np.ones((2, 2)), requires_grad=True)
    y = saved_by(w).sum()
    w.data[...] = 0
    with pytest.raises(mg.GraphError, match="written into"):
        y.backward()
    saved_by(w).sum().backward()  # what is recorded afterwards is right
    w = mg.tensor(np.ones((2, 2)), requires_grad=True)
    y = saved_by(w).sum()
    assert w.data[0, 0] == 1  # a look is no write
    y.backward()


def test_what_detach_gives_cannot_spoil_the_graph() -> None:
    w = mg.tensor(np.ones(3), requires_grad=True)
    computed = mg.tanh(w)
    with pytest.raises(ValueError, match="read-only"):
        computed.detach().data[:] = 0
    alias = w.detach()
    y = (w * w).sum()
    alias.data[:] = 0
    with pytest.raises(mg.GraphError, match="written into"):
        y.backward()


def test_an_index_may_be_written_into_before_the_walk() -> None:
    w = mg.tensor(np.ones(3), requires_grad=True)
    for pick in (lambda i: w[i], lambda i: mg.take(w, i)):
        w.grad = None
        index = np.array([0, 0, 1])
        y = pick(index).sum()
        index[:] = 2
        y.backward()
        assert w.grad is not None
        np.testing.assert_array_equal(w.grad.numpy(), [2, 1, 0])


def test_numpys_masked_arrays_do_not_get_at_the_array() -> None:
    """`numpy.ma.getdata` asks any object for `_data`: a write into a leaf's array would go unnoticed."""
    w = leaf([1.0, 2.0])
    with pytest.raises(TypeError, match="this tensor is on the tape"):
        np.ma.getdata(w)
    c = mg.tensor(np.array([1.0, 2.0]))
    np.ma.getdata(c)[0] = 5.0
    assert c.tolist() == [1.0, 2.0]
