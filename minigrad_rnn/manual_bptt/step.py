"""One time step of a cell: a function forward, its derivative written by hand, and what the cells share.

The loops over time, layers and directions are in `stack` and `real_time_recurrent_learning`. All vectors are rows of a
batch: x is (B, I), h (B, P), c (B, H), and a gradient has the shape of what it belongs to. Where recurrent dropout
masks h(t−1), the recurrent weights read `hr` = m_r · h(t−1); every other path reads h(t−1) itself, from `before`. So a
step takes both, and its derivative returns a gradient for each.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import numpy as np

from .lecture import Array

Parameters: TypeAlias = Mapping[str, Array]
"""A cell's own parameters by their short names: Wc, Wr, b, …"""
States: TypeAlias = tuple[Array, ...]
"""The states in the order of `Step.states`: (h,) or (h, c)."""
Saved: TypeAlias = tuple[Array, ...]
"""What a step computed and its derivative reads again."""
Pooled: TypeAlias = dict[str, Array]
"""The gradient of each parameter, to which every step adds its share."""
Forward: TypeAlias = Callable[[Parameters, Array, Array, States], tuple[States, Saved]]
"""(parameters, x(t), hr, states(t−1)) → (states(t), saved)."""
Backward: TypeAlias = Callable[[Parameters, Saved, States, Pooled], tuple[Array, Array, States]]
"""(parameters, saved, dstates(t), pooled) → (dx(t), dhr, dstates(t−1)); what parameters receive is added to pooled."""


@dataclass(frozen=True)
class Step:
    """One time step of a cell.

    `shapes(I, H, P)` gives every parameter's shape, where I is the input's width, H the hidden size and P the width
    of h (H, except in a projected LSTM); those in `optional` may be absent. Wr holds `gates` blocks of H rows.
    """

    states: tuple[str, ...]
    gates: int
    shapes: Callable[[int, int, int], dict[str, tuple[int, ...]]]
    forward: Forward
    backward: Backward
    optional: frozenset[str] = field(default=frozenset({"b"}))

    def sizes(self, parameters: Parameters) -> tuple[int, int]:
        """(H, P) as the shapes of Wr (and of Wp, if there is one) say."""
        Wr = parameters["Wr"].shape or (0,)
        H = Wr[0] // self.gates
        return H, Wr[-1] if "Wp" in parameters else H


def pool(pooled: Pooled, **shares: Array) -> None:
    """Add this step's share to the gradient of each shared parameter, where the cell has that parameter."""
    for name, share in shares.items():
        if name in pooled:
            pooled[name] += share


def bias(p: Parameters, name: str, rows: slice = slice(None)) -> Any:
    """Those rows of a bias, or 0 where there is none."""
    return p[name][rows] if name in p else 0.0


def layer_norm(a: Array) -> tuple[Array, Array]:
    """y = (a − mean) / s with s = sqrt(var + 1e-5), over each row of a (B, N). Returns y and s (B, 1)."""
    centred = a - a.mean(axis=1, keepdims=True)
    s = np.sqrt((centred * centred).mean(axis=1, keepdims=True) + 1e-5)
    return np.asarray(centred / s), np.asarray(s)


def layer_norm_back(dy: Array, y: Array, s: Array) -> Array:
    """da from dy: ∂y_i/∂a_j = (δ_ij − 1/N − y_i y_j / N) / s."""
    mean, along = dy.mean(axis=1, keepdims=True), (dy * y).mean(axis=1, keepdims=True)
    return np.asarray((dy - mean - y * along) / s)
