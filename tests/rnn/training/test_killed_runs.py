"""Runs that are killed, or whose disk is full, lose nothing: a dozen of each here, hundreds with `make soak`."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
needs_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="this system cannot fork a process")


@needs_fork
@pytest.mark.parametrize(("kills", "full_disks"), [(12, 12), pytest.param(200, 100, marks=pytest.mark.soak, id="soak")])
def test_nothing_is_lost(kills: int, full_disks: int, tmp_path: Path) -> None:
    environment = {**os.environ, "OPENBLAS_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", "tests.support.killed_runs", str(tmp_path), str(kills), str(full_disks), "0"]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    last = done.stdout.rstrip().split("\n")[-1]
    assert (done.returncode, done.stderr) == (0, ""), done.stdout + done.stderr
    assert last == done.stdout.rstrip(), done.stdout  # nothing but the numbers
    made, disks = (int(part.split()[0]) for part in last.split(", "))
    assert made >= kills
    assert disks == full_disks
