"""The seam between minigrad and the array library: the only file that names cupy.

Inside an operation the arrays decide where it runs. `use_backend` says only where *new* arrays are made.
"""

from __future__ import annotations

import re
import threading
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from types import TracebackType
from typing import Any, Protocol

import numpy as np

Array = Any
"""An array of whichever backend: `numpy.ndarray` or `cupy.ndarray`. Their types share no base to name here."""


class BackendError(RuntimeError):
    """A backend is unknown, missing, or two of them met in one operation."""


@dataclass(frozen=True)
class Device:
    """What a kernel may ask of a device."""

    name: str
    multiprocessors: int
    shared_memory: int
    """Bytes that one block may have, where it asks for more than the usual 48 KiB."""
    registers: int
    """Words of a multiprocessor."""
    threads: int
    """Of one block, at most."""
    compute_capability: tuple[int, int]
    cooperative: bool
    """Whether all blocks of a launch can be held to run at the same time."""


@dataclass(frozen=True, eq=False)
class Kernels:
    """A backend's way to run CUDA source on its arrays.

    `compile(source, options)` returns a function that looks up a kernel by name: a `Launch`. `flags` are whole numbers
    that the host reads without waiting and a kernel reaches through `flags_pointer`: it reports trouble there.
    `synchronize` waits until the device has done all that it was given, on any stream.
    """

    device: Device
    compile: Callable[[str, tuple[str, ...]], Callable[[str], Launch]]
    flags: np.ndarray[Any, Any]
    flags_pointer: int
    synchronize: Callable[[], None]


class Launch(Protocol):
    """A compiled kernel.

    Arguments are arrays, whose address is handed over, and NumPy scalars, handed over as they are. `cooperative` holds
    all blocks to run at the same time.

    Raises:
        BackendError: a cooperative grid is larger than what can run at the same time.
    """

    def __call__(
        self,
        grid: tuple[int, int, int],
        threads: int,
        args: tuple[Any, ...],
        shared_memory: int = 0,
        cooperative: bool = False,
    ) -> None: ...


@dataclass(frozen=True, eq=False)
class Backend:
    """An array library as minigrad sees it.

    `xp` is its namespace with NumPy's names, `array_type` the class of its arrays. `from_numpy` copies a host array
    to the device and `to_numpy` copies one back; both may return their argument where host and device are the same.
    `kernels` says how CUDA source runs there; None where it does not.
    """

    name: str
    xp: Any
    array_type: type
    to_numpy: Callable[[Array], np.ndarray[Any, Any]]
    from_numpy: Callable[[np.ndarray[Any, Any]], Array]
    synchronize: Callable[[], None]
    kernels: Callable[[], Kernels] | None = None

    def __repr__(self) -> str:
        return f"Backend({self.name!r})"


OLDEST = 60
"""The compute capability, times ten, from which on all blocks of a launch can be held to run together."""


@cache
def _cupy_packages() -> list[str]:
    """The distributions of CuPy that are installed; more than one is one too many."""
    from importlib import metadata  # here, since it takes a fifth of what minigrad takes to import

    names = (found.metadata["Name"].lower() for found in metadata.distributions() if found.metadata["Name"])
    return sorted({name for name in names if re.fullmatch(r"cupy(-cuda\d+x|-rocm.*)?", name)})


def _load_cupy() -> Backend:
    if len(installed := _cupy_packages()) > 1:  # asked first: what they are together may not even be importable
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
    if (capability := int(cupy.cuda.Device().compute_capability)) < OLDEST:
        raise BackendError(
            f"backend 'cupy': the GPU has compute capability {capability / 10}, want at least {OLDEST / 10}; use the "
            "backend 'numpy'"
        )
    try:  # CuPy loads them when they are first needed, which is in the middle of somebody's first operation
        cupy.cuda.nvrtc.getVersion()
        _ = cupy.cuda.cublas
    except (ImportError, RuntimeError, OSError) as error:
        raise BackendError(
            "backend 'cupy': cupy is installed, but not the CUDA libraries that it loads; install the CUDA toolkit, or "
            f"pip install '{(installed or ['cupy-cuda13x'])[0]}[ctk]'. CuPy said: {error}"
        ) from error
    return Backend(
        "cupy",
        cupy,
        cupy.ndarray,
        to_numpy=cupy.asnumpy,
        from_numpy=cupy.asarray,
        synchronize=lambda: cupy.cuda.get_current_stream().synchronize(),
        kernels=lambda: _cupy_kernels(cupy, cupy.cuda.runtime.getDevice()),
    )


