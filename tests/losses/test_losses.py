"""The losses: beside PyTorch, at their edges, and on every backend."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, strategies as st

import minigrad as mg

REDUCTIONS = st.sampled_from(["mean", "sum", "none"])
SHAPES = st.lists(st.integers(1, 4), max_size=3)


def agree(ours: mg.Tensor, x: mg.Tensor, theirs: Any, t: Any, tolerance: float = 1e-12) -> None:
    """Values and gradients by the inputs, weighed at random."""
    import torch

    np.testing.assert_allclose(ours.numpy(), theirs.detach().numpy(), rtol=tolerance, atol=tolerance)
    seed = np.asarray(np.random.default_rng(9).standard_normal(ours.shape))
    ours.backward(mg.tensor(seed))
    theirs.backward(torch.tensor(seed))
    np.testing.assert_allclose(x.grad.numpy(), t.grad.numpy(), rtol=tolerance, atol=tolerance)


@given(SHAPES, st.integers(1, 5), REDUCTIONS, st.booleans(), st.floats(0, 1), st.integers(0, 99))
def test_cross_entropy(
    xp: Any, shape: list[int], classes: int, reduction: str, weighted: bool, ignored: float, seed: int
) -> None:
    torch = pytest.importorskip("torch")
    rng = np.random.default_rng(seed)
    host = rng.standard_normal((*shape, classes)) * 5
    targets = np.where(rng.random(shape) < ignored, -7, rng.integers(0, classes, shape))
    if (targets == -7).all():
        targets = np.zeros(shape, int)  # torch divides by zero there; tested below
    weight = rng.random(classes) + 0.1 if weighted else None
    x = mg.tensor(host, requires_grad=True)
    t = torch.tensor(host, requires_grad=True)
    options = {"reduction": reduction, "ignore_index": -7}
    ours = mg.cross_entropy(x, targets, weight=weight, **options)
    theirs = torch.nn.functional.cross_entropy(
        t.reshape(-1, classes),
        torch.tensor(targets).reshape(-1),
        weight=None if weight is None else torch.tensor(weight),
        **options,
    )
    agree(ours, x, theirs.reshape(shape) if reduction == "none" else theirs, t)


def test_cross_entropy_takes_a_language_model_as_it_is(xp: Any) -> None:
    logits = mg.tensor(xp.array(np.zeros((5, 2, 4), "float32")), requires_grad=True)
    for targets in (np.zeros((5, 2), "uint8"), mg.tensor(np.zeros((5, 2), int)), [[0, 1]] * 5, [[0, -100]] * 5):
        loss = mg.cross_entropy(logits, targets)
        assert loss.shape == ()
        assert loss.dtype == np.float32
        np.testing.assert_allclose(float(loss), np.log(4), rtol=1e-6)
    assert mg.cross_entropy(logits, np.zeros((5, 2), int), reduction="none").shape == (5, 2)


@pytest.mark.parametrize("weight", [None, [1.0, 0.5, 2.0]])
@pytest.mark.parametrize("shape", [(2, 2), (0,)])
def test_cross_entropy_of_nothing_is_zero(xp: Any, weight: Any, shape: tuple[int, ...]) -> None:
    logits = mg.tensor(xp.array(np.ones((*shape, 3), "float32")), requires_grad=True)
    loss = mg.cross_entropy(logits, np.full(shape, -100), weight=weight)
    loss.backward()
    assert loss.item() == 0
    assert not logits.grad.numpy().any()


@given(st.sampled_from([np.nan, np.inf, -np.inf]), st.sampled_from(["float16", "float32", "float64"]), st.booleans())
def test_ignored_rows_may_hold_anything(xp: Any, value: float, dtype: str, weighted: bool) -> None:
    """Loss, first and second derivative are those of the other rows alone, and 0 in the ignored ones (torch too)."""
    host = np.random.default_rng(0).standard_normal((4, 3)).astype(dtype)
    host[1], host[3, 2] = value, value
    weight = [0.5, 1.0, 2.0] if weighted else None
    results = []
    for rows, targets in ((slice(None), [2, -100, 0, -100]), ([0, 2], [2, 0])):
        x = mg.tensor(xp.array(host[rows]), requires_grad=True)
        (g,) = mg.gradients(mg.cross_entropy(x, targets, weight=weight), [x], create_graph=True)
        (h,) = mg.gradients(mg.sum(mg.square(g)), [x])
        results.append((mg.cross_entropy(x, targets, weight=weight), g, h))
    (loss, g, h), (want, want_g, want_h) = results
    np.testing.assert_array_equal(loss.numpy(), want.numpy())
    for part, want_part in ((g, want_g), (h, want_h)):
        np.testing.assert_array_equal(part.numpy()[[1, 3]], 0)
        np.testing.assert_array_equal(part.numpy()[[0, 2]], want_part.numpy())


def test_the_loss_of_ignored_rows_is_torchs() -> None:
    """torch's value; its gradient of such a row is NaN."""
    torch = pytest.importorskip("torch")
    host, targets = np.array([[1.0, 2, 3], [np.nan, np.inf, 0]]), np.array([0, -100])
    want = torch.nn.functional.cross_entropy(torch.tensor(host), torch.tensor(targets)).item()
    np.testing.assert_allclose(mg.cross_entropy(mg.tensor(host), targets).item(), want, rtol=1e-15)


