"""The tape and its walk: pooling, life and death of the graph, higher orders, and what is refused."""

from __future__ import annotations

import gc
import sys
import threading
import tracemalloc
import weakref
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from hypothesis import given, strategies as st

import minigrad as mg
from minigrad import GraphError, JointRule, Parameter, Tensor
from minigrad.engine import fast_path
from minigrad.engine.fast_path import number_as_array
from minigrad.engine.primitive import REGISTRY, call_in, primitive, primitive_with_outputs


@pytest.fixture
def no_gc() -> Iterator[None]:
    """What is freed in the test is freed by reference count alone."""
    gc.collect()
    gc.disable()
    yield
    gc.enable()


def leaf(values: Any, **options: Any) -> Tensor:
    return mg.tensor(np.asarray(values, np.float64), requires_grad=True, **options)


def noise(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape)


# Pooling and .grad


@pytest.mark.parametrize("uses", [1, 2, 3, 50])
@pytest.mark.parametrize(
    ("use", "slope"),
    [
        (lambda w: w * 2.0, 2.0),
        (lambda w: w + w, 2.0),
        (lambda w: w[::-1], 1.0),
        (lambda w: mg.broadcast_to(w, (4, 3)), 4.0),
        (lambda w: mg.concatenate([w, w, w]), 3.0),
        (lambda w: mg.tensor(np.ones((5, 3))) + w, 5.0),
    ],
)
def test_a_shared_value_gets_the_sum_of_its_uses(xp: Any, use: Any, slope: float, uses: int) -> None:
    w = leaf([1.0, 2.0, 3.0])
    loss = sum(use(w).sum() * float(k) for k in range(1, uses + 1))
    loss.backward()
    np.testing.assert_allclose(w.grad.numpy(), slope * uses * (uses + 1) / 2)


def test_a_shared_interior_value_is_walked_once(xp: Any) -> None:
    x = leaf([0.5, -0.5])
    runs = []

    @primitive
    def counted(xp: Any, x: Any) -> Any:
        return x * 3.0, (), lambda xp, g: runs.append(1) or g * 3.0

    y = counted(x)
    (y * y + y + y).sum().backward()
    assert len(runs) == 1
    np.testing.assert_allclose(x.grad.numpy(), 18 * x.numpy() + 6)


SHARING: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "sum of both": lambda a, b: a + b,
    "twice the same": lambda a, b: (a + b) + (a + b),
    "reshaped": lambda a, b: mg.reshape(a, (3, 2)) + mg.reshape(b, (3, 2)),
    "broadcast from a sum": lambda a, b: a.sum() + b.sum(),
    "concatenated": lambda a, b: mg.concatenate([a, b]),
    "the leaf itself": lambda a, b: a,
}


@pytest.mark.parametrize("create_graph", [False, True])
@pytest.mark.parametrize("how", SHARING)
def test_gradients_own_their_memory(xp: Any, how: str, create_graph: bool) -> None:
    """Writing into one leaf's gradient changes no other array, be it another gradient or the one handed in."""
    a, b = leaf(noise(2, 3)), leaf(noise(2, 3, seed=1))
    y = SHARING[how](a, b)
    seed = mg.tensor(np.ones(y.shape))
    y.backward(seed, create_graph=create_graph)
    held = [seed, *(x.grad for x in (a, b) if x.grad is not None)]
    before = [t.numpy() for t in held]
    for k, tensor in enumerate(held):
        tensor.data[...] = 7.0
        for j, other in enumerate(held):
            if j > k:
                np.testing.assert_array_equal(other.numpy(), before[j])


@pytest.mark.parametrize("create_graph", [False, True])
def test_two_backwards_add_up(xp: Any, create_graph: bool) -> None:
    a, b = leaf([1.0, 2.0]), leaf([3.0, 4.0])
    (a + b).sum().backward(create_graph=create_graph)
    (a * b).sum().backward()
    assert a.grad.tolist() == [4.0, 5.0]
    assert b.grad.tolist() == [2.0, 3.0]
    (a * 2).sum().backward(create_graph=create_graph)
    assert a.grad.tolist() == [6.0, 7.0]
    assert b.grad.tolist() == [2.0, 3.0]
    a.grad = None
    (a * 2).sum().backward()
    assert a.grad.tolist() == [2.0, 2.0]


def test_gradients_of_the_same_input_twice_are_two_arrays(xp: Any) -> None:
    x = leaf([1.0, 2.0])
    first, second = mg.gradients((x * 3).sum(), [x, x])
    first.data[...] = 0.0
    assert second.tolist() == [3.0, 3.0]


def test_grad_refuses_what_does_not_fit(xp: Any) -> None:
    x = leaf([1.0, 2.0])
    with pytest.raises(ValueError, match=r"want None or a Tensor of shape \(2,\)"):
        x.grad = mg.tensor(np.ones(3))
    with pytest.raises(ValueError, match="only a leaf"):
        (x * 2).grad = None
    assert (x * 2).grad is None


# One walk, two walks


def test_a_second_walk_names_the_operation(xp: Any) -> None:
    x = leaf([1.0, 2.0])
    y = mg.tanh(x)
    loss = y.sum()
    loss.backward()
    message = (
        r"^backward: the graph was walked before and its entry '(sum|tanh)' \S+ is gone; pass retain_graph=True to the "
        r"first walk, or cut the graph with \.detach\(\) where it should end$"
    )
    with pytest.raises(GraphError, match=message):
        loss.backward()
    with pytest.raises(GraphError, match="entry 'tanh'"):
        (y * 2).sum().backward()
    np.testing.assert_allclose(x.grad.numpy(), 1 - np.tanh(x.numpy()) ** 2)


def test_a_retained_graph_is_walked_again(xp: Any) -> None:
    x = leaf([1.0, 2.0])
    loss = (x * x).sum()
    loss.backward(retain_graph=True)
    loss.backward(retain_graph=True)
    loss.backward()
    np.testing.assert_allclose(x.grad.numpy(), 6 * x.numpy())
    with pytest.raises(GraphError, match="walked before"):
        loss.backward()


def test_a_gradient_for_a_result_that_is_no_scalar(xp: Any) -> None:
    x = leaf(noise(2, 3))
    with pytest.raises(ValueError, match=r"backward: got an output of shape \(2, 3\) and no gradient"):
        (x * 2).backward()
    with pytest.raises(ValueError, match=r"gradient: got shape \(3,\), want the output's shape \(2, 3\)"):
        (x * 2).backward(mg.tensor(np.ones(3)))
    seed = noise(2, 3, seed=1)
    for validation in (mg.tensor(seed), xp.array(seed), mg.tensor(seed.astype(np.float32))):
        x.grad = None
        (x * 2).backward(validation)
        assert x.grad.dtype == np.float64
        np.testing.assert_allclose(x.grad.numpy(), 2 * seed, rtol=1e-6)
    (x[:1, :1] * 2).backward()  # a single value needs none, whatever its shape


