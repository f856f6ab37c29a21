"""Modules: what belongs to them, their state, moving and freezing."""

from __future__ import annotations

import copy
import subprocess
import sys
from typing import Any

import numpy as np
import pytest

import minigrad as mg
from minigrad import nn


class Net(nn.Module):
    """A list of layers, a parameter of its own, and one that is shared."""

    def __init__(self, rng: np.random.Generator | None = None) -> None:
        super().__init__()
        self.layers = nn.ModuleList([nn.Linear(3, 3, rng=rng), nn.Linear(3, 3, rng=rng)])
        self.scale = mg.Parameter(np.ones(3, "float32"))
        self.again = self.layers[0]
        self.tied = self.layers[1].weight

    def forward(self, x: Any) -> Any:
        for layer in self.layers:
            x = mg.tanh(layer(x))
        return x * self.scale


NAMES = ["scale", "tied", "layers.0.weight", "layers.0.bias", "layers.1.bias"]


def net(seed: int = 0) -> Net:
    return Net(np.random.default_rng(seed))


def test_parameters_are_listed_once_in_order(xp: Any) -> None:
    model = net()
    assert [name for name, _ in model.named_parameters()] == NAMES
    assert [name for name, _ in model.named_modules()] == ["", "layers", "layers.0", "layers.1"]
    assert [name for name, _ in model.named_parameters("net")] == [f"net.{name}" for name in NAMES]
    assert list(model.children()) == [model.layers, model.layers[0]]
    assert model.num_parameters() == 3 + 9 + 9 + 3 + 3
    assert all(p.backend == xp.name for p in model.parameters())
    model.scale = None
    assert [name for name, _ in model.named_parameters()] == NAMES[1:]


def test_a_module_that_holds_its_parent_is_walked_once() -> None:
    model = net()
    model.layers[0].parent = model
    assert len(list(model.modules())) == 4
    assert len(list(model.parameters())) == 5


@pytest.mark.parametrize("held", [[nn.Identity()], (nn.Identity(),), {"a": nn.Identity()}, [mg.Parameter([1.0])]])
def test_modules_in_a_plain_container_are_refused(held: Any) -> None:
    model = nn.Module()
    with pytest.raises(TypeError, match=r"Module: layers: got a \w+ of modules or parameters.* want a ModuleList"):
        model.layers = held
    model._aliases = held  # a private name is the writer's own business
    model.sizes = [1, 2]


def test_module_lists() -> None:
    layers = nn.ModuleList(nn.Linear(k, k) for k in range(1, 13))
    layers.append(nn.Tanh())
    assert len(layers) == 13
    assert [type(m).__name__ for m in layers][-2:] == ["Linear", "Tanh"]
    assert layers[-1] is list(layers)[12]
    part = layers[2:4]
    assert isinstance(part, nn.ModuleList)
    assert [m.in_features for m in part] == [3, 4]
    assert [name for name, _ in part.named_children()] == ["0", "1"]
    with pytest.raises(IndexError):
        layers[13]
    with pytest.raises(TypeError, match="ModuleList: module: got int, want a Module"):
        layers.append(3)  # type: ignore[arg-type]


def test_repr() -> None:
    model = nn.Sequential(nn.Linear(2, 3), nn.Sequential(nn.Dropout(0.5), nn.Embedding(4, 5, padding_idx=-1)))
    assert repr(model) == (
        "Sequential(\n"
        "  (0): Linear(in_features=2, out_features=3, bias=True)\n"
        "  (1): Sequential(\n"
        "    (0): Dropout(p=0.5)\n"
        "    (1): Embedding(4, 5, padding_idx=3)\n"
        "  )\n"
        ")"
    )
    assert repr(nn.LayerNorm(3)) == "LayerNorm((3,), eps=1e-05, elementwise_affine=True)"


def test_forward_must_be_defined() -> None:
    with pytest.raises(NotImplementedError, match="Module: forward"):
        nn.Module()()


