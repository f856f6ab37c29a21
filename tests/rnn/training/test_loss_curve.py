"""The loss curves as a PNG."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from minigrad_rnn.training.loss_curve import save_loss_curve


def test_the_picture_is_a_png(tmp_path: Path) -> None:
    image = pytest.importorskip("matplotlib.image")
    curves = {"training": [(0.0, 5.0), (1.0, 3.0)], "held out": [(1.0, 3.2)], "none": []}
    save_loss_curve(tmp_path / "loss.png", curves, {"unigram": 4.6}, title="a", xlabel="b", ylabel="c")
    assert image.imread(tmp_path / "loss.png").shape == (600, 960, 4)
    save_loss_curve(tmp_path / "empty.png", {"training": []})
    assert sorted(os.listdir(tmp_path)) == ["empty.png", "loss.png"]
