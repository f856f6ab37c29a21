"""What a trainer refuses: arguments that do nothing or are out of range, and checkpoints of other runs."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import minigrad as mg
from minigrad import nn, optim, serialize
from minigrad.serialize import CheckpointError
from minigrad_rnn.text.streams import Streams
from minigrad_rnn.training import Trainer, load_weights
from tests.support.small_runs import IDS, content, divergence, small_run


def evaluate(model: Any) -> float:
    return 1.0


WRONG: list[tuple[dict[str, Any], type[Exception], str]] = [
    ({"clip_norm": 0}, ValueError, "clip_norm: got 0, want a number above 0, or None"),
    ({"accumulate": 0}, ValueError, "accumulate: got 0"),
    ({"report_every": 1.5}, ValueError, "report_every: got 1.5"),
    ({"evaluate": 3}, TypeError, "evaluate: got int, want a function"),
    ({"evaluate_every": 2}, ValueError, "evaluate_every: got 2 and no evaluate"),
    ({"patience": 2}, ValueError, "patience: got 2 and no evaluate"),
    ({"save_every": 2}, ValueError, "save_every: got 2 and no folder"),
    ({"tensorboard": True}, ValueError, "tensorboard: got True and no folder"),
    ({"lower_is_better": 1}, TypeError, "lower_is_better: got 1, want True or False"),
    ({"generators": 5}, TypeError, "generators: got int, want a list of generators"),
    ({"generators": [5]}, TypeError, "generators: got int, want numpy.random.Generators"),
    ({"metadata": {"a": {1}}}, TypeError, "metadata: want what JSON can hold: .*set"),
    ({"metadata": 3}, TypeError, "metadata: got int, want a dictionary"),
    ({"schedule": 0.1}, TypeError, "schedule: got float, want one of minigrad.optim, or a function of the trainer"),
    ({"batches": iter([1])}, TypeError, "batches: got .*, which can be read only once; want a list"),
    ({"batches": 7}, TypeError, "batches: got int, want a stream of batches, or a list of them"),
    ({"divergence": lambda model: 0}, TypeError, r"divergence: got a function of \(model\), want one of"),
    ({"divergence": 0}, TypeError, "divergence: got int, want a function"),
    ({"evaluate": lambda: 1.0}, TypeError, r"evaluate: got a function of \(\), want one of \(model\)"),
    ({"tokens": lambda x, y: 1}, TypeError, r"tokens: got a function of \(x, y\), want one of \(batch\)"),
    ({"after_update": lambda: 1}, TypeError, r"after_update: got a function of \(\), want one of \(trainer\)"),
    ({"folder": 3}, TypeError, "folder: got int, want a path"),
]


@pytest.mark.parametrize(("options", "kind", "message"), WRONG)
def test_an_argument_is_refused_by_name(options: dict[str, Any], kind: type[Exception], message: str) -> None:
    with pytest.raises(kind, match=rf"^Trainer: {message}"):
        small_run(**options)


def test_an_empty_list_and_anothers_parameters_are_refused() -> None:
    model, other = nn.Linear(1, 1), nn.Linear(1, 1)
    with pytest.raises(ValueError, match="Trainer: batches: got none, want at least one batch"):
        Trainer(model, optim.SGD(model.parameters(), 0.1), [], divergence)
    with pytest.raises(ValueError, match="Trainer: optimizer: got a parameter that model does not have"):
        Trainer(model, optim.SGD(other.parameters(), 0.1), [1], divergence)
    with pytest.raises(TypeError, match=r"Trainer: model: got .*, want a module"):
        Trainer(3, optim.SGD(other.parameters(), 0.1), [1], divergence)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="Trainer: optimizer: got "):
        Trainer(model, model.parameters(), [1], divergence)  # type: ignore[arg-type]


RESULTS: list[tuple[Any, str]] = [
    (1.0, "divergence: got float, want a loss, a tensor with one element"),
    (mg.ones(3), r"divergence: got a loss of shape \(3,\), want a scalar"),
    (mg.ones(()), "divergence: got a loss without a graph"),
]


@pytest.mark.parametrize(("result", "message"), RESULTS)
def test_a_divergence_that_returns_something_else(result: Any, message: str) -> None:
    with pytest.raises((TypeError, ValueError), match=f"^Trainer: {message}"):
        small_run(divergence=lambda model, batch: result).fit(updates=1)
    with pytest.raises(TypeError, match=r"^Trainer: divergence: got .*, want the pair \(loss, state\)"):
        small_run(divergence=lambda model, batch, state: result).fit(updates=1)


@pytest.mark.parametrize(
    ("name", "function", "message"),
    [
        ("tokens", lambda batch: 0, "tokens: got 0, want a number above 0"),
        ("schedule", lambda trainer: -1, "schedule: got -1 for a learning rate"),
        ("evaluate", lambda model: {}, "evaluate: got no number"),
        ("evaluate", lambda model: {"loss": 1}, "evaluate: got the name 'loss', which the history has"),
        ("evaluate", lambda model: "good", "evaluate: evaluation: got str, want a number"),
        ("evaluate", lambda model: {3: 1}, "evaluate: got the name 3, want text"),
    ],
)
def test_functions_that_return_something_else(name: str, function: Any, message: str) -> None:
    with pytest.raises((TypeError, ValueError), match=f"^Trainer: {message}"):
        small_run(**{name: function}).fit(epochs=1)


@pytest.mark.parametrize("budget", [{}, {"epochs": -1}, {"updates": 1.5}, {"seconds": "3"}])
def test_a_budget_is_needed(budget: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"^Trainer.fit: (got no budget|epochs: got -1|updates: got 1.5|seconds: got)"):
        small_run().fit(**budget)


# Checkpoints of other runs


def converted(trainer: Trainer, dtype: str) -> Trainer:
    trainer.model.to(dtype=dtype)
    return trainer


OTHERS: dict[str, tuple[Callable[[], Trainer], str]] = {
    "cell": (lambda: small_run(cell="lstm"), r"it is of another model: \(recurrence\): GRU\(.*, and here .*LSTM"),
    "size": (lambda: small_run(hidden_size=4), r"it is of another model: .*GRU\(2, 3.*, and here .*GRU\(2, 4"),
    "optimizer": (lambda: small_run(optimizer=lambda p: optim.SGD(p, 0.1)), "optimizer: got SGD here, want Adam"),
    "clip": (lambda: small_run(clip_norm=3), "clip_norm: got 3.0 here, want 0.2 as in the checkpoint"),
    "accumulate": (lambda: small_run(accumulate=2), "accumulate: got 2 here, want 1 as in the checkpoint"),
    "schedule": (lambda: small_run(schedule=lambda t: 0.1), "schedule: got function here, want None"),
    "layout": (lambda: small_run(batches=Streams(IDS, 5, 4)), "batch_size: got 4, want 5 as here"),
    "other data": (
        lambda: small_run(batches=Streams(IDS[::-1].copy(), 4, 5, rotate=True, seed=3)),
        "batches: got other data than the checkpoint's run was trained on",
    ),
    "order of parameters": (
        lambda: small_run(optimizer=lambda p: optim.Adam(list(p)[::-1], 0.01)),
        "optimizer: parameter 0: got readout.bias here, want embedding.weight as in the checkpoint",
    ),
    "groups": (
        lambda: small_run(optimizer=lambda p: optim.Adam([{"params": [q]} for q in p], 0.01)),
        r"got groups of \[7\] parameters and 7 entries, want groups of \[1, 1, 1, 1, 1, 1, 1\]",
    ),
    "kind of Adam": (lambda: small_run(optimizer=lambda p: optim.AdamW(p, 0.01)), "optimizer: got AdamW here, want Ad"),
    "dtype": (
        lambda: converted(small_run(), "float64"),
        "it is of another model: embedding.weight: got float64 here, want float32 as there",
    ),
    "generators": (lambda: small_run(generators=[np.random.default_rng(1)]), "got the states of 2, want those of 3"),
}


@pytest.mark.parametrize("case", OTHERS)
def test_another_runs_checkpoint_is_refused_and_changes_nothing(case: str, tmp_path: Path) -> None:
    small = small_run()
    small.fit(updates=3)
    path = small.save(tmp_path / "a.npz")
    make, message = OTHERS[case]
    other = make()
    other.fit(updates=2)
    before = content(other)
    with pytest.raises(CheckpointError, match=rf"^{re.escape(path)}: does not fit this run: .*{message}"):
        other.resume(path)
    assert content(other) == before
    other.fit(updates=4)


def sequence(*makes: Any, milestone: int = 4) -> Any:
    return lambda by: optim.SequentialLR(by, [make(by) for make in makes], [milestone])


def cosine(by: optim.Optimizer) -> optim.LRScheduler:
    return optim.CosineAnnealingLR(by, 12)


def steps(by: optim.Optimizer) -> optim.LRScheduler:
    return optim.StepLR(by, 3)


@pytest.mark.parametrize(
    ("saved", "here", "message"),
    [
        (steps, cosine, "schedule: got CosineAnnealingLR here, want StepLR as in the checkpoint"),
        (steps, None, "schedule: got None here, want StepLR as in the checkpoint"),
        (None, steps, "schedule: got StepLR here, want None as in the checkpoint"),
        (sequence(steps, cosine), sequence(steps, steps), "StepLR.load_state_dict: state_dict: got .*T_max"),
    ],
)
def test_another_schedules_checkpoint_is_refused_and_changes_nothing(
    saved: Any, here: Any, message: str, tmp_path: Path
) -> None:
    def run(make: Any) -> Trainer:
        return small_run(tmp_path) if make is None else small_run(tmp_path, make_schedule=make)

    run(saved).fit(updates=5)
    other = run(here)
    before = content(other)
    with pytest.raises(CheckpointError, match=f"does not fit this run: {message}"):
        other.resume()
    assert content(other) == before


def test_other_files_are_refused(tmp_path: Path) -> None:
    run = small_run(tmp_path, evaluate=evaluate)
    run.fit(updates=2)
    arrays, metadata = serialize.load(tmp_path / "checkpoint.npz")
    for name, changes, message in [
        ("kind", {"kind": "char_rnn 1"}, "is a file of something else, want one that a Trainer wrote"),
        (
            "version",
            {"version": 2, "minigrad": "9.0"},
            r"is a checkpoint of version 2 \(minigrad 9.0\), want version 1",
        ),
    ]:
        serialize.save(tmp_path / f"{name}.npz", arrays, {**metadata, **changes})
        for action in (load_weights, run.resume):
            with pytest.raises(CheckpointError, match=message):
                action(tmp_path / f"{name}.npz")
    with pytest.raises(CheckpointError, match=r"weights of the best evaluation only, want a checkpoint\.npz"):
        run.resume(tmp_path / "best.npz")
    with pytest.raises(CheckpointError, match="cannot be read: No such file"):
        run.resume(tmp_path / "none.npz")
    with pytest.raises(ValueError, match="Trainer: folder: got None"):
        small_run().resume()
    with pytest.raises(TypeError, match=r"Trainer\.resume: path: got int"):
        run.resume(3)  # type: ignore[arg-type]


def test_a_state_that_cannot_be_saved_is_named(tmp_path: Path) -> None:
    def odd(model: Any, batch: Any, state: Any) -> Any:
        return divergence(model, batch, None)[0], {"a": object()}

    run = small_run(tmp_path, divergence=odd)
    with pytest.raises(TypeError, match=r"Trainer\.save: state: got object, want tensors, arrays and numbers in"):
        run.fit(updates=2)


def test_an_earlier_runs_files_are_kept_and_two_runs_do_not_mix(tmp_path: Path) -> None:
    options: dict[str, Any] = {"evaluate": evaluate}
    small_run(tmp_path, **options).fit(updates=3)
    files = {name: (tmp_path / name).read_bytes() for name in ("checkpoint.npz", "best.npz", "metrics.jsonl")}
    run = small_run(tmp_path, after_update=lambda t: inner(t), cell="rnn", **options)

    def inner(trainer: Trainer) -> None:
        with pytest.raises(ValueError, match="where another run writes now"):
            small_run(tmp_path).fit(updates=1)

    run.save_every = 1  # also before there is a line in the history
    run.fit(updates=4)
    run.fit(updates=6)
    kept = {"checkpoint.npz": "previous.npz", "best.npz": "previous_best.npz", "metrics.jsonl": "previous.jsonl"}
    for name, previous in kept.items():
        assert (tmp_path / previous).read_bytes() == files[name]
        assert files[name] not in (tmp_path / name).read_bytes()


@pytest.mark.parametrize("below", ["", "run"], ids=["is a file", "is below a file"])
def test_a_folder_that_cannot_be_made_is_told(tmp_path: Path, below: str) -> None:
    (tmp_path / "file").write_text("kept", encoding="utf-8")
    trainer = small_run(tmp_path / "file" / below)
    with pytest.raises(OSError, match=r"Trainer: folder: want a folder that can be written to.*file"):
        trainer.fit(updates=1)
    assert (tmp_path / "file").read_text(encoding="utf-8") == "kept"
    assert trainer.updates == 0
