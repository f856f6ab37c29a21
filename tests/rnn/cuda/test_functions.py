"""σ and tanh of the kernels against NumPy in float64: how many units of the last place they are off."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from minigrad.backend import Backend
from minigrad_rnn.cuda.source import HERE
from tests.support.cuda_on_cpu.device import Settings

KERNEL = """
extern "C" __global__ void kernel(const Real* z, Real* sigmoid, Real* tangent, int n) {
    for (int i = threadIdx.x; i < n; i += 64) sigmoid[i] = sigmoid_kept(z[i]), tangent[i] = tanh_kept(z[i]);
}"""
EXTREMES = [0.0, -0.0, 1e-30, -1e-30, 90.0, -90.0, 1e30, -1e30, np.inf, -np.inf]


def values(backend: Backend, z: Any) -> tuple[Any, Any]:
    """σ(z) and tanh(z) as the kernels compute them."""
    assert backend.kernels is not None
    text = (HERE / "functions.h").read_text(encoding="utf-8").replace("#pragma once\n", "")
    double = z.dtype == np.float64
    source = f"typedef {'double' if double else 'float'} Real;\n{text}{KERNEL}"
    arrays = [backend.from_numpy(a) for a in (z, np.empty_like(z), np.empty_like(z))]
    kernel = backend.kernels().compile(source, ("-DK_DOUBLE=1",) if double else ())("kernel")
    kernel((1, 1, 1), 64, (*arrays, np.int32(z.size)))
    return backend.to_numpy(arrays[1]), backend.to_numpy(arrays[2])


def worst(z: Any, sigmoid: Any, tangent: Any) -> tuple[float, float, float]:
    """The largest errors: of σ in units of 2⁻²⁴ and of its own last place over |z| + 3; of tanh in the latter units."""
    exact = z.astype(np.float64)
    unit = np.finfo(z.dtype).eps
    right, right_tangent = 1 / (1 + np.exp(-exact)), np.tanh(exact)
    absolute = np.abs(sigmoid - right).max() / unit * 2
    relative = (np.abs(sigmoid / right - 1) / (np.abs(exact) + 3)).max() / unit
    return absolute, relative, np.abs(tangent / right_tangent - 1).max() / unit


@pytest.mark.parametrize(("dtype", "reach"), [(np.float32, 80.0), (np.float64, 500.0)])
def test_units_of_the_last_place(kernels_anywhere: Backend, dtype: Any, reach: float) -> None:
    rng = np.random.default_rng(0)
    z = np.concatenate([rng.uniform(-reach, reach, 20_000), rng.uniform(-2, 2, 20_000), np.geomspace(1e-20, 1, 2_000)])
    z = z.astype(dtype)
    absolute, relative, tangent = worst(z, *values(kernels_anywhere, z))
    assert absolute < 3.5
    assert relative < 1
    assert tangent < 3.5


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.filterwarnings("ignore:overflow")
def test_far_out_both_are_their_limits(kernels_anywhere: Backend, dtype: Any) -> None:
    z = np.array(EXTREMES, dtype)
    sigmoid, tangent = values(kernels_anywhere, z)
    np.testing.assert_allclose(sigmoid, 1 / (1 + np.exp(-z.astype(np.float64))), rtol=1e-5, atol=1e-38)
    np.testing.assert_array_equal(tangent, np.tanh(z.astype(np.float64)).astype(dtype))
    assert np.isnan(values(kernels_anywhere, np.array([np.nan], dtype))).all()


def test_a_coefficient_that_is_off_is_seen(kernels_on_cpu: Backend, launch_settings: Settings) -> None:
    launch_settings.change = lambda source: source.replace("0.33332622f", "0.33333622f")
    z = np.linspace(0.3, 0.59, 500).astype(np.float32)
    assert worst(z, *values(kernels_on_cpu, z))[2] > 6
