"""verify_bptt passes on what is right, on every backend, and catches what is planted wrong in any implementation."""

from __future__ import annotations

import itertools
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import minigrad as mg
from minigrad import losses, nn
from minigrad_rnn import GRU, LSTM, NARX, RNN, Elman, Truncation, verify_bptt
from minigrad_rnn.__main__ import NETWORKS, cases, main
from minigrad_rnn.cells import activations, gru, lstm, rnn
from minigrad_rnn.cells.fused_sequence import FusedSequence
from minigrad_rnn.networks import recurrence, truncation
from minigrad_rnn.verification import recurrence_case

ROOT = Path(__file__).resolve().parents[3]

KINDS = {"rnn": RNN, "lstm": LSTM, "gru": GRU}


def drawn(*shape: int) -> np.ndarray[Any, Any]:
    return np.random.default_rng(0).standard_normal(shape)


@pytest.mark.parametrize("kind", ["rnn", "lstm"])
@pytest.mark.parametrize(
    ("layers", "both", "bias", "start"),
    list(itertools.product((1, 2, 3), (False, True), (True, False), ("zeros", "learned"))),
)
def test_every_form_passes(kind: str, layers: int, both: bool, bias: bool, start: str) -> None:
    model = KINDS[kind](4, 3, layers, bidirectional=both, bias=bias, initial_state=start)
    found = verify_bptt(model, drawn(5, 2, 4))
    assert found.passed, str(found)
    assert found.largest <= 1e-10
    assert found.largest_difference <= 1e-6
    gradients = {row.name for row in found.rows}
    assert {name for name, _ in model.named_parameters()} | {"xs"} <= gradients
    assert ("h(−1)" in gradients) is (start == "zeros")


@pytest.mark.parametrize("kind", ["rnn", "lstm"])
@pytest.mark.parametrize("layout", ["one step", "one sequence", "batch first", "own state", "relu"])
def test_every_call_passes(kind: str, layout: str) -> None:
    options = {"nonlinearity": "relu"} if layout == "relu" and kind == "rnn" else {}
    model = KINDS[kind](4, 3, 2, bidirectional=True, batch_first=layout == "batch first", **options)
    xs = {"one step": drawn(1, 1, 4), "one sequence": drawn(5, 4)}.get(layout, drawn(5, 3, 4))
    state: Any = None
    if layout == "own state":
        state = drawn(4, 3, 3) if kind == "rnn" else (drawn(4, 3, 3), 2 * drawn(4, 3, 3))
    found = verify_bptt(model, xs, state)
    assert found.passed, str(found)


def test_on_every_backend(xp: Any) -> None:
    model = LSTM(4, 3, 2, bidirectional=True).to(xp.name)
    found = verify_bptt(model, xp.array(drawn(5, 2, 4)))
    assert found.passed, str(found)
    assert f"float64 on {xp.name}" in found.title


def test_a_divergence_of_ones_own() -> None:
    readout = nn.Linear(3, 5, dtype="float64")
    targets = np.random.default_rng(1).integers(0, 5, (6, 2))
    model = LSTM(4, 3)
    found = verify_bptt(model, drawn(6, 2, 4), divergence=lambda out, _: losses.cross_entropy(readout(out), targets))
    assert found.passed, str(found)


def test_the_model_is_left_as_it_was() -> None:
    model = LSTM(4, 3, 2, dropout=0.5)
    before = model.state_dict()
    verify_bptt(model, drawn(5, 2, 4))
    assert model.training
    assert model.impl == "auto"
    assert all(p.grad is None and p.dtype == np.float32 for p in model.parameters())
    for name, array in model.state_dict().items():
        np.testing.assert_array_equal(array, before[name])


@pytest.mark.parametrize("model", [GRU(4, 3), Elman(4, 3, 2)])
def test_a_frozen_model_is_asked_for_every_gradient(model: Any) -> None:
    found = verify_bptt(model.requires_grad_(False), drawn(5, 2, 4))
    assert found.passed, str(found)
    assert {name for name, _ in model.named_parameters()} <= {row.name for row in found.rows}
    assert not any(p.requires_grad for p in model.parameters())


