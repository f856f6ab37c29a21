"""CuPy as a backend: what may be missing, kernels for each of its devices, and NCCL."""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np

from .array_library import Array, Backend, BackendError, Device, DeviceGroup, Kernels, Launch, checked
from .clusters import clusters_at_once

MIN_CAPABILITY = 60
"""The least compute capability, times ten, that supports cooperative launches."""


@cache
def cupy_packages() -> list[str]:
    """Return the names of the installed CuPy distributions; more than one is an error."""
    from importlib import metadata  # here, since it would add a fifth to the time that importing minigrad takes

    names = (d.metadata["Name"].lower() for d in metadata.distributions() if d.metadata["Name"])
    return sorted({name for name in names if re.fullmatch(r"cupy(-cuda\d+x|-rocm.*)?", name)})


def toolkit_hint(installed: list[str]) -> str:
    """How pip installs the CUDA libraries beside CuPy; "" for builds of CuPy that the index has without them."""
    package = installed[0] if installed else "cupy-cuda13x"
    return f", or pip install '{package}[ctk]'" if package in ("cupy-cuda12x", "cupy-cuda13x") else ""


def load_cupy() -> Backend:
    """Return the backend.

    Raises:
        BackendError: CuPy, a library that it needs or a usable GPU is missing, or several builds of it are installed.
    """
    if len(installed := cupy_packages()) > 1:  # checked first: together they may not even be importable
        raise BackendError(
            f"backend 'cupy': the packages {' and '.join(installed)} are installed at once and overwrite each other's "
            f"files; pip uninstall {' '.join(installed)}, then install the one for your CUDA"
        )
    try:
        import cupy
    except ImportError as error:
        raise BackendError(
            "backend 'cupy': the package cupy cannot be imported; install it with "
            f"pip install cupy-cuda13x (CUDA 13) or cupy-cuda12x (CUDA 12). Python said: {error}"
        ) from error
    try:
        devices = cupy.cuda.runtime.getDeviceCount()
    except cupy.cuda.runtime.CUDARuntimeError as error:
        raise BackendError(
            "backend 'cupy': cupy is installed but finds no usable GPU; check the driver with nvidia-smi, or use the "
            f"backend 'numpy'. CUDA said: {error}"
        ) from error
    if not devices:
        raise BackendError("backend 'cupy': cupy is installed but finds no usable GPU; use the backend 'numpy'")
    if (capability := int(cupy.cuda.Device().compute_capability)) < MIN_CAPABILITY:
        raise BackendError(
            f"backend 'cupy': the GPU has compute capability {capability / 10}, want at least "
            f"{MIN_CAPABILITY / 10}; use the backend 'numpy'"
        )
    try:  # CuPy would load these libraries only in the middle of the first operation
        cupy.cuda.nvrtc.getVersion()
        _ = cupy.cuda.cublas
    except (ImportError, RuntimeError, OSError) as error:
        raise BackendError(
            "backend 'cupy': cupy is installed, but not the CUDA libraries that it needs; install the CUDA toolkit"
            f"{toolkit_hint(installed)}. CuPy said: {error}"
        ) from error
    return backend_on(cupy)


def backend_on(cupy: Any) -> Backend:
    """Return the backend of the package."""
    kernels = KernelsOfDevices(cupy)
    return Backend(
        "cupy",
        cupy,
        cupy.ndarray,
        to_numpy=checked(cupy.asnumpy, kernels.check),
        from_numpy=cupy.asarray,
        synchronize=checked(lambda: cupy.cuda.get_current_stream().synchronize(), kernels.check),
        kernels=kernels,
        join_devices=lambda k, n: join_cupy_devices(cupy, k, n),
        check=kernels.check,
        capturing=lambda: bool(cupy.cuda.get_current_stream().is_capturing()),
    )


class _NcclGroup:
    """A `DeviceGroup` that NCCL joins; mpi4py carries what its members need to find each other."""

    def __init__(self, rank: int, size: int) -> None:
        from cupyx.distributed import NCCLBackend

        self._nccl = NCCLBackend(size, rank, use_mpi=True)

    def all_reduce(self, array: Array) -> None:
        self._nccl.all_reduce(array, array, "sum")


