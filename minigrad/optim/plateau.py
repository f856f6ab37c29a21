"""`ReduceLROnPlateau` lowers the learning rate when a measured number stops getting better, as torch's."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from ..arguments_of import arguments_of
from ..validation import check_choice, check_integer, check_number, is_integer, is_number, shown
from .base import Optimizer
from .schedule import LRScheduler


@arguments_of(LRScheduler)
class ReduceLROnPlateau(LRScheduler):
    """lr ← factor · lr after more than `patience` steps in a row without a better number, as torch's.

    Call `step(metrics)` after each evaluation.

    Args:
        mode: "min" if smaller numbers are better, or "max".
        factor: the factor of a change, in (0, 1).
        patience: the number of steps without a better number that are tolerated.
        threshold: by how much a number must be better than the best one.
        threshold_mode: "rel" if the threshold is a share of the best number, or "abs".
        cooldown: the number of steps after a change that do not count.
        min_lr: the least learning rate, or a list of one for each group.
        eps: a change by less is not made.
    """

    position = ("last_epoch", "best", "num_bad_epochs", "cooldown_counter")
    best: float | None
    """The best number so far; None before the first."""
    num_bad_epochs: int
    """The number of steps in a row without a better number."""
    cooldown_counter: int
    """The number of steps that still do not count."""
    mode: str
    factor: float
    patience: int
    threshold: float
    threshold_mode: str
    cooldown: int
    min_lr: float | Sequence[float]
    eps: float

    def __init__(
        self,
        optimizer: Optimizer,
        mode: str = "min",
        factor: float = 0.1,
        patience: int = 10,
        threshold: float = 1e-4,
        threshold_mode: str = "rel",
        cooldown: int = 0,
        min_lr: float | Sequence[float] = 0.0,
        eps: float = 1e-8,
    ) -> None:
        super().__init__(
            optimizer,
            mode=mode,
            factor=factor,
            patience=patience,
            threshold=threshold,
            threshold_mode=threshold_mode,
            cooldown=cooldown,
            min_lr=min_lr,
            eps=eps,
        )

    def check(self, o: Mapping[str, Any]) -> None:
        check_choice(self._name, ("min", "max"), mode=o["mode"])
        check_choice(self._name, ("rel", "abs"), threshold_mode=o["threshold_mode"])
        if not is_number(o["factor"]) or not 0 < o["factor"] < 1:
            raise ValueError(f"{self._name}: factor: got {shown(o['factor'])}, want a number in (0, 1)")
        check_integer(self._name, 0, patience=o["patience"], cooldown=o["cooldown"])
        check_number(self._name, 0, threshold=o["threshold"], eps=o["eps"])
        self._per_group("min_lr", o["min_lr"])

    def start(self) -> None:
        self.last_epoch, self.num_bad_epochs, self.cooldown_counter, self.best = 0, 0, 0, None
        self._last_lrs = self.lrs

    def step(self, metrics: Any) -> None:  # type: ignore[override]
        """Take the next measured number, and lower the learning rates if it is time.

        Args:
            metrics: a number, or a tensor or array with one element, which is read from its device. NaN is no better.

        Raises:
            TypeError: something that is no number. ValueError: a group was added since.
        """
        self._check_groups("step")
        number = metrics.item() if getattr(metrics, "size", 0) == 1 and hasattr(metrics, "item") else metrics
        if not is_number(number):
            raise TypeError(f"{self._name}.step: metrics: got {shown(metrics)}, want a number")
        current = float(number)
        bad, cooling, best = self.num_bad_epochs + 1, self.cooldown_counter, self.best
        if self.is_better(current):
            bad, best = 0, current
        if cooling:
            bad, cooling = 0, cooling - 1
        if bad > self.patience:
            self._apply(self._reduced())
            bad, cooling = 0, self.cooldown
        self.last_epoch, self.num_bad_epochs, self.cooldown_counter, self.best = self.last_epoch + 1, bad, cooling, best
        self._last_lrs = self.lrs

    def is_better(self, number: float) -> bool:
        """Return whether `number` is better than the best one by more than the threshold."""
        up = self.mode == "max"
        best = (-math.inf if up else math.inf) if self.best is None else self.best
        if self.threshold_mode == "rel":
            return number > best * (1 + self.threshold) if up else number < best * (1 - self.threshold)
        return number > best + self.threshold if up else number < best - self.threshold

    def _reduced(self) -> list[dict[str, Any]]:
        rates = [max(lr * self.factor, low) for lr, low in zip(self.lrs, self._per_group("min_lr", self.min_lr))]
        return [{"lr": new} if old - new > self.eps else {} for new, old in zip(rates, self.lrs)]

    def check_position(self, caller: str, state: Mapping[str, Any]) -> None:
        super().check_position(caller, state)
        for name in ("num_bad_epochs", "cooldown_counter"):
            if not is_integer(state[name]) or state[name] < 0:
                got = shown(state[name])
                raise ValueError(f"{caller}: state_dict: {name}: got {got}, want a whole number of at least 0")
        if state["best"] is not None and not is_number(state["best"]):
            raise ValueError(f"{caller}: state_dict: best: got {shown(state['best'])}, want a number or None")
