"""Divergences over sequences: torch's numbers, padding that counts nowhere, and gradients through Jacobians by hand."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

import minigrad as mg
from minigrad_rnn import divergence, general_divergence, local_divergence
from minigrad_rnn.divergence import jacobian

T, B, F = 5, 3, 4
LENGTHS = [3, 5, 1]


def given_for(name: str, rng: Any, shape: tuple[int, int, int] = (T, B, F)) -> tuple[Any, Any]:
    y = rng.standard_normal(shape)
    if name == "cross_entropy":
        return y, rng.integers(0, shape[2], shape[:2])
    if name == "kl":
        d = rng.dirichlet(np.ones(shape[2]), shape[:2])
        d[0, 0] = np.eye(shape[2])[0]  # zeros, where d log d is 0
        return y - np.log(np.exp(y).sum(-1, keepdims=True)), d
    if name == "binary_cross_entropy":
        return y, rng.random(shape)
    return y, rng.standard_normal(shape)


@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
@pytest.mark.parametrize("name", list(divergence.LOCAL))
def test_local_divergences_are_torchs(name: str, reduction: str) -> None:
    torch = pytest.importorskip("torch")
    f = torch.nn.functional
    y, d = given_for(name, np.random.default_rng(0))
    leaf, theirs = mg.tensor(y, requires_grad=True), torch.tensor(y, requires_grad=True)
    want = {
        "cross_entropy": lambda a, b: f.cross_entropy(a.movedim(-1, 1), b, reduction=reduction),
        "squared_error": lambda a, b: f.mse_loss(a, b, reduction=reduction),
        "absolute_error": lambda a, b: f.l1_loss(a, b, reduction=reduction),
        "kl": lambda a, b: (
            f.kl_div(a, b, reduction=reduction) if reduction != "mean" else f.kl_div(a, b, reduction="sum") / a.numel()
        ),
        "binary_cross_entropy": lambda a, b: f.binary_cross_entropy_with_logits(a, b, reduction=reduction),
    }[name](theirs, torch.tensor(d))
    ours = local_divergence(name, leaf, d, reduction=reduction)
    np.testing.assert_allclose(ours.numpy(), want.detach().numpy(), atol=1e-12)
    (ours * ours).sum().backward()
    (want * want).sum().backward()
    np.testing.assert_allclose(leaf.grad.numpy(), theirs.grad.numpy(), atol=1e-12)


@settings(max_examples=25)
@given(st.data(), st.sampled_from(list(divergence.LOCAL)), st.sampled_from(["mean", "sum"]), st.booleans())
def test_padding_counts_nowhere_and_weights_weigh(data: Any, name: str, reduction: str, batch_first: bool) -> None:
    steps, batch = data.draw(st.integers(1, 5)), data.draw(st.integers(1, 4))
    lengths = data.draw(st.lists(st.integers(1, steps), min_size=batch, max_size=batch))
    padding_counts_nowhere(name, steps, lengths, reduction, batch_first, data.draw(st.integers(0, 1000)))


def padding_counts_nowhere(
    name: str, steps: int, lengths: list[int], reduction: str, batch_first: bool, seed: int
) -> None:
    rng, batch = np.random.default_rng(seed), len(lengths)
    y, d = given_for(name, rng, (steps, batch, F))
    w = rng.random((steps, batch)) + 0.1
    outside = np.arange(steps)[:, None] >= np.array(lengths)
    dirty = y.copy()
    dirty[outside] = np.nan
    d_dirty = d.copy()
    d_dirty[outside] = -7 if d.dtype.kind == "i" else np.nan
    turn = (lambda a: a.swapaxes(0, 1)) if batch_first else (lambda a: a)
    leaf = mg.tensor(turn(dirty).copy(), requires_grad=True)
    got = local_divergence(name, leaf, turn(d_dirty), lengths, turn(w), reduction, batch_first)
    terms = local_divergence(name, y, d, reduction="none").numpy()
    shares = np.where(outside, 0, w).reshape(steps, batch, *(1,) * (terms.ndim - 2))
    total = (terms * shares).sum()
    want = total if reduction == "sum" else total / np.broadcast_to(shares, terms.shape).sum()
    np.testing.assert_allclose(got.numpy(), want, rtol=1e-12)
    got.backward()
    grad = turn(leaf.grad.numpy())
    assert np.isfinite(grad).all()
    assert (grad[outside] == 0).all()
    assert (grad[~outside] != 0).any()


def test_a_step_that_does_not_count_is_torchs() -> None:
    """−100, as in `losses.cross_entropy`, also in the mean."""
    torch = pytest.importorskip("torch")
    y, d = given_for("cross_entropy", np.random.default_rng(5))
    d[1:3, 0] = -100
    for reduction in ("mean", "sum", "none"):
        want = torch.nn.functional.cross_entropy(torch.tensor(y).movedim(-1, 1), torch.tensor(d), reduction=reduction)
        got = local_divergence("cross_entropy", y, d, reduction=reduction)
        np.testing.assert_allclose(got.numpy(), want.numpy(), atol=1e-12)


def test_whole_numbers_and_truth_values_are_numbers_in_the_outputs_dtype() -> None:
    y, d = given_for("binary_cross_entropy", np.random.default_rng(6))
    y, d = y.astype("float32"), d > 0.5
    for name in ("binary_cross_entropy", "squared_error", "cross_entropy"):
        want = local_divergence(name, y, d.astype("float32"))
        for validation in (d, d.astype(int), d.tolist()):
            got = local_divergence(name, y, validation)
            assert got.dtype == np.float32
            assert got.item() == want.item()


def test_no_probability_where_none_is_wanted_costs_nothing() -> None:
    y = mg.tensor([[[0.0, -np.inf]]], requires_grad=True)
    loss = local_divergence("kl", y, [[[1.0, 0.0]]])
    loss.backward()
    assert loss.item() == 0
    np.testing.assert_array_equal(y.grad.numpy(), [[[-0.5, 0]]])


@pytest.mark.parametrize("name", list(divergence.LOCAL))
@pytest.mark.parametrize("shape", [(3, 3, 3), (3, 3, 1), (1, 1, 4)])
def test_targets_are_never_broadcast(name: str, shape: tuple[int, int, int]) -> None:
    """(T, B, F) beside (T, B) would pair steps with sequences, and often fits."""
    y = np.zeros(shape)
    with pytest.raises(ValueError, match=r"local_divergence: targets: got float64 of shape .*, want \(\d, \d, \d\)"):
        local_divergence(name, y, np.zeros(shape[:2]))


def test_a_divergence_that_reads_padding_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    class Longer(divergence.Lengths):
        def __init__(self, steps: Any, T: int, *rest: Any) -> None:
            super().__init__(np.minimum(np.array(steps) + 1, T), T, *rest)

    monkeypatch.setattr(divergence, "Lengths", Longer)
    with pytest.raises(AssertionError):
        padding_counts_nowhere("squared_error", T, LENGTHS, "sum", False, 0)


def coupled(y: Any, d: Any) -> Any:
    """Couples every step with every other one."""
    return mg.logsumexp(y @ d.T if isinstance(d, mg.Tensor) else y @ mg.tensor(d.T.copy())) + mg.square(mg.mean(y))


def test_a_general_divergence_is_each_sequence_alone() -> None:
    rng = np.random.default_rng(1)
    y, d = rng.standard_normal((T, B, F)), rng.standard_normal((T, B, F))
    for b, n in enumerate(LENGTHS):
        y[n:, b] = np.nan
    leaf = mg.tensor(y, requires_grad=True)
    every = general_divergence(coupled, leaf, d, LENGTHS, "none")
    general_divergence(coupled, leaf, d, LENGTHS).backward()
    for b, n in enumerate(LENGTHS):
        alone = mg.tensor(y[:n, b].copy(), requires_grad=True)
        value = coupled(alone, d[:n, b])
        value.backward()
        np.testing.assert_allclose(every.numpy()[b], value.numpy(), rtol=1e-13)
        np.testing.assert_allclose(leaf.grad.numpy()[:n, b], alone.grad.numpy() / B, atol=1e-14)
        assert (leaf.grad.numpy()[n:, b] == 0).all()


def test_a_general_divergence_agrees_with_differences() -> None:
    rng = np.random.default_rng(2)
    y, d = (mg.tensor(rng.standard_normal((T, B, F)), requires_grad=True) for _ in range(2))
    assert mg.gradcheck(lambda a, b: general_divergence(coupled, a, b, LENGTHS), [y, d])
    assert mg.gradcheck(lambda a: local_divergence("squared_error", a, d.detach(), LENGTHS, np.arange(1.0, T + 1)), [y])


def simplex(z: Any) -> Any:
    """A user's own vector activation: squares, over their sum."""
    q = mg.square(z) + 0.1
    return q / mg.sum(q, axis=-1, keepdims=True)


