"""ModuleDict, ParameterList and ParameterDict: names, state and errors, beside torch's."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import minigrad as mg
from minigrad import nn

W = np.ones((2, 2), np.float32)


def test_a_module_dict_is_torchs() -> None:
    torch = pytest.importorskip("torch")
    ours = nn.ModuleDict({"b": nn.Linear(2, 3), "a": nn.Tanh()})
    ours["c"] = nn.Linear(3, 1)
    theirs = torch.nn.ModuleDict({"b": torch.nn.Linear(2, 3), "a": torch.nn.Tanh()})
    theirs["c"] = torch.nn.Linear(3, 1)
    assert list(ours.state_dict()) == list(theirs.state_dict())
    assert list(ours) == list(ours.keys()) == list(theirs) == ["b", "a", "c"]
    assert [type(m).__name__ for m in ours.values()] == [type(m).__name__ for m in theirs.values()]
    assert ours["b"] is ours.b is dict(ours.items())["b"]
    assert "a" in ours
    assert "z" not in ours
    assert len(ours) == 3
    assert ours.pop("a") not in ours.values()
    del ours["b"]
    assert list(ours.state_dict()) == ["c.weight", "c.bias"]
    ours.update([("d", nn.Tanh())])
    assert list(ours) == ["c", "d"]
    ours.clear()
    assert not len(ours)


def test_parameters_in_containers_are_torchs(xp: Any) -> None:
    torch = pytest.importorskip("torch")

    class Ours(nn.Module):
        def __init__(self) -> None:
            self.many = nn.ParameterList([mg.Parameter(W), W * 2])
            self.named = nn.ParameterDict({"a": W * 3})
            self.named["b"] = mg.tensor(W * 4)

    class Theirs(torch.nn.Module):  # type: ignore[misc, name-defined]
        def __init__(self) -> None:
            super().__init__()
            self.many = torch.nn.ParameterList([torch.nn.Parameter(torch.tensor(W)), torch.tensor(W * 2)])
            self.named = torch.nn.ParameterDict({"a": torch.tensor(W * 3)})
            self.named["b"] = torch.tensor(W * 4)

    ours, theirs = Ours(), Theirs()
    assert list(ours.state_dict()) == list(theirs.state_dict()) == ["many.0", "many.1", "named.a", "named.b"]
    for name, p in ours.named_parameters():
        np.testing.assert_array_equal(p.numpy(), theirs.state_dict()[name].numpy())
        assert p.backend == xp.name
    mg.sum(ours.many[0] * ours.many[-1] + ours.named["a"] * ours.named.b).backward()
    assert [p.grad.tolist()[0][0] for p in ours.parameters()] == [2, 1, 4, 3]
    ours.many[1] = W * 7
    assert [p.numpy()[0, 0] for p in ours.many] == [1, 7]
    assert len(ours.many.append(W).extend([W, W])) == 5
    assert [name for name, _ in ours.many.named_parameters()] == ["0", "1", "2", "3", "4"]
    assert list(ours.named) == list(ours.named.keys()) == ["a", "b"]
    assert len(ours.named.values()) == len(ours.named.items()) == 2
    del ours.named["a"]
    assert "a" not in ours.named
    assert len(ours.named) == 1
    assert repr(ours.named) == "ParameterDict(b: (2, 2))"


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: nn.ModuleDict({"a": 3}), "ModuleDict: module: got int, want a Module"),
        (lambda: nn.ModuleDict({"keys": nn.Tanh()}), "ModuleDict: name: got 'keys', want a name without a dot that is"),
        (lambda: nn.ModuleDict({"a.b": nn.Tanh()}), "ModuleDict: name: got 'a.b'"),
        (lambda: nn.ModuleDict({3: nn.Tanh()}), "ModuleDict: name: got int, want text"),
        (lambda: nn.ModuleDict([nn.Tanh()]), "ModuleDict: modules: got list, want a dict by name, or (name, value)"),
        (lambda: nn.ParameterDict({"training": W}), "ParameterDict: name: got 'training'"),
        (lambda: nn.ParameterDict({"a": "text"}), "ParameterDict: value: got str, want a Tensor or an array"),
        (lambda: nn.ParameterList([np.ones(2, int)]), "ParameterList: value: got dtype int64, want floating point"),
        (lambda: nn.ParameterList(W), "ParameterList: values: got numpy.ndarray, want a list of"),
    ],
)
def test_errors_name_what_is_wrong(call: Any, message: str) -> None:
    with pytest.raises((TypeError, ValueError)) as caught:
        call()
    assert message in str(caught.value)


def test_a_refused_update_adds_nothing() -> None:
    modules, parameters = nn.ModuleDict(), nn.ParameterDict()
    with pytest.raises(ValueError, match="name: got 'pop'"):
        modules.update({"a": nn.Tanh(), "pop": nn.Tanh()})
    with pytest.raises(TypeError, match="value: got int"):
        parameters.update({"a": W, "b": 3})
    assert len(modules) == len(parameters) == 0
    with pytest.raises(KeyError):
        del modules["a"]
    with pytest.raises(KeyError):
        parameters["a"]
