"""`detect_anomaly` names the layer, and says when the input, a state or a parameter was not finite already."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest

import minigrad as mg
from minigrad import nn
from minigrad_rnn import GRU, LSTM, RNN, ManyToMany, text

T, B, I, H = 5, 2, 3, 4
XS = np.random.default_rng(0).standard_normal((T, B, I))
IMPLEMENTATIONS = pytest.mark.parametrize("impl", ["graph", "fused", "native"])


def model_of(impl: str, kind: Any = LSTM, **options: Any) -> ManyToMany:
    rnn = kind(I, H, 2, impl=impl, dtype="float64", rng=0, **options)
    return ManyToMany(rnn, nn.Linear(H, 1, dtype="float64", rng=0))


def caught(function: Any) -> mg.AnomalyError:
    with pytest.raises(mg.AnomalyError) as info, mg.detect_anomaly():
        function()
    return info.value


@IMPLEMENTATIONS
def test_an_input_that_was_not_finite(impl: str) -> None:
    xs = XS.copy()
    xs[3, 1, 2] = np.nan
    error = caught(lambda: model_of(impl)(xs))
    assert (error.kind, error.phase, error.came_in) == ("NaN", "forward", True)
    assert error.layer == "recurrence.forward0 (LSTMCell)"
    assert "held the first NaN" in str(error)
    assert "it came in: no operation made it\n  layer: recurrence.forward0 (LSTMCell)" in str(error)
    assert ("at time step 3" if impl == "graph" else "at index (3, 1, 2), 1 of 30 values") in str(error)


@IMPLEMENTATIONS
def test_a_parameter_and_a_state_that_were_not_finite(impl: str) -> None:
    model = model_of(impl)
    h = np.zeros((2, B, H))
    h[1, 0, 0] = np.nan
    error = caught(lambda: model.recurrence(XS, (h, np.zeros((2, B, H)))))
    assert error.layer == "forward1 (LSTMCell)"
    assert error.came_in
    model.recurrence.forward1.Wr.data[2, 1] = np.nan
    error = caught(lambda: model(XS))
    assert error.layer == "recurrence.forward1 (LSTMCell)"
    assert "the parameter recurrence.forward1.Wr of '" in str(error)
    model = model_of(impl)
    model.readout.bias.data[0] = np.nan
    error = caught(lambda: model(XS))
    assert error.layer == "readout (Linear)"
    assert "the parameter readout.bias of '" in str(error)


@IMPLEMENTATIONS
def test_an_inf_that_came_in_stands_beside_the_nan_that_it_made(impl: str) -> None:
    """Inf − Inf in a product: an operation made the NaN, of what had come in."""
    model = model_of(impl, RNN, nonlinearity="relu")
    model.recurrence.forward0.Wc.data[...] = 0.0
    xs = XS.copy()
    xs[2, 0, 1] = np.inf
    error = caught(lambda: model(xs))
    assert (error.kind, error.came_in, error.layer) == ("NaN", False, "recurrence.forward0 (RNNCell)")
    assert "not finite before: input 0, which held an Inf at index (" in str(error)


@IMPLEMENTATIONS
def test_an_inf_that_came_in_stands_beside_a_rules_nan(impl: str) -> None:
    """The forward pass is finite, with every gate saturated: 0 · Inf comes from the rule."""
    xs = XS.copy()
    xs[2, 0, 1] = np.inf
    error = caught(lambda: model_of(impl)(xs)[0].sum().backward())
    assert (error.kind, error.phase, error.came_in) == ("NaN", "backward", False)
    where = "(0, 1), 1 of 6" if impl == "graph" else "(2, 0, 1), 1 of 30"
    assert f"which held an Inf at index {where} values\n  layer: recurrence.forward0" in str(error)


@IMPLEMENTATIONS
def test_padding_may_be_anything(impl: str) -> None:
    xs = XS.copy()
    xs[3:, 1] = np.nan
    with mg.detect_anomaly():
        for options in ({}, {"batch_first": True}, {"reverse": True}):
            net = GRU(I, H, impl=impl, dtype="float64", rng=0, **options)
            net(xs.swapaxes(0, 1) if options.get("batch_first") else xs, lengths=[5, 3])[0].sum().backward()


def test_the_layer_of_an_operation_and_of_a_rule() -> None:
    class Root(nn.Module):
        def __init__(self) -> None:
            self.inner = nn.Sequential(nn.Linear(1, 1, dtype="float64", rng=0), Rooting())

        def forward(self, x: Any) -> Any:
            return self.inner(x)

    class Rooting(nn.Module):
        def forward(self, x: Any) -> Any:
            return mg.sqrt(x)

    root = Root()
    root.inner[0].weight.data[...], root.inner[0].bias.data[...] = 1.0, 0.0
    error = caught(lambda: root(np.array([[-1.0]])))
    assert (error.op, error.layer) == ("sqrt", "inner.1 (Rooting)")
    error = caught(lambda: root(np.array([[0.0]])).sum().backward())
    assert (error.phase, error.op, error.layer) == ("backward", "sqrt", "inner.1 (Rooting)")
    assert str(error).endswith("\n  layer: inner.1 (Rooting)")
    assert caught(lambda: mg.sqrt(mg.tensor([-1.0]))).layer == ""


def test_a_warning_comes_once_for_what_spreads() -> None:
    xs = XS.copy()
    xs[0] = np.nan
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        with mg.detect_anomaly(warn=True):
            model_of("graph")(xs)
        with mg.detect_anomaly(warn=True):
            model_of("graph")(XS * np.inf)
    assert sum("it came in" in str(w.message) for w in seen) == 1


@IMPLEMENTATIONS
def test_two_directions_are_one_layer(impl: str) -> None:
    model = model_of(impl, GRU, bidirectional=True)
    model.recurrence.backward1.Wr.data[...] = np.nan
    assert caught(lambda: model.recurrence(XS)).layer == "forward1 | backward1 (GRUCell)"


def test_ids_and_a_shared_module() -> None:
    model = text.CharacterModel(5, "gru", 3, 4, rng=0)
    model.embedding.weight.data[2] = np.nan
    error = caught(lambda: model(np.array([[1], [2]])))
    assert error.came_in
    assert "embedding" in error.layer or "forward0" in error.layer
