"""Time a training step of the character model: embedding, LSTM, readout, cross-entropy, clipping, Adam.

The sizes and settings are those of examples/char_rnn.py --demo. Each call reads the next chunk of a text and starts
from the detached state that the one before ended in, as in truncated back-propagation through time.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from itertools import cycle
from typing import Any

import numpy as np

from . import character_model
from .character_model import EMBEDDING, VOCABULARY
from .contestant import Contestant, Gradients, Work
from .page import Benchmark, Options, Tables, Target, timing_tables
from .timing import contest

SIZES = [{"T": 64, "B": 32, "H": 256}]
QUICK_SIZES = [{"T": 16, "B": 4, "H": 32}]
LEARNING_RATE, LARGEST_NORM = 8e-3, 1.0
CHUNKS = 16
TORCH = "torch"


def chunks(T: int, B: int) -> list[tuple[Any, Any]]:
    """Return the ids of inputs and targets, (T, B) each, of CHUNKS successive chunks."""
    ids = np.random.default_rng(2).integers(0, VOCABULARY, (CHUNKS * T + 1, B))
    return [(ids[k : k + T], ids[k + 1 : k + T + 1]) for k in range(0, CHUNKS * T, T)]


def named_gradients(named: dict[str, Any], take: Callable[[Any], Any]) -> Callable[[Any], Gradients]:
    """Return a function from the loss to the loss and the parameters' clipped gradients by name, as arrays."""
    return lambda loss: {"loss": take(loss), **{name: take(weight.grad) for name, weight in named.items()}}


def ours(impl: str, T: int, B: int, H: int) -> Work:
    import minigrad as mg
    from minigrad_rnn.networks.truncation import detached

    model, named = character_model.ours(impl, VOCABULARY, EMBEDDING, H)
    parameters = list(model.parameters())
    optimizer = mg.optim.Adam(parameters, lr=LEARNING_RATE)
    text, state = cycle(chunks(T, B)), None

    def run() -> Any:
        nonlocal state
        inputs, targets = next(text)
        logits, state = model(inputs, state)
        loss = mg.cross_entropy(logits, targets)
        optimizer.zero_grad()
        loss.backward()
        mg.optim.clip_grad_norm(parameters, LARGEST_NORM)
        optimizer.step()
        state = detached(state)
        return loss

    return Work(run, named_gradients(named, lambda tensor: tensor.numpy()))


def torch_step(fused_adam: bool, T: int, B: int, H: int) -> Work:
    import torch

    embedding, lstm, readout, named = character_model.torchs(VOCABULARY, EMBEDDING, H)
    parameters = list(named.values())
    optimizer = torch.optim.Adam(parameters, lr=LEARNING_RATE, fused=fused_adam or None)
    text, state = cycle([tuple(map(torch.from_numpy, chunk)) for chunk in chunks(T, B)]), None

    def run() -> Any:
        nonlocal state
        inputs, targets = next(text)
        hs, state = lstm(embedding(inputs), state)
        loss = torch.nn.functional.cross_entropy(readout(hs).reshape(-1, VOCABULARY), targets.reshape(-1))
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(parameters, LARGEST_NORM)
        optimizer.step()
        state = tuple(part.detach() for part in state)
        return loss

    return Work(run, named_gradients(named, lambda tensor: tensor.detach().numpy()))


CONTESTANTS = [
    Contestant("minigrad", partial(ours, "auto"), "minigrad_rnn"),
    Contestant("minigrad NumPy sequence", partial(ours, "fused"), "minigrad_rnn"),
    Contestant(TORCH, partial(torch_step, False), "torch"),
    Contestant("torch, Adam(fused=True)", partial(torch_step, True), "torch"),
]
TARGETS = [Target(TORCH, tuple(size.values()), 1.3) for size in SIZES]


def measure(options: Options) -> Tables:
    sizes = QUICK_SIZES if options.quick else SIZES
    results = contest(CONTESTANTS, sizes, options.plan, options.one_process, options.report)
    return timing_tables(sizes, results, TARGETS, each="step")


BENCHMARK = Benchmark("training_step", measure, ("torch",))
