"""Modules without recurrence exchange their states with torch's: parameters and buffers, names, shapes and order."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import minigrad as mg
import minigrad_rnn as mr
from minigrad import nn

X = np.random.default_rng(0).standard_normal((4, 2, 9))


def ours() -> nn.Module:
    return nn.Sequential(
        nn.Conv1d(2, 4, 3, padding="same", padding_mode="circular", groups=2, rng=0),
        nn.BatchNorm1d(4),
        nn.PReLU(4),
        nn.ModuleDict({"norm": nn.RMSNorm(9)})["norm"],
        nn.Linear(9, 3, rng=1),
        nn.GELU(),
        nn.LayerNorm(3),
        nn.Softmax(-1),
    ).to(dtype="float64")


def theirs() -> Any:
    torch = pytest.importorskip("torch")
    return torch.nn.Sequential(
        torch.nn.Conv1d(2, 4, 3, padding="same", padding_mode="circular", groups=2),
        torch.nn.BatchNorm1d(4),
        torch.nn.PReLU(4),
        torch.nn.RMSNorm(9),
        torch.nn.Linear(9, 3),
        torch.nn.GELU(),
        torch.nn.LayerNorm(3),
        torch.nn.Softmax(-1),
    ).double()


def test_a_state_goes_there_and_back() -> None:
    torch = pytest.importorskip("torch")
    model, reference = ours(), theirs()
    reference(torch.tensor(X * 3 + 1))  # moves the running statistics
    mr.load_torch_state_dict(model, reference.state_dict())
    other = theirs()
    other.load_state_dict({name: torch.from_numpy(array) for name, array in mr.torch_state_dict(model).items()})
    assert list(model.state_dict()) == list(mr.torch_state_dict(model)) == list(reference.state_dict())
    for name, value in reference.state_dict().items():
        np.testing.assert_array_equal(model.state_dict()[name], value.numpy())
        assert (other.state_dict()[name] == value).all()
    for training in (True, False):
        model.train(training)
        reference.train(training)
        want = reference(torch.tensor(X)).detach().numpy()
        np.testing.assert_allclose(model(X).numpy(), want, rtol=1e-12, atol=1e-14)


def test_plain_loading_knows_the_names_too() -> None:
    """`load_state_dict(torch_model.state_dict())`, as anyone would write it."""
    reference = theirs()
    model = ours()
    model.load_state_dict({name: value.numpy() for name, value in reference.state_dict().items()})
    np.testing.assert_array_equal(model[1].weight.numpy(), reference[1].weight.detach().numpy())


def test_a_missing_buffer_is_named() -> None:
    state = {name: value for name, value in theirs().state_dict().items() if name != "1.running_var"}
    with pytest.raises(ValueError, match=r"state: got no 1.running_var, want its array \(4,\)"):
        mr.load_torch_state_dict(ours(), state)


def test_a_recurrence_beside_buffers_keeps_its_names() -> None:
    class Model(nn.Module):
        def __init__(self) -> None:
            self.rnn = mr.GRU(2, 3, rng=0)
            self.norm = nn.BatchNorm1d(3)
            self.register_buffer("scale", mg.ones(1))

    names = list(mr.torch_state_dict(Model()))
    assert names[:2] == ["scale", "rnn.weight_ih_l0"]
    assert names[-3:] == ["norm.running_mean", "norm.running_var", "norm.num_batches_tracked"]
