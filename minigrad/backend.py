"""Backends: the array libraries that minigrad runs on. The only file that names cupy.

An operation runs on the backend of its arrays. `use_backend` only decides where *new* arrays are created.
"""

from __future__ import annotations

import re
import threading
import warnings
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any, Protocol

import numpy as np

from .option_checks import check_function, check_text, shown

Array = Any
"""An array of any backend: `numpy.ndarray` or `cupy.ndarray`, which have no common base class."""


class BackendError(RuntimeError):
    """A backend is unknown or missing, or arrays of two backends are mixed in one operation."""


@dataclass(frozen=True)
class Device:
    """The properties of a device that kernels depend on."""

    name: str
    multiprocessors: int
    shared_memory: int
    """Bytes that one block may have if it asks for more than the usual 48 KiB."""
    registers: int
    """32-bit registers of a multiprocessor."""
    threads: int
    """The most threads of one block."""
    compute_capability: tuple[int, int]
    cooperative: bool
    """Whether a launch can guarantee that all its blocks run at the same time."""


@dataclass(frozen=True, eq=False)
class Kernels:
    """A backend's way to run CUDA source on its arrays.

    `compile(source, options)` returns a function that looks up a kernel by name: a `Launch`. `flags` are integers that
    the host reads without synchronising; a kernel reports errors there, through `flags_pointer`. `synchronize` waits
    until the device has finished all its work, on any stream.
    """

    device: Device
    compile: Callable[[str, tuple[str, ...]], Callable[[str], Launch]]
    flags: np.ndarray[Any, Any]
    flags_pointer: int
    synchronize: Callable[[], None]


class Launch(Protocol):
    """A compiled kernel.

    Arguments are arrays, passed by address, and NumPy scalars, passed by value. `cooperative` makes all blocks run at
    the same time.

    Raises:
        BackendError: a cooperative grid has more blocks than can run at the same time.
    """

    def __call__(
        self,
        grid: tuple[int, int, int],
        threads: int,
        args: tuple[Any, ...],
        shared_memory: int = 0,
        cooperative: bool = False,
    ) -> None: ...


class DeviceGroup(Protocol):
    """The devices of several processes, one of each, that can add up their arrays without the host."""

    def all_reduce(self, array: Array) -> None:
        """Replace a contiguous array by the sum of those of all processes."""


@dataclass(frozen=True, eq=False)
class Backend:
    """An array library.

    `xp` is its namespace with NumPy's names, `array_type` the class of its arrays. `from_numpy` copies a host array
    to the device and `to_numpy` copies one back; both may return their argument if host and device are the same.
    `kernels` returns what compiles CUDA source; None if the backend has no CUDA. `join_devices(k, n)` is called by
    process k of n on this machine: it takes a device, and returns a function that, called on all processes of all
    machines with their number and the number of processes, returns their `DeviceGroup`. It raises BackendError,
    with a device taken, where there can be none; the field is None if the backend has no devices.
    """

    name: str
    xp: Any
    array_type: type
    to_numpy: Callable[[Array], np.ndarray[Any, Any]]
    from_numpy: Callable[[np.ndarray[Any, Any]], Array]
    synchronize: Callable[[], None]
    kernels: Callable[[], Kernels] | None = None
    join_devices: Callable[[int, int], Callable[[int, int], DeviceGroup]] | None = None

    def __repr__(self) -> str:
        return f"Backend({self.name!r})"


MIN_CAPABILITY = 60
"""The least compute capability, times ten, that supports cooperative launches."""


@cache
def _cupy_packages() -> list[str]:
    """Return the names of the installed CuPy distributions; more than one is an error."""
    from importlib import metadata  # here, since it would add a fifth to the time that importing minigrad takes

    names = (d.metadata["Name"].lower() for d in metadata.distributions() if d.metadata["Name"])
    return sorted({name for name in names if re.fullmatch(r"cupy(-cuda\d+x|-rocm.*)?", name)})


def _with_libraries(installed: list[str]) -> str:
    """How pip installs the CUDA libraries beside CuPy; "" for builds of CuPy that the index has without them."""
    package = installed[0] if installed else "cupy-cuda13x"
    return f", or pip install '{package}[ctk]'" if package in ("cupy-cuda12x", "cupy-cuda13x") else ""


