"""What is left of numbers: remainders, fractions, signs."""

from __future__ import annotations

import numpy as np

from tests.ops.catalogue.sample import A, Sample

N = np.array([[5.3, -5.3, 2.2], [-0.7, 7.9, 0.4]])
D = np.array([2.0, -2.5, 0.7])
POWERS = np.array([[1, -2, 0], [3, 2, -1]])
ODD = np.array([np.nan, np.inf, -np.inf, 1.5])
SIGNS = np.array([[1.0, -1.0, 0.0], [-0.0, 2.0, -3.0]])

CATALOGUE = [
    Sample("remainder", lambda m, a, b: m.remainder(a, b), (N, D), torch=None, autograd=True),
    Sample("remainder", lambda m, a: m.mod(a, 2.0), (N,), torch=lambda m, a: a % 2.0, label="number"),
    Sample("fmod", lambda m, a, b: m.fmod(a, b), (N, D), torch=None),
    Sample("divmod", lambda m, a, b: m.divmod(a, b)[0] + m.divmod(a, b)[1], (N, D)),
    Sample("fraction", lambda m, x: m.modf(x)[0], (N,), torch=lambda m, x: m.frac(x)),
    Sample("modf", lambda m, x: m.modf(x)[0] * m.modf(x)[1], (N,)),
    Sample("mantissa", lambda m, x: m.frexp(x)[0], (N,), torch=None),
    Sample("frexp", lambda m, x: m.ldexp(*m.frexp(x)), (N,)),
    Sample("ldexp", lambda m, x, n: m.ldexp(x, n), (N, POWERS)),
    Sample("ldexp", lambda m, x: m.ldexp(x, 3), (N,), label="number"),
    Sample("copysign", lambda m, a, b: m.copysign(a, b), (N, D), torch=None),
    Sample("copysign", lambda m, a: m.copysign(a, -1.0), (N,), torch=None, label="number"),
    Sample("nan_to_num", lambda m, x: m.nan_to_num(x), (A,), torch=None, autograd=False),
]  # fmt: skip

EDGES: list[Sample] = [
    Sample("nan_to_num", lambda m, x: m.nan_to_num(x), (ODD,), label="odd"),
    Sample("nan_to_num", lambda m, x: m.nan_to_num(x, nan=1.0, posinf=5.0, neginf=-5.0), (ODD,), label="other numbers"),
    Sample("copysign", lambda m, a, b: m.copysign(a, b), (SIGNS, SIGNS[::-1]), label="zeros"),
    Sample("modf", lambda m, x: m.modf(x)[0], (ODD[1:],), label="infinite"),
    Sample("frexp", lambda m, x: m.frexp(x)[0], (SIGNS,), label="zeros"),
    Sample("remainder", lambda m, a, b: m.remainder(a, b), ((0, 3), (3,)), label="empty"),
]  # fmt: skip
"""Zeros, NaN, infinities, and nothing at all: compared with NumPy, where finite differences have no say."""
