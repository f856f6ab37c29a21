"""Label smoothing, probabilities as targets and nll_loss, beside torch and at their edges."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

import minigrad as mg
from minigrad import losses

from .beside_torch import agree_to_second_order

REDUCTIONS = st.sampled_from(["mean", "sum", "none"])
SHAPES = st.lists(st.integers(1, 3), max_size=2)


def rows(torch_loss: Any, shape: list[int], reduction: str) -> Any:
    """torch's function of logits (…, C), whose class is on axis 1, and back to the targets' shape."""

    def function(x: Any, *more: Any, **options: Any) -> Any:
        loss = torch_loss(x.reshape(-1, x.shape[-1]), *more, reduction=reduction, **options)
        return loss.reshape(shape) if reduction == "none" else loss

    return function


@settings(max_examples=30)
@given(SHAPES, st.integers(2, 4), REDUCTIONS, st.booleans(), st.sampled_from([0.0, 0.1, 1.0]), st.integers(0, 9))
def test_smoothed_cross_entropy_and_nll_loss(
    xp: Any, shape: list[int], classes: int, reduction: str, weighted: bool, smoothing: float, seed: int
) -> None:
    torch = pytest.importorskip("torch")
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((*shape, classes)) * 3
    targets = np.where(rng.random(shape) < 0.3, -7, rng.integers(0, classes, shape))
    if (targets == -7).all():
        targets = np.zeros(shape, int)  # torch divides by zero there
    weight = rng.random(classes) + 0.1 if weighted else None
    w, ids = None if weight is None else torch.tensor(weight), torch.tensor(targets).reshape(-1)
    F = torch.nn.functional
    theirs = rows(
        lambda x, **o: F.cross_entropy(x, ids, w, label_smoothing=smoothing, ignore_index=-7, **o), shape, reduction
    )
    agree_to_second_order(lambda x: losses.cross_entropy(x, targets, weight, -7, reduction, smoothing), theirs, [x])
    theirs = rows(lambda x, **o: F.nll_loss(x, ids, w, ignore_index=-7, **o), shape, reduction)
    agree_to_second_order(lambda x: losses.nll_loss(x, targets, weight, -7, reduction), theirs, [x])


@settings(max_examples=30)
@given(SHAPES, st.integers(2, 4), REDUCTIONS, st.booleans(), st.sampled_from([0.0, 0.1, 1.0]), st.integers(0, 9))
def test_probabilities_as_targets(
    xp: Any, shape: list[int], classes: int, reduction: str, weighted: bool, smoothing: float, seed: int
) -> None:
    """Gradients by the targets too, as for a teacher that learns."""
    torch = pytest.importorskip("torch")
    rng = np.random.default_rng(seed)
    x, p = rng.standard_normal((*shape, classes)) * 3, rng.dirichlet(np.ones(classes), shape)
    weight = rng.random(classes) + 0.1 if weighted else None
    w = None if weight is None else torch.tensor(weight)

    def theirs(x: Any, p: Any) -> Any:
        cross_entropy = rows(torch.nn.functional.cross_entropy, shape, reduction)
        return cross_entropy(x, p.reshape(-1, classes), w, label_smoothing=smoothing)

    agree_to_second_order(
        lambda x, p: losses.cross_entropy(x, p, weight, reduction=reduction, label_smoothing=smoothing), theirs, [x, p]
    )


def test_a_one_hot_target_is_the_class_itself(xp: Any) -> None:
    x = xp.array(np.random.default_rng(0).standard_normal((2, 3, 4)).astype("float32"))
    ids = np.array([[0, 3, 1], [2, 2, 0]])
    for smoothing in (0.0, 0.2):
        want = losses.cross_entropy(x, ids, label_smoothing=smoothing)
        got = losses.cross_entropy(x, np.eye(4)[ids], label_smoothing=smoothing)
        assert got.dtype == np.float32
        np.testing.assert_allclose(got.item(), want.item(), rtol=1e-6)
    np.testing.assert_allclose(
        losses.nll_loss(mg.log_softmax(x), ids).item(), losses.cross_entropy(x, ids).item(), rtol=1e-6
    )


@pytest.mark.parametrize("weight", [None, [0.5, 1.0, 2.0]])
def test_gradients_flow_to_class_weights(weight: Any) -> None:
    """Beside finite differences: torch refuses them."""
    rng = np.random.default_rng(1)
    x, w = mg.tensor(rng.random((4, 3)), requires_grad=True), mg.tensor(rng.random(3) + 0.5, requires_grad=True)
    ids, p = [0, 1, -100, 1], rng.dirichlet(np.ones(3), 4)
    assert mg.gradgradcheck(lambda x, w: losses.cross_entropy(x, ids, w, label_smoothing=0.3), [x, w])
    assert mg.gradgradcheck(lambda x, w: losses.cross_entropy(x, p, w, label_smoothing=0.3), [x, w])
    assert mg.gradgradcheck(lambda x, w: losses.nll_loss(mg.log_softmax(x), ids, w), [x, w])


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("weight", [None, [0.5, 1.0, 2.0]])
def test_ignored_rows_may_hold_anything(xp: Any, value: float, weight: Any) -> None:
    host = np.random.default_rng(0).standard_normal((4, 3))
    host[1], host[3, 2] = value, value
    functions = [
        lambda x, ids: losses.cross_entropy(x, ids, weight, label_smoothing=0.2),
        lambda x, ids: losses.nll_loss(x, ids, weight),
    ]
    for function in functions:
        results = []
        for part, ids in ((slice(None), [2, -100, 0, -100]), ([0, 2], [2, 0])):
            x = mg.tensor(xp.array(host[part]), requires_grad=True)
            loss = function(x, ids)
            (g,) = mg.gradients(loss, [x])
            results.append((loss.item(), g.numpy()))
        (loss, g), (want, want_g) = results
        np.testing.assert_allclose(loss, want, rtol=1e-15)
        np.testing.assert_array_equal(g[[1, 3]], 0)
        np.testing.assert_allclose(g[[0, 2]], want_g, rtol=1e-14)


def test_half_precision_stays_in_range(xp: Any) -> None:
    logits = mg.tensor(xp.array(np.full((300, 300), 200.0, "float16")), requires_grad=True)
    for targets in (np.zeros(300, int), np.full((300, 300), 1 / 300)):
        loss = losses.cross_entropy(logits, targets, label_smoothing=0.1)
        assert loss.dtype == np.float16
        np.testing.assert_allclose(loss.item(), np.log(300), rtol=2e-3)
        assert np.isfinite(mg.gradients(loss, [logits])[0].numpy()).all()


def test_nobody_waits_for_a_device(xp: Any) -> None:
    logits = mg.tensor(xp.array(np.ones((3, 2), "float32")), requires_grad=True)
    with xp.no_sync():
        for loss in (
            losses.cross_entropy(logits, mg.tensor(np.array([0, 1, -100])), label_smoothing=0.1),
            losses.cross_entropy(logits, np.full((3, 2), 0.5), weight=np.array([1.0, 2.0])),
            losses.nll_loss(logits, np.array([0, 1, 1])),
        ):
            loss.backward()
            assert loss.dtype == np.float32


def test_nothing_to_average_is_zero(xp: Any) -> None:
    logits = mg.tensor(xp.array(np.ones((2, 3))), requires_grad=True)
    for loss in (
        losses.nll_loss(logits, [-100, -100]),
        losses.cross_entropy(logits, [-100, -100], label_smoothing=0.1),
        losses.cross_entropy(logits[:0], np.ones((0, 3))),
    ):
        assert loss.item() == 0
        assert not mg.gradients(loss, [logits])[0].numpy().any()


ROWS = mg.tensor(np.ones((2, 3)))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda: losses.cross_entropy(ROWS, np.ones((2, 2))),
            "dtype float64, want integers, or probabilities of shape",
        ),
        (
            lambda: losses.cross_entropy(ROWS, ROWS, ignore_index=1),
            "cross_entropy: ignore_index: got 1, want none where",
        ),
        (lambda: losses.cross_entropy(ROWS, [0, 1], label_smoothing=1.5), "cross_entropy: label_smoothing: got 1.5"),
        (lambda: losses.cross_entropy(ROWS, ROWS, weight=[1.0]), "cross_entropy: weight: got shape (1,), want (3,)"),
        (lambda: losses.nll_loss(ROWS, [0, 3]), "nll_loss: targets: got 3, want 0 to 2, or -100, which is ignored"),
        (lambda: losses.nll_loss(ROWS, ROWS), "nll_loss: targets: got dtype float64, want integers"),
        (lambda: losses.nll_loss(ROWS, [0]), "targets: got shape (1,), want (2,) for log_probs of shape (2, 3)"),
        (lambda: losses.nll_loss(mg.tensor(1.0), 0), "nll_loss: log_probs: got shape (), want (..., C)"),
        (lambda: losses.nll_loss(mg.tensor([[1]]), [0]), "nll_loss: log_probs: got dtype int64, want floating point"),
    ],
)
def test_errors_name_what_is_wrong(call: Any, message: str) -> None:
    with pytest.raises((ValueError, TypeError)) as caught:
        call()
    assert message in str(caught.value)
