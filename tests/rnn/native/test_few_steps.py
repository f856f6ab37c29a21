"""A step or two in training read the weights as they are: the same bits as with packed weights."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import minigrad as mg
import minigrad_rnn as rnn
from minigrad_rnn.native import packed_weights
from tests.support.native_library import require_compiler

KINDS: dict[str, dict[str, Any]] = {
    "RNN": {}, "LSTM": {}, "GRU": {}, "LSTM peephole": {"peephole": True}, "GRU reset first": {"reset_after": False},
    "LSTM projection": {"proj_size": 3}, "GRU backward": {"reverse": True}, "LSTM both": {"bidirectional": True},
}  # fmt: skip


def results(kind: str, T: int, B: int, H: int, dtype: str, lengths: Any) -> list[np.ndarray[Any, Any]]:
    net = getattr(rnn, kind.split()[0])(H + 3, H, impl="native", rng=0, dtype=dtype, **KINDS[kind])
    xs = mg.tensor(np.random.default_rng(1).standard_normal((T, B, H + 3)), dtype=dtype, requires_grad=True)
    output, state = net(xs, lengths=lengths)
    parts = [output, *(state if isinstance(state, tuple) else (state,))]
    sum((part * part).sum() for part in parts).backward()
    gradients = [xs.grad, *(p.grad for p in net.parameters())]
    return [a.numpy() for a in (*parts, *gradients) if a is not None]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(("T", "B", "H"), [(1, 1, 5), (1, 8, 37), (1, 9, 16), (2, 3, 64), (2, 12, 100)])
@pytest.mark.parametrize("padded", [False, True])
def test_the_same_bits(kind: str, dtype: str, T: int, B: int, H: int, padded: bool, monkeypatch: Any) -> None:
    require_compiler()
    lengths = [T if b % 2 else 1 for b in range(B)] if padded else None
    assert T <= packed_weights.FEW_STEPS
    read_in_place = results(kind, T, B, H, dtype, lengths)
    monkeypatch.setattr(packed_weights, "FEW_STEPS", 0)
    for got, want in zip(read_in_place, results(kind, T, B, H, dtype, lengths), strict=True):
        np.testing.assert_array_equal(got, want)
