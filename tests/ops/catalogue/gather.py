"""Gathering elements at indices, and its adjoint."""

from __future__ import annotations

from typing import Any

import numpy as np

from tests.ops.catalogue.sample import A, Sample, own

IDS = np.array([[2, 0, 2], [1, -1, 2]])

COLUMNS = np.array([[0, 2, 1, 1], [2, 2, 0, 1]])

MASK = np.array([[True, False, True, True], [False, False, True, False], [True, True, False, False]])


FAR = np.array([[5, -1], [1, -7]])

CHOICES = np.array([[0, 2, 1, 1], [2, 2, 0, 1], [1, 0, 0, 2]])


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
        lambda m, g, i: own(m, "put")(g, index=i._array, shape=(3, 4)),
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
    Sample("take", lambda m, W, i: m.take(W, i, axis=0), (A, IDS)),
    *(
        Sample("take", lambda m, W, i, axis=axis: m.take(W, i, axis=axis), ((2, 3, 3), IDS[k]), label=f"axis {axis}")
        for axis in (1, -1, None)
        for k in (0, slice(None))[: 1 if axis is None else 2]
    ),
    Sample("take", lambda m, W: m.take(W, 1, axis=0), (A,), label="number"),
    Sample("take", lambda m, W: m.take(W, [1, 1], axis=1), (A,), label="list"),
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
        "add_along_axis",
        lambda m, g, i: own(m, "add_along_axis")(g, i, axis=-1, shape=(2, 3)),
        ((2, 4), COLUMNS),
        numpy=lambda m, g, i: np_put(g, (2, 3), (np.arange(2)[:, None], i)),
    ),
    Sample(
        "add_at_rows",
        lambda m, x, v, c: own(m, "add_at_rows")(x, v, c),
        (A, (3,), np.array([3, 0, 3])),
        numpy=lambda m, x, v, c: x + np_put(v, (3, 4), (np.arange(3), c)),
    ),
    Sample("getitem", lambda m, x, i, j: x[i, j], (A, IDS, IDS), torch=None, autograd=True, label="two arrays"),
    Sample("getitem", lambda m, x, i: x[i, 1], ((3, 4, 2), IDS), torch=None, autograd=True, label="array and number"),
    Sample("getitem", lambda m, x, i: x[-1, i], ((3, 4, 2), IDS), torch=None, autograd=True, label="number and array"),
    Sample("getitem", lambda m, x, i: x[i, :, i], ((3, 2, 3), IDS), torch=None, autograd=True, label="around a slice"),
    Sample("getitem", lambda m, x, i: x[None, i, ::2], (A, IDS), torch=None, autograd=True, label="new axis"),
    Sample("getitem", lambda m, x, i: x[i], (A, np.array(1)), torch=None, label="0-d array"),
    Sample("getitem", lambda m, x: x[np.int64(1), [0, -1, 0]], (A,), label="numpy's number and list"),
    Sample("getitem", lambda m, x: x[(1, 0), 1:], (A,), torch=None, label="tuple"),
    Sample("getitem", lambda m, x: x[[[0, 2], [0, 0]]], (A,), label="nested list"),
    Sample("getitem", lambda m, x, c: x[c, ..., 1], ((3, 2, 4), MASK[:, 1]), waits=True, torch=None,
           label="mask on one axis"),
    Sample("getitem", lambda m, x, c, i: x[c, i], (A, MASK[:, 1], np.array([0, 0])), waits=True,
           label="mask and array"),
    *(
        Sample("take", lambda m, x, i, k=k, axis=axis: m.take(x, i, axis=axis, mode=k), (A, FAR), label=f"{k} {axis}")
        for k in ("wrap", "clip")
        for axis in (None, 0, 1)
    ),
    Sample("take", lambda m, x, i: m.take(x, i, axis=1), ((2, 3, 2), IDS), label="middle axis"),
    Sample("take_along_axis", lambda m, x, i: m.take_along_axis(x, i, axis=None), (A, np.array([5, 0, -1, 5])),
           label="flat"),
    Sample("take_along_axis", lambda m, x, i: m.take_along_axis(x, i, axis=1), ((1, 3), COLUMNS), label="broadcast x"),
    Sample("take_along_axis", lambda m, x, i: m.take_along_axis(x, i, axis=-1), (A, COLUMNS[:1]),
           label="broadcast indices"),
    Sample("choose", lambda m, a, b, c: m.choose(c, [a, b, 1.5]), (A, (4,), CHOICES), label="raise"),
    *(
        Sample("choose", lambda m, a, b, c, k=k: m.choose(c - 2, [a, b], mode=k), (A, (4,), CHOICES), label=k)
        for k in ("wrap", "clip")
    ),
    Sample("compress", lambda m, x, c: m.compress(c, x, axis=1), (A, MASK[0]), waits=True, label="axis"),
    Sample("compress", lambda m, x: m.compress([True, False, True], x), (A,), waits=True, label="flat"),
    Sample("extract", lambda m, x, c: m.extract(c, x), (A, MASK), waits=True),
]  # fmt: skip

EDGES: list[Sample] = [
    Sample("getitem", lambda m, x: x[2:2], (A,), label="empty"),
    Sample("getitem", lambda m, x, i: x[i], (A, np.zeros((0,), int)), label="no ids"),
    Sample("take", lambda m, x, i: m.take(x, i, axis=0), (A, np.zeros((0, 2), int)), label="no ids"),
]  # fmt: skip
"""Ties, bounds and empty arrays: compared with NumPy only, since finite differences do not apply."""