def test_the_table_shows_every_row_and_the_verdict() -> None:
    found = verify_bptt(RNN(4, 3), drawn(5, 2, 4))
    text = str(found)
    assert all(row.name in text for row in found.rows)
    assert "passed" in text.splitlines()[-1]
    assert "RNN(4, 3), T=5, B=2" in text.splitlines()[0]


# Planted faults: each one spoils one implementation, and must show in that implementation's column


def scaled(function: Callable[..., Any], part: int) -> Callable[..., Any]:
    """The function with one of its results scaled by 1.001."""

    def wrong(*args: Any, **options: Any) -> Any:
        results = list(function(*args, **options))
        results[part] = results[part] * 1.001
        return tuple(results)

    return wrong


def without_first_step(function: Callable[..., Any]) -> Callable[..., Any]:
    """The function with dz(0) forgotten."""

    def wrong(*args: Any, **options: Any) -> Any:
        dz, *rest = function(*args, **options)
        dz[0] = 0
        return dz, *rest

    return wrong


@pytest.mark.parametrize(
    ("kind", "module", "name", "spoil"),
    [
        ("rnn", rnn, "rnn_bptt", lambda f: scaled(f, 0)),
        ("rnn", rnn, "rnn_bptt", lambda f: scaled(f, 1)),
        ("rnn", rnn, "rnn_bptt", without_first_step),
        ("lstm", lstm, "lstm_bptt", lambda f: scaled(f, 0)),
        ("lstm", lstm, "lstm_bptt", lambda f: scaled(f, 2)),
        ("lstm", lstm, "lstm_bptt", without_first_step),
        ("gru", gru, "gru_bptt", lambda f: scaled(f, 0)),
        ("gru", gru, "gru_bptt", lambda f: scaled(f, 1)),
        ("gru", gru, "gru_bptt", without_first_step),
    ],
)
def test_a_wrong_fused_rule_is_caught(
    kind: str, module: Any, name: str, spoil: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, name, spoil(getattr(module, name)))
    found = verify_bptt(KINDS[kind](4, 3), drawn(5, 2, 4))
    assert not found.passed
    assert max(row.fused_reference for row in found.rows) > 1e-5
    assert max(row.graph_reference for row in found.rows) <= 1e-10
    assert "FAILED" in str(found)


def test_a_wrong_rule_of_the_tape_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    @mg.primitive
    def wrong_tanh(xp: Any, x: Any) -> Any:
        y = xp.tanh(x)
        return y, (y,), lambda xp, g, y: 1.001 * g * (1 - y * y)

    monkeypatch.setitem(activations.ON_TAPE, "tanh", wrong_tanh)
    found = verify_bptt(RNN(4, 3), drawn(5, 2, 4))
    assert not found.passed
    assert max(row.graph_reference for row in found.rows) > 1e-4
    assert max(row.fused_reference for row in found.rows) <= 1e-10
    assert found.largest_difference > 1e-5


def test_a_wrong_reference_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    right = recurrence_case.reference_bptt

    def wrong(*args: Any, **options: Any) -> Any:
        result = right(*args, **options)
        result.gradients["forward0.Wr"][0, 0] *= 1.001
        return result

    monkeypatch.setattr(recurrence_case, "reference_bptt", wrong)
    found = verify_bptt(RNN(4, 3), drawn(5, 2, 4))
    failed = [row.name for row in found.rows if not row.passed]
    assert failed == ["forward0.Wr"]


def test_a_nan_does_not_pass(monkeypatch: pytest.MonkeyPatch) -> None:
    right = FusedSequence.input_gradient
    monkeypatch.setattr(FusedSequence, "input_gradient", lambda *args: right(*args) * np.nan)
    assert not verify_bptt(RNN(4, 3), drawn(5, 2, 4)).passed


