"""`python -m minigrad_rnn.cuda.tune`: planted costs are recovered, and what cannot be measured is said."""

from __future__ import annotations

import contextlib
import errno
import itertools
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from minigrad.backend import Backend
from minigrad_rnn.cuda import fit, tune
from minigrad_rnn.cuda.costs import DEFAULT, Costs, read_costs
from minigrad_rnn.cuda.fit import FITTED, Sample
from minigrad_rnn.cuda.planner import clocks
from minigrad_rnn.cuda.probe import Probe, wall_clock
from tests.support import cuda_on_gpu
from tests.support.cuda_on_cpu.device import SMALL, Settings, make_backend
from tests.support.cuda_on_cpu.devices import A100, H200, RTX_3060

PLANTED = replace(
    DEFAULT,
    exchange=1450.0,
    tile=610.0,
    latency=820.0,
    cluster=700.0,
    cluster_tile=290.0,
    product=1.7,
    launch=31_000.0,
    library_product=2.4,
)
ON_OLDER = tuple(name for name in FITTED if not name.startswith("cluster"))


def planted_clock(device: Any, costs: Costs, noise: float = 0.0) -> Callable[[tune.Trial], float]:
    """Return what measures a trial as if the device had these costs; seconds of a step."""
    rng = np.random.default_rng(0)

    def measure(trial: tune.Trial) -> float:
        return clocks(trial.alternatives(device), costs) * (1 + noise * rng.standard_normal()) / costs.clock_rate

    return measure


@pytest.mark.parametrize("device", [A100, H200, RTX_3060], ids=lambda device: device.name)
@pytest.mark.parametrize("planted", [PLANTED, replace(DEFAULT, exchange=3600.0, tile=1000.0, cluster=1500.0)])
def test_planted_costs_are_recovered(device: Any, planted: Costs) -> None:
    lines: list[str] = []
    result = tune.tune(device, tune.trials(device), planted_clock(device, planted), 60.0, lines.append)
    wanted = FITTED if device is H200 else ON_OLDER
    for name in wanted:
        assert getattr(result.costs, name) == pytest.approx(getattr(planted, name), rel=0.01), name
    assert set(result.kept) == set(FITTED) - set(wanted)
    assert replace(result.costs, **{name: getattr(DEFAULT, name) for name in FITTED}) == DEFAULT
    assert lines[-len(FITTED) - 1].endswith(" 0% fitted")
    for name, line in zip(FITTED, lines[-len(FITTED) :]):
        assert line.split()[0] == name
        assert ("not measured" in line) == (name in result.kept)


def test_noise_of_some_percent_moves_no_large_cost_far() -> None:
    clock = planted_clock(H200, PLANTED, noise=0.03)
    result = tune.tune(H200, tune.trials(H200), clock, 60.0, lambda line: None)
    for name in ("exchange", "tile", "cluster", "launch"):
        assert getattr(result.costs, name) == pytest.approx(getattr(PLANTED, name), rel=0.2), name


def test_a_short_time_is_enough_for_every_cost() -> None:
    """The first thirty trials, in which an H200 may be lent for a minute."""
    few = itertools.islice(tune.trials(H200), 30)
    result = tune.tune(H200, few, planted_clock(H200, PLANTED), 60.0, lambda line: None)
    assert result.kept == ()
    assert result.costs.cluster_tile == pytest.approx(PLANTED.cluster_tile, rel=0.01)


def test_no_cost_is_below_zero() -> None:
    rng = np.random.default_rng(1)
    for _ in range(20):
        matrix, right = rng.standard_normal((12, 4)), rng.standard_normal(12)
        x = fit.non_negative(matrix, right)
        assert (x >= 0).all()
        # No step along the border makes the error less: the conditions of Karush, Kuhn and Tucker.
        slope = matrix.T @ (matrix @ x - right)
        assert np.abs(slope[x > 0]).max(initial=0) < 1e-10
        assert slope[x == 0].min(initial=0) > -1e-10


def test_too_few_measurements() -> None:
    with pytest.raises(ValueError, match="too few measurements: got 0, want at least 12"):
        tune.tune(A100, tune.trials(A100), planted_clock(A100, DEFAULT), -1.0)
    with pytest.raises(ValueError, match="too few measurements: got 0"):  # a clock that stands still
        tune.tune(A100, tune.trials(A100), lambda trial: 0.0, 60.0)
    twins = [Sample(({"exchange": 1.0, "tile": 1.0},), 100.0)] * fit.FEWEST
    with pytest.raises(ValueError, match="these 12 do not tell exchange, tile apart"):
        fit.fit(twins)


def test_a_trial_that_fails_stops_no_other() -> None:
    clock, lines = planted_clock(H200, PLANTED), list[str]()

    def measure(trial: tune.Trial) -> float:
        if trial.shape.H == 64 and trial.tile is not None:
            raise MemoryError("no room")
        return clock(trial)

    result = tune.tune(H200, tune.trials(H200), measure, 60.0, lines.append)
    assert result.costs.exchange == pytest.approx(PLANTED.exchange, rel=0.01)
    failed = [line for line in lines if line.startswith("failed: ")]
    assert len(failed) > 3
    assert all(line.endswith(": MemoryError: no room") and ", 64 " in line for line in failed)


