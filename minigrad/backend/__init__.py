"""Backends: the array libraries that minigrad runs on. Only this package names cupy.

An operation runs on the backend of its arrays. `use_backend` only decides where *new* arrays are created.
"""

from __future__ import annotations

import threading
import zlib
from collections.abc import Callable
from typing import Any

import numpy as np

from ..option_checks import check_function, check_text, shown
from .array_library import (
    Array as Array,
    Backend as Backend,
    BackendError as BackendError,
    Device as Device,
    DeviceGroup as DeviceGroup,
    Kernels as Kernels,
    Launch as Launch,
    checked as checked,
)
from .cupy_backend import load_cupy

# Freed at once. From then on glibc keeps up to 32 MiB of freed memory for the next arrays: to return it to the system
# after every backward pass, and to have it mapped again, can take half of the time.
np.empty(1 << 24, np.uint8)
NUMPY = Backend("numpy", np, np.ndarray, to_numpy=lambda a: a, from_numpy=lambda a: a, synchronize=lambda: None)
_loaders: dict[str, Callable[[], Backend]] = {"numpy": lambda: NUMPY, "cupy": load_cupy}
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


def scalar(value: Any) -> Any:
    """Return the single value of an array, or a number, as a Python number. Synchronises with the device."""
    host = to_numpy(value) if type(value) in BY_ARRAY_TYPE else value
    return host.item() if hasattr(host, "item") else host


def nonzero(array: Array) -> tuple[Array, ...]:
    """Return the indices of all elements that are not zero, one vector per axis. Synchronises with the device."""
    backend = backend_of(array)
    indices: tuple[Array, ...] = backend.xp.nonzero(array)
    backend.check()
    return indices


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