def join_cupy_devices(cupy: Any, k: int, n: int) -> Callable[[int, int], DeviceGroup]:
    devices = int(cupy.cuda.runtime.getDeviceCount())
    cupy.cuda.Device(k % devices).use()
    if n > devices:
        raise BackendError(f"backend 'cupy': {n} processes share {devices} GPUs, and NCCL wants one for each")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # CuPy warns where the library is missing
        from cupy.cuda import nccl
    if not nccl.available:
        raise BackendError("backend 'cupy': the library NCCL is missing: pip install nvidia-nccl-cu13 (or -cu12)")
    return _NcclGroup


class KernelsOfDevices:
    """A `KernelsOf` that makes the kernels of a device when they are first wanted."""

    def __init__(self, cupy: Any) -> None:
        self._cupy = cupy
        self._by_device: dict[int, Kernels] = {}

    def __call__(self, array: Array = None) -> Kernels:
        device = int(self._cupy.cuda.runtime.getDevice() if array is None else array.device.id)
        if device not in self._by_device:
            self._by_device[device] = _kernels(self._cupy, device)
        return self._by_device[device]

    def check(self) -> None:
        """Tell what a kernel reported, on any device."""
        for kernels in tuple(self._by_device.values()):
            kernels.check()


def _kernels(cupy: Any, device: int) -> Kernels:
    limits = cupy.cuda.runtime.getDeviceProperties(device)
    capability, most_shared = (limits["major"], limits["minor"]), limits["sharedMemPerBlockOptin"]
    with cupy.cuda.Device(device):
        clusters = clusters_at_once(cupy, capability, most_shared)
    properties = Device(
        name=limits["name"].decode(),
        multiprocessors=limits["multiProcessorCount"],
        shared_memory=most_shared,
        registers=limits["regsPerMultiprocessor"],
        threads=limits["maxThreadsPerBlock"],
        compute_capability=capability,
        cooperative=bool(limits["cooperativeLaunch"]),
        clusters=clusters,
    )

    def compile_source(source: str, options: tuple[str, ...]) -> Callable[[str], Launch]:
        module = cupy.RawModule(code=source, options=("-std=c++17", *options))
        return lambda name: _launch(cupy, module.get_function(name), name, device, properties.multiprocessors)

    def synchronize() -> None:
        with cupy.cuda.Device(device):
            cupy.cuda.runtime.deviceSynchronize()

    pinned = cupy.cuda.alloc_pinned_memory(256)  # every device reaches it at the host's address
    flags = np.frombuffer(pinned, np.int32, 64)
    flags[:] = 0
    return Kernels(
        properties,
        compile_source,
        flags,
        pinned.ptr,
        synchronize,
        place=cupy.cuda.Device(device),
        entered=lambda: cupy.cuda.Device(device),
    )


def _launch(cupy: Any, kernel: Any, name: str, device: int, multiprocessors: int) -> Launch:
    """Return the launch of a kernel on one device: CuPy takes the current one's function, which has its own limits."""
    allowed = 0  # static shared memory counts against the usual 48 KiB too, so smaller sizes have to be set as well

    def launch(
        grid: tuple[int, int, int],
        threads: int,
        args: tuple[Any, ...],
        shared_memory: int = 0,
        cooperative: bool = False,
    ) -> None:
        nonlocal allowed
        if (current := cupy.cuda.runtime.getDevice()) != device:
            raise BackendError(f"{name}: the current device is {current}, want {device}, where its arrays are")
        if shared_memory > allowed:
            kernel.max_dynamic_shared_size_bytes = allowed = shared_memory
        function = kernel.kernel
        if cooperative:  # checked here, since CuPy would silently shrink a grid that is too large
            together = multiprocessors * cupy.cuda.driver.occupancyMaxActiveBlocksPerMultiprocessor(
                function.ptr, threads, shared_memory
            )
            if grid[0] * grid[1] * grid[2] > together:
                raise BackendError(f"{name}: grid: got {grid}, want at most {together} blocks, which can run together")
        function(grid, (threads, 1, 1), args, shared_mem=shared_memory, enable_cooperative_groups=cooperative)

    return launch
