"""Noise, BandMask, BandWarp and cropped disturb spectra in training, so that a net learns what stays."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from minigrad import Tensor, nn
from minigrad.backend import backend_of
from minigrad.validation import as_array


class Noise(nn.Module):
    """Add normal noise to xs (T, B, features): drawn anew for each step, and once for a whole sequence.

    In evaluation it does nothing.

    Args:
        step: the deviation of what is drawn for each step.
        sequence: the deviation of what is the same at all steps, as another microphone or another day would be.
        rng: a generator. Draws are made on the host, so that they are the same on every backend.
    """

    def __init__(self, step: float, sequence: float, rng: np.random.Generator) -> None:
        super().__init__()
        self.step, self.sequence, self.rng = step, sequence, rng

    def forward(self, xs: Any) -> Any:
        if not self.training:
            return xs
        array = as_array(xs, "Noise", "xs")
        noise = self.rng.normal(0, self.step, array.shape) + self.rng.normal(0, self.sequence, array.shape[1:])
        return Tensor(array + backend_of(array).from_numpy(noise.astype(array.dtype)))


class BandMask(nn.Module):
    """Set a few neighbouring bands of each sequence of xs (T, B, features) to zero (Park et al. 2019, SpecAugment).

    In evaluation it does nothing.

    Args:
        bands: features are `bands` numbers for each of some frames.
        widest: the most bands that are masked at once.
        rng: a generator.
    """

    def __init__(self, bands: int, widest: int, rng: np.random.Generator) -> None:
        super().__init__()
        self.bands, self.widest, self.rng = bands, widest, rng

    def forward(self, xs: Any) -> Any:
        if not self.training:
            return xs
        array = as_array(xs, "BandMask", "xs")
        widths = self.rng.integers(0, self.widest + 1, (array.shape[1], 1))
        starts = self.rng.integers(0, self.bands - widths + 1)
        band = np.arange(self.bands)
        kept = np.tile((band < starts) | (band >= starts + widths), array.shape[2] // self.bands)
        return Tensor(array * backend_of(array).from_numpy(kept.astype(array.dtype)))


class BandWarp(nn.Module):
    """Stretch the frequencies of each sequence of xs (T, B, features), as a longer or shorter vocal tract does.

    In evaluation it does nothing. (Jaitly & Hinton 2013, vocal tract length perturbation.)

    Args:
        hertz: the frequencies of the bands, ascending; features are these bands of some frames, one after the other.
        most: frequencies are multiplied by a factor between 1 / (1 + most) and 1 + most.
        rng: a generator.
    """

    def __init__(self, hertz: npt.NDArray[np.float64], most: float, rng: np.random.Generator) -> None:
        super().__init__()
        self.hertz, self.most, self.rng = hertz, most, rng

    def forward(self, xs: Any) -> Any:
        if not self.training:
            return xs
        array = as_array(xs, "BandWarp", "xs")
        T, B, features = array.shape
        bands, backend = len(self.hertz), backend_of(array)
        factors = (1 + self.most) ** self.rng.uniform(-1, 1, (B, 1))
        at = np.interp(self.hertz * factors, self.hertz, np.arange(bands))  # where each band is read, (B, bands)
        weights = np.maximum(0, 1 - np.abs(at[:, None, :] - np.arange(bands)[:, None]))
        frames = array.reshape(T, B, features // bands, bands)
        warped = backend.xp.matmul(frames, backend.from_numpy(weights.astype(array.dtype)))
        return Tensor(warped.reshape(T, B, features))


def cropped(x: Any, rng: np.random.Generator) -> Any:
    """A random stretch of a sequence, at least 60 % of it."""
    n = int(rng.integers(max(5, int(0.6 * len(x))), len(x) + 1))
    start = int(rng.integers(len(x) - n + 1))
    return x[start : start + n]
