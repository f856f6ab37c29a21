"""The character model on several ranks: as one rank with the whole batch, in threads and under mpiexec."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from char_rnn_parts import settings
from char_rnn_parts.run import Run
from char_rnn_parts.text import Text

from minigrad.distributed import Communicator, run_in_threads
from tests.distributed.test_mpi import mpiexec
from tests.support.char_rnn_runs import EXAMPLES, SMALL, char_rnn, updates

pytestmark = pytest.mark.usefixtures("blank_pictures")


def made(text: Path, folder: Path, communicator: Communicator | None = None) -> Run:
    flags = ["--text", str(text), *SMALL, "--evaluate-every", "3", "--clip", "0.5", "--schedule", "constant"]
    flags += ["--reset", "0"]  # each rank draws its own
    overrides = settings.parse(flags, "").overrides
    s = settings.Settings.of(overrides, {})
    command = settings.Command(overrides, "numpy", None, None, False, False, communicator is not None)
    return Run(s, Text(s), command, str(folder), None, communicator)


def test_two_ranks_train_as_one(text: Path, tmp_path: Path) -> None:
    def program(communicator: Communicator) -> Any:
        run = made(text, tmp_path / "two", communicator)
        run.fit(updates=5)
        again = made(text, tmp_path / "two", communicator)
        again.resume()
        again.fit(updates=8)
        return again.model.state_dict(), again.history

    one = made(text, tmp_path / "one")
    one.fit(updates=8)
    (first, history), (second, _) = run_in_threads(program, 2)
    for name, value in one.model.state_dict().items():
        np.testing.assert_array_equal(first[name], second[name])
        np.testing.assert_allclose(first[name], value, rtol=1e-4, atol=1e-5)
    assert [line["tokens"] for line in history][-1] == one.history[-1]["tokens"]
    bits = [line["bits per character"] for line in (history[-1], one.history[-1])]
    assert bits[0] == pytest.approx(bits[1], rel=2e-3)  # each rank measures its half, which begins without a state
    assert updates(tmp_path / "two") == 8


def test_without_mpi_it_says_so(
    text: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in [name for name in os.environ if name.startswith(("PMI", "OMPI", "MPI"))]:
        monkeypatch.delenv(name)
    assert char_rnn.main(["--text", str(text), *SMALL, "--out", str(tmp_path / "out"), "--distributed"]) == 2
    err = capsys.readouterr().err
    assert "mpi" in err.lower()
    assert err.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_under_mpiexec_rank_0_tells_and_writes(text: Path, tmp_path: Path) -> None:
    flags = ["--text", str(text), *SMALL, "--chunks", "3", "--out", str(tmp_path / "out"), "--distributed"]
    done = subprocess.run(
        [mpiexec(), "-n", "2", sys.executable, str(EXAMPLES / "char_rnn.py"), *flags],
        capture_output=True, text=True, timeout=300, check=False, stdin=subprocess.DEVNULL,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("Bits per character on") == 1
    assert "A sample at temperature" in done.stdout
    assert updates(tmp_path / "out") == 3
