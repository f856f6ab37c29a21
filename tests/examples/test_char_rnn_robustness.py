"""The character model with bad input, damaged checkpoints, other runs beside it, and sizes beyond the machine."""

from __future__ import annotations

import copy
import os
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from char_rnn_parts import memory, settings

from minigrad import serialize
from minigrad_rnn.text.model import CharacterModel
from minigrad_rnn.training import arithmetic
from tests.support.char_rnn_runs import EXAMPLES, SMALL, at_chunk, char_rnn, checkpoint, run, updates

pytestmark = pytest.mark.usefixtures("blank_pictures")

MANY = [chr(c) for c in range(0x4E00, 0x4E00 + 14_000)]


def complaint(capsys: pytest.CaptureFixture[str], argv: list[str], code: int = 2) -> str:
    """What is said on stderr, in one line, with that exit code."""
    capsys.readouterr()
    assert char_rnn.main(argv) == code
    err = capsys.readouterr().err
    assert err.startswith("char_rnn.py: ")
    assert err.count("\n") == 1
    return err


# Flags and sizes


@pytest.mark.parametrize("name", ["--text", "--out", "--resume"])
def test_an_empty_name_is_refused(name: str, text: Path, capsys: pytest.CaptureFixture[str]) -> None:
    flags = [] if name == "--text" else ["--text", str(text)]
    assert f"{name}: got an empty name" in complaint(capsys, [*flags, name, ""])