def test_a_gradient_on_another_backend_is_refused() -> None:
    x = leaf([1.0], backend="strict")
    with pytest.raises(mg.BackendError, match="gradient: is on numpy, the output on strict"):
        (x * 2).backward(mg.tensor(np.ones(1), backend="numpy"))


def test_backward_of_a_constant_is_refused(xp: Any) -> None:
    for constant in (mg.tensor([1.0]), leaf([1.0]).detach()):
        with pytest.raises(GraphError, match="not on the tape"):
            constant.sum().backward()


def test_backward_from_a_leaf(xp: Any) -> None:
    x = leaf(2.0)
    x.backward()
    x.backward(mg.tensor(np.asarray(3.0)))
    assert x.grad.item() == 4.0


@pytest.mark.parametrize("dtype", [np.int64, bool])
def test_integers_cannot_require_grad(xp: Any, dtype: Any) -> None:
    with pytest.raises(TypeError, match=f"requires_grad: got dtype {np.dtype(dtype)}"):
        mg.tensor(np.ones(2, dtype), requires_grad=True)


# Depth, and memory


def test_a_hundred_thousand_steps(no_gc: None) -> None:
    """No recursion forward, backward, or when a deep graph is dropped; and reference counts free it."""
    depth = 100_000
    assert sys.getrecursionlimit() < depth
    x = leaf([0.5])
    tracemalloc.start()
    try:
        y = x
        for _ in range(depth):
            y = y + 1e-6
        y.sum().backward()
        assert x.grad.tolist() == [1.0]
        x.grad = None
        del y
        base = tracemalloc.get_traced_memory()[0]
        y = x
        for _ in range(depth):
            y = y * 1.0
        built = tracemalloc.get_traced_memory()[0] - base
        assert built > 100 * depth
        del y  # dropped without a walk
        assert tracemalloc.get_traced_memory()[0] - base < 0.01 * built
    finally:
        tracemalloc.stop()
    assert gc.collect() == 0


def watched() -> tuple[Callable[..., Tensor], list[weakref.ref[Any]]]:
    """An operation that saves an array of its own, and weak references to all that it saved."""
    saved: list[weakref.ref[Any]] = []

    @primitive
    def watched_tanh(xp: Any, x: Any) -> Any:
        y = xp.tanh(x)
        slope = 1 - y * y
        saved.append(weakref.ref(slope))
        return y, (slope,), lambda xp, g, slope: g * slope

    return watched_tanh, saved


def alive(saved: list[weakref.ref[Any]]) -> int:
    return sum(reference() is not None for reference in saved)


def test_a_dropped_graph_is_freed_at_once(xp: Any, no_gc: None) -> None:
    tanh, saved = watched()
    x = leaf(noise(3))
    y = x
    for _ in range(10):
        y = tanh(y) * y
    loss = y.sum()
    del y
    assert alive(saved) == 10
    del loss
    assert alive(saved) == 0


def test_a_walk_frees_the_graph_though_its_result_lives(xp: Any, no_gc: None) -> None:
    tanh, saved = watched()
    x = leaf(noise(3))
    y = tanh(tanh(x))
    loss = y.sum()
    loss.backward(retain_graph=True)
    assert alive(saved) == 2
    loss.backward()
    assert alive(saved) == 0
    assert loss.item() == pytest.approx(np.tanh(np.tanh(x.numpy())).sum())
    assert gc.collect() == 0


def test_memory_falls_while_the_walk_runs(xp: Any, no_gc: None) -> None:
    tanh, saved = watched()
    left: list[int] = []

    @primitive
    def milestone(xp: Any, x: Any) -> Any:
        return x * 1.0, (), lambda xp, g: left.append(alive(saved)) or g

    y = leaf(noise(3))
    for _ in range(5):
        y = tanh(milestone(y))
    y.sum().backward()
    assert left == sorted(left, reverse=True)
    assert left[0] - left[-1] == 4
    assert left[-1] <= 1  # the walk may still hold the entry that it has just left


@pytest.mark.parametrize("create_graph", [False, True])
def test_higher_orders_leave_no_cycles(xp: Any, no_gc: None, create_graph: bool) -> None:
    def run() -> None:
        x = leaf(noise(3))
        y = mg.softmax(mg.tanh(x) @ mg.tensor(noise(3, 3))) * x
        (g,) = mg.gradients(y.sum(), [x], create_graph=create_graph)
        if create_graph:
            (g * g).sum().backward()

    run()
    gc.collect()
    run()
    assert gc.collect() == 0


# Recording on and off


def test_no_grad_and_enable_grad(xp: Any) -> None:
    x = leaf([1.0])
    with mg.no_grad():
        assert not (x * 2).requires_grad
        with mg.enable_grad():
            assert (x * 2).requires_grad
            with mg.no_grad():
                assert not (x * 2).requires_grad
        assert not (x * 2).requires_grad
    assert (x * 2).requires_grad
    with pytest.raises(ZeroDivisionError), mg.no_grad():
        _ = 1 // 0
    assert (x * 2).requires_grad


def test_no_grad_as_a_decorator_that_calls_itself(xp: Any) -> None:
    x = leaf([1.0])

    @mg.no_grad()
    def off(depth: int) -> Tensor:
        return off(depth - 1) if depth else x * 2

    @mg.enable_grad()
    def on() -> Tensor:
        return x * 2

    assert not off(3).requires_grad
    with mg.no_grad():
        assert on().requires_grad
        assert not (x * 2).requires_grad
    assert (x * 2).requires_grad


def in_thread(function: Callable[[], Any]) -> Any:
    results: list[Any] = []
    thread = threading.Thread(target=lambda: results.append(function()))
    thread.start()
    thread.join()
    return results[0]


def test_recording_is_each_threads_own(xp: Any) -> None:
    x = leaf([1.0])
    with mg.no_grad(), mg.time_step(3):
        assert in_thread(lambda: (x * 2).requires_grad)
        assert in_thread(lambda: (x * 2).node.time_step) is None


