"""BatchNorm1d and RMSNorm beside torch's: statistics, copies, transformations. LayerNorm is in test_layers."""

from __future__ import annotations

import copy
import pickle
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

import minigrad as mg
from minigrad import nn

from .test_layers import beside

rng = np.random.default_rng(0)
X2, X3 = rng.standard_normal((5, 3)), rng.standard_normal((4, 3, 2)) * 2 + 1


def statistics(layer: nn.BatchNorm1d, torch_layer: Any) -> None:
    """The running statistics agree, and so do their names, shapes and order."""
    theirs = torch_layer.state_dict()
    assert list(layer.state_dict()) == list(theirs)
    for name, array in layer.state_dict().items():
        assert array.shape == tuple(theirs[name].shape)
        np.testing.assert_allclose(array, theirs[name].numpy(), rtol=1e-13, err_msg=name)
        assert str(theirs[name].dtype) == f"torch.{array.dtype}"


@pytest.mark.parametrize("momentum", [0.1, None, 1.0])
@pytest.mark.parametrize("affine", [True, False])
@pytest.mark.parametrize("tracked", [True, False])
@pytest.mark.parametrize("x", [X2, X3], ids=["(N, C)", "(N, C, L)"])
def test_batch_norm_is_torchs(xp: Any, x: np.ndarray, momentum: float | None, affine: bool, tracked: bool) -> None:
    """Three batches in training, then one in evaluation; outputs, gradients and statistics."""
    torch = pytest.importorskip("torch")
    options = {"eps": 1e-3, "momentum": momentum, "affine": affine, "track_running_stats": tracked}
    layer, theirs = (
        nn.BatchNorm1d(3, dtype="float64", **options),
        torch.nn.BatchNorm1d(3, dtype=torch.float64, **options),
    )
    if affine:
        layer.weight.data = xp.array(rng.standard_normal(3))
    for k in range(3):
        beside(layer, theirs, x * (k + 1) + k, atol=1e-11)
        statistics(layer, theirs)
        layer.zero_grad()
        theirs.zero_grad()
    layer.eval()
    theirs.eval()
    beside(layer, theirs, x, atol=1e-11)
    statistics(layer, theirs)


def test_a_wrong_variance_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    """The running variance divides by n − 1, as torch's, and not by n."""
    track = nn.BatchNorm1d._track
    monkeypatch.setattr(nn.BatchNorm1d, "_track", lambda self, mean, v, n: track(self, mean, v * ((n - 1) / n), n))
    with mg.use_backend("numpy"), pytest.raises(AssertionError, match="running_var"):
        test_batch_norm_is_torchs(None, X2, 0.1, False, True)


@settings(max_examples=20)
@given(st.lists(st.integers(1, 4), max_size=2), st.lists(st.integers(2, 4), min_size=1, max_size=2), st.booleans(),
       st.sampled_from([None, 0.0, 1e-3]))  # fmt: skip
def test_rms_norm_is_torchs(xp: Any, batch: list[int], shape: list[int], affine: bool, eps: float | None) -> None:
    torch = pytest.importorskip("torch")
    layer = nn.RMSNorm(shape, eps=eps, elementwise_affine=affine, dtype="float64")
    theirs = torch.nn.RMSNorm(shape, eps=eps, elementwise_affine=affine, dtype=torch.float64)
    if affine:
        layer.load_state_dict({"weight": rng.standard_normal(shape)})
    beside(layer, theirs, rng.standard_normal((*batch, *shape)))


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("layer", [nn.BatchNorm1d(3, dtype="float64"), nn.RMSNorm(2, dtype="float64")], ids=repr)
def test_derivatives_to_second_order(layer: nn.Module, training: bool) -> None:
    layer.train(training)
    x = mg.tensor(X3[:2], requires_grad=True)
    inputs = [x, *layer.parameters()]
    assert mg.gradcheck(lambda x, *_: layer(x), inputs)
    assert mg.gradgradcheck(lambda x, *_: layer(x), inputs)


def test_half_precision_has_its_statistics_in_float32(xp: Any) -> None:
    """Squares of 345 leave float16's range."""
    x = mg.tensor(xp.array((X2 * 150).astype("float16")))
    wide = mg.tensor(X2 * 150)
    layer = nn.BatchNorm1d(3, momentum=None, dtype="float16")
    y = layer(x)
    assert y.dtype == layer.running_mean.dtype == np.float16
    np.testing.assert_allclose(y.numpy(), nn.BatchNorm1d(3, dtype="float64")(wide).numpy(), atol=4e-3)
    np.testing.assert_allclose(layer.running_mean.numpy(), (X2 * 150).mean(axis=0), rtol=2e-3)
    z = nn.RMSNorm(3, dtype="float16")(x)
    np.testing.assert_allclose(z.numpy(), nn.RMSNorm(3, dtype="float64")(wide).numpy(), atol=4e-3)


