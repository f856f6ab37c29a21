"""Rows of a table by index."""

from __future__ import annotations

from typing import Any

import numpy as np

from tests.ops.catalogue.sample import A, Sample

IDS = np.array([[2, 0, 2], [1, 0, 1]])


def weighed(m: Any, hot: Any, x: Any) -> Any:
    return x * hot.astype(x.dtype)


CATALOGUE = [
    Sample("embedding", lambda m, i, W: m.embedding(i, W), (IDS, A), numpy=lambda m, i, W: W[i],
           torch=lambda m, i, W: m.nn.functional.embedding(i, W)),
    Sample("embedding", lambda m, W: m.embedding([1, 1, 0], W), (A,), numpy=lambda m, W: W[[1, 1, 0]], label="list"),
]  # fmt: skip

EDGES: list[Sample] = [
    Sample("embedding", lambda m, i, W: m.embedding(i, W), (np.zeros((0, 2), int), A), numpy=lambda m, i, W: W[i],
           label="no ids"),
    Sample("embedding", lambda m, i, W: m.embedding(i, W, padding_idx=-1), (IDS, A), numpy=lambda m, i, W: W[i],
           label="padding"),
    Sample("one_hot", lambda m, x, i: weighed(m, m.one_hot(i, 4), x), (A, IDS[0]),
           numpy=lambda m, x, i: x * np.eye(4, dtype=x.dtype)[i]),
    Sample("one_hot", lambda m, x, i: weighed(m, m.one_hot(i), x), ((2, 3, 3), IDS),
           numpy=lambda m, x, i: x * np.eye(3, dtype=x.dtype)[i], waits=True, label="classes by the largest"),
]  # fmt: skip
"""Empty arrays and constants: compared with NumPy only, since finite differences do not apply."""
