"""verify_bptt on what has no BPTT by hand: a user's cells, with and without a sequence, ManyToOne and ManyToMany."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import minigrad as mg
from minigrad import nn
from minigrad_rnn import GRU, LSTM, Cell, ManyToMany, ManyToOne, Recurrence, RNNCell, Truncation, verify_bptt
from minigrad_rnn.cells import lstm


def drawn(*shape: int) -> np.ndarray[Any, Any]:
    return np.random.default_rng(0).standard_normal(shape)


@mg.primitive
def cube(xp: Any, x: Any) -> Any:
    return x**3, (x,), lambda xp, g, x: 3 * g * x * x


class Leaky(Cell):
    """A user's cell with two states: h(t) = tanh(k(t)) − k(t)³ / 9, and k(t) leaks."""

    gates, state_names = 1, ("h", "k")
    power = staticmethod(cube)

    def step(self, x: Any, state: tuple[Any, ...], h: Any) -> tuple[mg.Tensor, ...]:
        k = state[1] * 0.5 + mg.linear(x, self.Wc, self.b) + mg.linear(h, self.Wr)
        return mg.tanh(k) - self.power(k) / 9, k


class Doubled(RNNCell):
    """A subclass of the library's with the sequence of its base, and its step."""


@pytest.mark.parametrize(
    ("options", "given"),
    [
        ({}, {}),
        ({"num_layers": 2, "bidirectional": True, "initial_state": "learned"}, {"lengths": [5, 3]}),
        ({"reverse": True, "batch_first": True}, {}),
        ({"zoneout": 0.2, "recurrent_dropout": 0.3}, {"masks": True}),
    ],
)
@pytest.mark.parametrize("kind", [Leaky, Doubled])
def test_a_users_cell_passes(kind: Any, options: dict[str, Any], given: dict[str, Any]) -> None:
    net = Recurrence(4, 3, cell_type=kind, **options)
    if "masks" in given:
        given = {"masks": net.draw_masks(5, 2, 0)}
    found = verify_bptt(net, drawn(2, 5, 4) if net.batch_first else drawn(5, 2, 4), **given)
    assert found.passed, str(found)
    assert found.largest_difference <= 1e-6
    fused = kind is Doubled and not given.get("masks")
    assert (found.largest is not None) == fused
    assert {name for name, _ in net.named_parameters()} | {"xs"} <= {row.name for row in found.rows}
    first, second = str(found).splitlines()[1:3]
    assert first.split()[3] == "no"
    assert second.split()[0] == "reference"
    assert all(row.graph_reference is None and row.fused_reference is None for row in found.rows)


def test_a_wrong_rule_of_a_users_cell_is_caught() -> None:
    @mg.primitive
    def wrong(xp: Any, x: Any) -> Any:
        return x**3, (x,), lambda xp, g, x: 3.003 * g * x * x

    class Wrong(Leaky):
        power = staticmethod(wrong)

    found = verify_bptt(Recurrence(4, 3, cell_type=Wrong), drawn(5, 2, 4))
    assert not found.passed
    assert "← fails" in str(found)


def test_a_sequence_that_is_not_the_steps_is_caught() -> None:
    class Wrong(RNNCell):
        def sequence(self, *args: Any, **options: Any) -> Any:
            hs, last = super().sequence(*args, **options)
            return hs * 1.001, last

        def step(self, *args: Any) -> Any:
            return super().step(*args)

    found = verify_bptt(Recurrence(4, 3, cell_type=Wrong), drawn(5, 2, 4))
    assert not found.passed
    assert max(row.graph_fused for row in found.rows) > 1e-5


def test_there_must_be_something_to_compare_with() -> None:
    with pytest.raises(TypeError, match="truncation: got some for a Leaky without a BPTT by hand or a fused sequence"):
        verify_bptt(Recurrence(4, 3, cell_type=Leaky), drawn(5, 2, 4), truncation=Truncation(2))
    found = verify_bptt(Recurrence(4, 3, cell_type=Doubled), drawn(5, 2, 4), truncation=Truncation(2))
    assert found.passed
    assert found.largest_difference is None


@pytest.mark.parametrize("pool", ["last", "mean", "max"])
@pytest.mark.parametrize("lengths", [None, [5, 3]])
@pytest.mark.parametrize("start", ["zeros", "learned"])
def test_many_to_one_passes(pool: str, lengths: Any, start: str) -> None:
    model = ManyToOne(LSTM(4, 3, 2, bidirectional=True, dropout=0.3, initial_state=start), nn.Linear(6, 2), pool=pool)
    found = verify_bptt(model, drawn(5, 2, 4), lengths=lengths)
    assert found.passed, str(found)
    assert found.largest <= 1e-10
    assert found.largest_difference <= 1e-6
    names = {row.name for row in found.rows}
    assert {"recurrence.forward0.Wc", "readout.weight", "xs", "output"} <= names
    assert ("c(−1)" in names) is (start == "zeros")
    assert "ManyToOne(LSTM(4, 3" in found.title
    assert model.training


def test_many_to_many_and_own_cells_inside() -> None:
    found = verify_bptt(ManyToMany(GRU(4, 3, batch_first=True), nn.Linear(3, 2)), drawn(2, 5, 4), lengths=[5, 2])
    assert found.passed, str(found)
    assert "final h" in {row.name for row in found.rows}
    found = verify_bptt(ManyToOne(Recurrence(4, 3, cell_type=Leaky), nn.Linear(3, 2)), drawn(5, 2, 4))
    assert found.passed, str(found)
    assert found.largest is None


def test_a_wrong_fused_rule_inside_many_to_one_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    right = lstm.lstm_bptt

    def wrong(*args: Any, **options: Any) -> Any:
        dz, *rest = right(*args, **options)
        return dz * 1.001, *rest

    monkeypatch.setattr(lstm, "lstm_bptt", wrong)
    found = verify_bptt(ManyToOne(LSTM(4, 3), nn.Linear(3, 2)), drawn(5, 2, 4))
    assert not found.passed
    assert {row.name for row in found.rows if row.passed} >= {"readout.weight", "readout.bias", "output"}


@pytest.mark.parametrize("option", ["masks", "truncation", "targets"])
def test_options_that_many_to_one_does_not_take(option: str) -> None:
    model = ManyToOne(LSTM(4, 3), nn.Linear(3, 2))
    with pytest.raises(TypeError, match=f"verify_bptt: {option}: got some for a ManyToOne, which takes none"):
        verify_bptt(model, drawn(5, 2, 4), **{option: Truncation(2)})