@pytest.mark.parametrize("size", ["1000000", "1" + "0" * 400])
@pytest.mark.parametrize("name", ["--hidden-size", "--layers", "--embedding-size"])
def test_a_size_beyond_the_memory_is_refused(
    name: str,
    size: str,
    text: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(os, "sysconf", {"SC_PAGE_SIZE": 4096, "SC_PHYS_PAGES": 1 << 15}.__getitem__)
    argv = ["--text", str(text), *SMALL, "--out", str(tmp_path / "out"), name, size]
    assert f"{name}" in (said := complaint(capsys, argv))
    assert "want at most the 0.125 GiB of this machine" in said
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("cell", ["rnn", "lstm", "gru"])
def test_the_memory_is_at_least_the_weights(cell: str) -> None:
    s = settings.Settings(cell=cell, hidden_size=11, embedding_size=7, layers=3, batch_size=2, steps=5)
    model = CharacterModel(13, cell, 7, 11, 3)
    assert memory.numbers_needed(s, 13, 0) <= 4 * model.num_parameters() <= 1.2 * memory.numbers_needed(s, 13, 0)
    assert memory.numbers_needed(s, 13, 10**9) >= memory.numbers_needed(s, 13, 0) + 2 * 5 * 13


def test_memory_that_runs_out_is_told_in_one_line(
    text: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def unknown(name: str) -> int:
        raise ValueError(name)

    def full(*_: Any) -> Any:
        raise MemoryError("Unable to allocate 7.00 GiB")

    argv = ["--text", str(text), *SMALL, "--out", str(tmp_path), "--chunks", "3"]
    monkeypatch.setattr(os, "sysconf", unknown)  # as where the system does not tell how much there is
    with monkeypatch.context() as patch:
        at_chunk(patch, 2, full)
        said = complaint(capsys, argv, 1)
        assert "does not fit into the memory (Unable to allocate 7.00 GiB); a smaller" in said
        assert "nothing was saved" in said
    monkeypatch.setattr(char_rnn, "Run", full)
    assert "does not fit into the memory (Unable" in complaint(capsys, argv)


@pytest.mark.parametrize(
    "more",
    [
        ["--steps", "1" + "0" * 400],
        ["--report-every", "1" + "0" * 400],
        ["--temperature", "1e-320"],
        ["--clip", "1e-300"],
    ],
)
def test_extreme_numbers_train(more: list[str], text: Path, tmp_path: Path) -> None:
    assert run(text, tmp_path, "--chunks", "2", *more) == 0


def test_an_endless_budget_can_be_asked_for(
    text: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def stop(run: Any) -> None:
        raise KeyboardInterrupt

    at_chunk(monkeypatch, 3, stop)
    assert run(text, tmp_path, "--epochs", "1e308") == 130
    assert "nothing was saved" in capsys.readouterr().err


def test_the_vocabulary_has_a_limit_and_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "many.txt"
    path.write_text("的" * 50 + "".join(MANY), encoding="utf-8")
    more = ["--hidden-size", "4", "--embedding-size", "2", "--held-out", "0.2", "--evaluate-every", "1"]
    assert run(path, tmp_path, "--chunks", "1", *more) == 0
    out = capsys.readouterr().out
    assert "over 10000 characters" in out
    assert "the most frequent ones; one symbol stands for all others" in out
    arrays, metadata = checkpoint(tmp_path)
    assert arrays["model/readout.weight"].shape == (10_000, 4)
    assert "的" in metadata["metadata"]["vocabulary"]["characters"]
    assert char_rnn.main(["--resume", str(tmp_path / "checkpoint.npz"), "--chunks", "2"]) == 0


# Diverging


def test_overflows_are_told_once_and_in_words(
    text: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str], recwarn: pytest.WarningsRecorder
) -> None:
    assert run(text, tmp_path, "--chunks", "60", "--learning-rate", "1e38") == 1
    err = capfd.readouterr().err
    assert err.count("numbers became too large for their dtype") == 1
    assert err.count("\n") == 2
    assert len(recwarn) == 0


# Checkpoints


def test_parts_that_no_run_saves_are_refused(text: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(text, tmp_path, "--chunks", "3") == 0
    other = tmp_path / "other.npz"
    tree, good = serialize.load(tmp_path / "checkpoint.npz")
    own, rank, entries = good["metadata"], tree["ranks"][0], tree["optimizer"]["state"]
    sizes, vocabulary = own["settings"], own["vocabulary"]

    def of_model(**change: Any) -> dict[str, Any]:
        return {"metadata": {**own, **change}}

    def of_trainer(name: str, **change: Any) -> dict[str, Any]:
        return {name: {**good[name], **change}}

    cases: list[tuple[dict[str, Any], dict[str, Any], str]] = [
        ({}, of_model(kind="another"), "is a checkpoint of something else"),
        ({}, of_model(baselines={"unigram": 1.0}), "baselines"),
        ({}, of_model(fingerprint=3), "fingerprint"),
        ({}, of_model(settings=[]), "do not fit together"),
        ({}, of_model(settings={**sizes, "hidden_size": "12"}), "settings: hidden_size: got '12'"),
        ({}, of_model(settings={**sizes, "hidden_size": 12.0}), "settings: hidden_size: got 12.0"),
        ({}, of_model(settings={**sizes, "layers": True}), "settings: layers: got True"),
        ({}, of_model(settings={**sizes, "cell": "qru"}), "settings: cell: got 'qru'"),
        ({}, of_model(settings={**sizes, "dropout": 2.0}), "settings: dropout: got 2.0, want below 1"),
        ({}, of_model(settings={**sizes, "steps": None}), "settings: steps: got None"),
        ({}, of_model(settings={**sizes, "hidden_size": 13}), "another model"),
        ({}, of_model(vocabulary={"characters": 3}), "do not fit together"),
        ({}, of_model(vocabulary={**vocabulary, "characters": "ab", "unknown": "a"}), "another model"),
        ({}, of_trainer("counters", updates=-1), "updates: got -1"),
        ({}, of_trainer("counters", updates=1.5), "updates: got 1.5"),
        ({}, of_trainer("counters", seconds=float("nan")), "seconds: got nan"),
        ({}, {"losses": ["a"]}, "losses"),
        ({}, {"history": [[1]]}, "history"),
        ({}, of_trainer("reader", position={**good["reader"]["position"], "chunk": 1.5}), "got chunk 1.5"),
        ({}, of_trainer("reader", position=3), "does not fit"),
        ({"ranks": [{**rank, "generators": rank["generators"][:1]}]}, {}, "generators: got the states of 1"),
        ({"ranks": [{**rank, "state": [1, 2]}]}, {}, "state: it is not one that a trainer saves"),
        ({"ranks": []}, {}, "ranks"),
        ({"optimizer": {**tree["optimizer"], "state": [{**entries[0], "step": -1}, *entries[1:]]}}, {}, "step: got -1"),
    ]
    for arrays, metadata, message in cases:
        serialize.save(other, {**tree, **arrays}, {**good, **metadata})
        said = complaint(capsys, ["--resume", str(other), "--chunks", "4", "--out", str(tmp_path)])
        assert message in said, (arrays, metadata, said)
    serialize.save(other, tree, good)
    assert char_rnn.main(["--resume", str(other), "--chunks", "4"]) == 0


PLANTED: list[Any] = [None, True, -1, 1.5, 2**70, float("nan"), "", "x", [], [[]], {}, {"a": 1}]
PLANTED += [{"$array": "model/readout.weight"}, {"$array": "nowhere"}]


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """The paths of everything in nested dictionaries and lists."""
    entries = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [path, *(p for key, inner in entries for p in places(inner, (*path, key)))]


def test_a_value_planted_anywhere_is_refused_in_one_line_or_harmless(
    text: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(text, tmp_path, "--chunks", "3") == 0
    other, rng = tmp_path / "other.npz", np.random.default_rng(0)
    tree, good = serialize.load(tmp_path / "checkpoint.npz")
    codes = []
    for _ in range(20):
        metadata = copy.deepcopy(good)
        *path, last = (paths := places(good)[1:])[rng.integers(len(paths))]
        place: Any = metadata
        for key in path:
            place = place[key]
        place[last] = PLANTED[rng.integers(len(PLANTED))]
        serialize.save(other, tree, metadata)
        capsys.readouterr()
        codes.append(
            char_rnn.main(["--resume", str(other), "--sample-only"] if rng.random() < 0.3 else ["--resume", str(other)])
        )
        assert capsys.readouterr().err.count("\n") <= 1
    assert set(codes) == {0, 2}


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no named pipes")
def test_a_pipe_is_not_resumed_from(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    os.mkfifo(tmp_path / "pipe.npz")
    assert "it is a pipe or a device" in complaint(capsys, ["--resume", str(tmp_path / "pipe.npz")])


def test_another_arithmetic_is_told_and_the_run_goes_on(
    text: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(text, tmp_path, "--chunks", "2") == 0
    tree, metadata = serialize.load(tmp_path / "checkpoint.npz")
    here = metadata["arithmetic"]
    assert here["backend"] == "numpy"
    assert here["numpy"] == np.__version__
    other = tmp_path / "other.npz"
    serialize.save(other, tree, {**metadata, "arithmetic": {**here, "numpy": "1.0", "threads": 99}})
    assert char_rnn.main(["--resume", str(other), "--chunks", "3"]) == 0
    err = capsys.readouterr().err
    assert f"computed with NumPy 1.0, here {np.__version__}; BLAS threads 99, here {here['threads']}" in err
    assert char_rnn.main(["--resume", str(tmp_path / "checkpoint.npz"), "--chunks", "4"]) == 0
    assert capsys.readouterr().err == ""
    assert arithmetic.differences(None, here) == arithmetic.differences({}, here) == ""


# Saving


def test_a_full_disk_leaves_an_earlier_runs_checkpoint_in_its_place(
    text: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def full(handle: int) -> None:
        raise OSError(28, "No space left on device")

    assert run(text, tmp_path, "--chunks", "3") == 0
    first = (tmp_path / "checkpoint.npz").read_bytes()
    monkeypatch.setattr(os, "fsync", full)
    capsys.readouterr()
    assert run(text, tmp_path, "--chunks", "4") == 1
    assert "nothing of this run was saved; " in capsys.readouterr().err
    assert (tmp_path / "checkpoint.npz").read_bytes() == first
    assert not (tmp_path / "previous.npz").exists()
    (tmp_path / "checkpoint.npz").unlink()
    assert run(text, tmp_path, "--chunks", "4") == 1
    assert "nothing was saved\n" in capsys.readouterr().err


def test_what_killed_runs_left_is_removed_and_permissions_stay(text: Path, tmp_path: Path) -> None:
    assert run(text, tmp_path, "--chunks", "1") == 0
    (tmp_path / "checkpoint.npz").chmod(0o600)
    for name in ("checkpoint.npz", "curves.png", "previous.npz"):
        (tmp_path / f".{name}.123-0123abcd.tmp").touch()
    assert char_rnn.main(["--resume", str(tmp_path / "checkpoint.npz"), "--chunks", "2"]) == 0
    assert [name for name in os.listdir(tmp_path) if name.startswith(".")] == []
    assert sys.platform == "win32" or stat.S_IMODE((tmp_path / "checkpoint.npz").stat().st_mode) == 0o600


def test_a_second_run_in_the_folder_is_refused(
    text: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("fcntl", reason="this system has no locks for folders")
    said = []

    def second(_: Any) -> None:
        monkeypatch.undo()
        argv = ["--text", str(text), *SMALL, "--out", str(tmp_path), "--chunks", "2"]
        said.append(complaint(capsys, argv))
        assert run(text, tmp_path / "another", "--chunks", "2") == 0

    at_chunk(monkeypatch, 2, second)
    assert run(text, tmp_path, "--chunks", "3") == 0
    assert "where another run writes now, want another one" in said[0]
    assert updates(tmp_path) == 3
    assert run(text, tmp_path, "--chunks", "1") == 0  # the folder is free again


# Ctrl-C


def test_ctrl_c_while_it_reads_the_text_leaves_no_trace(
    text: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupt(*_: Any) -> Any:
        raise KeyboardInterrupt

    monkeypatch.setattr(char_rnn, "Text", interrupt)
    assert run(text, tmp_path, "--chunks", "1") == 130
    assert capsys.readouterr().err == "\nchar_rnn.py: stopped\n"


def test_ctrl_c_while_it_imports_leaves_no_trace(tmp_path: Path) -> None:
    (tmp_path / "numpy.py").write_text("raise KeyboardInterrupt\n", encoding="utf-8")
    code = (
        f"import sys, runpy; sys.path.insert(0, {str(tmp_path)!r}); runpy.run_path({str(EXAMPLES / 'char_rnn.py')!r})"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "")
