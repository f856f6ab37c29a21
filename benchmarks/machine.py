"""On what a measurement was made: processor, Python, NumPy and its BLAS, and the versions of the others."""

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
    """The processor's name and the cores that this process may use."""
    name = platform.processor() or platform.machine()
    info = Path("/proc/cpuinfo")
    if info.exists():
        fields = (line.split(":", 1) for line in info.read_text().splitlines() if ":" in line)
        name = next((value.strip() for key, value in fields if key.strip() == "model name"), name)
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return f"{name}, {cores} core{'s' if cores > 1 else ''}"


def blas() -> str:
    """NumPy's BLAS and, where it can be found out, the kernel it chose for this processor."""
    try:
        built = np.show_config(mode="dicts")["Build Dependencies"]["blas"]
        said = f"{built['name']} {built['version']}"
    except (TypeError, KeyError):
        said = "unknown BLAS"
    kernel = _kernel_by_threadpoolctl() or _kernel_by_asking()
    return f"{said}, {kernel} kernels" if kernel else said


def _kernel_by_threadpoolctl() -> str | None:
    try:
        import threadpoolctl
    except ImportError:
        return None
    pools = threadpoolctl.threadpool_info()
    return next((p["architecture"] for p in pools if p.get("user_api") == "blas" and p.get("architecture")), None)


def _kernel_by_asking() -> str | None:
    """OpenBLAS itself, if it is loaded and the system lists what is loaded."""
    maps = Path("/proc/self/maps")
    loaded = maps.read_text().splitlines() if maps.exists() else []
    path = next((line.split()[-1] for line in loaded if "openblas" in line.lower()), None)
    if path is None:
        return None
    library = ctypes.CDLL(path)
    for name in CORE_NAMES:
        if hasattr(library, name):
            ask = getattr(library, name)
            ask.restype = ctypes.c_char_p
            answer = ask()
            return answer.decode() if answer else None
    return None


def version(package: str) -> str:
    """The package's name and installed version, or that it is not installed."""
    try:
        return f"{package} {metadata.version(package)}"
    except metadata.PackageNotFoundError:
        return f"{package} not installed"


def described(others: Iterable[str] = ()) -> str:
    """One line: the machine, Python, NumPy with its BLAS, and the other packages' versions."""
    parts = [processor(), f"Python {platform.python_version()}", f"{version('numpy')} ({blas()})"]
    return "; ".join([*parts, *(version(package) for package in others)])
