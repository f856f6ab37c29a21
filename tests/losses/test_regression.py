"""l1, huber and smooth_l1 beside torch, at their kinks and edges."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import minigrad as mg
from minigrad import losses

from .beside_torch import agree_to_second_order

rng = np.random.default_rng(0)
A, B = rng.standard_normal((2, 4, 5)) * 2
NAMES = {"l1": "l1_loss", "huber": "huber_loss", "smooth_l1": "smooth_l1_loss", "mse": "mse_loss"}
CASES: list[tuple[str, dict[str, float]]] = [("l1", {}), ("mse", {}), ("huber", {}), ("huber", {"delta": 0.3})]
CASES += [("smooth_l1", {}), ("smooth_l1", {"beta": 0.5}), ("smooth_l1", {"beta": 0.0})]


@pytest.mark.parametrize("reduction", losses.REDUCTIONS)
@pytest.mark.parametrize(("name", "options"), CASES)
def test_it_is_torchs(xp: Any, name: str, options: dict[str, float], reduction: str) -> None:
    F = pytest.importorskip("torch").nn.functional
    ours, theirs = getattr(losses, name), getattr(F, NAMES[name])
    agree_to_second_order(
        lambda x, t: ours(x, t, reduction=reduction, **options),
        lambda x, t: theirs(x, t, reduction=reduction, **options),
        [A, B],
    )


@pytest.mark.parametrize(("name", "options"), CASES)
def test_derivatives_at_the_kinks_are_torchs(name: str, options: dict[str, float]) -> None:
    torch = pytest.importorskip("torch")
    host = np.array([0.0, -0.0, 0.5, -0.5, 1.0, -1.0, 0.3, -0.3, 1e150, -1e150])
    x, t = mg.tensor(host, requires_grad=True), torch.tensor(host, requires_grad=True)
    getattr(losses, name)(x, np.zeros(10), reduction="sum", **options).backward()
    getattr(torch.nn.functional, NAMES[name])(t, torch.zeros(10).double(), reduction="sum", **options).backward()
    np.testing.assert_allclose(x.grad.numpy(), t.grad.numpy(), rtol=1e-15)


@pytest.mark.parametrize(("name", "options"), CASES)
def test_derivatives_to_second_order(name: str, options: dict[str, float]) -> None:
    x, t = mg.tensor(A, requires_grad=True), mg.tensor(B, requires_grad=True)
    assert mg.gradcheck(lambda x, t: getattr(losses, name)(x, t, **options), [x, t])
    assert mg.gradgradcheck(lambda x, t: getattr(losses, name)(x, t, **options), [x, t])


def test_a_wrong_slope_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    from minigrad.losses import regression

    monkeypatch.setattr(regression, "_huber", lambda d, delta: mg.where(mg.abs(d) <= delta, d * d * 0.501, mg.abs(d)))
    with pytest.raises(AssertionError):
        test_it_is_torchs(None, "huber", {}, "mean")


def test_dtypes_stay(xp: Any) -> None:
    x = mg.tensor(xp.array(A.astype("float32")), requires_grad=True)
    with xp.no_sync():
        results = [getattr(losses, name)(x, B, **options) for name, options in CASES]
        sum(results[1:], results[0]).backward()
    assert {y.dtype for y in results} == {x.grad.dtype} == {np.dtype("float32")}


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: losses.l1(A, B[:2]), "l1: target: got shape (2, 5), want (4, 5), that of prediction"),
        (lambda: losses.l1(A[:0], B[:0]), "l1: got no values (shape (0, 5)), so there is no mean"),
        (lambda: losses.huber(A, B, delta=0), "huber: delta: got 0, want a finite number above 0"),
        (lambda: losses.smooth_l1(A, B, beta=-1.0), "smooth_l1: beta: got -1.0, want a finite number of at least 0"),
        (lambda: losses.huber(A, B, reduction="max"), "huber: reduction: got 'max', want one of"),
        (lambda: losses.l1(np.ones(2, int), [1, 1]), "l1: prediction: got dtype int64, want floating point"),
    ],
)
def test_errors_name_what_is_wrong(call: Any, message: str) -> None:
    with pytest.raises((ValueError, TypeError)) as caught:
        call()
    assert message in str(caught.value)
