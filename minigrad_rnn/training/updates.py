"""`Updates` makes one update of a model's weights after another, and holds all that determines the next one."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from typing import Any

import numpy as np

import minigrad as mg
from minigrad import nn, optim

from .batch_reader import END, BatchReader
from .budget import Budget
from .carried_state import detached
from .gradient_step import checked_loss, checked_weight, loss_and_state, require_finite, scale_gradients
from .options import Wants, checked_rate
from .parallel import Parallel

State = Any


class Updates:
    """The base of `Trainer`, which sets the attributes that stand here without a value."""

    model: nn.Module
    optimizer: optim.Optimizer
    schedule: Any
    schedule_wants: Wants
    ema: Any
    reader: BatchReader
    divergence: Callable[..., Any]
    carries: bool
    """Whether `divergence` is given a state."""
    clip_norm: float | None
    accumulate: int
    tokens: Callable[[Any], float] | None
    generators: list[np.random.Generator]
    parallel: Parallel

    def __init__(self) -> None:
        self.state: State = None
        """The state that the next batch is given; None at the beginning of an epoch."""
        self.updates = 0
        """The updates that were made."""
        self.tokens_read = 0.0
        """The tokens of all batches so far, on this rank."""
        self.saved: str | None = None
        """The path of this run's checkpoint, once there is one."""
        self.losses: list[list[float]] = []
        """Loss and gradients' norm of each update since the last report."""
        self._pending: list[Any] = []  # those that are still on the device
        self.budget = Budget()
        self._seconds = 0.0
        self._start: float | None = None
        self._agreed_seconds = 0.0

    @property
    def epoch(self) -> float:
        """The epochs that were read, the current one as a fraction if the stream tells its length."""
        return self.reader.epoch

    @property
    def seconds(self) -> float:
        """The time that was spent in `fit`, before the run was resumed too."""
        return self._seconds + (0.0 if self._start is None else time.perf_counter() - self._start)

    @seconds.setter
    def seconds(self, value: float) -> None:
        self._seconds = self._agreed_seconds = value
        if self._start is not None:
            self._start = time.perf_counter()

    @property
    def fraction_done(self) -> float:
        """The part of the budget that is used, from 0 to 1; the budget is that of the last `fit`."""
        return self.budget.fraction_done(self.epoch, self.updates, self._agreed_seconds)

    def update(self) -> bool:
        """Make an update. Return False where there was no batch left in the epoch, whose end is thereby noticed.

        Raises:
            FloatingPointError: the loss or the gradients' norm is NaN or infinite. On the host nothing has been changed
                by the gradient; on a device this may be noticed some updates later.
        """
        self.model.zero_grad()
        if self.schedule_wants == "trainer":
            rate = checked_rate(self.schedule(self))
            for group in self.optimizer.param_groups:
                group["lr"] = rate
        weights: list[float] = []
        mean: mg.Tensor | None = None
        for _ in range(self.accumulate):
            if (batch := self.reader.read()) is END:
                break
            weight = 1.0 if self.tokens is None else checked_weight(self.tokens(batch))
            loss = self._loss(batch)
            relative = weight / weights[0] if weights else 1.0
            (loss if relative == 1.0 else loss * relative).backward()
            share = loss.detach() if relative == 1.0 else loss.detach() * relative
            mean = share if mean is None else mean + share
            weights.append(weight)
            if self.reader.epoch_ended:
                break
        if mean is None:
            self.state = None
            return False
        total = sum(weights)
        if len(weights) > 1:
            scale_gradients(self.model, weights[0] / total)
            mean = mean * (weights[0] / total)
        pooled = float(mean) if mean.backend == "numpy" or self.parallel.size > 1 else None  # do not wait for a device
        pooled = self.parallel.pool_gradients(total, pooled)
        with np.errstate(invalid="ignore"):  # an infinite norm is told below
            norm = optim.clip_grad_norm(self.model.parameters(), self.clip_norm or math.inf)
        if pooled is None:
            self._pending.append(mg.stack([mean, norm]))
        else:  # before the step spoils the weights
            require_finite(self.updates + 1, pooled, float(norm), self.saved)
            self.losses.append([pooled, float(norm)])
        self.tokens_read += total
        self.optimizer.step()
        self.updates += 1
        if self.ema is not None:
            self.ema.update()
        if self.schedule_wants == "update":
            self.schedule.step()
        if self.reader.epoch_ended:
            self.state = None
        return True

    def _loss(self, batch: Any) -> mg.Tensor:
        if not self.carries:
            return checked_loss(self.divergence(self.model, batch))
        loss, state = loss_and_state(self.divergence(self.model, batch, self.state))
        self.state = detached(state)
        return loss

    def fetch(self) -> None:
        """Bring the losses of the last updates to the host, where training waits for the device.

        Raises:
            FloatingPointError: one of them is NaN or infinite.
        """
        values = mg.stack(self._pending).numpy().tolist() if self._pending else []
        self._pending.clear()
        for update, (loss, norm) in enumerate(values, self.updates - len(values) + 1):
            require_finite(update, loss, norm, self.saved)
        self.losses += values
