"""Augmented assignments to leaves, and assignments to parameters of modules, as torch has them."""

from __future__ import annotations

import operator
from typing import Any

import numpy as np
import pytest

import minigrad as mg
from minigrad import Tensor
from minigrad.backend import to_numpy
from minigrad_rnn import LSTM, NARX, RNN, AdditiveAttention, LSTMCell
from tests.engine.leaves import leaf, noise

AUGMENTED = {
    "+=": operator.iadd,
    "-=": operator.isub,
    "*=": operator.imul,
    "/=": operator.itruediv,
    "//=": operator.ifloordiv,
    "%=": operator.imod,
    "**=": operator.ipow,
    "@=": operator.imatmul,
}


def operands(xp: Any) -> dict[str, Any]:
    array = xp.array(np.abs(noise(2, 2)) + 0.5)
    return {"an array": array, "a constant": Tensor(array), "a leaf": mg.tensor(array, requires_grad=True)}


@pytest.mark.parametrize("symbol", AUGMENTED)
@pytest.mark.parametrize("kind", ["a number", "a row", "an array", "a constant", "a leaf"])
def test_a_leaf_is_updated_under_no_grad_as_an_array_is(xp: Any, symbol: str, kind: str) -> None:
    start = np.abs(noise(2, 2, seed=1)) + 0.5
    other = {"a number": 1.5, "a row": xp.array(start[0]), **operands(xp)}[kind]
    if symbol == "@=" and kind in ("a number", "a row"):
        return
    w = leaf(start)
    same, expected = w, start.copy()
    host = other if kind == "a number" else to_numpy(other._array if isinstance(other, Tensor) else other)
    expected = {"@=": operator.matmul}.get(symbol, AUGMENTED[symbol])(expected, host)
    with mg.no_grad():
        w = AUGMENTED[symbol](w, other)
    assert w is same
    assert w.is_leaf
    assert w.requires_grad
    np.testing.assert_allclose(w.numpy(), expected, rtol=1e-15)


@pytest.mark.parametrize("symbol", AUGMENTED)
def test_an_older_graph_notices_the_update(xp: Any, symbol: str) -> None:
    w = leaf(np.abs(noise(2, 2)) + 0.5)
    y = (w * w).sum()
    with mg.no_grad():
        AUGMENTED[symbol](w, Tensor(xp.array(np.eye(2) + 1)))
    with pytest.raises(mg.GraphError, match=r"saved a tensor of shape \(2, 2\) that was written into since"):
        y.backward()
    (w * w).sum().backward()
    np.testing.assert_array_equal(w.grad.numpy(), 2 * w.numpy())


def test_updates_are_torchs() -> None:
    torch = pytest.importorskip("torch")
    for dtype in ("float16", "float32", "float64"):
        for symbol, update in AUGMENTED.items():
            for other in (0.37, noise(2, 2), np.abs(noise(2, 2)).astype(np.float32) + 1):
                if symbol == "@=" and (isinstance(other, float) or str(other.dtype) != dtype):
                    continue
                start = (np.abs(noise(2, 2, seed=1)) + 0.5).astype(dtype)
                mine, theirs = mg.tensor(start, requires_grad=True), torch.tensor(start, requires_grad=True)
                with mg.no_grad(), torch.no_grad(), np.errstate(all="ignore"):
                    mine = update(mine, other)
                    theirs = update(theirs, other if isinstance(other, float) else torch.tensor(other))
                # torch computes in the leaf's dtype, NumPy in the wider one before it stores
                tolerance = {"float16": 4e-3, "float32": 1e-6, "float64": 1e-15}[dtype]
                np.testing.assert_allclose(mine.numpy(), theirs.detach().numpy(), rtol=tolerance, atol=tolerance)
                assert mine.dtype == dtype


