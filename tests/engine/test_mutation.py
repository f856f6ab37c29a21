"""What must never go wrong silently: arrays that somebody else holds, threads, tasks and forks."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import minigrad as mg
from minigrad import backend
from minigrad.engine import primitive as primitive_module
from minigrad.engine.mutation import exposed, writes
from minigrad.engine.primitive import JointRule, primitive, primitive_with_outputs
from minigrad.engine.tensor import Tensor
from tests.engine.leaves import noise


def leaf(*shape: int) -> Tensor:
    return mg.tensor(noise(*shape), requires_grad=True)


OWN_ARRAYS: dict[str, Callable[[Tensor, np.ndarray], Tensor]] = {
    "itself": lambda x, a: x * a,
    "on the left": lambda x, a: a @ x,
    "a slice of it": lambda x, a: x[:2] * a[:2],
    "its transpose": lambda x, a: x * a.T,
    "a view of it": lambda x, a: x * mg.reshape(mg.reshape(a, (9,)), (3, 3)),
    "a row": lambda x, a: x * mg.transpose(a)[1],
    "several uses": lambda x, a: x * a + mg.tanh(x) * a,
    "as one of several saved": lambda x, a: mg.linear(x, a),
    "as a constant tensor's data": lambda x, a: x * Tensor(a),
}


@pytest.mark.parametrize("use", OWN_ARRAYS)
@pytest.mark.parametrize("how", ["one entry", "all", "an alias made before", "an alias made after", "sorted"])
def test_a_write_into_the_users_own_array_is_caught(use: str, how: str) -> None:
    x, a = leaf(3, 3), noise(3, 3, seed=1)
    before = a.reshape(-1)[:]
    constant = Tensor(a)
    if use == "as a constant tensor's data":  # a tensor made around an array is known once it is asked for
        _ = constant.data
    y = OWN_ARRAYS[use](x, a).sum()
    if how == "one entry":
        a[1, 1] += 1e-9
    elif how == "all":
        a[...] = 0
    elif how == "an alias made before":
        before[4] = 5.0
    elif how == "an alias made after":
        a.T[1, 1] = 5.0
    else:
        a.reshape(-1).sort()
    with pytest.raises(mg.GraphError, match="written into since"):
        y.backward()
    assert x.grad is None
    OWN_ARRAYS[use](x, a).sum().backward()  # what is recorded afterwards is right
    (expected,) = mg.gradients(OWN_ARRAYS[use](x, a.copy()).sum(), [x])
    np.testing.assert_array_equal(x.grad.numpy(), expected.numpy())


def test_own_arrays_are_watched_behind_numbers_and_in_operations_of_several_outputs() -> None:
    @primitive
    def scaled(xp: Any, by: Any, x: Any, a: Any) -> Any:
        return by * x * a, (a,), (None, lambda xp, g, a: by * g * a, None)

    @primitive_with_outputs
    def both_ways(xp: Any, x: Any, a: Any) -> Any:
        return (x * a, x + a), (a,), JointRule(lambda xp, g, needs, a: (g[0] * a + g[1], None))

    uses: list[Callable[[Tensor, np.ndarray], Tensor]] = [
        lambda x, a: scaled(2.0, x, a),
        lambda x, a: both_ways(x, a)[0],
        lambda x, a: both_ways(x, a)[1],
    ]
    for use in uses:
        x, a = leaf(3), noise(3, seed=1)
        y = use(x, a)
        a[0] += 1.0
        with pytest.raises(mg.GraphError, match=r"saved a tensor of shape \(3,\)"):
            y.sum().backward()


@pytest.mark.parametrize("size", [3, 1000, 100_003])
def test_any_single_write_changes_the_fingerprint(size: int) -> None:
    x, a = mg.tensor(noise(size), requires_grad=True), noise(size, seed=1)
    for place in {0, size // 2, size - 1}:
        y = (x * a).sum()
        kept = a[place]
        a[place] = np.nextafter(kept, np.inf)
        with pytest.raises(mg.GraphError, match=rf"'multiply' saved a tensor of shape \({size},\)"):
            y.backward()
        a[place] = kept
        y.backward()  # put back, it is what was saved: nothing was lost


def test_two_entries_exchanged_in_a_large_array_are_seen() -> None:
    x, a = mg.tensor(noise(512, 512), requires_grad=True), noise(512, 512, seed=1)
    for one, other in (((0, 0), (0, 1)), ((0, 0), (1, 0)), ((3, 5), (300, 200))):
        y = (x * a).sum()
        a[one], a[other] = a[other], a[one]
        with pytest.raises(mg.GraphError, match="written into"):
            y.backward()


def test_a_constants_data_is_watched_from_when_it_is_handed_out() -> None:
    x, c = leaf(3), mg.tensor(noise(3))
    y = (x * c).sum()
    c.data[0] = 7.0
    with pytest.raises(mg.GraphError, match="written into"):
        y.backward()
    y = (x * c).sum()
    c.data[0] = 8.0
    with pytest.raises(mg.GraphError, match="written into"):
        y.backward()


def test_to_look_at_the_data_again_makes_no_write_forgotten() -> None:
    x = leaf(3)
    y = (x * x).sum()
    held = x.data
    held[0] += 1.0
    _ = x.data
    message = (
        r"^backward: 'multiply' saved a tensor of shape \(3,\) that was written into since, so its gradient would be "
        r"wrong\. Change parameters after the backward pass, or work on a copy$"
    )
    with pytest.raises(mg.GraphError, match=message):
        y.backward()


def test_an_optimizer_step_is_seen_through_a_detached_weight() -> None:
    w, x = leaf(3), leaf(3)
    y = (x * w.detach()).sum()
    w.data -= 1.0
    with pytest.raises(mg.GraphError, match="written into"):
        y.backward()


def test_a_step_on_a_matrix_is_seen_through_its_saved_diagonal() -> None:
    w = leaf(3, 3)
    diagonal = mg.diagonal(w)
    y = (diagonal * diagonal).sum()
    w.grad = mg.tensor(noise(3, 3))
    mg.optim.SGD([w], lr=0.1).step()
    with pytest.raises(mg.GraphError, match="'multiply' saved a tensor"):
        y.backward()


WEIGHT_USES: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "itself": lambda w, x: w * x,
    "a view": lambda w, x: w.T * x,
    "a view of a view": lambda w, x: mg.reshape(w.T, (1, 2, 2))[0] * x,
    "a part": lambda w, x: w[0] * x,
    "in a chain": lambda w, x: mg.tanh(x * 0.5) @ w,
}


@pytest.mark.parametrize("use", WEIGHT_USES)
@pytest.mark.parametrize("older", ["the weight", "the input"])
def test_an_optimizer_step_is_seen_by_a_walk_to_another_leaf(xp: Any, use: str, older: str) -> None:
    """The walk to x alone never comes to w, but what its rules need is w's array."""
    leaves = [leaf(2, 2), leaf(2, 2)]
    w, x = leaves if older == "the weight" else reversed(leaves)
    optimizer = mg.optim.SGD([w], lr=0.1)
    w.grad = mg.tensor(noise(2, 2))
    y = WEIGHT_USES[use](w, x).sum()
    optimizer.step()
    with pytest.raises(mg.GraphError, match="was written into since"):
        mg.gradients(y, [x])
    mg.gradients(WEIGHT_USES[use](w, x).sum(), [x])


