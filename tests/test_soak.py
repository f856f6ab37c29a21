"""Long randomised runs, for `make soak`: models of any form and option, verified against the reference."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from minigrad_rnn import Truncation, verify_bptt
from minigrad_rnn.__main__ import NETWORKS, VARIANTS


@pytest.mark.soak
@pytest.mark.parametrize("seed", range(400))
def test_a_model_of_any_form_passes(seed: int) -> None:
    rng = np.random.default_rng(seed)

    def one_of(*values: Any) -> Any:
        return values[rng.integers(len(values))]

    name = one_of(*NETWORKS)
    I, T, B = (int(n) for n in rng.integers(1, 9, 3))
    H = int(rng.integers(3, 9))
    batch_first, both = one_of(False, True), one_of(False, True)
    own = one_of({}, *VARIANTS.get(name, []))
    options: dict[str, Any] = {"initial_state": one_of("zeros", "learned"), "merge": one_of("concat", "sum", "mean")}
    options |= {"bias": True if own else one_of(True, False), **own}
    depth = one_of(1, 2, 3, *([(1, 2), (3, 1)] if both else []))
    deep = depth not in (1, (1, 1))
    options |= one_of({}, {"recurrent_dropout": 0.3}, {"zoneout": 0.2, "dropout": 0.3 if deep else 0.0})
    model = NETWORKS[name](I, H, depth, bidirectional=both, batch_first=batch_first, rng=rng, **options)
    given: dict[str, Any] = {}
    if not both and one_of(False, True):
        given["truncation"] = Truncation(int(rng.integers(1, T + 1)))
    given["lengths"] = one_of(None, rng.integers(1, T + 1, B))
    given["masks"] = one_of(None, model.draw_masks(T, B, rng))
    result = verify_bptt(model, rng.standard_normal((B, T, I) if batch_first else (T, B, I)), seed=seed, **given)
    assert result.passed, str(result)
