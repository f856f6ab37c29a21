"""Training the character model: learning, reproducible seeds, resuming, stopping."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import char_rnn_parts.run
import numpy as np
import pytest
from char_rnn_parts import settings
from char_rnn_parts.run import BITS

from minigrad_rnn.training.loss_curve import save_loss_curve
from tests.support.char_rnn_runs import EXAMPLES, SMALL, at_chunk, char_rnn, checkpoint, history, run, updates

pytestmark = pytest.mark.usefixtures("blank_pictures")


def test_it_learns_what_is_predictable(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(char_rnn_parts.run, "save_loss_curve", save_loss_curve)
    path = tmp_path / "abc.txt"
    path.write_text("abcdefgh" * 300, encoding="utf-8")
    assert run(path, tmp_path, "--chunks", "120", "--learning-rate", "0.02", "--report-every", "10") == 0
    _, metadata = checkpoint(tmp_path)
    assert metadata["metadata"]["baselines"]["unigram"] == pytest.approx(3, abs=0.01)
    assert history(tmp_path, "loss")[0] > 1.4  # nats
    assert history(tmp_path, "bits per character")[-1] < 0.5
    assert (tmp_path / "curves.png").read_bytes()[:4] == b"\x89PNG"
    out = capsys.readouterr().out
    assert "unigram" in out
    assert "lzma" in out
    assert "A sample at temperature 0.8" in out


@pytest.mark.parametrize("cell", ["rnn", "lstm"])
def test_a_seed_gives_the_same_numbers_again(cell: str, text: Path, tmp_path: Path) -> None:
    for name, seed in (("a", "3"), ("b", "3"), ("c", "4")):
        assert run(text, tmp_path / name, "--chunks", "6", "--cell", cell, "--seed", seed) == 0
    (a, _), (b, _), (c, _) = (checkpoint(tmp_path / name) for name in "abc")
    assert all(np.array_equal(a[name], b[name]) for name in a)
    assert not np.array_equal(a["model/readout.weight"], c["model/readout.weight"])


FILES = ["best.npz", "checkpoint.npz", "metrics.jsonl", "text.py"]
FLAGS = ["--layers", "2", "--dropout", "0.3", "--chunks", "220", "--report-every", "7", "--evaluate-every", "11"]
FLAGS += ["--sample-every", "13", "--save-every", "1000"]


def test_a_resumed_run_is_bitwise_the_uninterrupted_one(
    text: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert run(text, tmp_path / "whole", *FLAGS) == 0
    whole, all_of_it = checkpoint(tmp_path / "whole")
    assert all_of_it["reader"]["epochs"] >= 2  # epochs end in between
    for stops in ((1,), (30, 31, 120), (112,)):
        out = tmp_path / str(stops)
        for k, stop in enumerate(stops):
            with monkeypatch.context() as patch:
                at_chunk(patch, stop, lambda run: signal.raise_signal(signal.SIGINT))
                begin = ["--resume", str(out / "checkpoint.npz")] if k else ["--text", str(text), *SMALL, *FLAGS]
                assert char_rnn.main([*begin, "--out", str(out)]) == 130
            assert updates(out) == stop
        assert char_rnn.main(["--resume", str(out / "checkpoint.npz")]) == 0
        cut, rest = checkpoint(out)
        assert whole.keys() == cut.keys()
        assert [name for name in whole if not np.array_equal(whole[name], cut[name])] == []
        for name in ("reader", "losses", "best", "metadata", "settings"):
            assert all_of_it[name] == rest[name], name
        for name in ("update", "tokens", "loss", "gradient_norm", "learning_rate", "bits per character"):
            assert history(tmp_path / "whole", name) == history(out, name), name


def test_a_finished_run_goes_on_with_a_larger_budget(
    text: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(text, tmp_path, "--chunks", "10") == 0
    path = tmp_path / "checkpoint.npz"
    assert char_rnn.main(["--resume", str(path)]) == 0
    assert "nothing left to train" in capsys.readouterr().out
    assert char_rnn.main(["--resume", str(path), "--epochs", "0.2", "--schedule", "constant"]) == 0
    assert updates(tmp_path) == 17  # of 81 in an epoch
    assert sorted(os.listdir(tmp_path)) == [*FILES[:2], "curves.png", *FILES[2:]]


def test_a_budget_of_seconds_ends(text: Path, tmp_path: Path) -> None:
    assert run(text, tmp_path, "--seconds", "0.2") == 0
    assert checkpoint(tmp_path)[1]["counters"]["seconds"] >= 0.2


def test_another_runs_checkpoint_is_kept(text: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(text, tmp_path, "--chunks", "3") == 0
    first = (tmp_path / "checkpoint.npz").read_bytes()
    assert run(text, tmp_path, "--chunks", "4") == 0
    assert (tmp_path / "previous.npz").read_bytes() == first
    assert "previous.npz" in capsys.readouterr().out


def test_every_backend_trains_and_samples_alike(xp: Any, text: Path, tmp_path: Path) -> None:
    more = ["--layers", "2", "--dropout", "0.2", "--chunks", "6"]
    runs = []
    for backend in ("numpy", xp.name):
        overrides = settings.parse(["--text", str(text), *SMALL, *more], "").overrides
        command = settings.Command(overrides, backend, str(tmp_path), None, False, False)
        r = char_rnn.prepare(command)
        r.model.train()
        r.update()
        with xp.no_sync():
            for _ in range(5):
                r.update()
        runs.append(r)
    here, there = runs
    for name, value in here.model.state_dict().items():
        np.testing.assert_allclose(there.model.state_dict()[name], value, rtol=2e-3, atol=2e-4)
    assert there.measure(there.model)[BITS] == pytest.approx(here.measure(here.model)[BITS], rel=1e-3)

    # A checkpoint of one, sampled and trained on with the other
    path = there.save()
    here.resume(path)
    there.resume(path)
    assert here.sample() == there.sample()


# Stopping


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGINT for one process")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_saves_and_stops(number: signal.Signals, text: Path, tmp_path: Path) -> None:
    more = ["--chunks", "1000000", "--evaluate-every", "5", "--sample-length", "0"]
    process = subprocess.Popen(
        [sys.executable, str(EXAMPLES / "char_rnn.py"), "--text", str(text), *SMALL, *more, "--out", str(tmp_path)],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, encoding="utf-8",
    )  # fmt: skip
    assert process.stdout is not None
    while "update " not in (line := process.stdout.readline()):
        assert line, process.stderr and process.stderr.read()
    process.send_signal(number)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 128 + number
    assert f"stopped by {number.name} after update" in out
    assert f"--resume {tmp_path}" in out
    assert err == ""
    chunks = updates(tmp_path)
    assert char_rnn.main(["--resume", str(tmp_path / "checkpoint.npz"), "--chunks", str(chunks + 2)]) == 0
    assert updates(tmp_path) == chunks + 2


def test_an_interrupt_in_the_middle_of_a_chunk_leaves_the_last_checkpoint(
    text: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupt(run: Any) -> None:
        raise KeyboardInterrupt

    at_chunk(monkeypatch, 28, interrupt)
    before = signal.getsignal(signal.SIGINT)  # of a run in the background it is ignored
    assert run(text, tmp_path, "--chunks", "60", "--save-every", "10") == 130
    assert "stopped at once" in capsys.readouterr().err
    assert updates(tmp_path) == 20
    assert signal.getsignal(signal.SIGINT) is before


def test_an_interrupted_write_keeps_the_checkpoint_before(
    text: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def full(handle: int) -> None:
        raise OSError(28, "No space left on device")

    at_chunk(monkeypatch, 15, lambda run: monkeypatch.setattr(os, "fsync", full))
    assert run(text, tmp_path, "--chunks", "60", "--save-every", "10") == 1
    assert "No space left on device" in capsys.readouterr().err
    assert updates(tmp_path) == 10
    assert sorted(os.listdir(tmp_path)) == ["checkpoint.npz", "text.py"]


def test_a_loss_that_is_not_a_number_stops_and_names_the_chunk(
    text: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def poison(run: Any) -> None:
        run.model.readout.bias.data[0] = np.nan
        run.model.readout.bias.written()

    at_chunk(monkeypatch, 26, poison)
    assert run(text, tmp_path, "--chunks", "60", "--save-every", "10") == 1
    err = capsys.readouterr().err
    assert err.startswith("char_rnn.py: update 26: the loss is nan")
    assert err.count("\n") == 1
    assert updates(tmp_path) == 20


def test_a_run_that_blows_up_writes_no_checkpoint(
    text: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "checkpoint.npz").write_bytes(b"precious")
    assert run(text, tmp_path, "--chunks", "60", "--learning-rate", "1e38") == 1
    assert "a lower learning rate" in capsys.readouterr().err
    assert (tmp_path / "checkpoint.npz").read_bytes() == b"precious"
