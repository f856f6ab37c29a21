"""Exponentials and logarithms."""

from __future__ import annotations

import numpy as np

from tests.ops.catalogue.sample import A, Sample, binary, scipy_special, unary

CATALOGUE = [
    *(unary(name) for name in ("exp", "expm1", "exp2")),
    *(unary(name, low=0.5) for name in ("log", "log1p", "log2", "log10")),
    *(binary(name) for name in ("logaddexp", "logaddexp2")),
    Sample("logaddexp", lambda m, x: m.logaddexp(x, 0.5), (A,), autograd=True, label="number"),
    binary("xlogy", low=0.5, numpy=scipy_special("xlogy"), autograd=False),
]  # fmt: skip

FAR = np.array([-np.inf, -1e4, 0.0, 1e4, np.inf])

EDGES: list[Sample] = [
    Sample("logaddexp", lambda m, x: m.logaddexp(x, 0.0), (FAR,), label="far"),
    Sample("logaddexp", lambda m, x: m.logaddexp(x, x), (FAR,), label="alike"),
    Sample("logaddexp2", lambda m, x: m.logaddexp2(x, x), (FAR,), label="alike"),
    Sample("logaddexp", lambda m, a, b: m.logaddexp(a, b), ((0, 3), (3,)), label="empty"),
    Sample("xlogy", lambda m, a, b: m.xlogy(a, b), ([0.0, 0.0, 2.0], [0.0, 3.0, 1.0]), numpy=scipy_special("xlogy"),
           label="zeros"),
]  # fmt: skip
"""Infinities, zeros, and nothing at all: compared with NumPy, where finite differences have no say."""
