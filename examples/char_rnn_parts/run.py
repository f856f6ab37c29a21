"""A training run of the character model: truncated back-propagation through time over parallel streams of text.

Read from `Run.train_chunk` onwards.
"""

from __future__ import annotations

import hashlib
import math
import os
from dataclasses import asdict
from typing import Any

import numpy as np

import minigrad as mg
from minigrad import losses, optim, serialize
from minigrad_rnn.networks.truncation import detached
from minigrad_rnn.seq2seq.sampling import sample
from minigrad_rnn.text.corpus import Vocabulary, read_corpus, split
from minigrad_rnn.text.model import CharacterModel, bits_per_character
from minigrad_rnn.text.streams import Streams
from minigrad_rnn.training.arithmetic import arithmetic_of

from .checkpoint import KIND, previous
from .memory import require_memory
from .settings import Settings

WARM_UP = 50
"""Chunks over which the learning rate rises."""
PLAIN_STATE = ("chunks", "characters", "seconds", "curves", "baselines", "losses")
"""Attributes of a run that go into a checkpoint's metadata as they are."""
LARGEST_VOCABULARY = 10_000
"""Characters that the model tells apart unless `--vocabulary-size` says otherwise; the logits grow with them."""


class Text:
    """The training text and the held-out text."""

    def __init__(self, settings: Settings) -> None:
        corpus = read_corpus(settings.text)
        self.description = corpus.description
        self.train, self.held_out = split(corpus, settings.held_out)
        both = f"{len(self.train)}\n{self.train}{self.held_out}"
        self.fingerprint = hashlib.sha256(both.encode(errors="surrogatepass")).hexdigest()


def require_finite(chunk: int, loss: float, norm: float) -> None:
    """Raise FloatingPointError, naming the chunk, if the loss or the gradients' norm is NaN or infinite."""
    if not math.isfinite(loss) or not math.isfinite(norm):
        raise FloatingPointError(
            f"chunk {chunk:,}: the loss is {loss:g} and the gradients' norm {norm:g}; a lower --learning-rate or "
            "--clip may help"
        )


