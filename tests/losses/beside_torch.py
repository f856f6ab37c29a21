"""`agree_to_second_order` compares a loss with torch's: values, gradients by every input, and their gradients."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest

import minigrad as mg


def agree_to_second_order(
    ours: Callable[..., Any], theirs: Callable[..., Any], inputs: Sequence[np.ndarray], second_tolerance: float = 1e-11
) -> None:
    """The functions take a tensor for each input, all of which require a gradient; results are weighed at random."""
    torch = pytest.importorskip("torch")
    rng = np.random.default_rng(9)
    x, t = [mg.tensor(a, requires_grad=True) for a in inputs], [torch.tensor(a, requires_grad=True) for a in inputs]
    y, want = ours(*x), theirs(*t)
    assert y.shape == tuple(want.shape)
    np.testing.assert_allclose(y.numpy(), want.detach().numpy(), rtol=1e-12, atol=1e-12)
    seed = np.asarray(rng.standard_normal(y.shape))  # mg.tensor puts it on the tested backend
    gs = mg.gradients(y, x, mg.tensor(seed), create_graph=True)
    wanted = torch.autograd.grad(want, t, torch.tensor(seed), create_graph=True)
    for g, w in zip(gs, wanted):
        np.testing.assert_allclose(g.numpy(), w.numpy(force=True), rtol=1e-12, atol=1e-12)
    seeds = [rng.standard_normal(a.shape) for a in inputs]
    second = sum(mg.sum(g * mg.tensor(s)) for g, s in zip(gs, seeds))
    wanted_second = sum((w * torch.tensor(s)).sum() for w, s in zip(wanted, seeds))
    by_x = mg.gradients(second, x, allow_unused=True) if second.requires_grad else [None for _ in x]
    by_t: Any = [None for _ in t]
    if wanted_second.requires_grad:
        by_t = torch.autograd.grad(wanted_second, t, allow_unused=True)
    for g, w in zip(by_x, by_t):
        got, reference = 0.0 if g is None else g.numpy(), 0.0 if w is None else w.numpy(force=True)
        np.testing.assert_allclose(got, reference, rtol=second_tolerance, atol=second_tolerance)
