"""Reductions."""

from __future__ import annotations

import numpy as np

from .sample import Sample, reduction

TIES = np.array([[1.0, 3.0, 3.0], [2.0, 2.0, 2.0]])


CATALOGUE = [
    *(
        reduction(name, axis, keepdims)
        for name in ("sum", "mean", "max", "min", "var")
        for axis, keepdims in ((None, False), (None, True), (1, False), (-1, True), ((0, 2), False))
    ),
    *(
        reduction(
            "logsumexp",
            axis,
            keepdims,
            numpy=lambda m, x, axis=axis, k=keepdims: m.log(m.sum(m.exp(x), axis=axis, keepdims=k)),
            torch=lambda m, x, axis=axis, k=keepdims: m.logsumexp(x, (0, 1, 2) if axis is None else axis, k),
        )
        for axis, keepdims in ((None, False), (1, False), ((0, -1), True))
    ),
]  # fmt: skip

EDGES: list[Sample] = [
    Sample("max", lambda m, x: m.max(x, axis=1), (TIES,), numpy=None, label="ties"),
    Sample("sum", lambda m, x: m.sum(x, axis=0), ((0, 3),), label="empty"),
]  # fmt: skip
"""Ties, bounds, and nothing at all: compared with NumPy, where finite differences have no say."""
