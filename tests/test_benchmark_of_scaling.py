"""The benchmark of two ranks and the cost model of many: what is fitted comes out, and the limits are right."""

from __future__ import annotations

import dataclasses
import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks import distributed, scaling
from benchmarks.scaling_model import (
    NOMINAL,
    Link,
    Measured,
    all_reduce_seconds,
    expected_maximum,
    fit_link,
    measured_of,
)

FREE = Link("free", 0.0, 0.0)
QUIET = Measured(
    streams=(1, 2, 4), compute=(2.0, 3.0, 5.0), spread=(1.0,), pack=0.0, meeting=0.0, gradient_bytes=1000, gamma=0.0,
    link=FREE,
)  # fmt: skip


def test_a_line_comes_back_from_its_points() -> None:
    nbytes = [4.0**k for k in range(1, 12)]
    link = fit_link(nbytes, [3e-6 + n / 5e9 for n in nbytes])
    assert (link.alpha, link.beta) == pytest.approx((3e-6, 1 / 5e9))
    assert fit_link([1.0, 2.0], [1.0, 4.0]).alpha == 0  # no message takes less than no time


def test_the_all_reduce_of_two_ranks_and_of_many() -> None:
    link = Link("", 1.0, 0.1)
    assert all_reduce_seconds(1, 100, link, 1.0) == (0.0, "none")
    assert all_reduce_seconds(2, 100, link, 0.01) == (pytest.approx(1 + 10 + 1), "recursive doubling")
    seconds, name = all_reduce_seconds(1024, 1e6, link, 0.01)
    assert name == "halving and doubling"
    assert seconds == pytest.approx(20 + 1e6 * 1023 / 1024 * 0.21)
    assert all_reduce_seconds(1000, 8, link, 0.0)[1] == "recursive doubling"


def test_the_largest_of_many_draws() -> None:
    samples = np.random.default_rng(0).standard_normal(50)
    assert expected_maximum(samples, 1) == pytest.approx(samples.mean())
    assert expected_maximum(samples, 10**9) == pytest.approx(samples.max())
    pairs = [max(a, b) for a in samples for b in samples]
    assert expected_maximum(samples, 2) == pytest.approx(np.mean(pairs))


def test_what_costs_nothing_scales() -> None:
    for ranks in scaling.RANKS:
        assert QUIET.efficiency(ranks, 4, FREE) == 1
    assert QUIET.compute_seconds(3) == 4
    assert QUIET.compute_seconds(10) == 11
    # 4 streams on one rank take 5 s, one on each of 4 ranks 2 s
    assert QUIET.efficiency(4, 4, FREE, strong=True) == pytest.approx(5 / (4 * 2))


def test_each_cost_lowers_the_efficiency() -> None:
    for change in ({"spread": (0.9, 1.0, 1.4)}, {"meeting": 0.1}, {"gamma": 1e-3}):
        costly: Any = dataclasses.replace(QUIET, **change)
        shares = [costly.efficiency(ranks, 4, FREE) for ranks in (1, 2, 8)]
        assert shares[0] == 1
        assert shares[1] < 1
        assert shares[2] <= shares[1]
    slow = [QUIET.efficiency(8, 4, Link("", alpha, 1e-4)) for alpha in (0.0, 0.1, 1.0)]
    assert slow == sorted(slow, reverse=True)
    assert slow[0] > slow[2]


def results() -> dict[str, Any]:
    """Measurements as `measure` returns them, of a machine with even times."""
    times = {"characters": 2048, "gradient_bytes": 1_600_000, "implementation": "native"}
    sizes = list(scaling.SIZES)
    exchange = {key: [2e-6 + n / 4e9 for n in sizes] for key in ("all_reduce", "message", "sum", "copy")}
    return {
        "alone": [(b, {**times, "update": [0.01 + 0.002 * b] * 5, "pooling": [0.001] * 5}) for b in scaling.STREAMS],
        "two": {**times, "update": [0.08] * 5, "pooling": [0.002] * 5},
        "exchanges": {**exchange, "bytes": sizes, "meeting": 3e-5},
        "pieces": [1e-3, 3e-4, 1e-4],
        "machine": "a machine",
    }


def test_the_tables_and_the_picture(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("matplotlib")
    measurements = tmp_path / "measurements.json"
    measurements.write_text(json.dumps(results()), encoding="utf-8")
    assert scaling.main(["--measurements", str(measurements)]) == 0
    text = capsys.readouterr().out
    assert "2.0 µs + n / (4.0 GB/s)" in text
    assert "the LSTM is native" in text
    assert text.count("| 1,024 |") == 2  # weak, strong
    assert "100 % (1.00 ×)" in text
    measured = measured_of(results()["exchanges"], results()["alone"])
    assert measured.compute == pytest.approx([0.009 + 0.002 * b for b in scaling.STREAMS])
    picture = tmp_path / "scaling.svg"
    scaling.draw(measured, picture)
    assert "<svg" in picture.read_text(encoding="utf-8")
    assert math.isfinite(measured.efficiency(1024, 32, NOMINAL[1]))


def test_the_page_has_the_block() -> None:
    page = scaling.PAGE.read_text(encoding="utf-8")
    assert "new text" in scaling.replace_block(page, scaling.BLOCK, "new text", "benchmarks.scaling")


def test_the_target_of_two_ranks_is_judged() -> None:
    def turn(two: float) -> distributed.Round:
        times = {"update": 0.01, "pooling": 0.001, "speed": 1000.0, "bytes": 4e6, "implementation": "native"}
        cells: distributed.Round = {name: {**times} for name in distributed.CASES}
        cells["2 ranks, weak"]["speed"] = two
        return cells

    good = distributed.tables_of([turn(1900.0)] * 3, 0)
    assert "1.90 [1.90, 1.90] (≥ 1.8)" in good.text
    assert "all 1 met" in good.text
    missed = distributed.tables_of([turn(1700.0)] * 3, 0)
    assert "**1.70** [1.70, 1.70] (≥ 1.8)" in missed.text
    assert "1 **missed**" in missed.text
    assert not distributed.tables_of([turn(1700.0)] * 3, 2).quiet
