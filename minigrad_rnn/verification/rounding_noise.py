"""`RoundingNoise` changes the last bits of what operations compute, to show how much a result owes to rounding."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from minigrad import Tensor
from minigrad.backend import Backend
from minigrad.engine.observer import ObserverContext
from minigrad.engine.tape import Node, Rule

EPS = float(np.finfo(np.float64).eps)
FROM_SUMS = frozenset(("sigmoid", "tanh", "elu", "softplus", "softsign"))
"""Activations that an implementation may compute as a sum of terms of size 1, as σ(z) = tanh(z/2)/2 + 1/2, or whose
slope it computes as such a sum, as 1 − h²."""


class RoundingNoise(ObserverContext):
    """Inside the `with` block every float64 value that an operation computes is off by up to a unit in its last place.

    Of an activation's value and slope it is the last place of 1. So saturated units show what they lose: where
    h = 1 − 4e-9, 1 − h² has 8 digits left.
    """

    def __init__(self, rng: np.random.Generator, backend: Backend) -> None:
        self.rng, self.backend = rng, backend

    def finished(self, token: Any, op: str, arrays: Sequence[Any], options: dict[str, Any], result: Any) -> None:
        for y in result if isinstance(result, tuple) else (result,):
            a = y._array if isinstance(y, Tensor) else None
            if a is None or a.dtype != np.float64 or getattr(a, "base", None) is not None:
                continue  # a view has the values of what it views, which have been changed
            if any(a is x for x in arrays):
                continue
            a += self._noise(a.shape) if op in FROM_SUMS else a * self._noise(a.shape)

    def rules(self, node: Node, rules: Any) -> tuple[Rule, ...] | Rule:
        if node.op not in FROM_SUMS:
            return super().rules(node, rules)
        (rule,) = rules  # of one input, whose gradient is g times a slope of size 1 at most

        def changed(xp: Any, g: Any, *saved: Any) -> Any:
            return rule(xp, g, *saved) + g * self._noise(g.shape)

        return (changed,)

    def _noise(self, shape: tuple[int, ...]) -> Any:
        return self.backend.from_numpy(np.asarray(self.rng.uniform(-EPS, EPS, shape)))