def test_a_training_loop_without_an_optimizer_trains(xp: Any) -> None:
    """Against the same steps in NumPy: the gradient of |x Wᵀ + b|² is 2 rᵀx and 2 Σ r."""
    layer = mg.nn.Linear(3, 2, rng=0, dtype="float64").to(xp.name)
    x = noise(5, 3)
    W, b = layer.weight.numpy(), layer.bias.numpy()
    for _ in range(3):
        layer.zero_grad()
        mg.sum(mg.square(layer(xp.array(x)))).backward()
        with mg.no_grad():
            for p in layer.parameters():
                p -= 0.1 * p.grad
        r = x @ W.T + b
        W, b = W - 0.2 * r.T @ x, b - 0.2 * r.sum(0)
    np.testing.assert_allclose(layer.weight.numpy(), W, rtol=1e-12)
    np.testing.assert_allclose(layer.state_dict()["bias"], b, rtol=1e-12)


def test_while_operations_are_recorded_a_leaf_is_not_updated() -> None:
    w = leaf([1.0, 2.0])
    message = r"^Tensor -=: a leaf of shape \(2,\) .* inside `with minigrad.no_grad\(\):`, or .* w = w - …$"
    with pytest.raises(mg.GraphError, match=message):
        w -= 0.5
    assert w.tolist() == [1.0, 2.0]


def test_other_tensors_keep_their_values() -> None:
    w, c = leaf([1.0, 2.0]), mg.tensor([1.0, 2.0])
    y = held = w * 2
    y += w
    assert held.tolist() == [2.0, 4.0]
    y.sum().backward()
    assert w.grad.tolist() == [3.0, 3.0]
    d = c
    d *= 2
    assert c.tolist() == [1.0, 2.0]
    assert mg.grad(lambda x: (x.__iadd__(x * x)).sum())(np.array([3.0])).tolist() == [7.0]


def test_a_frozen_parameter_is_updated_too() -> None:
    layer = mg.nn.Linear(2, 1, bias=False, rng=0).requires_grad_(False)
    before, w = layer.weight.numpy(), leaf(np.ones((1, 2)))
    y = (layer.weight * w).sum()
    layer.weight *= 2
    np.testing.assert_array_equal(layer.state_dict()["weight"], before * 2)
    with pytest.raises(mg.GraphError, match="written into"):
        y.backward()
    with pytest.raises(mg.GraphError, match="lose the gradient of the other operand"):
        layer.weight += w
    assert list(layer.state_dict()) == ["weight"]


@pytest.mark.parametrize(
    ("other", "error", "message"),
    [
        (np.ones((3, 2)), ValueError, r"the result has shape \(3, 2\), want \(2,\)"),
        (np.array([1j, 1]), TypeError, "the result has dtype complex128, want one that float64 can hold"),
        (np.ones(3), ValueError, r"add: got \(\(2,\) float64, \(3,\) float64\)"),
    ],
)
def test_what_does_not_fit_leaves_the_leaf_alone(other: Any, error: Any, message: str) -> None:
    w = leaf([1.0, 2.0])
    y = (w * w).sum()
    with mg.no_grad(), pytest.raises(error, match=message):
        w += other
    assert w.tolist() == [1.0, 2.0]
    y.backward()
    assert w.grad.tolist() == [2.0, 4.0]


MODULES: dict[str, tuple[Any, str]] = {
    "Linear": (lambda: mg.nn.Linear(2, 2), "weight"),
    "LayerNorm": (lambda: mg.nn.LayerNorm(3), "bias"),
    "LSTMCell": (lambda: LSTMCell(2, 2), "Wr"),
    "RNN": (lambda: RNN(2, 2).cells[0], "b"),
    "LSTM, learned": (lambda: LSTM(2, 2, initial_state="learned").cells[0], "c_init"),
    "NARX": (lambda: NARX(1, 2, 1, 1, 1), "Wc1"),
    "attention": (lambda: AdditiveAttention(2, 2, 2).query, "weight"),
}


