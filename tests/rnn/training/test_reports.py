"""What a run tells: progress as a bar and as lines, TensorBoard, and the picture."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from minigrad_rnn.training import Trainer, progress as module
from minigrad_rnn.training.progress import Progress
from tests.support.small_runs import small_run


def test_lines_without_a_terminal(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "SECONDS_BETWEEN_LINES", 0.0)
    run = small_run(progress=True, evaluate=lambda model: {"bits": 1.5}, evaluate_every=4)
    run.fit(updates=6)
    lines = capsys.readouterr().out.splitlines()
    assert re.fullmatch(r" 50%  update 3, loss 1\.\d+, [\d,]+ tokens/s, \d+ s left", lines[0])
    assert lines[1] == "update 4, epoch 0.57: bits 1.5 (best)"
    assert lines[-1] == "update 6, epoch 0.86: bits 1.5"
    run.write("a line")
    small_run().fit(updates=6)
    assert capsys.readouterr().out == "a line\n"


def test_a_bar_on_a_terminal(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("tqdm")
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    run = small_run(progress=True, report_every=1, after_update=lambda t: t.write("beside the bar"))
    run.fit(updates=3)
    out, err = capsys.readouterr()
    assert out.count("beside the bar") == 3
    assert "tokens/s" in err
    assert "100 %" in err


def test_the_time_left_is_told_in_words(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    monkeypatch.setattr(module.time, "perf_counter", lambda: now[0])
    progress = Progress(False, 0.5)
    now[0] = 10.0
    assert progress.time_left(0.5) == ""
    assert progress.time_left(0.75) == ", 10 s left"
    assert progress.time_left(0.51) == ", 8 min left"
    assert progress.time_left(0.5 + 1e-4) == ", 14 h left"


def test_tensorboard_is_told_of_every_line_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also of those before a stop: a resumed run's events take the place of the old ones from `purge_step` on."""
    told: list[tuple[str, float, int]] = []
    steps: list[int] = []

    class SummaryWriter:
        def __init__(self, folder: str, purge_step: int) -> None:
            assert folder == str(tmp_path / "tensorboard")
            steps.append(purge_step)
            told.clear()

        def add_scalar(self, name: str, value: float, step: int) -> None:
            told.append((name, value, step))

        def close(self) -> None:
            told.append(("closed", 0.0, 0))

    monkeypatch.setitem(sys.modules, "tensorboardX", SimpleNamespace(SummaryWriter=SummaryWriter))
    small_run(tmp_path, tensorboard=True).fit(updates=3)
    run = small_run(tmp_path, tensorboard=True)
    run.resume()
    run.fit(updates=6)
    lines = [(name, value, line["update"]) for line in run.history for name, value in line.items() if name != "update"]
    assert told == [*lines, ("closed", 0.0, 0)]
    assert steps == [3, 3]


@pytest.mark.soak  # importing the package takes longer than all tests here
def test_tensorboard_has_the_history(tmp_path: Path) -> None:
    pytest.importorskip("tensorboardX")
    from tensorboardX.proto.event_pb2 import Event

    run = small_run(tmp_path, tensorboard=True, evaluate=lambda model: {"bits": 1.5})
    run.fit(updates=6)
    seen: dict[tuple[int, str], float] = {}
    for file in (tmp_path / "tensorboard").iterdir():
        content = file.read_bytes()
        while content:  # length (8), its checksum (4), the event, its checksum (4)
            size = int.from_bytes(content[:8], "little")
            event = Event.FromString(content[12 : 12 + size])
            seen |= {(event.step, value.tag): value.simple_value for value in event.summary.value}
            content = content[16 + size :]
    for line in run.history:
        for name in line.keys() - {"update", "seconds"}:
            assert seen[line["update"], name] == pytest.approx(line[name], rel=1e-6)


def test_without_tensorboardx_the_package_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "tensorboardX", None)
    with pytest.raises(ImportError, match=r"Trainer: tensorboard=True needs .* pip install tensorboardX"):
        small_run(tmp_path, tensorboard=True)


def test_the_curves_are_a_picture(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    image = pytest.importorskip("matplotlib.image")
    run = small_run(report_every=1, evaluate=lambda model: {"bits": 1.5, "right": 0.5}, evaluate_every=2)
    run.fit(updates=4)
    Trainer.plot(run, tmp_path / "curves.png")
    assert image.imread(tmp_path / "curves.png").shape == (1080, 960, 4)
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(ImportError, match=r"Trainer\.plot: needs .* pip install matplotlib"):
        Trainer.plot(run, tmp_path / "curves.png")


def test_a_run_draws_its_curves(tmp_path: Path) -> None:
    drawn: list[Any] = []
    run = small_run(tmp_path)
    run.plot = drawn.append  # type: ignore[method-assign, assignment]
    run.fit(updates=3)
    assert drawn == [str(tmp_path / "curves.png")]
