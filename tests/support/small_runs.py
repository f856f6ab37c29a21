"""Small training runs: a character model on a few hundred ids, with everything that a checkpoint must hold."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

import minigrad as mg
from minigrad import losses, optim
from minigrad_rnn.text.model import CharacterModel
from minigrad_rnn.text.streams import Streams
from minigrad_rnn.training import Trainer

IDS = np.random.default_rng(0).integers(0, 5, 130)
TIMES = ("seconds", "tokens_per_second")


def divergence(model: Any, batch: Any, state: Any) -> Any:
    logits, state = model(batch.inputs, state)
    return losses.cross_entropy(logits, batch.targets), state


def size(batch: Any) -> int:
    return int(batch.targets.size)


def small_run(
    folder: Path | str | None = None, *, cell: str = "gru", hidden_size: int = 3, layers: int = 1, **options: Any
) -> Trainer:
    """A trainer of a new model; the epoch has 7 batches."""
    mg.manual_seed(1)
    model = CharacterModel(5, cell, 2, hidden_size, layers, dropout=0.3, rng=0)
    streams = options.pop("batches", None) or Streams(IDS, 4, 5, rotate=True, seed=3)
    make = options.pop("optimizer", lambda parameters: optim.Adam(parameters, lr=0.01))
    optimizer = make(model.parameters())
    if "make_schedule" in options:
        options["schedule"] = options.pop("make_schedule")(optimizer)
    if "make_ema" in options:
        options["ema"] = options.pop("make_ema")(model)
    settings: dict[str, Any] = {"clip_norm": 0.2, "tokens": size, "report_every": 3, "progress": False, **options}
    trainer = Trainer(model, optimizer, streams, settings.pop("divergence", divergence), folder=folder, **settings)
    trainer.plot = lambda path: None  # type: ignore[method-assign]  # drawing takes longer than all else here
    return trainer


def content(trainer: Trainer) -> dict[str, Any]:
    """All that must be bitwise the same, without times."""
    state = trainer.state if isinstance(trainer.state, tuple) else (trainer.state,)
    optimizer = trainer.optimizer.state_dict()
    return {
        "weights": {name: array.tobytes() for name, array in trainer.model.state_dict().items()},
        "optimizer": [{k: np.asarray(v).tobytes() for k, v in s.items()} for s in optimizer["state"]],
        "options": optimizer["param_groups"],
        "state": [None if part is None else part.numpy().tobytes() for part in state],
        "generators": [rng.bit_generator.state for rng in trainer.generators],
        "reader": trainer.reader.state_dict(),
        "schedule": trainer.schedule.state_dict() if hasattr(trainer.schedule, "state_dict") else None,
        "counters": (trainer.updates, trainer.tokens_read, trainer.losses, trainer.evaluations.without_better),
        "best": trainer.best,
        "history": [{k: v for k, v in line.items() if k not in TIMES} for line in trainer.history],
    }