def test_a_decorated_function_in_two_threads_at_once() -> None:
    """Each thread gets its own setting back: first in, first out."""
    x = leaf([1.0])
    recorded: dict[bool, bool] = {}

    @mg.no_grad()
    def inside(entered: threading.Event, leave: threading.Event) -> None:
        entered.set()
        leave.wait(10)

    def run(outside: bool, *events: threading.Event) -> None:
        with mg.enable_grad() if outside else mg.no_grad():
            inside(*events)
            recorded[outside] = (x * 2).requires_grad

    threads, leaving = [], []
    for outside in (False, True):
        entered, leave = threading.Event(), threading.Event()
        threads.append(threading.Thread(target=run, args=(outside, entered, leave)))
        leaving.append(leave)
        threads[-1].start()
        assert entered.wait(10)
    for thread, leave in zip(threads, leaving):
        leave.set()
        thread.join(10)
    assert recorded == {False: False, True: True}


def test_detach_cuts(xp: Any) -> None:
    x = leaf([2.0, 3.0])
    y = x * x
    (y.detach() * x).sum().backward()
    assert x.grad.tolist() == [4.0, 9.0]
    assert not y.detach().requires_grad


@pytest.mark.parametrize("same", [lambda x: x.detach(), lambda x: mg.Tensor(x.data)])
@pytest.mark.parametrize(
    ("function", "second"),
    [
        (lambda x, c: x * c, lambda v: 0 * v),
        (lambda x, c: c * x, lambda v: 0 * v),
        (lambda x, c: x / c, lambda v: 0 * v),
        (lambda x, c: c / x, lambda v: 2 * v / v**3),
        (lambda x, c: x**c, lambda v: v * (v - 1) * v ** (v - 2)),
        (lambda x, c: mg.maximum(x, c) * x, lambda v: np.ones_like(v)),
    ],
)
def test_a_constant_that_shares_its_array_with_a_leaf_stays_constant(
    xp: Any, same: Any, function: Any, second: Any
) -> None:
    """Second derivatives tell the two apart, though their memory is one."""
    x = leaf([2.0, 3.0])
    y = function(x, same(x))
    (g,) = mg.gradients(y.sum(), [x], create_graph=True)
    (gg,) = mg.gradients((g + x * 0).sum(), [x])
    np.testing.assert_allclose(gg.numpy(), second(np.array([2.0, 3.0])), atol=1e-12)


def test_a_loop_over_rows_takes_work_that_grows_with_their_number(monkeypatch: pytest.MonkeyPatch) -> None:
    """`x[t]` at every t: one array of x's shape is made in the walk, not T of them."""
    x = leaf(noise(50, 3))
    made = []
    zeros = np.zeros
    monkeypatch.setattr(np, "zeros", lambda shape, **options: made.append(shape) or zeros(shape, **options))
    y = x * 2.0
    total: Any = 0.0
    for t in range(50):
        total = total + (y[t] * y[t]).sum() + y[t, 1:].sum()
    total.backward()
    assert made.count((50, 3)) == 1
    expected = 8 * x.numpy()
    expected[:, 1:] += 2
    np.testing.assert_allclose(x.grad.numpy(), expected, atol=1e-12)


# Arrays written into


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


# Time steps and the ledger


def recurrence(w: Tensor, b: Tensor, steps: int) -> Tensor:
    h = mg.tensor(noise(2, 3))
    for t in range(steps):
        with mg.time_step(t):
            h = mg.tanh(mg.linear(h, w, b) + b * 0.5)
    return h.sum()


@pytest.mark.parametrize("steps", [1, 4])
def test_the_ledgers_lines_add_up_to_the_gradient(xp: Any, steps: int) -> None:
    w, b = leaf(noise(3, 3)), leaf(noise(3, seed=1))
    book = mg.ledger(recurrence(w, b, steps), [w, b])
    assert w.grad is None
    recurrence(w, b, steps).backward()
    for x, lines in ((w, 1), (b, 2)):
        assert [t for t, _ in book[x]] == sorted([*range(steps)] * lines, reverse=True)
        np.testing.assert_allclose(sum(g.numpy() for _, g in book[x]), x.grad.numpy(), rtol=1e-12)
        by_step = book.by_time_step(x)
        assert list(by_step) == list(range(steps))
        np.testing.assert_allclose(sum(g.numpy() for g in by_step.values()), x.grad.numpy(), rtol=1e-12)


def test_the_ledgers_lines_are_each_their_own(xp: Any) -> None:
    w = leaf([1.0, 2.0])
    with mg.time_step(0):
        y = w * 3
    y = y + w
    book = mg.ledger(y.sum(), [w])
    assert [(t, g.tolist()) for t, g in book[w]] == [(None, [1.0, 1.0]), (0, [3.0, 3.0])]
    assert list(book.by_time_step(w)) == [0, None]
    with pytest.raises(KeyError, match="not among those"):
        book[mg.tensor([1.0])]
    with pytest.raises(GraphError, match="not on the tape"):
        mg.ledger((w * 2).sum(), [mg.tensor([1.0])])


def test_the_ledger_sees_a_broadcast_and_a_joint_rule(xp: Any) -> None:
    @primitive
    def scaled(xp: Any, x: Any, b: Any) -> Any:
        return x * b, (x, b), JointRule(lambda xp, g, needs, x, b: (g * b, g * x))

    x, b = leaf(noise(2, 3)), leaf(noise(3, seed=1))
    full = leaf(noise(2, 3, seed=2))
    y = scaled(x, full) + x * b
    book = mg.ledger(y.sum(), [b, x, full], retain_graph=True)
    y.sum().backward()
    for z in (b, x, full):
        assert all(g.shape == z.shape for _, g in book[z])
        np.testing.assert_allclose(sum(g.numpy() for _, g in book[z]), z.grad.numpy(), rtol=1e-12)


def test_time_steps_nest_and_end(xp: Any) -> None:
    x = leaf([1.0])
    with mg.time_step(1):
        with mg.time_step(2):
            assert (x * 2).node.time_step == 2
        assert (x * 2).node.time_step == 1
    assert (x * 2).node.time_step is None


def test_an_entry_says_what_it_is() -> None:
    x = leaf([1.0, 2.0])
    with mg.time_step(3):
        y = mg.tanh(x)
    z = y.sum()
    assert repr(x.node) == f"<leaf #{x.node.serial} (2,) float64>"
    assert repr(y.node) == f"<tanh #{y.node.serial} (2,) float64, t=3>"
    assert repr(z.node) == f"<sum #{z.node.serial} () float64>"
    assert x.node.serial < y.node.serial < z.node.serial


# Several outputs


@primitive_with_outputs
def polar(xp: Any, x: Any, y: Any) -> Any:
    """(x·y, x + sin y): each output depends on both inputs, and the rule uses an output."""
    product, total = x * y, x + xp.sin(y)

    def rule(xp: Any, g: Any, needs: Any, x: Any, y: Any, product: Any) -> Any:
        by_product, by_total = g
        dx = by_product * y + by_total if needs[0] else None
        dy = by_product * product / y + by_total * xp.cos(y) if needs[1] else None
        return dx, dy

    return (product, total), (x, y, product), JointRule(rule)


