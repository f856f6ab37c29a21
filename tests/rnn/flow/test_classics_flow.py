"""∂L/∂ of what the lecture's classics feed back, against the tape's own gradients of the same values."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import minigrad as mg
from minigrad_rnn import NARX, Elman, GeneralRecurrence, GradientFlow, Jordan, StateSpace
from minigrad_rnn.classics import FIGURES

T, B, I, H, O = 5, 2, 3, 4, 2
XS = np.random.default_rng(0).standard_normal((T, B, I))
SIZES = {"x": I, "h1": H, "h2": H, "y": O}
NETS: dict[str, Any] = {
    "state space": lambda: StateSpace(I, H, O, rng=0, dtype="float64"),
    "Elman": lambda: Elman(I, H, O, rng=0, dtype="float64"),
    "Jordan": lambda: Jordan(I, H, O, rng=0, dtype="float64"),
    "NARX": lambda: NARX(I, H, O, input_lags=1, output_lags=2, initial="zeros", rng=0, dtype="float64"),
    "general": lambda: GeneralRecurrence(SIZES, FIGURES["all of these"], rng=0, dtype="float64"),
}


@pytest.mark.parametrize("kind", NETS)
def test_gradients_of_what_is_fed_back(kind: str) -> None:
    """The state after step t is given to a second call as its start, a leaf: its gradient there is the carried part."""
    net = NETS[kind]()
    with GradientFlow(net) as flow:
        net(XS)[0].sum().backward()
    (layer,) = flow.calls
    feeds = [name for name in net.state_names if name in layer.names]
    assert feeds
    for t in range(T - 1):
        with mg.no_grad():
            _, state = net(XS[: t + 1])
        parts = [mg.tensor(p.numpy(), requires_grad=True) for p in (state if isinstance(state, tuple) else (state,))]
        net(XS[t + 1 :], tuple(parts) if isinstance(state, tuple) else parts[0])[0].sum().backward()
        for name, part in zip(net.state_names, parts):
            if name not in layer.names:
                continue
            want = np.zeros((B, part.shape[2])) if part.grad is None else part.grad.numpy()[-1]
            got = layer.carried(name)[t]
            if kind == "general" and name != "y":  # what the step's own output makes of it is in `gradient` too
                got = got - own_step(net, layer, t, name)
            np.testing.assert_allclose(got, want, rtol=1e-10, atol=1e-12)


def own_step(net: Any, layer: Any, t: int, name: str) -> Any:
    """∂L/∂ of a hidden layer's value at step t by way of the same step's layers above: h1 → h2 → y, h1 → y."""
    h2 = layer.gradient("y")[t] @ net.weight("y", "h2").numpy()
    if name == "h2":
        return h2
    slope = 1 - layer.states("h2")[t] ** 2
    return (
        layer.gradient("y")[t] @ net.weight("y", "h1").numpy()
        + (layer.gradient("h2")[t] * slope) @ net.weight("h2", "h1").numpy()
    )


def test_elmans_link_carries_nothing() -> None:
    with GradientFlow(net := NETS["Elman"]()) as flow:
        net(XS)[0].sum().backward()
    (layer,) = flow.calls
    assert layer.names == ("h",)
    assert layer.layer == "Elman"
    np.testing.assert_array_equal(layer.carried(), 0)
    assert (layer.norms() > 0).all()


def test_nothing_else_changes_while_somebody_listens() -> None:
    for make in NETS.values():
        results = []
        for listens in (False, True):
            net = make()
            with GradientFlow(net) if listens else mg.enable_grad():
                output, _ = net(XS)
                (output * output).sum().backward()
            results.append([output.numpy(), *(p.grad.numpy() for p in net.parameters() if p.grad is not None)])
        for a, b in zip(*results):
            np.testing.assert_array_equal(a, b)
