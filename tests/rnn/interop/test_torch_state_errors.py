"""What `load_torch_state_dict` and its like refuse: the error names it, and no parameter has changed."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from minigrad import nn
from minigrad_rnn import (
    GRU,
    LSTM,
    RNN,
    LayerNormLSTM,
    load_torch_state_dict,
    recurrence_from_torch_state_dict,
    torch_state_dict,
)
from tests.rnn.interop.test_torch_state import H, I, Tagger


def broken(change: str) -> dict[str, Any]:
    state: dict[str, Any] = torch_state_dict(LSTM(I, H, 2))
    if change == "missing":
        del state["bias_hh_l1"]
    elif change == "unexpected":
        state["weight_hr_l0"] = np.ones((2, H))
    elif change == "shape":
        state["weight_hh_l1"] = np.ones((4 * H, H + 1))
    elif change == "type":
        state["bias_ih_l0"] = "zeros"
    elif change == "complex":
        state["bias_ih_l0"] = np.ones(4 * H, complex)
    return state


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("missing", r"LSTM: state: got no bias_hh_l1, want its array \(12,\)"),
        ("unexpected", r"LSTM: state: got weight_hr_l0, want no such name"),
        ("shape", r"LSTM: state: weight_hh_l1: got shape \(12, 4\), want \(12, 3\)"),
        ("type", r"LSTM: state: bias_ih_l0: got str, want real numbers"),
        ("complex", r"LSTM: state: bias_ih_l0: got complex128, want real numbers"),
    ],
)
def test_a_wrong_state_is_named_and_changes_nothing(change: str, message: str) -> None:
    ours = LSTM(I, H, 2)
    before = ours.state_dict()
    with pytest.raises(ValueError, match=message):
        load_torch_state_dict(ours, broken(change))
    assert all(np.array_equal(before[name], array) for name, array in ours.state_dict().items())


def test_a_module_in_the_place_of_its_state_is_named() -> None:
    with pytest.raises(TypeError, match="load_torch_state_dict: state: got LSTM, want arrays by their names"):
        load_torch_state_dict(LSTM(I, H), LSTM(I, H))  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="recurrence_from_torch_state_dict: state: got list"):
        recurrence_from_torch_state_dict("lstm", [1])  # type: ignore[arg-type]


def test_two_values_for_one_shared_parameter_are_refused() -> None:
    ours = Tagger(tied=True)
    state, before = torch_state_dict(ours), ours.state_dict()
    state["head.2.weight"] = state["head.2.weight"] + 1
    with pytest.raises(ValueError, match=r"head\.2\.weight: got other values than embedding\.weight"):
        load_torch_state_dict(ours, state)
    assert all(np.array_equal(before[name], array) for name, array in ours.state_dict().items())


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: LSTM(I, H, peephole=True), "LSTMCell: peephole: got True, want False"),
        (lambda: GRU(I, H, reset_after=False), "GRUCell: reset_after: got False, want True"),
        (lambda: LayerNormLSTM(I, H), "cell: got 'LayerNormLSTMCell', want RNNCell, LSTMCell or GRUCell"),
        (lambda: RNN(I, H, bidirectional=True, merge="sum"), "RNN: merge: got 'sum', want 'concat'"),
        (lambda: RNN(I, H, (2, 1), bidirectional=True), r"RNN: num_layers: got \(2, 1\), want one number"),
        (lambda: GRU(I, H, zoneout=0.1), r"GRU: zoneout: got \(0\.1,\), want 0\.0"),
        (lambda: GRU(I, H, initial_state="learned"), "GRUCell: initial_state: got 'learned', want 'zeros'"),
        (lambda: nn.Sequential(nn.Linear(2, I), LSTM(I, H, peephole=True)), "LSTMCell at 1: peephole: got True"),
    ],
)
def test_what_torch_lacks_is_named(make: Any, message: str) -> None:
    model = make()
    with pytest.raises(ValueError, match=message):
        torch_state_dict(model)
    before = model.state_dict()
    with pytest.raises(ValueError, match=message):
        load_torch_state_dict(model, {})
    assert all(np.array_equal(before[name], array) for name, array in model.state_dict().items())


@pytest.mark.parametrize(
    ("kind", "change", "options", "error", "message"),
    [
        ("mgu", {}, {}, ValueError, r"kind: got 'mgu', want one of \['rnn', 'lstm', 'gru'\]"),
        ("gru", {}, {}, ValueError, "weight_hh_l0: got 12 rows for 3 units, want 9 in kind 'gru'"),
        ("lstm", {"weight_ih_l0": None}, {}, ValueError, "weight_ih_l0: got none, want a matrix"),
        ("lstm", {"weight_hh_l0": np.ones(3)}, {}, ValueError, r"weight_hh_l0: got shape \(3,\), want a matrix"),
        ("lstm", {"weight_ih_l0": None, "a.weight_ih_l0": 1}, {}, ValueError, r"prefixes in the state: \['a\.'\]"),
        ("lstm", {"weight_hh_l0": 3}, {}, ValueError, r"weight_hh_l0: got none, want a matrix"),
        ("lstm", {"bias_hh_l1": None}, {}, ValueError, "LSTM: state: got no bias_hh_l1"),
        ("lstm", {"extra": np.ones(3)}, {}, ValueError, "LSTM: state: got extra, want no such name"),
        ("lstm", {"weight_ih_l3": np.ones((12, 3))}, {}, ValueError, "LSTM: state: got no weight_ih_l2"),
        ("lstm", {}, {"hidden_size": 3}, TypeError, "hidden_size: got 3, want it left out"),
        ("gru", {}, {"reset_after": False}, ValueError, "reset_after: got False, want True"),
    ],
)
def test_what_cannot_be_built_is_named(
    kind: str, change: dict[str, Any], options: dict[str, Any], error: type[Exception], message: str
) -> None:
    state = {**torch_state_dict(LSTM(I, H, 2)), **change}
    with pytest.raises(error, match=message):
        recurrence_from_torch_state_dict(kind, {n: a for n, a in state.items() if a is not None}, **options)


@pytest.mark.parametrize("names", ["weight_ih_l0", "rnn.bias_hh_l1_reverse", "decoder.cell.weight_hh"])
def test_load_state_dict_points_to_the_loader_of_torchs_names(names: str) -> None:
    model = nn.Sequential(nn.Linear(2, I), LSTM(I, H))
    before = model.state_dict()
    with pytest.raises(
        ValueError, match=r"torch\.nn's names: minigrad_rnn\.load_torch_state_dict\(module, state_dict\)"
    ):
        model.load_state_dict({names: np.ones(3)})
    with pytest.raises(ValueError, match=r"unexpected: weight_i; did you mean"):
        model.load_state_dict({"weight_i": np.ones(3)})
    assert all(np.array_equal(before[name], array) for name, array in model.state_dict().items())


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: LSTM(I, H, clip=2.0), "LSTMCell: clip: got 2.0, want None"),
        (lambda: LSTM(I, H, coupled_gates=True), "LSTMCell: coupled_gates: got True, want False"),
        (lambda: LSTM(I, H, activation="elu"), "LSTMCell: activation: got 'elu', want 'tanh'"),
        (
            lambda: GRU(I, H, gate_activation="hard_sigmoid"),
            "GRUCell: gate_activation: got 'hard_sigmoid', want 'sigmoid'",
        ),
        (lambda: RNN(I, H, nonlinearity="elu"), "RNNCell: nonlinearity: got 'elu', want 'tanh' or 'relu'"),
        (lambda: RNN(I, H, clip=1.0), "RNNCell: clip: got 1.0, want None"),
    ],
)
def test_gates_that_torch_lacks_are_named(make: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        torch_state_dict(make())
