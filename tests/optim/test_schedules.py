"""Learning-rate schedules: the same numbers as PyTorch's for hundreds of steps, resumed exactly, refused by name."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import minigrad as mg
from minigrad import optim
from minigrad.optim import (
    SGD,
    Adam,
    ConstantLR,
    CosineAnnealingLR,
    ExponentialLR,
    LambdaLR,
    LinearLR,
    LRScheduler,
    MultiStepLR,
    OneCycleLR,
    Optimizer,
    ReduceLROnPlateau,
    SequentialLR,
    StepLR,
)

CASES: list[tuple[type[LRScheduler], dict[str, Any]]] = [
    (LambdaLR, {"lr_lambda": lambda step: 0.95**step}),
    (LambdaLR, {"lr_lambda": [lambda step: 0.95**step, lambda step: 1 / (1 + step)]}),
    (StepLR, {"step_size": 30, "gamma": 0.3}),
    (MultiStepLR, {"milestones": [3, 3, 80, 200]}),
    (ExponentialLR, {"gamma": 0.99}),
    (ConstantLR, {"factor": 0.3, "total_iters": 7}),
    (LinearLR, {}),
    (LinearLR, {"start_factor": 0.01, "end_factor": 0.7, "total_iters": 50}),
    (CosineAnnealingLR, {"T_max": 70, "eta_min": 1e-3}),
    (CosineAnnealingLR, {"T_max": 1}),
    (OneCycleLR, {"max_lr": 0.3, "total_steps": 301}),
    (OneCycleLR, {"max_lr": [0.3, 0.4], "epochs": 43, "steps_per_epoch": 7, "three_phase": True, "pct_start": 0.25,
                  "anneal_strategy": "linear", "base_momentum": [0.8, 0.7], "max_momentum": 0.9}),
    (OneCycleLR, {"max_lr": 0.3, "total_steps": 301, "cycle_momentum": False, "pct_start": 1.0, "div_factor": 2.0}),
]  # fmt: skip
cases = pytest.mark.parametrize(("kind", "options"), CASES, ids=lambda v: v.__name__ if isinstance(v, type) else None)


def optimizer(kind: type[Optimizer] = Adam) -> Optimizer:
    """One with two groups, of which the second has another learning rate."""
    momentum = {"momentum": 0.5} if kind is SGD else {}
    groups = [{"params": [mg.Parameter([1.0])]}, {"params": [mg.Parameter([1.0])], "lr": 0.5}]
    return kind(groups, lr=0.1, **momentum)


def torchs(torch: Any, kind: type[Optimizer] = Adam) -> Any:
    momentum = {"momentum": 0.5} if kind is SGD else {}
    groups = [{"params": [torch.ones(1)]}, {"params": [torch.ones(1)], "lr": 0.5}]
    return getattr(torch.optim, kind.__name__)(groups, lr=0.1, **momentum)


def settings(optimizer: Any) -> list[dict[str, Any]]:
    """What schedules may change."""
    names = ("lr", "betas", "momentum")
    return [{name: group[name] for name in names if name in group} for group in optimizer.param_groups]


def theirs(torch: Any, other: Any, kind: type[LRScheduler], options: dict[str, Any]) -> Any:
    return getattr(torch.optim.lr_scheduler, kind.__name__)(other, **options)


@pytest.mark.parametrize("by", [SGD, Adam])
@cases
def test_rates_are_torchs_to_the_bit(kind: type[LRScheduler], options: dict[str, Any], by: type[Optimizer]) -> None:
    torch = pytest.importorskip("torch")
    ours, other = optimizer(by), torchs(torch, by)
    schedule, their_schedule = kind(ours, **options), theirs(torch, other, kind, options)
    for t in range(301):
        assert settings(ours) == settings(other), t
        assert schedule.get_last_lr() == their_schedule.get_last_lr()
        if t == 100 and kind not in (LambdaLR, OneCycleLR):  # a rate that somebody changed is carried on
            ours.param_groups[0]["lr"] *= 3
            other.param_groups[0]["lr"] *= 3
        if t < 300:
            other.step()
            schedule.step()
            their_schedule.step()


def test_a_wrong_formula_would_be_noticed() -> None:
    class Late(StepLR):
        def get_lr(self) -> list[float]:
            self.last_epoch -= 1
            try:
                return super().get_lr()
            finally:
                self.last_epoch += 1

    Late.__name__ = "StepLR"
    with pytest.raises(AssertionError):
        test_rates_are_torchs_to_the_bit(Late, {"step_size": 30}, SGD)


@pytest.mark.parametrize("first", [0, 1])
def test_a_sequence_is_torchs(first: int) -> None:
    torch = pytest.importorskip("torch")
    ours, other = optimizer(), torchs(torch)
    parts = [(LinearLR, {"total_iters": 9}), (CosineAnnealingLR, {"T_max": 60}), (StepLR, {"step_size": 11})][first:]
    milestones = [10, 70][first:]
    schedule = SequentialLR(ours, [kind(ours, **o) for kind, o in parts], milestones)
    other_parts = [theirs(torch, other, kind, o) for kind, o in parts]
    their_schedule = torch.optim.lr_scheduler.SequentialLR(other, other_parts, milestones)
    for t in range(200):
        assert settings(ours) == settings(other), t
        assert schedule.get_last_lr() == their_schedule.get_last_lr()
        other.step()
        schedule.step()
        their_schedule.step()


def test_sequences_nest_and_two_schedules_may_act_at_once() -> None:
    ours, twin = optimizer(), optimizer()
    inner = SequentialLR(ours, [ConstantLR(ours, 0.5, 9), ExponentialLR(ours, 0.5)], [2])
    outer = SequentialLR(ours, [LinearLR(ours, 0.5, total_iters=2), inner], [3])
    rates = [outer.get_last_lr()[0]]
    for _ in range(7):
        outer.step()
        rates.append(outer.get_last_lr()[0])
    np.testing.assert_allclose(rates, [0.05, 0.075, 0.1, 0.05, 0.05, 0.1, 0.05, 0.025], rtol=1e-14)
    both = [ExponentialLR(twin, 0.5), StepLR(twin, 2)]
    for _ in range(2):
        for schedule in both:
            schedule.step()
    np.testing.assert_allclose([group["lr"] for group in twin.param_groups], [0.0025, 0.0125], rtol=1e-14)


PLATEAUS: list[dict[str, Any]] = [
    {"patience": 3},
    {"patience": 2, "cooldown": 4, "factor": 0.5, "threshold": 0.1, "threshold_mode": "abs"},
    {"mode": "max", "patience": 0, "min_lr": [0.01, 0.2]},
    {"mode": "max", "patience": 2, "threshold_mode": "abs", "threshold": 0.0, "eps": 0.01},
]


@pytest.mark.parametrize("options", PLATEAUS)
def test_plateaus_are_torchs(options: dict[str, Any]) -> None:
    torch = pytest.importorskip("torch")
    ours, other = optimizer(), torchs(torch)
    schedule, their_schedule = ReduceLROnPlateau(ours, **options), theirs(torch, other, ReduceLROnPlateau, options)
    rng = np.random.default_rng(0)
    for t in range(300):
        metric = math.nan if t % 50 == 7 else float(np.exp(-t / 60) + rng.normal(0, 0.2))
        schedule.step(mg.tensor(metric, dtype="float64") if t % 3 == 0 else metric)
        their_schedule.step(metric)
        assert settings(ours) == settings(other), t
        assert schedule.get_last_lr() == their_schedule.get_last_lr()
        names = ("best", "num_bad_epochs", "cooldown_counter", "last_epoch")
        assert [getattr(schedule, n) for n in names] == [getattr(their_schedule, n) for n in names]
    assert ours.param_groups[0]["lr"] < 0.1


# Save and load


def sequence(by: Optimizer) -> SequentialLR:
    return SequentialLR(by, [LinearLR(by, total_iters=4), OneCycleLR(by, 0.3, 40)], [5])


ALL = [
    *((kind.__name__, lambda by, kind=kind, o=o: kind(by, **o)) for kind, o in CASES),
    ("SequentialLR", sequence),
    ("ReduceLROnPlateau", lambda by: ReduceLROnPlateau(by, patience=1, cooldown=2)),
]


def step(schedule: LRScheduler, t: int) -> None:
    schedule.step(*([math.sin(t)] if isinstance(schedule, ReduceLROnPlateau) else []))


@pytest.mark.parametrize("order", ["optimizer first", "schedule first", "schedule made last"])
@pytest.mark.parametrize(("name", "make"), ALL, ids=lambda v: v if isinstance(v, str) else None)
def test_a_resumed_run_has_the_same_rates(name: str, make: Any, order: str, tmp_path: Path) -> None:
    ours = optimizer()
    schedule = make(ours)
    for t in range(13):
        step(schedule, t)
    ours.param_groups[0]["lr"] *= 0.9  # by hand
    assert json.loads(json.dumps(schedule.state_dict(), allow_nan=False)) == schedule.state_dict()
    mg.save(tmp_path / "schedule.npz", schedule.state_dict())
    mg.save(tmp_path / "optimizer.npz", ours.state_dict())
    twin = optimizer()
    if order == "schedule made last":
        twin.load_state_dict(mg.load(tmp_path / "optimizer.npz"))
    resumed = make(twin)
    files = [(resumed, "schedule.npz"), (twin, "optimizer.npz")]
    for what, file in files if order == "schedule first" else reversed(files):
        what.load_state_dict(mg.load(tmp_path / file))
    assert twin.state_dict()["param_groups"] == ours.state_dict()["param_groups"]
    for t in range(13, 40):
        assert settings(twin) == settings(ours)
        assert resumed.state_dict() == schedule.state_dict()
        step(schedule, t)
        step(resumed, t)


def test_a_saved_state_brings_its_options() -> None:
    saved = StepLR(optimizer(), 7, 0.3).state_dict()
    other = StepLR(optimizer(), 5)
    other.load_state_dict(saved)
    assert (other.step_size, other.gamma) == (7, 0.3)
    assert repr(other) == "StepLR(step_size=7, gamma=0.3, last_epoch=0, lr=[0.1, 0.5])"


def test_numpys_numbers_become_pythons() -> None:
    state = MultiStepLR(optimizer(), (np.int64(3), 4), np.float32(0.5)).state_dict()
    assert json.loads(json.dumps(state)) == state
    assert (state["milestones"], state["gamma"]) == ([3, 4], 0.5)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"last_epoch": -1}, "last_epoch: got -1, want a whole number of at least 0"),
        ({"last_epoch": 1.5}, "last_epoch: got 1.5"),
        ({"lrs": [0.1]}, "lrs: got 1 of them, want 2 learning rates, one for each group"),
        ({"base_lrs": [0.1, "a"]}, "base_lrs: got list, want 2 learning rates"),
        ({"step_size": 0}, "StepLR: step_size: got 0, want a whole number of at least 1"),
        ({"gamma": "x"}, "StepLR: gamma: got 'x', want a number above 0"),
        ({"other": 1}, r"got \['base_lrs', 'gamma', 'last_epoch', 'lrs', 'other', 'step_size'\], want \['base_lrs'"),
    ],
)
def test_a_wrong_state_changes_nothing(change: dict[str, Any], message: str) -> None:
    ours = optimizer()
    schedule = StepLR(ours, 2)
    for _ in range(3):
        schedule.step()
    before = schedule.state_dict(), settings(ours)
    with pytest.raises((ValueError, TypeError), match=message):
        schedule.load_state_dict({**StepLR(optimizer(), 9).state_dict(), **change})
    assert (schedule.state_dict(), settings(ours)) == before


def test_a_wrong_part_of_a_sequence_changes_nothing() -> None:
    ours = optimizer()
    schedule = sequence(ours)
    for _ in range(9):
        schedule.step()
    before = schedule.state_dict(), settings(ours)
    for spoil, message in (
        (lambda s: s["schedulers"].pop(), "schedulers: got 1, want the states of 2 schedules"),
        (lambda s: s["schedulers"][1].update(last_epoch=41), "last_epoch: got 41, want at most 40, its total_steps"),
        (lambda s: s.update(milestones=[1, 2]), r"SequentialLR: milestones: got \[1, 2\], want 1 in ascending order"),
        (lambda s: s.update(last_epoch=-3), "SequentialLR.load_state_dict: state_dict: last_epoch: got -3"),
    ):
        state = sequence(optimizer()).state_dict()
        spoil(state)
        with pytest.raises(ValueError, match=message):
            schedule.load_state_dict(state)
        assert (schedule.state_dict(), settings(ours)) == before


# Errors


def test_a_function_that_fails_leaves_everything_as_it_was() -> None:
    ours = optimizer()
    results = iter([1.0, 1.0, 0.5, 0.5])
    schedule = LambdaLR(ours, lambda t: next(results))
    schedule.step()
    for function, error in ((lambda t: 1 / 0, ZeroDivisionError), (lambda t: -1.0, ValueError)):
        schedule.lr_lambdas = function
        with pytest.raises(error):
            schedule.step()
        assert (schedule.last_epoch, [group["lr"] for group in ours.param_groups]) == (1, [0.05, 0.25])


def test_a_cycle_ends() -> None:
    schedule = OneCycleLR(optimizer(), 1.0, 10)
    rates = []
    for _ in range(10):
        rates.append(schedule.get_last_lr()[0])
        schedule.step()
    assert schedule.get_last_lr()[0] == rates[-1] == 1 / 25 / 1e4
    with pytest.raises(ValueError, match=r"OneCycleLR\.step: got step 11, want at most 10 in all"):
        schedule.step()
    assert schedule.last_epoch == 10
    assert [len(OneCycleLR(optimizer(), 1.0, n, pct_start=0.5).get_last_lr()) for n in (1, 2, 3)] == [2, 2, 2]


def test_a_group_that_was_added_since() -> None:
    ours = optimizer()
    schedule = StepLR(ours, 2)
    ours.add_param_group({"params": [mg.Parameter([1.0])]})
    with pytest.raises(ValueError, match=r"StepLR\.step: the optimizer has 3 groups, want 2 as when the schedule was"):
        schedule.step()


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: StepLR(mg.nn.Linear(1, 1), 3), "StepLR: optimizer: got minigrad.nn.layers.Linear, want an optimizer"),
        (lambda: StepLR(optimizer(), 0), "StepLR: step_size: got 0"),
        (lambda: StepLR(optimizer(), 2, -0.5), r"StepLR: gamma: got -0\.5, want a number above 0"),
        (lambda: LambdaLR(optimizer(), [math.cos] * 3), "lr_lambda: got 3 functions, want 2, one for each group"),
        (lambda: LambdaLR(optimizer(), 0.5), "LambdaLR: lr_lambda: got float, want a function"),
        (lambda: MultiStepLR(optimizer(), [3, -1]), r"milestones\[1\]: got -1, want a whole number of at least 0"),
        (lambda: MultiStepLR(optimizer(), 3), "milestones: got int, want a list of whole numbers"),
        (lambda: ConstantLR(optimizer(), 0), r"factor: got 0, want a number in \(0, 1\]"),
        (lambda: LinearLR(optimizer(), end_factor=2), r"end_factor: got 2, want a number in \[0, 1\]"),
        (lambda: OneCycleLR(optimizer(), 0.1), "got none, want total_steps, or both epochs and steps_per_epoch"),
        (lambda: OneCycleLR(optimizer(), 0.1, 5, epochs=2), "got total_steps, epochs, want total_steps, or both"),
        (lambda: OneCycleLR(optimizer(), [0.1], 5), "max_lr: got 1 numbers, want 2, one for each group"),
        (lambda: OneCycleLR(optimizer(), 0.1, 5, max_momentum=1), r"max_momentum: got 1, want a number in \[0, 1\)"),
        (lambda: OneCycleLR(optim.Adagrad([mg.Parameter([1.0])]), 0.1, 5), "cycle_momentum: got True for Adagrad"),
        (lambda: SequentialLR(optimizer(), [], []), "schedulers: got none, want at least one"),
        (lambda: SequentialLR(ours := optimizer(), [ReduceLROnPlateau(ours)], []), r"schedulers\[0\]: got minigrad.op"),
        (lambda: SequentialLR(optimizer(), [StepLR(optimizer(), 2)], []), "got one of another optimizer, want all of"),
        (lambda: ReduceLROnPlateau(optimizer(), "minimum"), "mode: got 'minimum', want one of"),
        (lambda: ReduceLROnPlateau(optimizer(), factor=1.0), r"factor: got 1\.0, want a number in \(0, 1\)"),
        (lambda: ReduceLROnPlateau(optimizer()).step("good"), "ReduceLROnPlateau.step: metrics: got 'good', want a nu"),
    ],
)  # fmt: skip
def test_arguments_are_named(make: Any, message: str) -> None:
    with pytest.raises((TypeError, ValueError), match=message):
        make()
