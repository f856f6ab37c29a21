"""The character model of a run's settings: new, from a checkpoint, and what it writes."""

from __future__ import annotations

import math
from dataclasses import asdict
from typing import Any

import numpy as np

from minigrad import nn
from minigrad.serialize import CheckpointError
from minigrad_rnn.seq2seq.sampling import sample
from minigrad_rnn.text import load_vocabulary
from minigrad_rnn.text.model import CharacterModel
from minigrad_rnn.training import load_weights

from .memory import require_memory
from .settings import Settings
from .text import prime_ids, unknown_ids

KIND = "char_rnn 2"
"""Stands in the metadata of each checkpoint, so that another model's is not mistaken for one."""
BASELINES = ("unigram", "3-gram", "lzma")
"""What a model is compared with."""


def make_model(settings: Settings, vocabulary: Any, rng: np.random.Generator) -> CharacterModel:
    """Return a new model."""
    s = settings
    return CharacterModel(len(vocabulary), s.cell, s.embedding_size, s.hidden_size, s.layers, s.dropout, rng=rng)


class Saved:
    """What a checkpoint holds besides the trainer's own: settings, vocabulary, fingerprint of the text, baselines.

    Raises:
        minigrad.CheckpointError: the file is damaged, or of something else than `char_rnn.py`.
    """

    def __init__(self, path: str) -> None:
        self.path = path
        self.weights, metadata = load_weights(path)
        if metadata.get("kind") != KIND:
            raise CheckpointError(f"{path}: is a checkpoint of something else, want one that char_rnn.py wrote")
        try:
            self.settings = asdict(Settings.of_checkpoint(metadata["settings"]))
            self.vocabulary: Any = load_vocabulary(metadata["vocabulary"])
            self.fingerprint: str = metadata["fingerprint"]
            self.baselines: dict[str, float] = metadata["baselines"]
            if not isinstance(self.fingerprint, str) or not _are_baselines(self.baselines):
                raise ValueError("fingerprint, baselines: they are not what a run saves")
        except Exception as error:  # a file can hold anything
            raise self.error(error) from error

    def error(self, error: Exception) -> CheckpointError:
        """Return one that says that the file's parts do not fit together."""
        reason = " ".join((str(error) if isinstance(error, ValueError) else repr(error)).split())  # in one line
        return CheckpointError(f"{self.path}: its parts do not fit together: {reason[:300]}")

    def model(self, settings: Settings, backend: str) -> CharacterModel:
        """Return the model with the saved weights."""
        require_memory(settings, len(self.vocabulary), 1)
        try:
            model = make_model(settings, self.vocabulary, np.random.default_rng(0))
            model.load_state_dict(self.weights)
        except (ValueError, TypeError, KeyError) as error:
            raise self.error(error) from error
        return model.to(backend)


def _are_baselines(value: Any) -> bool:
    return (
        isinstance(value, dict)
        and set(value) in (set(), set(BASELINES))
        and all(isinstance(bits, float) and math.isfinite(bits) for bits in value.values())
    )


def sampling_options(settings: Settings, vocabulary: Any) -> dict[str, Any]:
    """Return the keywords of `sample` and `sample_stream`, but for the generator."""
    s = settings
    return {
        "temperature": s.temperature, "top_k": s.top_k, "top_p": s.top_p, "exclude": unknown_ids(vocabulary)
    }  # fmt: skip


def sample_text(settings: Settings, model: nn.Module, vocabulary: Any, rng: np.random.Generator) -> str:
    """Return the prime and what the model writes after it."""
    prime, ids = prime_ids(settings, vocabulary)
    sampled, _ = sample(model, ids, settings.sample_length, rng=rng, **sampling_options(settings, vocabulary))
    return f"{prime}{vocabulary.decode(sampled)}"
