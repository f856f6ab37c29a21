"""Sums of a million rows of float32, in the values of operations and in their rules, against `math.fsum`."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import minigrad as mg
from tests.ops.catalogue import CATALOGUE, Sample
from tests.ops.catalogue.sample import A

REPEATS, COLUMNS = 1000, 2
DISTINCT = np.random.default_rng(0).random((1000, COLUMNS)).astype(np.float32) + np.float32(0.5)
N = REPEATS * len(DISTINCT)
TALL = np.tile(DISTINCT, (REPEATS, 1))
"""10⁶ rows, each of a thousand rows a thousand times, so that `math.fsum` adds a thousand numbers only."""
WEIGHTS = np.tile(DISTINCT[::-1, 0], REPEATS)
LAYOUTS: dict[str, Callable[[], tuple[np.ndarray, int]]] = {
    "rows": lambda: (TALL, 0),
    "columns": lambda: (np.asfortranarray(TALL), 0),
    "transposed": lambda: (TALL.T, 1),
    "strided": lambda: (np.repeat(TALL, 2, axis=1)[:, ::2], 0),
    "blocks": lambda: (TALL.reshape(1000, 1000, COLUMNS).transpose(2, 0, 1).copy().transpose(1, 2, 0).reshape(N, 2), 0),
}


def exact(function: Callable[[np.ndarray], np.ndarray], weights: np.ndarray | None = None) -> np.ndarray:
    """The sum of `function` of the distinct rows in float64, and of all their repetitions."""
    rows = function(DISTINCT.astype(np.float64))
    rows = rows if weights is None else rows * weights[: len(DISTINCT), None].astype(np.float64)
    return np.array([math.fsum(column) * REPEATS for column in rows.T.tolist()])


SUM = exact(lambda x: x)
MEAN = SUM / N
VAR = exact(lambda x: (x - MEAN) ** 2) / N
OF_WEIGHTS = math.fsum(WEIGHTS[:1000].tolist()) * REPEATS

REDUCTIONS: dict[str, tuple[Callable[..., Any], Any]] = {
    "sum": (lambda x, k: mg.sum(x, axis=k), SUM),
    "sum of all": (lambda x, k: mg.sum(x), SUM.sum()),
    "mean": (lambda x, k: mg.mean(x, axis=k), MEAN),
    "var": (lambda x, k: mg.var(x, axis=k), VAR),
    "std": (lambda x, k: mg.std(x, axis=k), np.sqrt(VAR)),
    "nansum": (lambda x, k: mg.nansum(x, axis=k), SUM),
    "nanmean": (lambda x, k: mg.nanmean(x, axis=k), MEAN),
    "nanvar": (lambda x, k: mg.nanvar(x, axis=k), VAR),
    "nanstd": (lambda x, k: mg.nanstd(x, axis=k), np.sqrt(VAR)),
    "average": (lambda x, k: mg.average(x, axis=k, weights=WEIGHTS), exact(lambda x: x, WEIGHTS) / OF_WEIGHTS),
    "logsumexp": (lambda x, k: mg.logsumexp(x, axis=k), np.log(exact(np.exp))),
    "norm": (lambda x, k: mg.linalg.norm(x, axis=k), np.sqrt(exact(np.square))),
    "norm of all": (lambda x, k: mg.linalg.norm(x), np.sqrt(exact(np.square).sum())),
    "norm 1": (lambda x, k: mg.linalg.norm(x, 1, axis=k), SUM),
    "norm 3": (lambda x, k: mg.linalg.norm(x, 3, axis=k), exact(lambda x: x**3) ** (1 / 3)),
    "cumsum": (lambda x, k: mg.cumsum(x, axis=k).take(np.array(N - 1), axis=k), SUM),
    "trapezoid": (lambda x, k: mg.trapezoid(x, axis=k), SUM - (TALL[0] + TALL[-1]) / 2.0),
    "cov": (lambda x, k: mg.diagonal(mg.cov(x, rowvar=k == 1, bias=True)), VAR),
    "ptp": (lambda x, k: mg.ptp(x, axis=k), np.ptp(DISTINCT, axis=0)),
    "mse": (lambda x, k: mg.mse(x, np.zeros(x.shape, "f4")), exact(np.square).sum() / (2 * N)),
    "softmax": (lambda x, k: 1 / mg.softmax(x, axis=k).take(np.array(0), axis=k), exact(np.exp) / np.exp(TALL[0])),
    "vecdot": (lambda x, k: mg.vecdot(x, x, axis=k), exact(np.square)),
    "matmul": (lambda x, k: mg.matmul(WEIGHTS, x if k == 0 else x.T), exact(lambda x: x, WEIGHTS)),
    "gram": (lambda x, k: mg.diagonal(mg.matmul(x.T, x) if k == 0 else mg.matmul(x, x.T)), exact(np.square)),
    "dot": (lambda x, k: mg.dot(x.take(np.array(0), axis=1 - k), WEIGHTS), exact(lambda x: x, WEIGHTS)[0]),
    "tensordot": (lambda x, k: mg.tensordot(x, WEIGHTS, axes=(k, 0)), exact(lambda x: x, WEIGHTS)),
    "einsum": (lambda x, k: mg.einsum("ij,i->j" if k == 0 else "ji,i->j", x, WEIGHTS), exact(lambda x: x, WEIGHTS)),
    "bincount": (lambda x, k: mg.bincount(np.zeros(2 * N, int), mg.ravel(x)), SUM.sum()),
}


@pytest.mark.parametrize("name", REDUCTIONS)
def test_values(name: str) -> None:
    """In one memory order each; `test_sums_in_every_order` takes the rest."""
    call, expected = REDUCTIONS[name]
    y = call(mg.tensor(TALL), 0)
    assert y.dtype == np.float32
    np.testing.assert_allclose(y.numpy(), expected, rtol=1e-5)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_sums_in_every_order(layout: str) -> None:
    array, axis = LAYOUTS[layout]()
    for name in ("sum", "sum of all", "mean", "std", "norm", "matmul"):
        call, expected = REDUCTIONS[name]
        np.testing.assert_allclose(call(mg.tensor(array), axis).numpy(), expected, rtol=1e-5)


BINARY = {
    s.name: s for s in CATALOGUE if not s.label and all(type(x) is tuple for x in s.inputs) and s.inputs == (A, (4,))
}


@pytest.mark.parametrize("sample", BINARY.values(), ids=lambda s: s.name)
def test_rules_of_what_was_broadcast(sample: Sample) -> None:
    """The gradient of the second input (2,), broadcast over 10⁶ rows: `math.fsum` of the rows' own in float64."""
    a, b = (x.reshape(-1, COLUMNS) for x in sample.arrays(np.float32))
    repeats, seed = N // len(a), np.float32(1e-3)
    leaf = mg.tensor(b[0], requires_grad=True)
    y = sample.call(mg, mg.tensor(np.tile(a, (repeats, 1))), leaf)
    (g,) = mg.gradients(y, [leaf], mg.tensor(np.full(y.shape, seed)))
    wide = mg.tensor(np.tile(b[0].astype(np.float64), (len(a), 1)), requires_grad=True)
    y = sample.call(mg, mg.tensor(a.astype(np.float64)), wide)
    (rows,) = mg.gradients(y, [wide], mg.tensor(np.full(y.shape, float(seed))))
    for ours, column in zip(g.tolist(), rows.numpy().T.tolist()):
        scale = math.fsum(map(abs, column)) * repeats
        assert abs(ours - math.fsum(column) * repeats) <= 1e-5 * scale
