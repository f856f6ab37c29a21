"""Repeating the values of an array."""

from __future__ import annotations

import numpy as np

from tests.ops.catalogue.sample import A, Sample, shaper

COUNTS = np.array([2, 0, 1])

CATALOGUE = [
    *(shaper("tile", reps, shape=(1, 2), torch=None if isinstance(reps, tuple) else False, autograd=True)
      for reps in ((1, 2), (2, 3), (3, 2, 1), (1, 1))),
    shaper("tile", 2, shape=A),
    shaper("tile", 3, shape=(), autograd=True, label="number"),
    shaper("tile", (2,), shape=A, label="fewer"),
    *(shaper("repeat", n, axis, autograd=axis != -1) for n in (1, 2) for axis in (None, 0, 1, -1)),
    shaper("repeat", 3, shape=(), label="number"),
    Sample("take", lambda m, x: m.repeat(x, [2], axis=1), (A,), label="repeat by one in a list"),
    Sample("take", lambda m, x: m.repeat(x, [2, 0, 1], axis=0), (A,), label="repeat by a list"),
    Sample("take", lambda m, x: m.repeat(x, COUNTS, axis=-1), ((2, 3),), label="repeat by an array"),
    Sample("take", lambda m, x, n: m.repeat(x, n), ((3,), COUNTS), waits=True, label="repeat by a tensor"),
    *(shaper("resize", new, shape=A) for new in ((2, 3), (5, 4), (12,), (3, 0), 30)),
]  # fmt: skip

EDGES: list[Sample] = [
    Sample("tile", lambda m, x: m.tile(x, (2, 2)), ((0, 3),), label="empty"),
    Sample("tile", lambda m, x: m.tile(x, 0), ((3,),), label="not once"),
    Sample("repeat", lambda m, x: m.repeat(x, 0, axis=1), (A,), label="not once"),
    Sample("repeat", lambda m, x: m.repeat(x, 2, axis=0), ((0, 3),), label="empty"),
]  # fmt: skip
"""Empty arrays: compared with NumPy only, since finite differences do not apply."""
