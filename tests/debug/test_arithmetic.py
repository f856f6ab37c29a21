"""What bits depend on: the same arithmetic gives the same bits, in one process and in another; a kernel is told."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np

from minigrad.debug import blas
from minigrad.debug.blas import describe_arithmetic

ROOT = Path(__file__).resolve().parents[2]
TRAINING = """
import hashlib, json
import numpy as np
import minigrad as mg
from minigrad import losses, nn, optim
from minigrad.debug.blas import describe_arithmetic
from minigrad_rnn import LSTM, ManyToOne

def train():
    model = ManyToOne(LSTM(5, 16, rng=0), nn.Linear(16, 1, rng=1))
    optimizer, rng = optim.Adam(model.parameters(), lr=1e-2), np.random.default_rng(0)
    for step in range(5):
        xs = rng.standard_normal((12, 8, 5), dtype="float32")
        loss = losses.mse(model(xs), xs.mean(axis=0)[:, :1])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return hashlib.sha256(b"".join(p.numpy().tobytes() for p in model.parameters())).hexdigest()

print(json.dumps([train(), train(), describe_arithmetic()]))
"""


def in_another_process(**environment: str) -> list[object]:
    done = subprocess.run(
        [sys.executable, "-c", TRAINING], env={**os.environ, "PYTHONPATH": str(ROOT), **environment},
        capture_output=True, check=True,
    )  # fmt: skip
    return list(json.loads(done.stdout))


def test_a_seed_gives_the_same_bits_in_one_process_and_in_others() -> None:
    one, other = in_another_process(PYTHONHASHSEED="1"), in_another_process(PYTHONHASHSEED="2")
    assert one[0] == one[1]
    assert one == other


def test_the_kernel_and_the_threads_are_those_asked_for() -> None:
    here = describe_arithmetic()
    assert here["numpy"] == np.__version__
    if here["kernel"] is not None:
        *_, there = in_another_process(OPENBLAS_NUM_THREADS="1", OPENBLAS_CORETYPE=str(here["kernel"]))
        assert there == {**here, "threads": 1}


def test_what_is_not_known_is_none() -> None:
    assert blas._ask("no_such_function", int) is None
    assert blas._configured("no such section", "found") is None
