"""Layers and initial values: beside PyTorch where it has the same, on every backend."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, strategies as st

import minigrad as mg
from minigrad import nn

# Layers beside PyTorch


def beside(layer: nn.Module, torch_layer: Any, x: np.ndarray, atol: float = 1e-12) -> None:
    """The same weights in both: outputs, weight gradients and input gradients agree."""
    torch = pytest.importorskip("torch")
    torch_layer.load_state_dict({k: torch.tensor(v) for k, v in layer.state_dict().items()})
    floating = x.dtype.kind == "f"
    ours = mg.tensor(x, requires_grad=floating)
    theirs = torch.tensor(x, requires_grad=floating)
    y, want = layer(ours), torch_layer(theirs)
    seed = np.random.default_rng(5).standard_normal(tuple(want.shape))
    np.testing.assert_allclose(y.numpy(), want.detach().numpy(), rtol=1e-12, atol=atol)
    y.backward(mg.tensor(seed))
    want.backward(torch.tensor(seed))
    for name, parameter in torch_layer.named_parameters():
        got = dict(layer.named_parameters())[name].grad.numpy()
        np.testing.assert_allclose(got, parameter.grad.numpy(), rtol=1e-11, atol=atol, err_msg=name)
    if floating:
        np.testing.assert_allclose(ours.grad.numpy(), theirs.grad.numpy(), rtol=1e-11, atol=atol)


@given(st.lists(st.integers(1, 4), max_size=3), st.integers(1, 5), st.integers(1, 5), st.booleans())
def test_linear(xp: Any, batch: list[int], n: int, m: int, bias: bool) -> None:
    torch = pytest.importorskip("torch")
    rng = np.random.default_rng(0)
    layer = nn.Linear(n, m, bias=bias, rng=rng, dtype="float64")
    assert np.abs(layer.weight.numpy()).max() <= n**-0.5
    beside(layer, torch.nn.Linear(n, m, bias=bias, dtype=torch.float64), rng.standard_normal((*batch, n)))


@given(st.lists(st.integers(1, 4), max_size=2), st.lists(st.integers(2, 4), min_size=1, max_size=2), st.booleans())
def test_layer_norm(xp: Any, batch: list[int], shape: list[int], affine: bool) -> None:
    torch = pytest.importorskip("torch")
    rng = np.random.default_rng(0)
    layer = nn.LayerNorm(shape, elementwise_affine=affine, dtype="float64")
    if affine:
        layer.load_state_dict({k: rng.standard_normal(v.shape) for k, v in layer.state_dict().items()})
    theirs = torch.nn.LayerNorm(shape, elementwise_affine=affine, dtype=torch.float64)
    # Two nearly equal values leave a variance near eps, and its inverse root magnifies rounding.
    beside(layer, theirs, rng.standard_normal((*batch, *shape)), atol=1e-10)


def test_layer_norm_options() -> None:
    assert [n for n, _ in nn.LayerNorm(3, bias=False).named_parameters()] == ["weight"]
    nn.LayerNorm(3, elementwise_affine=False)(np.ones((2, 3), "float16"))
    x = mg.tensor(np.random.default_rng(0).standard_normal((2, 3, 2)), requires_grad=True)
    layer = nn.LayerNorm((3, 2), dtype="float64")
    assert mg.gradcheck(layer, [x])
    assert mg.gradgradcheck(layer, [x])


@given(st.lists(st.integers(0, 3), max_size=3), st.sampled_from([None, 0, 2, -1]))
def test_embedding(xp: Any, shape: list[int], padding_idx: int | None) -> None:
    torch = pytest.importorskip("torch")
    rng = np.random.default_rng(0)
    layer = nn.Embedding(5, 3, padding_idx=padding_idx, rng=rng, dtype="float64")
    if padding_idx is not None:
        assert not layer.weight.numpy()[padding_idx].any()
    theirs = torch.nn.Embedding(5, 3, padding_idx=padding_idx, dtype=torch.float64)
    ids = rng.integers(0, 5, shape)
    beside(layer, theirs, ids)
    np.testing.assert_array_equal(layer(ids).numpy(), layer.weight.numpy()[ids])  # from the host
    np.testing.assert_array_equal(layer(ids.astype(np.uint8)).numpy(), layer.weight.numpy()[ids])


def test_embedding_checks_its_ids() -> None:
    layer = nn.Embedding(5, 3)
    assert layer([0, 4]).shape == (2, 3)
    for bad in ([5], [-1], mg.tensor([0, 9])):
        with pytest.raises(ValueError, match=r"Embedding: ids: got (5|-1|9), want 0 to 4"):
            layer(bad)
    for bad in ([0.0], np.array([True])):
        with pytest.raises(TypeError, match=r"Embedding: ids: got dtype (float64|bool), want integers"):
            layer(bad)
    with pytest.raises(ValueError, match="padding_idx: got 5"):
        nn.Embedding(5, 3, padding_idx=5)


def test_layers_run_without_waiting_for_the_device(xp: Any) -> None:
    model = nn.Sequential(
        nn.Embedding(5, 4, padding_idx=0), nn.LayerNorm(4), nn.Dropout(0.5), nn.Linear(4, 2), nn.ReLU(), nn.Sigmoid()
    )
    ids = np.array([[1, 0], [3, 4]])
    with xp.no_sync():
        loss = mg.mean(model(ids))
        loss.backward()
        mg.mean(model(mg.tensor(ids))).backward()
    assert loss.dtype == np.float32
    assert all(p.grad.dtype == np.float32 for p in model.parameters())


@pytest.mark.parametrize(("ours", "name"), [(nn.Tanh, "Tanh"), (nn.ReLU, "ReLU"), (nn.Sigmoid, "Sigmoid")])
def test_activations(xp: Any, ours: Any, name: str) -> None:
    torch = pytest.importorskip("torch")
    beside(ours(), getattr(torch.nn, name)(), np.random.default_rng(0).standard_normal((3, 4)))


def test_identity_and_sequential() -> None:
    x = mg.tensor([1.0])
    assert nn.Sequential()(x) is x
    assert nn.Sequential(nn.Identity(), nn.Identity())(x) is x


def test_dropout(xp: Any) -> None:
    x = xp.array(np.ones((200, 50), "float32"))
    layer = nn.Dropout(0.25, rng=np.random.default_rng(3))
    y = layer(x)
    assert y.dtype == np.float32
    values = y.numpy()
    assert set(np.unique(values)) == {np.float32(0), np.float32(1 / 0.75)}
    assert abs((values == 0).mean() - 0.25) < 0.02
    assert abs(values.mean() - 1) < 0.02
    again = nn.Dropout(0.25, rng=np.random.default_rng(3))(x)
    np.testing.assert_array_equal(again.numpy(), values)
    assert layer(x).numpy().tolist() != values.tolist()  # each call draws a new mask
    assert layer.eval()(x) is x
    assert nn.Dropout(0.0)(x) is x
    assert not nn.Dropout(1.0)(x).numpy().any()


def test_dropout_of_whole_numbers_is_refused() -> None:
    """A mask of 0 and 1 / (1 − p) in whole numbers would be 0 and 1."""
    layer = nn.Dropout(0.3)
    with pytest.raises(TypeError, match=r"^Dropout: x: got dtype int64, want floating point"):
        layer(mg.tensor(np.arange(4)))
    assert layer.eval()(mg.tensor(np.arange(4))).dtype == np.int64


def test_dropout_masks_are_one_draw_for_all_dtypes() -> None:
    masks = [nn.dropout_mask((50, 3), 0.3, np.random.default_rng(1), d) for d in ("float32", "float64")]
    np.testing.assert_array_equal(masks[0] != 0, masks[1] != 0)
    assert [m.dtype.name for m in masks] == ["float32", "float64"]
    assert nn.dropout_mask((), 0.5).shape == ()


def test_dropout_draws_from_the_default_generator() -> None:
    x = np.ones((5, 5), "float32")
    layer = nn.Dropout(0.5)
    mg.manual_seed(4)
    first = layer(x).tolist()
    assert layer(x).tolist() != first
    mg.manual_seed(4)
    assert layer(x).tolist() == first


@given(st.floats(0, 1))
def test_dropout_gradient_is_its_mask(p: float) -> None:
    x = mg.tensor(np.ones((4, 3)), requires_grad=True)
    y = nn.Dropout(p, rng=np.random.default_rng(0))(x)
    mg.sum(y).backward()
    np.testing.assert_array_equal(x.grad.numpy(), y.numpy())


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: nn.Linear(0, 3), "Linear: in_features: got 0, want a whole number of at least 1"),
        (lambda: nn.Linear(3, 1.5), "Linear: out_features: got 1.5"),
        (lambda: nn.Linear(True, 3), "Linear: in_features: got True"),
        (lambda: nn.Embedding(3, -1), "Embedding: embedding_dim: got -1"),
        (lambda: nn.Dropout(1.5), "Dropout: p: got 1.5, want a number in"),
        (lambda: nn.LayerNorm(()), "LayerNorm: normalized_shape: got ()"),
        (lambda: nn.LayerNorm((3, 0)), "LayerNorm: normalized_shape: got 0"),
        (lambda: nn.Linear(4, 3)(np.ones((3, 5), "float32")), "Linear: x: got shape (3, 5), want (..., 4)"),
        (lambda: nn.Linear(4, 3)(np.ones((), "float32")), "Linear: x: got shape (), want (..., 4)"),
        (lambda: nn.LayerNorm((2, 4))(np.ones((3, 4), "float32")), "LayerNorm: x: got shape (3, 4), want (..., 2, 4)"),
        (lambda: nn.Linear(4, 3)(np.ones((3, 4))), "Linear: x: got dtype float64, want float32"),
        (lambda: nn.Linear(4, 3)([1.0] * 4), "Linear: x: got list, want a Tensor or an array"),
    ],
)
def test_errors_name_what_is_wrong(make: Any, message: str) -> None:
    with pytest.raises((ValueError, TypeError)) as caught:
        make()
    assert message in str(caught.value)


# Initial values


def test_initial_values_are_the_same_on_every_backend(xp: Any) -> None:
    def make() -> nn.Module:
        rng = np.random.default_rng(3)
        return nn.Sequential(nn.Linear(3, 2, rng=rng), nn.Embedding(4, 2, rng=rng))

    model = make()
    with mg.use_backend("numpy"):
        want = make().state_dict()
    assert {p.backend for p in model.parameters()} == {xp.name}
    for name, array in model.state_dict().items():
        np.testing.assert_array_equal(array, want[name])
    for name, array in nn.Linear(3, 2, rng=np.random.default_rng(0), dtype="float64").state_dict().items():
        single = nn.Linear(3, 2, rng=np.random.default_rng(0)).state_dict()[name]
        np.testing.assert_array_equal(array.astype("float32"), single)


def test_manual_seed() -> None:
    generator = nn.default_generator()
    assert mg.manual_seed(5) is generator is nn.init.default_generator()
    first = nn.Linear(3, 3).state_dict()
    mg.manual_seed(5)
    second = nn.Linear(3, 3).state_dict()
    assert all((first[k] == second[k]).all() for k in first)
    assert (nn.Linear(3, 3).weight.numpy() != first["weight"]).any()


SHAPE = (200, 100)


@pytest.mark.parametrize(
    ("draw", "std", "bound"),
    [
        (lambda **o: nn.init.uniform(SHAPE, -2.0, 2.0, **o), 4 / 12**0.5, 2.0),
        (lambda **o: nn.init.normal(SHAPE, 0.0, 3.0, **o), 3.0, None),
        (lambda **o: nn.init.xavier_uniform(SHAPE, gain=2.0, **o), 2 * (2 / 300) ** 0.5, 2 * (6 / 300) ** 0.5),
        (lambda **o: nn.init.xavier_normal(SHAPE, **o), (2 / 300) ** 0.5, None),
        (lambda **o: nn.init.kaiming_uniform(SHAPE, **o), (2 / 100) ** 0.5, (6 / 100) ** 0.5),
        (lambda **o: nn.init.kaiming_uniform(SHAPE, mode="fan_out", **o), (2 / 200) ** 0.5, (6 / 200) ** 0.5),
        (lambda **o: nn.init.kaiming_uniform(SHAPE, a=5**0.5, **o), (1 / 300) ** 0.5, 0.1),
        (lambda **o: nn.init.orthogonal(SHAPE, gain=10.0, **o), 10 / 200**0.5, None),
        (lambda **o: nn.init.zeros(SHAPE, dtype=o["dtype"]), 0.0, 0.0),
    ],
)
def test_initial_distributions(draw: Any, std: float, bound: float | None) -> None:
    made = draw(rng=np.random.default_rng(0), dtype="float64")
    assert type(made) is np.ndarray
    assert made.shape == SHAPE
    assert abs(made.std() - std) <= 0.02 * std
    assert abs(made.mean()) <= 0.03 * std
    assert bound is None or np.abs(made).max() <= bound
    single = draw(rng=np.random.default_rng(0), dtype="float32")
    assert single.dtype == np.float32
    np.testing.assert_array_equal(single, made.astype("float32"))


@given(st.integers(1, 8), st.integers(1, 8), st.integers(1, 3))
def test_orthogonal(rows: int, columns: int, more: int) -> None:
    made = nn.init.orthogonal((rows, columns, more), rng=np.random.default_rng(0), dtype="float64")
    matrix = made.reshape(rows, columns * more)
    gram = matrix @ matrix.T if rows <= columns * more else matrix.T @ matrix
    np.testing.assert_allclose(gram, np.eye(len(gram)), atol=1e-12)


def test_fans_need_two_axes() -> None:
    for name in ("xavier_uniform", "xavier_normal", "kaiming_uniform", "orthogonal"):
        with pytest.raises(ValueError, match=rf"{name}: shape: got \(3,\), want at least two axes"):
            getattr(nn.init, name)((3,))
    with pytest.raises(ValueError, match="mode: got 'fan'"):
        nn.init.kaiming_uniform((3, 3), mode="fan")
    made = nn.init.xavier_uniform((4, 3, 5), rng=np.random.default_rng(0))  # a receptive field counts
    assert np.abs(made).max() <= (6 / 35) ** 0.5