def _load_cupy() -> Backend:
    if len(installed := _cupy_packages()) > 1:  # checked first: together they may not even be importable
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
            f"{_with_libraries(installed)}. CuPy said: {error}"
        ) from error
    return Backend(
        "cupy",
        cupy,
        cupy.ndarray,
        to_numpy=cupy.asnumpy,
        from_numpy=cupy.asarray,
        synchronize=lambda: cupy.cuda.get_current_stream().synchronize(),
        kernels=lambda: _cupy_kernels(cupy, cupy.cuda.runtime.getDevice()),
        join_devices=lambda k, n: _join_cupy_devices(cupy, k, n),
    )


class _NcclGroup:
    """A `DeviceGroup` that NCCL joins; mpi4py carries what its members need to find each other."""

    def __init__(self, rank: int, size: int) -> None:
        from cupyx.distributed import NCCLBackend

        self._nccl = NCCLBackend(size, rank, use_mpi=True)

    def all_reduce(self, array: Array) -> None:
        self._nccl.all_reduce(array, array, "sum")


def _join_cupy_devices(cupy: Any, k: int, n: int) -> Callable[[int, int], DeviceGroup]:
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


@cache
def _cupy_kernels(cupy: Any, device: int) -> Kernels:
    limits = cupy.cuda.runtime.getDeviceProperties(device)
    properties = Device(
        name=limits["name"].decode(),
        multiprocessors=limits["multiProcessorCount"],
        shared_memory=limits["sharedMemPerBlockOptin"],
        registers=limits["regsPerMultiprocessor"],
        threads=limits["maxThreadsPerBlock"],
        compute_capability=(limits["major"], limits["minor"]),
        cooperative=bool(limits["cooperativeLaunch"]),
    )

    def compile_source(source: str, options: tuple[str, ...]) -> Callable[[str], Launch]:
        module = cupy.RawModule(code=source, options=("-std=c++17", *options))
        return lambda name: _cupy_launch(cupy, module.get_function(name), name, properties.multiprocessors)

    pinned = cupy.cuda.alloc_pinned_memory(256)  # the device reaches it at the host's address
    flags = np.frombuffer(pinned, np.int32, 64)
    flags[:] = 0
    return Kernels(properties, compile_source, flags, pinned.ptr, cupy.cuda.runtime.deviceSynchronize)


def _cupy_launch(cupy: Any, kernel: Any, name: str, multiprocessors: int) -> Launch:
    allowed = 0  # static shared memory counts against the usual 48 KiB too, so smaller sizes have to be set as well

    def launch(
        grid: tuple[int, int, int],
        threads: int,
        args: tuple[Any, ...],
        shared_memory: int = 0,
        cooperative: bool = False,
    ) -> None:
        nonlocal allowed
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


# Freed at once. From then on glibc keeps up to 32 MiB of freed memory for the next arrays: to return it to the system
# after every backward pass, and to have it mapped again, can take half of the time.
np.empty(1 << 24, np.uint8)
NUMPY = Backend("numpy", np, np.ndarray, to_numpy=lambda a: a, from_numpy=lambda a: a, synchronize=lambda: None)
_loaders: dict[str, Callable[[], Backend]] = {"numpy": lambda: NUMPY, "cupy": _load_cupy}
_by_name: dict[str, Backend] = {"numpy": NUMPY}
BY_ARRAY_TYPE: dict[type, Backend] = {np.ndarray: NUMPY}
"""The backends loaded so far. A plain dictionary, since every operation looks up each array."""
HOST_SCALARS = frozenset(np.dtype(code).type for code in np.typecodes["All"])
"""The types of NumPy's scalars, which its functions return in place of arrays without axes."""


MASK_LOST = (
    "whose mask would be lost; pass m.filled(value), and minigrad.where(~m.mask, x, 0) for what the mask leaves out"
)


def register_backend(name: str, load: Callable[[], Backend]) -> None:
    """Register another array library under `name`; `load` runs when it is first used."""
    check_text("register_backend", name=name)
    check_function("register_backend", load=load)
    _loaders[name] = load
    _by_name.pop(name, None)


