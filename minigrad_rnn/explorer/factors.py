"""factors_of finds the two factors of a weight's contributions, so that a page can multiply them when it shows one.

What step t contributes to W is dz(t)ᵀ v(t), where v(t) is what W reads. The page holds dz and v as quantities anyway;
for a large W and many steps the contributions themselves would be too large.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from .unrolled import Unrolled

Array = Any


class Values(NamedTuple):
    """A quantity's values and gradients (steps, B, n) in the order of `columns`; None where there are none.

    `start` and `start_gradient` (B, n) are those before the first step.
    """

    columns: list[int]
    values: Array
    gradients: Array | None
    start: Array | None
    start_gradient: Array | None = None


class Read(NamedTuple):
    """A part of v(t): a lane's last quantity, `lag` columns before."""

    lane: str
    quantity: str
    lag: int


class Factors(NamedTuple):
    """dz, the gradient of `quantity` of `lane`, and the parts of v, side by side."""

    lane: str
    quantity: str
    reads: list[Read]


def factors_of(unrolled: Unrolled, values: Mapping[tuple[str, str], Values], name: str, norms: Array) -> Factors | None:
    """The factors of parameter `name`, or None where its contributions, whose norms are given, are no such product."""
    arrows = [a for a in unrolled.arrows if a.weight == name and a.only is None and a.kind in ("weight", "cut")]
    targets = {arrow.target for arrow in arrows}
    if len(targets) != 1 or unrolled.parameters[name].ndim != 2:
        return None
    lane = unrolled.lane(targets.pop())
    linear = next((q.name for q in lane.quantities if q.name in ("z", "zo")), lane.quantities[-1].name)
    reads = [Read(a.source, unrolled.lane(a.source).quantities[-1].name, a.lag) for a in arrows]
    found = Factors(lane.name, linear, reads)
    dz = values[lane.name, linear]
    if dz.gradients is None:
        return None
    for row, column in enumerate(dz.columns):
        v = read_by(found, values, column)
        if v is None or (dz.gradients.shape[2], v.shape[1]) != unrolled.parameters[name].shape:
            return None
        size = np.sqrt(np.sum(np.square(dz.gradients[row].T.astype(np.float64) @ v)))
        if not np.isclose(size, norms[column], rtol=1e-3, atol=1e-30, equal_nan=True):
            return None
    return found


def read_by(factors: Factors, values: Mapping[tuple[str, str], Values], column: int) -> Array | None:
    """v (B, n) at a column; None where a part of it is not known."""
    parts = []
    for lane, quantity, lag in factors.reads:
        entry = values[lane, quantity]
        if column - lag in entry.columns:
            parts.append(entry.values[entry.columns.index(column - lag)])
        elif lag and entry.start is not None:
            parts.append(entry.start)
        else:
            return None
    return np.concatenate(parts, axis=1)
