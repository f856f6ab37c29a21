"""Picking values out and putting them back."""

from __future__ import annotations

from typing import Any

import numpy as np

from .sample import A, Sample, own

IDS = np.array([[2, 0, 2], [1, -1, 2]])

COLUMNS = np.array([[0, 2, 1, 1], [2, 2, 0, 1]])

MASK = np.array([[True, False, True, True], [False, False, True, False], [True, True, False, False]])


def np_put(x: np.ndarray, shape: tuple[int, ...], index: Any) -> np.ndarray:
    y = np.zeros(shape, x.dtype)
    np.add.at(y, index, x)
    return y


CATALOGUE = [
    Sample("getitem", lambda m, x: x[1:, None, ::-1], (A,), autograd=True, label="basic"),
    Sample("getitem", lambda m, x: x[1, 2], (A,), torch=None, autograd=True, label="number"),
    Sample("getitem", lambda m, x, i: x[i], (A, IDS), autograd=True, torch=None, label="repeated"),
    Sample("getitem", lambda m, x, i: x[..., i], ((2, 3), IDS), autograd=True, torch=None, label="last axis"),
    Sample("getitem", lambda m, x, i: x[i, 1:], (A, IDS), autograd=True, torch=None, label="mixed"),
    Sample("getitem", lambda m, x, c: x[c], (A, MASK), autograd=True, torch=None, waits=True, label="mask"),
    Sample("getitem", lambda m, x: x[[0, 2, 0]], (A,), autograd=True, torch=None, label="list"),
    Sample(
        "put",
        lambda m, g, i: own(m, "put")(g, index=i._data, shape=(3, 4)),
        ((2, 3, 4), IDS),
        numpy=lambda m, g, i: np_put(g, (3, 4), i),
        label="repeated",
    ),
    Sample(
        "put",
        lambda m, g: own(m, "put")(g, index=(1, slice(1, None)), shape=(3, 4)),
        ((3,),),
        numpy=lambda m, g: np_put(g, (3, 4), (1, slice(1, None))),
        label="basic",
    ),
    Sample("rows_at", lambda m, W, i: m.take(W, i, axis=0), (A, IDS)),
    *(
        Sample("rows_at", lambda m, W, i, axis=axis: m.take(W, i, axis=axis), ((2, 3, 3), IDS[k]), label=f"axis {axis}")
        for axis in (1, -1, None)
        for k in (0, slice(None))[: 1 if axis is None else 2]
    ),
    Sample("rows_at", lambda m, W: m.take(W, 1, axis=0), (A,), label="number"),
    Sample("rows_at", lambda m, W: m.take(W, [1, 1], axis=1), (A,), label="list"),
    Sample(
        "sum_rows",
        lambda m, g, i: own(m, "sum_rows")(g, i, n=4),
        ((2, 3, 4), IDS),
        numpy=lambda m, g, i: np_put(g, (4, 4), i),
    ),
    Sample(
        "take_along_axis",
        lambda m, x, i: m.take_along_axis(x, i, axis=1),
        ((2, 3), COLUMNS),
        torch=lambda m, x, i: m.take_along_dim(x, i, 1),
    ),
    Sample("take_along_axis", lambda m, x, i: m.take_along_axis(x, i, axis=0), ((3, 4), COLUMNS), label="first"),
    Sample(
        "put_along_axis",
        lambda m, g, i: own(m, "put_along_axis")(g, i, axis=-1, shape=(2, 3)),
        ((2, 4), COLUMNS),
        numpy=lambda m, g, i: np_put(g, (2, 3), (np.arange(2)[:, None], i)),
    ),
    Sample(
        "add_at_rows",
        lambda m, x, v, c: own(m, "add_at_rows")(x, v, c),
        (A, (3,), np.array([3, 0, 3])),
        numpy=lambda m, x, v, c: x + np_put(v, (3, 4), (np.arange(3), c)),
    ),
]  # fmt: skip

EDGES: list[Sample] = [
    Sample("getitem", lambda m, x: x[2:2], (A,), label="empty"),
    Sample("getitem", lambda m, x, i: x[i], (A, np.zeros((0,), int)), label="no ids"),
    Sample("rows_at", lambda m, x, i: m.take(x, i, axis=0), (A, np.zeros((0, 2), int)), label="no ids"),
]  # fmt: skip
"""Ties, bounds, and nothing at all: compared with NumPy, where finite differences have no say."""
