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
"""No further model is checked after this time; the report says how many were left out."""
FLOAT32_TOLERANCE = 1e-5
"""Largest difference allowed between outputs in float32, all within ±1, on the backend and on the host."""
PACKAGES = ("numpy", "cupy-cuda11x", "cupy-cuda12x", "cupy-cuda13x", "cupy", "torch")


def test_models() -> Iterator[Recurrence]:
    """Yield small networks, the plainest first."""
    kinds = (RNN, LSTM, GRU)
    yield from (kind(5, 8) for kind in kinds)
    yield from (kind(5, 8, 2, bidirectional=True, initial_state="learned") for kind in kinds)


def run_checks(print_fn: Callable[[str], None] = print, backends: tuple[str, ...] = BACKENDS) -> dict[str, bool | None]:
    """Print a report; return for each backend whether its gradients are right, or None where it is missing."""
    print_fn(f"minigrad {mg.__version__}, Python {platform.python_version()}, {platform.system()} {platform.machine()}")
    print_fn("packages: " + ", ".join(_versions()))
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    print_fn(f"processor cores: {cores}")
    results: dict[str, bool | None] = {}
    for name in backends:
        try:
            backend = get_backend(name)
        except mg.BackendError as error:
            reason = textwrap.fill(str(error), 79, initial_indent="  ", subsequent_indent="  ")
            print_fn(f"\n{name}: not usable\n{reason}")
            results[name] = None
            continue
        print_fn(f"\n{name}: usable{_device(backend)}")
        results[name] = _check_backend(name, print_fn)
    return results


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


def _check_backend(name: str, print_fn: Callable[[str], None]) -> bool:
    start = time.perf_counter()
    all_passed, skipped = True, 0
    xs = np.random.default_rng(0).standard_normal((6, 3, 5))
    with mg.use_backend(name):
        for model in test_models():
            if time.perf_counter() - start > SECONDS:
                skipped += 1
                continue
            try:
                passed, report = _check_model(name, model, xs)
            except Exception as error:  # report any error and check the other models too
                passed, report = False, f"{type(model).__name__}: {type(error).__name__}: {error}"
            print_fn(f"  {'right' if passed else 'WRONG'}: {report}")
            all_passed = all_passed and passed
    print_fn(f"  {time.perf_counter() - start:.1f} s" + (f"; no time was left for {skipped} more" if skipped else ""))
    return all_passed


def _check_model(name: str, model: Recurrence, xs: np.ndarray[Any, Any]) -> tuple[bool, str]:
    """Whether its gradients are right in float64, and its outputs in float32 agree with the host's."""
    inputs = xs.astype(np.float32)
    expected = model.to("numpy")(mg.tensor(inputs, backend="numpy"))[0].numpy()
    model = model.to(name)
    verification = verify_bptt(model, xs)
    error = float(np.abs(model(mg.tensor(inputs, backend=name))[0].numpy() - expected).max())
    if (kernels := get_backend(name).kernels) is not None:
        check(kernels())
    title = verification.title.partition(", T=")[0]
    differences = f"errors: gradients {verification.largest:.1e}, float32 outputs {error:.1e}"
    report = f"{title}\n    {differences}, implementation {model.implementation}"
    return verification.passed and error <= FLOAT32_TOLERANCE, report
