"""What the character model reads: real data, and streams that begin with an empty memory."""

from __future__ import annotations

from pathlib import Path

import datasets
import numpy as np
import pytest
from char_rnn_parts import settings

import minigrad as mg
from tests.support.char_rnn_runs import SMALL, char_rnn, checkpoint

pytestmark = pytest.mark.usefixtures("blank_pictures")


def test_it_trains_on_real_data(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert char_rnn.main(["--data", "topics", *SMALL, "--chunks", "3", "--out", str(tmp_path)]) == 0
    assert "topics of Python's help()" in capsys.readouterr().out
    assert checkpoint(tmp_path)[1]["metadata"]["baselines"]["3-gram"] < 3
    assert char_rnn.main(["--resume", str(tmp_path / "checkpoint.npz"), "--chunks", "4"]) == 0


def test_the_names_of_data_are_those_of_the_corpora() -> None:
    assert sorted(datasets.CORPORA) == sorted(settings.CORPORA)


def test_streams_that_are_reset_begin_anew(text: Path, tmp_path: Path) -> None:
    numbers = np.random.default_rng([0, 2]).random((2, 4))[1]
    reset = float(np.median(numbers))
    overrides = settings.parse(["--text", str(text), *SMALL, "--reset", str(reset)], "").overrides
    run = char_rnn.prepare(settings.Command(overrides, "numpy", str(tmp_path), None, False, False))
    first, second = run.reader.read(), run.reader.read()
    state = tuple(part.detach() for part in run.cross_entropy(run.model, first, None)[1])
    empty = numbers < reset
    assert empty.sum() == 2
    _, after = run.cross_entropy(run.model, second, state)
    for b in range(4):
        alone = None if empty[b] else tuple(mg.tensor(part.numpy()[:, b : b + 1]) for part in state)
        _, expected = run.model(second.inputs[:, b : b + 1], alone)
        np.testing.assert_allclose(after[0].numpy()[:, b], expected[0].numpy()[:, 0], rtol=1e-5, atol=1e-6)
