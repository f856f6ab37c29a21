"""Gradients are deposited in all leaves at once, and none is lost between threads."""

from __future__ import annotations

import sys
import threading
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

import minigrad as mg
from minigrad import differentiate
from minigrad.engine.tensor import Tensor
from tests.engine.leaves import leaf
from tests.support.interrupts import interrupts


def loss_of(leaves: list[Tensor]) -> Tensor:
    """Σₖ Σ (k + 1)·x: the gradient of leaf k is k + 1 everywhere."""
    total = mg.tensor(np.zeros(()))
    for k, x in enumerate(leaves):
        total = total + (x * float(k + 1)).sum()
    return total


def grads(leaves: list[Tensor]) -> list[Any]:
    return [None if x.grad is None else x.grad.tolist() for x in leaves]


def read_only(array: np.ndarray) -> Tensor:
    array.flags.writeable = False
    return mg.engine.tensor.tensor_view(array)


@pytest.mark.parametrize("place", [0, 1, 2])
def test_a_read_only_grad_is_added_to_and_left_alone(place: int) -> None:
    leaves = [leaf([1.0, 2.0]) for _ in range(3)]
    held = np.array([10.0, 20.0])
    leaves[place].grad = read_only(held)
    loss_of(leaves).backward()
    want: list[Any] = [[k + 1.0, k + 1.0] for k in range(3)]
    want[place] = [10.0 + place + 1, 20.0 + place + 1]
    assert grads(leaves) == want
    assert held.tolist() == [10.0, 20.0]


def test_a_computed_tensor_cut_off_may_be_a_grad() -> None:
    x, y = leaf([1.0, 2.0]), leaf([3.0, 4.0])
    y.grad = (y * 2).detach()
    (x * y).sum().backward()
    assert grads([x, y]) == [[3.0, 4.0], [6.0 + 1.0, 8.0 + 2.0]]


def test_a_grad_that_two_leaves_share_is_not_written_into() -> None:
    x, y = leaf([1.0]), leaf([1.0])
    x.grad = y.grad = mg.tensor(np.array([5.0]))
    (x * 2 + y * 3).sum().backward()
    assert grads([x, y]) == [[7.0], [8.0]]


class Full(Tensor):
    """A gradient to which nothing can be added."""

    __slots__ = ()

    @property
    def _array(self) -> Any:
        raise MemoryError

    @_array.setter
    def _array(self, value: Any) -> None:
        pass

    def __add__(self, other: Any) -> Any:
        raise MemoryError


@pytest.mark.parametrize("create_graph", [False, True])
@pytest.mark.parametrize("place", [0, 1, 2])
def test_an_error_half_way_changes_no_grad(place: int, create_graph: bool) -> None:
    leaves = [leaf([1.0, 2.0]) for _ in range(3)]
    loss_of(leaves).backward()
    leaves[place].node.grad = Full(np.ones(2))
    held = [x.grad for x in leaves]
    with pytest.raises(MemoryError):
        loss_of(leaves).backward(create_graph=create_graph)
    assert all(x.grad is g for x, g in zip(leaves, held))
    assert [g.tolist() for k, g in enumerate(held) if k != place] == [[k + 1.0] * 2 for k in range(3) if k != place]


@given(st.lists(st.sampled_from([(), (3,), (2, 3), (300,)]), min_size=1, max_size=3), st.integers(0, 2))
@settings(max_examples=4, deadline=None)
def test_ctrl_c_anywhere_deposits_all_or_nothing(shapes: list[tuple[int, ...]], rounds: int) -> None:
    leaves = [leaf(np.zeros(shape)) for shape in shapes]
    for _ in range(rounds):
        loss_of(leaves).backward()
    held = [x.grad for x in leaves]
    before = [np.full(x.shape, float(rounds * (k + 1))) for k, x in enumerate(leaves)]
    after = [np.full(x.shape, float((rounds + 1) * (k + 1))) for k, x in enumerate(leaves)]

    def step() -> None:
        loss.backward()

    loss, done = loss_of(leaves), 0
    for point in interrupts(step, "differentiate.py", "tape.py"):
        changed = [x.grad is not g for x, g in zip(leaves, held)]
        assert len(set(changed)) == 1, point
        done += changed[0]
        for x, g, want in zip(leaves, held, after if changed[0] else before):
            np.testing.assert_array_equal(np.zeros(x.shape) if x.grad is None else x.grad.numpy(), want)
            x.grad = g
        loss = loss_of(leaves)
    assert done  # the last point comes after the deposit


