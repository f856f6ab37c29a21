"""Train the same character model on the same text in minigrad, in torch and in plain NumPy; compare losses and speed.

Beside torch: the demo's model and settings on the standard library's code, from the same weights, for 200 steps; the
losses of each step are compared, in bits per character. Beside plain NumPy: an RNN that is fed one-hot characters
by a loop over time, with its backward pass written out, Adagrad and gradients clipped entry by entry, as in Karpathy's
"The unreasonable effectiveness of recurrent neural networks" (2015), which many have begun with.
"""

from __future__ import annotations

import importlib.util
import math
from collections.abc import Callable, Iterator
from functools import cache, partial
from typing import Any, NamedTuple

import numpy as np

from . import character_model
from .character_model import EMBEDDING, VOCABULARY
from .contestant import Contestant, Work
from .page import Benchmark, Options, Tables, Target, timing_tables
from .plain_rnn import NAMES, PlainRNN
from .timing import contest

STEPS, QUICK_STEPS = 200, 3
MOST_DIFFERENCE = 1e-3
"""The largest wanted difference of two losses of the same step, in bits per character."""
STREAMS = {"T": 64, "B": 32, "H": 256}
PLAIN = {"T": 25, "B": 1, "H": 100}
QUICK = {"T": 8, "B": 2, "H": 16}
PLAIN_SIZES = [PLAIN, {"T": 25, "B": 32, "H": 100}]
LEARNING_RATE, WARM_UP, LARGEST_NORM = 8e-3, 50, 1.0
ADAGRAD_RATE, LARGEST_ENTRY = 0.1, 5.0


@cache
def ids_of_code() -> Any:
    """The characters of the first million of the standard library's code as integers below V, the rarest as one."""
    from minigrad_rnn.text import Vocabulary, read_corpus

    text = read_corpus(None).text[:1_000_000]
    return Vocabulary.from_text(text, max_size=VOCABULARY).encode(text).astype(np.int64)


def chunks(T: int, B: int) -> Iterator[tuple[Any, Any]]:
    """Inputs and targets, (T, B) each, of successive chunks of B streams, without end."""
    from minigrad_rnn.text.streams import Streams

    streams = Streams(ids_of_code(), B, T, drop_last=True)
    while True:
        inputs, targets, _ = streams.next_chunk()
        yield inputs, targets


def learning_rate(step: int) -> float:
    """The warm-up of the demo and then half a cosine over the steps."""
    rise = min(1.0, (step + 1) / WARM_UP)
    return LEARNING_RATE * rise * (0.02 + 0.98 * (1 + math.cos(math.pi * step / STEPS)) / 2)


# The demo's model, beside torch


def our_steps(T: int, B: int, H: int) -> Iterator[float]:
    """Train minigrad's character model; the loss of each step in nats."""
    import minigrad as mg
    from minigrad_rnn.networks.truncation import detached

    model, _ = character_model.ours("auto", VOCABULARY, EMBEDDING, H)
    optimizer, state = mg.optim.Adam(model.parameters(), lr=LEARNING_RATE), None
    for step, (inputs, targets) in enumerate(chunks(T, B)):
        optimizer.param_groups[0]["lr"] = learning_rate(step)
        logits, state = model(inputs, state)
        loss = mg.cross_entropy(logits, targets)
        optimizer.zero_grad()
        loss.backward()
        mg.optim.clip_grad_norm(model.parameters(), LARGEST_NORM)
        optimizer.step()
        state = detached(state)
        yield float(loss.detach())


def torch_steps(T: int, B: int, H: int, nudged: bool = False) -> Iterator[float]:
    """Train torch's; the loss of each step in nats. `nudged` moves the embedding's numbers by their last bit."""
    import torch

    embedding, lstm, readout, named = character_model.torchs(VOCABULARY, EMBEDDING, H)
    if nudged:
        with torch.no_grad():
            embedding.weight.mul_(1 + 2.0**-23)
    optimizer, state = torch.optim.Adam(named.values(), lr=LEARNING_RATE), None
    for step, (inputs, targets) in enumerate(chunks(T, B)):
        optimizer.param_groups[0]["lr"] = learning_rate(step)
        hs, state = lstm(embedding(torch.from_numpy(inputs)), state)
        logits = readout(hs).reshape(-1, VOCABULARY)
        loss = torch.nn.functional.cross_entropy(logits, torch.from_numpy(targets).reshape(-1))
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(list(named.values()), LARGEST_NORM)
        optimizer.step()
        state = tuple(part.detach() for part in state)
        yield float(loss.detach())


# A plain RNN, beside plain NumPy


