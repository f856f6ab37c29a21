"""Describe the machine: processor, Python, NumPy and its BLAS, and the versions of other packages."""

from __future__ import annotations

import os
import platform
from collections.abc import Iterable
from importlib import metadata
from pathlib import Path

from minigrad.debug.blas import describe_arithmetic


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
    arithmetic = describe_arithmetic()
    return f"{arithmetic['blas']}, {arithmetic['kernel']} kernels" if arithmetic["kernel"] else str(arithmetic["blas"])


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
