"""CTC: the loss beside torch, beside a sum over all paths and beside differences."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
from hypothesis import given, strategies as st

import minigrad as mg
from minigrad_rnn import CTCLoss, best_path, ctc_loss
from minigrad_rnn.ctc import lattice as ctc_lattice
from minigrad_rnn.ctc.lattice import ctc_negative_log_likelihood

TARGETS = np.array([[1, 2, 2], [3, 1, -9], [9, 9, 9]])
FRAMES, COUNTS = [7, 5, 3], [3, 2, 0]


def drawn(*shape: int, seed: int = 0) -> np.ndarray:
    """Log probabilities that are normalised, as a net gives them."""
    x = np.random.default_rng(seed).standard_normal(shape)
    return x - np.log(np.exp(x).sum(-1, keepdims=True))


def collapsed(path: tuple[int, ...], blank: int) -> tuple[int, ...]:
    return tuple(c for c, _ in itertools.groupby(path) if c != blank)


def over_all_paths(log_probs: np.ndarray, blank: int) -> dict[tuple[int, ...], float]:
    """The probability of every labelling, one path after another. log_probs (T, C)."""
    result: dict[tuple[int, ...], float] = {}
    for path in itertools.product(range(log_probs.shape[1]), repeat=len(log_probs)):
        labels = collapsed(path, blank)
        result[labels] = result.get(labels, 0.0) + float(np.exp(log_probs[range(len(path)), path].sum()))
    return result


def gradient_over_all_paths(log_probs: np.ndarray, target: tuple[int, ...], blank: int) -> np.ndarray:
    """d(−log p)/d(log_probs): minus the share of the target's paths that go through each class."""
    through, p = np.zeros(log_probs.shape), 0.0
    steps = range(len(log_probs))
    for path in itertools.product(range(log_probs.shape[1]), repeat=len(log_probs)):
        if collapsed(path, blank) == target:
            weight = np.exp(log_probs[steps, path].sum())
            through[steps, path] += weight
            p += weight
    return -through / p if p else through


def agrees_with_all_paths(T: int = 4, C: int = 3, blank: int = 0) -> None:
    """Every labelling of T frames: value and gradient, to 1e-12."""
    log_probs = drawn(T, C)
    probabilities = over_all_paths(log_probs, blank)
    for target, p in probabilities.items():
        x = mg.tensor(log_probs, requires_grad=True)
        loss = ctc_loss(x, list(target), T, len(target), blank, "sum")
        loss.backward()
        np.testing.assert_allclose(loss.item(), -np.log(p), rtol=1e-12, err_msg=str(target))
        want = gradient_over_all_paths(log_probs, target, blank)
        np.testing.assert_allclose(x.grad.numpy(), want, rtol=0, atol=1e-12, err_msg=str(target))


@pytest.mark.parametrize(("T", "C", "blank"), [(1, 2, 0), (1, 3, 2), (2, 3, 1), (4, 3, 0), (5, 3, 2), (6, 2, 1)])
def test_the_sum_over_all_paths(xp: Any, T: int, C: int, blank: int) -> None:
    agrees_with_all_paths(T, C, blank)


def test_the_probabilities_of_all_labellings_add_up_to_one() -> None:
    log_probs = drawn(4, 3)
    labellings = [s for n in range(5) for s in itertools.product((1, 2), repeat=n)]
    losses = [ctc_loss(log_probs, list(s), 4, len(s)).item() * max(len(s), 1) for s in labellings]
    np.testing.assert_allclose(np.exp(-np.array(losses)).sum(), 1, rtol=1e-12)


def skip_everything(states: Any) -> Any:
    """The fault that lets a path skip the blank between two equal labels."""
    skip = np.full((len(states) + 2, states.shape[1]), -np.inf)
    skip[1::2] = 0
    return skip


def begin_twice(W: int, first: Any) -> Any:
    """The fault that lets a path stand in its leading blank before the first frame, too."""
    start = RIGHT_STARTS(W, first)
    start[first + 2, np.arange(len(first))] = 0
    return start


RIGHT_STARTS = ctc_lattice._starts


