"""What a recurrence's constructor is given, checked."""

from __future__ import annotations

import inspect
from typing import Any

import numpy as np

from .cells import Cell

GIVEN = ("self", "input_size", "hidden_size", "bias", "initial_state", "rng", "dtype")
"""What a recurrence itself gives each of its cells."""


def options_of(cell_type: type[Cell]) -> dict[str, Any]:
    """The options that the cell's constructors take beside those that the recurrence gives, and their defaults."""
    found: dict[str, Any] = {}
    for kind in cell_type.__mro__[: cell_type.__mro__.index(Cell) + 1]:
        if "__init__" in vars(kind):
            for p in inspect.signature(vars(kind)["__init__"]).parameters.values():
                if p.name not in GIVEN and p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD):
                    found.setdefault(p.name, p.default)
    return found


def check_probability(name: str, argument: str, p: Any) -> None:
    if isinstance(p, bool) or not isinstance(p, (int, float)) or not 0 <= p < 1:
        raise ValueError(f"{name}: {argument}: got {p!r}, want a probability in [0, 1)")


def depths_of(name: str, num_layers: Any, bidirectional: bool) -> tuple[int, ...]:
    """How many layers each direction has."""
    several = isinstance(num_layers, tuple)
    depths = num_layers if several else (num_layers,) * (2 if bidirectional else 1)
    for depth in depths:
        if isinstance(depth, bool) or not isinstance(depth, (int, np.integer)) or depth < 1:
            raise ValueError(f"{name}: num_layers: got {num_layers!r}, want a whole number of at least 1, or two")
    if several and (not bidirectional or len(depths) != 2):
        raise ValueError(f"{name}: num_layers: got {num_layers!r}, want a whole number, or (L_f, L_b) if bidirectional")
    return tuple(int(depth) for depth in depths)