def our_plain_steps(T: int, B: int, H: int) -> Iterator[float]:
    """Train an RNN from one-hot characters in minigrad, with the weights and the optimizer of `PlainRNN`."""
    import minigrad as mg
    from minigrad import nn
    from minigrad_rnn import RNN
    from minigrad_rnn.networks.truncation import detached

    plain = PlainRNN(VOCABULARY, H)
    rnn, readout = RNN(VOCABULARY, H, dtype="float64"), nn.Linear(H, VOCABULARY, dtype="float64")
    cell = rnn.forward0
    for parameter, name in zip((cell.Wc, cell.Wr, cell.b, readout.weight, readout.bias), NAMES, strict=True):
        parameter.data = plain.weights[name]
    one_hot, trained = np.eye(VOCABULARY), [*rnn.parameters(), *readout.parameters()]
    optimizer, state = mg.optim.Adagrad(trained, lr=ADAGRAD_RATE, eps=1e-8), None
    for inputs, targets in chunks(T, B):
        hs, state = rnn(one_hot[inputs], state)
        loss = mg.cross_entropy(readout(hs), targets, reduction="sum") / B
        optimizer.zero_grad()
        loss.backward()
        mg.optim.clip_grad_value(trained, LARGEST_ENTRY)
        optimizer.step()
        state = detached(state)
        yield float(loss) / T


def plain_steps(T: int, B: int, H: int) -> Iterator[float]:
    """Train `PlainRNN`; the loss of each step in nats."""
    model, h = PlainRNN(VOCABULARY, H), np.zeros((H, B))
    for inputs, targets in chunks(T, B):
        loss, gradients, h = model.backward(inputs, targets, h)
        model.adagrad(gradients, ADAGRAD_RATE, LARGEST_ENTRY)
        yield loss / T


# Losses side by side


class Difference(NamedTuple):
    """How far two curves of losses are apart, in bits per character, and where they end."""

    largest: float
    mean: float
    last: tuple[float, float]


def difference(ours: Iterator[float], theirs: Iterator[float], steps: int) -> Difference:
    """Compare the losses of so many steps."""
    pairs = np.array([(next(ours), next(theirs)) for _ in range(steps)]) / math.log(2)
    apart = np.abs(pairs[:, 0] - pairs[:, 1])
    return Difference(float(apart.max()), float(apart.mean()), (float(pairs[-1, 0]), float(pairs[-1, 1])))


def in_words(apart: Difference, steps: int, rounding: Difference | None = None) -> str:
    """One sentence about a difference, with the target; another about what rounding makes of torch alone."""
    met = "" if apart.largest <= MOST_DIFFERENCE else ", **missed**"
    of_torch = "" if rounding is None else (
        f" torch beside itself, from weights that differ in the last bit: {rounding.largest:.1e} at most, "
        f"{rounding.mean:.1e} in the mean."
    )  # fmt: skip
    return (
        f"Over {steps} steps the losses of minigrad and torch differ by at most {apart.largest:.1e} bits per character "
        f"(target: {MOST_DIFFERENCE:g}{met}) and by {apart.mean:.1e} in the mean; the last ones are "
        f"{apart.last[0]:.4f} and {apart.last[1]:.4f}.{of_torch}"
    )


# Speed


def timed(steps: Callable[..., Iterator[float]], **size: int) -> Work:
    """A step of training as the work of a contestant; it is compared by the first step's loss."""
    curve = steps(**size)
    return Work(lambda: next(curve), lambda loss: {"loss": np.asarray(loss)})


def contestant(name: str, steps: Callable[..., Iterator[float]], package: str) -> Contestant:
    return Contestant(name, partial(timed, steps), package)


BESIDE_TORCH = [contestant("minigrad", our_steps, "minigrad_rnn"), contestant("torch", torch_steps, "torch")]
BESIDE_NUMPY = [
    contestant("minigrad", our_plain_steps, "minigrad_rnn"),
    contestant("plain NumPy", plain_steps, "numpy"),
]
TARGETS = [Target("torch", tuple(STREAMS.values()), 1.3), Target("plain NumPy", tuple(PLAIN.values()), 5.0)]


def measure(options: Options) -> Tables:
    steps, parts, quiet = QUICK_STEPS if options.quick else STEPS, [], True
    for title, two, sizes in (
        ("The demo's model, beside torch", BESIDE_TORCH, [STREAMS]),
        ("An RNN fed by one-hot characters, beside plain NumPy, in float64", BESIDE_NUMPY, PLAIN_SIZES),
    ):
        options.report(title)
        results = contest(two, [QUICK] if options.quick else sizes, options.plan, options.one_process, options.report)
        tables = timing_tables(
            [QUICK] if options.quick else sizes, results, TARGETS, each="step", compared="first losses"
        )
        parts += [f"**{title}.**", tables.text]
        quiet = quiet and tables.quiet
    if importlib.util.find_spec("torch"):
        options.report("losses side by side")
        size = QUICK if options.quick else STREAMS
        rounding = difference(torch_steps(**size, nudged=True), torch_steps(**size), steps)
        parts.append(in_words(difference(our_steps(**size), torch_steps(**size), steps), steps, rounding))
    else:
        parts.append("The losses were not compared: torch is not installed.")
    return Tables("\n\n".join(parts), quiet)


BENCHMARK = Benchmark("loss_curves", measure, ("torch",))
