"""CuPy's kernel launches, with a stand-in for the package: what a launch hands over, and the grid that CuPy shrinks."""

from __future__ import annotations

from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from minigrad.backend import BackendError, Device, Kernels
from minigrad.backend.cupy_backend import KernelsOfDevices, backend_on


class Function:
    """A `cupy.cuda.function.Function` that notes its calls."""

    ptr = 77

    def __init__(self) -> None:
        self.calls: list[Any] = []

    def __call__(self, *args: Any, **options: Any) -> None:
        self.calls.append((args, options))


class Kernel:
    """A `cupy.RawKernel`: its function and that function's limit are those of the current device."""

    def __init__(self, functions: Sequence[Function], current: list[int]) -> None:
        self._functions, self._current, self.limits = functions, current, [None] * len(functions)

    @property
    def kernel(self) -> Function:
        return self._functions[self._current[-1]]

    @property
    def max_dynamic_shared_size_bytes(self) -> Any:
        return self.limits[self._current[-1]]

    @max_dynamic_shared_size_bytes.setter
    def max_dynamic_shared_size_bytes(self, size: Any) -> None:
        self.limits[self._current[-1]] = size


class Pinned(bytearray):
    ptr = 4096


def package(*functions: Function, together: int = 2) -> Any:
    """A stand-in for CuPy on a machine with as many devices as functions; `current` is a stack of their numbers."""
    current, modules, synchronized = [0], [], []
    kernel = Kernel(functions, current)

    class OnDevice:
        def __init__(self, id: int) -> None:
            self.id = id

        def __enter__(self) -> None:
            current.append(self.id)

        def __exit__(self, *error: Any) -> None:
            current.pop()

        def __eq__(self, other: object) -> bool:
            return isinstance(other, OnDevice) and self.id == other.id

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
        runtime=SimpleNamespace(
            getDevice=lambda: current[-1],
            getDeviceProperties=lambda device: {**limits, "multiProcessorCount": 3 + device},
            deviceSynchronize=lambda: synchronized.append(current[-1]),
        ),
        Device=OnDevice,
        get_current_stream=lambda: SimpleNamespace(
            is_capturing=lambda: current[-1] == 1, synchronize=lambda: synchronized.append("stream")
        ),
        driver=SimpleNamespace(
            occupancyMaxActiveBlocksPerMultiprocessor=lambda pointer, threads, shared: together if pointer == 77 else 0
        ),
        alloc_pinned_memory=Pinned,
    )
    return SimpleNamespace(
        RawModule=raw_module,
        cuda=cuda,
        ndarray=np.ndarray,
        asarray=np.asarray,
        asnumpy=np.array,
        modules=modules,
        kernel=kernel,
        current=current,
        synchronized=synchronized,
    )


def kernels(cupy: Any) -> Kernels:
    return KernelsOfDevices(cupy)()


def test_a_device_is_described() -> None:
    made = kernels(package(Function()))
    assert made.device == Device("stand-in", 3, 99 << 10, 65536, 1024, (8, 6), True)
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


def array_on(device: int) -> Any:
    return SimpleNamespace(device=SimpleNamespace(id=device))


def test_each_device_has_kernels_of_its_own() -> None:
    """An array's device has them, whichever is the current one, and they are made once."""
    cupy = package(Function(), Function())
    every = KernelsOfDevices(cupy)
    assert [every(array_on(d)).device.multiprocessors for d in (1, 0, 1)] == [4, 3, 4]
    assert every() is every(array_on(0))
    cupy.current.append(1)
    assert every() is every(array_on(1)) is not every(array_on(0))
    for d in (0, 1):
        assert every(array_on(d)).place == cupy.cuda.Device(d)


def test_a_kernel_runs_on_its_device_with_that_ones_limits() -> None:
    functions = Function(), Function()
    cupy = package(*functions)
    every = KernelsOfDevices(cupy)
    launches = [every(array_on(d)).compile("source", ())("forward") for d in (0, 1)]
    for d, size in ((0, 60 << 10), (1, 60 << 10), (1, 70 << 10), (0, 64 << 10)):
        with every(array_on(d)).entered():
            launches[d]((1, 1, 1), 128, (), shared_memory=size)
    assert cupy.kernel.limits == [64 << 10, 70 << 10]
    assert [len(f.calls) for f in functions] == [2, 2]
    assert cupy.current == [0]
    with pytest.raises(BackendError, match="forward: the current device is 0, want 1, where its arrays are"):
        launches[1]((1, 1, 1), 128, ())
    assert [len(f.calls) for f in functions] == [2, 2]


def test_what_a_kernel_reported_is_told_of_every_device() -> None:
    """And the device that reported it is waited for, not the current one."""
    cupy = package(Function(), Function())
    every = KernelsOfDevices(cupy)
    flags = [every(array_on(d)).flags for d in (0, 1)]
    every.check()
    flags[1][0] = 1
    with pytest.raises(BackendError, match="gave up waiting"):
        every.check()
    assert cupy.synchronized == [1]
    every.check()


@pytest.mark.parametrize("wait", ["to_numpy", "synchronize", "check"])
def test_the_backend_tells_it_once_after_the_wait(wait: str) -> None:
    cupy = package(Function())
    backend = backend_on(cupy)
    assert backend.kernels is not None
    args = [np.ones(2)] if wait == "to_numpy" else []
    getattr(backend, wait)(*args)
    backend.kernels().flags[0] = 1
    cupy.synchronized.clear()
    with pytest.raises(BackendError, match="gave up waiting"):
        getattr(backend, wait)(*args)
    assert cupy.synchronized == (["stream", 0] if wait == "synchronize" else [0])
    assert getattr(backend, wait)(*args) is None or wait == "to_numpy"


def test_a_stream_that_captures_is_known() -> None:
    cupy = package(Function(), Function())
    backend = backend_on(cupy)
    assert not backend.capturing()
    with cupy.cuda.Device(1):
        assert backend.capturing()


def test_the_names_exist_in_cupy() -> None:
    cupy = pytest.importorskip("cupy")
    for name in (
        "runtime.getDeviceProperties",
        "runtime.getDevice",
        "runtime.deviceSynchronize",
        "alloc_pinned_memory",
        "Device",
        "get_current_stream",
        "Stream.is_capturing",
    ):
        result = cupy.cuda
        for part in name.split("."):
            result = getattr(result, part)
    assert hasattr(cupy.cuda.driver, "occupancyMaxActiveBlocksPerMultiprocessor")
    assert hasattr(cupy.cuda.function.Function, "ptr")
    kernel = cupy.RawKernel("", "kernel")
    assert {"kernel", "max_dynamic_shared_size_bytes"} <= set(dir(kernel))
