"""Trigonometric and hyperbolic functions and their inverses."""

from __future__ import annotations

import numpy as np

from tests.ops.catalogue.sample import A, Sample, binary, own, unary

INSIDE = np.array([[-0.9, -0.5, 0.0], [0.2, 0.6, 0.8]])
JUMPS = np.array([[0.0, 1.0, 7.5, 8.0], [3.0, -3.0, 9.0, 0.5]])

CATALOGUE = [
    Sample("arcsinh", lambda m, x: m.real(m.arcsinh(x * 0.5j + x)), (A,), autograd=True, label="complex"),
    *(unary(name) for name in ("sin", "cos", "tan", "arctan", "sinh", "cosh", "tanh", "arcsinh")),
    *(unary(name).of(INSIDE) for name in ("arcsin", "arccos", "arctanh")),
    unary("arccosh", low=1.1),
    Sample("sech_squared", lambda m, x: own(m, "sech_squared")(x), (A,), numpy=lambda m, x: 1 / m.cosh(x) ** 2),
    *(binary(name) for name in ("hypot", "arctan2")),
    Sample("hypot", lambda m, x: m.hypot(3.0, x), (A,), label="number"),
    unary("degrees", torch=lambda m, x: m.rad2deg(x)),
    unary("radians", torch=lambda m, x: m.deg2rad(x)),
    unary("sinc"),
    Sample("sinc", lambda m, x: m.sinc(x), ([0.0, 1e-5, -1e-3, 0.954, 0.956, 2.0],), label="at 0"),
    Sample("unwrap", lambda m, x: m.unwrap(x), (JUMPS,)),
    Sample("unwrap", lambda m, x: m.unwrap(x), (np.stack([JUMPS, -JUMPS, JUMPS + 1.0]),), label="the last axis"),
    Sample("unwrap", lambda m, x: m.unwrap(x, 4.0, axis=0, period=5.0), (JUMPS * 1.1,), label="period"),
]  # fmt: skip

EDGES: list[Sample] = [
    Sample("hypot", lambda m, a, b: m.hypot(a, b), ([0.0, 1e30, 0.0], [0.0, 1.0, -2.0]), label="origin"),
    Sample("arctan2", lambda m, a, b: m.arctan2(a, b), ([0.0, -0.0, 1e30, 0.0], [0.0, -1.0, 1.0, -1.0]),
           label="origin"),
    Sample("arctan", lambda m, x: m.arctan(x), ([-np.inf, -1e30, 1e30, np.inf],), label="far"),
    Sample("arcsinh", lambda m, x: m.arcsinh(x), ([-1e30, 1e30],), label="far"),
    Sample("arccosh", lambda m, x: m.arccosh(x), ([2.0, 1e30],), label="far"),
    Sample("sinc", lambda m, x: m.sinc(x), ((0,),), label="empty"),
    Sample("tanh", lambda m, x: m.tanh(x), ((0,),), label="empty"),
]  # fmt: skip
"""The origin, far away, and nothing at all: compared with NumPy, where finite differences have no say."""