def plain(x: Any, y: Any) -> tuple[Any, Any]:
    return x * y, x + mg.sin(y)


USED: dict[str, Callable[[tuple[Any, Any]], Any]] = {
    "both": lambda out: (out[0] * out[1]).sum(),
    "first": lambda out: (out[0] * out[0]).sum(),
    "second": lambda out: (out[1] * out[1]).sum(),
    "one twice": lambda out: (out[1] * 2 + out[1] * out[1] + out[0]).sum(),
}


@pytest.mark.parametrize("constant", [None, 0, 1])
@pytest.mark.parametrize("used", USED)
def test_several_outputs_some_unused(xp: Any, used: str, constant: int | None) -> None:
    results = []
    for function in (polar, plain):
        inputs = [leaf([1.0, 2.0]), leaf([0.5, 0.25])]
        if constant is not None:
            inputs[constant] = inputs[constant].detach()
        wanted = [x for x in inputs if x.requires_grad]
        loss = USED[used](function(*inputs))
        first = mg.gradients(loss, wanted, create_graph=True)
        second = mg.gradients(sum((g * g).sum() for g in first) + sum(x.sum() for x in wanted) * 0, wanted)
        results.append([g.numpy() for g in (*first, *second)])
    for ours, expected in zip(*results):
        np.testing.assert_allclose(ours, expected, rtol=1e-12)


def test_several_outputs_pass_the_checks(xp: Any) -> None:
    inputs = [leaf(noise(3)), leaf(0.5 + noise(3, seed=1) ** 2)]
    assert mg.gradcheck(polar, inputs)
    assert mg.gradgradcheck(polar, inputs)


@pytest.mark.parametrize("k", [0, 1])
def test_second_derivatives_by_one_of_several_outputs(xp: Any, k: int) -> None:
    """An output that a rule saved is the same value as the one that the user holds."""

    @primitive_with_outputs
    def exps(xp: Any, x: Any) -> Any:
        outputs = (xp.exp(x), xp.exp(2 * x))
        return outputs, outputs, JointRule(lambda xp, g, needs, u, v: (g[0] * u + g[1] * 2 * v,))

    x = leaf([0.3, 0.7])
    outputs = exps(x)
    (g,) = mg.gradients(outputs[k].sum(), [x], create_graph=True)  # u, or 2v
    (by_output,) = mg.gradients(g.sum(), [outputs[k]])
    np.testing.assert_allclose(by_output.numpy(), float(k + 1))


def test_gradients_of_one_of_several_outputs(xp: Any) -> None:
    x, y = leaf([1.0, 2.0]), leaf([0.5, 0.25])
    product, total = polar(x, y)
    found = mg.gradients((product * total).sum(), [product, total, x])
    np.testing.assert_allclose(found[0].numpy(), total.numpy())
    np.testing.assert_allclose(found[1].numpy(), product.numpy())


def test_outputs_that_are_single_numbers(xp: Any) -> None:
    @primitive_with_outputs
    def moments(xp: Any, x: Any) -> Any:
        return (xp.sum(x), xp.sum(x * x)), (x,), JointRule(lambda xp, g, needs, x: (g[0] + g[1] * 2 * x,))

    for x in (leaf([1.0, 2.0]), mg.tensor([1.0, 2.0])):
        first, second = moments(x)
        assert (first.backend, first.shape, second.item()) == (xp.name, (), 5.0)
    x = leaf([1.0, 2.0])
    mg.tanh(sum(moments(x)) * 0.1).backward()
    np.testing.assert_allclose(x.grad.numpy(), (1 - np.tanh(0.8) ** 2) * 0.1 * (1 + 2 * x.numpy()))


@pytest.mark.parametrize("missing", [0, 1])
def test_a_joint_rule_may_have_nothing_to_give(xp: Any, missing: int) -> None:
    @primitive
    def first_or_second(xp: Any, a: Any, b: Any) -> Any:
        value = b * 2.0 if missing == 0 else a * 2.0
        return value, (), JointRule(lambda xp, g, needs: (None, g * 2.0) if missing == 0 else (g * 2.0, None))

    inputs = [leaf([1.0]), leaf([1.0])]
    (first_or_second(*inputs) + inputs[missing]).sum().backward()
    assert inputs[1 - missing].grad.tolist() == [2.0]
    assert inputs[missing].grad.tolist() == [1.0]


def test_an_entry_that_gets_nothing_does_not_end_the_walk(xp: Any) -> None:
    @primitive
    def only_second(xp: Any, a: Any, b: Any) -> Any:
        return a + b, (), (lambda xp, g: None, lambda xp, g: g)

    x = leaf([1.0, 3.0])
    older = x * 2.0
    newer = mg.tanh(x)  # the walk comes here first
    only_second(newer, older).sum().backward()
    assert x.grad.tolist() == [2.0, 2.0]


# Higher orders


def test_third_order(xp: Any) -> None:
    x = leaf([0.3, -0.7])
    y = mg.exp(mg.sin(x) * 2)
    orders = []
    for _ in range(3):
        (y,) = mg.gradients(y.sum(), [x], create_graph=True)
        orders.append(y.numpy())
    v = x.numpy()
    s, c, e = np.sin(v), np.cos(v), np.exp(2 * np.sin(v))
    np.testing.assert_allclose(orders[0], 2 * c * e, rtol=1e-12)
    np.testing.assert_allclose(orders[1], (4 * c * c - 2 * s) * e, rtol=1e-12)
    np.testing.assert_allclose(orders[2], (8 * c**3 - 12 * s * c - 2 * c) * e, rtol=1e-12)


def test_a_gradient_penalty_reaches_the_leaves(xp: Any) -> None:
    w, x = leaf(noise(3, 3)), leaf(noise(2, 3, seed=1))

    def penalty(w: Tensor, x: Tensor) -> Tensor:
        (g,) = mg.gradients(mg.tanh(mg.linear(x, w)).sum(), [x], create_graph=True)
        return (g * g).sum()

    assert mg.gradcheck(penalty, [w, x])
    penalty(w, x).backward()
    assert w.grad.shape == (3, 3)


def test_gradients_of_gradients_by_the_seed(xp: Any) -> None:
    """The walk is linear in its seed: differentiating by it gives a Jacobian times a vector."""
    x, v = leaf([0.5, 1.5]), leaf([1.0, 1.0])
    (g,) = mg.gradients(mg.sin(x), [x], [v], create_graph=True)
    (jv,) = mg.gradients((g * mg.tensor(np.array([2.0, 3.0]))).sum(), [v])
    np.testing.assert_allclose(jv.numpy(), np.cos(x.numpy()) * [2.0, 3.0])