@cache
def _cupy_kernels(cupy: Any, device: int) -> Kernels:
    limits = cupy.cuda.runtime.getDeviceProperties(device)
    described = Device(
        name=limits["name"].decode(),
        multiprocessors=limits["multiProcessorCount"],
        shared_memory=limits["sharedMemPerBlockOptin"],
        registers=limits["regsPerMultiprocessor"],
        threads=limits["maxThreadsPerBlock"],
        compute_capability=(limits["major"], limits["minor"]),
        cooperative=bool(limits["cooperativeLaunch"]),
    )

    def compiled(source: str, options: tuple[str, ...]) -> Callable[[str], Launch]:
        module = cupy.RawModule(code=source, options=("-std=c++17", *options))
        return lambda name: _cupy_launch(cupy, module.get_function(name), name, described.multiprocessors)

    pinned = cupy.cuda.alloc_pinned_memory(256)  # the device reaches it at the host's address
    flags = np.frombuffer(pinned, np.int32, 64)
    flags[:] = 0
    return Kernels(described, compiled, flags, pinned.ptr, cupy.cuda.runtime.deviceSynchronize)


def _cupy_launch(cupy: Any, kernel: Any, name: str, multiprocessors: int) -> Launch:
    allowed = 0  # what the kernel declares itself counts against the usual 48 KiB too, so less is asked for as well

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
        if cooperative:  # CuPy would shrink a grid that is too large
            together = multiprocessors * cupy.cuda.driver.occupancyMaxActiveBlocksPerMultiprocessor(
                function.ptr, threads, shared_memory
            )
            if grid[0] * grid[1] * grid[2] > together:
                raise BackendError(f"{name}: grid: got {grid}, want at most {together} blocks, which run together")
        function(grid, (threads, 1, 1), args, shared_mem=shared_memory, enable_cooperative_groups=cooperative)

    return launch


NUMPY = Backend("numpy", np, np.ndarray, to_numpy=lambda a: a, from_numpy=lambda a: a, synchronize=lambda: None)
_loaders: dict[str, Callable[[], Backend]] = {"numpy": lambda: NUMPY, "cupy": _load_cupy}
_by_name: dict[str, Backend] = {"numpy": NUMPY}
BY_ARRAY_TYPE: dict[type, Backend] = {np.ndarray: NUMPY}
"""Looked up once per array in every operation, so it is a plain dictionary. Holds the backends loaded so far."""


def register_backend(name: str, load: Callable[[], Backend]) -> None:
    """Make a further array library known under `name`; `load` runs when it is first asked for."""
    _loaders[name] = load
    _by_name.pop(name, None)


def get_backend(name: str | Backend) -> Backend:
    """The backend called `name`, loaded if need be.

    Raises:
        BackendError: no backend has that name, its package is missing, or there is no device.
    """
    if isinstance(name, Backend):
        return name
    if name not in _by_name:
        if name not in _loaders:
            raise BackendError(f"backend: got {name!r}, want one of {sorted(_loaders)}")
        backend = _loaders[name]()
        _by_name[name] = backend
        BY_ARRAY_TYPE[backend.array_type] = backend
    return _by_name[name]


def is_array(value: object) -> bool:
    """Whether `value` is an array of a loaded backend."""
    return type(value) in BY_ARRAY_TYPE or isinstance(value, tuple(BY_ARRAY_TYPE))


def backend_of(array: Array) -> Backend:
    """The backend whose array this is.

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
    """Where new tensors are made when nothing else says so."""
    return _default.backend


class use_backend:
    """Make new tensors on this backend from now on, or inside a `with` block only.

    >>> with use_backend("numpy"):
    ...     default_backend().name
    'numpy'

    Raises:
        BackendError: as `get_backend`.
    """

    def __init__(self, name: str | Backend) -> None:
        self._before = _default.backend
        _default.backend = get_backend(name)

    def __enter__(self) -> Backend:
        return _default.backend

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        _default.backend = self._before


def to_numpy(array: Array) -> np.ndarray[Any, Any]:
    """The host copy of an array (the array itself where it is on the host already)."""
    return backend_of(array).to_numpy(array)


def fingerprint(array: Array) -> int | None:
    """A checksum of a host array's content; None for one that lives on a device, where it would have to wait.

    Of a large array sums of its bytes as 64-bit integers are what is checked: of rows, and of columns at two widths.
    That is faster, and a write that leaves them all as they were would have to be meant to. (With one width alone, rows
    of one-hot vectors could be shuffled.)
    """
    if not isinstance(array, np.ndarray):
        return None
    content = np.ascontiguousarray(array).reshape(-1).view(np.uint8)
    if content.size < 1 << 16:
        return zlib.crc32(content.data)
    whole = content.size // 2048 * 2048
    words = content[:whole].view(np.uint64)
    rows = words.reshape(-1, 256)
    skewed = words[: words.size // 253 * 253].reshape(-1, 253)
    checked = zlib.crc32(content[whole:].data)
    for sums in (rows.sum(1), rows.sum(0), skewed.sum(0)):
        checked = zlib.crc32(sums.data, checked)
    return checked


def synchronize(backend: str | Backend = "numpy") -> None:
    """Wait until the backend's device has done all it was given. Timing needs this, results do not."""
    get_backend(backend).synchronize()
