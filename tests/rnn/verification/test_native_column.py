"""verify_bptt's column of the compiled sequences: which models have it, why others have not, planted faults.

It checks the gradients of the primitive `native_sequences`.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from minigrad import nn
from minigrad_rnn import GRU, LSTM, MGU, NARX, RNN, Elman, ManyToOne, Truncation, verify_bptt
from minigrad_rnn.__main__ import main
from minigrad_rnn.native import sequence, shared_library
from minigrad_rnn.native.run import Run
from tests.support.native_library import require_compiler

KINDS = {"rnn": RNN, "lstm": LSTM, "gru": GRU}
ROOT = Path(__file__).resolve().parents[3]


def drawn(*shape: int) -> np.ndarray[Any, Any]:
    return np.random.default_rng(0).standard_normal(shape)


@pytest.fixture
def compiled() -> None:
    """Skip where this machine has no compiled sequences."""
    require_compiler()


@pytest.mark.parametrize(
    ("model", "options"),
    [
        (RNN(4, 3, 2, nonlinearity="relu"), {}),
        (LSTM(4, 3, peephole=True, proj_size=2, bidirectional=True, initial_state="learned"), {"lengths": [5, 3]}),
        (GRU(4, 3, reset_after=False, reverse=True), {"lengths": [2, 5]}),
        (GRU(4, 3), {"truncation": Truncation(2)}),
        (ManyToOne(LSTM(4, 3), nn.Linear(3, 2)), {}),
    ],
)
def test_every_row_has_an_error(compiled: None, model: Any, options: Any) -> None:
    found = verify_bptt(model, drawn(5, 2, 4), **options)
    assert found.passed, str(found)
    assert found.native_refusal == ""
    assert all(row.native is not None and 0 <= row.native <= 1e-12 for row in found.rows)
    assert max(row.native for row in found.rows) > 0  # it is not one of the others under another name
    head, second = str(found).splitlines()[1:3]
    assert "native–" in head
    assert second.count("reference") == (1 if isinstance(model, ManyToOne) else 3)
    assert "not native" not in str(found)


def test_it_is_the_compiled_sequence_that_runs(compiled: None, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []
    right = sequence.run_sequences
    monkeypatch.setattr(sequence, "run_sequences", lambda *args: calls.append(len(args[0])) or right(*args))
    verify_bptt(LSTM(4, 3, 2, bidirectional=True), drawn(5, 2, 4))
    assert calls == [2, 2]  # two layers of two directions, once


MASKED = LSTM(4, 3, recurrent_dropout=0.5)


@pytest.mark.parametrize(
    ("model", "options", "reason"),
    [
        (MGU(4, 3), {}, "MGUCell defines no sequence"),
        (Elman(4, 3, 2), {}, "no compiled sequence is written for Elman"),
        (NARX(4, 3, 2, 1, 1), {}, "no compiled sequence is written for NARX"),
        (RNN(4, 3, nonlinearity="softplus"), {}, "no kernel serves nonlinearity='softplus'"),
        (GRU(4, 3, zoneout=0.2), {}, "zoneout=(0.2,) acts inside the steps"),
        (MASKED, {"masks": MASKED.draw_masks(5, 2, np.random.default_rng(0))}, "the masks act inside the steps"),
        (LSTM(4, 3).to("strict"), {}, "compiled sequences run on numpy, and the parameters are on strict"),
    ],
)
def test_the_table_says_why_there_is_none(model: Any, options: Any, reason: str) -> None:
    found = verify_bptt(model, drawn(5, 2, 4), **options)
    assert found.passed, str(found)
    assert found.native_refusal == reason
    assert all(row.native is None for row in found.rows)
    assert str(found).splitlines()[-2] == f"  not native: {reason}"


def test_a_compilers_words_stay_within_a_line_each(monkeypatch: pytest.MonkeyPatch) -> None:
    first = (
        "/usr/bin/some-compiler (some compiler 13.3.0, patched) failed (exit status 1): fatal error: math.h: not there"
    )
    monkeypatch.setattr(
        shared_library, "_found", dict.fromkeys(shared_library.DEFINITIONS, f"{first}\nthe whole story\n")
    )
    found = verify_bptt(RNN(4, 3), drawn(5, 2, 4))
    assert found.passed, str(found)
    lines = str(found).splitlines()
    assert max(map(len, lines)) < 80
    assert "not native: /usr/bin/some-compiler" in lines[-3]
    assert "the whole story" not in str(found)
    assert found.native_refusal.endswith("the whole story\n")


# Planted faults


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("part", [0, 1, 2, 3])
def test_a_wrong_gradient_is_caught(compiled: None, kind: str, part: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of xs, the initial state and weights."""
    right = sequence._bptt

    def wrong(*args: Any) -> Any:
        gradients = list(right(*args))
        if hasattr(gradients[part], "total"):  # a weight's, with its shares
            gradients[part].total[...] *= 1.001
        else:
            gradients[part] = gradients[part] * 1.001
        return tuple(gradients)

    monkeypatch.setattr(sequence, "_bptt", wrong)
    found = verify_bptt(KINDS[kind](4, 3), drawn(5, 2, 4))
    assert not found.passed
    assert max(row.native for row in found.rows) > 1e-5
    assert max(row.graph_reference for row in found.rows) <= 1e-10
    assert max(row.fused_reference for row in found.rows) <= 1e-10
    assert "FAILED" in str(found)


