"""Real ranks: processes that mpiexec starts, and what becomes of the others when one of them ends.

A start of two ranks takes about a second, so each program makes many checks.
"""

from __future__ import annotations

import builtins
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import minigrad as mg
from minigrad.distributed import DistributedError, MPICommunicator, mpi_communicator

ROOT = Path(__file__).resolve().parents[2]
HERE = Path(__file__).parent


def mpiexec() -> str:
    """The mpiexec beside this Python, or else on PATH. Skips the test where there is none, or no mpi4py."""
    pytest.importorskip("mpi4py", reason="could not import 'mpi4py': install the extra mpi")
    beside = Path(sys.executable).with_name("mpiexec")
    found = str(beside) if beside.exists() else shutil.which("mpiexec")
    if found is None:
        pytest.skip("mpiexec is missing: install the extra mpi")
    return found


def run(program: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a program on two ranks."""
    command = [mpiexec(), "-n", "2", sys.executable, str(HERE / program), *arguments]
    environment = {k: v for k, v in os.environ.items() if not k.endswith("_NUM_THREADS")}
    environment["PYTHONPATH"] = os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
    return subprocess.run(
        command, capture_output=True, text=True, timeout=300, check=False, env=environment, stdin=subprocess.DEVNULL
    )


def test_two_ranks(tmp_path: Path) -> None:
    done = run("program_on_ranks.py", str(tmp_path))
    assert done.returncode == 0, done.stderr
    assert "rank 0 is done" in done.stdout
    assert done.stderr == ""


def test_a_rank_that_raises_ends_all_with_its_words(tmp_path: Path) -> None:
    done = run("program_that_ends.py", str(tmp_path), "raising")
    assert done.returncode != 0
    assert "OSError: the disk of rank 1 is full" in done.stderr
    assert "told: rank 1 has ended (OSError: the disk of rank 1 is full); so rank 0 ends too" in done.stdout
    assert mg.load(tmp_path / "checkpoint.npz").metadata == {"update": 2}


def test_a_rank_that_is_killed_ends_all_and_the_checkpoint_is_whole(tmp_path: Path) -> None:
    done = run("program_that_ends.py", str(tmp_path), "killed")
    assert done.returncode != 0
    assert "BAD TERMINATION" in done.stdout + done.stderr or "signal 9" in done.stdout + done.stderr
    assert 18 <= mg.load(tmp_path / "checkpoint.npz").metadata["update"] <= 20


@pytest.mark.parametrize("environment", [{}, {"SLURM_NTASKS": "4"}, {"PMI_SIZE": "x"}])
def test_one_process_that_no_launcher_started_is_refused(environment: dict[str, str]) -> None:
    with pytest.raises(DistributedError, match=r"not started on several ranks; start it with .*mpiexec -n 2 python"):
        mpi_communicator.check_launch(1, environment)


@pytest.mark.parametrize("name", ["PMI_SIZE", "OMPI_COMM_WORLD_SIZE"])
def test_the_mpiexec_of_another_mpi_is_told(name: str) -> None:
    with pytest.raises(DistributedError, match=r"of (MPICH|Open MPI) started 4 ranks.* two MPI libraries"):
        mpi_communicator.check_launch(1, {name: "4"})
    mpi_communicator.check_launch(4, {name: "4"})
    mpi_communicator.check_launch(1, {name: "1"})
    mpi_communicator.check_launch(1, {"PMIX_RANK": "0"})
    mpi_communicator.check_launch(3, {})


def test_a_missing_mpiexec_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(sys, "argv", ["train.py", "--text", "a b"])
    assert mpi_communicator.launch_command() == (
        "mpiexec -n 2 python train.py --text 'a b' (mpiexec is not on PATH: pip install mpich)"
    )


@pytest.mark.parametrize("error", [ModuleNotFoundError("No module named 'mpi4py'"), RuntimeError("cannot load MPI")])
def test_a_missing_library_is_named(error: Exception, monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def without_mpi(name: str, *args: Any, **kwargs: Any) -> Any:
        if name.partition(".")[0] == "mpi4py":
            raise error
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", without_mpi)
    with pytest.raises(ImportError, match=r"pip install mpi4py mpich.*(No module named|cannot load MPI)"):
        MPICommunicator()


def test_what_a_communicator_refuses() -> None:
    with pytest.raises(ValueError, match="MPICommunicator: transport: got 'mail'"):
        MPICommunicator(transport="mail")
    with pytest.raises(ValueError, match="MPICommunicator: threads: got 0"):
        MPICommunicator(threads=0)


def test_threads_by_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[int] = []
    monkeypatch.setattr(mpi_communicator, "openblas_function", lambda *_: calls.append)
    for environment, threads, want, blas in [
        ({}, None, "1", [1]),
        ({"MINIGRAD_NUM_THREADS": "4"}, None, "4", [1]),
        ({"OMP_NUM_THREADS": "4"}, None, None, []),
        ({"MINIGRAD_NUM_THREADS": "4", "OPENBLAS_NUM_THREADS": "4"}, 2, "2", [2]),
    ]:
        calls.clear()
        mpi_communicator.set_threads(threads, environment)
        assert (environment.get("MINIGRAD_NUM_THREADS"), calls) == (want, blas)
