"""What this machine can do: backends, versions, roads, and a check of a few seconds that the gradients are right."""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Callable, Iterator
from importlib import metadata
from typing import Any

import numpy as np

import minigrad as mg
from minigrad.backend import get_backend

from .networks import GRU, LSTM, RNN
from .recurrence import Recurrence
from .verify import verify_bptt

BACKENDS = ("numpy", "cupy")
SECONDS = 8.0
"""After so long no further check is begun."""
PACKAGES = ("numpy", "cupy-cuda11x", "cupy-cuda12x", "cupy-cuda13x", "cupy", "torch")


def checked() -> Iterator[Recurrence]:
    """Small networks, the plainest first."""
    for kind in (RNN, LSTM, GRU):
        yield kind(5, 8)
    for kind in (RNN, LSTM, GRU):
        yield kind(5, 8, 2, bidirectional=True, initial_state="learned")


def examined(told: Callable[[str], None] = print, backends: tuple[str, ...] = BACKENDS) -> dict[str, bool | None]:
    """Tell about the machine and check each backend: whether its gradients are right, or None where it is missing."""
    told(f"minigrad {mg.__version__}, Python {platform.python_version()}, {platform.system()} {platform.machine()}")
    told("packages: " + ", ".join(_versions()))
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    told(f"processor cores: {cores}")
    found: dict[str, bool | None] = {}
    for name in backends:
        try:
            backend = get_backend(name)
        except mg.BackendError as error:
            told(f"\n{name}: not usable\n  {error}")
            found[name] = None
            continue
        told(f"\n{name}: usable{_device(backend)}")
        found[name] = _self_check(name, told)
    return found


def _versions() -> Iterator[str]:
    for package in PACKAGES:
        try:
            yield f"{package} {metadata.version(package)}"
        except metadata.PackageNotFoundError:
            continue


def _device(backend: Any) -> str:
    if backend.kernels is None:
        return ""
    device = backend.kernels().device
    major, minor = device.compute_capability
    return f", {device.name}, {device.multiprocessors} multiprocessors, compute capability {major}.{minor}"


def _self_check(name: str, told: Callable[[str], None]) -> bool:
    begin = time.perf_counter()
    passed = True
    xs = np.random.default_rng(0).standard_normal((6, 3, 5))
    with mg.use_backend(name):
        for model in checked():
            if time.perf_counter() - begin > SECONDS:
                break
            moved = model.to(name)
            found = verify_bptt(moved, xs)
            moved(mg.tensor(xs.astype(np.float32), backend=name))
            word = "right" if found.passed else "WRONG"
            told(f"  {word}: {found.title}: worst difference {found.largest:.1e}, road {moved.road}")
            passed = passed and found.passed
    told(f"  {time.perf_counter() - begin:.1f} s")
    return passed
