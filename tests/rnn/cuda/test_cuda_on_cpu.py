"""The shim that runs kernels as C++: what it offers of CUDA, and that it notices what a GPU would not forgive."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from minigrad.backend import Backend
from tests.support.cuda_on_cpu.cells import KINDS
from tests.support.cuda_on_cpu.device import KernelFault, Settings
from tests.support.strict_device import StrictArray, xp

SANITIZED = Path(__file__).resolve().parents[2] / "support" / "cuda_on_cpu" / "sanitized.py"


def launched(backend: Backend, source: str, *args: Any, grid: int = 1, threads: int = 64, shared: int = 0) -> None:
    assert backend.kernels is not None
    source = 'extern "C" __global__ void __launch_bounds__(64, 1) kernel(' + source
    backend.kernels().compile(source, ())("kernel")((grid, 1, 1), threads, args, shared_memory=shared)


@pytest.fixture(params=[0, 1, 2], ids="seed {}".format)
def any_order(request: pytest.FixtureRequest, launch_settings: Settings, kernels_on_cpu: Backend) -> Backend:
    launch_settings.seed = request.param
    return kernels_on_cpu


def test_shuffles(any_order: Backend) -> None:
    out = xp.zeros((64, 4), np.int32)
    launched(
        any_order,
        """int* out) {
            const int i = threadIdx.x, lane = i % 32;
            out[4 * i] = __shfl_sync(~0u, i, 3);
            out[4 * i + 1] = __shfl_xor_sync(~0u, i, 16);
            out[4 * i + 2] = __shfl_down_sync(~0u, i, 5);
            double sum = i;
            for (int bit = 16; bit; bit /= 2) sum += __shfl_xor_sync(~0u, sum, bit);
            out[4 * i + 3] = int(sum);
        }""",
        out,
    )
    i = np.arange(64)
    first = i // 32 * 32
    down = np.where(i % 32 < 27, i + 5, i)
    sums = np.where(first, 1520, 496)
    np.testing.assert_array_equal(out.get(), np.stack([first + 3, i ^ 16, down, sums], axis=1))


def test_shared_memory_is_each_blocks_own(any_order: Backend) -> None:
    """Declared in the kernel and asked for at the launch; its barriers order it. A warp's own order its threads."""
    out = xp.zeros((3, 64), np.int32)
    launched(
        any_order,
        """int* out) {
            DYNAMIC_SHARED(bytes);
            int* const asked = (int*)bytes;
            __shared__ int declared[64];
            const int i = threadIdx.x;
            asked[i] = i + blockIdx.x, declared[63 - i] = blockDim.x * gridDim.x;
            __syncthreads();
            const int other = asked[63 - i] + declared[i];
            __syncthreads();
            asked[i] = other;
            __syncwarp();
            out[64 * blockIdx.x + i] = asked[i ^ 1];
        }""",
        out,
        grid=3,
        shared=256,
    )
    expected = (63 - (np.arange(64) ^ 1)) + np.arange(3)[:, None] + 192
    np.testing.assert_array_equal(out.get(), expected)


def test_memory_that_nobody_wrote_is_nan(kernels_on_cpu: Backend) -> None:
    out = xp.zeros(64, np.float32)
    launched(
        kernels_on_cpu,
        "float* out) { DYNAMIC_SHARED(b); out[threadIdx.x] = ((float*)b)[threadIdx.x]; }",
        out,
        shared=256,
    )
    assert np.isnan(out.get()).all()


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("int* out) { if (threadIdx.x == 5) return; __syncthreads(); }", "a thread left while others wait"),
        ("int* out) { if (threadIdx.x % 32) __syncwarp(); else __syncthreads(); }", "every thread waits at a barrier"),
        ("int* out) { DYNAMIC_SHARED(bytes); bytes[256] = 1; }", "wrote beyond its shared memory"),
    ],
)
def test_faults_of_a_kernel(kernels_on_cpu: Backend, source: str, message: str) -> None:
    with pytest.raises(KernelFault, match=message):
        launched(kernels_on_cpu, source, xp.zeros(1, np.int32), shared=256)


@pytest.mark.parametrize(
    ("args", "message"),
    [
        ((), "got 0 arguments, want 2"),
        ((1, 2), "argument 0: got 1"),
        ((np.uint64(0), np.int64(2)), "argument 1: got .*, want 4 bytes"),
        ((np.uint64(0), StrictArray(np.zeros(2))), "argument 1: got an array, want a number"),
        ((StrictArray(np.zeros((4, 4)).T), np.int32(2)), "is not contiguous"),
    ],
)
def test_faults_of_a_launch(kernels_on_cpu: Backend, args: tuple[Any, ...], message: str) -> None:
    with pytest.raises(KernelFault, match=message):
        launched(kernels_on_cpu, "int* out, int n) {}", *args)


def sanitized(folder: Path, shift: int) -> subprocess.CompletedProcess[str]:
    result = subprocess.run(["g++", "-print-file-name=libasan.so"], capture_output=True, text=True, check=True)
    runtime = result.stdout.strip()
    if not Path(runtime).is_absolute():
        pytest.skip("AddressSanitizer: g++ has no libasan.so")
    environment = {
        **os.environ,
        "LD_PRELOAD": runtime,
        "ASAN_OPTIONS": "detect_leaks=0:detect_stack_use_after_return=0",
        "OPENBLAS_NUM_THREADS": "1",
    }
    command = [sys.executable, str(SANITIZED), str(folder), str(shift)]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)


def test_the_kernels_touch_no_memory_but_their_own(compiled_kernels: Path) -> None:
    done = sanitized(compiled_kernels, 0)
    assert done.returncode == 0, done.stderr[-3000:]
    assert done.stdout.splitlines() == [f"{kind} is clean" for kind in KINDS]


def test_a_read_of_one_element_too_far_is_caught(compiled_kernels: Path) -> None:
    done = sanitized(compiled_kernels, 1)
    assert done.returncode
    assert "heap-buffer-overflow" in done.stderr