def test_a_step_on_what_no_rule_of_the_walk_needs_is_no_matter(xp: Any) -> None:
    w, x = leaf(3), leaf(3)
    optimizer = mg.optim.SGD([w], lr=0.1)
    w.grad = mg.tensor(noise(3))
    copied, turned = (w + x).sum(), (w.T + x).sum()
    in_a_copy = (mg.copy(w) * (x / mg.copy(w))).sum()
    squared = w * w + x  # whose square is off the walk to x

    @primitive
    def lean(xp: Any, w: Any, x: Any) -> Any:
        return w + x / 2, (x,), (lambda xp, g, x: g, lambda xp, g, x: g / 2 + 0 * x)

    halved = lean(w, x) + lean(w, x)
    optimizer.step()
    for y in (copied, turned, in_a_copy, squared.sum(), halved.sum()):
        assert mg.gradients(y, [x])[0].tolist() == [1.0, 1.0, 1.0]


def test_of_two_graphs_over_one_leaf_each_notices(xp: Any) -> None:
    """Walking one must not make the other forget what it saved."""
    w = leaf(3)
    held = w.data
    first, second = (w * w).sum(), (w * w * w).sum()
    first.backward()
    held += 1.0
    w.written()
    with pytest.raises(mg.GraphError, match="written into"):
        second.backward()