@pytest.mark.parametrize(
    ("name", "fault"),
    [
        ("_skips", skip_everything),
        ("_skips", lambda states: np.full((len(states) + 2, states.shape[1]), -np.inf)),
        ("_starts", begin_twice),
    ],
    ids=["equal labels are skipped", "nothing is skipped", "two beginnings"],
)
def test_a_planted_fault_is_caught(monkeypatch: pytest.MonkeyPatch, name: str, fault: Any) -> None:
    monkeypatch.setattr(ctc_lattice, name, fault)
    with pytest.raises(AssertionError):
        agrees_with_all_paths()


def test_a_short_target_read_back_from_the_longests_end_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ctc_lattice, "_starts", lambda W, first: RIGHT_STARTS(W, np.zeros_like(first)))
    with pytest.raises(AssertionError):
        padding_has_no_influence()


@pytest.mark.parametrize("scale", [1.001, -1])
def test_a_wrong_rule_is_caught(monkeypatch: pytest.MonkeyPatch, scale: float) -> None:
    right = ctc_lattice._per_class
    monkeypatch.setattr(ctc_lattice, "_per_class", lambda *validation: right(*validation) * scale)
    x = mg.tensor(drawn(4, 2, 3), requires_grad=True)
    with pytest.raises(mg.GradcheckError):
        mg.gradcheck(lambda x: ctc_loss(x, [[1, 1], [2, 1]], [4, 3], [2, 2]), [x])


@given(st.data())
def test_equal_to_torch(xp: Any, data: Any) -> None:
    """Values to 1e-10; gradients with respect to what goes into log_softmax to 1e-9."""
    torch = pytest.importorskip("torch")
    pick = lambda low, high: data.draw(st.integers(low, high))  # noqa: E731
    T, B, C, seed = pick(1, 9), pick(1, 4), pick(2, 5), pick(0, 99)
    zero_infinity = data.draw(st.booleans())
    rng = np.random.default_rng(seed)
    S, blank = pick(0, 5), pick(0, C - 1)
    frames = rng.integers(0, T + 1, B)
    counts = np.minimum(rng.integers(0, S + 1, B), S if zero_infinity else frames)
    labels = rng.integers(0, C - 1, (B, S))
    labels += labels >= blank
    options = {"blank": blank, "reduction": data.draw(st.sampled_from(["none", "mean", "sum"]))}
    options["zero_infinity"] = zero_infinity
    if data.draw(st.booleans()):
        labels = labels[np.arange(S) < counts[:, None]]
    host = rng.standard_normal((T, B, C)) * 3
    x, t = mg.tensor(host, requires_grad=True), torch.tensor(host, requires_grad=True)
    ours = ctc_loss(mg.log_softmax(x), labels, frames, counts, **options)
    theirs = torch.nn.functional.ctc_loss(
        t.log_softmax(-1), torch.tensor(labels), torch.tensor(frames), torch.tensor(counts), **options
    )
    np.testing.assert_allclose(ours.numpy(), theirs.detach().numpy(), rtol=1e-10, atol=1e-10)
    seed = rng.standard_normal(ours.shape)
    ours.backward(mg.tensor(np.asarray(seed)))
    theirs.backward(torch.tensor(seed))
    got, want = x.grad.numpy(), t.grad.numpy()
    reached = np.isfinite(want).all(axis=(0, 2))  # torch's gradient of an infinite loss is NaN, ours is zero
    assert reached.all() or not zero_infinity
    assert not got[:, ~reached].any()
    np.testing.assert_allclose(got[:, reached], want[:, reached], rtol=0, atol=1e-9)


def test_one_sequence_without_a_batch_axis_equals_torch(xp: Any) -> None:
    torch = pytest.importorskip("torch")
    log_probs = drawn(6, 4)
    x = mg.tensor(log_probs, requires_grad=True)
    for count, targets, reduction in itertools.product((2, [2]), ([1, 1], [[1, 1]]), ("none", "mean", "sum")):
        loss = ctc_loss(x, targets, 5, count, reduction=reduction)
        want = torch.nn.functional.ctc_loss(
            torch.tensor(log_probs), torch.tensor(targets), torch.tensor(5), torch.tensor(count), reduction=reduction
        )
        assert loss.shape == tuple(want.shape) == ()
        np.testing.assert_allclose(loss.item(), want.item(), rtol=1e-12)


