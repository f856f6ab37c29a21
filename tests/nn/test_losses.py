"""The losses as modules: torch.nn's names, arguments and states, and what `minigrad.losses` computes."""

from __future__ import annotations

import inspect
from typing import Any

import numpy as np
import pytest

import minigrad as mg
from minigrad import losses, nn
from tests.public_arguments.module_examples import MODULE_EXAMPLES

rng = np.random.default_rng(0)
X, Y = rng.standard_normal((2, 4, 3))
P, Q = rng.dirichlet(np.ones(3), (2, 4))
IDS, W = np.array([0, 2, -100, 1]), rng.random(3)
DEPRECATED = {"size_average", "reduce"}

CASES: list[tuple[str, dict[str, Any], Any, Any]] = [
    ("CrossEntropyLoss", {}, X, IDS),
    ("CrossEntropyLoss", {"weight": W, "ignore_index": 2, "label_smoothing": 0.1, "reduction": "sum"}, X, abs(IDS) % 3),
    ("CrossEntropyLoss", {"weight": W}, X, P),
    ("NLLLoss", {}, np.log(P), IDS),
    ("NLLLoss", {"weight": W, "ignore_index": 2, "reduction": "none"}, np.log(P), abs(IDS) % 3),
    ("MSELoss", {}, X, Y),
    ("MSELoss", {"reduction": "none"}, X, Y),
    ("L1Loss", {"reduction": "sum"}, X, Y),
    ("HuberLoss", {"delta": 0.5}, X, Y),
    ("SmoothL1Loss", {"beta": 0.5}, X, Y),
    ("KLDivLoss", {"reduction": "batchmean"}, np.log(P), Q),
    ("KLDivLoss", {"reduction": "sum", "log_target": True}, np.log(P), np.log(Q)),
    ("BCELoss", {}, P, Q),
    ("BCELoss", {"weight": W, "reduction": "sum"}, P, Q),
    ("BCEWithLogitsLoss", {}, X, P),
    ("BCEWithLogitsLoss", {"weight": W, "pos_weight": W * 2, "reduction": "none"}, X, P),
]


@pytest.mark.parametrize(("name", "options", "x", "target"), CASES)
def test_values_gradients_and_states_are_torchs(
    xp: Any, name: str, options: dict[str, Any], x: np.ndarray, target: np.ndarray
) -> None:
    torch = pytest.importorskip("torch")
    layer = getattr(nn, name)(**options)
    converted = {k: torch.tensor(v) if isinstance(v, np.ndarray) else v for k, v in options.items()}
    theirs = getattr(torch.nn, name)(**converted)
    assert {k: v.shape for k, v in layer.state_dict().items()} == {
        k: tuple(v.shape) for k, v in theirs.state_dict().items()
    }
    ours, t = mg.tensor(x, requires_grad=True), torch.tensor(x, requires_grad=True)
    loss, want = layer(ours, target), theirs(t, torch.tensor(target))
    np.testing.assert_allclose(loss.numpy(), want.detach().numpy(), rtol=1e-12, atol=1e-12)
    mg.sum(loss).backward()
    want.sum().backward()
    np.testing.assert_allclose(ours.grad.numpy(), t.grad.numpy(), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("name", nn.losses.__all__)
def test_arguments_and_defaults_are_torchs(name: str) -> None:
    torch = pytest.importorskip("torch")
    ours = {k: p.default for k, p in inspect.signature(getattr(nn, name)).parameters.items()}
    theirs = {k: p.default for k, p in inspect.signature(getattr(torch.nn, name)).parameters.items()}
    assert ours == {k: v for k, v in theirs.items() if k not in DEPRECATED}
    assert list(ours) == [k for k in theirs if k not in DEPRECATED]
    assert name in {case[0] for case in CASES}


def test_every_function_is_a_module() -> None:
    """And the arguments are the functions', but for the prediction and the target."""
    names = dict(zip(losses.__all__, ("BCELoss", "BCEWithLogitsLoss", "CrossEntropyLoss", "HuberLoss", "KLDivLoss",
                                      "L1Loss", "MSELoss", "NLLLoss", "SmoothL1Loss")))  # fmt: skip
    assert set(names.values()) == set(nn.losses.__all__)
    assert {*names, *names.values()} <= set(MODULE_EXAMPLES)  # their arguments are spoilt one by one there
    for function, name in names.items():
        wanted = list(inspect.signature(getattr(losses, function)).parameters)
        assert list(inspect.signature(getattr(nn, name).forward).parameters)[1:] == wanted[:2]
        assert set(inspect.signature(getattr(nn, name)).parameters) == set(wanted[2:])


def test_weights_move_with_the_module(xp: Any) -> None:
    with mg.use_backend("numpy"):
        layer = nn.CrossEntropyLoss(weight=[1.0, 2.0, 3.0])
    want = layer(mg.tensor(X, backend="numpy"), IDS).item()
    layer.to(xp.name, "float64")
    assert layer.weight.backend == xp.name
    assert layer.weight.dtype == np.float64
    np.testing.assert_allclose(layer(mg.tensor(X), IDS).item(), want, rtol=1e-12)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: nn.MSELoss("avg"), "MSELoss: reduction: got 'avg', want one of"),
        (lambda: nn.CrossEntropyLoss(["a"]), "CrossEntropyLoss: weight: got <U1, want numbers"),
        (lambda: nn.CrossEntropyLoss([1j]), "CrossEntropyLoss: weight: got dtype complex128, want real numbers"),
        (lambda: nn.CrossEntropyLoss(label_smoothing=2.0), "CrossEntropyLoss: label_smoothing: got 2.0"),
        (lambda: nn.HuberLoss(delta=0), "HuberLoss: delta: got 0, want a finite number above 0"),
    ],
)
def test_errors_name_what_is_wrong(call: Any, message: str) -> None:
    with pytest.raises((ValueError, TypeError)) as caught:
        call()
    assert message in str(caught.value)


def test_repr() -> None:
    assert repr(nn.KLDivLoss("batchmean")) == "KLDivLoss(reduction='batchmean', log_target=False)"
    assert repr(nn.HuberLoss(delta=2.0)) == "HuberLoss(reduction='mean', delta=2)"
