"""`Tagger` is a model with what pooling can go wrong at: shared, unread and sometimes unread parameters, zero rows."""

from __future__ import annotations

from typing import Any

import numpy as np

import minigrad as mg
from minigrad_rnn import LSTM


class Tagger(mg.nn.Module):
    """An embedding that is the readout too, an LSTM between them, and a weight that nothing reads."""

    def __init__(self, seed: int) -> None:
        rng = np.random.default_rng(seed)
        self.table = mg.nn.Embedding(7, 4, rng=rng, dtype="float64")
        self.lstm = LSTM(4, 4, rng=rng, dtype="float64")
        self.unread = mg.Parameter(rng.standard_normal(3))
        self.alone = mg.Parameter(rng.standard_normal(4))
        self.shared_table = self.table

    def forward(self, ids: Any, use_alone: bool = False) -> Any:
        hs, _ = self.lstm(self.table(ids))
        return (hs + self.alone if use_alone else hs) @ self.shared_table.weight.T


def batch() -> tuple[Any, Any]:
    rng = np.random.default_rng(3)
    return rng.integers(0, 5, (6, 5)), rng.integers(0, 7, (6, 5))  # ids 5 and 6 are never read: zero rows


def gradients(model: Any) -> dict[str, Any]:
    return {name: None if p.grad is None else p.grad.numpy() for name, p in model.named_parameters()}
