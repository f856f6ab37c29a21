"""float16: every operation against itself in float64, and what sums, squares and exponentials inside must not lose."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import minigrad as mg
import minigrad_rnn as mr
from minigrad import nn, optim
from tests.ops.catalogue import CATALOGUE, Sample

UNSUPPORTED = "array type float16 is unsupported in linalg"
"""NumPy's own words: LAPACK has no float16."""
DIFFERENT = {
    "partition": "the order within the parts is NumPy's choice, and differs between dtypes",
    "prod-None-True": "the product of these 24 values, 1e-6, has four bits in float16",
}
"""What may differ from float64 by more than 1 %, by a sample's id or an operation's name, and why."""


def with_gradients(sample: Sample, arrays: list[np.ndarray]) -> list[mg.Tensor]:
    """The value and the gradients of the inputs that have one."""
    leaves = [mg.tensor(a, requires_grad=a.dtype.kind == "f") for a in arrays]
    y = sample.call(mg, *leaves)
    seed = np.random.default_rng(5).standard_normal(y.shape).astype(np.float16)
    return [y, *mg.gradients(y, [x for x in leaves if x.requires_grad], mg.tensor(seed.astype(y.dtype)))]


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@pytest.mark.parametrize("name", sorted({sample.name for sample in CATALOGUE}))
def test_the_catalogue_against_float64(name: str) -> None:
    """Each entry within 1 % of the largest one; what is real stays float16, complex values are complex64."""
    for sample in (s for s in CATALOGUE if s.name == name):
        half = sample.arrays(np.float16)
        try:
            results = with_gradients(sample, half)
        except TypeError as error:
            assert UNSUPPORTED in str(error)  # noqa: PT017
            continue
        expected = with_gradients(sample, [a.astype(np.float64) if a.dtype == np.float16 else a for a in half])
        assert all(g.dtype == np.float16 for g in results[1:]), sample.id
        if sample.id in DIFFERENT or name in DIFFERENT:
            continue
        for ours, wide in zip(results, expected):
            scale = np.abs(wide.numpy()).max(initial=0)
            error = np.abs(ours.numpy().astype(wide.dtype) - wide.numpy()).max(initial=0)
            assert error <= 1e-2 * scale, f"{sample.id}: {error / scale:.2g}"


def half(*values: float) -> mg.Tensor:
    return mg.tensor(np.array(values, np.float16), requires_grad=True)


@pytest.mark.parametrize(
    ("call", "x", "value", "gradient"),
    [
        (lambda x: mg.linalg.norm(x), (300, 400), 500, (0.6, 0.8)),
        (lambda x: mg.linalg.norm(x), (3e-5, 4e-5), 5e-5, (0.6, 0.8)),
        (lambda x: mg.linalg.norm(x[None], axis=1).sum(), (300, 400), 500, (0.6, 0.8)),
        (lambda x: mg.linalg.norm(x, 3), (300, 400), 449.79, (0.4448, 0.7907)),
        (lambda x: mg.std(x), (260, -260), 260, (0.5, -0.5)),
        (lambda x: mg.nanstd(x), (260, -260), 260, (0.5, -0.5)),
        (lambda x: mg.var(x), (200, -200), 40000, (200, -200)),
        (lambda x: mg.mean(mg.stack([x, x])), (60000, 60000), 60000, (0.5, 0.5)),
        (lambda x: mg.nanmean(mg.stack([x, x])), (60000, 60000), 60000, (0.5, 0.5)),
        (lambda x: mg.average(x, weights=np.array([200, 200], "f2")), (60000, 60000), 60000, (0.5, 0.5)),
        (lambda x: mg.softmax(mg.concatenate([x] * 40_000))[0], (1, 1), 1.25e-5, (0, 0)),
        (lambda x: mg.logsumexp(mg.concatenate([x] * 40_000)), (1, 1), 12.29, (0.5, 0.5)),
        (lambda x: mg.log_softmax(mg.concatenate([x] * 40_000))[0], (1, 1), -11.29, (0.5, -0.5)),
        (lambda x: mg.mse(mg.concatenate([x] * 40_000), np.zeros(80_000, "f2")), (2, 2), 4, (2, 2)),
        (lambda x: mg.cumsum(mg.concatenate([x * 2**-9] * 8192))[-1], (1, 1), 32, (16, 16)),
    ],
    ids=lambda v: "",
)
def test_what_is_in_range_is_right(call: Any, x: Any, value: float, gradient: Any) -> None:
    """Squares, sums and numbers of values beyond 65,504 or below 6e-8 stay inside (algebra)."""
    leaf = half(*x)
    y = call(leaf)
    y.backward()
    assert leaf.grad is not None
    assert (y.dtype, leaf.grad.dtype) == (np.float16, np.float16)
    np.testing.assert_allclose(y.numpy(), value, rtol=2e-3)
    np.testing.assert_allclose(leaf.grad.numpy(), gradient, rtol=5e-3, atol=2e-3 * max(np.abs(gradient)) + 2e-3)


