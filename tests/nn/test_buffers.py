"""Buffers: tensors that belong to a module and are not trained; and `Module.apply`."""

from __future__ import annotations

import copy
import pickle
from typing import Any

import numpy as np
import pytest

import minigrad as mg
from minigrad import nn


class Counted(nn.Module):
    """Counts its calls, and scales by a constant that is not saved."""

    def __init__(self) -> None:
        self.register_buffer("calls", mg.tensor(np.zeros((), np.int64)))
        self.weight = mg.Parameter(np.ones(2, np.float32))
        self.register_buffer("scale", np.full(2, 3.0, np.float32), persistent=False)
        self.register_buffer("absent", None)
        self.inner = nn.Linear(2, 2, rng=0)

    def forward(self, x: Any) -> mg.Tensor:
        self.calls.data = (self.calls + 1)._array
        return self.inner(x * self.weight) * self.scale


X = np.ones((1, 2), np.float32)


def test_a_state_holds_persistent_buffers_in_torchs_order(xp: Any) -> None:
    model = nn.Sequential(Counted(), nn.Tanh())
    assert list(model.state_dict()) == ["0.weight", "0.calls", "0.inner.weight", "0.inner.bias"]
    assert [name for name, _ in model.named_buffers("m")] == ["m.0.calls", "m.0.scale"]
    assert {b.backend for b in model.buffers()} == {xp.name}
    assert [name for name, _ in model.named_parameters()] == ["0.weight", "0.inner.weight", "0.inner.bias"]
    model(xp.array(X))
    model(xp.array(X))
    other = nn.Sequential(Counted(), nn.Tanh())
    kept = other[0].calls
    assert other.load_state_dict(model.state_dict()) == ([], [])
    assert other[0].calls is kept
    assert kept.item() == 2
    model(xp.array(X))
    assert kept.item() == 2  # a copy
    with pytest.raises(ValueError, match=r"missing: 0.calls \(\); unexpected: 0.call; did you mean '0.calls'"):
        other.load_state_dict({name.replace("calls", "call"): a for name, a in model.state_dict().items()})
    assert other.load_state_dict({}, strict=False).missing == list(model.state_dict())


def test_the_order_and_the_names_are_torchs() -> None:
    torch = pytest.importorskip("torch")

    class Theirs(torch.nn.Module):  # type: ignore[misc, name-defined]
        def __init__(self) -> None:
            super().__init__()
            self.register_buffer("calls", torch.zeros(()))
            self.weight = torch.nn.Parameter(torch.ones(2))
            self.register_buffer("scale", torch.full((2,), 3.0), persistent=False)
            self.register_buffer("absent", None)
            self.inner = torch.nn.Linear(2, 2)

    assert list(Counted().state_dict()) == list(Theirs().state_dict())


def test_to_moves_buffers_and_converts_only_floats(xp: Any) -> None:
    with mg.use_backend("numpy"):
        model = Counted()
    kept = list(model.buffers())
    assert model.to(xp.name, "float64") is model
    assert all(a is b for a, b in zip(kept, model.buffers()))
    assert [(b.backend, b.dtype.name) for b in kept] == [(xp.name, "int64"), (xp.name, "float64")]
    assert model(xp.array(X.astype(float))).dtype == np.float64


@pytest.mark.parametrize("twin", [copy.deepcopy, lambda m: pickle.loads(pickle.dumps(m))])
def test_copies_have_buffers_of_their_own(twin: Any) -> None:
    model = Counted()
    model(X)
    other = twin(model)
    assert other.calls.item() == 1
    model(X)
    assert other.calls.item() == 1
    assert list(other.state_dict()) == list(model.state_dict())
    other.register_buffer("more", np.zeros(1))
    assert "more" not in dict(model.named_buffers())


def test_trees_and_transformations_share_buffers() -> None:
    """What a function under `grad` counts is counted in the module itself."""
    model = Counted()
    assert list(mg.grad(lambda m: m(X).sum())(model)) == ["weight", "inner.weight", "inner.bias"]
    assert model.calls.item() == 1
    assert [a.shape for a in mg.tree_flatten(model)[0]] == [(2,), (2, 2), (2,)]
    assert copy.copy(model).scale is model.scale


def test_assigning_a_buffer() -> None:
    model = Counted()
    x = mg.tensor(X, requires_grad=True)
    model.scale = mg.tensor([5.0, 5.0])
    assert [b.tolist() for b in model.buffers()] == [0, [5.0, 5.0]]
    with pytest.raises(TypeError, match=r"Counted: scale: got a tensor on the tape, want a constant .*\.detach\(\)"):
        model.scale = x * 2
    for value in (np.ones(2), mg.Parameter([1.0]), 3.0, nn.Tanh()):
        with pytest.raises(TypeError, match=r"Counted: scale: got .*, want a constant Tensor for a buffer"):
            model.scale = value
    model.scale = None
    assert [name for name, _ in model.named_buffers()] == ["calls"]
    del model.calls
    assert list(model.state_dict()) == ["weight", "inner.weight", "inner.bias"]


@pytest.mark.parametrize("name", ["", "a.b", "weight", "forward", "training"])
def test_a_buffers_name(name: str) -> None:
    with pytest.raises(ValueError, match=r"Counted\.register_buffer: name: got"):
        Counted().register_buffer(name, np.ones(1))
    assert name not in dict(Counted().named_buffers())


def test_a_shared_buffer_is_listed_once() -> None:
    one, other = Counted(), Counted()
    other.register_buffer("calls", one.calls)
    assert list(nn.Sequential(one, other).state_dict())[4:] == ["1.weight", "1.inner.weight", "1.inner.bias"]


def test_apply_calls_children_first_as_torch_does() -> None:
    shared = nn.Tanh()
    model = nn.Sequential(nn.Sequential(nn.Linear(1, 1), shared), nn.ReLU(), shared)
    called: list[str] = []
    assert model.apply(lambda m: called.append(type(m).__name__)) is model
    assert called == ["Linear", "Tanh", "Sequential", "ReLU", "Sequential"]
    with pytest.raises(TypeError, match=r"Sequential\.apply: function: got None"):
        model.apply(None)  # type: ignore[arg-type]
