"""Activations as modules, beside torch.nn's of the same name and arguments."""

from __future__ import annotations

import inspect
import re
from typing import Any

import numpy as np
import pytest

import minigrad as mg
from minigrad import nn

OPTIONS: dict[str, dict[str, Any]] = {
    "CELU": {"alpha": 0.7},
    "ELU": {"alpha": 0.7},
    "GELU": {"approximate": "tanh"},
    "GLU": {"dim": 1},
    "Hardshrink": {"lambd": 0.3},
    "Hardtanh": {"min_val": -0.4, "max_val": 1.2},
    "LeakyReLU": {"negative_slope": 0.2},
    "LogSoftmax": {"dim": 1},
    "PReLU": {"num_parameters": 4, "init": 0.1},
    "Softmax": {"dim": 1},
    "Softmin": {"dim": 1},
    "Softplus": {"beta": 2.0, "threshold": 3.0},
    "Softshrink": {"lambd": 0.3},
    "Threshold": {"threshold": 0.1, "value": -2.0},
}
ROUNDED = {"CELU": 1e-6, "Hardsigmoid": 1e-7}
"""Whose gradients torch computes with 1 / alpha and 1 / 6 rounded to float32, for float64 too: their accuracy there."""
REQUIRED = {"Threshold": OPTIONS["Threshold"], **{n: {"dim": -1} for n in ("Softmax", "Softmin", "LogSoftmax")}}
"""What torch wants, or warns of."""
CALLS = [
    (name, options) for name in nn.activations.__all__ for options in ({}, OPTIONS.get(name)) if options is not None
]


@pytest.mark.parametrize(("name", "options"), CALLS)
def test_values_and_gradients_are_torchs(name: str, options: dict[str, Any], xp: Any) -> None:
    torch = pytest.importorskip("torch")
    host = np.random.default_rng(0).standard_normal((3, 4, 6)) * 3
    layer = getattr(nn, name)(**(options or (REQUIRED[name] if name == "Threshold" else {}))).to(dtype="float64")
    theirs = getattr(torch.nn, name)(**(options or REQUIRED.get(name, {}))).double()
    assert {k: v.shape for k, v in layer.state_dict().items()} == {
        k: tuple(v.shape) for k, v in theirs.state_dict().items()
    }
    x, t = mg.tensor(xp.array(host), requires_grad=True), torch.tensor(host, requires_grad=True)
    y, want = layer(x), theirs(t)
    np.testing.assert_allclose(y.numpy(), want.detach().numpy(), rtol=1e-12, atol=1e-12)
    g = np.random.default_rng(1).standard_normal(y.shape)
    y.backward(mg.tensor(g))
    want.backward(torch.tensor(g))
    np.testing.assert_allclose(x.grad.numpy(), t.grad.numpy(), rtol=ROUNDED.get(name, 1e-11), atol=1e-12)
    for ours, p in zip(layer.parameters(), theirs.parameters()):
        np.testing.assert_allclose(ours.grad.numpy(), p.grad.numpy(), rtol=1e-12)


@pytest.mark.parametrize("name", nn.activations.__all__)
def test_arguments_and_defaults_are_torchs(name: str) -> None:
    torch = pytest.importorskip("torch")
    ours = {k: p.default for k, p in inspect.signature(getattr(nn, name)).parameters.items()}
    theirs = {k: p.default for k, p in inspect.signature(getattr(torch.nn, name)).parameters.items()}
    for extra in ("inplace", "device", "dtype", "min_value", "max_value", "args", "kwargs"):
        theirs.pop(extra, None)
    if ours.get("dim") == -1 and name != "GLU":
        theirs["dim"] = -1  # torch guesses an axis, and warns
    ours.pop("dtype", None)
    assert ours.keys() == theirs.keys()
    assert {k: v for k, v in ours.items() if v is not inspect.Parameter.empty} == {
        k: v for k, v in theirs.items() if v is not inspect.Parameter.empty
    }


def test_every_activation_of_torch_that_is_an_operation_is_there() -> None:
    """The names of torch.nn's activations, but those without an operation here."""
    torch = pytest.importorskip("torch")
    theirs = {n for n in torch.nn.modules.activation.__all__ if not n.startswith("Multihead")}
    assert theirs - set(nn.activations.__all__) == {"RReLU", "Softmax2d"}


def test_prelu_wants_its_channels() -> None:
    with pytest.raises(ValueError, match=r"PReLU: x: got shape \(3,\), want \(N, 2, ...\)"):
        nn.PReLU(2)(np.ones(3, np.float32))
    x, layer = (
        mg.tensor(np.random.default_rng(0).standard_normal((2, 3)), requires_grad=True),
        nn.PReLU(3, dtype="float64"),
    )
    assert mg.gradgradcheck(lambda x, w: mg.leaky_relu(x, w), [x, layer.weight])


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: nn.Hardtanh(1.0, 1.0), "Hardtanh: min_val, max_val: got 1.0 and 1.0"),
        (lambda: nn.CELU(0.0), "CELU: alpha: got 0"),
        (lambda: nn.Softplus(0), "Softplus: beta: got 0"),
        (lambda: nn.Softshrink(-1.0), "Softshrink: lambd: got -1.0, want a finite number of at least 0"),
        (lambda: nn.GELU("erf"), "GELU: approximate: got 'erf', want one of"),
        (lambda: nn.Softmax("last"), "Softmax: dim: got 'last', want a whole number"),
    ],
)
def test_errors_name_what_is_wrong(call: Any, message: str) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        call()


def test_repr_shows_the_arguments() -> None:
    model = nn.Sequential(nn.GELU("tanh"), nn.Softplus(), nn.PReLU(3), nn.Softmax(1), nn.Hardtanh(), nn.SiLU())
    lines = [line.split(": ")[1] for line in repr(model).splitlines()[1:-1]]
    assert lines == [
        "GELU(approximate='tanh')", "Softplus(beta=1, threshold=20.0)", "PReLU(num_parameters=3)", "Softmax(dim=1)",
        "Hardtanh(min_val=-1, max_val=1)", "SiLU()",
    ]  # fmt: skip
