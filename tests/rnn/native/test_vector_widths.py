"""Compiled with vectors of several widths, for several processors, not optimised, by clang: all gradients."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import numpy as np
import pytest

from minigrad_rnn.manual_bptt import reference_bptt
from tests.support.native_cells import DTYPES, KINDS, Results, drawn_batch, farthest, made_net, results
from tests.support.native_library import require_compiler
from tests.support.native_variants import VARIANTS, Variants

TOLERANCES = {"float32": 1e-4, "float64": 1e-12}
"""Relative to the largest entry of each array, against the fused sequence in float64 with the same numbers."""
SIZES = [(4, 3, 2, 5), (3, 6, 16, 32), (5, 9, 7, 37), (60, 12, 3, 9)]
"""T, B, I, H"""


@pytest.fixture(autouse=True)
def _compiler() -> None:
    require_compiler()


def found(kind: str, sizes: tuple[int, ...], dtype: str, impl: str) -> Results:
    T, B, I, H = sizes
    net = made_net(kind, I, H, dtype, impl, bidirectional=True)
    return results(net, drawn_batch(net, T, B, [1 + (5 * b + 2) % T for b in range(B)]))


@cache
def wanted(kind: str, sizes: tuple[int, ...]) -> Results:
    return found(kind, sizes, "float64", "fused")


@pytest.mark.parametrize("variant", [*VARIANTS, "clang"])
def test_all_gradients(variant: str, variants: Variants, monkeypatch: pytest.MonkeyPatch) -> None:
    if variant == "clang":
        variants.use_compiler(monkeypatch, variant)
    else:
        variants.use(monkeypatch, variant)
    for kind in KINDS:
        for dtype in DTYPES:
            for sizes in SIZES:
                error = farthest(found(kind, sizes, dtype, "native"), wanted(kind, sizes))
                assert error < TOLERANCES[dtype], (kind, dtype, sizes)


@pytest.mark.parametrize("dtype", DTYPES)
def test_beside_the_bptt_by_hand(dtype: str, variants: Variants, monkeypatch: pytest.MonkeyPatch) -> None:
    """The reference that shares nothing with the fused sequence."""
    sizes = T, B, I, H = 6, 3, 4, 19
    for kind, name in (("rnn_tanh", "rnn"), ("lstm", "lstm"), ("gru", "gru")):
        net = made_net(kind, I, H, dtype, bidirectional=True)
        batch = drawn_batch(net, T, B)
        n = len(batch.state)
        xs, g, *state = (a.astype("float64") for a in (batch.xs, batch.gradients[0], *batch.state))
        zero = [np.zeros_like(a) for a in state]
        parameters = {key: p.numpy().astype("float64") for key, p in net.named_parameters()}
        want = reference_bptt(
            name, parameters, xs, tuple(state) if n > 1 else state[0],
            lambda y, end, g=g, zero=zero: (g, tuple(zero) if len(zero) > 1 else zero[0]),
            num_layers=1, bidirectional=True,
        ).gradients  # fmt: skip
        only_outputs = replace(batch, gradients=(batch.gradients[0], *(0 * a for a in batch.gradients[1:])))
        for variant in ("16 bytes", "32 bytes", "64 bytes"):
            variants.use(monkeypatch, variant)
            gradients = results(net, only_outputs)
            for key in ("xs", *parameters):
                error = np.abs(gradients[f"d {key}"] - want[key]).max() / np.abs(want[key]).max()
                assert error < TOLERANCES[dtype], (sizes, kind, variant, key)