def test_of_two_graphs_over_a_handed_out_leaf_each_notices() -> None:
    w = leaf(3)
    held = w.data
    first, second = (w * w).sum(), (w * w * w).sum()
    first.backward()
    held += 1.0
    with pytest.raises(mg.GraphError, match="written into"):
        second.backward()


def test_a_buffer_may_be_filled_again_while_an_older_graph_waits() -> None:
    x, batch = leaf(3), noise(3)
    kept = (x * batch).sum()  # never walked
    batch[:] = noise(3, seed=1)
    (x * batch).sum().backward()
    np.testing.assert_array_equal(x.grad.numpy(), batch)
    with pytest.raises(mg.GraphError, match="written into"):
        kept.backward()


def test_nothing_is_kept_of_arrays_that_are_gone() -> None:
    before = set(exposed)
    c = mg.tensor(noise(3))
    _ = c.data
    assert set(exposed) - before
    del _, c
    assert set(exposed) == before


def test_gradcheck_refuses_float32() -> None:
    with pytest.raises(TypeError, match="got float32, want float64: a step of 1e-06 is lost in rounding"):
        mg.gradcheck(mg.tanh, [mg.tensor(noise(3).astype(np.float32), requires_grad=True)])


def _memmap() -> np.ndarray:
    with tempfile.TemporaryFile() as file:
        array: Any = np.memmap(file, np.float64, "w+", shape=(3, 3))
    array[:] = noise(3, 3, seed=1)
    return array


def _torchs() -> Any:
    return pytest.importorskip("torch").ones(3, 3, dtype=pytest.importorskip("torch").float64)


def _constant() -> Tensor:
    return mg.tensor(noise(3, 3, seed=1))


MEMORY: dict[str, tuple[Callable[[], Any], Callable[[Any], Any], Callable[[Any, Any], Any]]] = {
    "a part of a constant": (_constant, lambda c: c, lambda c, _: c[:2].data),
    "a transpose of a constant": (_constant, lambda c: c, lambda c, _: c.T.data),
    "windows of an array": (lambda: noise(5), lambda a: mg.sliding_window_view(a, 3), lambda a, _: a),
    "windows of a constant": (lambda: _constant()[0], lambda c: mg.sliding_window_view(c, 1), lambda c, w: c.data),
    "a memmap": (_memmap, lambda a: mg.reshape(mg.reshape(a, (9,)), (3, 3)), lambda a, _: a),
    "a part of a memmap": (_memmap, lambda a: mg.transpose(mg.transpose(a[1:]))[0], lambda a, _: a[1:]),
    "an array on torch's memory": (_torchs, lambda p: mg.reshape(p.numpy(), (3, 3)), lambda p, _: p),
    "torch's tensor itself": (_torchs, lambda p: p, lambda p, _: p),
}


@pytest.mark.parametrize("memory", MEMORY)
def test_a_write_is_caught_whatever_lies_between_an_array_and_its_memory(memory: str) -> None:
    made, used, written = MEMORY[memory]
    held = made()
    operand = used(held)
    x = leaf(*operand.shape)
    y = (x * operand).sum()
    written(held, operand)[0] += 1.0
    with pytest.raises(mg.GraphError, match="'multiply' saved a tensor"):
        y.backward()


def test_a_computed_tensors_memory_is_out_of_torchs_reach() -> None:
    torch = pytest.importorskip("torch")
    x = leaf(3)
    h = mg.tanh(x)
    theirs = torch.from_dlpack(h.detach())  # torch knows no read-only memory, so this is a copy
    theirs[1] = 5.0
    h.sum().backward()
    np.testing.assert_allclose(x.grad.numpy(), 1 - np.tanh(x.numpy()) ** 2, rtol=1e-12)


def test_torchs_tensor_is_an_array_as_to_numpy() -> None:
    torch = pytest.importorskip("torch")
    x, p = leaf(3), torch.tensor([1.0, 2.0, 3.0], dtype=torch.float64)
    (x * p).sum().backward()
    np.testing.assert_array_equal(x.grad.numpy(), p.numpy())
    with pytest.raises(TypeError, match=r"multiply: .*torch\.Tensor that requires grad.*pass x\.detach\(\)"):
        x * p.requires_grad_()


