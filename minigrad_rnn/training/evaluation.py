"""`Evaluations` keeps what a model was evaluated at: the best one, and for how long there was none better."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

import minigrad as mg
from minigrad.option_checks import is_number, shown, type_shown

NAME = "evaluation"
"""The name of what `evaluate` returns if it is a single number."""
RESERVED = ("update", "epoch", "seconds", "tokens", "loss", "gradient_norm", "learning_rate", "tokens_per_second")
"""Names in the history that an evaluation cannot have."""


class Evaluations:
    """Evaluations of a run, of which the first number decides.

    Args:
        lower_is_better: whether a smaller number is better.
        patience: after how many evaluations without a better one a run ends; None for never.
    """

    def __init__(self, lower_is_better: bool, patience: int | None) -> None:
        self.lower_is_better, self.patience = lower_is_better, patience
        self.best: dict[str, Any] | None = None
        self.best_counted: float | None = None
        """The best number of those evaluations that the patience counts."""
        self.without_better = 0

    @property
    def exhausted(self) -> bool:
        """Whether there was no better evaluation for as long as the patience lasts."""
        return self.patience is not None and self.without_better >= self.patience

    def is_best(self, value: float) -> bool:
        """Whether a number is better than any before; NaN never is."""
        return self._improves(value, None if self.best is None else self.best["value"])

    def _improves(self, value: float, before: float | None) -> bool:
        if math.isnan(value) or before is None:
            return not math.isnan(value)
        return bool(value < before if self.lower_is_better else value > before)

    def add(self, evaluation: dict[str, Any], better: bool, *, counts: bool = True) -> None:
        """Note an evaluation; the patience counts it only if it `counts`, and compares it with such alone."""
        if better:
            self.best = evaluation
        if counts and self._improves(evaluation["value"], self.best_counted):
            self.without_better, self.best_counted = 0, evaluation["value"]
        elif counts:
            self.without_better += 1


def numbers_of(result: Any) -> dict[str, float]:
    """Return what `evaluate` returned as names and Python numbers.

    Raises:
        TypeError: it is neither a number nor a dictionary of numbers. ValueError: it is empty, or a name is taken.
    """
    if not isinstance(result, Mapping):
        result = {NAME: result}
    numbers = {}
    for name, value in result.items():
        if not isinstance(name, str):
            raise TypeError(f"Trainer: evaluate: got the name {shown(name)}, want text")
        if name in RESERVED:
            raise ValueError(f"Trainer: evaluate: got the name {name!r}, which the history has for something else")
        if isinstance(value, (mg.Tensor, np.ndarray)) and value.size == 1:
            value = value.item()
        if not is_number(value):
            raise TypeError(f"Trainer: evaluate: {name}: got {type_shown(value)}, want a number")
        numbers[name] = float(value)
    if not numbers:
        raise ValueError("Trainer: evaluate: got no number, want at least one")
    return numbers
