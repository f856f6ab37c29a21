"""The character model: sampling, training that resumes exactly, stopping, and what it says to bad input."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import minigrad as mg
from minigrad import serialize
from minigrad_rnn.networks.truncation import detached
from minigrad_rnn.seq2seq.sampling import draw, probabilities, sample
from minigrad_rnn.text.corpus import Vocabulary
from minigrad_rnn.text.model import CharacterModel, bits_per_character

EXAMPLES = Path(__file__).resolve().parents[1] / "examples"
sys.path.insert(0, str(EXAMPLES))
import char_rnn  # noqa: E402
from character_model import settings  # noqa: E402
from character_model.loss_curve import save_loss_curve  # noqa: E402

SMALL = ["--hidden-size", "12", "--embedding-size", "8", "--batch-size", "4", "--steps", "8", "--sample-length", "20"]
GREEK = "μῆνιν ἄειδε θεὰ Πηληϊάδεω Ἀχιλῆος; où êtes-vous, cœur naïf ?\n"


@pytest.fixture
def text(tmp_path: Path) -> Path:
    """A text that is not trivial, of some 3,000 characters."""
    rng = np.random.default_rng(0)
    words = ["def ", "return ", "self", "(x)", ":\n", "    ", "import ", "é"]
    path = tmp_path / "text.py"
    path.write_text("".join(rng.choice(words, 700)), encoding="utf-8")
    return path


def run(text: Path | None, out: Path, *more: str) -> int:
    given = [] if text is None else ["--text", str(text), *SMALL]
    return char_rnn.main([*given, "--out", str(out), *more])


def checkpoint(out: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    return serialize.load(out / "checkpoint.npz")


def at_chunk(monkeypatch: pytest.MonkeyPatch, number: int, act: Any) -> None:
    """Call `act(run)` before the chunk of that number is read."""
    original = char_rnn.Run.train_chunk

    def train_chunk(self: Any) -> None:
        if self.chunks + 1 == number:
            act(self)
        original(self)

    monkeypatch.setattr(char_rnn.Run, "train_chunk", train_chunk)


# Sampling


def test_probabilities_are_the_softmax_over_the_temperature() -> None:
    logits = np.array([1.0, 3.0, -2.0, -np.inf])
    z = np.exp(logits / 0.7)
    np.testing.assert_allclose(probabilities(logits, 0.7), z / z.sum(), rtol=1e-12)
    np.testing.assert_array_equal(probabilities([2.0, 5.0, 5.0], 0.0), [0, 0.5, 0.5])
    np.testing.assert_array_equal(probabilities([2e4, 1e4], 1e-3), [1, 0])


@pytest.mark.parametrize(
    ("logits", "temperature", "message"),
    [([0.0], -1, "temperature: got -1"), ([0.0], np.nan, "got nan"), ([0.0, np.nan], 1, "logits: got NaN")],
)
def test_probabilities_refuse(logits: list[float], temperature: float, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        probabilities(logits, temperature)


@pytest.mark.parametrize("temperature", [0.5, 1.0, 2.0])
def test_draws_follow_the_softmax(temperature: float) -> None:
    logits, n = np.array([0.3, 1.7, -0.4, 0.9, -1.1], "float32"), 20_000
    rng = np.random.default_rng(1)
    counts = np.bincount([draw(logits, temperature, rng) for _ in range(n)], minlength=5)
    expected = n * probabilities(logits, temperature)
    chi_square = float(((counts - expected) ** 2 / expected).sum())
    assert chi_square < 18.5  # 99.9 % of chi-square with 4 degrees of freedom


def test_a_low_temperature_is_greedy() -> None:
    rng = np.random.default_rng(0)
    logits = rng.standard_normal(30)
    assert {draw(logits, t, rng) for t in (0.0, 1e-4) for _ in range(50)} == {int(logits.argmax())}


def test_what_cannot_come_is_never_drawn() -> None:
    rng = np.random.default_rng(0)
    assert {draw([-np.inf, 0.0, -np.inf], 1.0, rng) for _ in range(200)} == {1}


@pytest.mark.parametrize("cell", ["rnn", "lstm"])
def test_a_sample_is_the_models_own_and_goes_on_from_its_state(cell: str) -> None:
    model = CharacterModel(11, cell, 6, 9, num_layers=2, dropout=0.5, rng=np.random.default_rng(3))
    whole, _ = sample(model, [1, 2, 3], 24, rng=np.random.default_rng(7))
    rng = np.random.default_rng(7)
    first, state = sample(model, [1, 2, 3], 10, rng=rng)
    second, _ = sample(model, first[-1:], 14, rng=rng, state=state)
    np.testing.assert_array_equal(whole, [*first, *second])
    assert model.training
    assert model.dropout.training

    model.eval()
    with mg.no_grad():  # the same, each time from the beginning
        read, rng = [1, 2, 3], np.random.default_rng(7)
        for _ in range(10):
            logits, _ = model(np.array(read)[:, None])
            read.append(draw(logits.numpy()[-1, 0], 1.0, rng))
    assert read[3:] == first.tolist()


def test_the_prime_changes_what_follows() -> None:
    model = CharacterModel(11, "lstm", 6, 9, rng=np.random.default_rng(3))
    states = [sample(model, prime, 1, temperature=0)[1] for prime in ([1, 2, 5], [4, 2, 5])]
    assert not np.array_equal(states[0][0].numpy(), states[1][0].numpy())


@pytest.mark.parametrize(
    ("prime", "length", "error", "message"),
    [
        ([], 3, ValueError, "prime: got shape"),
        ([0.5], 3, TypeError, "want integers"),
        ([0], 0, ValueError, "length: got 0"),
    ],
)
def test_sample_refuses(prime: list[Any], length: int, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        sample(CharacterModel(4, "rnn", 3, 3), prime, length)


# The model


@pytest.mark.parametrize("ask", ["sample", "bits_per_character", "sample and fail"])
def test_what_was_in_evaluation_stays_there(ask: str) -> None:
    model = CharacterModel(11, "rnn", 6, 9, dropout=0.5)
    model.embedding.eval()
    model.recurrence.eval()
    before = [part.training for part in model.modules()]
    assert len(set(before)) == 2
    if ask == "bits_per_character":
        bits_per_character(model, np.arange(100) % 11)
    elif ask == "sample":
        sample(model, [1], 3)
    else:
        with pytest.raises(ValueError, match="temperature"):
            sample(model, [1], 3, temperature=-1.0)
    assert [part.training for part in model.modules()] == before


def test_bits_per_character_do_not_depend_on_how_the_text_is_cut() -> None:
    model = CharacterModel(11, "lstm", 6, 9, dropout=0.5, rng=np.random.default_rng(3))
    ids = np.random.default_rng(0).integers(0, 11, 1025)
    values = [bits_per_character(model, ids, batch_size=2, steps=steps) for steps in (7, 128, 2000)]
    np.testing.assert_allclose(values, values[0], rtol=1e-5)
    assert values[0] > np.log2(11) - 0.5
    assert bits_per_character(model, ids, batch_size=2, steps=16, limit=100) != values[0]
    assert model.training


def test_the_detached_state_ends_the_tape() -> None:
    model = CharacterModel(5, "lstm", 3, 4)
    _, state = model(np.array([[1], [2]]))
    assert all(part.requires_grad for part in state)
    assert not any(part.requires_grad for part in detached(state))


def test_an_unknown_cell_is_refused() -> None:
    with pytest.raises(ValueError, match="cell: got 'qru', want one of"):
        CharacterModel(5, "qru")


def test_every_backend_trains_and_samples_alike(xp: Any, text: Path, tmp_path: Path) -> None:
    more = ["--layers", "2", "--dropout", "0.2", "--chunks", "6"]
    runs = []
    for backend in ("numpy", xp.name):
        overrides = settings.parse(["--text", str(text), *SMALL, *more], "").overrides
        command = settings.Command(overrides, backend, str(tmp_path), None, False, False)
        r, _, path = char_rnn.prepare(command)
        r.train_chunk()
        with xp.no_sync():
            for _ in range(5):
                r.train_chunk()
        runs.append(r)
    here, there = runs
    for name, value in here.model.state_dict().items():
        np.testing.assert_allclose(there.model.state_dict()[name], value, rtol=2e-3, atol=2e-4)
    assert there.evaluate(None) == pytest.approx(here.evaluate(None), rel=1e-3)

    # A checkpoint of one, sampled and trained on with the other
    there.save(path)
    arrays, metadata = serialize.load(path)
    here.restore(arrays, metadata, "numpy")
    there.restore(arrays, metadata, xp.name)
    assert here.sample() == there.sample()


# Training


def test_it_learns_what_is_predictable(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "abc.txt"
    path.write_text("abcdefgh" * 300, encoding="utf-8")
    assert run(path, tmp_path, "--chunks", "120", "--learning-rate", "0.02", "--report-every", "10") == 0
    _, metadata = checkpoint(tmp_path)
    assert metadata["baselines"]["unigram"] == pytest.approx(3, abs=0.01)
    assert metadata["curves"]["training"][0][1] > 2
    assert metadata["curves"]["held out"][-1][1] < 0.5
    out = capsys.readouterr().out
    assert "unigram" in out
    assert "lzma" in out
    assert "A sample at temperature 0.8" in out


@pytest.mark.parametrize("cell", ["rnn", "lstm"])
def test_a_seed_gives_the_same_numbers_again(cell: str, text: Path, tmp_path: Path) -> None:
    for name, seed in (("a", "3"), ("b", "3"), ("c", "4")):
        assert run(text, tmp_path / name, "--chunks", "20", "--cell", cell, "--seed", seed) == 0
    (a, _), (b, _), (c, _) = (checkpoint(tmp_path / name) for name in "abc")
    assert all(np.array_equal(a[name], b[name]) for name in a)
    assert not np.array_equal(a["model/readout.weight"], c["model/readout.weight"])


FLAGS = ["--layers", "2", "--dropout", "0.3", "--chunks", "220", "--report-every", "7", "--evaluate-every", "11"]
FLAGS += ["--sample-every", "13", "--save-every", "1000"]


@pytest.mark.parametrize("stops", [(1,), (30, 31, 120), (112,)])
def test_a_resumed_run_is_bitwise_the_uninterrupted_one(
    stops: tuple[int, ...], text: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert run(text, tmp_path / "whole", *FLAGS) == 0
    more = [str(text), *SMALL, *FLAGS]
    for k, stop in enumerate(stops):
        with monkeypatch.context() as patch:
            at_chunk(patch, stop, lambda run: signal.raise_signal(signal.SIGINT))
            begin = ["--resume", str(tmp_path / "cut" / "checkpoint.npz")] if k else ["--text", *more]
            assert char_rnn.main([*begin, "--out", str(tmp_path / "cut")]) == 130
        assert checkpoint(tmp_path / "cut")[1]["chunks"] == stop
    assert char_rnn.main(["--resume", str(tmp_path / "cut" / "checkpoint.npz")]) == 0
    (whole, all_of_it), (cut, rest) = checkpoint(tmp_path / "whole"), checkpoint(tmp_path / "cut")
    assert whole.keys() == cut.keys()
    assert [name for name in whole if not np.array_equal(whole[name], cut[name])] == []
    for name in ("curves", "generators", "streams", "losses", "chunks", "characters", "baselines"):
        assert all_of_it[name] == rest[name], name
    assert rest["streams"]["epoch"] >= 2  # epochs end in between


def test_a_finished_run_goes_on_with_a_larger_budget(
    text: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(text, tmp_path, "--chunks", "10") == 0
    path = tmp_path / "checkpoint.npz"
    assert char_rnn.main(["--resume", str(path)]) == 0
    assert "nothing left to train" in capsys.readouterr().out
    assert char_rnn.main(["--resume", str(path), "--epochs", "0.2", "--schedule", "constant"]) == 0
    assert checkpoint(tmp_path)[1]["chunks"] == 17  # of 81 in an epoch
    assert sorted(os.listdir(tmp_path)) == ["checkpoint.npz", "loss.png", "text.py"]


def test_a_budget_of_seconds_ends(text: Path, tmp_path: Path) -> None:
    assert run(text, tmp_path, "--seconds", "0.2") == 0
    assert checkpoint(tmp_path)[1]["seconds"] >= 0.2


def test_another_runs_checkpoint_is_kept(text: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(text, tmp_path, "--chunks", "3") == 0
    first = (tmp_path / "checkpoint.npz").read_bytes()
    assert run(text, tmp_path, "--chunks", "4") == 0
    assert (tmp_path / "previous.npz").read_bytes() == first
    assert "previous.npz" in capsys.readouterr().out


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
    while "chunk " not in (line := process.stdout.readline()):
        assert line, process.stderr and process.stderr.read()
    process.send_signal(number)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 128 + number
    assert f"stopped by {number.name} after chunk" in out
    assert f"--resume {tmp_path}" in out
    assert err == ""
    chunks = checkpoint(tmp_path)[1]["chunks"]
    assert char_rnn.main(["--resume", str(tmp_path / "checkpoint.npz"), "--chunks", str(chunks + 2)]) == 0
    assert checkpoint(tmp_path)[1]["chunks"] == chunks + 2


def test_an_interrupt_in_the_middle_of_a_chunk_leaves_the_last_checkpoint(
    text: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupt(run: Any) -> None:
        raise KeyboardInterrupt

    at_chunk(monkeypatch, 28, interrupt)
    before = signal.getsignal(signal.SIGINT)  # of a run in the background it is ignored
    assert run(text, tmp_path, "--chunks", "60", "--save-every", "10") == 130
    assert "stopped at once" in capsys.readouterr().err
    assert checkpoint(tmp_path)[1]["chunks"] == 20
    assert signal.getsignal(signal.SIGINT) is before


def test_an_interrupted_write_keeps_the_checkpoint_before(
    text: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def full(handle: int) -> None:
        raise OSError(28, "No space left on device")

    at_chunk(monkeypatch, 15, lambda run: monkeypatch.setattr(os, "fsync", full))
    assert run(text, tmp_path, "--chunks", "60", "--save-every", "10") == 1
    assert "No space left on device" in capsys.readouterr().err
    assert checkpoint(tmp_path)[1]["chunks"] == 10
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
    assert err.startswith("char_rnn.py: chunk 26: the loss is nan")
    assert err.count("\n") == 1
    assert checkpoint(tmp_path)[1]["chunks"] == 20


def test_a_run_that_blows_up_writes_no_checkpoint(
    text: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "checkpoint.npz").write_bytes(b"precious")
    assert run(text, tmp_path, "--chunks", "60", "--learning-rate", "1e38") == 1
    assert "a lower --learning-rate" in capsys.readouterr().err
    assert (tmp_path / "checkpoint.npz").read_bytes() == b"precious"


# Bad input


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
        (["--layers", "two"], "--layers: invalid int value: 'two'"),
        (["--cell", "qru"], "invalid choice: 'qru'"),
        (["--hidden", "3"], "unrecognized arguments: --hidden 3"),
        (["--seconds", "3", "--chunks", "4"], "got --chunks and --seconds, want one budget at most"),
        (["--sample-only"], "want --resume CHECKPOINT too"),
        (["--demo", "--resume", "x"], "--demo: got --resume too"),
        (["--resume", "/nowhere/x.npz"], "/nowhere/x.npz: cannot be read"),
        (["--backend", "abacus"], "invalid choice: 'abacus'"),
    ],
)
def test_a_bad_flag_is_refused(argv: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert message in complaint(capsys, argv)


def test_a_missing_gpu_is_said(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
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
    assert "a checkpoint of something else" in complaint(capsys, ["--resume", str(other)])
    arrays, metadata = serialize.load(path)
    serialize.save(other, {**arrays, "model/readout.weight": np.zeros((2, 2), "float32")}, metadata)
    for more in ([], ["--sample-only"]):
        assert "readout.weight: got shape (2, 2)" in complaint(capsys, ["--resume", str(other), *more])
    serialize.save(other, arrays, {**metadata, "settings": {"cell": "lstm", "colour": "red"}})
    assert "does not fit together" in complaint(capsys, ["--resume", str(other)])

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


# What it shows


def test_any_alphabet(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "greek.txt"
    path.write_text(GREEK * 60, encoding="utf-8")
    assert run(path, tmp_path, "--chunks", "30") == 0
    _, metadata = checkpoint(tmp_path)
    known = Vocabulary(**metadata["vocabulary"]).characters
    assert set(GREEK) <= set(known)
    capsys.readouterr()
    argv = ["--resume", str(tmp_path / "checkpoint.npz"), "--sample-only", "--prime", "μῆνιν", "--sample-length", "50"]
    said = []
    for seed in ("1", "1", "2"):
        assert char_rnn.main([*argv, "--seed", seed]) == 0
        said.append(capsys.readouterr().out[:-1])
    assert said[0] == said[1] != said[2]
    assert all(s.startswith("μῆνιν") and len(s) == 55 and set(s) <= set(known) for s in said)


def test_the_picture_is_a_png(tmp_path: Path) -> None:
    image = pytest.importorskip("matplotlib.image")
    curves = {"training": [(0.0, 5.0), (1.0, 3.0)], "held out": [(1.0, 3.2)], "none": []}
    save_loss_curve(tmp_path / "loss.png", curves, {"unigram": 4.6}, title="a", xlabel="b", ylabel="c")
    assert image.imread(tmp_path / "loss.png").shape == (600, 960, 4)
    save_loss_curve(tmp_path / "empty.png", {"training": []})
    assert sorted(os.listdir(tmp_path)) == ["empty.png", "loss.png"]


def test_without_matplotlib_it_says_so(
    text: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("matplotlib", "matplotlib.figure", "matplotlib.backends.backend_agg"):
        monkeypatch.setitem(sys.modules, name, None)
    assert run(text, tmp_path, "--chunks", "3") == 0
    assert "matplotlib is missing; pip install" in capsys.readouterr().out
    assert sorted(os.listdir(tmp_path)) == ["checkpoint.npz", "text.py"]


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
    assert "chunk     20" in out


def test_the_demo_verifies_first(text: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(text, tmp_path, "--demo", "--chunks", "3", "--vocabulary-size", "20") == 0
    out = capsys.readouterr().out
    assert "passed" in out.split("Bits per character")[0]
    assert max(map(len, out.replace(str(tmp_path), "").replace(sys.argv[0], "").splitlines())) <= 100


def test_a_demo_that_finds_wrong_gradients_does_not_train(
    text: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(char_rnn, "verify", lambda text, cell: False)
    assert run(text, tmp_path, "--demo", "--chunks", "3") == 1
    assert not (tmp_path / "checkpoint.npz").exists()