def test_cross_entropy_of_classes_without_weight_is_zero(xp: Any) -> None:
    logits = mg.tensor(xp.array(np.ones((2, 2))), requires_grad=True)
    assert mg.cross_entropy(logits, [0, 0], weight=[0.0, 1.0]).item() == 0


def test_extreme_logits_stay_finite(xp: Any) -> None:
    logits = mg.tensor(xp.array(np.array([[1e4, -1e4], [-1e4, 1e4]], "float32")), requires_grad=True)
    loss = mg.cross_entropy(logits, [0, 0])
    loss.backward()
    assert loss.item() == 1e4
    np.testing.assert_array_equal(logits.grad.numpy(), [[0, 0], [-0.5, 0.5]])
    z = mg.tensor(xp.array(np.array([1e4, -1e4], "float32")), requires_grad=True)
    loss = mg.bce_with_logits(z, [0.0, 1.0])
    loss.backward()
    assert loss.item() == 1e4
    np.testing.assert_array_equal(z.grad.numpy(), [0.5, -0.5])


@given(SHAPES, REDUCTIONS)
def test_mse(xp: Any, shape: list[int], reduction: str) -> None:
    torch = pytest.importorskip("torch")
    a, b = np.random.default_rng(0).standard_normal((2, *shape))
    x, t = mg.tensor(a, requires_grad=True), torch.tensor(a, requires_grad=True)
    theirs = torch.nn.functional.mse_loss(t, torch.tensor(b), reduction=reduction)
    agree(mg.mse(x, b, reduction=reduction), x, theirs, t)


@given(SHAPES, REDUCTIONS, st.sampled_from([None, (), "last", "whole"]))
def test_bce_with_logits(xp: Any, shape: list[int], reduction: str, weighted: Any) -> None:
    torch = pytest.importorskip("torch")
    rng = np.random.default_rng(0)
    z, target = rng.standard_normal(shape) * 4, rng.random(shape)
    pos_weight = (
        None if weighted is None else np.asarray(rng.random({"last": shape[-1:], "whole": shape}.get(weighted)))
    )
    x, t = mg.tensor(z, requires_grad=True), torch.tensor(z, requires_grad=True)
    theirs = torch.nn.functional.binary_cross_entropy_with_logits(
        t,
        torch.tensor(target),
        reduction=reduction,
        pos_weight=None if pos_weight is None else torch.tensor(pos_weight),
    )
    agree(mg.bce_with_logits(x, target, pos_weight=pos_weight, reduction=reduction), x, theirs, t)


def test_gradients_flow_to_targets_too() -> None:
    rng = np.random.default_rng(0)
    x, y = (mg.tensor(rng.random((3, 2)), requires_grad=True) for _ in range(2))
    assert mg.gradcheck(mg.mse, [x, y])
    assert mg.gradgradcheck(mg.bce_with_logits, [x, y])
    assert mg.gradgradcheck(lambda x: mg.cross_entropy(x, [0, 1, -100], weight=[0.3, 2.0]), [x])
    single = mg.tensor(rng.random((3, 2)).astype("float32"), requires_grad=True)
    mg.mse(x, single).backward()
    assert single.grad.dtype == np.float32


@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
def test_gradients_flow_to_weights_too(reduction: str) -> None:
    """Beside finite differences (torch refuses these gradients); a class that does not occur has none."""
    rng = np.random.default_rng(1)
    x, w = mg.tensor(rng.random((4, 3)), requires_grad=True), mg.tensor(rng.random(3) + 0.5, requires_grad=True)
    targets = [0, 1, -100, 1]
    assert mg.gradgradcheck(lambda x, w: mg.cross_entropy(x, targets, weight=w, reduction=reduction), [x, w])
    assert mg.gradgradcheck(lambda x, w: mg.bce_with_logits(x, x * 0.5, pos_weight=w, reduction=reduction), [x, w])
    mg.sum(mg.cross_entropy(x, targets, weight=w, reduction=reduction)).backward()
    assert w.grad.numpy()[2] == 0
    single = mg.tensor(np.ones(3, "float32"), requires_grad=True)
    mg.cross_entropy(x, targets, weight=single).backward()
    assert single.grad.dtype == np.float32