def test_a_wrong_order_of_steps_is_caught(compiled: None, monkeypatch: pytest.MonkeyPatch) -> None:
    right = Run.__init__

    def wrong(self: Any, *args: Any, **options: Any) -> None:
        right(self, *args, **options)
        self.call.backward = not self.call.backward

    monkeypatch.setattr(Run, "__init__", wrong)
    found = verify_bptt(LSTM(4, 3), drawn(5, 2, 4))
    assert not found.passed
    assert next(row for row in found.rows if row.name == "output").native > 1e-2


@pytest.mark.parametrize(
    ("file", "right", "wrong", "model"),
    [
        ("gates/lstm.h", "c_before * sigmoid_slope", "c * sigmoid_slope", LSTM(4, 3)),
        ("gates/gru.h", "sigmoid_slope(kept[0])", "sigmoid_slope(kept[1])", GRU(4, 3)),
        ("native/source/backward.h", "if (now.from < now.to) b", "if (k && now.from < now.to) b", RNN(4, 3)),
    ],
)
def test_a_fault_in_the_c_source_is_caught(
    compiled: None, file: str, right: str, wrong: str, model: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A wrong gate derivative, and a dropped step."""
    for folder in ("gates", "native/source"):
        shutil.copytree(ROOT / "minigrad_rnn" / folder, tmp_path / folder)
    text = (tmp_path / file).read_text()
    assert text.count(right) == 1
    (tmp_path / file).write_text(text.replace(right, wrong))
    monkeypatch.setattr(shared_library, "SOURCE", tmp_path / "native" / "source" / "sequences.c")
    monkeypatch.setattr(shared_library, "HEADERS", tmp_path / "gates")
    monkeypatch.setattr(shared_library, "TIME_LIMIT", 60.0)  # a busy machine is no failure
    monkeypatch.setattr(shared_library, "_found", {})
    monkeypatch.setattr(shared_library, "_origins", {})
    monkeypatch.setenv("MINIGRAD_CACHE", str(tmp_path / "cache"))
    found = verify_bptt(model, drawn(5, 2, 4))
    assert not found.passed
    assert max(row.native for row in found.rows) > 1e-5
    assert max(row.fused_reference for row in found.rows) <= 1e-10


def test_the_command_counts_them(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    command = ["verify", "--cell", "indrnn", "--input-size", "2", "--hidden-size", "3", "--steps", "3", "--batch", "1"]
    assert main(command) == 0
    assert capsys.readouterr().out.splitlines()[-1].endswith("passed (≤ 1e-10 and ≤ 1e-06); native: 0")
    monkeypatch.setenv("MINIGRAD_NATIVE", "0")
    monkeypatch.setattr(shared_library, "_found", {})
    command[2] = "gru"
    assert main(command) == 0
    out = capsys.readouterr().out
    assert out.splitlines()[-1].endswith("native: 0")
    assert "  not native: MINIGRAD_NATIVE=0 turns it off" in out
