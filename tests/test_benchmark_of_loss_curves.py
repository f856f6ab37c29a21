"""The benchmark of loss curves: minigrad, torch and the plain NumPy RNN learn the same from the same."""

from __future__ import annotations

import math
import sys
from itertools import islice
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks import loss_curves
from benchmarks.loss_curves import Difference
from benchmarks.page import Options
from benchmarks.plain_rnn import NAMES, PlainRNN
from benchmarks.timing import Plan
from minigrad import cross_entropy, tanh, tensor

SIZE = {"T": 6, "B": 3, "H": 8}
PLAN = Plan(total=0.0, turn=0.0, rounds=1, restarts=1, pause=0.0, patience=0.0)


@pytest.fixture(autouse=True)
def text(monkeypatch: pytest.MonkeyPatch) -> None:
    ids = np.random.default_rng(3).integers(0, loss_curves.VOCABULARY, 400)
    monkeypatch.setattr(loss_curves, "ids_of_code", lambda: ids)


def test_the_gradients_written_out_are_the_graphs() -> None:
    """float64, relative tolerance 1e-12."""
    V, H, (T, B) = 7, 5, (6, 3)
    rng = np.random.default_rng(0)
    plain, h = PlainRNN(V, H), rng.standard_normal((H, B))
    plain.columns = {name: rng.standard_normal(w.shape) for name, w in plain.columns.items()}
    inputs, targets = rng.integers(0, V, (2, T, B))
    loss, gradients, _ = plain.backward(inputs, targets, h)
    w = {name: tensor(value, requires_grad=True) for name, value in plain.weights.items()}
    state, total = tensor(h.T.copy()), tensor(0.0)
    for t in range(T):
        state = tanh(np.eye(V)[inputs[t]] @ w["Wc"].T + state @ w["Wr"].T + w["b"])
        total = total + cross_entropy(state @ w["Wo"].T + w["bo"], targets[t])
    total.backward()
    assert loss == pytest.approx(float(total), rel=1e-12)
    for name in NAMES:
        np.testing.assert_allclose(gradients[name].reshape(w[name].shape), w[name].grad.numpy(), rtol=1e-12, atol=1e-13)


def test_minigrad_and_plain_numpy_learn_the_same() -> None:
    """Four steps of Adagrad in float64; its first step takes signs, so rounding grows fast."""
    ours, plain = (list(islice(f(**SIZE), 4)) for f in (loss_curves.our_plain_steps, loss_curves.plain_steps))
    np.testing.assert_allclose(ours, plain, rtol=1e-9)
    assert len(set(ours)) == 4


@pytest.mark.filterwarnings("ignore")  # of torch at import
def test_minigrad_and_torch_learn_the_same() -> None:
    pytest.importorskip("torch")
    apart = loss_curves.difference(loss_curves.our_steps(**SIZE), loss_curves.torch_steps(**SIZE), 8)
    assert apart.largest < 1e-5
    assert 0 < apart.last[0] < 3 * math.log2(loss_curves.VOCABULARY)


def test_another_learning_rate_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    ours = list(islice(loss_curves.our_steps(**SIZE), 4))
    monkeypatch.setattr(loss_curves, "LEARNING_RATE", 4 * loss_curves.LEARNING_RATE)
    apart = loss_curves.difference(iter(ours), loss_curves.our_steps(**SIZE), 4)
    assert apart.largest > loss_curves.MOST_DIFFERENCE
    assert "**missed**" in loss_curves.in_words(apart, 4)
    assert "missed" not in loss_curves.in_words(Difference(1e-4, 1e-5, (2.0, 2.0)), 4)


def test_the_tables(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loss_curves, "QUICK", {"T": 2, "B": 2, "H": 4})
    monkeypatch.setattr(loss_curves, "BESIDE_TORCH", loss_curves.BESIDE_TORCH[:1])
    text = loss_curves.measure(Options(PLAN, quick=True, one_process=True)).text
    assert "beside torch" in text
    assert "beside plain NumPy" in text
    assert "losses of minigrad and torch differ by at most" in text or "torch is not installed" in text
