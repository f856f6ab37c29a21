"""Sorting, partitioning and order statistics."""

from __future__ import annotations

import numpy as np

from tests.ops.catalogue.cumulative import GAPS
from tests.ops.catalogue.reductions import TIES
from tests.ops.catalogue.sample import Sample, own

ORDER = np.array([[2, 0, 1], [1, 2, 3]])


def np_put_along_axis(g: np.ndarray, order: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    y = np.zeros(shape, g.dtype)
    np.put_along_axis(y, order, g, axis=1)
    return y


CATALOGUE = [
    *(
        Sample("sort", lambda m, x, axis=axis: m.sort(x, axis=axis), ((2, 3, 4),), label=f"axis {axis}",
               torch=False if axis is None else lambda m, x, axis=axis: m.sort(x, dim=axis)[0])
        for axis in (None, 0, 1, -1)
    ),
    Sample("sort", lambda m, x: m.sort(x), ((5,),), autograd=True, label="row"),
    Sample("sort", lambda m, x: m.sort(x, axis=0, kind="stable"), ((3, 4),), label="kind"),
    Sample("sort", lambda m, x: m.sort(x, axis=0, stable=True), ((3, 4),), label="stable"),
    *(
        Sample("partition", lambda m, x, kth=kth, axis=axis: m.partition(x, kth, axis=axis), ((3, 5),),
               label=f"{kth} {axis}")
        for kth in (2, (1, 2), -1)
        for axis in (0, 1, None)
    ),
    *(
        Sample(
            "topk", lambda m, x, k=k, dim=dim, largest=largest: m.topk(x, k, dim=dim, largest=largest)[0], ((4, 5),),
            numpy=lambda m, x, k=k, dim=dim, largest=largest: np.take(
                np.flip(np.sort(x, dim), dim) if largest else np.sort(x, dim), np.arange(k), axis=dim
            ),
            torch=None, label=f"{k} {dim} {largest}",
        )
        for k in (1, 3, 4)
        for dim in (0, -1)
        for largest in (True, False)
    ),
    *(
        Sample(
            "kthvalue", lambda m, x, k=k, dim=dim, keep=keep: m.kthvalue(x, k, dim, keep)[0], ((4, 5),),
            numpy=lambda m, x, k=k, dim=dim, keep=keep: np.take(np.sort(x, dim), [k - 1] if keep else k - 1, axis=dim),
            torch=None, label=f"{k} {dim} {keep}",
        )
        for k, dim, keep in ((1, 0, False), (3, -1, True), (4, 0, True))
    ),
    Sample(
        "take_along_axis",
        lambda m, x, i: own(m, "take_along_axis")(x, i, axis=1, unique=True),
        ((2, 4), ORDER),
        numpy=lambda m, x, i: np.take_along_axis(x, i, axis=1),
        label="unique",
    ),
    Sample(
        "add_along_axis",
        lambda m, g, i: own(m, "add_along_axis")(g, i, axis=-1, shape=(2, 4), unique=True),
        ((2, 3), ORDER),
        numpy=lambda m, g, i: np_put_along_axis(g, i, (2, 4)),
        label="unique",
    ),
]  # fmt: skip

EDGES: list[Sample] = [
    Sample("sort", lambda m, x: m.sort(x), (TIES,), label="ties"),
    Sample("sort", lambda m, x: m.sort(x), (GAPS,), label="NaN"),
    Sample("sort", lambda m, x: m.sort(x, axis=0), ((0, 3),), label="empty"),
    Sample("topk", lambda m, x: m.topk(x, 2)[0], (GAPS,), numpy=lambda m, x: np.sort(x)[:, :1:-1], label="NaN"),
    Sample("topk", lambda m, x: m.topk(x, 0)[0], ((2, 3),), numpy=lambda m, x: x[:, :0], label="none"),
]  # fmt: skip
"""Ties, NaN, zero sizes."""