OTHER_NAMES = {"cuda": "cupy", "gpu": "cupy", "cpu": "numpy", "host": "numpy"}
"""What other libraries call the backends."""


def get_backend(name: str | Backend) -> Backend:
    """Return the backend called `name`; load it if necessary.

    Raises:
        BackendError: no backend has that name, its package is missing, or there is no device.
    """
    if isinstance(name, Backend):
        return name
    if not isinstance(name, str) or name not in _by_name:
        if not isinstance(name, str) or name not in _loaders:
            other = OTHER_NAMES.get(str(name).partition(":")[0].lower())
            hint = f"; what others call {name!r} is {other!r} here" if other else ""
            raise BackendError(f"backend: got {shown(name)}, want one of {sorted(_loaders)}{hint}")
        _by_name[name] = backend = _loaders[name]()
        BY_ARRAY_TYPE[backend.array_type] = backend
    return _by_name[name]


def is_array(value: object) -> bool:
    """Return whether `value` is an array of a loaded backend.

    Raises:
        TypeError: it is a masked array, whose mask would be lost wherever its values are used.
    """
    if type(value) in BY_ARRAY_TYPE:
        return True
    if isinstance(value, np.ma.MaskedArray):
        raise TypeError(f"got a masked array, {MASK_LOST}")
    return isinstance(value, tuple(BY_ARRAY_TYPE))


def backend_of(array: Array) -> Backend:
    """Return the backend that an array belongs to.

    Raises:
        TypeError: `array` belongs to no loaded backend.
    """
    backend = BY_ARRAY_TYPE.get(type(array))
    if backend is None:
        backend = next((b for kind, b in BY_ARRAY_TYPE.items() if isinstance(array, kind)), None)
    if backend is None:
        raise TypeError(f"array: got {type(array).__name__}, want an array of one of {sorted(_by_name)}")
    return backend


class _Default(threading.local):
    backend: Backend = NUMPY


_default = _Default()


def default_backend() -> Backend:
    """Return the backend on which new tensors are created by default."""
    return _default.backend


class use_backend:
    """Create new tensors on this backend from now on, or inside a `with` block only.

    >>> with use_backend("numpy"):
    ...     default_backend().name
    'numpy'

    Raises:
        BackendError: as `get_backend`.
    """

    def __init__(self, name: str | Backend) -> None:
        if not isinstance(name, Backend):
            check_text("use_backend", name=name)
        self._before = _default.backend
        _default.backend = get_backend(name)

    def __enter__(self) -> Backend:
        return _default.backend

    def __exit__(self, *error: Any) -> None:
        _default.backend = self._before


def to_numpy(array: Array) -> np.ndarray[Any, Any]:
    """Return the host copy of an array; an array on the host is returned itself."""
    return backend_of(array).to_numpy(array)


def fingerprint(array: Array) -> int | None:
    """Return a checksum of a host array's content; None for a device array, which would need a synchronisation.

    For a large array the checksum covers sums of its bytes as 64-bit integers: of rows, and of columns at two widths.
    That is faster, and only a deliberate write leaves all of them unchanged. (With a single width, permuting rows of
    one-hot vectors would go undetected.)
    """
    if not isinstance(array, np.ndarray):
        return None
    array = array if array.flags.c_contiguous else np.ascontiguousarray(array)
    if array.nbytes < 1 << 16:
        return zlib.crc32(array)
    content = array.reshape(-1).view(np.uint8)
    end = content.size // 2048 * 2048
    words = content[:end].view(np.uint64)
    rows = words.reshape(-1, 256)
    skewed = words[: words.size // 253 * 253].reshape(-1, 253)
    checksum = zlib.crc32(content[end:].data)
    for sums in (rows.sum(1), rows.sum(0), skewed.sum(0)):
        checksum = zlib.crc32(sums.data, checksum)
    return checksum


def synchronize(backend: str | Backend = "numpy") -> None:
    """Wait until the backend's device has finished all its work. Needed for timing, not for results."""
    get_backend(backend).synchronize()
