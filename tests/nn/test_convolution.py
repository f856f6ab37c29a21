"""Conv1d beside torch's, its derivatives to second order, and its errors."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

import minigrad as mg
from minigrad import nn

from .test_layers import beside


@settings(max_examples=40)
@given(
    st.integers(1, 3), st.integers(1, 2), st.integers(1, 4), st.integers(1, 3), st.integers(0, 3), st.integers(1, 3),
    st.booleans(), st.sampled_from(["zeros", "reflect", "replicate", "circular"]), st.booleans(),
)  # fmt: skip
def test_it_is_torchs(
    xp: Any, parts: int, groups: int, size: int, stride: int, padding: int, dilation: int, bias: bool, mode: str,
    batched: bool,
) -> None:  # fmt: skip
    torch = pytest.importorskip("torch")
    options = {"stride": stride, "padding": padding, "dilation": dilation, "groups": groups, "bias": bias}
    channels = parts * groups
    layer = nn.Conv1d(channels, 2 * groups, (size,), padding_mode=mode, rng=0, dtype="float64", **options)
    theirs = torch.nn.Conv1d(channels, 2 * groups, size, padding_mode=mode, dtype=torch.float64, **options)
    x = np.random.default_rng(0).standard_normal((2, channels, 10) if batched else (channels, 10))
    assert list(layer.state_dict()) == list(theirs.state_dict())
    beside(layer, theirs, x)


@pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel lengths")  # torch's, of a copy it makes
@pytest.mark.parametrize("mode", ["zeros", "reflect", "replicate", "circular"])
@pytest.mark.parametrize(("size", "dilation"), [(4, 1), (3, 2), (2, 3)])
def test_padding_same_keeps_the_length(xp: Any, mode: str, size: int, dilation: int) -> None:
    torch = pytest.importorskip("torch")
    options: dict[str, Any] = {"padding": "same", "dilation": dilation, "padding_mode": mode}
    layer = nn.Conv1d(2, 3, size, rng=0, dtype="float64", **options)
    theirs = torch.nn.Conv1d(2, 3, size, dtype=torch.float64, **options)
    x = np.random.default_rng(0).standard_normal((2, 2, 7))
    assert layer(xp.array(x)).shape == (2, 3, 7)
    beside(layer, theirs, x)


def test_valid_is_no_padding_and_initial_values_are_in_torchs_bound() -> None:
    layer = nn.Conv1d(4, 6, 5, padding="valid", groups=2, rng=0)
    assert layer(np.ones((1, 4, 9), np.float32)).shape == (1, 6, 5)
    for p in layer.parameters():
        assert 0.15 < np.abs(p.numpy()).max() <= 10**-0.5


@pytest.mark.parametrize("options", [{}, {"stride": 2, "padding": 1}, {"groups": 2, "padding": "same", "dilation": 2}])
def test_derivatives_to_second_order(options: dict[str, Any]) -> None:
    layer = nn.Conv1d(2, 2, 2, rng=0, dtype="float64", padding_mode="circular", **options)
    x = mg.tensor(np.random.default_rng(1).standard_normal((2, 2, 4)), requires_grad=True)
    inputs = [x, layer.weight, layer.bias]
    assert mg.gradcheck(lambda x, *_: layer(x), inputs)
    assert mg.gradgradcheck(lambda x, *_: layer(x), inputs)


def test_a_time_major_sequence_is_a_convolution_of_each_sequence() -> None:
    """As the docstring says: the lecture's TDNN in torch's layout."""
    xs = np.random.default_rng(0).standard_normal((7, 2, 3)).astype(np.float32)
    layer = nn.Conv1d(3, 4, 3, rng=0)
    ys = layer(xs.transpose((1, 2, 0))).transpose((2, 0, 1)).numpy()
    assert ys.shape == (5, 2, 4)
    W, b = layer.weight.numpy(), layer.bias.numpy()
    for t in range(5):
        want = sum(xs[t + k] @ W[:, :, k].T for k in range(3)) + b
        np.testing.assert_allclose(ys[t], want, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: nn.Conv1d(3, 4, 2, groups=2), "Conv1d: in_channels: got 3, want a multiple of groups = 2"),
        (lambda: nn.Conv1d(2, 3, 2, groups=2), "Conv1d: out_channels: got 3, want a multiple of groups = 2"),
        (lambda: nn.Conv1d(2, 3, 2, padding="full"), "Conv1d: padding: got 'full', want one of ['valid', 'same']"),
        (lambda: nn.Conv1d(2, 3, 2, 2, "same"), "Conv1d: padding: got 'same' with a stride of 2"),
        (lambda: nn.Conv1d(2, 3, (2, 2)), "Conv1d: kernel_size: got (2, 2), want a whole number"),
        (lambda: nn.Conv1d(2, 3, 0), "Conv1d: kernel_size: got 0, want a whole number of at least 1"),
        (lambda: nn.Conv1d(2, 3, 2, padding=-1), "Conv1d: padding: got -1, want a whole number of at least 0"),
        (lambda: nn.Conv1d(2, 3, 2, padding_mode="mirror"), "Conv1d: padding_mode: got 'mirror', want one of"),
        (lambda: nn.Conv1d(2, 3, 4)(np.ones((1, 2, 3), "f")), "x: got shape (1, 2, 3), want a length of at least 4"),
        (lambda: nn.Conv1d(2, 3, 1)(np.ones((1, 3, 2), "f")), "x: got shape (1, 3, 2), want (N, 2, L) or (2, L)"),
        (lambda: nn.Conv1d(2, 3, 1)(np.ones((1, 2, 2))), "Conv1d: x: got dtype float64, want float32 like the"),
    ],
)
def test_errors_name_what_is_wrong(call: Any, message: str) -> None:
    with pytest.raises((ValueError, TypeError)) as caught:
        call()
    assert message in str(caught.value)


def test_repr() -> None:
    assert repr(nn.Conv1d(4, 2, 3)) == "Conv1d(4, 2, kernel_size=3)"
    layer = nn.Conv1d(4, 2, 3, padding="same", groups=2, bias=False, padding_mode="circular")
    assert repr(layer) == "Conv1d(4, 2, kernel_size=3, padding='same', groups=2, padding_mode='circular', bias=False)"
