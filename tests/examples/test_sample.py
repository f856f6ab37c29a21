"""`sample.py`: streams what it draws, from checkpoints of any vocabulary."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import char_rnn_parts.run
import numpy as np
import pytest
import sample
from char_rnn_parts.model import Saved, sample_text
from char_rnn_parts.settings import Settings

from minigrad_rnn.text import ByteVocabulary
from tests.support.char_rnn_runs import SMALL, char_rnn


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The checkpoint of a run with each vocabulary."""
    folder = tmp_path_factory.mktemp("runs")
    rng = np.random.default_rng(0)
    words = ["def ", "return ", "self", "(x)", ":\n", "    ", "import ", "é"]
    (folder / "text.py").write_text("".join(rng.choice(words, 700)), encoding="utf-8")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(char_rnn_parts.run, "save_loss_curve", lambda *_, **__: None)
        for kind in ("characters", "bytes", "words"):
            argv = ["--text", str(folder / "text.py"), *SMALL, "--chunks", "3", "--vocabulary", kind]
            size = ["--vocabulary-size", "9"] if kind == "words" else []
            assert char_rnn.main([*argv, *size, "--out", str(folder / kind)]) == 0
    return {kind: str(folder / kind / "checkpoint.npz") for kind in ("characters", "bytes", "words")}


def output(capsys: pytest.CaptureFixture[str], *argv: str) -> str:
    capsys.readouterr()
    assert sample.main(list(argv)) == 0
    return capsys.readouterr().out


@pytest.mark.parametrize("kind", ["characters", "bytes", "words"])
def test_it_prints_the_models_sample(kind: str, trained: dict[str, str], capsys: pytest.CaptureFixture[str]) -> None:
    flags = ["--prime", "(x)", "--length", "40", "--seed", "3", "--top-k", "4", "--temperature", "1.3"]
    said = output(capsys, trained[kind], *flags)
    saved = Saved(trained[kind])
    change: dict[str, Any] = {"prime": "(x)", "sample_length": 40, "seed": 3, "top_k": 4, "temperature": 1.3}
    settings = Settings(**{**saved.settings, **change})
    model = saved.model(settings, "numpy")
    assert said == sample_text(settings, model, saved.vocabulary, np.random.default_rng([3, 1])) + "\n"
    assert "\ufffd" not in said or kind == "bytes"  # what stands for unknown words is not drawn
    with_seed = [output(capsys, trained[kind], *flags[:4], "--seed", seed) for seed in ("1", "1", "2")]
    assert with_seed[0] == with_seed[1] != with_seed[2]


def test_several_samples(trained: dict[str, str], capsys: pytest.CaptureFixture[str]) -> None:
    said = output(capsys, trained["characters"], "--samples", "3", "--prime", "def", "--length", "30")
    parts = said.replace("-" * 34, "\0").split("\0")
    texts = [part for part in parts if part.strip("- \n").startswith("def")]
    assert len(set(texts)) == 3
    assert said.count(" of 3 ") == 2
    greedy = output(capsys, trained["characters"], "--temperature", "0", "--prime", "def", "--length", "30")
    assert output(capsys, trained["characters"], "--top-k", "1", "--prime", "def", "--length", "30") == greedy
    assert output(capsys, trained["characters"], "--top-p", "1e-9", "--prime", "def", "--length", "30") == greedy


def test_a_prime_from_a_file_and_no_end(
    trained: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "prime.txt").write_bytes(b"return self(x):\r\n    self")
    said = output(capsys, trained["characters"], "--prime-file", str(tmp_path / "prime.txt"), "--length", "5")
    assert said.startswith("return self(x):\n    self")
    written: list[str] = []

    def write(text: str) -> None:
        written.append(text)
        if len(written) == 50:
            raise KeyboardInterrupt

    monkeypatch.setattr(sample, "write", write)
    assert sample.main([trained["characters"], "--length", "0"]) == 130
    assert len(written) == 50


def test_bytes_wait_until_a_character_is_complete() -> None:
    decode = sample.decoder(ByteVocabulary())
    assert [decode([byte]) for byte in "né€".encode()] == ["n", "", "é", "", "", "€"]


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["/nowhere/x.npz"], "/nowhere/x.npz: cannot be read"),
        (["CHARACTERS", "--prime", "Жx"], "--prime: got 'Ж', want characters that the training text has"),
        (["WORDS", "--prime", "import antigravity"], "--prime: got ' antigravity', want words"),
        (["CHARACTERS", "--prime", "a", "--prime-file", "b"], "got --prime and --prime-file, want one of them"),
        (["CHARACTERS", "--prime-file", "/nowhere"], "/nowhere"),
        (["CHARACTERS", "--prime-file", "LATIN"], "latin.txt is not UTF-8: byte 0xe9 at offset 1"),
    ],
)
def test_bad_input_is_told_in_one_line(
    argv: list[str], message: str, trained: dict[str, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "latin.txt").write_bytes(b"h\xe9")
    files = {**trained, "latin": str(tmp_path / "latin.txt")}
    capsys.readouterr()
    assert sample.main([files.get(word.lower(), word) for word in argv]) == 2
    err = capsys.readouterr().err
    assert err.startswith("sample.py: ")
    assert message in err
    assert err.count("\n") == 1


@pytest.mark.parametrize("flags", [["--top-p", "1.5"], ["--top-k", "0"], ["--temperature", "-1"], ["--samples", "0"]])
def test_a_bad_flag_is_refused(flags: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        sample.main(flags)
    assert stop.value.code == 2
    assert f"argument {flags[0]}: got {flags[1]}, want" in capsys.readouterr().err
