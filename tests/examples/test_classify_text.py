"""examples/classify_text.py on real names: a run of seconds, the baseline by hand, and wrong input."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from minigrad.nn.inference import inference

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "examples"))
import classify_text
from classify_text_parts.bag_of_ngrams import BagOfNgrams, NgramFeatures, ngrams
from classify_text_parts.confusion_matrix import confusion_matrix, plot_confusion_matrix
from classify_text_parts.tasks import TASKS, Texts
from command_line import run
from datasets import DataError, names_by_language

pytestmark = pytest.mark.usefixtures("no_curves")
SMALL = ["--hidden-size", "4", "--embedding-size", "4", "--updates", "3"]


def command(out: Path, *flags: str) -> int:
    return run(classify_text.main, classify_text.parser, ["--out", str(out), *flags])


def test_a_short_run_on_real_names(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    try:
        names_by_language()
    except DataError as error:
        pytest.skip(str(error))
    assert command(tmp_path, *SMALL, "--texts", "300") == 0
    printed = capsys.readouterr().out
    assert "300 texts of 16 classes: 240 to train on, 30 to validate, 30 to test" in printed
    for line in ("the most frequent class", "logistic regression", "bidirectional GRU"):
        assert f"\n  {line} " in printed
    assert command(tmp_path, "--classify", "Gemüsesuppe") == 0
    shares = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert len(shares) == 5
    assert command(tmp_path, "--classify", "") == 2
    assert "got an empty one" in capsys.readouterr().err
    assert command(tmp_path, "--task", "reviews", "--classify", "good") == 2
    assert "best.npz" in capsys.readouterr().err


def test_reviews_are_told_apart_by_a_word(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Planted reviews, in which one word decides: both models find it; guessing is right in half."""
    rng = np.random.default_rng(0)
    words = ["the", "film", "a", "plot", "was", "with", "of", "and", "story", "actor"]
    texts = [" ".join([*rng.permutation(words), word, *rng.permutation(words)[:3]]) for word in ("dull", "fine") * 120]
    planted = Texts(texts, [k % 2 for k in range(240)], ("negative", "positive"), ["a", "b"] * 120)
    monkeypatch.setitem(TASKS, "reviews", TASKS["reviews"]._replace(load=lambda: planted))
    flags = ["--task", "reviews", "--hidden-size", "8", "--embedding-size", "8", "--batch-size", "16"]
    assert command(tmp_path, *flags, "--dropout", "0", "--learning-rate", "0.03", "--epochs", "8") == 0
    printed = capsys.readouterr().out
    for model in ("logistic regression", "bidirectional LSTM"):
        line = next(line for line in printed.splitlines() if line.startswith(f"  {model}"))
        shares = [float(word[:-1]) for word in line.split() if word.endswith("%")][::2]
        assert len(shares) == 3  # all, and each of the two groups
        assert min(shares) > 80
    assert command(tmp_path, "--task", "reviews", "--classify", "the FINE film") == 0
    assert capsys.readouterr().out.split()[1] == "positive"


def test_ngrams_and_their_features() -> None:
    assert ngrams("aba", 2) == {("a",), ("b",), ("a", "b"), ("b", "a")}
    features = NgramFeatures(["aba", "ab", "c"], list, 2, 100)
    assert set(features.ids) == {("a",), ("b",), ("a", "b")}  # what comes in two texts
    assert sorted(features.encode("ab").tolist()) == [0, 1, 2]
    assert features.encode("xyz").tolist() == [3]
    assert len(NgramFeatures(["aba", "ab", "c"], list, 2, 1)) == 1


def test_the_baseline_is_logistic_regression() -> None:
    """Logits by hand; what pads a text and what stands for no n-gram count as nothing."""
    model = BagOfNgrams(4, 2)
    weights = np.arange(10, dtype=np.float32).reshape(5, 2)
    weights[4] = 0
    model.load_state_dict({"weights.weight": weights, "bias": np.array([0.5, -0.5], np.float32)})
    with inference(model):
        logits = model(np.array([[0, 1, 4], [2, 4, 4]]).T, np.array([2, 1])).numpy()
    expected = [(weights[0] + weights[1]) / np.sqrt(2), weights[2]]
    np.testing.assert_allclose(logits, np.array(expected) + np.array([0.5, -0.5]), rtol=1e-6)


def test_padding_changes_no_logit() -> None:
    settings: dict[str, Any] = {"cell": "gru", "embedding_size": 3, "hidden_size": 4, "dropout": 0.5}
    model = classify_text.Classifier(7, 3, settings, np.random.default_rng(0))
    ids = np.random.default_rng(1).integers(0, 7, (6, 2))
    with inference(model):
        both = model(ids, np.array([6, 2])).numpy()
        alone = model(ids[:2, 1:], np.array([2])).numpy()
    np.testing.assert_allclose(both[1], alone[0], rtol=1e-5, atol=1e-6)


def test_confusions(tmp_path: Path) -> None:
    counts = confusion_matrix([0, 0, 1, 2], [0, 1, 1, 1], 3)
    assert counts.tolist() == [[1, 1, 0], [0, 1, 0], [0, 1, 0]]
    pytest.importorskip("matplotlib", reason="matplotlib draws the confusions and is not installed")
    assert plot_confusion_matrix(str(tmp_path / "a.png"), counts, ("x", "y", "z"), "title")
    assert (tmp_path / "a.png").read_bytes().startswith(b"\x89PNG")
