"""Fixtures of the suite, every backend among them, and a summary of what could not be tested."""

from __future__ import annotations

import contextlib
import functools
import gc
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

import hypothesis
import numpy as np
import pytest

import minigrad as mg
from minigrad import backend as backend_module
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


@pytest.fixture(autouse=True)
def backends_stay() -> Iterator[None]:
    """A test that leaves another backend in the place of one is red itself, and not those after it."""
    before = dict(backend_module._by_name), dict(backend_module.BY_ARRAY_TYPE)
    yield
    for registry, was in zip((backend_module._by_name, backend_module.BY_ARRAY_TYPE), before):
        other = [key for key, backend in was.items() if registry.get(key) is not backend]
        registry.update({key: was[key] for key in other})
        assert not other, f"left another backend in the place of {other}"


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


BACKENDS = ("xp", "kernels_anywhere")
"""The fixtures that run a test on several backends."""
LEFT_OUT = pytest.StashKey[dict[str, int]]()


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out the tests on CuPy where there is none: to skip thousands one by one takes half a minute."""
    left_out: Counter[str] = Counter()
    kept = []
    for item in items:
        params = item.callspec.params if isinstance(item, pytest.Function) and hasattr(item, "callspec") else {}
        if "cupy" in [params.get(name) for name in BACKENDS] and (reason := missing("cupy")):
            left_out[f"backend cupy: {reason}"] += 1
        else:
            kept.append(item)
    items[:] = kept
    config.stash[LEFT_OUT] = dict(left_out)
    if hasattr(config, "workeroutput"):
        config.workeroutput["left_out"] = dict(left_out)


@pytest.hookimpl(trylast=True)
def pytest_collection_finish() -> None:
    """Let garbage collections in tests pass by what stays to the end: tens of thousands of tests."""
    gc.collect()
    gc.freeze()


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    """Take over what a worker left out; every worker collects the same tests."""
    if (left_out := getattr(node, "workeroutput", {}).get("left_out")) is not None:
        node.config.stash[LEFT_OUT] = left_out


def untested(skipped: Iterable[Any], left_out: Mapping[str, int]) -> list[str]:
    """Return one line for each missing backend or package, and for each other reason, with the number of tests.

    `left_out` has the reasons and numbers of tests that were not even skipped.
    """
    counts: Counter[tuple[str, str, str]] = Counter()
    reasons = [(*what, 1) for what in {(report.nodeid, _reason(report)) for report in skipped}]
    for nodeid, reason, n in [*reasons, *(("::", reason, n) for reason, n in left_out.items())]:
        what = "tests" if "::" in nodeid else "test files"
        if match := re.fullmatch(r"backend (\w+): (.*)", reason):
            counts[f"{match[1]}", what, f"skipped, {match[2]}"] += n
        elif match := re.search(r"could not import '([\w.]+)'", reason):
            counts[f"{match[1]} missing", what, "skipped"] += n
        else:
            counts["other", what, f"skipped: {reason}"] += n
    return [f"{who}: {n} {what if n > 1 else what[:-1]} {why}" for (who, what, why), n in sorted(counts.items())]


def _reason(report: Any) -> str:
    longrepr = report.longrepr
    text = longrepr[2] if isinstance(longrepr, tuple) else str(longrepr)
    return text.removeprefix("Skipped: ").splitlines()[0]


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    lines = untested(terminalreporter.stats.get("skipped", []), config.stash.get(LEFT_OUT, {}))
    terminalreporter.section("not tested here")
    for line in lines or ["nothing: every backend and every oracle was there"]:
        terminalreporter.line(line)
