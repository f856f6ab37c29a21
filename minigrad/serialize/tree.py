"""Split nested dictionaries and lists of arrays and numbers into flat arrays and JSON, and put them together again."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from ..backend import is_array
from ..engine.tensor import Tensor
from ..foreign_arrays import is_foreign
from ..option_checks import check_text
from .header import CheckpointError

REFERENCE = "$array"
"""The key of a reference to an array in a flattened tree."""


def flatten(tree: Any, prefix: str = "") -> tuple[dict[str, Any], Any]:
    """Split nested dictionaries, lists, numbers and arrays into (arrays by path, JSON), for `save`.

    `tree` is what to split, and `prefix` the beginning of every path.

    >>> arrays, plain = flatten({"lr": 0.1, "state": [np.zeros(2)]}, "optimizer")
    >>> list(arrays), plain
    (['optimizer/state/0'], {'lr': 0.1, 'state': [{'$array': 'optimizer/state/0'}]})

    Raises:
        TypeError: a dictionary's key is not a string, or is "$array". ValueError: two arrays have the same path.
    """
    check_text("flatten", prefix=prefix)
    if isinstance(tree, Tensor) or is_array(tree) or is_foreign(tree):
        return {prefix: tree}, {REFERENCE: prefix}
    if isinstance(tree, np.generic):
        return {}, tree.item()
    if not isinstance(tree, (Mapping, list, tuple)):
        return {}, tree
    is_mapping = isinstance(tree, Mapping)
    arrays: dict[str, Any] = {}
    plain: dict[Any, Any] = {}
    for key, value in tree.items() if isinstance(tree, Mapping) else enumerate(tree):
        if is_mapping and (not isinstance(key, str) or key == REFERENCE):
            raise TypeError(f"flatten: {prefix or 'tree'}: got the key {key!r}, want a string other than {REFERENCE!r}")
        inner, plain[key] = flatten(value, f"{prefix}/{key}" if prefix else str(key))
        if arrays.keys() & inner.keys():
            raise ValueError(f"flatten: two arrays have the path {min(arrays.keys() & inner.keys())!r}")
        arrays.update(inner)
    return arrays, plain if is_mapping else list(plain.values())


def unflatten(arrays: Mapping[str, Any], plain: Any) -> Any:
    """Return the tree that `flatten` split, with lists for tuples.

    Raises:
        CheckpointError: an array that `plain` refers to is not among `arrays`.
    """
    if isinstance(plain, list):
        return [unflatten(arrays, value) for value in plain]
    if not isinstance(plain, dict):
        return plain
    if plain.keys() == {REFERENCE}:
        if not isinstance(plain[REFERENCE], str) or plain[REFERENCE] not in arrays:
            raise CheckpointError(f"unflatten: the array {plain[REFERENCE]!r} is missing")
        return arrays[plain[REFERENCE]]
    return {key: unflatten(arrays, value) for key, value in plain.items()}
