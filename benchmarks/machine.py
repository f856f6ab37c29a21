"""Describe the machine: processor, Python, NumPy and its BLAS, and the versions of other packages."""

from __future__ import annotations

import ctypes
import os
import platform
from collections.abc import Iterable
from importlib import metadata
from pathlib import Path

import numpy as np

CORE_NAMES = ("scipy_openblas_get_corename64_", "scipy_openblas_get_corename", "openblas_get_corename")


def processor() -> str:
    """Return the processor's name and the number of cores that this process may use."""
    name = platform.processor() or platform.machine()
    info = Path("/proc/cpuinfo")
    if info.exists():
        fields = (line.split(":", 1) for line in info.read_text().splitlines() if ":" in line)
        name = next((value.strip() for key, value in fields if key.strip() == "model name"), name)
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return f"{name}, {cores} core{'s' if cores > 1 else ''}"


def blas() -> str:
    """Return NumPy's BLAS and, where known, the kernel that it chose for this processor."""
    try:
        config = np.show_config(mode="dicts")["Build Dependencies"]["blas"]
        library = f"{config['name']} {config['version']}"
    except (TypeError, KeyError):
        library = "unknown BLAS"
    kernel = _kernel_by_threadpoolctl() or _kernel_by_openblas()
    return f"{library}, {kernel} kernels" if kernel else library


def _kernel_by_threadpoolctl() -> str | None:
    try:
        import threadpoolctl
    except ImportError:
        return None
    pools = threadpoolctl.threadpool_info()
    return next((p["architecture"] for p in pools if p.get("user_api") == "blas" and p.get("architecture")), None)


def _kernel_by_openblas() -> str | None:
    """Ask OpenBLAS, if it is loaded and the system lists loaded libraries."""
    maps = Path("/proc/self/maps")
    loaded = maps.read_text().splitlines() if maps.exists() else []
    path = next((line.split()[-1] for line in loaded if "openblas" in line.lower()), None)
    if path is None:
        return None
    library = ctypes.CDLL(path)
    for name in CORE_NAMES:
        if hasattr(library, name):
            function = getattr(library, name)
            function.restype = ctypes.c_char_p
            answer = function()
            return answer.decode() if answer else None
    return None


def version(package: str) -> str:
    """Return the package's name and version, or that it is not installed."""
    try:
        return f"{package} {metadata.version(package)}"
    except metadata.PackageNotFoundError:
        return f"{package} not installed"


def describe(others: Iterable[str] = ()) -> str:
    """Return one line with the machine, Python, NumPy with its BLAS, and the other packages' versions."""
    parts = [processor(), f"Python {platform.python_version()}", f"{version('numpy')} ({blas()})"]
    return "; ".join([*parts, *(version(package) for package in others)])