class Run:
    """A model in training, with everything that determines how training continues."""

    def __init__(self, settings: Settings, text: Text, backend: str, vocabulary: Vocabulary | None = None) -> None:
        self.settings, self.fingerprint = settings, text.fingerprint
        most = settings.vocabulary_size or LARGEST_VOCABULARY
        self.vocabulary = vocabulary or Vocabulary.from_text(text.train, max_size=most)
        require_memory(settings, len(self.vocabulary), len(text.train))
        self.held_out = self.vocabulary.encode(text.held_out)
        self.rng = np.random.default_rng(settings.seed)  # weights and dropout
        self.sampling = np.random.default_rng([settings.seed, 1])
        self.model = make_model(settings, self.vocabulary, self.rng).to(backend)
        self.optimizer = optim.Adam(self.model.parameters(), lr=settings.learning_rate)
        ids = self.vocabulary.encode(text.train)
        self.streams = Streams(ids, settings.batch_size, settings.steps, rotate=True, seed=settings.seed)
        if self.held_out.size < 2:
            raise ValueError(f"--held-out: leaves {self.held_out.size} characters to measure on, want at least 2")
        self.state: Any = None
        self.saved: str | None = None  # the path of this run's checkpoint
        self.chunks, self.characters, self.seconds = 0, 0, 0.0
        self.curves: dict[str, list[list[float]]] = {"training": [], "held out": []}  # [characters read, bits]
        self.baselines: dict[str, float] = {}
        self.pending: list[Any] = []  # losses and norms that are still on the device
        self.losses: list[float] = []  # those fetched since the last point of the training curve

    def train_chunk(self) -> None:
        """Read one chunk, back-propagate through it, and take one step."""
        inputs, targets, fresh = self.streams.next_chunk()
        for group in self.optimizer.param_groups:
            group["lr"] = self.learning_rate()
        logits, state = self.model(inputs, None if fresh else self.state)
        loss = losses.cross_entropy(logits, targets)
        self.optimizer.zero_grad()
        loss.backward()
        norm = optim.clip_grad_norm(self.model.parameters(), self.settings.clip)
        if loss.backend == "numpy":  # nothing to synchronise with, so check before the step spoils the weights
            require_finite(self.chunks + 1, float(loss), float(norm))
        self.optimizer.step()
        self.state = detached(state)  # the next chunk continues from here; gradients stop here
        self.pending.append(mg.stack([loss.detach(), norm]))
        self.chunks += 1
        self.characters += targets.size

    def fraction_done(self) -> float:
        """How much of the budget is used, from 0 to 1."""
        s = self.settings
        if s.seconds is not None:
            return min(1.0, self.seconds / s.seconds)
        budget = s.chunks or (s.epochs or 1) * len(self.streams)
        return min(1.0, self.chunks / (math.ceil(budget) if budget < math.inf else budget))

    def learning_rate(self) -> float:
        """A linear warm-up; then half a cosine over the budget, down to 2 %, or a constant."""
        full = self.settings.learning_rate * min(1.0, (self.chunks + 1) / WARM_UP)
        if self.settings.schedule == "constant":
            return full
        return full * (0.02 + 0.98 * (1 + math.cos(math.pi * self.fraction_done())) / 2)

    def fetch(self) -> None:
        """Bring the losses to the host: the only place where training synchronises with a device.

        Raises:
            FloatingPointError: a loss or a gradient's norm is NaN or infinite.
        """
        values = mg.stack(self.pending).numpy().tolist() if self.pending else []
        first = self.chunks - len(values) + 1
        for chunk, (loss, norm) in enumerate(values, first):
            require_finite(chunk, loss, norm)
        self.losses += [loss for loss, _ in values]
        self.pending.clear()

    def report(self) -> float:
        """Add a point to the training curve: bits per character, mean over the chunks since the last point."""
        self.fetch()
        bits = sum(self.losses) / len(self.losses) / math.log(2)
        self.curves["training"].append([self.characters, bits])
        self.losses.clear()
        return bits

    def evaluate(self, limit: int | None) -> float:
        """Add a point to the held-out curve."""
        bits = bits_per_character(self.model, self.held_out, limit=limit)
        self.curves["held out"].append([self.characters, bits])
        return bits

    def sample(self) -> str:
        """Return a sample, with the prime in front."""
        self.fetch()  # stops here if the model has diverged
        return sample_text(self.settings, self.model, self.vocabulary, self.sampling).strip("\n")

    def save(self, path: str) -> None:
        """Write everything that determines how training continues to one file, atomically.

        Another run's file is moved away only when the new one is complete.
        """
        self.fetch()
        parts = self.state if isinstance(self.state, tuple) else [] if self.state is None else [self.state]
        tree = {"model": self.model.state_dict(), "optimizer": self.optimizer.state_dict(), "state": list(parts)}
        arrays, plain = serialize.flatten(tree)
        metadata = {
            "kind": KIND,
            "settings": asdict(self.settings),
            "vocabulary": self.vocabulary.state_dict(),
            "tree": plain,
            "streams": self.streams.state_dict(),
            "arithmetic": arithmetic_of(self.model),
            "generators": [rng.bit_generator.state for rng in (self.rng, self.sampling)],
            **{name: getattr(self, name) for name in ("fingerprint", *PLAIN_STATE)},
        }
        serialize.save(path, arrays, metadata, keep_as=None if self.owns(path) else previous(path))
        self.saved = os.path.realpath(path)

    def owns(self, path: str) -> bool:
        """Whether the file at `path` is this run's checkpoint or does not exist yet."""
        return self.saved == os.path.realpath(path) or not os.path.exists(path)

    def restore(self, arrays: dict[str, Any], metadata: dict[str, Any], backend: str) -> None:
        """Load what `save` wrote. Raises ValueError, KeyError or TypeError if it wrote something else."""
        tree = serialize.unflatten(arrays, metadata["tree"])
        self.model.load_state_dict(tree["model"])
        self.optimizer.load_state_dict(tree["optimizer"])
        names = self.model.recurrence.cell_type.state_names
        shape = (self.settings.layers, self.settings.batch_size, self.settings.hidden_size)
        shapes = [part.shape for part in tree["state"]]
        if shapes not in ([], [shape] * len(names)):
            raise ValueError(f"state: got arrays of shapes {shapes}, want {shape} for each of {', '.join(names)}")
        if any(part.dtype != "float32" for part in tree["state"]):
            raise ValueError(f"state: got {[str(part.dtype) for part in tree['state']]}, want float32")
        parts = tuple(mg.tensor(part, backend=backend) for part in tree["state"])
        self.state = parts if len(parts) > 1 else parts[0] if parts else None
        self.streams.load_state_dict(metadata["streams"])
        self.rng.bit_generator.state, self.sampling.bit_generator.state = metadata["generators"]
        for name in PLAIN_STATE:
            setattr(self, name, metadata[name])


def make_model(settings: Settings, vocabulary: Vocabulary, rng: np.random.Generator) -> CharacterModel:
    s = settings
    return CharacterModel(len(vocabulary), s.cell, s.embedding_size, s.hidden_size, s.layers, s.dropout, rng=rng)


def encode_prime(settings: Settings, vocabulary: Vocabulary) -> tuple[str, Any]:
    """Return the text that a sample begins with, and its ids."""
    known = vocabulary.characters
    prime = settings.prime or ("\n" if "\n" in known else known[0])
    if unknown := sorted(set(prime) - set(known)):
        raise ValueError(f"--prime: got {', '.join(map(repr, unknown))}, want characters that the training text has")
    return prime, vocabulary.encode(prime)


def sample_text(settings: Settings, model: CharacterModel, vocabulary: Vocabulary, rng: np.random.Generator) -> str:
    """Return the prime and what the model writes after it."""
    prime, ids = encode_prime(settings, vocabulary)
    sampled, _ = sample(model, ids, settings.sample_length, temperature=settings.temperature, rng=rng)
    return prime + vocabulary.decode(sampled)
