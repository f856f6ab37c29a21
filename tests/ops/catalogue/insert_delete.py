"""Inserting and deleting parts."""

from __future__ import annotations

from typing import Any

import numpy as np

from tests.ops.catalogue.sample import A, Sample

MASK = np.array([True, False, True, False])


def deleted(obj: Any, axis: int | None) -> Sample:
    return Sample("delete", lambda m, x: m.delete(x, obj, axis=axis), (A,), label=f"{obj} {axis}")


def inserted(obj: Any, shape: Any, axis: int | None) -> Sample:
    return Sample("insert", lambda m, x, v: m.insert(x, obj, v, axis=axis), (A, shape), label=f"{obj} {shape} {axis}")


CATALOGUE = [
    *(
        deleted(obj, axis)
        for obj in (1, -1, [0, 2], [1, 1], slice(0, 2), slice(None, None, 2))
        for axis in (None, 0, -1)
    ),
    deleted(MASK, 1),
    deleted([], 1),
    Sample("delete", lambda m, x, i: m.delete(x, i, axis=0), (A, np.array([2, 0])), waits=True, label="tensor"),
    *(inserted(obj, (), axis) for obj in (1, -1, [0, 2], [1, 1], slice(0, 2)) for axis in (None, 0, -1)),
    inserted(4, (3,), 1),
    inserted(2, (2, 3), 1),
    inserted(2, (2, 4), 0),
    inserted(1, (2,), None),
    inserted([1], (3,), 1),
    inserted([1, 3], (2,), 1),
    inserted([3, 1, 1], (3, 3), 1),
    inserted([2, -1], (2, 4), 0),
    inserted(MASK, (3, 2), 1),
    Sample("insert", lambda m, x: m.insert(x, 1, [1.0, 2.0, 3.0], axis=1), (A,), label="list"),
    Sample("insert", lambda m, x, v, i: m.insert(x, i, v, axis=1), (A, (3, 2), np.array([2, 0])), waits=True,
           label="tensor"),
]  # fmt: skip

EDGES: list[Sample] = [
    Sample("insert", lambda m, x, v: m.insert(x, 0, v), ((0,), (2,)), label="into nothing"),
    Sample("delete", lambda m, x: m.delete(x, slice(0, 9), axis=0), (A,), numpy=None, label="all"),
]  # fmt: skip
"""Empty arrays: compared with NumPy only, since finite differences do not apply."""
