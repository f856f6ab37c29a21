"""Planted faults in the lecture's procedures: finite differences notice every one."""

from __future__ import annotations

import inspect
import sys
import types
from typing import Any

import pytest

from minigrad_rnn.manual_bptt import lecture
from tests.support.slides_bench import CELLS, IDS, guilty, make_case, reference_errors


def mutant(monkeypatch: pytest.MonkeyPatch, procedure: str, true: str, false: str) -> Any:
    """A copy of the reference whose `procedure` has one expression changed."""
    source = inspect.getsource(lecture)
    body = inspect.getsource(getattr(lecture, procedure))
    assert source.count(body) == 1
    assert body.count(true) == 1, f"{procedure} says {true!r} {body.count(true)} times"
    module = types.ModuleType("mutated_lecture")
    monkeypatch.setitem(sys.modules, module.__name__, module)  # dataclasses look their module up
    exec(compile(source.replace(body, body.replace(true, false)), module.__name__, "exec"), module.__dict__)
    return module


BPTT = {"rnn": "RNN_bptt", "lstm": "LSTM_bptt"}
EVERYTHING = {"Wc", "Wr", "b", "xs", "h_init"}
FAULTS = {  # what is said, what the fault says instead, and the kinds of gradient that must come out wrong
    "the first time step is dropped": ("range(T - 1, -1, -1)", "range(T - 1, 0, -1)", EVERYTHING),
    "dWr is 1.001 times too large": ("dWr[l - 1] += dz", "dWr[l - 1] += 1.001 * dz", {"Wr"}),
    "dWc is 1.001 times too large": ("dWc[l - 1] += dz", "dWc[l - 1] += 1.001 * dz", {"Wc"}),
    "db misses its pooling over time": ("db[l - 1] += dz", "db[l - 1] = dz", {"b"}),
    "the Wr-term is missing": ("dh[t - 1, l] += dz[t, l] @ Wr[l - 1]", "pass", EVERYTHING),
    "the Wc-term is missing": ("dh[t, l - 1] += dz[t, l] @ Wc[l - 1]", "pass", {"xs", "Wc", "Wr", "b", "h_init"}),
    "dWr pairs dz(t) with h(t)": ("h[t - 1, l]\n            db", "h[t, l]\n            db", {"Wr"}),
    "the final h is not heard": ("dh[T - 1, l] += dhfinal[l - 1]", "pass", EVERYTHING),
}


def kinds(names: set[str]) -> set[str]:
    return {name.rpartition(".")[2] for name in names} - {"c_init"}


@pytest.mark.parametrize("bidirectional", [False, True], ids=["one-way", "two-way"])
@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("cell", BPTT)
def test_a_fault_in_bptt_is_noticed(monkeypatch, cell, fault, bidirectional):
    true, false, wrong = FAULTS[fault]
    case = make_case(cell, "tanh", bidirectional=bidirectional)
    errors = reference_errors(case, mutant(monkeypatch, BPTT[cell], true, false))
    assert kinds(guilty(errors)) == wrong, errors


@pytest.mark.parametrize(
    ("cell", "procedure", "true", "false"),
    [
        ("rnn", "activation_jacobian", "1.0 - h * h", "1.001 * (1.0 - h * h)"),
        ("lstm", "LSTM_bptt", "dc[t - 1, l] += dc[t, l] * f", "pass"),
        ("lstm", "LSTM_bptt", "dc[T - 1, l] += dcfinal[l - 1]", "pass"),
        ("lstm", "LSTM_bptt", "dc[t, l] * c[t - 1, l]", "dc[t, l] * c[t, l]"),
        ("rnn", "bidirectional_bptt", "dhb[::-1]", "dhb"),
        ("rnn", "bidirectional_bptt", "dxbrev[::-1]", "dxbrev"),
        ("rnn", "bidirectional_bptt", "dxf + dxb", "dxf"),
        ("lstm", "bidirectional_bptt", "**finalb", "**finalf"),
    ],
)
def test_a_fault_elsewhere_is_noticed(monkeypatch, cell, procedure, true, false):
    case = make_case(cell, "tanh", bidirectional=True)
    assert guilty(reference_errors(case, mutant(monkeypatch, procedure, true, false)))


@pytest.mark.parametrize(("cell", "nonlinearity"), CELLS, ids=IDS)
def test_an_unchanged_copy_is_not_blamed(monkeypatch, cell, nonlinearity):
    case = make_case(cell, nonlinearity, bidirectional=True)
    procedure = BPTT[cell]
    assert guilty(reference_errors(case, mutant(monkeypatch, procedure, "dx[t] = dh", "dx[t] = dh"))) == set()
