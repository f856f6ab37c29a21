"""Activation functions, compared with torch at kinks too."""

from __future__ import annotations

from typing import Any

import numpy as np

from tests.ops.catalogue.sample import Sample

X = np.array([[-7.0, -3.2, -2.9, -1.1], [-0.7, -0.4, 0.0, 0.3], [0.8, 2.9, 5.9, 6.5]])
NO_KINKS = np.where(X == 0, 0.1, X)
KINKS = np.array([-3.0, -1.0, -0.5, 0.0, 0.5, 1.0, 3.0, 6.0])


def gauss(m: Any, x: Any) -> Any:
    from math import erf

    return 0.5 * (1 + np.vectorize(erf)(x / 2**0.5))


def exp_below(m: Any, x: Any, alpha: float, width: float = 1.0) -> Any:
    return m.where(x > 0, x, alpha * m.expm1(m.minimum(x, 0) / width))


def activation(name: str, numpy: Any, *args: Any, theirs: str = "", at: Any = NO_KINKS, torch: Any = None) -> Sample:
    """An activation function of x and numbers, which torch has under its name, or `theirs`.

    What torch computes with numbers of float32 is compared in test_ops_elementwise.py.
    """
    return Sample(
        name,
        lambda m, x: getattr(m, name)(x, *args),
        (at,),
        numpy=numpy,
        torch=torch is None and (lambda m, x: getattr(m.nn.functional, theirs or name)(x, *args)),
        label=", ".join(map(str, args)),
    )


def sig(m: Any, x: Any) -> Any:
    return 1 / (1 + m.exp(-x))


CATALOGUE = [
    activation("relu", lambda m, x: m.maximum(x, 0)),
    activation("relu6", lambda m, x: m.clip(x, 0, 6)),
    activation("leaky_relu", lambda m, x: m.where(x > 0, x, 0.01 * x)),
    activation("leaky_relu", lambda m, x: m.where(x > 0, x, 0.2 * x), 0.2),
    activation("elu", lambda m, x: exp_below(m, x, 1)),
    activation("elu", lambda m, x: exp_below(m, x, 0.7), 0.7),
    activation("selu", lambda m, x: 1.0507009873554805 * exp_below(m, x, 1.6732632423543772)),
    activation("celu", lambda m, x: exp_below(m, x, 1)),
    activation("celu", lambda m, x: exp_below(m, x, 0.7, 0.7), 0.7, torch=False),
    activation("gelu", lambda m, x: x * gauss(m, x), at=X),
    Sample("gelu", lambda m, x: m.gelu(x, approximate="tanh"), (X,), label="tanh",
           numpy=lambda m, x: 0.5 * x * (1 + m.tanh((2 / m.pi) ** 0.5 * (x + 0.044715 * x**3))),
           torch=lambda m, x: m.nn.functional.gelu(x, approximate="tanh")),
    activation("silu", lambda m, x: x * sig(m, x), at=X),
    activation("mish", lambda m, x: x * m.tanh(m.log1p(m.exp(x))), at=X),
    activation("softsign", lambda m, x: x / (1 + m.abs(x))),
    Sample("softplus", lambda m, x: m.softplus(x), (X,), numpy=lambda m, x: m.log1p(m.exp(x)),
           torch=lambda m, x: m.nn.functional.softplus(x, threshold=1e4)),
    activation("softplus", lambda m, x: m.log1p(m.exp(2.0 * x)) / 2.0, 2.0),
    activation("softplus", lambda m, x: m.where(2 * x > 3, x, m.log1p(m.exp(2.0 * x)) / 2.0), 2.0, 3.0),
    activation("hardtanh", lambda m, x: m.clip(x, -1, 1)),
    activation("hardtanh", lambda m, x: m.clip(x, -0.5, 2), -0.5, 2.0),
    activation("hard_sigmoid", lambda m, x: m.clip(x + 3, 0, 6) / 6, torch=False),
    activation("hard_swish", lambda m, x: x * m.clip(x + 3, 0, 6) / 6, theirs="hardswish"),
    activation("softshrink", lambda m, x: m.sign(x) * m.maximum(m.abs(x) - 0.5, 0)),
    activation("softshrink", lambda m, x: m.sign(x) * m.maximum(m.abs(x) - 1, 0), 1.0),
    activation("hardshrink", lambda m, x: x * (m.abs(x) > 0.5)),
    activation("hardshrink", lambda m, x: x * (m.abs(x) > 1), 1.0),
    activation("tanhshrink", lambda m, x: x - m.tanh(x), at=X),
    activation("threshold", lambda m, x: m.where(x > 0.5, x, 2.0), 0.5, 2.0),
    *(
        Sample("glu", lambda m, x, dim=dim: m.glu(x, dim), ((2, 4, 6),), label=str(dim),
               numpy=lambda m, x, dim=dim: m.split(x, 2, dim)[0] * sig(m, m.split(x, 2, dim)[1]),
               torch=lambda m, x, dim=dim: m.nn.functional.glu(x, dim))
        for dim in (-1, 1)
    ),
]  # fmt: skip

FAR = np.array([-1e4, -800.0, 0.0, 800.0, 1e4])
POSITIVE = lambda m, x: m.maximum(x, 0)

EDGES: list[Sample] = [
    Sample("softplus", lambda m, x: m.softplus(x), (FAR,), label="far",
           numpy=lambda m, x: m.where(x == 0, np.log(2), m.maximum(x, 0)).astype(x.dtype)),
    *(
        Sample(name, lambda m, x, name=name: getattr(m, name)(x), (FAR,), numpy=POSITIVE, label="far")
        for name in ("gelu", "silu", "mish")
    ),
    Sample("celu", lambda m, x: m.celu(x, 0.5), (FAR,), numpy=lambda m, x: m.maximum(x, -0.5 * (x < 0)), label="far"),
    Sample("relu", lambda m, x: m.relu(x), ((0, 3),), numpy=POSITIVE, label="empty"),
    Sample("gelu", lambda m, x: m.gelu(x), ((0, 3),), numpy=POSITIVE, label="empty"),
    Sample("hardtanh", lambda m, x: m.hardtanh(x), (KINKS,), numpy=lambda m, x: m.clip(x, -1, 1), label="kinks"),
]  # fmt: skip
"""Large values and empty arrays: compared with NumPy only, since finite differences do not apply."""
