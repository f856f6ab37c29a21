"""Report what this machine can do: backends, versions, implementations, and whether gradients are right."""

from __future__ import annotations

import os
import platform
import textwrap
import time
from collections.abc import Callable, Iterator
from importlib import metadata
from typing import Any

import numpy as np

import minigrad as mg
from minigrad.backend import get_backend

from .cuda.launches import check
from .networks.named import GRU, LSTM, RNN
from .networks.recurrence import Recurrence
from .verification.verify import verify_bptt

BACKENDS = ("numpy", "cupy")
SECONDS = 8.0
"""After so long no further check is begun, which is said."""
ROUNDED = 1e-5
"""What outputs in float32, all within ±1, may differ by from the host's."""
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
            told(f"\n{name}: not usable\n" + textwrap.fill(str(error), 79, initial_indent="  ", subsequent_indent="  "))
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
    passed, left_out = True, 0
    xs = np.random.default_rng(0).standard_normal((6, 3, 5))
    with mg.use_backend(name):
        for model in checked():
            if time.perf_counter() - begin > SECONDS:
                left_out += 1
                continue
            try:
                right, said = _check(name, model, xs)
            except Exception as error:  # whatever it is, the other models are asked too, and the doctor tells
                right, said = False, f"{type(model).__name__}: {type(error).__name__}: {error}"
            told(f"  {'right' if right else 'WRONG'}: {said}")
            passed = passed and right
    told(f"  {time.perf_counter() - begin:.1f} s" + (f"; no time was left for {left_out} more" if left_out else ""))
    return passed


def _check(name: str, model: Recurrence, xs: np.ndarray[Any, Any]) -> tuple[bool, str]:
    """Whether its gradients are right in float64, and its outputs in float32 what they are on the host."""
    inputs = xs.astype(np.float32)
    expected = model.to("numpy")(mg.tensor(inputs, backend="numpy"))[0].numpy()
    moved = model.to(name)
    found = verify_bptt(moved, xs)
    apart = float(np.abs(moved(mg.tensor(inputs, backend=name))[0].numpy() - expected).max())
    implementation = moved.implementation
    backend = get_backend(name)
    if backend.kernels is not None:
        check(backend.kernels())
    title = found.title.partition(", T=")[0]
    said = f"{title}\n    worst difference {found.largest:.1e}, in float32 {apart:.1e}, implementation {implementation}"
    return found.passed and apart <= ROUNDED, said