def test_a_model_that_is_no_recurrence_is_refused() -> None:
    with pytest.raises(TypeError, match="verify_bptt: model: got Linear, want a recurrence, or one of ManyToOne, Many"):
        verify_bptt(nn.Linear(3, 3), drawn(5, 2, 3))  # type: ignore[arg-type]


@pytest.mark.parametrize("lengths", [(3, 5), np.array([3, 5], np.uint8), mg.tensor(np.array([3, 5]))])
def test_lengths_of_any_kind(lengths: Any) -> None:
    found = verify_bptt(GRU(4, 3), drawn(5, 2, 4), lengths=lengths)
    assert found.passed, str(found)
    assert "lengths" in found.title


@pytest.mark.parametrize("name", [*NETWORKS, "classics"])
def test_every_module_with_every_option(name: str) -> None:
    """Lengths, masks, truncation, learned h(−1), two directions of any depth, merges, the cells' own options.

    Those of three layers that nothing sets apart are left to `make verify`; of rnn and lstm they are tested above.
    """
    chosen = [case for case in cases(name, 2, 3) if getattr(case.model, "num_layers", 1) != 3]
    assert len(chosen) >= 22 or name == "classics"
    for case in chosen:
        found = case.verify(drawn(3, 2, 2), seed=1)
        assert found.passed, str(found)
        assert found.largest <= 1e-10


