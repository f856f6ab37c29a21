"""The state that is carried from batch to batch: detached from its graph, and as what a checkpoint can hold."""

from __future__ import annotations

from typing import Any

import numpy as np

import minigrad as mg
from minigrad.backend import is_array
from minigrad.option_checks import type_shown
from minigrad.pytree import tree_map

PLAIN = (bool, int, float, str, type(None))


def detached(state: Any) -> Any:
    """Return the state without its graph: gradients end there."""
    return tree_map(lambda leaf: leaf.detach() if isinstance(leaf, mg.Tensor) else leaf, state)


def to_plain(state: Any) -> Any:
    """Return the state as dictionaries and lists of arrays, for a checkpoint.

    Raises:
        TypeError: it holds something other than tensors, arrays and numbers in tuples, lists and dictionaries.
    """
    if isinstance(state, mg.Tensor):
        return {"tensor": state.numpy()}
    if is_array(state):
        return {"array": state}
    if isinstance(state, np.generic):
        return {"array": np.asarray(state)}
    if type(state) in (tuple, list):
        return {type(state).__name__: [to_plain(part) for part in state]}
    if type(state) is dict and all(isinstance(key, str) for key in state):
        return {"dict": {key: to_plain(part) for key, part in state.items()}}
    if isinstance(state, PLAIN):
        return {"value": state}
    raise TypeError(
        f"Trainer.save: state: got {type_shown(state)}, want tensors, arrays and numbers in tuples, lists and "
        "dictionaries"
    )


def from_plain(plain: Any, backend: Any) -> Any:
    """Return the state that `to_plain` took apart, its tensors on `backend`. Raises ValueError if it is none."""
    if isinstance(plain, dict) and len(plain) == 1:
        ((kind, value),) = plain.items()
        if kind == "tensor" and is_array(value):
            return mg.tensor(value, backend=backend)
        if (kind == "array" and is_array(value)) or (kind == "value" and isinstance(value, PLAIN)):
            return value
        if kind in ("tuple", "list") and isinstance(value, list):
            parts = [from_plain(part, backend) for part in value]
            return parts if kind == "list" else tuple(parts)
        if kind == "dict" and isinstance(value, dict):
            return {key: from_plain(part, backend) for key, part in value.items()}
    raise ValueError("state: it is not one that a trainer saves")