# gradients() of chosen tensors


def test_gradients_of_interior_tensors(xp: Any) -> None:
    x = leaf([1.0, 2.0])
    y = x * x
    z = mg.sin(y)
    by_z, by_y, by_x = mg.gradients(z.sum(), [z, y, x])
    np.testing.assert_allclose(by_z.numpy(), 1.0)
    np.testing.assert_allclose(by_y.numpy(), np.cos(y.numpy()))
    np.testing.assert_allclose(by_x.numpy(), np.cos(y.numpy()) * 2 * x.numpy())
    assert x.grad is None


@pytest.mark.parametrize("uses", [1, 2])
@pytest.mark.parametrize("turn", [lambda w: w.T, lambda w: w.transpose(1, 0)])
def test_gradients_of_a_transposed_weight(xp: Any, turn: Any, uses: int) -> None:
    w = leaf(noise(3, 2))
    turned = turn(w)
    loss = sum((mg.tensor(noise(4, 2)) @ turned).sum() for _ in range(uses))
    by_turned, by_w = mg.gradients(loss, [turned, w])
    expected = np.tile(noise(4, 2).sum(0)[:, None], (1, 3)) * uses
    np.testing.assert_allclose(by_turned.numpy(), expected)
    np.testing.assert_allclose(by_w.numpy(), expected.T)


def test_unused_inputs(xp: Any) -> None:
    x, other = leaf([1.0]), leaf([2.0])
    y = (x * 2).sum()
    with pytest.raises(ValueError, match=r"inputs\[1\] of shape \(1,\) was not used"):
        mg.gradients(y, [x, other], retain_graph=True)
    found = mg.gradients(y, [x, other], allow_unused=True)
    assert found[0].tolist() == [2.0]
    assert found[1] is None
    with pytest.raises(GraphError, match=r"inputs\[0\].*not on the tape"):
        mg.gradients((x * 2).sum(), [mg.tensor([1.0])])
    with pytest.raises(ValueError, match="got 2, want one for each of 1 outputs"):
        mg.gradients(x * 2, [x], [None, None])


def test_several_outputs_to_gradients(xp: Any) -> None:
    x = leaf([1.0, 2.0])
    found = mg.gradients([(x * 2).sum(), x * x], [x], [None, mg.tensor(np.array([1.0, 10.0]))])
    assert found[0].tolist() == [4.0, 42.0]


def test_gradients_walk_only_where_they_must(xp: Any) -> None:
    """Rules beside the way to the wanted input do not run."""
    runs: list[str] = []

    @primitive
    def noted(xp: Any, x: Any, who: str) -> Any:
        return x * 1.0, (), (lambda xp, g: runs.append(who) or g, None)

    a, b = leaf([1.0]), leaf([1.0])
    middle = noted(a, who="before")
    loss = (noted(middle, who="after") * noted(b, who="beside")).sum()
    mg.gradients(loss, [middle])
    assert runs == ["after"]


# Errors, custom primitives, backends, dtypes


def test_an_error_inside_an_operation_leaves_nothing_half_done(xp: Any) -> None:
    @primitive
    def fails(xp: Any, x: Any) -> Any:
        raise ValueError("no such luck")

    @primitive
    def fails_later(xp: Any, x: Any) -> Any:
        def rule(xp: Any, g: Any) -> Any:
            raise ZeroDivisionError

        return x * 1.0, (), rule

    x = leaf([1.0, 2.0])
    with mg.time_step(1):
        with pytest.raises(ValueError, match=r"fails: got \(\(2,\) float64\): no such luck"):
            fails(x)
        loss = (fails_later(x) * x).sum()
    with pytest.raises(ZeroDivisionError):
        loss.backward()
    with pytest.raises(ZeroDivisionError):
        mg.gradients(fails_later(x).sum(), [x], create_graph=True)
    assert x.grad is None
    y = x * x
    assert y.requires_grad
    assert y.node.time_step is None
    y.sum().backward()
    assert x.grad.tolist() == [2.0, 4.0]


def test_a_custom_primitive_in_a_few_lines(xp: Any) -> None:
    @primitive
    def logistic_map(xp: Any, x: Any, r: Any = 4.0) -> Any:
        return r * x * (1 - x), (x,), lambda xp, g, x: g * (r - 2 * r * x)

    x = leaf([0.3, 0.6])
    assert mg.gradcheck(lambda x: logistic_map(logistic_map(x), r=3.5), [x])
    assert mg.gradgradcheck(lambda x: logistic_map(logistic_map(x), r=3.5), [x])
    assert REGISTRY["logistic_map"] is logistic_map


def test_a_rule_missing_for_a_live_input_is_refused(xp: Any) -> None:
    @primitive
    def forgetful(xp: Any, a: Any, b: Any) -> Any:
        return a * b, (b,), lambda xp, g, b: g * b

    a, b = leaf([2.0]), leaf([3.0])
    assert forgetful(a, b.detach()).requires_grad
    with pytest.raises(TypeError, match=r"^forgetful: no rule brings a gradient to argument 1, which requires one$"):
        forgetful(a, b)

    @primitive
    def last_forgotten(xp: Any, a: Any, b: Any, c: Any) -> Any:
        return a * b * c, (), (lambda xp, g: g * b * c, lambda xp, g: g * a * c)

    assert last_forgotten(a, b, 2.0).requires_grad
    with pytest.raises(
        TypeError, match=r"^last_forgotten: no rule brings a gradient to argument 2, which requires one$"
    ):
        last_forgotten(a, 2.0, b)


@given(data=st.data())
def test_random_graphs_against_finite_differences(data: st.DataObject) -> None:
    """Values used, reused, broadcast and left unused, as they come."""
    moves: list[Callable[[Tensor, Tensor], Tensor]] = [
        lambda a, b: a * b,
        lambda a, b: a + b,
        lambda a, b: mg.tanh(a - b),
        lambda a, b: mg.sigmoid(a) @ b,
        lambda a, b: a.T * 0.5,
        lambda a, b: a.sum(axis=0, keepdims=True) * 0.3 + b,
        lambda a, b: mg.concatenate([a, b])[1:3],
        lambda a, b: mg.linear(a, b, a[0]),
        lambda a, b: mg.softmax(a)[..., ::-1],
    ]
    plan = data.draw(st.lists(st.tuples(*(st.integers(0, 99) for _ in range(3))), min_size=1, max_size=8))

    def run(*inputs: Tensor) -> Tensor:
        values = list(inputs)
        for move, first, second in plan:
            values.append(moves[move % len(moves)](values[first % len(values)], values[second % len(values)]))
        return values[-1]

    inputs = [leaf(noise(2, 2, seed=k)) for k in range(2)]
    assert mg.gradcheck(run, inputs)


