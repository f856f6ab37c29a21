"""Faults planted in what the C source hands out of every step are caught."""

from __future__ import annotations

from operator import methodcaller
from pathlib import Path

import numpy as np
import pytest

from minigrad_rnn.native import sequence
from tests.rnn.flow.test_gradient_flow import LENGTHS, H, I, assert_same, gradients
from tests.support.native_cells import made_net
from tests.support.native_library import require_compiler
from tests.support.native_variants import Variants, changed_source

FAULTS = {
    "h of another step": ("backward.h", "time_of(s, k, from + j) * s->B", "k * s->B"),
    "c": (
        "gates_backward.h",
        "store_up_to(now->dc_steps[j] + unit, dc_t, lanes)",
        "store_up_to(now->dc_steps[j] + unit, dc, lanes)",
    ),
}


@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_is_caught(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    require_compiler()
    options = {"reverse": True}
    want = gradients(made_net("lstm_peephole", I, H, impl="graph", **options), lengths=LENGTHS)
    source = changed_source(tmp_path, *FAULTS[name])
    compiled = methodcaller("compiled", ("-O0",), "float64", source, checked=False)(Variants(tmp_path))
    monkeypatch.setattr(sequence, "load_library", lambda dtype: compiled)
    got = gradients(made_net("lstm_peephole", I, H, impl="native", **options), lengths=LENGTHS)
    with pytest.raises(AssertionError), np.errstate(all="ignore"):
        assert_same(got, want)
