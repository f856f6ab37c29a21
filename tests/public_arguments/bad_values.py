"""Values that fit almost no argument, and which of them each kind of argument must refuse."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any

import numpy as np


class Unrelated:
    """A type that nothing wants."""


BAD_VALUES: dict[str, Any] = {
    "None": None,
    "text": "text",
    "'False'": "False",
    "'3'": "3",
    "'nope'": "nope",
    "nan": float("nan"),
    "-1": -1,
    "2.5": 2.5,
    "1e400": float("inf"),
    "10**30": 10**30,
    "complex": 1 + 2j,
    "object": object(),
    "ragged": [[1.0, 2.0], [3.0]],
    "[]": [],
    "[None]": [None],
    "set": {3},
    "dict": {"a": 1.0},
    "array": np.ones((7, 5, 3, 2), np.float32),
    "big-endian": np.ones((2, 3), ">f4"),
    "type": Unrelated,
}
"""By a name that the report shows."""

TEXTS = {"text", "'False'", "'3'", "'nope'"}
NUMBERS = {"-1", "2.5", "1e400", "10**30", "nan"}
REAL = {"-1", "2.5", "10**30", "1e400"}
ALL = set(BAD_VALUES)


def alternatives(annotation: Any) -> set[str]:
    """The types that an annotation lists, as text without arguments: `int | None` gives int and None."""
    text = annotation if isinstance(annotation, str) else inspect.formatannotation(annotation)
    depth, parts = 0, [""]
    for character in text:
        depth += (character in "[(") - (character in "])")
        if character == "|" and not depth:
            parts.append("")
        elif not depth and character not in "])":
            parts[-1] += character
    return {part.strip().rsplit(".")[-1] for part in parts}


ACCEPTABLE: dict[str, set[str]] = {
    "bool": set(),
    "int": set(),
    "float": REAL,
    "str": TEXTS,
    "None": {"None"},
    "Callable": {"type"},
    "type": set(),
    "Rng": {"None", "10**30"},
    "tuple": set(),
    "Module": set(),
    "Recurrence": set(),
    "Activation": set(),
    "Path": TEXTS,
    "PathLike": TEXTS,
    "Sequence": {"[]"},
    "Mapping": {"dict"},
}
"""The bad values that are good ones for an argument of a type. A type that is not here may accept any."""


def acceptable(parameters: Mapping[str, inspect.Parameter], name: str) -> set[str]:
    """The bad values that an argument may accept, by its annotation; of one without, those that may be data."""
    parameter = parameters.get(name)
    if name == "dtype":
        return {"None"} if parameter is None or parameter.default is None else set()
    types = {"Any"} if parameter is None else alternatives(parameter.annotation)
    if types - set(ACCEPTABLE):
        return ALL - {"object", "type"}
    return set().union(*(ACCEPTABLE[kind] for kind in types))


MUST_BE_REFUSED = frozenset(("as complex", "as object", "as text", "two more axes"))


def variants(value: Any) -> dict[str, Any]:
    """Arrays like a good one that no argument takes: of another kind of dtype, or with too many axes."""
    if type(value).__name__ == "Tensor":
        value = value.detach().numpy()
    if not isinstance(value, np.ndarray):
        return {}
    swapped = value.astype(value.dtype.newbyteorder())
    return {
        "as complex": value.astype(complex),
        "as object": value.astype(object),
        "as text": value.astype(str),
        "two more axes": value[..., None, None],
        "masked": np.ma.masked_array(value, mask=np.zeros(value.shape, bool)),
        "swapped": swapped,
    }
