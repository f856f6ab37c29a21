"""`Run` trains a character model: truncated back-propagation through time over parallel streams of text."""

from __future__ import annotations

import math
import os
import shlex
import sys
from dataclasses import asdict
from typing import Any

import numpy as np

import minigrad as mg
from minigrad import Tensor, losses, optim
from minigrad.distributed import Communicator, DataParallel
from minigrad.pytree import tree_map
from minigrad_rnn.text.model import CharacterModel, bits_per_character
from minigrad_rnn.text.streams import Chunk, Streams
from minigrad_rnn.training import Trainer
from minigrad_rnn.training.loss_curve import save_loss_curve
from minigrad_rnn.training.run_folder import CHECKPOINT

from .memory import require_memory
from .model import KIND, Saved, make_model, sample_text
from .report import baselines_of, compare, format_count, framed
from .settings import Command, Settings
from .text import Text, unknown_ids

WARM_UP = 50
"""Chunks over which the learning rate rises."""
BITS = "bits per character"


class Run(Trainer):
    """A character model in training."""

    def __init__(
        self, settings: Settings, text: Text, command: Command, folder: str, saved: Saved | None = None,
        communicator: Communicator | None = None,
    ) -> None:  # fmt: skip
        s, self.settings, self.text = settings, settings, text
        self.vocabulary = saved.vocabulary if saved else text.vocabulary(s)
        require_memory(s, len(self.vocabulary), len(text.train))
        self.sampling, self.resets = (np.random.default_rng([s.seed, purpose]) for purpose in (1, 2))
        model = make_model(s, self.vocabulary, np.random.default_rng(s.seed)).to(command.backend)
        ids, self.held_out = self.vocabulary.encode(text.train), self.vocabulary.encode(text.held_out)
        stream: Any = Streams(ids, s.batch_size, s.steps, rotate=True, seed=s.seed)
        self.shared = None if communicator is None else DataParallel(model, communicator)
        if self.shared is not None:
            stream = self.shared.shard(stream)
        if self.held_out.size < 2:
            raise ValueError(f"--held-out: leaves {self.held_out.size} characters to measure on, want at least 2")
        self.unknown_share = float(np.isin(ids, unknown_ids(self.vocabulary)).mean())
        self.steps_per_character = self.held_out.size / len(text.held_out)  # 1, unless bytes or words are read
        self.measured: tuple[int, float] = (-1, 0.0)  # the update at which all of the text was measured, and the bits
        self.drawn = False
        super().__init__(
            model,
            optim.Adam(model.parameters(), lr=s.learning_rate),
            stream,
            self.cross_entropy,
            schedule=lambda trainer: self.rate(),
            clip_norm=s.clip,
            evaluate=self.measure,
            evaluate_every=min(s.evaluate_every, sys.maxsize),
            tokens=lambda chunk: chunk.targets.size,
            folder=folder,
            save_every=min(s.save_every, sys.maxsize),
            generators=[self.sampling, self.resets],
            metadata={
                "kind": KIND,
                "settings": asdict(s),
                "vocabulary": self.vocabulary.state_dict(),
                "fingerprint": text.fingerprint,
                "baselines": saved.baselines if saved else {},
            },
            parallel=self.shared,
            report_every=min(s.report_every, sys.maxsize),
            after_update=lambda trainer: self.show_sample(),
            resume_command=shlex.join(["python", sys.argv[0], "--resume", os.path.join(folder, CHECKPOINT)]),
        )

    def cross_entropy(self, model: CharacterModel, chunk: Chunk, state: Any) -> tuple[Tensor, Any]:
        """The mean cross-entropy of the next character, and the state from which the next chunk continues.

        Now and then a stream begins a chunk with an empty memory. Otherwise the model would know only the states after
        thousands of characters, and could not begin a sample.
        """
        empty = np.asarray(self.resets.random(chunk.inputs.shape[1])) < self.settings.reset
        if state is not None and empty.any():
            keep = (~empty).astype("float32")[:, None]
            state = tree_map(lambda part: part * mg.tensor(keep, backend=part.backend), state)
        logits, state = model(chunk.inputs, state)
        return losses.cross_entropy(logits, chunk.targets), state

    def rate(self) -> float:
        """The learning rate: a linear warm-up; then half a cosine over the budget, down to 2 %, or a constant."""
        full: float = self.settings.learning_rate * min(1.0, (self.updates + 1) / WARM_UP)
        if self.settings.schedule == "constant":
            return full
        return full * (0.02 + 0.98 * (1 + math.cos(math.pi * self.fraction_done)) / 2)

    def measure(self, model: Any, *, alone: bool = False) -> dict[str, float]:
        """Bits per character on the beginning of the held-out text; on all of it at the end of the run.

        `alone`: on all of it, by this rank without the others.
        """
        everything = alone or self.fraction_done >= 1
        limit = None if everything else self.settings.evaluate_characters
        if self.shared is None or alone:
            bits = bits_per_character(model, self.held_out, limit=limit)
        else:  # each rank measures its part
            rank, size = self.shared.rank, self.shared.size
            part = self.held_out[rank * self.held_out.size // size : (rank + 1) * self.held_out.size // size]
            bits = bits_per_character(model, part, limit=limit and max(1, limit // size))
            bits = self.shared.mean(bits, part.size)
        bits *= self.steps_per_character
        if everything:
            self.measured = self.updates, bits
        return {BITS: bits}

    def show_sample(self) -> None:
        """Print a sample, if one is due."""
        s = self.settings
        if s.sample_length and self.updates % s.sample_every == 0 and self.parallel.rank == 0:
            self.fetch()  # stops here if the model has diverged
            self.write(framed(self.sample()))

    def sample(self) -> str:
        """Return a sample, with the prime in front."""
        return sample_text(self.settings, self.model, self.vocabulary, self.sampling).strip("\n")

    @property
    def read(self) -> float:
        """How many characters, bytes or words all ranks have read."""
        return max((line.get("tokens", 0) for line in self.history), default=0)

    def baselines(self) -> dict[str, float]:
        """Return what the model is compared with; it is counted once, and kept in the checkpoint."""
        if not self.metadata["baselines"]:
            self.metadata["baselines"] = baselines_of(self.text, self.vocabulary)
        baselines: dict[str, float] = self.metadata["baselines"]
        return baselines

    def plot(self, path: str | os.PathLike[str]) -> None:
        """Draw bits per character over the characters read, with the baselines."""
        s = self.settings
        unit, size = ("million", 1e6) if self.read >= 1e6 else ("thousand", 1e3)
        bits = self.steps_per_character / math.log(2)  # in a nat for each step
        lines = [(line["tokens"], line) for line in self.history if "tokens" in line]
        curves = {
            "training": [(x / size, line["loss"] * bits) for x, line in lines if "loss" in line],
            "held out": [(x / size, line[BITS]) for x, line in lines if BITS in line],
        }
        title = f"{s.cell.upper()}: {s.layers} × {s.hidden_size} units, {self.model.num_parameters():,} weights"
        save_loss_curve(path, curves, self.baselines(), title=title, xlabel=f"{unit} {s.vocabulary} read", ylabel=BITS)
        self.drawn = True

    def report(self) -> None:
        """Print the model's bits per character beside the baselines'."""
        if self.measured[0] != self.updates:
            self.measure(self.model, alone=True)
        s, weights, read = self.settings, f"{self.model.num_parameters():,} weights", format_count(self.read)
        words = f"{weights}, after {read} {s.vocabulary} in {self.seconds:.0f} s"
        compare(self.text, s.vocabulary, self.baselines(), s.cell.upper(), self.measured[1], words)
