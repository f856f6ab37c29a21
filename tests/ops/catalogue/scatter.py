"""Writing into a copy at indices."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from tests.ops.catalogue.sample import A, Sample

IDS = np.array([[2, 0, 2], [1, -1, 2]])
MASK = np.array([[True, False, True, True], [False, False, True, False], [True, True, False, False]])
WRITES: dict[str, Any] = {
    "add": np.add.at,
    "subtract": np.subtract.at,
    "multiply": np.multiply.at,
    "divide": np.divide.at,
    "max": np.maximum.at,
    "min": np.minimum.at,
    "set": lambda y, index, values: y.__setitem__(index, values),
}
KINDS = {
    name: f"{'extreme' if name in ('max', 'min') else 'add' if name in ('add', 'subtract') else 'set'}_at"
    for name in WRITES
}


def written(name: str, x: np.ndarray, values: Any, index: Any) -> np.ndarray:
    y = x.copy()
    WRITES[name](y, index, values)
    return y


def update(name: str, x: Any, values: Any, index: Any, label: str, **how: Any) -> Sample:
    """`index` is an index, or a function that makes one of the further tensors (or arrays)."""
    extra = how.pop("extra", ())
    at = index if isinstance(index, Callable) else lambda *_: index  # type: ignore[arg-type]
    return Sample(
        KINDS[name] if how.pop("repeated", False) or name in ("set", "add", "subtract") else "set_at",
        lambda m, x, v, *i: getattr(m.at(x)[at(*i)], name)(v),
        (x, values, *extra),
        low=0.5,
        numpy=lambda m, x, v, *i: written(name, x, v, at(*i)),
        label=f"{name} {label}",
        **how,
    )


CATALOGUE = [
    *(
        sample
        for name in WRITES
        for sample in (
            update(name, A, (2, 2), (slice(1, None), slice(None, None, 2)), "slices"),
            update(name, A, (2,), (slice(1, None), None, slice(0, 2)), "broadcast"),
            update(name, A, (4,), 1, "number"),
            update(name, A, (2, 3, 4), lambda i: i, "repeated", extra=(IDS,), repeated=True),
            update(name, A, (3, 1), lambda i: i, "repeated, broadcast", extra=(IDS,), repeated=True),
            update(name, A, (), lambda i: (slice(None), i), "repeated, one value", extra=(IDS,), repeated=True),
            update(name, A, (2, 3), lambda i: (i, i), "two arrays", extra=(IDS,), repeated=True),
            update(name, A, (6,), lambda c: c, "mask", extra=(MASK,), waits=True),
            update(name, A, (), lambda c: (c, ...), "mask in a tuple", extra=(MASK[:, 0],), waits=True),
        )
    ),
    Sample("set_at", lambda m, x, i: m.at(x)[i].set([1.0, 2.0, 3.0, 4.0]), (A, IDS), label="list",
           numpy=lambda m, x, i: written("set", x, np.array([1.0, 2.0, 3.0, 4.0]), i)),
    update("set", A, (1, 1, 4), 1, "axes in front"),
    Sample("set_at", lambda m, x: m.at(x)[[0, 0], 1].set(2.0), (A,), label="numbers",
           numpy=lambda m, x: written("set", x, 2.0, ([0, 0], 1))),
    Sample("getitem", lambda m, x, i: m.at(x)[i].get(), (A, IDS), label="at", numpy=lambda m, x, i: x[i]),
    *(
        Sample("put_along_axis", lambda m, x, i, v, axis=axis: m.put_along_axis(x, i, v, axis=axis), (A, ids, shape),
               numpy=lambda m, x, i, v, axis=axis: along(x, i, v, axis), label=f"{axis} {shape}")
        for axis, ids, shape in (
            (1, np.array([[0, 3], [1, 1], [-1, 2]]), (3, 2)),
            (1, np.array([[0], [1], [2]]), ()),
            (0, np.array([[0, 2, 1, 0]]), (1, 4)),
            (-1, np.array([[0, 2, 2]]), (3,)),
            (None, np.array([0, 5, 0, -1]), (4,)),
        )
    ),
]  # fmt: skip


def along(x: np.ndarray, ids: np.ndarray, values: Any, axis: int | None) -> np.ndarray:
    y = x.copy()
    np.put_along_axis(y, ids, values, axis)
    return y


EDGES: list[Sample] = [
    *(
        Sample("where", lambda m, x, v, c, name=name: getattr(m.at(x)[c], name)(v), (A, (), MASK), low=0.5,
               numpy=lambda m, x, v, c, name=name: written(name, x, v, c), label=f"{name} one value by a mask")
        for name in WRITES
    ),
    Sample("extreme_at", lambda m, x, v: m.at(x)[[0, 0]].max(v), ([1.0, 2.0], [1.0, 1.0]), label="ties",
           numpy=lambda m, x, v: np.array([1.0, 2.0])),
    Sample("set_at", lambda m, x, v: m.at(x)[0:0].set(v), (A, (0, 4)), numpy=lambda m, x, v: x, label="nowhere"),
    Sample("add_at", lambda m, x, v: m.at(x)[[]].add(v), (A, (0, 4)), numpy=lambda m, x, v: x, label="nowhere"),
    Sample("set_at", lambda m, x, v: m.at(x)[[]].multiply(v), (A, (0, 4)), numpy=lambda m, x, v: x, label="no factor"),
]  # fmt: skip
"""Ties and empty arrays: compared with NumPy only, since finite differences do not apply."""