def test_threads_that_share_a_leaf_lose_no_gradient() -> None:
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        for _ in range(60):
            w = leaf(np.ones(()))
            start = threading.Barrier(4)

            def run(w: Tensor = w, start: Any = start) -> None:
                loss = (w * 1.0).sum()
                start.wait()
                loss.backward()

            threads = [threading.Thread(target=run) for _ in range(4)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            assert w.grad is not None
            assert w.grad.item() == 4
    finally:
        sys.setswitchinterval(interval)


def test_a_second_thread_waits_until_the_first_has_deposited(monkeypatch: Any) -> None:
    """The first thread stops inside its deposit: without a lock the second one would deposit meanwhile."""
    w, inside, go_on = leaf(np.ones(())), threading.Event(), threading.Event()
    right = differentiate._sums

    def slow(items: Any) -> Any:
        result = right(items)
        if not inside.is_set():
            inside.set()
            assert go_on.wait(10)
        return result

    monkeypatch.setattr(differentiate, "_sums", slow)
    threads = [threading.Thread(target=(w * float(k)).sum().backward) for k in (1, 2)]
    threads[0].start()
    assert inside.wait(10)
    threads[1].start()
    threads[1].join(0.05)
    assert threads[1].is_alive()
    go_on.set()
    for thread in threads:
        thread.join(10)
    assert w.grad is not None
    assert w.grad.item() == 3


def test_a_deposit_inside_a_deposit_goes_on(monkeypatch: Any) -> None:
    """A finaliser may run anywhere, and may run a backward pass."""
    w, v = leaf([1.0]), leaf([1.0])
    right = differentiate._sums

    def nested(items: Any) -> Any:
        monkeypatch.setattr(differentiate, "_sums", right)
        (v * 2).sum().backward()
        return right(items)

    monkeypatch.setattr(differentiate, "_sums", nested)
    (w * 3).sum().backward()
    assert grads([w, v]) == [[3.0], [2.0]]


def test_a_gradient_that_does_not_fit_leaves_every_grad_as_it_was() -> None:
    tree = {"a": leaf([1.0, 2.0]), "b": leaf([3.0])}
    with pytest.raises(TypeError, match="got float32"):
        mg.assign_gradients(tree, {"a": mg.tensor(np.ones(2)), "b": mg.tensor(np.ones(1, np.float32))})
    assert grads(list(tree.values())) == [None, None]
    mg.assign_gradients(tree, {"a": mg.tensor(np.ones(2)), "b": mg.tensor(np.ones(1))})
    assert grads(list(tree.values())) == [[1.0, 1.0], [1.0]]


@pytest.mark.parametrize("rounds", [1, 2])
def test_a_gradient_that_somebody_holds_is_copied(rounds: int) -> None:
    kept: list[np.ndarray] = []

    @mg.primitive
    def triple(xp: Any, x: Any) -> Any:
        def rule(xp: Any, g: Any) -> Any:
            kept.append(g * 3)
            return kept[-1]

        return x * 3, (), rule

    x = leaf([1.0, 2.0])
    for _ in range(rounds):
        triple(x).sum().backward()
    assert x.grad is not None
    mg.optim.clip_grad_value([x], 0.5)
    assert [g.tolist() for g in kept] == [[3.0, 3.0]] * rounds
    y, seed = leaf([1.0, 2.0]), np.array([5.0, 6.0])
    for _ in range(rounds):
        y.backward(seed)
    mg.optim.clip_grad_value([y], 0.5)
    assert seed.tolist() == [5.0, 6.0]
