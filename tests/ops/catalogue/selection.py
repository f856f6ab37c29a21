"""Choosing between values or functions by conditions."""

from __future__ import annotations

from typing import Any

import numpy as np

from tests.ops.catalogue.sample import A, Sample, V

X = np.array([[-1.5, -0.2, 0.3], [0.9, 1.4, 2.5]])


def pieces(m: Any, x: Any, *rest: Any) -> Any:
    return m.piecewise(x, [x < 0, x > 1], [lambda v: v * v, lambda v: 3 * v, *rest])


CATALOGUE = [
    Sample("select", lambda m, x: m.select([x < 0, x > 1], [x * x, 3 * x], -x), (X,)),
    Sample("select", lambda m, a, b: m.select([a < b, a > 1], [b, a]), (A, V), label="broadcast"),
    Sample("piecewise", lambda m, x: pieces(m, x, lambda v: v - 1), (X,), waits=True),
    Sample("piecewise", lambda m, x: pieces(m, x), (X,), waits=True, label="no rest"),
    Sample("piecewise", lambda m, x: m.piecewise(x, [x < 0, x > 1], [lambda v: v * v, lambda v: 1.1]), (X,), waits=True,
           label="a number for all"),
    Sample("piecewise", lambda m, x: m.piecewise(x, [x < 1, x < 0], [lambda v, k: k * v, 0.5], 3.0), (X,), waits=True,
           label="overlapping"),
]  # fmt: skip

EDGES: list[Sample] = [
    Sample("select", lambda m, x: m.select([x < 0], [x]), ((0, 3),), label="empty"),
    Sample("piecewise", lambda m, x: m.piecewise(x, [x > 5], [lambda v: v * v]), (X,), waits=True, label="none chosen"),
]  # fmt: skip
"""Empty arrays: compared with NumPy only, since finite differences do not apply."""