@pytest.mark.parametrize(
    ("model", "options", "error", "message"),
    [
        (RNN(4, 3), {"targets": np.ones((5, 2, 3))}, TypeError, "verify_bptt: targets: got some for a RNN"),
        (Elman(4, 3, 2), {"lengths": [5, 5]}, TypeError, "verify_bptt: lengths: got some for a Elman"),
        (
            RNN(4, 3),
            {"truncation": Truncation(2, 4)},
            ValueError,
            r"truncation: got Truncation\(k1=2, k2=4\), want k2 = k1",
        ),
        (RNN(4, 3), {"lengths": [5, 0]}, ValueError, "verify_bptt: lengths: got 0 for sequence 1"),
        (
            RNN(4, 3),
            {"lengths": [2.7, 3.0]},
            TypeError,
            "verify_bptt: lengths: got dtype float64, want 2 whole numbers",
        ),
        (RNN(4, 3), {"truncation": 2}, TypeError, "verify_bptt: truncation: got int, want a Truncation"),
        (RNN(4, 3), {"lengths": 3}, TypeError, "verify_bptt: lengths: got int, want 2 whole numbers"),
        (RNN(4, 3), {"xs": drawn(4)}, ValueError, r"verify_bptt: xs: got shape \(4,\), want three axes"),
        (RNN(4, 3), {"xs": [[1.0]]}, TypeError, "verify_bptt: xs: got list, want a Tensor or an array"),
        (RNN(4, 3), {"state": "h"}, TypeError, "verify_bptt: state: got str, want a Tensor or an array"),
        (Elman(4, 3, 2), {"targets": drawn(5, 2, 2)}, TypeError, "verify_bptt: targets: got some for a Elman"),
        (
            NARX(4, 3, 2, 1, 1),
            {"state": (drawn(1, 2, 4), drawn(1, 2, 2), drawn(1, 2, 2))},
            ValueError,
            "verify_bptt: state: got 3 arrays, want x and y",
        ),
    ],
)
def test_options_that_do_not_fit(model: Any, options: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        verify_bptt(model, **{"xs": drawn(5, 2, 4), **options})


def late_lengths(monkeypatch: pytest.MonkeyPatch) -> None:
    """A mask that leaks: the library reads one step of padding."""
    right = recurrence.Lengths
    monkeypatch.setattr(recurrence, "Lengths", lambda n, T, *rest: right([min(T, k + 1) for k in n], T, *rest))


def linked_elman(monkeypatch: pytest.MonkeyPatch) -> None:
    """A gradient across Elman's link: the clone is no clone."""
    monkeypatch.setattr(mg.Tensor, "detach", lambda self: self)


def mask_on_the_leak(monkeypatch: pytest.MonkeyPatch) -> None:
    """The recurrent mask reaches the leak: h(t−1) is dropped everywhere."""
    right = recurrence.unroll

    def wrong(step: Any, *args: Any, **options: Any) -> Any:
        return right(lambda x, state, h: step(x, (h, *state[1:]), h), *args, **options)

    monkeypatch.setattr(recurrence, "unroll", wrong)


def uncut(monkeypatch: pytest.MonkeyPatch) -> None:
    """A truncation that does not cut."""
    monkeypatch.setattr(truncation, "detached", lambda state: state)


@pytest.mark.parametrize(
    ("fault", "model", "options"),
    [
        (late_lengths, RNN(4, 3), {"lengths": [3, 5]}),
        (late_lengths, GRU(4, 3, bidirectional=True), {"lengths": [3, 5]}),
        (linked_elman, Elman(4, 3, 2), {}),
        (mask_on_the_leak, GRU(4, 3, recurrent_dropout=0.5), {"masks": True}),
        (uncut, LSTM(4, 3), {"truncation": Truncation(2)}),
        (uncut, LSTM(4, 3), {"truncation": Truncation(2), "lengths": [5, 3]}),
    ],
)
def test_a_planted_fault_in_an_option_is_caught(
    fault: Any, model: Any, options: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    if options.get("masks"):
        options = {"masks": model.draw_masks(5, 2, np.random.default_rng(0))}
    assert verify_bptt(model, drawn(5, 2, 4), **options).passed
    fault(monkeypatch)
    assert not verify_bptt(model, drawn(5, 2, 4), **options).passed


def test_the_command_prints_a_table_and_returns_zero(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["verify", "--cell", "rnn", "--input-size", "2", "--hidden-size", "3", "--steps", "3"]) == 0
    printed = capsys.readouterr().out
    assert "33 of 33 passed" in printed
    assert max(map(len, printed[printed.index("RNN(2, 3, num_layers=3") :].split("\n\n")[1].splitlines())) < 80
    assert printed.count("float64 on numpy") == 2  # at the top and of the table
    assert "backward2.Wr" in printed


def test_the_command_returns_one_where_something_is_wrong(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lstm, "lstm_bptt", without_first_step(lstm.lstm_bptt))
    assert main(["verify", "--cell", "lstm", "--input-size", "2", "--hidden-size", "3", "--steps", "3"]) == 1
    printed = capsys.readouterr().out
    # What passes has no fused implementation: variational dropout and zoneout act inside the steps, as do other gates.
    lines = printed[printed.index("ences       model") :].split("\n\n")[0].splitlines()[1:]
    assert len(lines) == 35
    assert all("zoneout" in line or "clip" in line for line in lines if "FAILED" not in line)
    assert "8 of 35 passed" in printed


def test_the_command_takes_the_smallest_nets(capsys: pytest.CaptureFixture[str]) -> None:
    """Of one unit, which is too few for a projection, and one step."""
    assert main(["verify", "--cell", "lstm", "--input-size", "1", "--hidden-size", "1", "--steps", "1"]) == 0
    assert "31 of 31 passed" in capsys.readouterr().out


def test_the_command_says_that_there_is_no_gpu(capsys: pytest.CaptureFixture[str]) -> None:
    try:
        mg.backend.get_backend("cupy")
    except mg.BackendError:
        assert main(["verify", "--backend", "cupy"]) == 2
        assert "backend 'cupy'" in capsys.readouterr().err
    else:
        pytest.skip("there is a GPU")


def test_a_reader_that_closes_the_pipe_early_gets_no_traceback() -> None:
    command = [sys.executable, "-m", "minigrad_rnn", "verify", "--cell", "classics"]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        assert process.stderr.read() == b""
        assert process.wait(timeout=120) == 1
