"""How a run ends: its patience, a signal, NaN, a full disk; and what is left then."""

from __future__ import annotations

import errno
import json
import math
import os
import signal
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import minigrad as mg
from minigrad import nn, optim
from minigrad.serialize import atomic_files
from minigrad_rnn.training import Trainer, load_weights
from tests.conftest import TestedBackend
from tests.support.small_runs import content, divergence, small_run


def test_the_patience_ends_a_run_and_is_resumed(tmp_path: Path) -> None:
    """The third evaluation is the best; two more that are no better end the run, one of them before the stop."""
    numbers = [5.0, math.nan, 1.0, 1.0, 2.0, 0.0]

    def at_update(trainer: Any) -> Any:
        return lambda model: numbers[trainer[0].updates // 2 - 1]

    def run(**options: Any) -> Trainer:
        held: list[Trainer] = []
        trainer = small_run(tmp_path, evaluate=at_update(held), evaluate_every=2, patience=2, **options)
        held.append(trainer)
        return trainer

    first = run(after_update=lambda t: os.kill(os.getpid(), signal.SIGINT) if t.updates == 8 else None)
    first.fit(updates=100)
    assert (first.signal, first.updates, first.evaluations.without_better) == (signal.SIGINT, 8, 1)
    second = run()
    second.resume()
    second.fit(updates=100)
    assert (second.signal, second.updates) == (None, 10)
    assert second.best == {"update": 6, "value": 1.0, "evaluation": 1.0}
    lines = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    assert [line["evaluation"] for line in lines if "evaluation" in line] == [5.0, None, 1.0, 1.0, 2.0]
    best, _ = load_weights(tmp_path / "best.npz")
    second.load_best()
    for name, array in second.model.state_dict().items():
        np.testing.assert_array_equal(array, best[name])


def test_larger_may_be_better() -> None:
    values = iter([1.0, 3.0, 2.0])
    run = small_run(evaluate=lambda model: next(values), lower_is_better=False)
    run.fit(epochs=3)
    assert run.best is not None
    assert run.best["value"] == 3.0
    after = run.model.state_dict()
    run.load_best()
    assert any((array != after[name]).any() for name, array in run.model.state_dict().items())


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_saves_and_says_how_to_continue(
    number: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = signal.getsignal(number)
    options = {"after_update": lambda t: os.kill(os.getpid(), number) if t.updates == 2 else None, "progress": True}
    run = small_run(tmp_path, resume_command="python run.py --resume", **options)
    run.fit(updates=9)
    assert (run.signal, run.updates, signal.getsignal(number)) == (number, 2, before)
    said = capsys.readouterr().out
    assert f"stopped by {signal.Signals(number).name} after update 2; everything is saved in {tmp_path}" in said
    assert said.endswith("To continue:\n  python run.py --resume\n")
    small_run(**options).fit(updates=9)
    assert "nothing is saved, since the run has no folder" in capsys.readouterr().out


def test_a_second_signal_stops_at_once(tmp_path: Path) -> None:
    def twice(model: Any, batch: Any, state: Any) -> Any:
        if run.updates == 4:
            os.kill(os.getpid(), signal.SIGINT)
            os.kill(os.getpid(), signal.SIGINT)
        return divergence(model, batch, state)

    run = small_run(tmp_path, divergence=twice, save_every=3)
    with pytest.raises(KeyboardInterrupt):
        run.fit(updates=9)
    other = small_run(tmp_path)
    other.resume()
    assert other.updates == 3


def test_stop_ends_a_run_as_its_budget_would() -> None:
    run = small_run(after_update=lambda t: t.stop() if t.updates == 2 else None, evaluate=lambda model: 1.0)
    run.fit(updates=9)
    assert (run.updates, run.signal, run.history[-1]["evaluation"]) == (2, None, 1.0)
    run.fit(updates=4)
    assert run.updates == 4


# What is not a number


def test_a_loss_that_is_nan_names_the_update_and_spoils_nothing(tmp_path: Path) -> None:
    def spoilt(model: Any, batch: Any, state: Any) -> Any:
        loss, state = divergence(model, batch, state)
        return (loss * math.nan if run.updates == 4 else loss), state

    run = small_run(tmp_path, divergence=spoilt, save_every=2)
    with pytest.raises(FloatingPointError, match=r"update 5: the loss is nan and .* untouched: .*checkpoint\.npz"):
        run.fit(updates=9)
    assert all(np.isfinite(array).all() for array in run.model.state_dict().values())
    whole, resumed = small_run(), small_run(tmp_path)
    resumed.resume()
    assert resumed.updates == 4
    resumed.fit(updates=9)
    whole.fit(updates=9)
    assert content(resumed) == content(whole)


def test_on_a_device_it_is_noticed_at_the_next_report(xp: TestedBackend) -> None:
    model = nn.Linear(2, 1, rng=0).to(xp.name)
    batches = [xp.array(np.full((3, 2), k, np.float32)) for k in (1.0, math.inf, 1.0)]
    trainer = Trainer(
        model, optim.SGD(model.parameters(), 0.1), batches, lambda m, x: m(x).sum(), report_every=3, progress=False
    )
    with pytest.raises(FloatingPointError, match="update 2: the loss is "):
        trainer.fit(updates=3)


def test_weights_that_are_not_finite_are_not_saved(tmp_path: Path) -> None:
    run = small_run(tmp_path)
    run.fit(updates=2)
    with mg.no_grad():
        run.model.readout.bias -= math.inf
    before = (tmp_path / "checkpoint.npz").read_bytes()
    with pytest.raises(FloatingPointError, match=r"update 2: readout.bias has NaN or infinite entries"):
        run.save()
    assert (tmp_path / "checkpoint.npz").read_bytes() == before


@pytest.mark.parametrize("in_a_folder", [True, False])
def test_weights_that_are_not_finite_are_never_the_best(in_a_folder: bool, tmp_path: Path) -> None:
    """The better number comes from weights that a step has spoilt, as an accuracy of NaN may be."""
    values = iter([3.0, 1.0])

    def spoil(trainer: Trainer) -> None:
        if trainer.updates == 2:
            with mg.no_grad():
                trainer.model.readout.bias -= math.inf

    folder = tmp_path if in_a_folder else None
    run = small_run(folder, evaluate=lambda model: next(values), evaluate_every=1, after_update=spoil)
    with pytest.raises(FloatingPointError, match=r"update 2: readout.bias has NaN or infinite entries"):
        run.fit(updates=4)
    assert run.best == {"update": 1, "value": 3.0, "evaluation": 3.0}
    run.load_best()
    assert all(np.isfinite(array).all() for array in run.model.state_dict().values())


@pytest.mark.parametrize(("values", "best"), [([math.nan] * 3, None), ([math.nan, 2.0, math.nan], 2.0)])
def test_nan_is_never_the_best(values: list[float], best: float | None, tmp_path: Path) -> None:
    def run() -> Trainer:
        numbers = iter(values)
        options: dict[str, Any] = {"make_schedule": lambda by: optim.ReduceLROnPlateau(by, patience=0)}
        return small_run(tmp_path, evaluate=lambda model: next(numbers), evaluate_every=1, **options)

    first, again = run(), run()
    first.fit(updates=3)
    again.resume()
    for trainer in (first, again):
        if best is None:
            assert trainer.best is None
            with pytest.raises(ValueError, match=r"Trainer\.load_best: no evaluation gave a number"):
                trainer.load_best()
        else:
            assert trainer.best == {"update": 2, "value": best, "evaluation": best}
            trainer.load_best()
    assert (tmp_path / "best.npz").exists() == (best is not None)


# A full disk


@pytest.mark.parametrize("call", range(1, 8))
def test_a_full_disk_loses_nothing(call: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each write in turn meets a full disk: of metrics.jsonl, best.npz and the checkpoint; fit goes on afterwards."""
    options: dict[str, Any] = {"evaluate": lambda model: -len(model.state_dict()), "evaluate_every": 3, "save_every": 3}
    whole = small_run(**{**options, "save_every": None})
    whole.fit(updates=6)
    run, calls, sync = small_run(tmp_path, **options), [0], os.fsync

    def full(descriptor: int) -> None:
        calls[0] += 1
        if calls[0] == call:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        sync(descriptor)

    monkeypatch.setattr(atomic_files.os, "fsync", full)
    try:
        run.fit(updates=6)
    except OSError as error:
        assert "No space left" in str(error)  # noqa: PT017
        assert not [name for name in os.listdir(tmp_path) if name.endswith(".tmp")]
    run.fit(updates=6)
    assert content(run) == content(whole)
    lines = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    assert lines == run.history
    other = small_run(tmp_path, **options)
    other.resume()
    assert content(other) == content(run)


def test_a_half_written_line_is_taken_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = small_run(tmp_path)
    run.fit(updates=3)
    before = (tmp_path / "metrics.jsonl").read_bytes()
    import minigrad_rnn.training.metrics_file as module

    class Full:
        """A file that takes ten bytes."""

        def __init__(self, *arguments: Any, **options: Any) -> None:
            self.file = open(*arguments, **options)  # noqa: SIM115

        def __enter__(self) -> Full:
            return self

        def __exit__(self, *error: object) -> None:
            self.file.close()

        def __getattr__(self, name: str) -> Any:
            return getattr(self.file, name)

        def write(self, content: bytes) -> int:
            return int(self.file.write(content[:10]))

    monkeypatch.setattr(module, "open", Full, raising=False)
    with pytest.raises(OSError, match="no line was written"):
        run.fit(updates=6)
    assert (tmp_path / "metrics.jsonl").read_bytes() == before
    monkeypatch.undo()
    run.fit(updates=9)
    assert [json.loads(line)["update"] for line in (tmp_path / "metrics.jsonl").read_text().splitlines()] == [3, 6, 9]
