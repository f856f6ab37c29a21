"""Functions element by element."""

from __future__ import annotations

import numpy as np

from tests.ops.catalogue.sample import A, Sample, V, binary, unary

MASK = np.array([[True, False, True, True], [False, False, True, False], [True, True, False, False]])

NANS = np.array([1.0, np.nan, np.nan, 2.0, 3.0])
TIES = np.array([[1.0, 3.0, 3.0], [2.0, 2.0, 2.0]])


CATALOGUE = [
    *(binary(name) for name in ("add", "subtract", "multiply", "maximum", "minimum")),
    binary("divide", low=0.5),
    binary("power", low=0.5, torch=lambda m, a, b: m.pow(a, b)),
    *(
        Sample("power", lambda m, x, n=n: x**n, (A,), 0.5, torch=None, autograd=True, label=f"to the {n}")
        for n in (0, 1, 2, -1, 0.5, 3.0)
    ),
    Sample("power", lambda m, x: 2.0**x, (A,), torch=None, autograd=True, label="of 2"),
    unary("positive", autograd=False),
    *(unary(name) for name in ("negative", "square", "abs")),
    unary("fabs", torch=lambda m, x: m.abs(x)),
    *(unary(name, low=0.5) for name in ("sqrt", "reciprocal")),
    unary("cbrt", torch=False, autograd=False).of([[-8.0, -1.3, 0.2], [0.9, 2.0, 27.0]]),
    Sample("abs", lambda m, x: m.abs(x * 1j + 0.5), (A,), torch=None, autograd=True, label="complex"),
    Sample("float_power", lambda m, a, b: m.float_power(a, b).astype(a.dtype), (A, V), 0.5,
           torch=lambda m, a, b: m.float_power(a, b)),
    Sample("float_power", lambda m, x: m.float_power(x, -2).astype(x.dtype), (A,), 0.5, label="whole number"),
    *(binary(name, autograd=False) for name in ("fmax", "fmin")),
    Sample("lerp", lambda m, a, b, w: m.lerp(a, b, w), (A, V, (3, 1)), torch=lambda m, a, b, w: m.lerp(a, b, w),
           numpy=lambda m, a, b, w: a + w * (b - a)),
    Sample("lerp", lambda m, a, b: m.lerp(a, b, 0.3), (A, V), torch=lambda m, a, b: m.lerp(a, b, 0.3),
           numpy=lambda m, a, b: a + 0.3 * (b - a), label="number"),
    Sample("where", lambda m, c, a, b: m.where(c, a, b), (MASK, A, V), torch=None),
    Sample("clip", lambda m, x: m.clip(x, -0.5, 0.7), (A,), torch=None, autograd=True),
    Sample("clip", lambda m, x, a, b: m.clip(x, a, b), (A, [-0.5, -0.1, -2.0, 0.0], [[0.2], [0.5], [1.0]]),
           torch=None, label="arrays"),
    Sample("clip", lambda m, x: m.clip(x, max=0.3), (A,), torch=None, label="by name"),
    Sample("clip", lambda m, x: m.clip(x, a_min=0.3, a_max=None), (A,), label="by older name"),
    Sample(
        "astype",
        lambda m, x: x.astype(x.dtype),
        (A,),
    ),
]  # fmt: skip

EDGES: list[Sample] = [
    Sample("maximum", lambda m, x: m.maximum(x, 2.0), (TIES,), numpy=None, label="number"),
    Sample("minimum", lambda m, x: m.minimum(2.0, x), (TIES,), numpy=None, label="number first"),
    Sample("where", lambda m, c, a: m.where(c, a, 0.0), (MASK, A), numpy=None, label="number"),
    Sample("clip", lambda m, x: m.clip(x, None, 0.5), (A,), label="one side"),
    Sample("fmax", lambda m, a, b: m.fmax(a, b), (NANS, NANS[::-1]), label="nan"),
    Sample("fmin", lambda m, a, b: m.fmin(a, b), (NANS, NANS[::-1]), label="nan"),
    Sample("fmax", lambda m, x: m.fmax(x, 2.0), (TIES,), label="number"),
    Sample("add", lambda m, a, b: m.add(a, b), ((0, 3), (3,)), label="empty"),
    Sample("multiply", lambda m, a, b: m.multiply(a, b), ((0, 3), (1, 1)), label="empty"),
    Sample("sqrt", lambda m, x: m.sqrt(x), ((0,),), label="empty"),
    Sample("abs", lambda m, x: m.abs(x * 1j), (TIES * 0,), label="complex zero"),
]  # fmt: skip
"""Ties, bounds, and nothing at all: compared with NumPy, where finite differences have no say."""
