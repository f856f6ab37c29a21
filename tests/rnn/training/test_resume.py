"""A run that is resumed ends in the same bits as one that was never stopped."""

from __future__ import annotations

import math
import os
import signal
from pathlib import Path
from typing import Any

import pytest

from minigrad import nn, optim
from minigrad_rnn.text.streams import Streams
from minigrad_rnn.training import Trainer
from tests.support.small_runs import IDS, content, small_run


class Killed(Exception):
    """What stands for the end of a process."""


def drawn(model: Any) -> float:
    """An evaluation that draws from the library's own generator, as sampling does."""
    return float(nn.default_generator().random()) + float(model.readout.bias.numpy().sum())


def following(trainer: Trainer) -> float:
    return 0.01 * (1 + math.cos(trainer.updates / 9))


CASES: dict[str, dict[str, Any]] = {
    "plain": {},
    "two lstms, accumulated": {"cell": "lstm", "layers": 2, "accumulate": 3},
    "rnn, sgd": {"cell": "rnn", "optimizer": lambda p: optim.SGD(p, 0.1, momentum=0.9), "clip_norm": None},
    "schedule": {"schedule": following, "accumulate": 2},
    "evaluated": {"evaluate": drawn, "evaluate_every": 2, "patience": 30},
    "evaluated by epoch": {"evaluate": drawn, "lower_is_better": False},
    "a list": {"batches": list(Streams(IDS, 4, 5)), "accumulate": 2},
}


def at(update: int, act: Any) -> Any:
    """An `after_update` that acts at one update."""
    return lambda trainer: act() if trainer.updates == update else None


def terminate() -> None:
    os.kill(os.getpid(), signal.SIGTERM)


def die() -> None:
    raise Killed


@pytest.mark.parametrize("case", CASES)
def test_the_bits_are_those_of_a_run_that_was_never_stopped(case: str, tmp_path: Path) -> None:
    options = CASES[case]
    whole = small_run(**options)
    whole.fit(updates=11)
    want = content(whole)
    for stop in (2, 3, 7):  # within an epoch, and at the end of one: of 3 updates, of 4, or of 7
        run = small_run(tmp_path / str(stop), after_update=at(stop, terminate), **options)
        run.fit(updates=11)
        assert (run.signal, run.updates) == (signal.SIGTERM, stop)
        run = small_run(tmp_path / str(stop), save_every=2, after_update=at(9, die), **options)
        run.resume()
        with pytest.raises(Killed):
            run.fit(updates=11)
        run = small_run(tmp_path / str(stop), **options)
        run.resume()
        assert run.updates == 8
        run.fit(updates=11)
        assert content(run) == want
        assert (tmp_path / str(stop) / "best.npz").exists() == ("evaluate" in options)


def test_a_larger_budget_continues_a_finished_run(tmp_path: Path) -> None:
    whole = small_run()
    whole.fit(epochs=2)
    for epochs in (0.5, 1, 1.6, 2):
        run = small_run(tmp_path)
        if epochs > 0.5:
            run.resume()
        run.fit(epochs=epochs)
    want, got = content(whole), content(run)
    assert got["weights"] == want["weights"]
    assert got["generators"] == want["generators"]
    assert run.updates == 14
