"""Functions element by element."""

from __future__ import annotations

import numpy as np

from .sample import A, Sample, V, binary, unary

MASK = np.array([[True, False, True, True], [False, False, True, False], [True, True, False, False]])

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
    *(unary(name) for name in ("negative", "square", "exp", "expm1", "sin", "cos", "tanh", "abs")),
    *(unary(name, low=0.5) for name in ("sqrt", "reciprocal", "log", "log1p")),
    unary("sigmoid", numpy=lambda m, x: 1 / (1 + m.exp(-x))),
    unary("relu", numpy=lambda m, x: m.maximum(x, 0)),
    unary("softplus", numpy=lambda m, x: m.log1p(m.exp(x)), torch=lambda m, x: m.nn.functional.softplus(x)),
    Sample("where", lambda m, c, a, b: m.where(c, a, b), (MASK, A, V), torch=None),
    Sample("clip", lambda m, x: m.clip(x, -0.5, 0.7), (A,), torch=None, autograd=True),
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
    Sample("sigmoid", lambda m, x: m.sigmoid(x), ([-1e4, 0.0, 1e4],), numpy=lambda m, x: np.array([0, 0.5, 1]),
           label="far"),
    Sample("softplus", lambda m, x: m.softplus(x), ([-1e4, 1e4],), numpy=lambda m, x: np.maximum(x, 0), label="far"),
    Sample("add", lambda m, a, b: m.add(a, b), ((0, 3), (3,)), label="empty"),
    Sample("multiply", lambda m, a, b: m.multiply(a, b), ((0, 3), (1, 1)), label="empty"),
    Sample("tanh", lambda m, x: m.tanh(x), ((0,),), label="empty"),
]  # fmt: skip
"""Ties, bounds, and nothing at all: compared with NumPy, where finite differences have no say."""
