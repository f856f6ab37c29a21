"""examples/memory_tasks.py: the tasks are what the papers say, and a short run writes its table and pictures."""

from __future__ import annotations

import runpy
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from minigrad import nn
from tests.conftest import TestedBackend
from tests.support import char_rnn_runs  # noqa: F401  puts examples on the path

EXAMPLE = Path(__file__).resolve().parents[2] / "examples" / "memory_tasks.py"


@pytest.fixture(scope="module")
def script() -> dict[str, Any]:
    return runpy.run_path(str(EXAMPLE))


def test_adding_asks_for_the_sum_of_the_two_marked_numbers(script: dict[str, Any]) -> None:
    xs, target = script["Adding"](20).draw(np.random.default_rng(0), 400)
    assert xs.shape == (20, 400, 2)
    np.testing.assert_array_equal(xs[:10, :, 1].sum(0), 1)
    np.testing.assert_array_equal(xs[10:, :, 1].sum(0), 1)
    np.testing.assert_allclose((xs[:, :, 0] * xs[:, :, 1]).sum(0), target[:, 0], rtol=1e-6)
    assert abs(np.var(target) - script["Adding"].baseline) < 0.03  # the error of who says the mean


def test_copying_repeats_the_symbols_after_the_signal(script: dict[str, Any]) -> None:
    task = script["Copying"](15)
    xs, targets = task.draw(np.random.default_rng(0), 7)
    ids = xs.argmax(axis=-1)
    assert ids.shape == targets.shape == (35, 7)
    np.testing.assert_array_equal(targets[-10:], ids[:10])
    assert (ids[10:24] == 8).all()
    assert (ids[24] == 9).all()
    assert (ids[25:] == 8).all()
    assert (targets[:-10] == 8).all()
    assert task.baseline == pytest.approx(10 * np.log(8) / 35)


def test_a_stream_goes_on_where_it_was(script: dict[str, Any]) -> None:
    draw = script["Adding"](10).draw
    one, other = script["Drawn"](draw, 2, 0), script["Drawn"](draw, 2, 0)
    first = [batch for batch, _ in zip(one, range(3))]
    other.load_state_dict(one.state_dict())
    np.testing.assert_array_equal(next(iter(one))[0], next(iter(other))[0])
    assert not np.array_equal(first[0][0], first[1][0])
    with pytest.raises(ValueError, match="Drawn: seed: got 0, want 1 as here"):
        script["Drawn"](draw, 2, 1).load_state_dict(one.state_dict())


def test_it_computes_on_the_models_backend(script: dict[str, Any], xp: TestedBackend) -> None:
    for task in (script["Adding"](10), script["Copying"](10)):
        for name, choice in script["NETS"].items():
            net = choice.make(task.features, 4, 10, np.random.default_rng(0))
            model = task.model(net, nn.Linear(4, task.outputs, rng=0)).to(xp.name)
            task.loss(model, task.draw(np.random.default_rng(0), 3), xp.name).backward()
            assert len(script["reach"](task, model, xp.name)) > 5
            if name == "IndRNN":
                net.forward1.Wr.data[0] = 9.0
                script["bound"](net, 10)
                assert abs(net.forward1.Wr.numpy()).max() == pytest.approx(2**0.1)


def test_a_short_run_writes_its_pictures_and_goes_on(
    script: dict[str, Any], tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "argv", ["memory_tasks.py"])
    arguments = ["--lengths", "10", "--hidden-size", "8", "--evaluate-every", "2", "--out", str(tmp_path)]
    arguments += ["--nets", "IRNN", "IndRNN", "LSTM, chrono"]
    run, main, parser = script["run"], script["main"], script["parser"]
    assert run(main, parser, [*arguments, "--updates", "2", "--task", "copying"]) == 0
    assert run(main, parser, [*arguments, "--updates", "4", "--resume"]) == 0
    out = capsys.readouterr().out
    assert "copying, T = 10, LSTM, chrono: error" in out
    assert "not solved in 4 updates" in out
    for name in ("adding", "adding_reach", "copying", "copying_reach", "solved"):
        assert (tmp_path / f"{name}.png").stat().st_size > 5000
    assert run(main, parser, [*arguments, "--updates", "4", "--resume", "file"]) == 2
    assert "--resume: got file, want no file" in capsys.readouterr().err
