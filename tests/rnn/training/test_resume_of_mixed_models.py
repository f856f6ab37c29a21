"""Resumed runs of models with buffers, averages, frozen parameters and two dtypes; of short streams and odd groups."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import minigrad as mg
from minigrad import losses, nn, optim
from minigrad.nn import module_state
from minigrad_rnn.data import Batches
from minigrad_rnn.text.streams import Streams
from minigrad_rnn.training import Trainer, checkpoint_file
from tests.support.small_runs import content, small_run

XS = np.random.default_rng(0).standard_normal((22, 3)).astype("float32")
YS = XS.sum(1, keepdims=True)
UPDATES = 11


class Mixed(nn.Module):
    """Half precision below single precision, a frozen layer between, two batch normalisations and dropout."""

    def __init__(self) -> None:
        super().__init__()
        self.below = nn.Linear(3, 6, rng=0, dtype="float16")
        self.norm = nn.BatchNorm1d(6, dtype="float16")
        self.frozen = nn.Linear(6, 6, rng=1).requires_grad_(False)
        self.wide_norm = nn.BatchNorm1d(6)
        self.drop = nn.Dropout(0.2, rng=5)
        self.readout = nn.Linear(6, 1, rng=2)

    def forward(self, xs: Any) -> mg.Tensor:
        ys = self.norm(self.below(xs.astype("float16"))).astype("float32")
        out: mg.Tensor = self.readout(self.drop(mg.tanh(self.wide_norm(self.frozen(ys)))))
        return out


def error(model: Any, batch: Any) -> mg.Tensor:
    return losses.mse(model(batch[0]), batch[1])


def score(model: Any) -> float:
    return float(model.readout.bias.numpy().sum()) + float(model.norm.running_mean.numpy().sum())


def mixed_run(
    folder: Path | None = None, optimizer: Any = None, batches: Any = None, after: Any = None, **options: Any
) -> Trainer:
    """A trainer of a new `Mixed`, whose weights are averaged; the epoch has 5 batches, the last one of 2 examples."""
    mg.manual_seed(1)
    model = Mixed()
    made = (optimizer or OPTIMIZERS["NAdam"])(list(model.parameters()))
    stream = Batches((XS, YS), 5, seed=2) if batches is None else batches()
    options = {"ema": optim.EMA(model, 0.9), "clip_norm": 0.5, "evaluate": score, "evaluate_every": 2, **options}
    trainer = Trainer(model, made, stream, error, folder=folder, report_every=3, progress=False, **options)
    trainer.after_update = after
    trainer.plot = lambda path: None  # type: ignore[method-assign]
    return trainer


# An eps of 1e-8 is 0 in float16.
OPTIMIZERS: dict[str, Callable[[Any], optim.Optimizer]] = {
    "NAdam": lambda p: optim.NAdam(p, 0.01, eps=1e-3),
    "Adam": lambda p: optim.Adam(p, 0.01, eps=1e-3, amsgrad=True),
    "RMSprop": lambda p: optim.RMSprop(p, 0.01, eps=1e-3, centered=True, momentum=0.5),
}


def everything(trainer: Trainer) -> dict[str, Any]:
    """What must be bitwise the same, the averages and what is frozen too."""
    average = trainer.ema.state_dict()
    arrays = {name: (array.dtype, array.tobytes()) for name, array in average["average"].items()}
    frozen = module_state.frozen_names(trainer.model)
    return {**content(trainer), "average": (average["updates"], arrays), "frozen": frozen}


def stopped_at(update: int, also: Any = None) -> Any:
    """An `after_update` that asks to stop, as Ctrl-C does."""

    def after(trainer: Trainer) -> None:
        if also is not None:
            also(trainer)
        if trainer.updates == update:
            os.kill(os.getpid(), signal.SIGTERM)

    return after


def resumed(folder: Path, stop: int, also: Any = None, **options: Any) -> Trainer:
    """A run that was stopped after an update, and continued by a new trainer."""
    first = mixed_run(folder, after=stopped_at(stop, also), **options)
    first.fit(updates=UPDATES)
    assert (first.updates, first.signal) == (stop, signal.SIGTERM)
    run = mixed_run(folder, after=also, **options)
    run.resume()
    run.fit(updates=UPDATES)
    return run


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_two_dtypes_buffers_averages_and_a_frozen_layer(optimizer: str, tmp_path: Path) -> None:
    options: dict[str, Any] = {"optimizer": OPTIMIZERS[optimizer]}
    whole = mixed_run(**options)
    before = whole.model.frozen.weight.numpy().copy()
    whole.fit(updates=UPDATES)
    want = everything(whole)
    assert [p.dtype for p in whole.model.below.parameters()] == [np.dtype("float16")] * 2
    assert want["frozen"] == ["frozen.weight", "frozen.bias"]
    np.testing.assert_array_equal(whole.model.frozen.weight.numpy(), before)
    for stop in (1, 4, 7):
        assert everything(resumed(tmp_path / str(stop), stop, **options)) == want


STREAMS: dict[str, Callable[[], Any]] = {
    "a list": lambda: [(XS, YS)],
    "a shuffled one": lambda: Batches((XS, YS), 22, seed=2),
    "a batch_size above the data's": lambda: Batches((XS, YS), 64),
    "five": lambda: Batches((XS, YS), 5, seed=2),
    "a list of five": lambda: list(Batches((XS, YS), 5)),
}


@pytest.mark.parametrize("stream", STREAMS)
@pytest.mark.parametrize("accumulate", [1, 2, 7])
def test_streams_of_one_batch_and_groups_that_do_not_divide_them(stream: str, accumulate: int, tmp_path: Path) -> None:
    options: dict[str, Any] = {"batches": STREAMS[stream], "accumulate": accumulate, "evaluate_every": None}
    whole = mixed_run(**options)
    whole.fit(updates=UPDATES)
    of_an_epoch = -(-(5 if "five" in stream else 1) // accumulate)  # an epoch's last group may be smaller
    epochs = [line["epoch"] for line in whole.history if "evaluation" in line]
    assert epochs[: UPDATES // of_an_epoch] == list(range(1, UPDATES // of_an_epoch + 1))
    for stop in (2, 3):
        assert everything(resumed(tmp_path / str(stop), stop, **options)) == everything(whole)


def test_a_stream_of_one_chunk_starts_each_update_anew(tmp_path: Path) -> None:
    def run(folder: Path | None = None) -> Trainer:
        return small_run(folder, batches=Streams(np.arange(9) % 5, 2, 10), save_every=None if folder is None else 1)

    whole = run()
    whole.fit(epochs=4)
    assert (whole.updates, whole.state) == (4, None)
    run(tmp_path).fit(epochs=2)
    again = run(tmp_path)
    again.resume()
    again.fit(epochs=4)
    assert content(again)["weights"] == content(whole)["weights"]


def test_what_is_unfrozen_on_the_way_is_so_after_resuming(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def unfreeze(trainer: Trainer) -> None:
        if trainer.updates == 3:
            trainer.model.frozen.requires_grad_(True)
            trainer.model.below.requires_grad_(False)

    whole = mixed_run(after=unfreeze)
    whole.fit(updates=UPDATES)
    want = everything(whole)
    assert want["frozen"] == ["below.weight", "below.bias"]
    assert everything(resumed(tmp_path / "a", 6, unfreeze)) == want
    monkeypatch.setattr(checkpoint_file, "freeze_only", lambda model, names: None)  # a planted fault
    assert everything(resumed(tmp_path / "b", 6, unfreeze))["weights"] != want["weights"]


def test_an_error_puts_back_what_is_frozen(tmp_path: Path) -> None:
    mixed_run(tmp_path).fit(updates=2)
    other = mixed_run(batches=lambda: Batches((XS + 1, YS), 5, seed=2))
    other.model.requires_grad_(False)
    other.model.readout.requires_grad_(True)
    before = everything(other)
    with pytest.raises(mg.CheckpointError, match="batches: got other data"):
        other.resume(tmp_path / "checkpoint.npz")
    assert everything(other) == before
    other.fit(updates=1)
