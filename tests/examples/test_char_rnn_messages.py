"""What the character model prints: errors for bad input, samples, progress, the demo."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import char_rnn_parts.run
import numpy as np
import pytest

import minigrad as mg
from minigrad import serialize
from minigrad_rnn.text.vocabulary import Vocabulary
from minigrad_rnn.training.loss_curve import save_loss_curve
from tests.support.char_rnn_runs import SMALL, char_rnn, checkpoint, run

pytestmark = pytest.mark.usefixtures("blank_pictures")

GREEK = "μῆνιν ἄειδε θεὰ Πηληϊάδεω Ἀχιλῆος; où êtes-vous, cœur naïf ?\n"


def complaint(capsys: pytest.CaptureFixture[str], argv: list[str]) -> str:
    """What is said on stderr, in one line, with exit code 2."""
    assert char_rnn.main(argv) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("char_rnn.py: ")
    assert err.count("\n") == 1
    return err


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is empty"),
        (b"caf\xe9", "not UTF-8: byte 0xe9 at offset 3"),
        (b"a\0b", "zero byte"),
        (b"short", "want at least 20"),
        (b"not enough for four streams", "want at least 128"),
        (b"ab" * 200, "--prime: got 'd', 'e', 'f', want characters"),
    ],
)
def test_a_bad_text_is_refused(
    content: bytes, message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "text.txt"
    path.write_bytes(content)
    argv = ["--text", str(path), "--out", str(tmp_path / "out"), "--prime", "def"]
    assert message in complaint(capsys, [*argv, *(["--batch-size", "64"] if b"streams" in content else SMALL)])
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["--text", "/nowhere"], "/nowhere does not exist"),
        (["--temperature", "-0.5"], "--temperature: got -0.5, want at least 0"),
        (["--temperature", "nan"], "--temperature: got nan"),
        (["--temperature", "inf"], "want a finite number"),
        (["--learning-rate", "0"], "--learning-rate: got 0.0, want above 0"),
        (["--dropout", "1"], "--dropout: got 1.0, want below 1"),
        (["--held-out", "1.5"], "--held-out: got 1.5, want below 1"),
        (["--hidden-size", "0"], "--hidden-size: got 0, want at least 1"),
        (["--sample-length", "1" + "0" * 30], "want at most 100,000,000"),
        (["--layers", "two"], "--layers: invalid int value: 'two'"),
        (["--cell", "qru"], "invalid choice: 'qru'"),
        (["--hidden", "3"], "unrecognized arguments: --hidden 3"),
        (["--seconds", "3", "--chunks", "4"], "got --chunks and --seconds, want one budget at most"),
        (["--data", "klingon"], "invalid choice: 'klingon'"),
        (["--data", "latex", "--text", "x"], "got --data and --text, want one of them"),
        (["--top-p", "0"], "--top-p: got 0.0, want above 0"),
        (["--top-p", "1.5"], "--top-p: got 1.5, want at most 1"),
        (["--top-k", "0"], "--top-k: got 0, want at least 1"),
        (["--sample-only"], "want --resume CHECKPOINT too"),
        (["--demo", "--resume", "x"], "--demo: got --resume too"),
        (["--resume", "/nowhere/x.npz"], "/nowhere/x.npz: cannot be read"),
        (["--backend", "abacus"], "invalid choice: 'abacus'"),
    ],
)
def test_a_bad_flag_is_refused(argv: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert message in complaint(capsys, argv)


def test_a_missing_gpu_is_reported(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def missing(name: str) -> None:
        raise mg.BackendError("backend 'cupy': cupy is installed but finds no usable GPU")

    monkeypatch.setattr(char_rnn, "get_backend", missing)
    assert "no usable GPU" in complaint(capsys, ["--backend", "cupy"])


def test_a_checkpoint_that_does_not_fit_is_refused(
    text: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(text, tmp_path, "--chunks", "3") == 0
    path, other = tmp_path / "checkpoint.npz", tmp_path / "other.npz"
    good = path.read_bytes()
    capsys.readouterr()

    other.write_bytes(good[: len(good) // 2])
    assert "damaged, cut short" in complaint(capsys, ["--resume", str(other)])
    other.write_bytes(b"hello")
    assert "not a checkpoint" in complaint(capsys, ["--resume", str(other)])
    serialize.save(other, {"w": np.zeros(3)}, {"epoch": 1})
    assert "a file of something else" in complaint(capsys, ["--resume", str(other)])
    tree, metadata = serialize.load(path)
    wrong = {**tree, "model": {**tree["model"], "readout.weight": np.zeros((2, 2), "float32")}}
    serialize.save(other, wrong, metadata)
    for more in ([], ["--sample-only"]):
        assert "readout.weight: got shape (2, 2)" in complaint(capsys, ["--resume", str(other), *more])
    own = {**metadata["metadata"], "settings": {"cell": "lstm", "colour": "red"}}
    serialize.save(other, tree, {**metadata, "metadata": own})
    assert "do not fit together" in complaint(capsys, ["--resume", str(other)])

    for more in ([], ["--sample-only"]):
        said = complaint(capsys, ["--resume", str(path), "--hidden-size", "64", "--layers", "2", *more])
        assert "--hidden-size: got 64, want 12" in said
        assert "--layers: got 2, want 1" in said
        assert "--vocabulary-size: got 9, want None" in complaint(
            capsys, ["--resume", str(path), "--vocabulary-size", "9", *more]
        )
        assert "--prime: got 'Ж'" in complaint(capsys, ["--resume", str(path), "--prime", "Ж", *more])
    assert "--sample-length: got 0" in complaint(
        capsys, ["--resume", str(path), "--sample-only", "--sample-length", "0"]
    )
    text.write_text(text.read_text(encoding="utf-8") + "changed", encoding="utf-8")
    assert "want the text that" in complaint(capsys, ["--resume", str(path)])
    assert path.read_bytes() == good


def test_a_folder_that_is_none_is_refused(text: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    argv = ["--text", str(text), *SMALL, "--out", str(text)]
    assert "want a folder that can be written to" in complaint(capsys, argv)


# Output


def test_any_alphabet(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "greek.txt"
    path.write_text(GREEK * 60, encoding="utf-8")
    assert run(path, tmp_path, "--chunks", "30") == 0
    _, metadata = checkpoint(tmp_path)
    known = Vocabulary(**metadata["metadata"]["vocabulary"]).characters
    assert set(GREEK) <= set(known)
    capsys.readouterr()
    argv = ["--resume", str(tmp_path / "checkpoint.npz"), "--sample-only", "--prime", "μῆνιν", "--sample-length", "50"]
    said = []
    for seed in ("1", "1", "2"):
        assert char_rnn.main([*argv, "--seed", seed]) == 0
        said.append(capsys.readouterr().out[:-1])
    assert said[0] == said[1] != said[2]
    assert all(s.startswith("μῆνιν") and len(s) == 55 and set(s) <= set(known) for s in said)


def test_a_missing_matplotlib_is_reported(
    text: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(char_rnn_parts.run, "save_loss_curve", save_loss_curve)
    for name in ("matplotlib", "matplotlib.figure", "matplotlib.backends.backend_agg"):
        monkeypatch.setitem(sys.modules, name, None)
    assert run(text, tmp_path, "--chunks", "3") == 0
    assert "matplotlib is missing; pip install" in capsys.readouterr().out
    assert sorted(os.listdir(tmp_path)) == ["best.npz", "checkpoint.npz", "metrics.jsonl", "text.py"]


@pytest.mark.parametrize("tqdm", [True, False])
def test_a_terminal_gets_a_bar_where_tqdm_is_installed(
    tqdm: bool, text: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    if tqdm:
        pytest.importorskip("tqdm")
    else:
        monkeypatch.setitem(sys.modules, "tqdm", None)
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    assert run(text, tmp_path, "--chunks", "40", "--evaluate-every", "20") == 0
    out, err = capsys.readouterr()
    assert ("100 %" in err) == tqdm
    assert "update 20," in out


def test_the_demo_verifies_first(
    text: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["char_rnn.py"])  # it is printed in the command that resumes
    assert run(text, tmp_path, "--demo", "--chunks", "3", "--vocabulary-size", "20") == 0
    out = capsys.readouterr().out
    assert "passed" in out.split("Bits per character")[0]
    assert max(map(len, out.replace(str(tmp_path), "").splitlines())) <= 100


def test_a_demo_that_finds_wrong_gradients_does_not_train(
    text: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(char_rnn, "verify", lambda text, cell: False)
    assert run(text, tmp_path, "--demo", "--chunks", "3") == 1
    assert not (tmp_path / "checkpoint.npz").exists()
