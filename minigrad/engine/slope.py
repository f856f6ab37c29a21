"""Derivatives of the gradients that reach a rule, for limits where a rule divides 0 by 0. Recorded passes only.

A gradient g that reaches an operation in a recorded backward pass depends on the operation's outputs through the tape.
Second derivatives are symmetric, so the derivative of g along a direction is a backward pass from g.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from . import backward_pass
from .modes import run_recording
from .tensor import Tensor

Array = Any


def slope_along(g: Tensor, direction: Array, outputs: Sequence[Tensor]) -> list[Any]:
    """Return the derivatives of `sum(direction * g)` by outputs of an operation: arrays, or 0.0 for none.

    They are NaN if a rule on the way needs such limits itself.
    """
    if g.node is None:
        return [0.0] * len(outputs)
    nodes: list[Any] = [y.node for y in outputs]
    roots = [(g.node, direction)]
    wanted = {node.serial for node in nodes if node is not None}

    def back() -> Any:
        return backward_pass.run(roots, wanted=wanted, retain=True, lift=None, xp=None, ledger=None)

    try:
        found = run_recording(False, back)
    except backward_pass.RecordingNeeded:
        return [math.nan * y._array for y in outputs]
    return [found[node.serial][1] if node is not None and node.serial in found else 0.0 for node in nodes]


def slope_at_kinks(g: Any, y: Any) -> Any:
    """Return dg/dy for every element of y where y is 0, as at the kink of a root, and 0 elsewhere; None for nothing.

    The derivative of a root y = |x| is g x / y. It is 0 by convention at x = 0; its own derivative there is the limit
    of g / y, which exists for a loss that squares the root again. By l'Hôpital's rule it is dg/dy, provided that each
    element of g depends on its own element of y alone; else 0 remains. A device is not asked: nothing there.
    """
    if not isinstance(y, Tensor) or not isinstance(g, Tensor) or g.node is None or not isinstance(y._array, np.ndarray):
        return None
    kinks = y._array == 0
    if not kinks.any():
        return None
    ones = kinks.astype(g.dtype)
    weights = ones * np.linspace(1, 2, ones.size).reshape(ones.shape).astype(g.dtype)
    (slope,), (weighted,) = slope_along(g, ones, [y]), slope_along(g, weights, [y])
    own = np.abs(weighted - weights * slope) <= 1e-3 * np.abs(slope)
    slope = np.where(kinks & own, slope, 0).astype(y.dtype)
    return Tensor(slope) if slope.any() else None