@pytest.mark.parametrize("capability", [(8, 0), (9, 0)], ids=["blocks that poll", "and clusters"])
def test_what_is_timed_on_a_backend(launch_settings: Settings, capability: tuple[int, int]) -> None:
    """Every kind of trial runs, and as it says."""
    backend = make_backend(launch_settings, replace(SMALL, compute_capability=capability))
    probe = Probe(backend, wall_clock, 1)
    kinds = set()
    for trial in tune.trials(probe.kernels.device, [("lstm", 5, 12)]):
        made = trial.plan()
        assert getattr(made, trial.name).tile == trial.tile
        launch_settings.launched.clear()
        assert np.isfinite(tune.seconds_of_a_step(probe, trial, (1, 2)))
        if trial.tile is not None:
            assert (trial.name, trial.tile.grid(trial.shape), trial.tile.threads) in launch_settings.launched
            kinds.add((trial.tile.cluster, trial.tile.grid(trial.shape)[0] > 1))
    assert (False, True) in kinds
    assert ((True, True) in kinds) == (capability == (9, 0))


def test_the_command_writes_a_table(
    kernels_on_cpu: Backend, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    device = kernels_on_cpu.kernels().device
    clock = planted_clock(device, PLANTED)
    monkeypatch.setattr(
        tune, "_probe", lambda arguments, folder: (Probe(kernels_on_cpu, wall_clock), tune.SHAPES, (1, 2))
    )
    monkeypatch.setattr(tune, "seconds_of_a_step", lambda probe, trial, steps: clock(trial))
    path = tmp_path / "new" / "costs.json"
    assert tune.main(["--out", str(path)]) == 0
    assert f"written to {path}" in capsys.readouterr().out
    assert read_costs(path)[device.name].launch == pytest.approx(PLANTED.launch, rel=0.01)
    assert list(path.parent.iterdir()) == [path]


def test_a_dry_run_runs_every_line(
    kernels_on_cpu: Backend, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(cuda_on_gpu, "kernels_as_cpp", lambda folder: contextlib.nullcontext(kernels_on_cpu))
    assert tune.main(["--dry-run", "--out", str(tmp_path / "costs.json")]) == 0, capsys.readouterr().err
    assert list(read_costs(tmp_path / "costs.json")) == [kernels_on_cpu.kernels().device.name]


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["--backend", "numpy"], "backend 'numpy' has no kernels, want one on a GPU"),
        (["--backend", "no-such"], "no-such"),
        (["--dry-run", "--seconds", "-1"], "too few measurements: got 0"),
    ],
)
def test_what_cannot_be_measured(
    arguments: list[str], expected: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "costs.json"
    assert tune.main([*arguments, "--out", str(path)]) == 2
    error = capsys.readouterr().err
    assert error.startswith("tune: nothing was written: ")
    assert expected in error
    assert not path.exists()


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("damaged.json", "the table: got 'no version'"),
        ("folder", "cannot be read: Is a directory"),
        ("damaged.json/costs.json", "damaged.json"),
    ],
)
def test_where_nothing_can_be_written_nothing_is_measured(
    name: str, expected: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A device may be lent for minutes."""
    (tmp_path / "damaged.json").write_text("{}", encoding="utf-8")
    (tmp_path / "folder").mkdir()
    monkeypatch.setattr(tune, "tune", lambda *given: pytest.fail("it measures"))
    assert tune.main(["--dry-run", "--out", str(tmp_path / name)]) == 2
    error = capsys.readouterr().err
    assert error.startswith("tune: nothing was written: ")
    assert expected in error


def test_a_folder_without_write_permission_is_told_first(
    kernels_on_cpu: Backend, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def refused(dir: Path) -> None:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(dir))

    monkeypatch.setattr(tune.tempfile, "TemporaryFile", refused)
    probe = Probe(kernels_on_cpu, wall_clock, 1)
    monkeypatch.setattr(tune, "_probe", lambda *given: (probe, tune.SMALL_SHAPES, (1, 2)))
    monkeypatch.setattr(tune, "tune", lambda *given: pytest.fail("it measures"))
    assert tune.main(["--dry-run", "--out", str(tmp_path / "costs.json")]) == 2
    assert f"Permission denied: '{tmp_path}'" in capsys.readouterr().err


def test_what_a_dangling_link_names_is_written(
    kernels_on_cpu: Backend, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cuda_on_gpu, "kernels_as_cpp", lambda folder: contextlib.nullcontext(kernels_on_cpu))
    (tmp_path / "link").symlink_to(tmp_path / "new" / "costs.json")
    assert tune.main(["--dry-run", "--out", str(tmp_path / "link")]) == 0
    assert list(read_costs(tmp_path / "new" / "costs.json")) == [kernels_on_cpu.kernels().device.name]


def test_after_an_interrupt_nothing_is_written(
    kernels_on_cpu: Backend, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupted(*given: Any) -> float:
        raise KeyboardInterrupt

    monkeypatch.setattr(cuda_on_gpu, "kernels_as_cpp", lambda folder: contextlib.nullcontext(kernels_on_cpu))
    monkeypatch.setattr(tune, "seconds_of_a_step", interrupted)
    assert tune.main(["--dry-run", "--out", str(tmp_path / "costs.json")]) == 130
    assert capsys.readouterr().err == "\ntune: stopped; nothing was written\n"
    assert list(tmp_path.iterdir()) == []