def test_clip_grad_norm(xp: Any) -> None:
    parameters = [mg.Parameter(np.zeros(1), dtype="float16").to(xp.name) for _ in range(2)]
    for p, g in zip(parameters, (300, 400)):
        p.grad = mg.tensor(np.array([g], np.float16), backend=xp.name)
    with xp.no_sync():
        total = optim.clip_grad_norm(parameters, 5.0)
    assert total.dtype == np.float32
    assert total.item() == 500
    assert [p.grad.item() for p in parameters] == [3, 4]  # type: ignore[union-attr]
    assert all(p.grad.dtype == np.float16 for p in parameters)  # type: ignore[union-attr]


@pytest.mark.parametrize(("norm_type", "size"), [(2.0, 1e25), (2.0, 1e-30), (3.0, 1e20), (3.0, 1e-20)])
def test_clip_grad_norm_of_float32_whose_powers_leave_its_range(norm_type: float, size: float) -> None:
    p = mg.Parameter(np.zeros(2, np.float32))
    p.grad = mg.tensor(np.array([3 * size, 4 * size], np.float32))
    norm = 5 if norm_type == 2 else 91 ** (1 / 3)
    assert optim.clip_grad_norm([p], 1e-2 * size, norm_type).item() == pytest.approx(norm * size, rel=1e-6)
    factor = 1e-2 * size / (norm * size + 1e-6)
    np.testing.assert_allclose(p.grad.numpy(), factor * size * np.array([3, 4]), rtol=1e-5, atol=1e-45)


@pytest.mark.parametrize("scale", [1e-24, 1e-30, 1e-38, 1e24, 5e37])
@pytest.mark.parametrize("dtype", [np.float32, np.complex64])
@pytest.mark.parametrize("axis", [None, -1])
def test_norms_whose_squares_leave_the_range(xp: Any, scale: float, dtype: Any, axis: Any) -> None:
    """(3, 4) times any scale: 5 times it, with the gradient (0.6, 0.8)."""
    unit = 1j if dtype == np.complex64 else 1.0
    x = mg.tensor(np.array([[3 * scale, 4 * scale]], np.float32), requires_grad=True, backend=xp.name)
    with xp.no_sync():
        y = mg.linalg.norm((x * unit).astype(dtype) if unit != 1 else x, axis=axis).sum()
        y.backward()
    assert y.item() == pytest.approx(5 * scale, rel=1e-6)
    np.testing.assert_allclose(x.grad.numpy(), [[0.6, 0.8]], rtol=1e-6)  # type: ignore[union-attr]


def test_norms_of_float64_whose_squares_leave_the_range(xp: Any) -> None:
    for scale in (1e-200, 1e-305, 1e200):
        x = mg.tensor(np.array([3 * scale, 4 * scale]), requires_grad=True, backend=xp.name)
        y = mg.linalg.norm(x)
        y.backward()
        assert y.item() == pytest.approx(5 * scale, rel=1e-14)
        np.testing.assert_allclose(x.grad.numpy(), [0.6, 0.8], rtol=1e-14)  # type: ignore[union-attr]


def test_layer_normalisation() -> None:
    x = half(260, -260)
    y = nn.LayerNorm(2, dtype="float16")(x)
    (y * mg.tensor(np.array([3, 1], np.float16))).sum().backward()
    np.testing.assert_array_equal(y.numpy(), [1, -1])
    assert y.dtype == np.float16
    np.testing.assert_allclose(x.grad.numpy(), 0, atol=1e-5)  # type: ignore[union-attr]


@pytest.mark.parametrize("mode", ["RNN", "LSTM", "GRU"])
def test_layer_normalised_cells(mode: str) -> None:
    """Inputs of 300, whose squares leave float16's range, against the same cell in float64."""
    wide = getattr(mr, f"LayerNorm{mode}Cell")(2, 4, rng=0, dtype="float64")
    cell = getattr(mr, f"LayerNorm{mode}Cell")(2, 4, dtype="float16")
    cell.load_state_dict({name: value.astype(np.float16) for name, value in wide.state_dict().items()})
    x = np.array([[300, -290], [310, 260]], np.float64)
    results = [c(mg.tensor(x.astype(c.Wc.dtype))) for c in (cell, wide)]
    ours, expected = (r[0] if isinstance(r, tuple) else r for r in results)
    np.testing.assert_allclose(ours.numpy(), expected.numpy(), atol=1e-2)


def test_scaled_attention_scales_before_it_multiplies() -> None:
    """q · m of 64 sixties is 230,400, which float16 does not hold; divided by 8 it is 28,800."""
    q = mg.tensor(np.full((1, 1, 64), 60, np.float16))
    memory = mg.tensor(np.stack([np.full((1, 64), k, np.float16) for k in (60, 59.5)]))
    _, weights = mr.DotAttention(64, scaled=True)(q, memory)
    np.testing.assert_array_equal(weights.numpy(), [[[1, 0]]])


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
@pytest.mark.parametrize("n", [3, 10, 1000])
def test_std_of_a_constant(dtype: Any, n: int) -> None:
    """Floats cannot average it, yet the gradient sums to 0, as every std's does."""
    for value in (0.1, 1e5 / 3, 1e-3):
        for function in (mg.std, mg.nanstd):
            x = mg.tensor(np.full(n, value, dtype), requires_grad=True)
            function(x).backward()
            assert abs(x.grad.sum().item()) <= n * np.finfo(dtype).eps  # type: ignore[union-attr]
