"""SpeakerNet tells who spoke, DigitNet what was said."""

from __future__ import annotations

from typing import Any

import numpy as np

import minigrad as mg
import minigrad_rnn as mr
from minigrad import nn

from .augmentation import BandMask, BandWarp, Noise
from .log_mel import centres

CLASSES = 11
"""The blank and ten digits."""


class SpeakerNet(nn.Module):
    """A bidirectional GRU, averaged over time: xs (T, B, 12) → logits (B, 9)."""

    def __init__(self, rng: np.random.Generator, speakers: int = 9) -> None:
        super().__init__()
        self.rng = rng
        self.noise = Noise(0.6, 0.3, rng)
        readout = nn.Sequential(nn.Dropout(0.5, rng=rng), nn.Linear(128, speakers, rng=rng))
        self.net = mr.ManyToOne(mr.GRU(12, 64, bidirectional=True, rng=rng), readout, pool="mean")

    def forward(self, xs: Any, lengths: Any) -> mg.Tensor:
        logits: mg.Tensor = self.net(self.noise(xs), lengths=lengths)
        return logits


class DigitNet(nn.Module):
    """Two layers of a bidirectional LSTM: xs (T, B, 96) → log probabilities (T, B, 11) of the digits and the blank.

    With `window` instead a TDNN, which knows of each step only the last `window`.
    """

    def __init__(self, features: int, bands: int, hidden: int, rng: np.random.Generator, window: int = 0) -> None:
        super().__init__()
        self.augmentation = nn.Sequential(
            BandWarp(centres(bands, 11025), 0.15, rng), Noise(0.1, 0.1, rng), BandMask(bands, 6, rng)
        )
        self.window = window
        if window:
            self.net: nn.Module = mr.TDNN(features, 2 * hidden, CLASSES, delays=window - 1, rng=rng)
        else:
            lstm = mr.LSTM(features, hidden, num_layers=2, bidirectional=True, dropout=0.2, rng=rng)
            readout = nn.Sequential(nn.Dropout(0.2, rng=rng), nn.Linear(2 * hidden, CLASSES, rng=rng))
            self.net = mr.ManyToMany(lstm, readout)

    def forward(self, xs: Any, lengths: Any) -> mg.Tensor:
        xs = self.augmentation(xs)
        logits, _ = self.net(xs) if self.window else self.net(xs, lengths=lengths)
        return mg.log_softmax(logits)
