"""Gradient clipping: PyTorch's norms and factors, without waiting for a device."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

import minigrad as mg
from minigrad.engine.tensor import tensor_view
from tests.test_optim import give, same, start


@pytest.mark.parametrize("norm_type", [2.0, 1.0, 3.0, math.inf])
@settings(max_examples=20)
@given(max_norm=st.floats(0, 20))
def test_clip_grad_norm(xp: Any, norm_type: float, max_norm: float) -> None:
    torch = pytest.importorskip("torch")
    params = start()
    theirs = [torch.zeros(p.shape, dtype=torch.float64, requires_grad=True) for p in params]
    for q, g in zip(theirs, give(params, 0)):
        q.grad = torch.tensor(g)
    with xp.no_sync():
        total = mg.optim.clip_grad_norm([*params, params[0], mg.Parameter([1.0])], max_norm, norm_type)
    want = torch.nn.utils.clip_grad_norm_(theirs, max_norm, norm_type)
    np.testing.assert_allclose(total.item(), want.item(), rtol=1e-12)
    assert total.shape == ()
    for p, q in zip(params, theirs):
        np.testing.assert_allclose(p.grad.numpy(), q.grad.numpy(), rtol=1e-12)


def test_gradients_within_the_norm_are_not_written_into() -> None:
    w = mg.Parameter(np.array([3.0, 4.0]))
    held = np.array([0.3, 0.4])
    held.flags.writeable = False
    w.grad = tensor_view(held)
    assert mg.optim.clip_grad_norm(w, 0.5 + 1e-5).item() == 0.5
    with pytest.raises(ValueError, match="read-only"):
        mg.optim.clip_grad_norm(w, 0.5)


def test_clip_grad_norm_of_nothing_and_of_nan(xp: Any) -> None:
    w = mg.Parameter([1.0, 2.0])
    assert mg.optim.clip_grad_norm(w, 1.0).item() == 0
    w.grad = mg.tensor(np.array([np.nan, 1], "float32"))
    with pytest.raises(ValueError, match="norm is nan, want a finite one"):
        mg.optim.clip_grad_norm(w, 1.0, error_if_nonfinite=True)
    np.testing.assert_array_equal(w.grad.numpy(), [np.nan, 1])
    assert np.isnan(mg.optim.clip_grad_norm(w, 1.0).item())
    assert np.isnan(w.grad.numpy()).all()
    for bad in (-1.0, math.nan):
        with pytest.raises(ValueError, match="clip_grad_norm: max_norm: got"):
            mg.optim.clip_grad_norm(w, bad)
    with pytest.raises(ValueError, match="norm_type: got 0"):
        mg.optim.clip_grad_norm(w, 1.0, norm_type=0)


def test_clip_grad_value(xp: Any) -> None:
    params = start(np.float32)
    hosts = give(params, 0)
    with xp.no_sync():
        mg.optim.clip_grad_value(params, np.float64(0.3))
    same([p.grad.numpy() for p in params], [np.clip(g, np.float32(-0.3), np.float32(0.3)) for g in hosts])
    with pytest.raises(ValueError, match="clip_grad_value: clip_value: got -1"):
        mg.optim.clip_grad_value(params, -1)


def test_clipping_leaves_a_recorded_gradient_alone(xp: Any) -> None:
    w = mg.tensor(np.array([3.0, 4.0]), requires_grad=True)
    mg.sum(w * w * w).backward(create_graph=True)
    recorded = w.grad
    before = recorded.tolist()
    mg.optim.clip_grad_norm(w, 1.0)
    assert recorded.tolist() == before
    np.testing.assert_allclose(np.linalg.norm(w.grad.numpy()), 1, rtol=1e-6)
