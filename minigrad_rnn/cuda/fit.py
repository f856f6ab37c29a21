"""Fit the planner's costs to measured steps: least squares of the relative errors, no cost below zero."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from .costs import DEFAULT, Costs
from .planner import Terms, clocks

FITTED = ("exchange", "tile", "latency", "cluster", "cluster_tile", "product", "launch", "library_product")
FEWEST = 12
"""Measurements of which a fit is made."""
ROUNDS = 30
Array = np.ndarray[Any, Any]


@dataclass(frozen=True)
class Sample:
    """A measured step: the estimate's alternatives, of which the largest counts, and the clocks that it took."""

    alternatives: tuple[Terms, ...]
    measured: float

    def error(self, costs: Costs) -> float:
        """The estimate's relative error."""
        return clocks(self.alternatives, costs) / self.measured - 1


@dataclass(frozen=True)
class Fit:
    """Costs, and those among `FITTED` that no measurement depended on: they are as they were."""

    costs: Costs
    kept: tuple[str, ...]


def fit(samples: Sequence[Sample], start: Costs = DEFAULT) -> Fit:
    """Fit costs to samples.

    The estimate of a sample is the largest of its alternatives. Which one that is depends on the costs, so the linear
    problem is solved again until nothing changes, from several first guesses; of all costs on the way the best are
    returned.

    Raises:
        ValueError: there are fewer samples than `FEWEST`, or they do not tell the costs apart.
    """
    if len(samples) < FEWEST:
        raise ValueError(f"tune: too few measurements: got {len(samples)}, want at least {FEWEST}")
    # From these costs, from where blocks wait for each other, and from where they have another tile to work on.
    found = list[Fit]()
    for costs in (start, replace(start, tile=0.0), replace(start, exchange=0.0)):
        seen = set[Costs]()
        while costs not in seen and len(seen) < ROUNDS:
            seen.add(costs)
            largest = [max(s.alternatives, key=lambda terms: clocks([terms], costs)) for s in samples]
            names = [name for name in FITTED if any(terms.get(name) for terms in largest)]
            made = _fit_linear(largest, np.array([s.measured for s in samples]), start, names)
            if made is None:
                break
            found.append(made)
            costs = made.costs
    if not found:
        raise ValueError(f"tune: too few measurements: these {len(samples)} do not tell {', '.join(names)} apart")
    return min(found, key=lambda made: squared_error(samples, made.costs))


def squared_error(samples: Sequence[Sample], costs: Costs) -> float:
    """The mean of the squared relative errors."""
    return float(np.mean([s.error(costs) ** 2 for s in samples]))


def _fit_linear(terms: Sequence[Terms], measured: Array, start: Costs, names: Sequence[str]) -> Fit | None:
    # In units of the first costs, so that the columns are of one size.
    units = np.array([getattr(start, name) for name in names])
    matrix = np.array([[t.get(name, 0.0) for name in names] for t in terms]) * units / measured[:, None]
    if np.linalg.matrix_rank(matrix, tol=1e-6 * len(terms) ** 0.5) < len(names):
        return None
    rest = 1 - np.array([t.get("", 0.0) for t in terms]) / measured
    found: dict[str, Any] = {name: float(value) for name, value in zip(names, non_negative(matrix, rest) * units)}
    return Fit(replace(start, **found), tuple(name for name in FITTED if name not in found))


def non_negative(matrix: Array, right: Array) -> Array:
    """The x ≥ 0 of least |matrix x − right|: the best of the solutions with every choice of zeros. For few columns."""
    best, least = np.zeros(matrix.shape[1]), float(np.square(right).sum())
    for size in range(1, len(best) + 1):
        for columns in map(list, itertools.combinations(range(len(best)), size)):
            x = np.linalg.lstsq(matrix[:, columns], right, rcond=None)[0]
            error = float(np.square(matrix[:, columns] @ x - right).sum())
            if error < least and (x >= 0).all():
                best, least = np.zeros(len(best)), error
                best[columns] = x
    return best
