"""bce, and the weights of bce_with_logits, beside torch and at their edges."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import minigrad as mg
from minigrad import losses

from .beside_torch import agree_to_second_order

rng = np.random.default_rng(0)
P, T, W = rng.uniform(0.05, 0.95, (3, 4, 5))
Z = rng.standard_normal((4, 5)) * 3


@pytest.mark.parametrize("reduction", losses.REDUCTIONS)
@pytest.mark.parametrize("weight", [None, W, W[0]], ids=["", "weight", "broadcast"])
def test_they_are_torchs(xp: Any, reduction: str, weight: Any) -> None:
    torch = pytest.importorskip("torch")
    F = torch.nn.functional
    w = None if weight is None else torch.tensor(weight)
    t = mg.tensor(T)
    agree_to_second_order(
        lambda p: losses.bce(p, t, weight, reduction),
        lambda p: F.binary_cross_entropy(p, torch.tensor(T), w, reduction=reduction),
        [P],
        second_tolerance=1e-9,  # torch adds 1e-12 to p and 1 − p there
    )
    agree_to_second_order(
        lambda z, t: losses.bce_with_logits(z, t, W[1], reduction, weight),
        lambda z, t: F.binary_cross_entropy_with_logits(z, t, w, reduction=reduction, pos_weight=torch.tensor(W[1])),
        [Z, T],
    )


def test_derivatives_to_second_order() -> None:
    p, t, w = (mg.tensor(a[:2], requires_grad=True) for a in (P, T, W))
    assert mg.gradcheck(lambda p, t, w: losses.bce(p, t, w), [p, t, w])
    assert mg.gradgradcheck(lambda p, t, w: losses.bce(p, t, w), [p, t, w])
    assert mg.gradgradcheck(lambda z, t, w: losses.bce_with_logits(z, t, weight=w), [p, t, w])


@pytest.mark.parametrize("dtype", ["float64", "float32", "float16"])
def test_certain_probabilities_are_torchs(xp: Any, dtype: str) -> None:
    """A logarithm of 0 counts as −100, and a gradient is divided by 1e-12 at least."""
    torch = pytest.importorskip("torch")
    host, targets = np.array([0.0, 0.0, 1.0, 1.0, 0.0, 1.0]), np.array([0.0, 1.0, 0.0, 1.0, 0.5, 0.5])
    p, t = mg.tensor(xp.array(host.astype(dtype)), requires_grad=True), torch.tensor(host, requires_grad=True)
    loss = losses.bce(p, targets, reduction="none")
    want = torch.nn.functional.binary_cross_entropy(t, torch.tensor(targets), reduction="none")
    np.testing.assert_array_equal(loss.numpy(), want.detach().numpy())
    assert loss.dtype == p.dtype
    if dtype != "float16":  # whose range ends below 1e12
        mg.sum(loss).backward()
        want.sum().backward()
        np.testing.assert_allclose(p.grad.numpy(), t.grad.numpy(), rtol=1e-6)


def test_nobody_waits_for_a_device(xp: Any) -> None:
    p = mg.tensor(xp.array(P.astype("float32")), requires_grad=True)
    with xp.no_sync():
        loss = losses.bce(p, T, weight=W[0]) + losses.bce_with_logits(p, T, weight=W)
        loss.backward()
    assert loss.dtype == p.grad.dtype == np.float32


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: losses.bce(Z, T), "bce: probabilities: got"),
        (lambda: losses.bce(P, T[0]), "bce: targets: got shape (5,), want (4, 5), that of probabilities"),
        (
            lambda: losses.bce(P, T, weight=np.ones(4)),
            "bce: weight: got shape (4,), want one that broadcasts to (4, 5)",
        ),
        (lambda: losses.bce_with_logits(Z, T, weight=np.ones((1, 4, 5))), "weight: got shape (1, 4, 5), want one that"),
        (lambda: losses.bce(np.ones(2, int), T), "bce: probabilities: got dtype int64, want floating point"),
    ],
)
def test_errors_name_what_is_wrong(call: Any, message: str) -> None:
    with pytest.raises((ValueError, TypeError)) as caught:
        call()
    assert message in str(caught.value)
