"""Sums, products, extrema and moments along axes."""

from __future__ import annotations

import numpy as np

from tests.ops.catalogue.sample import Sample, reduction

TIES = np.array([[1.0, 3.0, 3.0], [2.0, 2.0, 2.0]])
ZEROS = np.array([[2.0, 0.0, -3.0, 1.5], [0.0, 4.0, 0.0, 1.0], [0.0, 0.0, 0.0, 2.0], [1.5, 2.0, 3.0, -1.0]])
AXES = ((None, False), (None, True), (1, False), (-1, True), ((0, 2), False))

CATALOGUE = [
    *(
        reduction(name, axis, keepdims, autograd=name != "ptp")
        for name in ("sum", "mean", "max", "min", "var", "std", "prod", "ptp")
        for axis, keepdims in AXES
        if not (name == "ptp" and isinstance(axis, tuple))
    ),
    *(
        Sample(name, lambda m, x, name=name: getattr(m, name)(x, axis=1, dtype=x.dtype), ((2, 3),), label="dtype")
        for name in ("sum", "mean", "prod", "var", "std")
    ),
    *(
        Sample(
            name, lambda m, x, name=name, how=how, axis=axis: getattr(m, name)(x, axis=axis, **how), ((3, 2, 4),),
            torch=lambda m, x, name=name, axis=axis: getattr(m, name)(x, dim=axis, correction=1),
            autograd="ddof" in how, label=f"{how} {axis}",
        )
        for name in ("var", "std")
        for how in ({"ddof": 1}, {"correction": 1})
        for axis in (None, (0, -1))
    ),
    *(
        Sample(name, lambda m, x, name=name: getattr(m, name)(x * x * 1j + x, axis=1), ((2, 3),), label="complex")
        for name in ("var", "std")
    ),
    Sample("prod", lambda m, x: m.prod(x, axis=-1), (ZEROS,), torch=None, label="zeros"),
    Sample("prod", lambda m, x: m.prod(x, axis=0, keepdims=True), (ZEROS,), label="zeros kept"),
    Sample("prod", lambda m, x: m.prod(x), (ZEROS[3],), torch=None, label="none of them zero"),
    Sample("prod", lambda m, x: m.prod(x), (ZEROS[:1],), torch=None, label="one zero"),
    Sample("prod", lambda m, x: m.prod(x), ((),), torch=None, label="number"),
    Sample("prod", lambda m, x: m.prod(x, axis=()), ((2, 3),), label="no axis"),
    Sample("sum", lambda m, x: m.sum(x, axis=0), ((),), label="number"),
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
    Sample("ptp", lambda m, x: m.ptp(x, axis=1), (TIES,), label="ties"),
    Sample("std", lambda m, x: m.std(x, axis=1), (TIES,), label="no variance"),
    Sample("sum", lambda m, x: m.sum(x, axis=0), ((0, 3),), label="empty"),
    Sample("prod", lambda m, x: m.prod(x, axis=0), ((0, 3),), label="empty"),
    Sample("prod", lambda m, x: m.prod(x, axis=1), ((0, 3),), label="empty rows"),
    Sample("mean", lambda m, x: m.mean(x, axis=1), ((0, 3),), label="empty rows"),
    Sample("var", lambda m, x: m.var(x, axis=1), ((0, 3),), label="empty rows"),
]  # fmt: skip
"""Ties, bounds and empty arrays: compared with NumPy only, since finite differences do not apply."""
