"""The error function and the normal distribution."""

from __future__ import annotations

from typing import Any

import numpy as np

from tests.ops.catalogue.sample import Sample, own, scipy_special, unary

X = np.array([[-6.5, -3.0, -0.9, -0.3], [0.1, 0.45, 0.6, 1.5], [2.2, 3.9, 0.0, 0.46]])
P = np.array([[0.01, 0.07, 0.3], [0.5, 0.8, 0.97]])


def special(name: str, at: Any = X) -> Sample:
    how = {"numpy": scipy_special(name), "autograd": False, "torch": lambda m, x: getattr(m.special, name)(x)}
    return unary(name, **how).of(at)


CATALOGUE = [
    *(special(name) for name in ("erf", "erfc", "ndtr", "log_ndtr")),
    special("erfcx", X[1:]),
    Sample("erfcx_derivative", lambda m, x: own(m, "erfcx_derivative")(x, n=1), (X[1:] * 3.0 + 1.0,),
           numpy=lambda m, x: (2.0 * x * scipy_special("erfcx")(m, x.astype("f8")) - 2 / m.pi**0.5).astype(x.dtype)),
    special("erfinv", 2 * P - 1.01),
    special("ndtri", P),
    Sample("erfcinv", lambda m, x: m.erfcinv(x), (2 * P,), numpy=scipy_special("erfcinv"),
           torch=lambda m, x: m.special.erfinv(1 - x)),
]  # fmt: skip

FAR = np.array([-np.inf, -1e30, -30.0, -9.0, 9.0, 30.0, 1e30, np.inf])
ENDS = np.array([0.0, 1.0])

EDGES: list[Sample] = [
    *(
        Sample(name, lambda m, x, name=name: getattr(m, name)(x), (FAR,), numpy=scipy_special(name), label="far")
        for name in ("erf", "erfc", "ndtr")
    ),
    Sample("log_ndtr", lambda m, x: m.log_ndtr(x), (FAR[2:],), numpy=scipy_special("log_ndtr"), label="far"),
    Sample("erfcx", lambda m, x: m.erfcx(x), (FAR[4:],), numpy=scipy_special("erfcx"), label="far"),
    Sample("erf", lambda m, x: m.erf(x), ((0, 2),), label="empty", numpy=scipy_special("erf")),
]  # fmt: skip
"""Far away, and nothing at all: where finite differences have no say."""
