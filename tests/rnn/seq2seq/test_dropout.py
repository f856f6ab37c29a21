"""Dropout of an encoder's and a decoder's embeddings and outputs: where it acts, and that evaluation knows none."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import minigrad as mg
from minigrad_rnn import GRU, Decoder, DotAttention, Encoder, EncoderDecoder

S, B, V, E, H = 9, 5, 7, 6, 8
IDS = np.random.default_rng(0).integers(0, V, (S, B))


def model(p: float, q: float, attend: str = "after") -> EncoderDecoder:
    shared: dict[str, Any] = {"network": GRU, "rng": np.random.default_rng(1), "dtype": "float64"}
    dropout = {"embedding_dropout": p, "output_dropout": q}
    decoder = Decoder(V, E, H, attention=DotAttention(H), attend=attend, **shared, **dropout)
    return EncoderDecoder(Encoder(V, E, H, **shared, **dropout), decoder, rng=2, dtype="float64")


def test_a_dropped_feature_gets_no_gradient() -> None:
    encoder = Encoder(None, E, H, network=GRU, rng=0, dtype="float64", embedding_dropout=0.5)
    source = mg.tensor(np.ones((S, B, E)), requires_grad=True)
    encoder(source)[0].sum().backward()
    dropped = source.grad.numpy() == 0
    assert 0.35 < dropped.mean() < 0.65
    assert np.ptp(dropped.sum(axis=2)) > 0  # another one at every step


def test_the_memory_is_scaled_or_zero_and_the_state_is_whole() -> None:
    encoder = Encoder(V, E, H, network=GRU, rng=0, dtype="float64", output_dropout=0.25)
    memory, state = encoder(IDS)
    whole, same = encoder.eval()(IDS)
    kept = memory.numpy() != 0
    np.testing.assert_allclose(memory.numpy()[kept], whole.numpy()[kept] / 0.75, atol=1e-12)
    assert 0.15 < 1 - kept.mean() < 0.35
    np.testing.assert_array_equal(state.numpy(), same.numpy())


@pytest.mark.parametrize("attend", ["before", "after"])
def test_a_decoder_drops_what_it_reads_and_what_its_readout_reads(attend: str) -> None:
    for p, q, name in ((0.999, 0.0, "decoder.embedding.weight"), (0.0, 0.999, "decoder.readout.weight")):
        net = model(p, q, attend)
        assert np.abs(net.decoder.embedding.weight.numpy()).min() > 0
        net(IDS, IDS)[0].sum().backward()
        gradient = dict(net.named_parameters())[name].grad.numpy()
        assert (gradient == 0).mean() > 0.5, name
        assert all(np.isfinite(p.grad.numpy()).all() for p in net.parameters())


@pytest.mark.parametrize("attend", ["before", "after"])
def test_evaluation_drops_nothing_and_a_seed_repeats_training(attend: str) -> None:
    trained, again, plain = model(0.4, 0.4, attend), model(0.4, 0.4, attend), model(0.0, 0.0, attend)
    first, second = (net(IDS, IDS)[0].numpy() for net in (trained, again))
    np.testing.assert_array_equal(first, second)
    assert not np.array_equal(trained(IDS, IDS)[0].numpy(), first)
    np.testing.assert_array_equal(trained.eval()(IDS, IDS)[0].numpy(), plain(IDS, IDS)[0].numpy())


def test_probabilities_that_are_none() -> None:
    with pytest.raises(ValueError, match=r"Encoder: output_dropout: got 1.0, want a number in \[0, 1\)"):
        Encoder(V, E, H, output_dropout=1.0)
    with pytest.raises(ValueError, match=r"Decoder: embedding_dropout: got -0.1"):
        Decoder(V, E, H, embedding_dropout=-0.1)
