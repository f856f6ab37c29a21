"""A resumed run with schedules, averaged weights and buckets of lengths has the bits of one that was never stopped."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import minigrad as mg
from minigrad import losses, optim
from minigrad_rnn.data import Batches, BucketedBatches
from minigrad_rnn.training import Trainer
from tests.support.small_runs import content, small_run

RNG = np.random.default_rng(0)
ITEMS = [RNG.integers(0, 5, n).tolist() for n in RNG.integers(2, 9, 22)]


def echo(model: Any, batch: Any) -> Any:
    xs = batch[0] if isinstance(batch, tuple) else batch
    return losses.cross_entropy(model(xs)[0], xs)


def warm_up(by: optim.Optimizer) -> optim.LRScheduler:
    return optim.SequentialLR(by, [optim.LinearLR(by, total_iters=4), optim.CosineAnnealingLR(by, 12)], [4])


def bias(model: Any) -> float:
    return float(model.readout.bias.numpy().sum())


CASES: dict[str, dict[str, Any]] = {
    "NAdam, one cycle, average": {
        "optimizer": lambda p: optim.NAdam(p, 0.01),
        "make_schedule": lambda by: optim.OneCycleLR(by, 0.02, 40),
        "make_ema": lambda model: optim.EMA(model, 0.9),
        "evaluate": bias,
        "evaluate_every": 4,
    },
    "RAdam, warm-up and cosine": {"optimizer": lambda p: optim.RAdam(p, 0.01), "make_schedule": warm_up},
    "plateau": {
        "make_schedule": lambda by: optim.ReduceLROnPlateau(by, patience=0, cooldown=1),
        "evaluate": bias,
        "evaluate_every": 2,
    },
}


def run(folder: Path | None, case: str) -> Trainer:
    buckets: Any = BucketedBatches(ITEMS, 4, max_padding=0.2, seed=3)
    if case == "plateau":
        buckets = Batches(ITEMS, 4, collate=lambda items: np.array([item[:2] for item in items]).T)
    return small_run(folder, batches=buckets, divergence=echo, tokens=None, **CASES[case])


@pytest.mark.parametrize("case", CASES)
def test_the_bits_are_those_of_a_run_that_was_never_stopped(case: str, tmp_path: Path) -> None:
    whole = run(None, case)
    whole.fit(updates=14)
    rates = {line["learning_rate"] for line in whole.history if "learning_rate" in line}
    assert len(rates) > 1
    run(tmp_path, case).fit(updates=9)
    again = run(tmp_path, case)
    again.resume()
    again.fit(updates=14)
    got, want = content(again), content(whole)
    for part in ("weights", "optimizer", "options", "schedule"):
        assert got[part] == want[part]
    if again.ema is not None:
        ours, theirs = again.ema.state_dict(), whole.ema.state_dict()
        assert ours["updates"] == theirs["updates"] == 14
        for name, average in ours["average"].items():
            np.testing.assert_array_equal(average, theirs["average"][name])


def test_other_items_are_refused(tmp_path: Path) -> None:
    run(tmp_path, "RAdam, warm-up and cosine").fit(updates=2)
    other = BucketedBatches([[1] * (len(item) + 1) for item in ITEMS], 4, max_padding=0.2, seed=3)
    options = CASES["RAdam, warm-up and cosine"]
    again = small_run(tmp_path, batches=other, divergence=echo, tokens=None, **options)
    with pytest.raises(mg.CheckpointError, match=r"does not fit this run: BucketedBatches.*lengths: got"):
        again.resume()
