"""Fixtures for tests of kernels: a session-wide folder of compiled kernels, and backends with kernels."""

from __future__ import annotations

from pathlib import Path

import pytest

from minigrad import backend as backend_module
from minigrad.backend import Backend, BackendError, get_backend
from tests.support.cuda_on_cpu.device import Settings, make_backend, missing
from tests.support.session_folder import session_folder
from tests.support.strict_device import StrictArray


@pytest.fixture(scope="session")
def compiled_kernels(tmp_path_factory: pytest.TempPathFactory) -> Path:
    if reason := missing():
        pytest.skip(f"CUDA kernels on the CPU: {reason}")
    return session_folder(tmp_path_factory, "compiled_kernels")


@pytest.fixture
def launch_settings(compiled_kernels: Path) -> Settings:
    return Settings(compiled_kernels)


@pytest.fixture
def kernels_on_cpu(launch_settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Backend:
    """The strict backend with kernels, registered in place of the one without."""
    get_backend("strict")
    backend = make_backend(launch_settings)
    monkeypatch.setitem(backend_module._by_name, "strict", backend)
    monkeypatch.setitem(backend_module.BY_ARRAY_TYPE, StrictArray, backend)
    return backend


@pytest.fixture(params=["shim", "cupy"])
def kernels_anywhere(request: pytest.FixtureRequest) -> Backend:
    """A backend with kernels: C++ on this machine, and CuPy where there is a GPU."""
    if request.param == "shim":
        backend: Backend = request.getfixturevalue("kernels_on_cpu")
        return backend
    try:
        return get_backend("cupy")
    except BackendError as error:
        pytest.skip(f"backend cupy: {'no GPU' if 'no usable GPU' in str(error) else 'not installed'}")
