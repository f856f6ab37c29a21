"""Ten thousand damaged checkpoints, with `make soak`, and three hundred of them here: one clear error each."""

from __future__ import annotations

import tracemalloc
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
    """What is said about the file; None if it can be read. Any other error than ours is raised."""
    try:
        action(path)
    except CheckpointError as error:
        return str(error)
    return None


@pytest.mark.parametrize("count", [300, pytest.param(10_000, marks=pytest.mark.soak)])
def test_one_clear_error_each(count: int, file: bytes, tmp_path: Path) -> None:
    path, trainer = tmp_path / "damaged.npz", evaluated()
    unchanged, refused = content(trainer), 0
    tracemalloc.start()
    try:
        for k in range(count):
            rng = np.random.default_rng(k)
            path.write_bytes(DAMAGES[k % len(DAMAGES)](file, rng))
            for action in (load_weights, trainer.resume):
                tracemalloc.reset_peak()
                before = tracemalloc.get_traced_memory()[0]
                said = complaint(action, path)
                peak = tracemalloc.get_traced_memory()[1] - before
                assert peak < 40 * len(file) + 2_000_000, (k, peak)
                if said is not None:
                    assert "damaged.npz: " in said, (k, said)
                    assert "\n" not in said, (k, said)
                    assert len(said) < 900, (k, said)
            if said is None:  # what was damaged says nothing of the run, or nothing impossible
                trainer = evaluated()
            else:
                refused += 1
                assert content(trainer) == unchanged, (k, said)
    finally:
        tracemalloc.stop()
    assert not Trap.sprung
    assert refused > 0.8 * count
