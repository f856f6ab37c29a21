"""Ask the driver how many clusters of blocks run on a device at the same time, which CuPy has no function for."""

from __future__ import annotations

import ctypes
from collections.abc import Iterator
from typing import Any

SIZES = (1, 2, 4, 8, 16)
"""Blocks of a cluster; 16 is not portable, and has to be allowed for a kernel."""
PORTABLE = 8
THREADS = 256
CLUSTER_DIMENSION = 4
"""CU_LAUNCH_ATTRIBUTE_CLUSTER_DIMENSION"""
SHARED_MEMORY, NON_PORTABLE = 8, 14
"""CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES, CU_FUNC_ATTRIBUTE_NON_PORTABLE_CLUSTER_SIZE_ALLOWED"""
SOURCE = """
extern "C" __global__ void empty(float* to) {
    extern __shared__ float x[];
    if (to) to[0] = x[0];
}
"""


class Attribute(ctypes.Structure):
    """CUlaunchAttribute, of which the value is a union of 64 bytes."""

    _fields_ = [("id", ctypes.c_int), ("pad", ctypes.c_char * 4), ("cluster", ctypes.c_uint * 16)]


class Configuration(ctypes.Structure):
    """CUlaunchConfig."""

    _fields_ = [
        ("grid", ctypes.c_uint * 3),
        ("block", ctypes.c_uint * 3),
        ("shared_bytes", ctypes.c_uint),
        ("stream", ctypes.c_void_p),
        ("attributes", ctypes.POINTER(Attribute)),
        ("n_attributes", ctypes.c_uint),
    ]


def active_clusters(driver: Any, function: int, size: int, shared_memory: int, threads: int = THREADS) -> int:
    """Return how many clusters of `size` blocks of a kernel fit the current device.

    Args:
        driver: libcuda.
        function: the address of the kernel's CUfunction.
        size: blocks of a cluster.
        shared_memory: dynamic shared memory of a block in bytes.
        threads: of a block.

    Raises:
        RuntimeError: the driver refuses.
    """
    handle, number = ctypes.c_void_p(function), ctypes.c_int()
    _call(driver, "cuFuncSetAttribute", handle, SHARED_MEMORY, shared_memory)
    if size > PORTABLE:
        _call(driver, "cuFuncSetAttribute", handle, NON_PORTABLE, 1)
    attribute = Attribute(CLUSTER_DIMENSION, b"", (ctypes.c_uint * 16)(size, 1, 1))
    configuration = Configuration(
        (ctypes.c_uint * 3)(size, 1, 1),
        (ctypes.c_uint * 3)(threads, 1, 1),
        shared_memory,
        None,
        ctypes.pointer(attribute),
        1,
    )
    _call(driver, "cuOccupancyMaxActiveClusters", ctypes.byref(number), handle, ctypes.byref(configuration))
    return number.value


def asked(function: int, size: int, shared_memory: int, threads: int) -> int | str:
    """Return the active clusters of a kernel, or why the driver does not say."""
    try:
        return active_clusters(ctypes.CDLL("libcuda.so.1"), function, size, shared_memory, threads)
    except (OSError, RuntimeError) as error:
        return f"{type(error).__name__}: {error}"


def _call(driver: Any, name: str, *args: Any) -> None:
    if code := getattr(driver, name)(*args):
        raise RuntimeError(f"{name}: the driver says CUresult {code}")


def clusters_at_once(cupy: Any, capability: tuple[int, int], most_shared: int) -> tuple[int, ...]:
    """Return how many clusters of 1, 2, … 8 blocks run at the same time on the current device, with one block on a
    multiprocessor: 0 of a size that the driver refuses; () where there are no clusters, or no driver to ask.

    Args:
        cupy: the package.
        capability: the device's compute capability.
        most_shared: the most bytes of shared memory that a block may have, which leave no room for a second one.
    """
    if capability < (9, 0):
        return ()
    try:
        driver = ctypes.CDLL("libcuda.so.1")
        function = cupy.RawModule(code=SOURCE).get_function("empty").kernel.ptr
    except (OSError, RuntimeError, AttributeError):
        return ()
    counts = []
    for size in range(1, PORTABLE + 1):
        try:
            counts.append(active_clusters(driver, function, size, most_shared))
        except RuntimeError:  # such as an H20, which refuses clusters
            counts.append(0)
    return tuple(counts)


def rows(cupy: Any, capability: tuple[int, int], most_shared: int) -> Iterator[dict[str, Any]]:
    """Yield the active clusters of each size, with little shared memory and with all of it; or why there are none."""
    if capability < (9, 0):
        yield {"clusters": "none before compute capability 9.0"}
        return
    function = cupy.RawModule(code=SOURCE).get_function("empty").kernel.ptr
    for size in SIZES:
        for shared in (0, most_shared):
            active = asked(function, size, shared, THREADS)
            yield {"cluster_size": size, "threads": THREADS, "shared_memory": shared, "active_clusters": active}
