"""`Adding` and `Copying` are the memory tasks, `Drawn` a stream of their batches."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

import minigrad as mg
import minigrad_rnn as mr
from minigrad import losses, nn

RECALLED, SYMBOLS = 10, 8
BLANK, SIGNAL = SYMBOLS, SYMBOLS + 1


class Drawn:
    """A stream of batches drawn on the way: what batch k of an epoch is depends on (seed, epoch, k) only."""

    def __init__(self, draw: Callable[[np.random.Generator, int], Any], batch_size: int, seed: int) -> None:
        self.draw, self.batch_size, self.seed, self.epoch, self.batch = draw, batch_size, seed, 0, 0

    def __len__(self) -> int:
        return 100

    def __iter__(self) -> Iterator[Any]:
        epoch = self.epoch
        while self.epoch == epoch:
            batch = self.draw(np.random.default_rng([self.seed, self.epoch, self.batch]), self.batch_size)
            self.epoch, self.batch = divmod(self.epoch * len(self) + self.batch + 1, len(self))
            yield batch

    def state_dict(self) -> dict[str, int]:
        return {"epoch": self.epoch, "batch": self.batch, "batch_size": self.batch_size, "seed": self.seed}

    def load_state_dict(self, state: dict[str, int]) -> None:
        for name in ("batch_size", "seed"):
            if state[name] != getattr(self, name):
                raise ValueError(f"Drawn: {name}: got {state[name]}, want {getattr(self, name)} as here")
        self.epoch, self.batch = state["epoch"], state["batch"]


class Task(ABC):
    """What is asked of a net over T steps."""

    name: str
    features: int
    outputs: int
    lengths: tuple[int, ...]
    """T by default."""
    updates: int
    """The budget by default."""
    baseline: float
    """The error without a memory."""

    def __init__(self, T: int) -> None:
        self.T = T

    @abstractmethod
    def draw(self, rng: np.random.Generator, B: int) -> tuple[Any, Any]:
        """Return inputs (steps, B, features) and targets."""

    @abstractmethod
    def model(self, net: mr.Recurrence, readout: nn.Linear) -> Any:
        """Return the net with its readout, as the task reads it."""

    @abstractmethod
    def by_step(self, model: Any, batch: tuple[Any, Any], backend: str) -> tuple[mg.Tensor, range]:
        """Return the loss of each step that has a target, and the steps that ask for memory."""

    def loss(self, model: Any, batch: tuple[Any, Any], backend: str) -> mg.Tensor:
        return self.by_step(model, batch, backend)[0].mean()


class Adding(Task):
    """Inputs (T, B, 2), numbers and marks; targets (B, 1), the sum of the two marked numbers."""

    name, features, outputs, lengths, baseline = "adding", 2, 1, (50, 100, 200), 1 / 6
    updates = 1500

    def draw(self, rng: np.random.Generator, B: int) -> tuple[Any, Any]:
        xs = np.zeros((self.T, B, 2), np.float32)
        xs[:, :, 0] = rng.random((self.T, B))
        rows = np.arange(B)
        first, second = rng.integers(0, self.T // 2, B), rng.integers(self.T // 2, self.T, B)
        xs[first, rows, 1] = xs[second, rows, 1] = 1
        return xs, (xs[first, rows, 0] + xs[second, rows, 0])[:, None]

    def model(self, net: mr.Recurrence, readout: nn.Linear) -> Any:
        return mr.ManyToOne(net, readout)

    def by_step(self, model: Any, batch: tuple[Any, Any], backend: str) -> tuple[mg.Tensor, range]:
        xs, target = (mg.tensor(a, backend=backend) for a in batch)
        return losses.mse(model(xs), target).reshape(1), range(self.T - 1, self.T)


class Copying(Task):
    """Inputs (T + 20, B, 10), one symbol each; targets (T + 20, B)."""

    name, features, outputs, lengths = "copying", SYMBOLS + 2, SYMBOLS + 1, (20,)
    updates = 5000

    def __init__(self, T: int) -> None:
        super().__init__(T)
        self.steps = T + 2 * RECALLED
        self.baseline = float(RECALLED * np.log(SYMBOLS) / self.steps)

    def draw(self, rng: np.random.Generator, B: int) -> tuple[Any, Any]:
        symbols = rng.integers(0, SYMBOLS, (RECALLED, B))
        inputs = np.full((self.steps, B), BLANK)
        targets = inputs.copy()
        inputs[:RECALLED] = targets[-RECALLED:] = symbols
        inputs[-RECALLED - 1] = SIGNAL
        return np.eye(self.features, dtype=np.float32)[inputs], targets

    def model(self, net: mr.Recurrence, readout: nn.Linear) -> Any:
        return mr.ManyToMany(net, readout)

    def by_step(self, model: Any, batch: tuple[Any, Any], backend: str) -> tuple[mg.Tensor, range]:
        xs, targets = batch
        logits, _ = model(mg.tensor(xs, backend=backend))
        of_each = mr.local_divergence("cross_entropy", logits, targets, reduction="none")
        return of_each.mean(axis=1), range(self.steps - RECALLED, self.steps)
