"""The decoder's two roads, whole and step by step: the same values, states, masks and gradients."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import minigrad as mg
from minigrad_rnn import GRU, LSTM, AdditiveAttention, Decoder, DotAttention, Encoder, EncoderDecoder, local_divergence

S, T, B, V, E, H = 5, 4, 3, 6, 3, 4
SOURCE_LENGTHS, TARGET_LENGTHS = [4, 5, 1], [4, 2, 3]


def made(attend: str, network: Any = GRU, additive: bool = False, **options: Any) -> EncoderDecoder:
    rng = np.random.default_rng(0)
    shared: dict[str, Any] = {"network": network, "rng": rng, "dtype": "float64"}
    attention = AdditiveAttention(H, 2 * H, 5, rng=rng, dtype="float64") if additive else DotAttention(H)
    encoder = Encoder(V, E, H, bidirectional=additive, **shared)
    decoder = Decoder(V, E, H, 2, attention=attention, attend=attend, **shared, **options)
    return EncoderDecoder(encoder, decoder, rng=rng, dtype="float64")


def batch() -> tuple[Any, Any]:
    rng = np.random.default_rng(1)
    return rng.integers(0, V, (S, B)), rng.integers(0, V, (T, B))


@pytest.mark.parametrize("options", [{}, {"dropout": 0.4, "recurrent_dropout": 0.4, "zoneout": 0.2}], ids=str)
def test_step_by_step_is_the_whole(options: dict[str, Any]) -> None:
    source, target = batch()
    coins = np.ones((T, B), bool)
    coins[1, 0] = False  # one token of its own, so that it goes step by step, and it is the true one
    whole, _ = made("after", **options)(source, target, SOURCE_LENGTHS)
    target[1, 0] = whole.numpy()[0, 0].argmax()
    whole, weights = made("after", **options)(source, target, SOURCE_LENGTHS)
    stepped, shares = made("after", **options)(source, target, SOURCE_LENGTHS, forced=coins)
    np.testing.assert_allclose(stepped.numpy(), whole.numpy(), atol=1e-13)
    np.testing.assert_allclose(shares.numpy(), weights.numpy(), atol=1e-13)


@pytest.mark.parametrize("attend", ["before", "after"])
@pytest.mark.parametrize("network", [GRU, LSTM])
def test_the_state_is_that_after_each_last_step(network: Any, attend: str) -> None:
    model, (source, target) = made(attend, network), batch()
    for coins in (None, np.ones((T, B), bool), np.zeros((T, B), bool)):
        start = model.start(source, SOURCE_LENGTHS)
        _, _, state = model.decoder(target, start, TARGET_LENGTHS, coins)
        for b, n in enumerate(TARGET_LENGTHS):
            own = model.select(start, [b])
            _, _, alone = model.decoder(target[:n, b : b + 1], own, None, None if coins is None else coins[:n, :1])
            for part, one in zip(state.recurrent, alone.recurrent):
                np.testing.assert_allclose(part.numpy()[:, b], one.numpy()[:, 0], atol=1e-13)


@pytest.mark.parametrize("attend", ["before", "after"])
@pytest.mark.parametrize("network", [GRU, LSTM])
def test_every_parameter_agrees_with_a_difference(network: Any, attend: str) -> None:
    model, (source, target) = made(attend, network, additive=True), batch()
    coins = np.random.default_rng(2).random((T, B)) < 0.5

    def loss() -> Any:
        logits, _ = model(source, target, SOURCE_LENGTHS, TARGET_LENGTHS, coins)
        return local_divergence("cross_entropy", logits, target, TARGET_LENGTHS)

    loss().backward()
    rng = np.random.default_rng(3)
    for name, parameter in model.named_parameters():
        before, way = parameter.numpy(), rng.standard_normal(parameter.shape)
        ends = []
        for step in (1e-6, -1e-6):
            parameter.data = before + step * way
            with mg.no_grad():
                ends.append(loss().item())
        parameter.data = before
        assert parameter.grad is not None
        slope = float((parameter.grad.numpy() * way).sum())
        assert abs(slope - (ends[0] - ends[1]) / 2e-6) < 1e-7, name
        assert np.any(parameter.grad.numpy()), name
