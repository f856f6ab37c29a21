"""kl_div beside torch and at its edges."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import minigrad as mg
from minigrad import losses

from .beside_torch import agree_to_second_order

rng = np.random.default_rng(0)
P = rng.dirichlet(np.ones(4), (2, 3))
X = np.log(rng.dirichlet(np.ones(4), (2, 3)))


@pytest.mark.parametrize("reduction", [*losses.REDUCTIONS, "batchmean"])
@pytest.mark.parametrize("log_target", [False, True])
@pytest.mark.filterwarnings("ignore:reduction. 'mean' divides")  # torch's advice
def test_it_is_torchs(xp: Any, reduction: str, log_target: bool) -> None:
    F = pytest.importorskip("torch").nn.functional
    options: dict[str, Any] = {"reduction": reduction, "log_target": log_target}
    agree_to_second_order(
        lambda x, t: losses.kl_div(x, t, **options),
        lambda x, t: F.kl_div(x, t, **options),
        [X, np.log(P) if log_target else P],
    )


def test_derivatives_to_second_order() -> None:
    x, p = mg.tensor(X, requires_grad=True), mg.tensor(P + 0.2, requires_grad=True)  # log p is steep near 0
    for log_target in (False, True):
        assert mg.gradgradcheck(lambda x, p, on=log_target: losses.kl_div(x, p, log_target=on), [x, p])


def test_what_cannot_be_counts_nothing(xp: Any) -> None:
    """0 · log 0 is 0; the divergence of a distribution from itself is 0."""
    p = np.array([[0.0, 1.0], [0.5, 0.5]])
    x = mg.tensor(xp.array(np.log(np.array([[0.25, 0.75], [0.5, 0.5]], "float32"))), requires_grad=True)
    with xp.no_sync():
        loss = losses.kl_div(x, p, "batchmean")
        loss.backward()
    np.testing.assert_allclose(loss.item(), -np.log(0.75) / 2, rtol=1e-6)
    np.testing.assert_allclose(x.grad.numpy(), -p / 2, rtol=1e-6)
    assert losses.kl_div(mg.tensor(0.0), mg.tensor(0.5), "batchmean").shape == ()


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: losses.kl_div(X, P[0]), "kl_div: target: got shape (3, 4), want (2, 3, 4), that of log_probs"),
        (lambda: losses.kl_div(X, P, "batch"), "kl_div: reduction: got 'batch', want one of"),
        (lambda: losses.kl_div(X, P, log_target="yes"), "kl_div: log_target: got 'yes', want True or False"),
        (lambda: losses.kl_div(X[:0], P[:0], "batchmean"), "kl_div: got no values (shape (0, 3, 4))"),
    ],
)
def test_errors_name_what_is_wrong(call: Any, message: str) -> None:
    with pytest.raises((ValueError, TypeError)) as caught:
        call()
    assert message in str(caught.value)
