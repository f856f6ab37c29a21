"""The smoke test of the kernels: what it says of wrong ones, how it narrows a case, and reruns that differ."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest

from minigrad.backend import NUMPY, Backend
from tests.support import cuda_on_gpu
from tests.support.cuda_on_cpu.device import Settings


def test_the_names_choose_cases() -> None:
    every = cuda_on_gpu.cases()
    assert len({str(case) for case in every}) == len(every)
    assert [str(case) for case in cuda_on_gpu.cases(str(every[3]))] == [str(every[3])]
    assert not any(":" in str(case) for case in every)  # what a script reads ends at the first one
    with pytest.raises(SystemExit):
        cuda_on_gpu.main(["--dry-run", "--only", "no such case"])


def test_a_wrong_kernel_is_told_with_the_arrays_that_are_wrong(
    kernels_on_cpu: Backend, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    case, right = cuda_on_gpu.cases("rnn_tanh")[0], cuda_on_gpu.results

    def wrong(*args: Any) -> dict[str, Any]:
        found = right(*args)
        return (
            found if NUMPY in args else {**found, "0 Wr": found["0 Wr"] * 1.5, "xs": np.full_like(found["xs"], np.nan)}
        )

    monkeypatch.setattr(cuda_on_gpu, "results", wrong)
    assert cuda_on_gpu.report(kernels_on_cpu, [case]) == 1
    assert capsys.readouterr().out == f"WRONG: {case}: xs by inf; 0 Wr by 5.0e-01\n0 right, 1 wrong\n"


def test_an_error_is_told_and_the_next_case_runs(kernels_on_cpu: Backend, launch_settings: Settings) -> None:
    launch_settings.change = lambda source: source + "\n#error planted\n" if "K_H 12" not in source else source
    cases = cuda_on_gpu.cases("rnn_tanh")[:2]
    said = [trouble for _, trouble in cuda_on_gpu.checked(kernels_on_cpu, cases)]
    assert len(said) == 2
    assert all("KernelFault" in trouble and "planted" in trouble for trouble in said)


def test_a_case_is_narrowed_to_one_block_and_one_step() -> None:
    case = cuda_on_gpu.cases("in registers")[0]
    tile = cuda_on_gpu.TILES["in registers"]
    assert tile is not None
    narrowed = case.narrowed()
    assert (narrowed[0].H, narrowed[0].T, narrowed[0].B, narrowed[0].direction) == (tile.units, 1, 1, "forward")
    assert {(c.H // tile.units, c.T) for c in narrowed} == set(itertools.product((1, 2), (1, 2)))
    assert {c.kind for c in narrowed} == {case.kind}


def test_what_is_narrowed_is_right(kernels_on_cpu: Backend) -> None:
    for implementation in cuda_on_gpu.TILES:
        for case in cuda_on_gpu.cases(implementation)[0].narrowed():
            assert case.trouble(kernels_on_cpu) == "", case


def test_runs_that_differ_are_told(kernels_on_cpu: Backend, monkeypatch: pytest.MonkeyPatch) -> None:
    case = cuda_on_gpu.cases("in registers")[0]
    assert dict(cuda_on_gpu.rerun(kernels_on_cpu, [case], 3)).popitem()[1] == ""
    runs = itertools.count()

    def differs(self: Any, backend: Any, dtype: Any) -> dict[str, np.ndarray[Any, Any]]:
        return {"xs": np.full(3, next(runs) // 3, np.float32)}

    monkeypatch.setattr(cuda_on_gpu.Case, "run", differs)
    assert dict(cuda_on_gpu.rerun(kernels_on_cpu, [case], 5)).popitem()[1] == "2 of 5 runs differ"