@pytest.mark.parametrize("lifted", [False, True])
def test_a_real_input_feels_the_real_part_and_a_complex_one_the_whole(xp: Any, lifted: bool) -> None:
    x, W = leaf([[1.0, 2.0]]), leaf([[0.5, -1.0], [2.0, 0.3]])
    turned = x * 1j  # whose gradient by the next is complex
    back = mg.real(turned * 1j)  # -x
    through = mg.real((turned * (2 - 3j)) @ W) + mg.real((x * (1 + 1j)) @ W)  # 3 x W + x W
    dx, dW = mg.gradients((back + through).sum(), [x, W], create_graph=lifted)
    assert dx.dtype == dW.dtype == np.float64
    np.testing.assert_allclose(dx.numpy(), [[-1 + 4 * (0.5 - 1.0), -1 + 4 * (2.0 + 0.3)]])
    np.testing.assert_allclose(dW.numpy(), [[4.0, 4.0], [8.0, 8.0]])


def test_a_complex_input_of_another_precision_feels_the_whole(xp: Any) -> None:
    x = mg.tensor(np.array([1.0, 2.0], np.float32), requires_grad=True)
    turned = x * 1j
    assert turned.dtype == np.complex64
    y = mg.real(turned * xp.array(np.array([2 - 3j, 2 - 3j])))  # 3 x, in double precision
    (g,) = mg.gradients(y.sum(), [x])
    assert (g.dtype, g.tolist()) == (np.float32, [3.0, 3.0])


# The fast path


def functions_called(call: Callable[[], Any]) -> list[str]:
    """The names of the Python functions that a call runs, one by one."""
    names: list[str] = []
    sys.setprofile(lambda frame, event, arg: names.append(frame.f_code.co_name) if event == "call" else None)
    try:
        call()
    finally:
        sys.setprofile(None)
    return names


CONSTANT = mg.tensor([3.0, 4.0])
MATRIX = mg.tensor([[1.0, 2.0], [3.0, 4.0]])
FAST_CALLS: dict[str, Callable[[Tensor, Tensor], Any]] = {
    "one": lambda x, y: mg.tanh(x),
    "two": lambda x, y: mg.add(x, y),
    "a Parameter": lambda x, y: mg.tanh(mg.multiply(x, y)),
    "three": lambda x, y: mg.linear(x, MATRIX, y),
    "three, only the last on the tape": lambda x, y: mg.linear(CONSTANT, MATRIX, y),
    "three, the last left out": lambda x, y: mg.linear(x, MATRIX),
    "the first a constant": lambda x, y: mg.multiply(CONSTANT, y),
    "the second a constant": lambda x, y: mg.multiply(x, CONSTANT),
    **{
        f"{name}, a number {side}": (
            lambda x, y, name=name, side=side: getattr(mg, name)(*((x, 2.5) if side == "right" else (2.5, x)))
        )
        for name in ("add", "subtract", "multiply", "divide", "maximum", "minimum")
        for side in ("left", "right")
    },
    "a whole number left": lambda x, y: mg.power(2, x),
    "a whole number right": lambda x, y: mg.power(x, 2),
}


@pytest.mark.parametrize("kind", [Tensor, Parameter])
@pytest.mark.parametrize("lane", FAST_CALLS)
def test_small_operations_on_numpy_go_by_the_fast_path(lane: str, kind: Any) -> None:
    host = np.array([0.5, 1.5], np.float32)
    x, y = (mg.tensor(host, requires_grad=True) if kind is Tensor else Parameter(mg.tensor(host)) for _ in range(2))
    FAST_CALLS[lane](x, y)  # whatever is done only once
    names = functions_called(lambda: FAST_CALLS[lane](x, y))
    assert "operation" in names
    assert not {"general", "finish", "record"} & set(names)
    assert ("number_as_array" in names) == ("a number" in lane)
    assert FAST_CALLS[lane](x, y).dtype == np.float32
    held = x.data, y.data  # now the user could write into them
    assert "general" in functions_called(lambda: FAST_CALLS[lane](x, y))
    del held


@pytest.mark.parametrize(("place", "count"), [(0, 3), (1, 3), (2, 3), (0, 2), (1, 2)])
def test_any_of_three_inputs_keeps_an_operation_off_the_fast_path(place: int, count: int) -> None:
    """An input that the user holds, or that is no tensor: a write into it is noticed, as the fast path would not."""
    hosts = [np.ones(shape, np.float32) for shape in ((2, 3), (4, 3), (4,))[:count]]
    for plain in (False, True):
        inputs: list[Any] = [mg.tensor(host, requires_grad=True) for host in hosts]
        assert "general" not in functions_called(lambda given=inputs: mg.linear(*given))  # type: ignore[misc]
        if plain:
            inputs[place] = hosts[place]
        else:
            held = inputs[place].data
        assert "general" in functions_called(lambda given=inputs: mg.linear(*given))  # type: ignore[misc]
        y = mg.linear(*inputs)
        assert len(y.node.parents) == len(inputs)
        if place < 2:
            (hosts[place] if plain else held)[:] = 2.0
            with pytest.raises(GraphError, match=r"'linear' saved a tensor of shape .* that was written into since"):
                y.sum().backward()
            hosts[place][:] = 1.0


def test_options_keep_an_operation_off_the_fast_path(xp: Any) -> None:
    @primitive
    def named(xp: Any, x: Any, *, by: Any = 1.0) -> Any:
        return x * by, (), lambda xp, g: g * by

    @primitive
    def several(xp: Any, x: Any, *more: Any) -> Any:
        return x * len(more), (), (lambda xp, g: g * len(more), *(None for _ in more))

    @primitive
    def any_names(xp: Any, a: Any, b: Any, **how: Any) -> Any:
        return a * b * how["by"], (), (lambda xp, g: g * b * how["by"], None)

    x = leaf([1.0, 2.0])
    for y, by in ((named(x, by=3.0), 3.0), (several(x, 1, 2), 2.0), (any_names(x, 2.0, by=3.0), 6.0)):
        assert y.tolist() == [by, 2 * by]
        assert mg.gradients(y.sum(), [x])[0].tolist() == [by, by]


