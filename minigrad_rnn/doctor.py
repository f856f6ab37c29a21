"""Report what this machine can do: backends, versions, implementations, and whether gradients are right."""

from __future__ import annotations

import os
import platform
import textwrap
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np

import minigrad as mg
from minigrad.backend import get_backend

from .cuda.costs import costs_for
from .native.errors import NativeError
from .native.shared_library import load_library, origin
from .native.threads import get_num_threads
from .networks.named import GRU, LSTM, RNN
from .networks.recurrence import Recurrence
from .verification.verify import verify_bptt

BACKENDS = ("numpy", "cupy")
SECONDS = 8.0
"""No further model is checked after this time; the report says how many were left out."""
FLOAT32_TOLERANCE = 1e-5
"""Largest difference allowed between outputs in float32, all within ±1, and those of the graph on the host."""
PACKAGES = ("numpy", "cupy-cuda11x", "cupy-cuda12x", "cupy-cuda13x", "cupy", "torch")
NATIVE = "native"
"""The name of the compiled sequences among the results."""
DTYPES = ("float32", "float64")
SIZES = ((100, 1, 64), (50, 32, 128), (50, 32, 256))
"""T, B and H of the LSTMs that are timed."""
WORDS = 12
"""Lines that are shown of what a compiler says."""

Check = Callable[[Recurrence, np.ndarray[Any, Any]], tuple[bool, str]]
"""Whether a model is right, and a report."""


def test_models() -> Iterator[Recurrence]:
    """Yield small networks, the plainest first."""
    kinds = (RNN, LSTM, GRU)
    yield from (kind(5, 8) for kind in kinds)
    yield from (kind(5, 8, 2, bidirectional=True, initial_state="learned") for kind in kinds)


def native_models() -> Iterator[Recurrence]:
    """Yield a network of each kind that there is in C, of sizes that are no multiple of a vector."""
    options: dict[str, Any] = {"bidirectional": True, "impl": "native"}
    yield from (kind(5, 19, **options) for kind in (RNN, LSTM, GRU))
    yield RNN(5, 19, nonlinearity="relu", **options)
    yield LSTM(5, 19, peephole=True, proj_size=7, **options)
    yield GRU(5, 19, reset_after=False, **options)


def run_checks(print_fn: Callable[[str], None] = print, backends: tuple[str, ...] = BACKENDS) -> dict[str, bool | None]:
    """Print a report; return for each backend, and with numpy for the compiled sequences ("native"), whether the
    gradients are right, or None where it is missing."""
    print_fn(f"minigrad {mg.__version__}, Python {platform.python_version()}, {platform.system()} {platform.machine()}")
    print_fn("packages: " + ", ".join(_versions()))
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    print_fn(f"processor cores: {cores}")
    results: dict[str, bool | None] = {}
    for name in backends:
        try:
            backend = get_backend(name)
        except mg.BackendError as error:
            print_fn(f"\n{name}: not usable")
            _print_indented(print_fn, str(error))
            results[name] = None
            continue
        if name == "numpy":
            results[NATIVE] = _check_native(print_fn)
        print_fn(f"\n{name}: usable{_device(backend)}")
        with mg.use_backend(name):
            results[name] = _check_models(test_models(), partial(_check_on_backend, name), print_fn)
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
    try:
        costs = str(costs_for(device.name))
    except ValueError as error:  # a damaged table
        costs = str(error)
    return f", {device.name}, {device.multiprocessors} multiprocessors, compute capability {major}.{minor}, {costs}"


def _print_indented(print_fn: Callable[[str], None], text: str, indent: str = "  ") -> None:
    lines = textwrap.wrap(text, 79 - len(indent), break_long_words=False, break_on_hyphens=False)  # paths stay whole
    print_fn(textwrap.indent("\n".join(lines), indent))


def _check_models(models: Iterator[Recurrence], check_model: Check, print_fn: Callable[[str], None]) -> bool:
    """Check models until SECONDS are over; print what is found, and return whether all are right."""
    start = time.perf_counter()
    all_passed, skipped = True, 0
    xs = np.random.default_rng(0).standard_normal((6, 3, 5))
    for model in models:
        if time.perf_counter() - start > SECONDS:
            skipped += 1
            continue
        try:
            passed, report = check_model(model, xs)
        except Exception as error:  # report any error and check the other models too
            passed, report = False, f"{type(model).__name__}: {type(error).__name__}: {error}"
        print_fn(f"  {'right' if passed else 'WRONG'}: {report}")
        all_passed = all_passed and passed
    print_fn(f"  {time.perf_counter() - start:.1f} s" + (f"; no time was left for {skipped} more" if skipped else ""))
    return all_passed


def _check_on_backend(name: str, model: Recurrence, xs: np.ndarray[Any, Any]) -> tuple[bool, str]:
    """Whether its gradients are right in float64, and its outputs in float32 agree with the graph's on the host."""
    inputs, impl = xs.astype(np.float32), model.impl
    model.to("numpy").impl = "graph"
    expected = model(mg.tensor(inputs, backend="numpy"))[0].numpy()
    model.to(name).impl = impl
    verification = verify_bptt(model, xs)
    error = float(np.abs(model(mg.tensor(inputs, backend=name))[0].numpy() - expected).max())
    title = verification.title.partition(", T=")[0].replace(f", impl={impl!r}", "")
    differences = f"errors: gradients {verification.largest:.1e}, float32 outputs {error:.1e}"
    ran = str(model.implementation).partition(f" ({NATIVE}:")[0]  # why it was not native is said elsewhere
    report = f"{title}\n    {differences}, implementation {ran}"
    return verification.passed and error <= FLOAT32_TOLERANCE, report


# The compiled sequences