def test_derivatives_of_first_and_second_order(xp: Any) -> None:
    """Of log_probs as they are, normalised or not; `ctc_negative_log_likelihood` is the primitive inside."""
    x = mg.tensor(np.random.default_rng(3).standard_normal((7, 3, 4)), requires_grad=True)

    def loss(x: Any) -> Any:
        return ctc_loss(x, TARGETS, FRAMES, COUNTS, reduction="none")

    assert loss(x).node.op == ctc_negative_log_likelihood.__name__
    assert mg.gradcheck(loss, [x])
    assert mg.gradgradcheck(loss, [x])
    assert mg.gradgradcheck(lambda x: mg.exp(loss(mg.log_softmax(x)) * -0.1), [x])


def test_a_recorded_walk_gives_the_same_first_order(xp: Any) -> None:
    """And stays free of NaN where a sequence has no path, a class no probability, or the padding no number."""
    host = drawn(7, 4, 4)
    host[3, 0, 2] = -np.inf
    host[5:, 1] = np.nan
    x = mg.tensor(host, requires_grad=True)
    targets = [*TARGETS, [1, 1, 1]]
    loss = ctc_loss(x, targets, [*FRAMES, 4], [*COUNTS, 3], reduction="none", zero_infinity=True)
    (fused,) = mg.gradients(loss, [x], mg.tensor([1.0, 2, 3, 4], dtype="float64"), retain_graph=True)
    (again,) = mg.gradients(loss, [x], mg.tensor([1.0, 2, 3, 4], dtype="float64"), retain_graph=True)
    (recorded,) = mg.gradients(loss, [x], mg.tensor([1.0, 2, 3, 4], dtype="float64"), create_graph=True)
    np.testing.assert_array_equal(again.numpy(), fused.numpy())
    np.testing.assert_allclose(recorded.numpy(), fused.numpy(), rtol=0, atol=1e-12)
    (second,) = mg.gradients((recorded * recorded).sum(), [x])
    assert np.isfinite(second.numpy()).all()


def test_padding_has_no_influence(xp: Any) -> None:
    padding_has_no_influence()


def padding_has_no_influence() -> None:
    """Neither frames beyond the input's length, NaN or inf as they may be, nor labels beyond the target's."""
    host = drawn(7, 3, 4)
    result = []
    for beyond, label in ((0.0, 1), (np.nan, 0), (np.inf, -100), (-np.inf, 99)):
        padded, targets = host.copy(), TARGETS.copy()
        for b in range(3):
            padded[FRAMES[b] :, b] = beyond
            targets[b, COUNTS[b] :] = label
        x = mg.tensor(padded, requires_grad=True)
        loss = ctc_loss(x, targets, FRAMES, COUNTS, reduction="none")
        loss.backward(mg.tensor(np.ones(3)))
        result.append((loss.numpy(), x.grad.numpy()))
        for b in range(3):
            assert not x.grad.numpy()[FRAMES[b] :, b].any()
    for loss, gradient in result[1:]:
        np.testing.assert_array_equal(loss, result[0][0])
        np.testing.assert_array_equal(gradient, result[0][1])
    for b in range(3):  # each alone, cut to its own length
        x = mg.tensor(host[: FRAMES[b], b].copy(), requires_grad=True)
        alone = ctc_loss(x, TARGETS[b, : COUNTS[b]], FRAMES[b], COUNTS[b], reduction="sum")
        alone.backward()
        np.testing.assert_allclose(alone.item(), result[0][0][b], rtol=1e-14)
        np.testing.assert_allclose(x.grad.numpy(), result[0][1][: FRAMES[b], b], rtol=0, atol=1e-14)


@pytest.mark.parametrize("zero_infinity", [False, True])
def test_what_no_path_collapses_to(xp: Any, zero_infinity: bool) -> None:
    """Equal labels need a blank between them; a class may have no probability. The others are not disturbed."""
    host = drawn(4, 3, 3)
    host[:, 1, 2] = -np.inf
    x = mg.tensor(host, requires_grad=True)
    loss = ctc_loss(
        x, [[1, 1, 1], [1, 2, 0], [1, 2, 0]], [4, 4, 4], [3, 2, 2], reduction="none", zero_infinity=zero_infinity
    )
    loss.backward(mg.tensor(np.ones(3)))
    np.testing.assert_array_equal(loss.numpy()[:2], [0, 0] if zero_infinity else [np.inf, np.inf])
    assert 0 < loss.numpy()[2] < np.inf
    assert not x.grad.numpy()[:, :2].any()
    np.testing.assert_allclose(x.grad.numpy()[:, 2], gradient_over_all_paths(host[:, 2], (1, 2), 0), atol=1e-12)


