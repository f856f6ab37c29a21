"""Pickled and copied tensors, modules and optimizers: values, sharing and hooks are kept."""

from __future__ import annotations

import copy
import multiprocessing
import pickle
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st
from hypothesis.extra import numpy as hnp

import minigrad as mg
from minigrad import nn, optim
from minigrad.engine.tape import Leaf

Copy = Callable[[Any], Any]
PICKLES: dict[str, Copy] = {
    f"protocol {k}": lambda x, k=k: pickle.loads(pickle.dumps(x, k)) for k in range(pickle.HIGHEST_PROTOCOL + 1)
}
COPIES = {**PICKLES, "deepcopy": copy.deepcopy}
each_copy = pytest.mark.parametrize("name", COPIES)


class Tied(nn.Module):
    """Two layers with one weight, and one layer under two names."""

    def __init__(self) -> None:
        self.first, self.second = nn.Linear(2, 2, rng=0), nn.Linear(2, 2, rng=1)
        self.second.weight = self.first.weight
        self.again = self.first
        self.drop = nn.Dropout(0.5, rng=3)

    def forward(self, x: Any) -> Any:
        return self.drop(self.second(mg.tanh(self.first(x))))


def double(g: mg.Tensor) -> mg.Tensor:
    return g * 2


def plus_one(module: Any, args: Any, output: Any) -> Any:
    return output + 1


def train(model: Any, optimizer: Any, steps: int = 3) -> list[float]:
    losses = []
    for _ in range(steps):
        optimizer.zero_grad()
        loss = mg.sum(mg.square(model(np.ones((3, 2), np.float32))))
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return losses


@each_copy
def test_leaves_parameters_and_constants(xp: Any, name: str) -> None:
    values = xp.array(np.asfortranarray(np.arange(6.0).reshape(2, 3)))
    for x in (mg.tensor(values, requires_grad=True), mg.Parameter(values, dtype="float16"), mg.tensor(values)):
        twin = COPIES[name](x)
        assert type(twin) is type(x)
        assert (twin.dtype, twin.backend, twin.requires_grad) == (x.dtype, xp.name, x.requires_grad)
        np.testing.assert_array_equal(twin.numpy(), x.numpy())
        assert twin.node is None or twin.node is not x.node
        if x.requires_grad:
            (twin * twin).sum().backward()
            assert x.grad is None
            np.testing.assert_array_equal(twin.grad.numpy(), 2 * x.numpy())
            optim.SGD([twin], lr=1.0).step()  # writes into memory of its own
            np.testing.assert_array_equal(x.numpy(), np.arange(6.0).reshape(2, 3))


@settings(max_examples=25)
@given(
    values=hnp.arrays(
        st.sampled_from(["f2", "f4", "f8", ">f8", "i1", "u4", "?", "c8"]), hnp.array_shapes(min_dims=0, max_dims=3)
    ),
    layout=st.sampled_from(["as it is", "reversed", "transposed", "every second"]),
    name=st.sampled_from(list(COPIES)),
)
def test_any_values(values: Any, layout: str, name: str) -> None:
    if values.ndim:
        part = {"reversed": slice(None, None, -1), "every second": slice(None, None, 2)}.get(layout, ...)
        values = values.T if layout == "transposed" else values[part]
    x = mg.from_dlpack(values) if values.dtype.isnative and values.flags.c_contiguous else mg.tensor(values)
    twin = COPIES[name](x)
    assert (twin.dtype.newbyteorder("="), twin.shape) == (x.dtype.newbyteorder("="), x.shape)  # NumPy loads native
    np.testing.assert_array_equal(twin.numpy(), x.numpy())
    assert not np.shares_memory(twin.data, x.data)


@pytest.mark.parametrize("name", [*COPIES, "in a list", "of the node"])
def test_what_is_on_the_tape_says_detach(name: str) -> None:
    x = mg.tensor([1.0, 2.0], requires_grad=True)
    y = x * 2
    if name == "of the node":
        with pytest.raises(TypeError, match=r"the node of 'multiply' belongs to this process's tape; copy x\.detach"):
            pickle.dumps(y.node)
        return
    call = COPIES.get(name, lambda y: pickle.dumps([y]))
    with pytest.raises(TypeError, match=r"shape \(2,\) that 'multiply' computed is on the tape.*detach it first"):
        call(y)
    assert pickle.loads(pickle.dumps(y.detach())).tolist() == [2.0, 4.0]
    with mg.no_grad():
        assert copy.deepcopy(x * 2).tolist() == [2.0, 4.0]

    def inside(v: mg.Tensor) -> mg.Tensor:
        with pytest.raises(TypeError, match="detach it first"):
            copy.deepcopy(v)
        return v * v

    assert mg.grad(inside)(mg.tensor(3.0)).item() == 6.0