@pytest.mark.parametrize(
    "operation",
    [
        lambda x, a: mg.average(x, weights=a),
        lambda x, a: mg.linalg.multi_dot([a, mg.reshape(x, (3, 1))]),
        lambda x, a: mg.mse(x, a, reduction="sum") * mg.sum(mg.mse(x, a)),
        lambda x, a: mg.gradients(x**3, [x], [a], create_graph=True)[0].sum(),
    ],
    ids=["average", "multi_dot", "a loss", "the gradient to begin with"],
)
def test_a_write_is_caught_where_an_array_is_made_a_tensor_of_on_the_way(operation: Any) -> None:
    x, a = mg.tensor(np.array([0.2, 0.3, 0.4]), requires_grad=True), np.array([1.0, 2.0, 3.0])
    y = operation(x, a)
    (expected,) = mg.gradients(y, [x], retain_graph=True)
    a[0] = 9.0
    try:
        (found,) = mg.gradients(y, [x])
    except mg.GraphError:
        return
    np.testing.assert_array_equal(found.numpy(), expected.numpy())  # nothing of it was saved


@pytest.mark.parametrize(
    "write",
    [
        lambda a: np.random.default_rng(1).shuffle(a),
        lambda a: a.__setitem__(..., a[:, ::-1].copy()),
        lambda a: a.__setitem__(..., a.T.copy()),
    ],
    ids=["shuffled", "turned round", "transposed"],
)
@pytest.mark.parametrize("classes", [128, 253, 256, 512])
def test_rows_of_one_hot_vectors_that_change_places_are_seen(classes: int, write: Any) -> None:
    """All their sums are alike, and a row may be just as long as what the fingerprint sums."""
    a = np.eye(classes)[np.random.default_rng(0).permutation(classes)]
    x = leaf(classes, classes)
    y = (x * a).sum()
    write(a)
    with pytest.raises(mg.GraphError, match="written into"):
        y.backward()


def test_of_a_large_file_only_what_is_used_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[int] = []
    real = backend.fingerprint
    monkeypatch.setattr(primitive_module, "fingerprint", lambda array: seen.append(array.size) or real(array))
    data = _memmap()
    (leaf(3) * data[1]).sum().backward()
    assert set(seen) == {3}


@pytest.mark.parametrize("function", [mg.squeeze, mg.real, mg.real_if_close, lambda w: mg.einsum("i->i", w)])
def test_a_step_is_seen_by_an_operation_that_hands_on_the_leafs_own_array(xp: Any, function: Any) -> None:
    """Else z's gradient would be taken at the new values: 2·(1, 2) − 2·(1, 1)·lr."""
    w = mg.tensor(np.array([1.0, 2.0]), requires_grad=True)
    y = function(w)
    z = (y * y).sum()
    w.grad = mg.tensor(np.ones(2))
    mg.optim.SGD([w], lr=1.0).step()
    with pytest.raises(mg.GraphError, match=r"'multiply' saved a tensor of shape \(2,\) that was written into since"):
        z.backward()
    assert w.grad.tolist() == [1.0, 1.0]


def test_a_users_primitive_may_return_a_view(xp: Any) -> None:
    @primitive
    def first_row(xp: Any, x: Any) -> Any:
        return x[0], (), lambda xp, g: xp.stack([g, xp.zeros_like(g)])

    w = leaf(2, 3)
    y = first_row(w)
    z = (y * y).sum()
    w.grad = mg.tensor(noise(2, 3))
    mg.optim.SGD([w], lr=1.0).step()
    with pytest.raises(mg.GraphError, match="'multiply' saved"):
        z.backward()


def test_a_write_into_one_part_of_a_buffer_leaves_what_saved_another_part(xp: Any) -> None:
    buffer, x = xp.array(noise(6)), leaf(3)
    first, second = leaf(3), leaf(3)
    first.data, second.data = buffer[:3], buffer[3:]
    product = (second * x).sum()
    expected = second.numpy()
    first.grad = mg.tensor(noise(3))
    mg.optim.SGD([first], lr=1.0).step()
    product.backward()
    np.testing.assert_array_equal(x.grad.numpy(), expected)


def test_nothing_is_kept_of_written_arrays_that_are_gone(xp: Any) -> None:
    before = set(writes)
    w = leaf(3)
    w.written()
    assert len(set(writes) - before) == 1
    del w
    assert set(writes) == before
