"""Long randomised runs, for `make soak`: models of any form, verified against the witness."""

from __future__ import annotations

import numpy as np
import pytest

from minigrad_rnn import LSTM, RNN, verify_bptt


@pytest.mark.soak
@pytest.mark.parametrize("seed", range(300))
def test_a_model_of_any_form_passes(seed: int) -> None:
    rng = np.random.default_rng(seed)
    kind = (RNN, LSTM)[rng.integers(2)]
    I, H, T, B = (int(n) for n in rng.integers(1, 9, 4))
    batch_first = bool(rng.integers(2))
    model = kind(
        I, H, int(rng.integers(1, 4)), bias=bool(rng.integers(2)), bidirectional=bool(rng.integers(2)),
        batch_first=batch_first, initial_state=("zeros", "learned")[rng.integers(2)], rng=rng,
    )  # fmt: skip
    found = verify_bptt(model, rng.standard_normal((B, T, I) if batch_first else (T, B, I)), seed=seed)
    assert found.passed, str(found)
