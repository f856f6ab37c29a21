"""Tensors: how they are made, what they hold, and how they leave the tape or move to another backend."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import minigrad as mg
from tests.engine.leaves import leaf, noise


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


def test_a_grad_is_of_the_tensors_dtype() -> None:
    w = mg.tensor(np.ones(3), requires_grad=True)
    with pytest.raises(TypeError, match=r"Tensor\.grad: got float32 on numpy, want float64"):
        w.grad = mg.tensor(np.ones(3, np.float32))