def _check_native(print_fn: Callable[[str], None]) -> bool | None:
    """Compile the sequences and check them; None where they cannot be compiled."""
    reasons: dict[str, list[str]] = {}
    for dtype in DTYPES:
        try:
            load_library(dtype, patient=True)
        except NativeError as error:
            reasons.setdefault(str(error), []).append(dtype)
    if reasons:
        print_fn(f"\n{NATIVE}: not usable, sequences run in NumPy")
        for reason, dtypes in reasons.items():
            _print_reason(print_fn, f"{dtypes[0]}: {reason}" if len(dtypes) == 1 else reason)
        return None
    origins = [origin(dtype) for dtype in DTYPES]
    seconds = sum(one.seconds for one in origins)
    print_fn(f"\n{NATIVE}: usable, " + (f"compiled in {seconds:.1f} s" if seconds else "compiled before"))
    flags = [flag for flag in origins[0].flags if flag.startswith(("-O", "-m"))]
    _print_indented(print_fn, " ".join([origins[0].compiler, *flags]))
    print_fn(f"  in {_with_tilde(origins[0].path.parent)}")
    with mg.use_backend("numpy"):
        return all([
            _check_models(native_models(), _check_compiled, print_fn),
            _without_error("the same bits", _check_batch_invariance, print_fn),
            _without_error("speed", _print_speed, print_fn),
        ])  # fmt: skip


def _print_reason(print_fn: Callable[[str], None], reason: str) -> None:
    first, *words = reason.splitlines()
    _print_indented(print_fn, first)
    for line in words[:WORDS]:
        _print_indented(print_fn, line, "    ")
    if len(words) > WORDS:
        print_fn(f"    … and {len(words) - WORDS} lines more")


def _with_tilde(folder: Path) -> str:
    """The folder's path, from the home folder on where it is in there."""
    try:
        return str("~" / folder.relative_to(Path.home()))
    except (RuntimeError, ValueError):
        return str(folder)


def _check_compiled(model: Recurrence, xs: np.ndarray[Any, Any]) -> tuple[bool, str]:
    """As `_check_on_backend`, and whether the compiled sequence is what was checked."""
    passed, report = _check_on_backend("numpy", model, xs)
    return passed and model.implementation == NATIVE, report


def _without_error(name: str, check: Callable[[Callable[[str], None]], bool], print_fn: Callable[[str], None]) -> bool:
    try:
        return check(print_fn)
    except Exception as error:  # as in `_check_models`
        print_fn(f"  WRONG: {name}: {type(error).__name__}: {error}")
        return False


def _check_batch_invariance(print_fn: Callable[[str], None]) -> bool:
    """Whether sequences have the same bits alone and in a batch that is padded."""
    rng, lengths = np.random.default_rng(0), [11, 3, 7, 1, 9, 11, 5]
    different = []
    for kind in (RNN, LSTM, GRU):
        for dtype in DTYPES:
            model = kind(5, 19, bidirectional=True, impl=NATIVE, dtype=dtype)
            xs, weights = (rng.standard_normal((11, 7, n)).astype(dtype) for n in (5, 38))
            state = [rng.uniform(-1, 1, (2, 7, 19)).astype(dtype) for _ in model.cell_type.state_names]
            whole = _bits(model, xs, state, weights, lengths)
            for b, n in enumerate(lengths):
                own = [part[:, b : b + 1] for part in state]
                alone = _bits(model, xs[:n, b : b + 1], own, weights[:n, b : b + 1], None)
                if any(not np.array_equal(many[: len(one), b], one[:, 0]) for many, one in zip(whole, alone)):
                    different.append(f"{kind.__name__} {dtype}")
                    break
    nets = f", not so {', '.join(different)}" if different else ""
    _print_indented(
        print_fn,
        f"{'WRONG' if different else 'right'}: the same bits alone and in a batch, outputs and gradients{nets}",
    )
    return not different


def _bits(
    model: Recurrence, xs: Any, state: Sequence[Any], weights: Any, lengths: list[int] | None
) -> list[np.ndarray[Any, Any]]:
    """Outputs, last states, and the gradients of xs and of the initial states, as whole numbers, (…, B, features)."""
    leaves = [mg.tensor(a, requires_grad=True) for a in (xs, *state)]
    output, final = model(leaves[0], tuple(leaves[1:]), lengths=lengths)
    ends = final if isinstance(final, tuple) else (final,)
    gradients = mg.gradients(mg.sum(output * weights), leaves)
    arrays = [np.ascontiguousarray(a.numpy()) for a in (output, *ends, *gradients)]
    return [a.view(f"u{a.itemsize}") for a in arrays]


def _print_speed(print_fn: Callable[[str], None]) -> bool:
    threads = get_num_threads()
    print_fn(f"  LSTM forward and backward, ms   NumPy  native on {threads} thread{'s' * (threads > 1)}")
    for T, B, H in SIZES:
        numpy_ms, native_ms = _times(T, B, H)
        size = f"T={T}, B={B}, H={H}"
        print_fn(f"    {size:26} {numpy_ms:8.2f} {native_ms:7.2f}   {numpy_ms / native_ms:.1f} times as fast")
    return True


def _times(T: int, B: int, H: int, rounds: int = 5) -> tuple[float, float]:
    """Milliseconds of the NumPy sequence and the compiled one: the best of some rounds, in turn."""
    xs = mg.tensor(np.random.default_rng(0).standard_normal((T, B, H), dtype=np.float32))
    models = [LSTM(H, H, impl=impl) for impl in ("fused", NATIVE)]
    best = [float("inf"), float("inf")]
    for _ in range(rounds + 1):
        for k, model in enumerate(models):
            start = time.perf_counter()
            mg.sum(model(xs)[0]).backward()
            best[k] = min(best[k], 1000 * (time.perf_counter() - start))
    return best[0], best[1]
