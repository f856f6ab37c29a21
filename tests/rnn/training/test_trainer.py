"""What a trainer does with each batch: against a loop written by hand."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

import minigrad as mg
from minigrad import losses, nn, optim
from minigrad_rnn.training import Trainer, load_weights
from tests.conftest import TestedBackend
from tests.support.small_runs import small_run

XS = np.random.default_rng(0).standard_normal((6, 4, 3))
BATCHES = [(x, x.sum(1, keepdims=True)) for x in XS]


def linear() -> nn.Linear:
    return nn.Linear(3, 1, rng=0, dtype="float64")


def error(model: Any, batch: Any) -> mg.Tensor:
    return losses.mse(model(batch[0]), batch[1])


def test_it_is_the_loop_that_one_would_write(xp: TestedBackend) -> None:
    model, twin = linear().to(xp.name), linear().to(xp.name)
    batches = [(xp.array(x), xp.array(y)) for x, y in BATCHES]
    trainer = Trainer(
        model, optim.Adam(model.parameters(), lr=0.1), batches, error, clip_norm=0.5, report_every=1, progress=False
    )
    trainer.fit(epochs=2)
    optimizer, seen = optim.Adam(twin.parameters(), lr=0.1), []
    for batch in batches * 2:
        optimizer.zero_grad()
        loss = error(twin, batch)
        loss.backward()
        norm = optim.clip_grad_norm(twin.parameters(), 0.5)
        optimizer.step()
        seen.append((float(loss), float(norm)))
    for mine, theirs in zip(model.parameters(), twin.parameters()):
        np.testing.assert_array_equal(mine.numpy(), theirs.numpy())
    assert [(line["loss"], line["gradient_norm"]) for line in trainer.history] == seen


def test_accumulated_batches_are_one_larger_batch() -> None:
    """The last batch is smaller, and the last group too; `tokens` weighs them."""
    parts = [XS.reshape(-1, 3)[a:b] for a, b in ((0, 4), (4, 8), (8, 9), (9, 15), (15, 17))]
    small = [(x, x.sum(1, keepdims=True)) for x in parts]
    large = [tuple(np.concatenate([b[k] for b in group]) for k in (0, 1)) for group in (small[:3], small[3:])]
    models = linear(), linear()
    for model, batches, count in zip(models, (small, large), (3, 1)):
        options: dict[str, Any] = {"accumulate": count, "tokens": lambda b: len(b[0]), "progress": False}
        trainer = Trainer(model, optim.SGD(model.parameters(), 0.1), batches, error, report_every=1, **options)
        history = trainer.fit(epochs=1)
        assert [line["update"] for line in history] == [1, 2]
        assert history[-1]["tokens"] == 17
    for mine, theirs in zip(models[0].parameters(), models[1].parameters()):
        np.testing.assert_allclose(mine.numpy(), theirs.numpy(), rtol=1e-12)


def test_the_state_is_carried_detached_and_starts_anew_with_each_epoch() -> None:
    given: list[Any] = []

    def divergence(model: Any, batch: Any, state: Any) -> Any:
        given.append(state)
        total = model(batch[0]).sum() + (0.0 if state is None else state["sum"][0])
        return total * 0.1, {"sum": [total], "count": 1}

    model = linear()
    trainer = Trainer(model, optim.SGD(model.parameters(), 0.0), BATCHES[:3], divergence, progress=False)
    trainer.fit(updates=5)
    assert [s is None for s in given] == [True, False, False, True, False]
    assert all(s is None or s["sum"][0].node is None for s in given)
    assert trainer.state["count"] == 1


def test_a_folder_has_the_run(tmp_path: Path) -> None:
    values = iter([3.0, 1.0, 2.0, 1.5])
    run = small_run(tmp_path, evaluate=lambda model: {"bits": next(values), "other": 0.5}, metadata={"a": [1]})
    run.fit(epochs=3)
    assert run.best == {"update": 14, "value": 1.0, "bits": 1.0, "other": 0.5}
    lines = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    assert lines == run.history
    assert [line["bits"] for line in lines if "bits" in line] == [3.0, 1.0, 2.0]
    weights, metadata = load_weights(tmp_path / "checkpoint.npz")
    assert metadata == {"a": [1]}
    for name, array in run.model.state_dict().items():
        np.testing.assert_array_equal(weights[name], array)
    best, metadata = load_weights(tmp_path / "best.npz")
    assert metadata == {"a": [1]}
    assert any((best[name] != weights[name]).any() for name in best)
    run.load_best()
    np.testing.assert_array_equal(run.model.readout.weight.numpy(), best["readout.weight"])
    other = small_run()
    other.model.load_state_dict(mg.load(tmp_path / "best.npz"))
