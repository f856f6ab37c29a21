"""Derivatives of any order at a point."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

import minigrad as mg


def derivative(function: Callable[[Any], Any], x: float, order: int) -> float:
    """The derivative of some order at a point, by as many backward passes."""
    at = mg.tensor(np.array(x), requires_grad=True)
    y = function(at)
    for k in range(order):
        (y,) = mg.gradients(y, [at], create_graph=k + 1 < order)
    return float(y.numpy())