def test_a_shallow_copy_is_another_name() -> None:
    x = mg.tensor([1.0, 2.0], requires_grad=True)
    y = x * 2
    for twin in (copy.copy(x), copy.copy(y)):
        mg.sum(twin * 5).backward()
    assert x.grad.tolist() == [15.0, 15.0]
    model = Tied()
    twin = copy.copy(model)
    twin.register_forward_hook(plus_one)
    model.eval()
    x = np.ones((1, 2), np.float32)
    np.testing.assert_array_equal(twin(x).numpy(), model(x).numpy() + 1)
    assert twin.first.weight is model.first.weight


@each_copy
def test_module_and_optimizer_stay_together(name: str) -> None:
    model = Tied()
    optimizer = optim.Adam(model.parameters(), lr=0.1)
    train(model, optimizer)
    (twin, again), state = COPIES[name](((model, optimizer), model.state_dict()))
    assert twin.second.weight is twin.first.weight
    assert twin.again is twin.first
    assert all(a is b for a, b in zip(again.param_groups[0]["params"], twin.parameters()))
    for key, value in twin.state_dict().items():
        np.testing.assert_array_equal(value, state[key])
    assert all(p.grad is None for p in twin.parameters())
    assert train(twin, again) == train(model, optimizer)  # the dropout's generator went along too
    with pytest.raises(AssertionError):  # a copy of the model alone has another optimizer's parameters
        np.testing.assert_array_equal(COPIES[name](optimizer).param_groups[0]["params"][0].numpy(), state["first.bias"])


@each_copy
def test_frozen_parameters_stay_frozen(name: str) -> None:
    model = Tied()
    model.first.requires_grad_(False)
    twin = COPIES[name](model)
    assert [p.requires_grad for p in twin.parameters()] == [p.requires_grad for p in model.parameters()]
    twin.requires_grad_()
    twin.eval()
    mg.sum(twin(np.ones((1, 2), np.float32))).backward()
    assert all(p.grad is not None for p in twin.parameters())
    assert not any(p.requires_grad for p in model.first.parameters())


@each_copy
def test_hooks_go_along(name: str) -> None:
    model = nn.Linear(2, 1, rng=0)
    model.note = model.weight.register_hook(double)
    model.handle = model.register_forward_hook(plus_one)
    twin = COPIES[name](model)
    x = np.ones((1, 2), np.float32)
    np.testing.assert_array_equal(twin(x).numpy(), model(x).numpy())
    twin(x).sum().backward()
    assert twin.weight.grad.tolist() == [[2.0, 2.0]]
    before = model(x).numpy()
    twin.handle.remove()
    twin.note.remove()
    twin.weight.grad = None
    np.testing.assert_array_equal(twin(x).numpy(), before - 1)
    np.testing.assert_array_equal(model(x).numpy(), before)
    twin(x).sum().backward()
    assert twin.weight.grad.tolist() == [[1.0, 1.0]]
    twin.register_forward_hook(plus_one)  # keys of another process cannot meet those of this one
    twin.register_forward_hook(plus_one)
    np.testing.assert_array_equal(twin(x).numpy(), before + 1)


class Labelled(mg.Parameter):
    """A user's subclass with an attribute."""


@each_copy
def test_attributes_of_a_subclass(name: str) -> None:
    p = Labelled([1.0])
    p.label = ["encoder"]
    twin = COPIES[name](p)
    assert type(twin) is Labelled
    assert twin.label == ["encoder"]
    assert copy.copy(p).label is p.label


def test_memory_mapped_by_the_loader() -> None:
    """Buffers out of band are read-only, as joblib's memory maps are; what is trained gets memory of its own."""
    model = nn.Linear(2, 2, rng=0)
    optimizer = optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    train(model, optimizer, 1)
    buffers: list[Any] = []
    content = pickle.dumps((model, optimizer, mg.tensor([1.0])), 5, buffer_callback=buffers.append)
    twin, again, c = pickle.loads(content, buffers=[bytes(b) for b in buffers])
    assert not c.data.flags.writeable
    assert train(twin, again) == train(model, optimizer)


@pytest.mark.parametrize("kind", ["SGD", "Adam", "AdamW", "RMSprop", "Adagrad"])
def test_every_optimizer_goes_on(kind: str) -> None:
    models = [nn.Linear(2, 2, rng=0), nn.Linear(2, 2, rng=0)]
    options = {"momentum": 0.9} if kind == "SGD" else {}
    optimizers = [getattr(optim, kind)(m.parameters(), lr=0.1, **options) for m in models]
    for model, optimizer in zip(models, optimizers):
        train(model, optimizer)
    models[1], optimizers[1] = pickle.loads(pickle.dumps((models[1], optimizers[1])))
    assert train(models[0], optimizers[0]) == train(models[1], optimizers[1])


def test_a_spawned_process() -> None:
    model = nn.Sequential(nn.Linear(2, 2, rng=0), nn.Tanh())
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        y, twin = pool.apply(_run, (model, np.ones((1, 2), np.float32)))
    np.testing.assert_array_equal(y.numpy(), model(np.ones((1, 2), np.float32)).numpy())
    assert twin[0].weight.requires_grad
    assert type(twin[0].weight.node) is Leaf


def _run(model: Any, x: Any) -> Any:
    return model(x).detach(), model
