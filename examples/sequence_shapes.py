"""Train each of the five shapes of input and output for a few seconds on a small task made up for it.

Run it: python examples/sequence_shapes.py [training steps]
"""

import argparse
from collections.abc import Callable
from typing import Any

import numpy as np

import minigrad as mg
import minigrad_rnn as mr
from minigrad import losses, nn, optim

parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
parser.add_argument("steps", type=int, nargs="?", default=300, help="training steps of each (%(default)s)")
STEPS = parser.parse_args().steps
rng = np.random.default_rng(0)


def train(model: nn.Module, draw: Callable[[int], Any], loss: Callable[..., mg.Tensor], lr: float = 0.01) -> None:
    optimizer = optim.Adam(model.parameters(), lr=lr)
    for _ in range(STEPS):
        optimizer.zero_grad()
        loss(*draw(64)).backward()
        optim.clip_grad_norm(model.parameters(), 1.0)
        optimizer.step()


def one_to_one() -> str:
    """A point of the plane → whether it lies in the unit circle."""
    model = mr.OneToOne(None, nn.Sequential(nn.Linear(2, 24, rng=rng), nn.Tanh(), nn.Linear(24, 2, rng=rng)))

    def draw(n: int) -> Any:
        x = rng.uniform(-1.5, 1.5, (n, 2)).astype("float32")
        return mg.tensor(x), (np.square(x).sum(1) < 1).astype(int)

    train(model, draw, lambda x, inside: losses.cross_entropy(model(x)[0], inside))
    x, inside = draw(2000)
    return f"{np.mean(model(x)[0].numpy().argmax(1) == inside):.1%} of new points right"


def one_to_many() -> str:
    """A phase and a speed → sixteen points of a sine wave. Each point is the input of the next step."""
    feedback = nn.Linear(1, 2, rng=rng)
    model = mr.OneToMany(mr.GRU(2, 32, rng=rng), nn.Linear(32, 1, rng=rng), feedback=feedback)

    def draw(n: int) -> Any:
        x = rng.uniform((0, 0.3), (3, 0.8), (n, 2)).astype("float32")
        return x, np.sin(x[:, 0] + np.arange(16)[:, None] * x[:, 1])[:, :, None]

    train(model, draw, lambda x, wave: mr.local_divergence("squared_error", model(x, 16)[0], wave))
    x, wave = draw(500)
    error = np.sqrt(np.mean((model(x, 16)[0].numpy() - wave) ** 2))
    return f"error {error:.3f} (root mean square; predicting 0 gives 0.7)"


def bits(n: int) -> Any:
    """Sequences of ±1, (8, n, 1), of which 3 to 8 steps count, and their lengths."""
    return rng.choice([-1, 1], (8, n, 1)).astype("float32"), rng.integers(3, 9, n)


def many_to_one() -> str:
    """A sequence of ±1 → whether its first and its last element are the same."""
    model = mr.ManyToOne(mr.GRU(1, 24, bidirectional=True, rng=rng), nn.Linear(48, 2, rng=rng))

    def draw(n: int) -> Any:
        xs, lengths = bits(n)
        return xs, lengths, (xs[0, :, 0] == xs[lengths - 1, np.arange(n), 0]).astype(int)

    train(model, draw, lambda xs, lengths, same: losses.cross_entropy(model(xs, lengths=lengths), same))
    xs, lengths, same = draw(1000)
    return f"{np.mean(model(xs, lengths=lengths).numpy().argmax(1) == same):.1%} of new sequences right"


def many_to_many_delayed() -> str:
    """A word of 2 to 5 letters → the word reversed, with attention. Token 0 begins and ends."""
    encoder = mr.Encoder(6, 12, 24, bidirectional=True, network=mr.GRU, rng=rng)
    attention = mr.GeneralAttention(32, 48, rng=rng)
    model = mr.EncoderDecoder(encoder, mr.Decoder(6, 12, 32, network=mr.GRU, attention=attention, rng=rng), rng=rng)

    def draw(n: int) -> Any:
        source, lengths, target = rng.integers(1, 6, (5, n)), rng.integers(2, 6, n), np.zeros((6, n), int)
        for b, k in enumerate(lengths):
            target[:k, b] = source[:k, b][::-1]
        return source, lengths, target

    def loss(source: Any, lengths: Any, target: Any) -> mg.Tensor:
        previous = np.concatenate([np.zeros_like(target[:1]), target[:-1]])
        logits, _ = model(source, previous, lengths, lengths + 1)
        return mr.local_divergence("cross_entropy", logits, target, lengths + 1)

    train(model, draw, loss)
    source, lengths, target = draw(200)
    results = mr.beam_search(model, model.start(source, lengths), 200, begin=0, end=0, max_length=8, beam_width=3)
    right = [h[0].tokens == [*target[:k, b], 0] for b, (h, k) in enumerate(zip(results, lengths))]
    return f"{np.mean(right):.1%} of new words right in every letter"


def many_to_many_synchronous() -> str:
    """A sequence of ±1 → at each step, whether the number of +1 so far is odd."""
    model = mr.ManyToMany(mr.GRU(1, 24, rng=rng), nn.Linear(24, 2, rng=rng))

    def loss(xs: Any, lengths: Any) -> mg.Tensor:
        odd = (xs[:, :, 0] > 0).cumsum(0) % 2
        return mr.local_divergence("cross_entropy", model(xs, lengths=lengths)[0], odd, lengths)

    train(model, bits, loss, lr=0.02)
    xs, lengths = bits(1000)
    right = model(xs, lengths=lengths)[0].numpy().argmax(-1) == (xs[:, :, 0] > 0).cumsum(0) % 2
    return f"{right[np.arange(8)[:, None] < lengths].mean():.1%} of new steps right"


for shape in (one_to_one, one_to_many, many_to_one, many_to_many_delayed, many_to_many_synchronous):
    print(f"{shape.__name__:25} {shape()}", flush=True)
