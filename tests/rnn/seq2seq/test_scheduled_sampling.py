"""What a decoder is fed under scheduled sampling: the truth, its own most probable token, or a drawn one."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from minigrad import losses
from minigrad_rnn import EncoderDecoder, TeacherForcing, constant_schedule
from minigrad_rnn.seq2seq.sampling import draw
from tests.rnn.seq2seq.test_encoder_decoder import LENGTHS, B, T, batch, network_model


@pytest.mark.parametrize("attend", ["before", "after"])
def test_scheduled_sampling_feeds_its_most_probable_tokens(attend: str, xp: Any) -> None:
    source, target = batch()
    model = network_model("gru", "additive", attend).to(xp.name)
    coins = TeacherForcing(constant_schedule(0.5), np.random.default_rng(0)).draw(0, T, B)
    assert coins[1:].any()
    assert not coins[1:].all()

    def run(fed: Any, forced: Any) -> tuple[Any, list[Any]]:
        model.zero_grad()
        logits, _ = model(source, fed, LENGTHS, forced=forced)
        losses.cross_entropy(logits, target).backward()
        return logits.numpy(), [p.grad.numpy() for p in model.parameters()]

    logits, grads = run(target, coins)
    own = np.concatenate([target[:1], logits.argmax(-1)[:-1]])
    coins[0] = True
    again, expected = run(np.where(coins, target, own), None)
    np.testing.assert_allclose(logits, again, atol=1e-12)
    for mine, other in zip(grads, expected):
        np.testing.assert_allclose(mine, other, atol=1e-12)
    always, _ = run(target, np.ones((T, B), bool))
    np.testing.assert_allclose(always, run(target, None)[0], atol=1e-12)


class At(np.random.Generator):
    """A generator that gives one number."""

    def __init__(self, u: float) -> None:
        super().__init__(np.random.PCG64(0))
        self.u = u

    def random(self, *_: Any, **__: Any) -> Any:
        return self.u


@pytest.mark.parametrize("attend", ["before", "after"])
def test_scheduled_sampling_feeds_what_it_draws(attend: str, xp: Any) -> None:
    """From the model's own distribution, as `sampling.draw` does it with the same numbers."""
    source, target = batch()
    model, rng = network_model("gru", "additive", attend).to(xp.name), np.random.default_rng(4)
    coins, draws = rng.random((T, B)) < 0.3, rng.random((T, B))
    draws[1, 0], draws[2, 0] = 0, np.nextafter(1, 0)  # the first token and the last one that may come
    logits, _ = model(source, target, LENGTHS, forced=coins, draws=draws)
    fed = target.copy()
    for t, b in zip(*np.nonzero(~coins)):
        if t:
            fed[t, b] = draw(logits.numpy()[t - 1, b], rng=At(draws[t, b]))
    again, _ = model(source, fed, LENGTHS)
    np.testing.assert_allclose(logits.numpy(), again.numpy(), atol=1e-12)
    likeliest, _ = model(source, target, LENGTHS, forced=coins)
    assert np.abs(likeliest.numpy() - logits.numpy()).max() > 1e-3
    batch_first_model = EncoderDecoder(model.encoder, model.decoder, model.bridge or "copy", batch_first=True)
    got, _ = batch_first_model(source.T.copy(), target.T.copy(), LENGTHS, forced=coins.T, draws=draws.T)
    np.testing.assert_allclose(got.numpy().swapaxes(0, 1), logits.numpy(), atol=1e-12)
