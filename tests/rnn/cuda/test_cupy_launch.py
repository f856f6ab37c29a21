"""CuPy's kernel launches, with a stand-in for the package: what a launch hands over, and the grid that CuPy shrinks."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from minigrad import backend
from minigrad.backend import BackendError


class Function:
    """A `cupy.cuda.function.Function` that notes its calls."""

    ptr = 77

    def __init__(self) -> None:
        self.calls: list[Any] = []

    def __call__(self, *args: Any, **options: Any) -> None:
        self.calls.append((args, options))


class Pinned(bytearray):
    ptr = 4096


def package(function: Function, together: int = 2) -> Any:
    kernel = SimpleNamespace(kernel=function, max_dynamic_shared_size_bytes=None)
    modules: list[dict[str, Any]] = []

    def raw_module(**options: Any) -> Any:
        modules.append(options)
        return SimpleNamespace(get_function=lambda name: kernel)

    limits = {
        "name": b"stand-in",
        "multiProcessorCount": 3,
        "sharedMemPerBlockOptin": 99 << 10,
        "regsPerMultiprocessor": 65536,
        "maxThreadsPerBlock": 1024,
        "major": 8,
        "minor": 6,
        "cooperativeLaunch": 1,
    }
    cuda = SimpleNamespace(
        runtime=SimpleNamespace(getDeviceProperties=lambda device: limits, deviceSynchronize=lambda: None),
        driver=SimpleNamespace(
            occupancyMaxActiveBlocksPerMultiprocessor=lambda pointer, threads, shared: together if pointer == 77 else 0
        ),
        alloc_pinned_memory=Pinned,
    )
    return SimpleNamespace(RawModule=raw_module, cuda=cuda, modules=modules, kernel=kernel)


def kernels(cupy: Any) -> backend.Kernels:
    return backend._cupy_kernels.__wrapped__(cupy, 0)


def test_a_device_is_described() -> None:
    made = kernels(package(Function()))
    assert made.device == backend.Device("stand-in", 3, 99 << 10, 65536, 1024, (8, 6), True)
    assert (made.flags.tolist(), made.flags_pointer) == ([0] * 64, 4096)


def test_what_a_launch_hands_over() -> None:
    function = Function()
    cupy = package(function)
    launch = kernels(cupy).compile("source", ("-DK_H=4",))("forward")
    launch((2, 1, 3), 128, ("x", np.int32(1)), shared_memory=60 << 10, cooperative=True)
    assert cupy.modules == [{"code": "source", "options": ("-std=c++17", "-DK_H=4")}]
    assert cupy.kernel.max_dynamic_shared_size_bytes == 60 << 10
    args, options = function.calls[0]
    assert args == ((2, 1, 3), (128, 1, 1), ("x", np.int32(1)))
    assert options == {"shared_mem": 60 << 10, "enable_cooperative_groups": True}


def test_shared_memory_is_asked_for_below_the_usual_limit_too() -> None:
    """48 KiB and the few bytes that a kernel declares itself are more than 48 KiB."""
    cupy = package(Function())
    launch = kernels(cupy).compile("source", ())("forward")
    launch((1, 1, 1), 128, (), shared_memory=48 << 10)
    assert cupy.kernel.max_dynamic_shared_size_bytes == 48 << 10
    cupy.kernel.max_dynamic_shared_size_bytes = None
    launch((1, 1, 1), 128, (), shared_memory=8 << 10)  # allowed already
    assert cupy.kernel.max_dynamic_shared_size_bytes is None
    launch((1, 1, 1), 128, (), shared_memory=64 << 10)
    assert cupy.kernel.max_dynamic_shared_size_bytes == 64 << 10


def test_the_host_writes_and_reads_flags_in_pinned_memory() -> None:
    """CuPy's own pointer, around memory of our own: the array is a view of it, and holds it."""
    cupy = pytest.importorskip("cupy")
    words = np.arange(64, dtype=np.int32)
    stand_in = package(Function())
    held = type("Held", (), {"ptr": words.ctypes.data, "size": 256})()
    stand_in.cuda.alloc_pinned_memory = lambda size: cupy.cuda.PinnedMemoryPointer(held, 0)
    made = kernels(stand_in)
    assert made.flags_pointer == words.ctypes.data
    assert not words.any()
    words[0] = 5
    assert made.flags[0] == 5


def test_an_oversized_cooperative_grid_is_an_error() -> None:
    function = Function()
    launch = kernels(package(function)).compile("source", ())("forward")
    with pytest.raises(BackendError, match=r"forward: grid: got \(7, 1, 1\), want at most 6 blocks"):
        launch((7, 1, 1), 128, (), cooperative=True)
    assert function.calls == []
    launch((7, 1, 1), 128, ())
    assert len(function.calls) == 1


def test_the_names_exist_in_cupy() -> None:
    cupy = pytest.importorskip("cupy")
    for name in (
        "runtime.getDeviceProperties",
        "runtime.getDevice",
        "runtime.deviceSynchronize",
        "alloc_pinned_memory",
    ):
        result = cupy.cuda
        for part in name.split("."):
            result = getattr(result, part)
    assert hasattr(cupy.cuda.driver, "occupancyMaxActiveBlocksPerMultiprocessor")
    assert hasattr(cupy.cuda.function.Function, "ptr")
    kernel = cupy.RawKernel("", "kernel")
    assert {"kernel", "max_dynamic_shared_size_bytes"} <= set(dir(kernel))
