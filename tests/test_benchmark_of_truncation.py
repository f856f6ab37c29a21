"""The benchmark of truncation: its contestants compute the same, and what is above a limit is marked."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks import truncation
from benchmarks.timing import Result


def assert_same(first: truncation.Work, second: truncation.Work) -> None:
    found = [work.gradients(work.run()) for work in (first, second)]
    assert found[0].keys() == found[1].keys()
    for name, value in found[0].items():
        np.testing.assert_allclose(found[1][name], value, rtol=1e-4, atol=1e-5 * np.abs(value).max())


@pytest.mark.parametrize("cell", truncation.CELLS)
def test_the_contestants_find_the_same_gradients(cell: str) -> None:
    size = truncation.QUICK_WINDOWS[0]
    assert_same(*(truncation.windows(cell, "graph", way, **size) for way in (truncation.AGAIN, truncation.ONCE)))
    size = truncation.QUICK_SERIES[0]
    assert_same(*(truncation.series(cell, way, **size) for way in (truncation.PLAIN, truncation.CHECKPOINTED)))


def test_ratios_above_their_limit_are_marked() -> None:
    lines = truncation.Lines([], [])
    assert truncation.ratio_of([Result("one", [[1.0]]), Result("two", [[0.8]])]) == 0.8
    assert truncation.ratio_of([Result("one", [[1.0]]), Result("left out")]) is None
    assert [truncation.judged("a", value, 0.75, lines) for value in (0.8, 0.7, None)] == ["**0.8**", "0.7", "–"]
    assert lines.missed == ["a: 0.8, wanted at most 0.75"]
