"""The question how many clusters fit a device: the structures are cuda.h's, and what is asked reaches the driver."""

from __future__ import annotations

import ctypes
import importlib.util
import shutil
import subprocess
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from minigrad.backend import clusters
from tests.support.cuda_on_cpu import compiler

DRIVER = r"""
#include <cuda.h>
static int shared = -1, allowed = 0;
CUresult cuFuncSetAttribute(CUfunction f, CUfunction_attribute a, int value) {
    if (a == CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES) shared = value;
    if (a == CU_FUNC_ATTRIBUTE_NON_PORTABLE_CLUSTER_SIZE_ALLOWED) allowed = value;
    return CUDA_SUCCESS;
}
CUresult cuOccupancyMaxActiveClusters(int* n, CUfunction f, const CUlaunchConfig* c) {
    if (c->numAttrs != 1 || c->attrs[0].id != CU_LAUNCH_ATTRIBUTE_CLUSTER_DIMENSION || c->hStream) return (CUresult)1;
    const unsigned x = c->attrs[0].value.clusterDim.x;
    if (c->attrs[0].value.clusterDim.y != 1 || c->attrs[0].value.clusterDim.z != 1) return (CUresult)2;
    if (c->gridDimX % x || c->gridDimY != 1 || c->gridDimZ != 1 || c->blockDimX != 256) return (CUresult)3;
    if (c->sharedMemBytes != (unsigned)shared || (x > 8 && !allowed)) return (CUresult)4;
    *n = 1000 * x + (int)(size_t)f;
    return CUDA_SUCCESS;
}
"""


def cuda_headers() -> Path:
    """The folder of the CUDA toolkit's headers, from the package nvidia-cuda-runtime."""
    spec = importlib.util.find_spec("nvidia")
    folders = [] if spec is None else [Path(p) for p in spec.submodule_search_locations or ()]
    found = [header.parent for folder in folders for header in folder.glob("*/include/cuda.h")]
    if not found or not shutil.which("g++"):
        pytest.skip("could not import 'nvidia.cuda_runtime'")
    return found[0]


def test_the_structures_are_those_of_cuda_h(tmp_path: Path) -> None:
    """A driver that is compiled with the header reads what it is asked, and refuses what it does not expect."""
    (tmp_path / "driver.cpp").write_text(f'extern "C" {{{DRIVER}}}', encoding="utf-8")
    library = tmp_path / "driver.so"
    command = ["g++", "-shared", "-fPIC", "-I", str(cuda_headers()), str(tmp_path / "driver.cpp"), "-o", str(library)]
    subprocess.run(command, check=True)
    driver = ctypes.CDLL(str(library))
    assert [clusters.active_clusters(driver, 7, size, 1 << 10) for size in clusters.SIZES] == [
        1000 * size + 7 for size in clusters.SIZES
    ]


def package() -> Any:
    """A stand-in for CuPy, whose kernels have the address 7."""
    function = SimpleNamespace(kernel=SimpleNamespace(ptr=7))
    return SimpleNamespace(RawModule=lambda code: SimpleNamespace(get_function=lambda name: function))


def test_the_kernel_that_is_asked_about_compiles() -> None:
    if compiler.load_nvrtc() is None:
        pytest.skip("NVRTC: the package nvidia-cuda-nvrtc is missing")
    result = compiler.compile_for("sm_90", clusters.SOURCE, ("-std=c++17",))["empty"]
    assert (result.spilled, result.shared) == (0, 0)


def test_what_the_driver_says_or_refuses_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    driver = SimpleNamespace(cuFuncSetAttribute=lambda *a: 0, cuOccupancyMaxActiveClusters=lambda *a: 912)
    with pytest.raises(RuntimeError, match="cuOccupancyMaxActiveClusters: the driver says CUresult 912"):
        clusters.active_clusters(driver, 7, 8, 0)
    monkeypatch.setattr(ctypes, "CDLL", lambda name: driver)
    rows = list(clusters.rows(package(), (9, 0), 227 << 10))
    assert len(rows) == 2 * len(clusters.SIZES)
    assert all("CUresult 912" in row["active_clusters"] for row in rows)
    driver.cuOccupancyMaxActiveClusters = lambda *a: 0
    assert [row["active_clusters"] for row in clusters.rows(package(), (9, 0), 0)] == [0] * len(rows)


def test_where_there_are_no_clusters(monkeypatch: pytest.MonkeyPatch) -> None:
    assert list(clusters.rows(None, (8, 6), 99 << 10)) == [{"clusters": "none before compute capability 9.0"}]

    def missing(name: str) -> Any:
        raise OSError("no such file")

    monkeypatch.setattr(ctypes, "CDLL", missing)
    assert {row["active_clusters"] for row in clusters.rows(package(), (9, 0), 0)} == {"OSError: no such file"}


def test_the_clusters_of_a_device(monkeypatch: pytest.MonkeyPatch) -> None:
    """Eight counts, 0 where the driver refuses; none where the kernel that is asked about cannot be had."""
    package_there, counts = package(), dict(enumerate(range(100, 108), 1))

    def active(driver: Any, function: int, size: int, shared_memory: int) -> int:
        assert (function, shared_memory) == (7, 227 << 10)
        if counts[size] < 0:
            raise RuntimeError("refused")
        return counts[size]

    monkeypatch.setattr(ctypes, "CDLL", lambda name: None)
    monkeypatch.setattr(clusters, "active_clusters", active)
    assert clusters.clusters_at_once(package_there, (9, 0), 227 << 10) == tuple(range(100, 108))
    assert clusters.clusters_at_once(package_there, (8, 9), 227 << 10) == ()
    counts[3] = -1
    assert clusters.clusters_at_once(package_there, (9, 0), 227 << 10) == (100, 101, 0, 103, 104, 105, 106, 107)
    assert clusters.clusters_at_once(SimpleNamespace(), (9, 0), 227 << 10) == ()