def test_the_fast_path_is_chosen_by_the_number_of_inputs_not_their_names() -> None:
    @primitive
    def cube(xp: Any, value: Any) -> Any:
        return value**3, (value,), lambda xp, g, value: 3 * g * value**2

    @primitive
    def times(xp, node, general):  # type: ignore[no-untyped-def]
        return node * general, (node, general), (lambda xp, g, a, b: g * b, lambda xp, g, a, b: g * a)

    @primitive
    def scaled(xp: Any, x: Any, factor: float) -> Any:
        return x * factor, (), lambda xp, g: g * factor

    @primitive
    def affine(xp: Any, np: Any, mode: Any, saved: Any | None = None) -> Any:
        y = np * mode if saved is None else np * mode + saved
        return y, (np, mode), (lambda xp, g, x, w: g * w, lambda xp, g, x, w: g * x, lambda xp, g, x, w: g)

    x, y = leaf([1.0, 2.0]), leaf([3.0, 4.0])
    for call, expected, fast in (
        (lambda: cube(value=x), [3.0, 12.0], True),
        (lambda: times(x, y), [3.0, 4.0], True),
        (lambda: times(general=y, node=x), [3.0, 4.0], True),
        (lambda: scaled(x, factor=2.0), [2.0, 2.0], False),
        (lambda: affine(x, y), [3.0, 4.0], True),
        (lambda: affine(x, y, saved=x), [4.0, 5.0], True),
    ):
        assert ("general" not in functions_called(call)) == fast
        assert mg.gradients(call().sum(), [x])[0].tolist() == expected


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_numbers_beside_arrays_are_stored_once(dtype: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fast_path, "_numbers", {})
    stored = number_as_array(2.5, np.dtype(dtype))
    assert stored.dtype == dtype
    assert number_as_array(2.5, np.dtype(dtype)) is stored
    assert not stored.flags.writeable
    assert str(number_as_array(-0.0, np.dtype(dtype))) == "-0.0"
    assert str(number_as_array(0.0, np.dtype(dtype))) == "0.0"
    assert number_as_array(2.5, np.dtype(np.int64)) == 2.5
    x = leaf([1.0, 2.0])
    for k in range(2000):
        assert (x * (k + 0.125)).numpy()[1] == 2 * k + 0.25
    assert len(fast_path._numbers) == 1001


@pytest.mark.parametrize("pair", [("numpy", "strict"), ("strict", "numpy")])
def test_a_tensor_moves_between_backends_and_its_gradient_back(pair: tuple[str, str]) -> None:
    source, target = pair
    x = leaf(noise(3), backend=source)
    assert mg.gradcheck(lambda x: mg.tanh(x.to(target) * 2).to(source) * x, [x])
    assert mg.gradgradcheck(lambda x: mg.tanh(x.to(target) * 2).to(source) * x, [x])
    y = x.to(target)
    assert (y.backend, x.to(source) is x) == (target, True)
    (y * y + y).sum().backward()
    assert x.grad.backend == source
    np.testing.assert_allclose(x.grad.numpy(), 2 * x.numpy() + 1)
    with mg.no_grad():
        assert not x.to(target).requires_grad
    with pytest.raises(mg.BackendError, match=r"backend: got 'abacus', want one of \["):
        x.to("abacus")


def test_the_arrays_decide_where_an_operation_runs(xp: Any) -> None:
    x = mg.tensor([1.0, 2.0], requires_grad=True)  # float32: NumPy takes None for float64
    with mg.use_backend("numpy"):
        for y in (mg.tanh(x), x * x, x * 2.0, mg.where(x > 1.0, x, 0.0), mg.sum(x), x[[1, 0]], mg.take(x, [1])):
            assert y.backend == xp.name
            assert y.node.xp is xp.xp
            assert (y.node.shape, y.node.dtype) == (y.shape, y.dtype)


@pytest.mark.parametrize("order", [("numpy", "strict", "strict"), ("strict", "strict", "numpy")])
def test_what_lies_on_different_backends_is_named(order: tuple[str, ...]) -> None:
    parts = [leaf([[1.0, 2.0]]).to(where) for where in order]
    words = r"^where: argument 0 of shape \(1, 2\) is on {}, argument 1 of .* on {}, argument 2 of .* on {}; move one"
    with pytest.raises(mg.BackendError, match=words.format(*order)):
        mg.where(*parts)


def test_an_operation_inside_a_rule_runs_on_what_the_walk_runs_on(xp: Any) -> None:
    seen: list[type] = []

    @primitive
    def squared(xp: Any, x: Any) -> Any:
        def by_x(xp: Any, g: Any, x: Any) -> Any:
            made = call_in(xp, mg.multiply, g * 2.0, x)
            seen.append(type(made))
            return made

        return x * x, (x,), by_x

    x = leaf([1.0, 2.0])
    squared(x).sum().backward()
    assert seen == [type(x.numpy() if xp.name == "numpy" else x._data)]
    (g,) = mg.gradients(squared(x).sum(), [x], create_graph=True)
    assert seen[1:] == [Tensor]
    assert mg.gradients(g.sum(), [x])[0].tolist() == [2.0, 2.0]


def test_an_error_of_the_array_library_comes_with_the_operation_and_what_it_got() -> None:
    message = r"^add: got \(\(2,\) float64, \(3,\) float64\): operands could not be broadcast .*\(2,\) \(3,\) ?$"
    with pytest.raises(ValueError, match=message):
        leaf([1.0, 2.0]) + leaf([1.0, 2.0, 3.0])


class Labelled(np.ndarray):
    """As `np.memmap` is one: a subclass of NumPy's arrays."""


def test_an_operation_computes_on_plain_arrays_whatever_it_is_given() -> None:
    seen: list[Any] = []

    @primitive
    def scaled(xp: Any, by: Any, x: Any, c: Any = 0.0) -> Any:
        seen.extend((by, x, c))
        return by * x + c, (), (None, lambda xp, g: g, None)

    labelled = np.array([1.0, 2.0], np.float16).view(Labelled)
    for beside in (labelled, np.float16(3.0), np.array([3.0, 4.0], np.float16)):
        with mg.use_backend("strict"):
            y = scaled(2.0, labelled, beside)
        assert (y.backend, y.dtype) == ("numpy", np.float16)
    assert {type(a) for a in seen} == {float, np.ndarray}
    assert scaled(2.0, mg.tensor([1.0, 2.0]), [0.5, 1.5]).dtype == np.float32
    assert scaled(2.0, [1.0, 2.0], mg.tensor([0.5, 1.5], dtype=np.float64)).dtype == np.float64
    assert scaled(2.0, 3).dtype == np.float32
    assert scaled(2, 3, 4).dtype == np.int64


