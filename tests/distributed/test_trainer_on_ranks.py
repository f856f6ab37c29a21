"""`Trainer(parallel=...)`: several ranks train as one does, and ranks with different options are refused."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import minigrad as mg
from minigrad.distributed import DataParallel, run_in_threads
from minigrad_rnn.data import BucketedBatches
from minigrad_rnn.training import Trainer

SENTENCES = [list(range(k % 5, k % 5 + 1 + k % 3)) for k in range(20)]


class Mean(mg.nn.Module):
    """Predict a sentence's length from the mean of its words' vectors."""

    def __init__(self, seed: int) -> None:
        rng = np.random.default_rng(seed)
        self.words = mg.nn.Embedding(8, 3, rng=rng, dtype="float64")
        self.out = mg.nn.Linear(3, 1, rng=rng, dtype="float64")

    def forward(self, ids: Any) -> Any:
        return self.out(self.words(ids).mean(0))[:, 0]


def divergence(model: Any, batch: Any) -> Any:
    ids, lengths = batch
    return mg.mse(model(ids), mg.tensor(lengths.astype(np.float64)))


def trainer(communicator: Any, **options: Any) -> Trainer:
    parallel = DataParallel(model := Mean(communicator.rank), communicator)
    lr = options.pop("lr", 0.05)
    batches = parallel.shard(BucketedBatches(SENTENCES, 7, max_padding=0, seed=1))
    settings = {"tokens": lambda batch: float(len(batch[1])), "clip_norm": 1.0, "report_every": 1, **options}
    optimizer = mg.optim.Adam(model.parameters(), lr=lr)
    return Trainer(model, optimizer, batches, divergence, parallel=parallel, progress=False, **settings)


@pytest.mark.parametrize("size", [2, 3])
def test_several_ranks_train_as_one_does(size: int) -> None:
    def program(communicator: Any) -> Any:
        run = trainer(communicator, accumulate=2, evaluate=lambda model: 1.0 + communicator.rank)
        history = run.fit(epochs=2)
        return [line["loss"] for line in history if "loss" in line], run.model.state_dict(), run.best

    ((losses, weights, _),) = run_in_threads(program, 1)
    results = run_in_threads(program, size)
    assert len(losses) > 3
    for theirs, theirs_weights, best in results:
        np.testing.assert_allclose(theirs, losses, rtol=1e-9)
        for name, array in weights.items():
            np.testing.assert_allclose(theirs_weights[name], array, rtol=0, atol=1e-9)
            assert theirs_weights[name].tobytes() == results[0][1][name].tobytes()
        assert best is not None
        assert best["value"] == 1.0  # rank 0's


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("lr", (0.05, 0.1)),
        ("clip_norm", (1.0, None)),
        ("accumulate", (1, 2)),
        ("save_every", (None, 3)),
        ("metadata", ({"seed": 1}, {"seed": 2})),
        ("evaluate", (None, len)),
    ],
)
def test_ranks_with_different_options_are_refused(name: str, values: tuple[Any, Any], tmp_path: Any) -> None:
    options = {"folder": tmp_path} if name == "save_every" else {}

    def program(communicator: Any) -> None:
        trainer(communicator, **options, **{name: values[communicator.rank]})

    named = "param_groups" if name == "lr" else name
    with pytest.raises(ValueError, match=rf"Trainer: the ranks differ: {named}: .* on rank 0, .* on rank 1"):
        run_in_threads(program, 2)
