"""Softmax, log-softmax and the negative log-likelihood."""

from __future__ import annotations

from typing import Any

import numpy as np

from tests.ops.catalogue.sample import A, Sample, own

TARGETS = np.array([3, 0, -100, 1, 3])


def np_softmax(m: Any, x: Any, axis: int = -1) -> Any:
    e = m.exp(x - m.max(x, axis=axis, keepdims=True))
    return e / m.sum(e, axis=axis, keepdims=True)


def np_nll(m: Any, x: Any, targets: Any) -> Any:
    logs = np.log(np_softmax(np, x))
    return -logs[np.arange(len(x)), np.where(targets < 0, 0, targets)] * (targets != -100)


CATALOGUE = [
    *(
        Sample(
            "softmax",
            lambda m, x, axis=axis: m.softmax(x, axis),
            (A,),
            numpy=lambda m, x, axis=axis: np_softmax(m, x, axis),
            torch=None,
            label=str(axis),
        )
        for axis in (-1, 0)
    ),
    *(
        Sample(
            "log_softmax",
            lambda m, x, axis=axis: m.log_softmax(x, axis),
            (A,),
            numpy=lambda m, x, axis=axis: m.log(np_softmax(m, x, axis)),
            torch=None,
            label=str(axis),
        )
        for axis in (-1, 0)
    ),
    Sample(
        "negative_log_likelihood",
        lambda m, x, t: m.negative_log_likelihood(x, t),
        ((5, 4), TARGETS),
        numpy=np_nll,
        torch=lambda m, x, t: m.nn.functional.cross_entropy(x, t, reduction="none"),
    ),
    Sample(
        "counted_rows",
        lambda m, x, t: own(m, "counted_rows")(x, t != -100),
        ((5, 4), TARGETS),
        numpy=lambda m, x, t: x * (t != -100)[:, None],
    ),
]  # fmt: skip

EDGES: list[Sample] = [
    Sample("softmax", lambda m, x: m.softmax(x), ([-1e4, 1e4],), numpy=lambda m, x: np.array([0, 1]), label="far"),
    Sample("softmax", lambda m, x: m.softmax(x), ((0, 3),), numpy=np_softmax, label="empty"),
    Sample("negative_log_likelihood", lambda m, x, t: m.negative_log_likelihood(x, t), ((0, 3), np.zeros(0, int)),
           numpy=np_nll, label="empty"),
]  # fmt: skip
"""Ties, bounds and empty arrays: compared with NumPy only, since finite differences do not apply."""
