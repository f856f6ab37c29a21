"""Runs that go on: with a larger budget, after an evaluation that failed, with other options, on other batches."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import minigrad as mg
from minigrad import losses, nn, optim, serialize
from minigrad.backend import Backend
from minigrad.serialize import CheckpointError
from minigrad_rnn import GRU
from minigrad_rnn.training import Trainer, arithmetic
from tests.support.small_runs import content, small_run


def test_an_evaluation_at_a_budgets_end_does_not_end_a_continued_run_sooner(tmp_path: Path) -> None:
    """The patience compares with evaluations that count; the one after update 3 is better than those that follow."""
    values = {2: 5.0, 3: 1.0, 4: 4.0, 6: 3.0, 8: 2.0}

    def run() -> Trainer:
        held: list[Trainer] = []
        options: dict[str, Any] = {"evaluate_every": 2, "patience": 2}
        held.append(small_run(tmp_path, evaluate=lambda model: values[held[0].updates], **options))
        return held[0]

    run().fit(updates=3)
    second = run()
    second.resume()
    second.fit(updates=8)
    assert (second.updates, second.evaluations.without_better) == (8, 0)
    assert second.best is not None
    assert (second.best["update"], second.best["value"]) == (3, 1.0)


@pytest.mark.parametrize("every", [None, 2, 9])
def test_what_was_trained_is_saved_though_evaluate_fails_and_it_is_made_up_for(
    every: int | None, tmp_path: Path
) -> None:
    def evaluate(model: Any) -> float:
        return float(np.abs(model.readout.bias.numpy()).sum())

    def fails(model: Any) -> float:
        raise RuntimeError("a fault of the user's")

    options: dict[str, Any] = {"evaluate_every": every, "patience": 9}
    whole = small_run(evaluate=evaluate, **options)
    whole.fit(updates=9)
    with pytest.raises(RuntimeError, match="a fault of the user's"):
        small_run(tmp_path, evaluate=fails, **options).fit(updates=9)
    run = small_run(tmp_path, evaluate=evaluate, **options)
    run.resume()
    assert run.updates == (every or 7)  # 9: at the end of the budget
    run.fit(updates=9)
    assert content(run) == content(whole)


def test_other_options_than_the_checkpoints_are_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    small_run(tmp_path).fit(updates=1)
    run = small_run(tmp_path, optimizer=lambda p: optim.Adam(p, lr=0.5, eps=1e-3), progress=True)
    run.resume()
    assert run.learning_rate == 0.01
    told = capsys.readouterr().err
    assert "not used here, since the checkpoint's optimizer goes on: lr 0.5 (the checkpoint's run began with" in told
    assert "0.01), eps 0.001 (" in told
    assert "betas" not in told
    small_run(tmp_path, progress=True).resume()
    small_run(tmp_path / "by a function", schedule=lambda trainer: 0.2).fit(updates=1)
    again = small_run(
        tmp_path / "by a function", optimizer=lambda p: optim.Adam(p, lr=9), schedule=lambda trainer: 0.1, progress=True
    )
    again.resume()
    assert capsys.readouterr().err == ""


def test_other_schedules_averages_and_frozen_parameters_are_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def run(size: int, decay: float, **options: Any) -> Trainer:
        def schedule(by: optim.Optimizer) -> optim.LRScheduler:
            return optim.SequentialLR(by, [optim.LinearLR(by, total_iters=size), optim.StepLR(by, size)], [2])

        options |= {"make_schedule": schedule, "make_ema": lambda model: optim.EMA(model, decay)}
        return small_run(tmp_path, **options)

    run(3, 0.9).fit(updates=4)
    other = run(5, 0.5, progress=True)
    other.model.readout.requires_grad_(False)
    other.resume()
    assert other.ema.decay == 0.9
    assert other.schedule.schedulers[1].step_size == 3
    assert other.model.readout.bias.node is not None
    told = capsys.readouterr().err.splitlines()
    goes_on = "not used here, since the checkpoint's"
    assert [line.partition(": ")[2] for line in told] == [
        f"{goes_on} schedule goes on: total_iters 5 (the checkpoint's 3), step_size 5 (the checkpoint's 3)",
        f"{goes_on} average goes on: decay 0.5 (the checkpoint's 0.9)",
        f"{goes_on} run goes on: readout.weight frozen (it is trained there), "
        "readout.bias frozen (it is trained there)",
    ]
    run(3, 0.9, progress=True).resume()
    assert capsys.readouterr().err == ""


def test_an_optimizer_may_get_a_parameter_of_no_model_later(tmp_path: Path) -> None:
    def run() -> Trainer:
        trainer = small_run(tmp_path)
        trainer.optimizer.add_param_group({"params": [mg.Parameter(np.ones(2, "float32"))]})
        return trainer

    run().fit(updates=2)
    again = run()
    again.resume()
    assert again.updates == 2


def test_a_checkpoint_of_before_does_not_name_its_parameters(tmp_path: Path) -> None:
    whole = small_run()
    whole.fit(updates=6)
    small_run(tmp_path).fit(updates=4)
    arrays, metadata = serialize.load(tmp_path / "checkpoint.npz")
    del metadata["parameters"]
    serialize.save(tmp_path / "checkpoint.npz", arrays, metadata)
    run = small_run(tmp_path)
    run.resume()
    run.fit(updates=6)
    assert content(run)["weights"] == content(whole)["weights"]


def test_other_compiled_sequences_are_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """What a later version compiles may round otherwise."""
    monkeypatch.setattr(arithmetic, "native_refusal", lambda recurrence: "")
    small_run(tmp_path).fit(updates=1)
    small_run(tmp_path, progress=True).resume()
    assert capsys.readouterr().err == ""
    arrays, metadata = serialize.load(tmp_path / "checkpoint.npz")
    digest = metadata["arithmetic"]["sequences"]
    without = {name: value for name, value in metadata["arithmetic"].items() if name != "sequences"}
    for saved, told in (
        ({**without, "sequences": "0a1b2c3d"}, f"compiled sequences 0a1b2c3d, here {digest}"),
        ({**without, "sequences": None}, f"compiled sequences None, here {digest}"),
        (without, f"compiled sequences of an earlier version, here {digest}"),
    ):
        serialize.save(tmp_path / "other.npz", arrays, {**metadata, "arithmetic": saved})
        small_run(progress=True).resume(tmp_path / "other.npz")
        assert f"computed with {told}: the run goes on, but not bit for bit" in capsys.readouterr().err


def test_the_digest_is_that_of_the_equations(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = GRU(2, 3)
    monkeypatch.setattr(arithmetic, "native_refusal", lambda recurrence: "")
    before = arithmetic.sequences_of(model)
    assert before == arithmetic.sequences_of(nn.Sequential(nn.Linear(2, 2), model))
    for other in (GRU(2, 3, impl="graph"), GRU(2, 3, impl="fused"), nn.Linear(2, 2)):
        assert arithmetic.sequences_of(other) is None
    originals = arithmetic.shared_library.sources()
    copies = [tmp_path / path.parent.name / path.name for path in originals]
    for copy, path in zip(copies, originals):
        copy.parent.mkdir(exist_ok=True)
        copy.write_bytes(path.read_bytes())
    monkeypatch.setattr(arithmetic.shared_library, "sources", lambda: copies)
    assert arithmetic.sequences_of(model) == before
    (tmp_path / "gates" / "gru.h").write_text("other equations", encoding="utf-8")
    assert arithmetic.sequences_of(model) != before
    monkeypatch.setattr(arithmetic, "native_refusal", lambda recurrence: "no compiler")
    assert arithmetic.sequences_of(model) is None


def test_on_a_device_the_digest_is_that_of_the_kernels(kernels_on_cpu: Backend) -> None:
    on_device, graph = GRU(2, 3).to("strict"), GRU(2, 3, impl="graph").to("strict")
    names = {path.name for path in arithmetic.source.sources()}
    assert {"forward.cu", "cluster.h", "lstm.h"} <= names
    assert arithmetic.sequences_of(on_device) == arithmetic.cache.key(arithmetic.source.sources())[:8]
    assert arithmetic.sequences_of(graph) is None


def test_nothing_changes_where_a_checkpoint_does_not_tell_its_options_or_arithmetic(tmp_path: Path) -> None:
    run = small_run(tmp_path)
    run.fit(updates=2)
    arrays, metadata = serialize.load(tmp_path / "checkpoint.npz")
    for name in ("options", "arithmetic", "best_counted"):
        damaged = {key: value for key, value in metadata.items() if key != name}
        serialize.save(tmp_path / "damaged.npz", arrays, damaged)
        other = small_run()
        other.fit(updates=1)
        before = content(other)
        with pytest.raises(CheckpointError, match="does not fit this run"):
            other.resume(tmp_path / "damaged.npz")
        assert content(other) == before


def regression(model: Any, batch: Any, scale: float = 1.0) -> mg.Tensor:
    return losses.mse(model(batch), batch) * scale


def test_a_third_parameter_with_a_value_is_no_state() -> None:
    model = nn.Linear(2, 2, rng=0)
    trainer = Trainer(model, optim.SGD(model.parameters(), 0.1), [np.ones((1, 2), "f4")], regression, progress=False)
    trainer.fit(updates=2)
    assert trainer.updates == 2


def test_a_list_with_more_batches_is_other_data(tmp_path: Path) -> None:
    def run(count: int) -> Trainer:
        model = nn.Linear(2, 2, rng=0)
        batches = [np.full((1, 2), k, "f4") for k in range(count)]
        optimizer = optim.SGD(model.parameters(), 0.1)
        return Trainer(model, optimizer, batches, regression, folder=tmp_path, progress=False)

    run(3).fit(updates=1)
    with pytest.raises(CheckpointError, match="batches: got the position in 3 batches, want one in 4"):
        run(4).resume()
    run(3).resume()


def test_a_buffer_of_nan_is_not_saved(tmp_path: Path) -> None:
    model = nn.Sequential(nn.Linear(2, 2, rng=0), nn.BatchNorm1d(2))
    batches = [np.array([[1, 2], [3, 5]], "f4"), np.array([[1, 2], [np.nan, 5]], "f4")]
    optimizer = optim.SGD(model.parameters(), 0.1)
    trainer = Trainer(model, optimizer, batches, regression, folder=tmp_path, save_every=1, progress=False)
    with pytest.raises(FloatingPointError, match="update 2"):
        trainer.fit(updates=2)
    with pytest.raises(
        FloatingPointError, match=r"running_mean has NaN .*nothing is saved; the last checkpoint is unto"
    ):
        trainer.save()
    trainer.resume()
    assert np.isfinite(model[1].running_mean.numpy()).all()