def test_a_target_longer_than_its_input_is_a_mistake_unless_allowed_for(xp: Any) -> None:
    x = mg.tensor(drawn(4, 2, 3), requires_grad=True)
    arguments = ([[1, 2, 1], [1, 2, 0]], [2, 4], [3, 2])
    with pytest.raises(ValueError, match=r"target_lengths: got 3 labels for input_lengths of 2 at batch entry 0"):
        ctc_loss(x, *arguments)
    loss = ctc_loss(x, *arguments, reduction="none", zero_infinity=True)
    loss.backward(mg.tensor(np.ones(2)))
    assert loss.numpy()[0] == 0 < loss.numpy()[1]
    assert not x.grad.numpy()[:, 0].any()
    assert x.grad.numpy()[:, 1].any()


def test_empty_targets_are_all_blanks(xp: Any) -> None:
    host = drawn(4, 2, 3)
    x = mg.tensor(host, requires_grad=True)
    for targets in ([], np.zeros((2, 0), int), [[5, 5], [5, 5]]):
        loss = ctc_loss(x, targets, [4, 0], [0, 0], blank=1, reduction="none")
        np.testing.assert_allclose(loss.numpy(), [-host[:, 0, 1].sum(), 0], rtol=1e-14)
        (g,) = mg.gradients(loss, [x], mg.tensor(np.ones(2)))
        want = np.zeros(host.shape)
        want[:, 0, 1] = -1
        np.testing.assert_allclose(g.numpy(), want, rtol=0, atol=1e-14)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("reduction", ["none", "mean", "sum"])
def test_dtypes_stay_and_nobody_waits(xp: Any, dtype: str, reduction: str) -> None:
    host = drawn(7, 3, 4)
    x = mg.tensor(host.astype(dtype), requires_grad=True)
    with xp.no_sync():
        loss = CTCLoss(reduction=reduction)(x, TARGETS, FRAMES, COUNTS)
        (g,) = mg.gradients(loss, [x], mg.tensor(np.ones(loss.shape, dtype)), retain_graph=True)
        (r,) = mg.gradients(loss, [x], mg.tensor(np.ones(loss.shape, dtype)), create_graph=True)
    assert {y.dtype for y in (loss, g, r)} == {np.dtype(dtype)}
    assert {y.backend for y in (loss, g, r)} == {xp.name}
    with mg.use_backend("numpy"):
        wide = ctc_loss(host, TARGETS, FRAMES, COUNTS, reduction=reduction)
    np.testing.assert_allclose(loss.numpy(), wide.numpy(), rtol=1e-5 if dtype == "float32" else 1e-12)
    np.testing.assert_allclose(g.numpy(), r.numpy(), rtol=0, atol=1e-5 if dtype == "float32" else 1e-12)


def test_a_long_sequence_of_unlikely_classes_stays_finite() -> None:
    """e^−40 at each of 300 frames is far below float32's smallest number."""
    x = mg.tensor(np.full((300, 1, 5), -40, "float32"), requires_grad=True)
    loss = ctc_loss(x, [[1, 2, 2, 3]], [300], [4], reduction="sum")
    loss.backward()
    assert 11_900 < loss.item() < 12_000
    # In every frame the path is somewhere. At 12,000 float32 has three decimals left.
    np.testing.assert_allclose(x.grad.numpy().sum(-1), -1, rtol=5e-3)


def test_a_step_against_the_gradient_teaches_the_target() -> None:
    """Descent on the logits alone; the best path then is the target."""
    z = mg.tensor(drawn(12, 2, 4), requires_grad=True)
    loss_of = CTCLoss()
    for _ in range(60):
        z.grad = None
        loss_of(mg.log_softmax(z), [[1, 2, 2], [3, 1, 0]], [12, 9], [3, 2]).backward()
        z.data = z.data - 5 * z.grad.data
    assert [y.labels for y in best_path(mg.log_softmax(z), [12, 9])] == [(1, 2, 2), (3, 1)]
    assert repr(loss_of) == "CTCLoss(blank=0, reduction='mean', zero_infinity=False)"


class LikeAnArray:
    """As torch's tensors look from here."""

    shape, ndim, dtype = (4, 2, 3), 3, "float64"