def test_nothing_waits_for_a_device(xp: Any) -> None:
    layer = nn.BatchNorm1d(3, momentum=None)
    x = mg.tensor(xp.array(X3.astype("float32")))
    with xp.no_sync():
        layer(x)
        layer.eval()(x)
    assert layer.num_batches_tracked.item() == 1
    assert layer.num_batches_tracked.backend == xp.name


def test_evaluation_and_training_in_turn_leave_older_graphs_right() -> None:
    layer = nn.BatchNorm1d(3, dtype="float64").eval()
    x = mg.tensor(X2, requires_grad=True)
    (want,) = mg.gradients(mg.sum(mg.square(layer(x))), [x])
    loss = mg.sum(mg.square(layer(x)))
    layer.train()(X2 * 5)
    loss.backward()
    np.testing.assert_array_equal(x.grad.numpy(), want.numpy())


def test_what_grad_runs_counts_in_the_module_itself() -> None:
    layer = nn.BatchNorm1d(3, dtype="float64")
    gradients = mg.grad(lambda m: mg.sum(mg.square(m(X2)) * X2))(layer)
    assert list(gradients) == ["weight", "bias"]
    want = nn.BatchNorm1d(3, dtype="float64")
    want(X2)
    for name, array in want.state_dict().items():
        np.testing.assert_array_equal(layer.state_dict()[name], array)


def test_copies_and_states_go_on_from_the_same_statistics(xp: Any) -> None:
    model = nn.Sequential(nn.Linear(3, 3, rng=0), nn.BatchNorm1d(3))
    x = xp.array(X2.astype("float32"))
    model(x)
    other = nn.Sequential(nn.Linear(3, 3, rng=1), nn.BatchNorm1d(3))
    other.load_state_dict(model.state_dict())
    want = model(x).numpy()
    for twin in (copy.deepcopy(model), pickle.loads(pickle.dumps(model)), other):
        assert twin[1].num_batches_tracked.item() == (1 if twin is other else 2)
        twin.load_state_dict(model.state_dict())
        np.testing.assert_array_equal(twin(x).numpy(), want)
        np.testing.assert_array_equal(twin.eval()(x).numpy(), copy.deepcopy(twin)(x).numpy())
    model[1].reset_running_stats()
    assert [b.tolist() for b in model.buffers()] == [[0, 0, 0], [1, 1, 1], 0]


def test_time_major_sequences_go_in_flattened() -> None:
    """As the docstring says; and one that is passed as it is is refused with that hint."""
    xs = rng.standard_normal((4, 2, 3)).astype("float32")
    y = nn.BatchNorm1d(3)(xs.reshape((-1, 3))).reshape(xs.shape).numpy()
    np.testing.assert_allclose(y.mean(axis=(0, 1)), 0, atol=1e-6)
    np.testing.assert_allclose(y.std(axis=(0, 1)), 1, atol=1e-3)
    with pytest.raises(ValueError, match=r"want \(N, 3\) or \(N, 3, L\); pass \(T, B, 3\) as x\.reshape\(\(-1, 3\)\)"):
        nn.BatchNorm1d(3)(xs)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: nn.BatchNorm1d(3)(np.ones((1, 3), "f")), "x: got shape (1, 3), want more than one value for each"),
        (lambda: nn.BatchNorm1d(3)(np.ones((2, 4), "f")), "BatchNorm1d: x: got shape (2, 4), want (N, 3) or (N, 3, L)"),
        (lambda: nn.BatchNorm1d(3)(np.ones((2, 3))), "BatchNorm1d: x: got dtype float64, want float32 like the"),
        (lambda: nn.BatchNorm1d(3, affine=False)(np.ones((2, 3))), "x: got dtype float64, want float32"),
        (lambda: nn.BatchNorm1d(2, affine=False, track_running_stats=False)(np.ones((2, 2), int)), "got dtype int64"),
        (lambda: nn.BatchNorm1d(0), "BatchNorm1d: num_features: got 0"),
        (lambda: nn.BatchNorm1d(3, momentum=2.0), "BatchNorm1d: momentum: got 2.0, want a number in [0, 1]"),
        (lambda: nn.RMSNorm(())(np.ones(2, "f")), "RMSNorm: normalized_shape: got (), want at least one axis"),
        (lambda: nn.RMSNorm(3)(np.ones((3, 2), "f")), "RMSNorm: x: got shape (3, 2), want (..., 3)"),
        (lambda: nn.RMSNorm(2, elementwise_affine=False)(np.ones((3, 2), int)), "RMSNorm: x: got dtype int64"),
    ],
)
def test_errors_name_what_is_wrong(call: Any, message: str) -> None:
    with pytest.raises((ValueError, TypeError)) as caught:
        call()
    assert message in str(caught.value)