def test_what_is_passed_by_name_is_an_input_of_the_operation() -> None:
    x, W = leaf([[1.0, 2.0]]), leaf([[3.0, 4.0]])
    y = mg.linear(x, W=W)
    assert y.node.op == "linear"
    assert list(y.node.parents[:2]) == [x.node, W.node]
    with pytest.raises(TypeError, match=r"^tensordot: missing argument: a$"):
        mg.tensordot(b=W)


def test_moving_copies() -> None:
    x = leaf([1.0, 2.0], backend="numpy")
    y = x.to("strict")
    x.data[...] = 5.0
    assert y.tolist() == [1.0, 2.0]


@pytest.mark.parametrize("call", [lambda t: np.asarray(t), lambda t: np.array([t, t])])
def test_numpy_makes_no_array_of_a_tensor_on_the_tape(xp: Any, call: Any) -> None:
    with pytest.raises(TypeError):
        call(leaf([1.0, 2.0]))


def test_numpy_takes_a_constant() -> None:
    assert np.asarray(mg.tensor([1.0, 2.0])).tolist() == [1.0, 2.0]


def test_ways_to_the_host(xp: Any) -> None:
    x = leaf([[1.5, 2.5]])
    assert x.tolist() == [[1.5, 2.5]]
    copy = x.numpy()
    copy[...] = 0.0
    assert x.tolist() == [[1.5, 2.5]]
    assert (float(x[0, 0]), int(x[0, 1]), x[0, 0].item(), bool(x[0, 0])) == (1.5, 2, 1.5, True)
    for call in (bool, float, lambda x: x.item()):
        with pytest.raises(ValueError, match=r"\(1, 2\)"):
            call(x)
    with pytest.raises(TypeError, match="no length"):
        len(x[0, 0])
    assert "1.5" in repr(x)
    assert "requires_grad=True" in repr(x)
    assert "op=tanh" in repr(mg.tanh(x))


def test_where_new_tensors_are_made(xp: Any) -> None:
    host = np.arange(3.0)
    for made in (mg.tensor([1.0]), mg.tensor(2), mg.tensor(host), mg.zeros((2,)), mg.arange(3), mg.add(1.0, 2.0)):
        assert made.backend == xp.name
    for name in ("numpy", "strict"):
        elsewhere = mg.tensor(host, backend=name)
        assert elsewhere.backend == name
        assert mg.tensor(elsewhere).backend == (name if name != "numpy" else xp.name)
        assert (elsewhere * 2).backend == name, "the arrays decide"
    made = mg.tensor(host)
    host[...] = 0.0
    assert made.tolist() == [0.0, 1.0, 2.0], "a tensor copies what it is made of"


@pytest.mark.parametrize(
    ("data", "dtype"),
    [
        (1.0, np.float32),
        ([1, 2], np.int64),
        ([1.0, 2], np.float32),
        (True, bool),
        (np.float64(1.0), np.float64),
        (np.float32(1.0), np.float32),
        (np.ones(2), np.float64),
        (np.ones(2, np.float32), np.float32),
        (np.ones(2, np.int32), np.int32),
    ],
)
def test_dtypes_of_new_tensors(xp: Any, data: Any, dtype: Any) -> None:
    assert mg.tensor(data).dtype == dtype
    assert mg.tensor(data, dtype=np.float64).dtype == np.float64


def test_text_and_objects_are_refused() -> None:
    for data in (["a"], [None], [object()]):
        with pytest.raises(TypeError, match="want numbers"):
            mg.tensor(data)


@pytest.mark.parametrize("dtypes", [(np.float32, np.float64), (np.float64, np.float32)])
@pytest.mark.parametrize("function", [mg.add, mg.multiply, mg.matmul, mg.linear, mg.maximum])
def test_gradients_come_back_in_each_inputs_dtype(xp: Any, function: Any, dtypes: Any) -> None:
    a, b = (mg.tensor(np.ones((2, 2), dtype), requires_grad=True) for dtype in dtypes)
    y = function(a, b)
    assert y.dtype == np.float64
    y.sum().backward()
    assert (a.grad.dtype, b.grad.dtype) == dtypes


def test_a_walk_never_waits_for_the_device() -> None:
    with mg.use_backend("strict"):
        from tests.support import strict_device

        w, b = leaf(noise(3, 3)), leaf(noise(3))
        with strict_device.no_sync():
            recurrence(w, b, 5).backward()
            loss = recurrence(w, b, 2)
            (g,) = mg.gradients(loss, [w], create_graph=True)
            (g * g).sum().backward()
            w.data -= 0.1 * w.grad.data
        assert np.isfinite(w.numpy()).all()


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


def test_inputs_may_be_passed_by_name() -> None:
    x, W, b = (mg.tensor(np.ones(s), requires_grad=True) for s in ((2, 3), (4, 3), (4,)))
    mg.linear(x, b=b, W=W).sum().backward()
    assert b.grad is not None
    np.testing.assert_array_equal(b.grad.numpy(), np.full(4, 2.0))
    with pytest.raises(TypeError, match=r"^linear\(\) missing 1 required positional argument: 'x'$"):
        mg.linear(W=W)  # type: ignore[call-arg]


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda a: mg.stack([a, a], axis=5), "stack: .*axis 5"),
        (lambda a: mg.concatenate([a, a], axis=7), "concatenate: .*axis 7"),
        (lambda a: mg.take(a, [0], axis=5), "take: axis: axis 5 is out of bounds"),
        (lambda a: mg.linear(a, a, mg.ones((1,), dtype=a.dtype)), r"linear: .*want b of shape \(2,\)"),
        (lambda a: mg.tensor([[1, 2], [3]]), "tensor: data: got nested lists"),
    ],
)
def test_what_does_not_fit_is_named(call: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        call(mg.tensor(np.ones((2, 2)), requires_grad=True))


@pytest.mark.parametrize("data", [np.array(["a"]), np.array([None]), "a", [None]])
def test_a_tensor_holds_numbers(data: Any) -> None:
    with pytest.raises(TypeError, match=r"tensor: data: got .* want numbers"):
        mg.tensor(data)


def test_a_list_takes_the_dtype_beside_it() -> None:
    x = mg.tensor(np.array([1.0, 2.0]))
    np.testing.assert_array_equal((x * [0.1, 0.2]).numpy(), np.array([0.1, 0.4]))


def test_a_grad_is_of_the_tensors_dtype() -> None:
    w = mg.tensor(np.ones(3), requires_grad=True)
    with pytest.raises(TypeError, match=r"Tensor\.grad: got float32 on numpy, want float64"):
        w.grad = mg.tensor(np.ones(3, np.float32))