X = drawn(4, 2, 3)
GOOD = {"log_probs": X, "targets": [[1, 2], [2, 2]], "input_lengths": [4, 3], "target_lengths": [2, 2]}


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"log_probs": X[0, 0]}, ValueError, r"log_probs: got shape \(3,\), want \(T, B, C\)"),
        ({"log_probs": X[:0]}, ValueError, r"log_probs: got shape \(0, 2, 3\)"),
        ({"log_probs": np.ones((4, 2, 3), int)}, TypeError, "log_probs: got dtype int64, want floating point"),
        ({"log_probs": X.tolist()}, TypeError, "log_probs: got list, want a Tensor or an array"),
        ({"log_probs": LikeAnArray()}, TypeError, "log_probs: got LikeAnArray, want a Tensor or an array"),
        ({"blank": 3}, ValueError, "blank: got 3, want a class from 0 to 2"),
        ({"blank": -1}, ValueError, "blank: got -1"),
        ({"blank": 1.0}, TypeError, "blank: got float, want an integer"),
        ({"reduction": "max"}, ValueError, "reduction: got 'max', want one of"),
        ({"input_lengths": [4, 5]}, ValueError, "input_lengths: got 5 at batch entry 1, want 0 to T = 4"),
        ({"input_lengths": [-1, 4]}, ValueError, "input_lengths: got -1 at batch entry 0"),
        ({"input_lengths": [4]}, ValueError, r"input_lengths: got shape \(1,\), want \(2,\)"),
        ({"input_lengths": 4}, ValueError, r"input_lengths: got shape \(\)"),
        ({"input_lengths": [4.0, 3.0]}, TypeError, "input_lengths: got dtype float64, want integers"),
        ({"target_lengths": [2, 3]}, ValueError, "target_lengths: got 3 at batch entry 1, want 0 to S = 2"),
        ({"target_lengths": [2, -2]}, ValueError, "target_lengths: got -2 at batch entry 1"),
        ({"target_lengths": [True, True]}, TypeError, "target_lengths: got dtype bool, want integers"),
        ({"input_lengths": [1, 3]}, ValueError, "target_lengths: got 2 labels for input_lengths of 1 at batch entry 0"),
        ({"targets": [[1, 2], [0, 2]]}, ValueError, "targets: got 0 at batch entry 1, label 0, want a class from 0 to"),
        ({"targets": [[1, 3], [1, 2]]}, ValueError, "targets: got 3 at batch entry 0, label 1"),
        ({"targets": [[1, -1], [1, 2]]}, ValueError, "targets: got -1 at batch entry 0, label 1"),
        ({"targets": [1, 2, 2, 0]}, ValueError, "targets: got 0 at batch entry 1, label 1"),
        ({"targets": [1, 2, 2]}, ValueError, "targets: got 3 labels in one row, want the sum of target_lengths, 4"),
        ({"targets": [[1, 2]]}, ValueError, r"targets: got shape \(1, 2\), want \(2, S\)"),
        ({"targets": [[[1]]]}, ValueError, r"targets: got shape \(1, 1, 1\)"),
        ({"targets": [[1], [1, 2]]}, ValueError, "targets: got lists of different lengths"),
        ({"targets": [[1.0, 2.0], [1.0, 2.0]]}, TypeError, "targets: got dtype float64, want integers"),
        (
            {"targets": mg.tensor([[1, 2], [2, 2]], backend="strict")},
            TypeError,
            "targets: got an array on strict, want integers on the host",
        ),
    ],
)
def test_bad_arguments_are_named(change: dict[str, Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=f"ctc_loss: {message}"):
        ctc_loss(**{**GOOD, **change})


def test_the_module_refuses_an_unknown_reduction_at_once() -> None:
    with pytest.raises(ValueError, match="CTCLoss: reduction: got 'max'"):
        CTCLoss(reduction="max")


def test_the_arguments_are_left_alone_and_may_be_host_tensors() -> None:
    targets, frames, counts = np.array(GOOD["targets"]), np.array([4, 3], "uint8"), np.array([2, 2], "int32")
    plain = ctc_loss(X, targets, frames, counts)
    for array in (targets, frames, counts):
        array.flags.writeable = False
    assert ctc_loss(X, *map(mg.tensor, (targets, frames, counts))).item() == plain.item()
    np.testing.assert_array_equal(targets, GOOD["targets"])
