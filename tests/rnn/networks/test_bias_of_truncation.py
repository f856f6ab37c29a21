"""The bias of truncation: beside gradients cut by hand, on a series without memory, and its table and figure."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
import pytest

import minigrad as mg
from minigrad import nn
from minigrad_rnn import GRU, LSTM, RNN, Truncation, truncation_bias

XS = np.random.default_rng(0).standard_normal((12, 2, 3))


def energy(output: Any, start: int, stop: int) -> Any:
    return sum((k + 1.0) * (y**2).sum() for k, y in enumerate(output, start))


@pytest.mark.parametrize("k1", [None, 1, 2])
@pytest.mark.parametrize("kind", [RNN, LSTM])
def test_angle_and_norm_are_those_of_the_two_gradients(k1: int | None, kind: Any) -> None:
    rnn = kind(3, 4, 2, dtype="float64", rng=0, dropout=0.3)
    masks = rnn.draw_masks(12, 2, rng=1)
    bias = truncation_bias(rnn, XS, energy, [12, 2, 4], k1, masks=masks)
    assert all(p.grad is None for p in rnn.parameters())
    assert bias.k2s == (2, 4, 12)
    energy(rnn(XS, masks=masks)[0], 0, 12).backward()
    full = {n: p.grad.numpy() for n, p in rnn.named_parameters()}
    for k2 in (2, 4):
        rnn.zero_grad()
        for window in Truncation(k1 or k2, k2).windows(rnn, XS, masks=masks):
            energy(window.output, window.start, window.stop).backward()
        cut = {n: p.grad.numpy() for n, p in rnn.named_parameters()}
        pairs = {n: (cut[n], full[n]) for n in full}
        pairs["all parameters"] = tuple(np.concatenate([g.ravel() for g in each.values()]) for each in (cut, full))
        for name, (a, b) in pairs.items():
            cosine = np.vdot(a, b) / np.linalg.norm(a) / np.linalg.norm(b)
            found = bias.by_parameter[name][k2]
            np.testing.assert_allclose(np.cos(np.radians(found.angle)), cosine, rtol=1e-12)
            np.testing.assert_allclose(found.norm, np.linalg.norm(a) / np.linalg.norm(b), rtol=1e-12)
    assert bias.angle[12] < 1e-10
    np.testing.assert_allclose(bias.norm[12], 1.0, rtol=1e-12)
    assert bias.angle[2] > bias.angle[4] > 0.1


def test_a_network_without_memory_has_no_bias() -> None:
    rnn = RNN(3, 4, dtype="float64", rng=0)
    rnn.forward0.Wr.data[...] = 0.0
    bias = truncation_bias(rnn, XS, energy, [1, 3])
    assert bias.by_parameter["forward0.Wc"][1].angle < 1e-6
    np.testing.assert_allclose(bias.by_parameter["forward0.Wc"][1].norm, 1.0, rtol=1e-12)


def test_an_embedding_in_front_with_lengths_and_a_state() -> None:
    embedding, rnn = nn.Embedding(5, 3, dtype="float64", rng=1), GRU(3, 4, batch_first=True, dtype="float64", rng=0)
    tokens, state = np.random.default_rng(1).integers(0, 5, (2, 12)), np.ones((1, 2, 4))
    bias = truncation_bias(
        rnn, tokens, lambda y, start, stop: (y**2).sum(), [2, 12], state=state, lengths=[12, 7], front=embedding
    )
    assert bias.by_parameter["front.weight"][2].angle > bias.by_parameter["front.weight"][12].angle
    assert bias.steps == 12


def test_table_and_figure() -> None:
    rnn = RNN(3, 4, rng=0)
    bias = truncation_bias(rnn, XS.astype(np.float32), energy, [2, 4], k1=2)
    text = repr(bias)
    assert "k1 = 2, T = 12" in text
    assert f"{bias.angle[2]:.1f}°, {bias.norm[2]:.3f}" in text
    assert "forward0.Wr" in text
    assert "<table>" in bias._repr_html_()
    assert "forward0.Wr" in bias._repr_html_()
    pytest.importorskip("matplotlib")
    figure = bias.plot()
    lines = {line.get_label(): line.get_ydata() for line in figure.axes[0].get_lines()}
    np.testing.assert_allclose(lines["all parameters"], list(bias.angle.values()))
    assert set(lines) == set(bias.by_parameter)
    figure.canvas.draw()


def test_without_matplotlib_the_error_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    bias = truncation_bias(RNN(3, 4), XS.astype(np.float32), energy, [2])
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(ImportError, match="pip install matplotlib"):
        bias.plot()


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"k2s": []}, ValueError, "truncation_bias: k2s: got none"),
        ({"k2s": 3}, TypeError, "truncation_bias: k2s: got 3, want a list"),
        ({"k2s": [0]}, ValueError, "truncation_bias: k2s: got 0"),
        ({"k1": 2, "k2s": [3]}, ValueError, "Truncation: k2: got 3, want a multiple of k1 = 2"),
        ({"loss": lambda y, start, stop: y}, ValueError, "truncation_bias: loss: got a result of shape"),
        ({"loss": lambda y, start, stop: (y**2).mean()}, ValueError, "want a loss that is a sum over the steps"),
        ({"xs": np.full((4, 1, 3), np.nan)}, FloatingPointError, r"the full gradient of forward0\.Wc.* is not finite"),
        ({"rnn": RNN(3, 4, bidirectional=True)}, ValueError, "Truncation: rnn: got a bidirectional recurrence"),
    ],
)
def test_errors(options: dict[str, Any], error: type[Exception], message: str) -> None:
    given = {"rnn": RNN(3, 4, dtype="float64"), "xs": XS, "loss": energy, "k2s": [2], **options}
    with pytest.raises(error, match=message):
        truncation_bias(**given)


def test_a_zero_gradient_has_no_angle() -> None:
    bias = truncation_bias(RNN(3, 4, dtype="float64"), XS, lambda y, start, stop: (y * 0.0).sum(), [2])
    assert np.isnan(bias.angle[2])
    assert np.isnan(bias.norm[2])
    assert "nan" in repr(bias)


def test_it_does_not_depend_on_no_grad() -> None:
    rnn, xs = RNN(2, 3, dtype="float64", rng=0), np.random.default_rng(0).standard_normal((8, 2, 2))

    def loss(output: mg.Tensor, start: int, stop: int) -> mg.Tensor:
        return (output**2).sum()

    want = truncation_bias(rnn, xs, loss, [2, 8])
    with mg.no_grad():
        got = truncation_bias(rnn, xs, loss, [2, 8])
    assert got.angle == want.angle
    assert want.angle[2] > 0
