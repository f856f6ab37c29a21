"""A valid call of every public function, constructor and method of minigrad_rnn.training."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any

from minigrad import nn, optim
from minigrad_rnn.training import Trainer, load_weights
from minigrad_rnn.training.parallel import Solo

from .example import XS, Arguments, Example, function


class Average:
    """What a trainer asks of an average of weights."""

    def update(self) -> None: ...

    def apply(self) -> AbstractContextManager[None]:
        return nullcontext()

    def state_dict(self) -> Arguments:
        return {}

    def load_state_dict(self, state: Any) -> None: ...


def arguments() -> Arguments:
    model = nn.Linear(2, 1, rng=0)
    return {
        "model": model,
        "optimizer": optim.SGD(model.parameters(), 0.1),
        "batches": [1, 2],
        "divergence": lambda model, batch: model(XS[0]).sum(),
        "schedule": lambda trainer: 0.1,
        "clip_norm": 1.0,
        "accumulate": 1,
        "evaluate": lambda model: 1.0,
        "evaluate_every": 2,
        "lower_is_better": True,
        "patience": 3,
        "tokens": lambda batch: 1,
        "folder": "runs",
        "save_every": 2,
        "generators": [],
        "metadata": {},
        "parallel": Solo(),
        "progress": False,
        "tensorboard": False,
        "ema": Average(),
        "report_every": 2,
        "after_update": lambda trainer: None,
        "resume_command": "python train.py --resume",
    }


def method(name: str, **given: Any) -> Callable[[], Example]:
    def example() -> Example:
        return getattr(Trainer(**{**arguments(), "folder": None, "save_every": None}), name), dict(given)

    return example


TRAINING_EXAMPLES: dict[str, Callable[[], Example]] = {
    "Trainer": lambda: (Trainer, arguments()),
    "Trainer.fit": method("fit", epochs=0.5, updates=1, seconds=100.0),
    "Trainer.save": method("save", path="nonexistent/checkpoint.npz"),
    "Trainer.resume": method("resume", path="nonexistent.npz"),
    "load_weights": function(load_weights, path="nonexistent.npz"),
}
