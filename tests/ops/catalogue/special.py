"""The gamma function's logarithm, its derivatives, and Bessel functions."""

from __future__ import annotations

import numpy as np

from tests.ops.catalogue.sample import Sample, own, scipy_special, unary

X = np.array([[0.03, 0.4, 1.0, 1.3], [1.46, 2.0, 2.7, 7.6], [9.3, 25.0, -0.4, -3.3]])
Z = np.array([[-9.0, -7.5, -0.5, 0.0], [0.7, 3.0, 8.0, 12.0]])

CATALOGUE = [
    unary("lgamma", numpy=scipy_special("gammaln"), autograd=False).of(X),
    unary("digamma", numpy=scipy_special("digamma"), autograd=False, torch=False).of(X[:, 1:]),
    *(
        Sample(
            "polygamma",
            lambda m, x, n=n: m.polygamma(n, x),
            (X[:, 1:],),
            numpy=lambda m, x, n=n: scipy_special("polygamma")(m, n, x),
            label=str(n),
        )
        for n in (0, 1, 2, 3)
    ),
    Sample("bessel", lambda m, x: own(m, "bessel")(x, n=2), (Z,),
           numpy=lambda m, x: scipy_special("iv")(m, 2, x.astype(float)).astype(x.dtype)),
    Sample("i0", lambda m, x: m.i0(x), (Z,), torch=lambda m, x: m.special.i0(x)),
    Sample("i1", lambda m, x: m.i1(x), (Z,), numpy=scipy_special("i1"),
           torch=lambda m, x: m.special.i1(x)),
]  # fmt: skip

POLES = np.array([0.0, -1.0, -2.0])

EDGES: list[Sample] = [
    Sample("lgamma", lambda m, x: m.lgamma(x), ([3.0, 1e30, np.inf],), numpy=scipy_special("gammaln"), label="far"),
    Sample("digamma", lambda m, x: m.digamma(x), ([3.0, 1e30, np.inf],), numpy=scipy_special("digamma"), label="far"),
    Sample("lgamma", lambda m, x: m.lgamma(x), (POLES,), numpy=scipy_special("gammaln"), label="poles"),
    Sample("digamma", lambda m, x: m.digamma(x), (POLES,), numpy=scipy_special("digamma"), label="poles"),
    Sample("lgamma", lambda m, x: m.lgamma(x), ((0, 2),), numpy=scipy_special("gammaln"), label="empty"),
    Sample("i0", lambda m, x: m.i0(x), ((0, 2),), label="empty"),
]  # fmt: skip
"""Far away, poles, and nothing at all: where finite differences have no say."""