def test_train_and_eval() -> None:
    model = nn.Sequential(nn.Dropout(0.5), nn.Sequential(nn.Dropout(0.5)))
    assert all(m.training for m in model.modules())
    assert model.eval() is model
    assert not any(m.training for m in model.modules())
    assert all(m.training for m in model.train().modules())


def test_zero_grad(xp: Any) -> None:
    model = net()
    mg.sum(model(xp.array(np.ones((2, 3), "float32")))).backward()
    assert all(p.grad is not None for p in model.parameters())
    model.zero_grad()
    assert all(p.grad is None for p in model.parameters())


# State


def test_state_goes_out_and_in(xp: Any) -> None:
    one, other = net(1), net(2)
    x = xp.array(np.ones((2, 3), "float32"))
    before = list(other.parameters())
    state = one.state_dict()
    assert list(state) == NAMES
    assert all(type(a) is np.ndarray for a in state.values())
    assert other.load_state_dict({k: v.astype("float64") for k, v in state.items()}) == ([], [])
    assert all(a is b for a, b in zip(before, other.parameters()))
    assert all(p.dtype == np.float32 for p in other.parameters())
    np.testing.assert_array_equal(one(x).numpy(), other(x).numpy())
    state["scale"][...] = 7  # a copy
    assert one.scale.numpy().tolist() == [1, 1, 1]
    other.load_state_dict({k: xp.array(v) for k, v in state.items()})
    assert other.scale.numpy().tolist() == [7, 7, 7]


def test_a_wrong_state_changes_nothing(xp: Any) -> None:
    model = net()
    before = model.state_dict()
    state = {k: v + 1 for k, v in before.items()}
    del state["scale"]
    state["tied"] = np.zeros((2, 3))
    state["extra"] = np.zeros(1)
    state["layers.1.bias"] = np.array(["a", "b", "c"])
    with pytest.raises(ValueError, match=r"Net\.load_state_dict") as caught:
        model.load_state_dict(state)
    for part in [
        "missing: scale (3,)",
        "unexpected: extra",
        "tied: got shape (2, 3), want (3, 3)",
        "layers.1.bias: got <U1, want",
    ]:
        assert part in str(caught.value)
    with pytest.raises(ValueError, match="tied: got shape"):
        model.load_state_dict(state, strict=False)
    for name, array in model.state_dict().items():
        np.testing.assert_array_equal(array, before[name])
    del state["tied"], state["layers.1.bias"]
    passed_over = model.load_state_dict(state, strict=False)
    assert passed_over == (["scale", "tied", "layers.1.bias"], ["extra"])
    np.testing.assert_array_equal(model.layers[0].bias.numpy(), before["layers.0.bias"] + 1)


def test_loading_between_forward_and_backward_is_caught(xp: Any) -> None:
    model = net()
    loss = mg.sum(model(xp.array(np.ones((2, 3), "float32"))))
    model.load_state_dict(model.state_dict())
    with pytest.raises(mg.GraphError, match="written into since"):
        loss.backward()


def test_loading_a_frozen_module_leaves_older_graphs_right(xp: Any) -> None:
    layer = nn.Linear(2, 2, rng=np.random.default_rng(0)).requires_grad_(False)
    x = mg.tensor(xp.array(np.ones((1, 2), "float32")), requires_grad=True)
    loss = mg.sum(layer(x))
    want = layer.weight.numpy().sum(axis=0)
    layer.load_state_dict({k: v * 0 for k, v in layer.state_dict().items()})
    loss.backward()
    np.testing.assert_allclose(x.grad.numpy()[0], want, rtol=1e-6)
    assert not layer.weight.numpy().any()


# Moving and freezing


