"""verify_bptt passes right gradients on a kink and where units are saturated, and still catches wrong ones there."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import minigrad as mg
from minigrad_rnn import GRU, LSTM, MGU, RNN, IndRNN, ManyToOne, verify_bptt
from minigrad_rnn.cells import activations, gru, lstm, rnn
from minigrad_rnn.verification.finite_differences import difference, has_kink, rounding_of
from minigrad_rnn.verification.rounding_noise import RoundingNoise


def one_unit() -> RNN:
    """h = tanh(x + h(−1))."""
    net = RNN(1, 1, bias=False)
    for parameter in net.parameters():
        parameter.data = np.ones(parameter.shape, np.float32)
    return net


TEN = np.full((1, 1, 1), 10, np.float32)


def bytes_of(seed: int) -> np.ndarray[Any, Any]:
    return np.random.default_rng(seed).integers(0, 256, (10, 2, 4)).astype(np.float32)


def test_one_saturated_unit_passes() -> None:
    """1 − tanh(10)² = 8e-9 has 8 digits in float64."""
    found = verify_bptt(one_unit(), TEN)
    assert found.passed, str(found)
    assert found.largest > 1e-10
    assert all(1e-9 < row.rounding < 1e-6 for row in found.rows if "final" not in row.name and row.name != "output")
    assert "(rounding: " in str(found)


@pytest.mark.parametrize("kind", [RNN, LSTM, GRU, MGU, IndRNN])
def test_raw_bytes_pass(kind: Any) -> None:
    for seed in range(20 if kind is RNN else 4):
        mg.manual_seed(seed)
        found = verify_bptt(kind(4, 8), bytes_of(seed), seed=seed)
        assert found.passed, str(found)


@pytest.mark.parametrize(
    ("kind", "module", "name"), [(RNN, rnn, "rnn_bptt"), (LSTM, lstm, "lstm_bptt"), (GRU, gru, "gru_bptt")]
)
def test_a_fused_rule_off_by_a_thousandth_is_caught_on_raw_bytes(
    kind: Any, module: Any, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    right = getattr(module, name)

    def wrong(*args: Any, **options: Any) -> Any:
        dz, *rest = right(*args, **options)
        return dz * 1.001, *rest

    monkeypatch.setattr(module, name, wrong)
    assert not verify_bptt(one_unit() if kind is RNN else kind(1, 1), TEN).passed
    for seed in range(5):
        mg.manual_seed(seed)
        assert not verify_bptt(kind(4, 8), bytes_of(seed), seed=seed).passed


def test_a_rule_of_the_tape_off_by_a_thousandth_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    """On raw bytes by the reference, on a kink by finite differences beside it."""

    @mg.primitive
    def wrong_tanh(xp: Any, x: Any) -> Any:
        y = xp.tanh(x)
        return y, (y,), lambda xp, g, y: 1.001 * g * (1 - y * y)

    @mg.primitive
    def wrong_relu(xp: Any, x: Any) -> Any:
        y = xp.maximum(x, 0)
        return y, (y,), lambda xp, g, y: 1.001 * g * (y > 0)

    monkeypatch.setitem(activations.ON_TAPE, "tanh", wrong_tanh)
    monkeypatch.setitem(activations.ON_TAPE, "relu", wrong_relu)
    assert not verify_bptt(one_unit(), TEN).passed
    for seed in range(5):
        mg.manual_seed(seed)
        assert not verify_bptt(RNN(4, 8), bytes_of(seed), seed=seed).passed
    found = verify_bptt(RNN(2, 3, nonlinearity="relu", bias=False), np.zeros((2, 1, 2)), np.zeros((1, 1, 3)))
    assert {row.name for row in found.rows if not row.passed} >= {"xs", "h(−1)"}


@pytest.mark.parametrize("kind", [RNN, IndRNN])
@pytest.mark.parametrize("impl", ["graph", "fused"])
def test_relu_at_exactly_zero_passes_and_says_so(kind: Any, impl: str) -> None:
    """All z(t) = 0, where the derivative by xs and h(−1) does not exist."""
    net = kind(2, 3, nonlinearity="relu", bias=False)
    found = verify_bptt(net, np.zeros((3, 2, 2)), np.zeros((1, 2, 3)))
    assert found.passed, str(found)
    assert [row.name for row in found.rows if row.beside_kink] == ["xs", "h(−1)"]
    assert str(found).count("(beside a kink)") == 2


@pytest.mark.parametrize(
    "options",
    [
        {"nonlinearity": "relu"},
        {"nonlinearity": ("leaky_relu", 0.2)},
        {"nonlinearity": ("elu", 0.5)},
        {"nonlinearity": ("thresholded_relu", 0.0)},
        {"clip": 0.5},
    ],
)
def test_one_unit_at_a_kink(options: dict[str, Any]) -> None:
    """One of the steps has z = 0 (or z = clip) exactly, the others do not."""
    net = RNN(1, 1, dtype="float64", bias=False, **options)
    net.forward0.Wc.data, net.forward0.Wr.data = np.ones((1, 1)), np.full((1, 1), 0.5)
    xs = np.array([0.25, -0.125, 2.0, -0.5])[:, None, None]
    state = np.full((1, 1, 1), 0.5 if "clip" in options else -0.5)
    found = verify_bptt(net, xs, state)
    assert found.passed, str(found)
    assert any(row.beside_kink for row in found.rows), str(found)


def at_the_ends_of_a_hard_sigmoid() -> tuple[RNN, Any, Any]:
    """0.25 z + 0.5 is 0, 1 and between, each once."""
    net = RNN(1, 1, dtype="float64", bias=False, nonlinearity=("hard_sigmoid", 0.25, 0.5))
    net.forward0.Wc.data, net.forward0.Wr.data = np.ones((1, 1)), np.zeros((1, 1))
    return net, np.array([0.0, -2.0, 2.0])[:, None, None], np.zeros((1, 1, 1))


def test_implementations_may_take_either_slope_at_a_kink() -> None:
    found = verify_bptt(*at_the_ends_of_a_hard_sigmoid())
    assert found.passed, str(found)
    assert found.largest <= 1e-10
    assert any(row.beside_kink for row in found.rows)


def test_a_wrong_rule_does_not_hide_behind_a_kink(monkeypatch: pytest.MonkeyPatch) -> None:
    right = rnn.rnn_bptt

    def wrong(*args: Any, **options: Any) -> Any:
        dz, *rest = right(*args, **options)
        return dz * 1.001, *rest

    monkeypatch.setattr(rnn, "rnn_bptt", wrong)
    found = verify_bptt(*at_the_ends_of_a_hard_sigmoid())
    assert {row.name for row in found.rows if not row.passed} >= {"forward0.Wc", "xs"}


def test_a_pool_with_equal_maxima() -> None:
    """Of a max over steps that are equal, which is another kink."""
    net = RNN(1, 2, bias=False, dtype="float64")
    net.forward0.Wr.data = np.zeros((2, 2))
    model = ManyToOne(net, mg.nn.Linear(2, 2, dtype="float64"), pool="max")
    found = verify_bptt(model, np.full((3, 1, 1), 0.5), np.zeros((1, 1, 2)))
    assert found.passed, str(found)
    assert any(row.beside_kink for row in found.rows)


def test_kinks_and_rounding_of_a_function() -> None:
    assert has_kink(lambda s: abs(s) + 3 * s)
    assert has_kink(lambda s: max(s - 1e-6, 0.0))
    assert not has_kink(np.sin)
    assert not has_kink(lambda s: 1e6 + np.sin(s))
    assert 5e-12 < rounding_of(lambda s: 1e5 + np.sin(s)) < 1e-10
    assert difference(lambda s: 1e5 + 1e-3 * np.sin(s), 1e-3, 1e-6) <= 1e-6
    assert difference(lambda s: 1e5 + 1e-3 * np.sin(s), 1.001e-3, 1e-6) > 1e-4


def test_the_noise_leaves_inputs_and_parameters(xp: Any) -> None:
    x = mg.tensor(xp.array(np.linspace(-2.0, 2.0, 12).reshape(3, 4)), requires_grad=True)
    before = x.numpy().copy()
    with RoundingNoise(np.random.default_rng(0), mg.backend.get_backend(x.backend)):
        y = mg.tanh(mg.reshape(x, (4, 3)).T + 0.0)
        y.sum().backward()
    np.testing.assert_array_equal(x.numpy(), before)
    exact = np.tanh(before.reshape(4, 3).T)
    gap = np.abs(y.numpy() - exact)
    assert 0 < gap.max() < 2e-15
    np.testing.assert_allclose(x.grad.numpy(), 1 - np.tanh(before) ** 2, atol=3e-15, rtol=0)
