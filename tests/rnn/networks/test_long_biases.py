"""Biases of recurrences over many steps and sequences, on every implementation, against float64."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import minigrad as mg
import minigrad_rnn as mr


def gradients(kind: str, impl: str, dtype: str, xs: np.ndarray, scale: float) -> dict[str, np.ndarray]:
    model = getattr(mr, kind)(1, 2, impl=impl, dtype=dtype)
    weights: Any = getattr(mr, kind)(1, 2, rng=0, dtype="float64").state_dict()
    model.load_state_dict({name: w.astype(np.float16).astype(dtype) for name, w in weights.items()})
    y = model(mg.tensor(xs.astype(dtype)))[0]
    y.backward(mg.tensor(np.full(y.shape, scale, dtype)))
    return {name: p.grad.numpy().astype(np.float64) for name, p in model.named_parameters() if p.grad is not None}


@pytest.mark.parametrize("kind", ["RNN", "LSTM", "GRU"])
def test_float16(kind: str) -> None:
    """9,600 rows; added up in float16 a bias of the graph implementation came out 33–72 % too small."""
    xs = np.random.default_rng(0).standard_normal((300, 32, 1)).astype(np.float16)
    expected = gradients(kind, "graph", "float64", xs, 2.0**-8)
    for impl in ("graph", "fused"):
        for name, g in gradients(kind, impl, "float16", xs, 2.0**-8).items():
            scale = np.abs(expected[name]).max()
            np.testing.assert_allclose(g, expected[name], atol=2e-3 * scale, err_msg=f"{kind}: {impl}: {name}")


@pytest.mark.parametrize("impl", ["fused", "native"])
def test_one_long_sequence_in_float32(impl: str) -> None:
    """A single sequence of 200,000 equal steps."""
    xs = np.full((200_000, 1, 1), 0.5, np.float32)
    ours, expected = (gradients("RNN", impl, dtype, xs, 1e-3) for dtype in ("float32", "float64"))
    for name, g in ours.items():
        np.testing.assert_allclose(g, expected[name], rtol=2e-5, err_msg=name)
