"""The benchmark of the ledger's norms: its contestants compute the same, and what is above a limit is marked."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks import ledger
from benchmarks.timing import Result

TINY = {"T": 3, "B": 2, "I": 2, "H": 3}


@pytest.mark.parametrize("cell", ["RNN", "LSTM", "GRU"])
def test_the_contestants_find_the_same_norms(cell: str) -> None:
    found = []
    for way in (ledger.PLAIN, ledger.LEDGER, ledger.RECORDED):
        work = ledger.work(cell, way, **TINY)
        work.run()
        found.append(work.gradients(work.run()))
    for other in found[1:]:
        assert other.keys() == found[0].keys()
        for name, value in other.items():
            np.testing.assert_allclose(value, found[0][name], rtol=1e-5)
    assert all(peak > 0 for peak in ledger.peaks(cell, TINY))


def test_ratios_above_their_limit_are_marked() -> None:
    plain, slow = Result("plain", [[1.0]]), Result("slow", [[1.3]])
    assert ledger.time_ratios([plain, slow, Result("left out")]) == [1.3, None]
    assert ledger.cells_of(plain, [1.3, None, 1.0], [1.2, 1.2, 1.1]) == ["1000", "**1.30**", "–", "1.00"]
