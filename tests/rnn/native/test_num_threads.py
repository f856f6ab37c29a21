"""On how many threads: what `set_num_threads`, the environment, the process's cores and a container's quota say."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import minigrad_rnn as mr
from minigrad_rnn.native import threads

from .test_threads import python


@pytest.fixture(autouse=True)
def four_threads() -> Iterator[None]:
    before = threads._chosen
    mr.set_num_threads(4)
    yield
    threads._chosen = before


@pytest.mark.parametrize("bad", [0, -1, 2.0, True, "2", None, 10**30])
def test_a_bad_number_is_refused(bad: Any) -> None:
    with pytest.raises(ValueError, match=r"^set_num_threads: n: got .*, want a whole number"):
        mr.set_num_threads(bad)
    assert mr.get_num_threads() == 4


def test_numpys_integers() -> None:
    mr.set_num_threads(np.int64(3))  # type: ignore[arg-type]
    assert type(mr.get_num_threads()) is int
    assert mr.get_num_threads() == 3


SHOW = "import minigrad_rnn as mr; print(mr.get_num_threads())"


@pytest.mark.parametrize(
    ("own", "openmp", "number"),
    [("3", "", 3), ("3", "5", 3), ("", "5", 5), ("", " 4,2 ", 4), (" 7 ", "junk", 7), ("", "", threads.usable_cores())],
)
def test_the_environment_says_how_many(own: str, openmp: str, number: int) -> None:
    result = python(SHOW, MINIGRAD_NUM_THREADS=own, OMP_NUM_THREADS=openmp)
    assert (result.returncode, result.stdout) == (0, f"{number}\n"), result.stderr


@pytest.mark.parametrize("name", threads.VARIABLES)
@pytest.mark.parametrize("bad", ["0", "-2", "two", "1.5", "²", ",2"])
def test_a_bad_variable_is_named(name: str, bad: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in threads.VARIABLES:
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setenv(name, bad)
    monkeypatch.setattr(threads, "_chosen", None)
    monkeypatch.setattr(threads, "_default", None)
    for _ in range(2):
        with pytest.raises(ValueError, match=f"variable {name}: got '{bad}', want a whole number of at least 1"):
            mr.get_num_threads()


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="no affinity here")
def test_the_default_is_what_the_process_may_use() -> None:
    code = "import os; os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})\n" + SHOW
    result = python(code, MINIGRAD_NUM_THREADS="", OMP_NUM_THREADS="")
    assert (result.returncode, result.stdout) == (0, "1\n"), result.stderr


@pytest.mark.parametrize(
    ("files", "cores"),
    [
        ({"cpu.max": "150000 100000\n"}, 2),
        ({"cpu.max": "50000 100000\n"}, 1),
        ({"cpu.max": "max 100000\n"}, None),
        ({"cpu.max": "nonsense"}, None),
        ({"cpu/cpu.cfs_quota_us": "300000\n", "cpu/cpu.cfs_period_us": "100000\n"}, 3),
        ({"cpu/cpu.cfs_quota_us": "-1\n", "cpu/cpu.cfs_period_us": "100000\n"}, None),
        ({"cpu/cpu.cfs_quota_us": "300000\n"}, None),
        ({}, None),
    ],
)
def test_a_containers_quota_counts(files: dict[str, str], cores: int | None, tmp_path: Path) -> None:
    (tmp_path / "cpu").mkdir()
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    assert threads._quota(tmp_path) == (cores or os.cpu_count())