@pytest.mark.parametrize("kind", MODULES)
def test_a_parameter_is_replaced_by_a_parameter_only(kind: str) -> None:
    module, name = MODULES[kind][0](), MODULES[kind][1]
    names, parameter = list(module.state_dict()), getattr(module, name)
    values = [parameter * 2, parameter.numpy(), parameter.detach(), 0.5, mg.tensor(parameter, requires_grad=True)]
    for value in values:
        with pytest.raises(TypeError, match=rf": {name}: got \w+, want a Parameter, .* module.{name}.data = array"):
            setattr(module, name, value)
    with pytest.raises(mg.GraphError, match=r"Tensor -=: .*no_grad"):
        exec(f"module.{name} -= 0.5", {"module": module})
    with mg.no_grad():
        exec(f"module.{name} -= 0.5", {"module": module})
    assert getattr(module, name) is parameter
    setattr(module, name, mg.Parameter(parameter))
    assert list(module.state_dict()) == names
    setattr(module, name, None)
    assert list(module.state_dict()) == [other for other in names if other != name]


def test_a_submodule_is_replaced_by_a_module_only() -> None:
    class Model(mg.nn.Module):
        def __init__(self) -> None:
            self.layer: Any = mg.nn.Linear(1, 1)

    model = Model()
    with pytest.raises(TypeError, match=r"^Model: layer: got function, want a Module, or None for none$"):
        model.layer = lambda x: x
    model.layer = mg.nn.LayerNorm(3)
    assert model.state_dict()["layer.weight"].shape == (3,)


def test_arrays_are_written_from_constants() -> None:
    """Against the same call on arrays; the destination is an array of the user's."""
    a, b = noise(3), noise(3, seed=1)
    c, d = mg.tensor(a), mg.tensor(b)
    mask = np.array([True, False, True])
    calls: list[Any] = [
        lambda x, y, out: np.add(x, x, out=out),
        lambda x, y, out: np.subtract(out, 0.1 * y, out=out),
        lambda x, y, out: np.multiply(x, y, out=out, where=mask),
        lambda x, y, out: np.add.accumulate(x, out=out),
        lambda x, y, out: np.add.at(out, [0, 0], y[:2]),
        lambda x, y, out: np.cumsum(x, out=out),
        lambda x, y, out: np.clip(x, -0.5, 0.5, out=out),
        lambda x, y, out: np.concatenate([x[:1], y[1:]], out=out),
        lambda x, y, out: np.modf(x, out=(out, np.empty(3))),
        lambda x, y, out: np.copyto(out, y),
        lambda x, y, out: np.put(out, [0, 2], y[:2]),
        lambda x, y, out: np.putmask(out, mask, y),
        lambda x, y, out: np.place(out, mask, y),
        lambda x, y, out: out.__setitem__(slice(1, 3), y[:2]),
        lambda x, y, out: out.__iadd__(y),
        lambda x, y, out: out.__ipow__(y - y + 2),
    ]
    for k, call in enumerate(calls):
        mine, want = np.full(3, 0.25), np.full(3, 0.25)
        result = call(c, d, mine)
        reference = call(a, b, want)
        np.testing.assert_array_equal(mine, want, err_msg=str(k))
        assert (result is None) == (reference is None)
        assert result is None or isinstance(result, (np.ndarray, tuple))


def test_the_data_of_a_leaf_is_written_from_its_gradient() -> None:
    w = leaf([1.0, 2.0])
    y = (w * w).sum()
    (w * w).sum().backward()
    w.data -= 0.1 * w.grad
    np.testing.assert_allclose(w.numpy(), [0.8, 1.6], rtol=1e-15)
    with pytest.raises(mg.GraphError, match="written into"):
        y.backward()


def test_an_array_takes_no_values_that_would_lose_their_gradient() -> None:
    w, out = leaf([1.0, 2.0]), np.zeros(2)
    calls: list[Any] = [
        lambda: np.add(w, 1.0, out=out),
        lambda: np.add(out, 1.0, out=mg.tensor(out)),
        lambda: np.add(mg.tensor(out), 1.0, out=mg.tensor(out)),
        lambda: np.cumsum(w, out=out),
        lambda: np.copyto(out, w),
        lambda: out.__iadd__(w),
    ]
    for call in calls:
        with pytest.raises(TypeError, match="arrays hold no gradient; use the value that the function returns"):
            call()
    assert out.tolist() == [0.0, 0.0]
    with mg.no_grad():
        out += w
    assert out.tolist() == [1.0, 2.0]
