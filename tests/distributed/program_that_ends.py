"""A program of which a rank ends too early: `mpiexec -n 2 python program_that_ends.py FOLDER raising|killed`."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path
from typing import Any

import numpy as np

import minigrad as mg
from minigrad.distributed import DataParallel, DistributedError, MPICommunicator


def training(folder: Path, end: Any) -> None:
    """Train and save, until `end(update, rank)` ends it on some rank."""
    communicator = MPICommunicator()
    model = mg.nn.Linear(2, 2)
    parallel = DataParallel(model, communicator)
    for update in range(1000):
        model(np.ones((1, 2), np.float32)).sum().backward()
        parallel.pool_gradients(1)
        if parallel.is_writer:
            mg.save(folder / "checkpoint.npz", model.state_dict(), {"update": update})
        end(update, parallel.rank)


def raising(folder: Path) -> None:
    def end(update: int, rank: int) -> None:
        if update == 2 and rank == 1:
            raise OSError("the disk of rank 1 is full")

    try:
        training(folder, end)
    except DistributedError as error:
        print(f"told: {error}")
        raise


def killed(folder: Path) -> None:
    def end(update: int, rank: int) -> None:
        if update == 20 and rank == 1:
            os.kill(os.getpid(), signal.SIGKILL)

    training(folder, end)


if __name__ == "__main__":
    {"raising": raising, "killed": killed}[sys.argv[2]](Path(sys.argv[1]))
