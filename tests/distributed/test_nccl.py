"""GPUs of several ranks, without a GPU: which device a rank takes, when NCCL joins them, and how it is called."""

from __future__ import annotations

import inspect
import sys
import warnings
from types import SimpleNamespace
from typing import Any

import pytest

from minigrad.backend import BackendError, cupy_backend


def library(devices: int) -> tuple[Any, list[int]]:
    """A stand-in for cupy on a machine with so many GPUs, and the list of those that were taken."""
    taken: list[int] = []
    runtime = SimpleNamespace(getDeviceCount=lambda: devices)
    device = lambda k: SimpleNamespace(use=lambda: taken.append(k))  # noqa: E731
    return SimpleNamespace(cuda=SimpleNamespace(runtime=runtime, Device=device)), taken


def nccl() -> Any:
    """CuPy's module, which can be imported without the library, and warns then."""
    pytest.importorskip("cupy")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from cupy.cuda import nccl
    return nccl


def test_ranks_that_share_a_gpu_go_by_way_of_the_host() -> None:
    cupy, taken = library(2)
    for k in range(3):
        with pytest.raises(BackendError, match=r"backend 'cupy': 3 processes share 2 GPUs"):
            cupy_backend.join_cupy_devices(cupy, k, 3)
    assert taken == [0, 1, 0]


def test_without_the_library_there_is_no_group(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nccl(), "available", False)
    cupy, taken = library(2)
    with pytest.raises(BackendError, match="the library NCCL is missing: pip install nvidia-nccl-cu13"):
        cupy_backend.join_cupy_devices(cupy, 1, 2)
    assert taken == [1]


def test_a_group_is_joined_through_mpi_and_sums_in_place(monkeypatch: pytest.MonkeyPatch) -> None:
    library_of_nccl = nccl()
    monkeypatch.setitem(sys.modules, "mpi4py", None)  # which would start MPI in this process
    cupyx = pytest.importorskip("cupyx.distributed")
    monkeypatch.setattr(library_of_nccl, "available", True)
    real = inspect.signature(cupyx.NCCLBackend.__init__)
    real_sum = inspect.signature(cupyx.NCCLBackend.all_reduce)
    calls: list[Any] = []

    class Recorder:
        def __init__(self, *args: Any, **options: Any) -> None:
            calls.append(real.bind(self, *args, **options).arguments)

        def all_reduce(self, *args: Any) -> None:
            calls.append(real_sum.bind(self, *args).arguments)

    monkeypatch.setattr(cupyx, "NCCLBackend", Recorder)
    cupy, _ = library(2)
    group = cupy_backend.join_cupy_devices(cupy, 0, 2)(5, 8)
    array = object()
    group.all_reduce(array)
    joined, summed = calls
    assert (joined["n_devices"], joined["rank"], joined["use_mpi"]) == (8, 5, True)
    assert summed["in_array"] is summed["out_array"] is array
    assert summed["op"] == "sum"
