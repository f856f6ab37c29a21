"""Every primitive, against finite differences, NumPy, PyTorch and autograd, on every backend."""

from __future__ import annotations

import importlib
import pkgutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import minigrad as mg
from minigrad.engine.primitive import COMPOSED, REGISTRY
from minigrad.engine.tensor import Tensor
from tests.ops.catalogue import CATALOGUE, CHECKED_ELSEWHERE, EDGES, Sample

catalogue = pytest.mark.parametrize("sample", CATALOGUE, ids=lambda s: s.id)


everything = pytest.mark.parametrize("sample", [*CATALOGUE, *EDGES], ids=lambda s: s.id)


def leaves(sample: Sample, dtype: Any = np.float64) -> list[Tensor]:
    return [mg.tensor(a, requires_grad=a.dtype.kind == "f") for a in sample.arrays(dtype)]


def seed_like(y: Any) -> np.ndarray:
    return np.random.default_rng(5).standard_normal(y.shape).astype(y.dtype)


def differentiable(tensors: list[Tensor]) -> list[Tensor]:
    return [t for t in tensors if t.requires_grad]


def test_every_primitive_has_a_sample() -> None:
    for package in (mg, importlib.import_module("minigrad_rnn")):
        for result in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            if not result.name.endswith("__main__"):
                importlib.import_module(result.name)
    ours = {
        name
        for name, op in {**REGISTRY, **COMPOSED}.items()
        if op.__module__.partition(".")[0] in ("minigrad", "minigrad_rnn")
    }
    sampled = {sample.name for sample in CATALOGUE}
    assert ours - sampled - CHECKED_ELSEWHERE.keys() == set(), "give these a sample in CATALOGUE"
    assert sampled <= ours
    for name, file in CHECKED_ELSEWHERE.items():
        text = (Path(__file__).resolve().parents[1] / file).read_text(encoding="utf-8")
        assert name in text, f"{file} does not test {name}"
        assert "gradcheck" in text or "verify_bptt" in text, f"{file} checks no gradient"


def derivatives(sample: Sample) -> list[np.ndarray]:
    """The gradients of first order, and those of their weighted sum in the inputs and in the output's gradient."""
    inputs = differentiable(leaves(sample))
    values = iter(inputs)
    y = sample.call(mg, *(next(values) if a.dtype.kind == "f" else mg.tensor(a) for a in sample.arrays()))
    seed = mg.tensor(seed_like(y), requires_grad=True)
    first = mg.gradients(y, inputs, seed, create_graph=True, allow_unused=True)
    recorded = [g for g in first if g is not None and g.requires_grad]
    second = mg.gradients(recorded, [*inputs, seed], [mg.tensor(seed_like(g)) for g in recorded], allow_unused=True)
    found = [*zip(first, inputs), *zip(second, [*inputs, seed])]
    return [np.zeros(x.shape) if g is None else g.numpy() for g, x in found]


@catalogue
def test_derivatives_of_first_and_second_order(xp: Any, sample: Sample) -> None:
    """By central differences. On the stand-in device, which computes with NumPy, they are what they are on NumPy."""
    if xp.name == "strict":
        found = derivatives(sample)
        with mg.use_backend("numpy"):
            wanted = derivatives(sample)
        for a, b in zip(found, wanted, strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-12, atol=1e-13 * np.max(np.abs(b), initial=1.0))
        return
    tensors = leaves(sample)
    assert mg.gradcheck(lambda *xs: sample.call(mg, *xs), tensors)
    assert mg.gradgradcheck(lambda *xs: sample.call(mg, *xs), tensors)


@everything
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_value_and_dtypes(xp: Any, sample: Sample, dtype: Any) -> None:
    """The value is NumPy's; what is float32 stays float32, back to the leaves; and the device is never waited for."""
    tensors = leaves(sample, dtype)
    with pytest.MonkeyPatch.context() if sample.waits else xp.no_sync():
        y = sample.call(mg, *tensors)
        seed = mg.tensor(seed_like(y))
        result = mg.gradients(y, differentiable(tensors), seed)
    expected = np.asarray((sample.numpy or sample.call)(np, *sample.arrays(dtype)))
    assert y.backend == xp.name
    assert y.dtype == dtype
    assert y.shape == expected.shape
    np.testing.assert_allclose(y.numpy(), expected, rtol=1e-5 if dtype == np.float32 else 1e-12, atol=1e-6)
    for x, g in zip(differentiable(tensors), result):
        assert (g.dtype, g.shape, g.backend) == (dtype, x.shape, xp.name)


@catalogue
def test_inputs_that_are_not_contiguous(xp: Any, sample: Sample) -> None:
    """Strided views give the same value and gradients as compact arrays."""

    def strided(x: Tensor) -> Tensor:
        return mg.transpose(mg.stack([x, x, x]), (*range(1, x.ndim + 1), 0))[..., 1]

    tensors = leaves(sample)
    views = [strided(x) if x.requires_grad else x for x in tensors]
    plain, viewed = sample.call(mg, *tensors), sample.call(mg, *views)
    np.testing.assert_allclose(viewed.numpy(), plain.numpy(), rtol=1e-13)
    seed = mg.tensor(seed_like(plain))
    pairs = zip(mg.gradients(plain, differentiable(tensors), seed), mg.gradients(viewed, differentiable(views), seed))
    for g, viewed_g in pairs:
        np.testing.assert_allclose(viewed_g.numpy(), g.numpy(), rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("sample", [s for s in CATALOGUE if s.torch is not False], ids=lambda s: s.id)
def test_against_torch(sample: Sample) -> None:
    torch = pytest.importorskip("torch")
    tensors = leaves(sample)
    theirs = [torch.tensor(a, requires_grad=a.dtype.kind == "f") for a in sample.arrays()]
    y, their_y = sample.call(mg, *tensors), (sample.torch or sample.call)(torch, *theirs)
    np.testing.assert_allclose(y.numpy(), their_y.detach().numpy(), rtol=1e-12, atol=1e-14)
    seed = seed_like(y)
    result = mg.gradients(y, differentiable(tensors), mg.tensor(seed))
    their_found = torch.autograd.grad(their_y, [t for t in theirs if t.requires_grad], torch.tensor(seed))
    for g, their_g in zip(result, their_found):
        np.testing.assert_allclose(g.numpy(), their_g.numpy(), rtol=1e-11, atol=1e-13)


@pytest.mark.parametrize("sample", [s for s in CATALOGUE if s.autograd], ids=lambda s: s.id)
def test_against_autograd(sample: Sample) -> None:
    autograd = pytest.importorskip("autograd")
    anp = importlib.import_module("autograd.numpy")
    tensors, arrays = leaves(sample), sample.arrays()
    y = sample.call(mg, *tensors)
    seed = seed_like(y)
    result = mg.gradients(y, differentiable(tensors), mg.tensor(seed))
    places = [k for k, a in enumerate(arrays) if a.dtype.kind == "f"]
    for g, k in zip(result, places):
        their_g = autograd.grad(lambda *xs: anp.sum(seed * (sample.numpy or sample.call)(anp, *xs)), k)(*arrays)
        np.testing.assert_allclose(g.numpy(), their_g, rtol=1e-10, atol=1e-12)
