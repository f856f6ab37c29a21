"""The logistic function, its logarithm and its inverse, and its derivative from the argument."""

from __future__ import annotations

import numpy as np

from tests.ops.catalogue.sample import A, Sample, own, scipy_special, unary

P = np.array([[0.1, 0.3, 0.45], [0.55, 0.7, 0.9]])

CATALOGUE = [
    unary("sigmoid", numpy=lambda m, x: 1 / (1 + m.exp(-x))),
    Sample("sigmoid_slope", lambda m, x: own(m, "sigmoid_slope")(x), (A,),
           numpy=lambda m, x: scipy_special("expit")(m, x) * scipy_special("expit")(m, -x)),
    Sample("log_sigmoid", lambda m, x: m.log_sigmoid(x), (A,), autograd=True,
           numpy=lambda m, x: -m.log1p(m.exp(-x)),
           torch=lambda m, x: m.nn.functional.logsigmoid(x)),
    unary("logit", low=None, numpy=scipy_special("logit"), autograd=False).of(P),
    Sample("logit", lambda m, x: m.logit(x, 0.2), (P,), torch=None, label="eps",
           numpy=lambda m, x: scipy_special("logit")(m, m.clip(x, 0.2, 0.8))),
]  # fmt: skip

FAR = np.array([-1e4, -800.0, 0.0, 800.0, 1e4])

EDGES: list[Sample] = [
    Sample("sigmoid", lambda m, x: m.sigmoid(x), (FAR,), numpy=lambda m, x: (m.sign(x) + 1) / 2, label="far"),
    Sample("log_sigmoid", lambda m, x: m.log_sigmoid(x), (FAR,), label="far",
           numpy=lambda m, x: m.where(x == 0, -np.log(2), m.minimum(x, 0)).astype(x.dtype)),
    Sample("logit", lambda m, x: m.logit(x), ([0.5, 0.5 + 2**-20, 0.25, 0.75],), numpy=scipy_special("logit"),
           label="near one half"),
]  # fmt: skip
"""Large values, compared with NumPy."""