@pytest.mark.parametrize("activation", [mg.softmax, mg.tanh, simplex], ids=["softmax", "tanh", "own"])
def test_the_tape_multiplies_with_the_jacobian(activation: Any, xp: Any) -> None:
    rng = np.random.default_rng(3)
    z = mg.tensor(rng.standard_normal((T, B, F)), dtype="float64", requires_grad=True)
    d = rng.standard_normal((T, B, F))
    local_divergence("squared_error", activation(z), d, LENGTHS, reduction="sum").backward()
    Y = activation(z).numpy()
    dY = 2 * (Y - d) * (np.arange(T)[:, None] < np.array(LENGTHS))[:, :, None]
    J = jacobian(activation, z).numpy()
    if activation is mg.softmax:  # slide 86, by hand
        by_hand = Y[..., :, None] * (np.eye(F) - Y[..., None, :])
        np.testing.assert_allclose(J, by_hand, atol=1e-14)
    np.testing.assert_allclose(z.grad.numpy(), np.einsum("tbk,tbkf->tbf", dY, J), atol=1e-13)


@pytest.mark.parametrize("name", list(divergence.LOCAL))
def test_on_a_device_nobody_waits(name: str, xp: Any) -> None:
    y, d = given_for(name, np.random.default_rng(4))
    d = d if d.dtype.kind == "i" else d.astype("float32")
    leaf = mg.tensor(y, dtype="float32", requires_grad=True)
    there = xp.array(d)
    with xp.no_sync():
        loss = local_divergence(name, leaf, there, LENGTHS, np.ones(T))
        loss.backward()
    assert loss.dtype == np.float32
    want = local_divergence(name, mg.tensor(y, backend="numpy"), d, LENGTHS).numpy()
    np.testing.assert_allclose(loss.numpy(), want, rtol=1e-5)


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        ({"local": "hinge"}, "local_divergence: local: got 'hinge'"),
        ({"reduction": "max"}, "local_divergence: reduction: got 'max'"),
        ({"targets": np.zeros((T, B + 1, F))}, "local_divergence: targets: got"),
        ({"weights": np.ones(T + 1)}, r"local_divergence: weights: got shape \(6,\)"),
        ({"lengths": [1, 2, 9]}, "local_divergence: lengths: got 9"),
        ({"outputs": np.zeros((T, F))}, "local_divergence: outputs: got shape"),
        ({"local": lambda y, d: mg.sum(y)}, r"local_divergence: local: got shape \(\), want a tensor \(5, 3\)"),
        ({"local": lambda y, d: 3.0}, "local_divergence: local: got float, want a tensor"),
        (
            {"weights": mg.tensor(np.ones(T), requires_grad=True)},
            "local_divergence: weights: got a tensor that requires",
        ),
    ],
)
def test_errors_say_what_is_wrong(options: dict[str, Any], complaint: str) -> None:
    usual = {"local": "squared_error", "outputs": np.zeros((T, B, F)), "targets": np.zeros((T, B, F))}
    with pytest.raises(ValueError, match=complaint):
        local_divergence(**{**usual, **options})


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        ({"targets": None}, "local_divergence: targets: got None, want numbers"),
        ({"outputs": np.zeros((T, B, F), int)}, "local_divergence: outputs: got dtype int64"),
        ({"outputs": [[[1.0]]]}, "local_divergence: outputs: got list"),
        ({"local": 3}, "local_divergence: local: got int, want a function"),
    ],
)
def test_what_is_no_number_is_refused(options: dict[str, Any], complaint: str) -> None:
    usual = {"local": "squared_error", "outputs": np.zeros((T, B, F)), "targets": np.zeros((T, B, F))}
    with pytest.raises(TypeError, match=complaint):
        local_divergence(**{**usual, **options})


def test_a_general_divergence_says_what_is_wrong() -> None:
    y = np.zeros((T, B, F))
    with pytest.raises(TypeError, match="general_divergence: function: got str, want a function"):
        general_divergence("kl", y)  # type: ignore[arg-type]
    for function, got in ((lambda y: y, r"shape \(5, 4\)"), (lambda y: 3.0, "float")):
        with pytest.raises(ValueError, match=f"general_divergence: function: got {got}, want a scalar tensor"):
            general_divergence(function, y)
