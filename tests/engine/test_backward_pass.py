"""Backward passes: pooling, `.grad`, a second pass over a graph, and `gradients` of chosen tensors."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import minigrad as mg
from minigrad import GraphError, Tensor
from minigrad.engine.backward_pass import only_towards
from minigrad.engine.primitive import primitive
from tests.engine.leaves import leaf, noise, recurrence


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
    with pytest.warns(UserWarning, match=r"computed by 'multiply', and only leaves keep .*minigrad\.gradients\(loss"):
        assert (x * 2).grad is None
    assert mg.tensor(xp.array(np.ones(2))).grad is None


def test_a_second_walk_names_the_operation(xp: Any) -> None:
    x = leaf([1.0, 2.0])
    y = mg.tanh(x)
    loss = y.sum()
    loss.backward()
    message = (
        r"^backward: an earlier backward pass has consumed the graph, and '(sum|tanh)' \S+ with it; pass "
        r"retain_graph=True to the first backward pass, or cut the graph with \.detach\(\) where it should end$"
    )
    with pytest.raises(GraphError, match=message):
        loss.backward()
    with pytest.raises(GraphError, match="and 'tanh'"):
        (y * 2).sum().backward()
    np.testing.assert_allclose(x.grad.numpy(), 1 - np.tanh(x.numpy()) ** 2)


def test_a_retained_graph_is_walked_again(xp: Any) -> None:
    x = leaf([1.0, 2.0])
    loss = (x * x).sum()
    loss.backward(retain_graph=True)
    loss.backward(retain_graph=True)
    loss.backward()
    np.testing.assert_allclose(x.grad.numpy(), 6 * x.numpy())
    with pytest.raises(GraphError, match="has consumed the graph"):
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
    result = mg.gradients(y, [x, other], allow_unused=True)
    assert result[0].tolist() == [2.0]
    assert result[1] is None
    with pytest.raises(GraphError, match=r"inputs\[0\].*not on the tape"):
        mg.gradients((x * 2).sum(), [mg.tensor([1.0])])
    with pytest.raises(ValueError, match="got 2, want one for each of 1 outputs"):
        mg.gradients(x * 2, [x], [None, None])


def test_several_outputs_to_gradients(xp: Any) -> None:
    x = leaf([1.0, 2.0])
    result = mg.gradients([(x * 2).sum(), x * x], [x], [None, mg.tensor(np.array([1.0, 10.0]))])
    assert result[0].tolist() == [4.0, 42.0]


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


@pytest.mark.parametrize("through", ["backward", "gradients"])
def test_a_graph_consumed_on_the_way_says_so(through: str) -> None:
    """What the loser of two threads that walk one graph sees: here the other walk runs inside a hook of the first."""
    x = leaf([1.0, 2.0])
    y = x * 2.0
    z = mg.exp(y) * 1.5
    loss, other = (z * 1.0).sum(), (mg.exp(y) + z).sum()
    outcome: list[np.ndarray] = []

    def other_walk(g: mg.Tensor) -> None:
        if not outcome:
            outcome.append(np.zeros(2))
            outcome[0] = mg.gradients(other, [x])[0].numpy()

    z.register_hook(other_walk)
    with pytest.raises(GraphError, match="an earlier backward pass has consumed the graph, and '"):
        loss.backward() if through == "backward" else mg.gradients(loss, [x])
    np.testing.assert_allclose(outcome[0], 2 * 2.5 * np.exp([2.0, 4.0]))
    assert x.grad is None


def test_a_node_consumed_while_the_graph_is_gathered() -> None:
    x = leaf([1.0])
    y = x * 2.0
    nodes = {node.serial: node for node in (x.node, y.node)}
    y.node.rules, y.node.parents = None, ()  # as another thread does once it is done with the node
    with pytest.raises(GraphError, match="has consumed the graph, and 'multiply'"):
        only_towards(nodes, {x.node.serial})


def test_a_hook_registered_on_the_way_counts() -> None:
    """It is called if the backward pass has yet to come to its tensor, whether or not there are other hooks."""
    x = leaf([1.0, 2.0])
    before = x * 3.0
    seen: list[Any] = []

    @primitive
    def registers(xp: Any, x: Any) -> Any:
        def rule(xp: Any, g: Any) -> Any:
            before.register_hook(lambda g: seen.append(g.tolist()))
            return g

        return x * 1, (), rule

    registers(before).sum().backward()
    assert seen == [[1.0, 1.0]]