def test_to_keeps_the_parameters_and_moves_the_gradients(xp: Any) -> None:
    with mg.use_backend("numpy"):
        model = net()
        twin = copy.deepcopy(model)
    x = np.random.default_rng(0).standard_normal((4, 3))
    before = list(model.parameters())
    mg.sum(model(x.astype("float32"))).backward()
    host = [p.grad.numpy() for p in before]
    assert model.to(xp.name, "float64") is model
    assert all(a is b for a, b in zip(before, model.parameters()))
    for p, g in zip(before, host):
        assert p.backend == p.grad.backend == xp.name
        assert p.dtype == p.grad.dtype == np.float64
        np.testing.assert_array_equal(p.grad.numpy(), g)
    mg.sum(model(xp.array(x))).backward()  # adds to what came before the move
    twin.to(dtype=np.float64)
    mg.sum(twin(x)).backward()
    for p, g, q in zip(before, host, twin.parameters()):
        np.testing.assert_allclose(p.grad.numpy(), g + q.grad.numpy(), rtol=1e-12, atol=1e-12)
    model.to("numpy")
    assert {p.backend for p in model.parameters()} == {"numpy"}
    leaves = [p.node for p in before]
    model.to("numpy", "float64")
    assert [p.node for p in before] == leaves  # nothing to do, nothing done


def test_a_graph_from_before_a_move_is_refused(xp: Any) -> None:
    model = net()
    loss = mg.sum(model(xp.array(np.ones((2, 3), "float32"))))
    model.to(dtype="float64")
    with pytest.raises(mg.GraphError, match=r"Module\.to"):
        loss.backward()


def test_to_refuses_before_it_changes() -> None:
    model = net()
    with pytest.raises(TypeError, match=r"Net\.to: dtype: got int32, want a floating-point"):
        model.to(dtype="int32")
    with pytest.raises(mg.BackendError):
        model.to("abacus")
    assert {(p.backend, p.dtype.name) for p in model.parameters()} == {("numpy", "float32")}


def test_freezing(xp: Any) -> None:
    model = nn.Sequential(nn.Linear(3, 3), nn.Tanh(), nn.Linear(3, 1))
    x = xp.array(np.ones((2, 3), "float32"))
    assert model[0].requires_grad_(False) is model[0]
    mg.sum(model(x)).backward()
    assert [p.grad is None for p in model.parameters()] == [True, True, False, False]
    mg.optim.SGD(model.parameters(), lr=0.1).step()
    model.requires_grad_(True)
    mg.sum(model(x)).backward()
    assert all(p.grad is not None for p in model.parameters())
    model.requires_grad_(False)
    with pytest.raises(mg.GraphError, match="not on the tape"):
        mg.sum(model(x)).backward()


def test_freezing_sets_entries_aside_for_graphs_recorded_before(xp: Any) -> None:
    layer = nn.Linear(3, 1)
    x = xp.array(np.ones((2, 3), "float32"))
    loss = mg.sum(layer(x))
    mg.sum(layer(x)).backward()
    gathered = layer.bias.grad.tolist()
    layer.requires_grad_(False)
    assert layer.bias.grad is None
    assert not mg.sum(layer(x)).requires_grad
    layer.requires_grad_(True)
    assert layer.bias.grad.tolist() == gathered
    loss.backward()
    assert layer.bias.grad.tolist() == [2 * gathered[0]]
    layer.requires_grad_(False)
    layer.zero_grad()
    layer.requires_grad_(True)
    assert layer.bias.grad is None
    layer.requires_grad_(False).to(dtype="float64")
    assert not layer.weight.requires_grad
    layer.requires_grad_(True)
    mg.sum(layer(xp.array(np.ones((2, 3))))).backward()
    assert layer.weight.grad.dtype == np.float64


def test_deepcopy(xp: Any) -> None:
    model = net()
    model.layers[0].requires_grad_(False)
    x = xp.array(np.ones((2, 3), "float32"))
    mg.sum(model(x)).backward()
    twin = copy.deepcopy(model)
    assert twin.tied is twin.layers[1].weight
    assert twin.again is twin.layers[0]
    assert [p.requires_grad for p in twin.parameters()] == [p.requires_grad for p in model.parameters()]
    assert all(p.grad is None and p.backend == xp.name for p in twin.parameters())
    twin.load_state_dict({k: v * 0 for k, v in twin.state_dict().items()})
    assert model.scale.numpy().any()
    np.testing.assert_array_equal(twin(x).numpy(), 0)


def test_the_import_is_light() -> None:
    code = "import sys, minigrad; print(sorted({'cupy', 'safetensors', 'torch', 'scipy'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
