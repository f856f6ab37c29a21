"""A part of a checkpoint that is not saved or not restored is caught: the resumed run has other bits."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from minigrad import nn, optim
from minigrad_rnn import TeacherForcing, linear_schedule
from minigrad_rnn.training import Trainer, checkpoint_file
from minigrad_rnn.training.batch_reader import BatchReader
from minigrad_rnn.training.generator_states import generators_of
from tests.support.small_runs import content, small_run

Plant = Callable[[pytest.MonkeyPatch], None]


def evaluate(model: Any) -> float:
    return float(nn.default_generator().random())


def forgets(target: Any, name: str) -> Plant:
    """What restores a part does nothing."""
    return lambda monkeypatch: monkeypatch.setattr(target, name, lambda *arguments, **options: None)


def forgets_where_it_reads(monkeypatch: pytest.MonkeyPatch) -> None:
    def load_state_dict(self: Any, state: Any, *, check_data: bool) -> None:
        self.epochs, self.batch = state["epochs"], state["batch"]

    monkeypatch.setattr(BatchReader, "load_state_dict", load_state_dict)


def forgets_the_state(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checkpoint_file, "from_plain", lambda plain, backend: None)


FAULTS: dict[str, Plant] = {
    "weights": forgets(nn.Module, "load_state_dict"),
    "optimizer": forgets(optim.Optimizer, "load_state_dict"),
    "generators": forgets(checkpoint_file, "load_states"),
    "position": forgets_where_it_reads,
    "carried state": forgets_the_state,
}


def resumed(folder: Path) -> dict[str, Any]:
    run = small_run(folder, evaluate=evaluate, evaluate_every=3)
    run.resume()
    run.fit(updates=5)
    return content(run)


@pytest.fixture
def stopped(tmp_path: Path) -> Path:
    run = small_run(tmp_path, evaluate=evaluate, evaluate_every=3, save_every=2)
    run.after_update = lambda trainer: trainer.stop() if trainer.updates == 2 else None
    run.fit(updates=5)
    return tmp_path


def test_without_a_fault_the_bits_are_the_same(stopped: Path) -> None:
    whole = small_run(evaluate=evaluate, evaluate_every=3)
    whole.fit(updates=5)
    for part in ("weights", "optimizer", "generators", "reader", "state"):
        assert resumed(stopped)[part] == content(whole)[part]


@pytest.mark.parametrize("fault", FAULTS)
def test_a_planted_fault_is_caught(fault: str, stopped: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = small_run(evaluate=evaluate, evaluate_every=3)
    whole.fit(updates=5)
    FAULTS[fault](monkeypatch)
    assert resumed(stopped)["weights"] != content(whole)["weights"]


def test_generators_are_found_wherever_a_model_has_them() -> None:
    one, two, three, four = (np.random.default_rng(k) for k in range(4))
    model = nn.Sequential(nn.Linear(1, 1), nn.Dropout(0.1, rng=one))
    model.forcing = TeacherForcing(linear_schedule(), two)  # type: ignore[assignment]
    model.others = {"a": [three, one]}  # type: ignore[assignment]
    assert generators_of(model, [four, one]) == [nn.default_generator(), two, three, one, four]


def test_every_kind_of_generator_is_saved(tmp_path: Path) -> None:
    kinds = (np.random.PCG64, np.random.PCG64DXSM, np.random.MT19937, np.random.Philox, np.random.SFC64)

    def run() -> Trainer:
        return small_run(generators=[np.random.Generator(kind(7)) for kind in kinds])

    first, second = run(), run()
    for generator in first.generators:
        generator.integers(9, size=3, dtype="uint32")  # half of a draw is kept
    first.fit(updates=1)
    second.resume(first.save(tmp_path / "a.npz"))
    for mine, theirs in zip(first.generators[1:], second.generators[1:]):  # the library's own is the same one
        np.testing.assert_array_equal(*(rng.integers(2**31, size=3, dtype="uint32") for rng in (mine, theirs)))