def test_dtypes_stay_and_nobody_waits(xp: Any) -> None:
    logits = mg.tensor(xp.array(np.ones((3, 2), "float32")), requires_grad=True)
    device_targets = mg.tensor(np.array([0, 1, -100]))
    wide = np.ones((3, 2))
    with xp.no_sync():
        losses = [
            mg.cross_entropy(logits, device_targets),
            mg.cross_entropy(logits, np.array([0, 1, 1]), weight=np.array([1.0, 2.0])),
            mg.mse(logits, wide),
            mg.mse(logits, mg.tensor(wide)),
            mg.bce_with_logits(logits, wide, pos_weight=np.array([1.0, 2.0])),
        ]
        for loss in losses:
            loss.backward()
    assert {loss.dtype for loss in losses} == {np.dtype("float32")}
    assert logits.grad.dtype == np.float32


def test_two_devices_do_not_mix() -> None:
    logits = mg.tensor(np.ones((2, 2)))
    with pytest.raises(mg.BackendError, match="cross_entropy: targets: is on strict, want numpy"):
        mg.cross_entropy(logits, mg.tensor([0, 1], backend="strict"))
    with pytest.raises(mg.BackendError, match="mse: target: is on strict, want numpy"):
        mg.mse(logits, mg.tensor(np.ones((2, 2)), backend="strict"))


ROWS = mg.tensor(np.ones((2, 3)))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: mg.cross_entropy(ROWS, [0, 3]), "cross_entropy: targets: got 3, want 0 to 2, or -100"),
        (lambda: mg.cross_entropy(ROWS, [0, -1]), "cross_entropy: targets: got -1, want 0 to 2"),
        (lambda: mg.cross_entropy(ROWS, [-100, 0], ignore_index=0), "cross_entropy: targets: got -100"),
        (lambda: mg.cross_entropy(ROWS, [0]), "targets: got shape (1,), want (2,) for logits of shape (2, 3)"),
        (lambda: mg.cross_entropy(ROWS, [0.0, 1.0]), "targets: got dtype float64, want integers"),
        (lambda: mg.cross_entropy(ROWS, [True, False]), "targets: got dtype bool, want integers"),
        (lambda: mg.cross_entropy(ROWS, [0, 1], weight=[1.0, 2.0]), "weight: got shape (2,), want (3,)"),
        (lambda: mg.cross_entropy(ROWS, [0, 1], reduction="avg"), "reduction: got 'avg', want one of"),
        (lambda: mg.cross_entropy(mg.tensor([[1, 2]]), [0]), "logits: got dtype int64, want floating point"),
        (lambda: mg.cross_entropy(mg.tensor(1.0), 0), "logits: got shape (), want (..., C)"),
        (lambda: mg.cross_entropy(mg.tensor(np.ones((2, 0))), [0, 0]), "logits: got shape (2, 0)"),
        (lambda: mg.mse(ROWS, np.ones(3)), "mse: target: got shape (3,), want (2, 3), that of prediction"),
        (lambda: mg.mse(mg.tensor([1]), [1]), "mse: prediction: got dtype int64"),
        (lambda: mg.mse(ROWS[:0], np.ones((0, 3))), "mse: got no values (shape (0, 3)), so there is no mean"),
        (lambda: mg.mse(ROWS, ROWS, reduction="max"), "mse: reduction: got 'max'"),
        (lambda: mg.bce_with_logits(ROWS, np.ones((3, 2))), "bce_with_logits: targets: got shape (3, 2), want (2, 3)"),
        (lambda: mg.bce_with_logits(ROWS, ROWS, pos_weight=[1.0, 2.0]), "pos_weight: got shape (2,), want one that"),
        (lambda: mg.bce_with_logits(ROWS, ROWS, np.ones((1, 2, 3))), "pos_weight: got shape (1, 2, 3)"),
    ],
)
def test_errors_name_what_is_wrong(call: Any, message: str) -> None:
    with pytest.raises((ValueError, TypeError)) as caught:
        call()
    assert message in str(caught.value)


def test_plain_arrays_are_taken_and_other_things_refused() -> None:
    host = np.array([[1.0, -2.0], [0.5, 3.0]])
    assert mg.mse(host, np.zeros((2, 2))).item() == np.mean(host**2)
    np.testing.assert_allclose(mg.cross_entropy(host, [0, 1]).item(), mg.cross_entropy(mg.tensor(host), [0, 1]).item())
    with pytest.raises(TypeError, match="mse: prediction: got list, want a Tensor or an array"):
        mg.mse([1.0], [1.0])
