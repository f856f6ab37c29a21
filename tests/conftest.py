"""Fixtures of the suite, every backend among them, and a summary of what could not be tested."""

from __future__ import annotations

import contextlib
import functools
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

import hypothesis
import numpy as np
import pytest

import minigrad as mg
from minigrad.backend import BackendError, get_backend
from minigrad.engine.primitive import REGISTRY
from tests.support import native_library, strict_device
from tests.support.browser import browser, open_page  # noqa: F401
from tests.support.cuda_on_cpu.fixtures import compiled_kernels, kernels_anywhere, kernels_on_cpu, launch_settings  # noqa: F401

hypothesis.settings.register_profile(
    "minigrad",
    derandomize=True,  # the same examples in every run
    deadline=None,
    # Fixtures here hold no state that one example could leave to the next; time limits would make runs differ.
    suppress_health_check=[hypothesis.HealthCheck.function_scoped_fixture, hypothesis.HealthCheck.too_slow],
)
hypothesis.settings.load_profile("minigrad")


@dataclass(frozen=True)
class TestedBackend:
    """A backend as its tests use it."""

    __test__ = False
    name: str
    xp: Any
    array: Callable[[Any], Any]
    """Converts a host array or nested list to a device array."""
    no_sync: Callable[[], AbstractContextManager[None]]
    """Context manager in which the stand-in device rejects synchronisation."""


@pytest.fixture(autouse=True, scope="session")
def compiled_sequences() -> None:
    """The compiled sequences are there before the first test, whose time a busy compiler would take."""
    native_library.compile_at_leisure()


@pytest.fixture(autouse=True)
def compiler_for_native(request: pytest.FixtureRequest) -> None:
    """Skip a test that names the implementation "native" where there is no C compiler."""
    callspec = getattr(request.node, "callspec", None)
    names = ("impl", "implementation")
    if callspec is not None and any(callspec.params.get(name) == "native" for name in names):
        native_library.require_compiler()


@pytest.fixture(autouse=True)
def registry_as_it_was() -> Iterator[None]:
    """Remove the primitives that a test registers."""
    before = dict(REGISTRY)
    yield
    REGISTRY.clear()
    REGISTRY.update(before)


@functools.cache
def missing(backend: str) -> str | None:
    """Return why the backend is not available, or None; cached, for thousands of tests."""
    try:
        get_backend(backend)
    except BackendError as error:
        return "no GPU" if "no usable GPU" in str(error) else "not installed"
    return None


@pytest.fixture(params=["numpy", "strict", "cupy"])
def xp(request: pytest.FixtureRequest) -> Iterator[TestedBackend]:
    """Each backend in turn, as the default one while the test runs."""
    if reason := missing(request.param):
        pytest.skip(f"backend {request.param}: {reason}")
    backend = get_backend(request.param)
    with mg.use_backend(backend):
        yield TestedBackend(
            backend.name,
            backend.xp,
            lambda host: backend.from_numpy(np.asarray(host)),
            strict_device.no_sync if backend.name == "strict" else contextlib.nullcontext,
        )


def untested(skipped: Iterable[Any]) -> list[str]:
    """Return one line for each missing backend or package, and for each other reason, with the number of tests."""
    counts: Counter[tuple[str, str, str]] = Counter()
    for nodeid, reason in {(report.nodeid, _reason(report)) for report in skipped}:
        what = "tests" if "::" in nodeid else "test files"
        if match := re.fullmatch(r"backend (\w+): (.*)", reason):
            counts[f"{match[1]}", what, f"skipped, {match[2]}"] += 1
        elif match := re.search(r"could not import '([\w.]+)'", reason):
            counts[f"{match[1]} missing", what, "skipped"] += 1
        else:
            counts["other", what, f"skipped: {reason}"] += 1
    return [f"{who}: {n} {what if n > 1 else what[:-1]} {why}" for (who, what, why), n in sorted(counts.items())]


def _reason(report: Any) -> str:
    longrepr = report.longrepr
    text = longrepr[2] if isinstance(longrepr, tuple) else str(longrepr)
    return text.removeprefix("Skipped: ").splitlines()[0]


def pytest_terminal_summary(terminalreporter: Any) -> None:
    lines = untested(terminalreporter.stats.get("skipped", []))
    terminalreporter.section("not tested here")
    for line in lines or ["nothing: every backend and every oracle was there"]:
        terminalreporter.line(line)
