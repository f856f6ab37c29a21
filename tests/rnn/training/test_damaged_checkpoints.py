"""Ten thousand damaged checkpoints, with `make soak`, and three hundred of them here: one clear error each."""

from __future__ import annotations

import tracemalloc
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from minigrad import optim
from minigrad.serialize import CheckpointError
from minigrad_rnn.training import Trainer, load_weights
from tests.support.damaged_checkpoints import DAMAGES, Trap
from tests.support.small_runs import content, small_run


def evaluated() -> Trainer:
    """A run with few arrays, of which a checkpoint has one of each kind."""
    options: dict[str, Any] = {"cell": "rnn", "optimizer": lambda p: optim.SGD(p, 0.1, momentum=0.9)}
    return small_run(evaluate=lambda model: 1.0, evaluate_every=2, **options)


@pytest.fixture
def file(tmp_path: Path) -> bytes:
    trainer = evaluated()
    trainer.fit(updates=5)
    trainer.save(tmp_path / "good.npz")
    return (tmp_path / "good.npz").read_bytes()


def complaint(action: Any, path: Path) -> str | None:
    """What is said about the file, in one sentence; None if it can be read. Any other error than ours is raised."""
    try:
        action(path)
    except CheckpointError as error:
        said = str(error)
    else:
        return None
    assert f"{path}: " in said
    assert "\n" not in said
    assert len(said) < 900, said[:1500]
    return said


@contextmanager
def bounded_memory(limit: int) -> Iterator[None]:
    """Fail if the block takes more memory than that."""
    tracemalloc.start()
    try:
        yield
        assert tracemalloc.get_traced_memory()[1] < limit
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("count", [300, pytest.param(10_000, marks=pytest.mark.soak)])
def test_one_clear_error_each(count: int, file: bytes, tmp_path: Path) -> None:
    path, trainer = tmp_path / "damaged.npz", evaluated()
    unchanged, refused = content(trainer), 0
    for k in range(count):
        path.write_bytes(DAMAGES[k % len(DAMAGES)](file, np.random.default_rng(k)))
        with bounded_memory(40 * len(file) + 2_000_000) if k % 2 else nullcontext():  # it takes half of the time
            said = complaint(trainer.resume, path)
        if k % 4 == 0:
            complaint(load_weights, path)
        if said is None:  # what was damaged says nothing of the run, or nothing impossible
            trainer = evaluated()
        else:
            refused += 1
            assert content(trainer) == unchanged, (k, said)
    assert not Trap.sprung
    assert refused > 0.8 * count
