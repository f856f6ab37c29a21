"""The sizes at which recurrences are timed, and the input arrays of all contestants."""

from __future__ import annotations

from typing import Any

import numpy as np

SIZES = [
    dict(zip("TBIH", size))
    for size in (
        (35, 1, 28, 32),
        (100, 1, 64, 64),
        (50, 32, 64, 64),
        (50, 32, 128, 128),
        (100, 32, 256, 256),
        (100, 64, 512, 512),
    )
]
"""T steps, B sequences, I features of x(t), H units of h(t). Implementations are tuned at these sizes."""
OTHER_SIZES = [
    dict(zip("TBIH", size))
    for size in (
        (28, 128, 28, 100),  # images of 28 × 28 pixels, read row by row
        (300, 1, 26, 140),  # a spoken sentence: three seconds of 26 features, one sentence at a time
        (35, 20, 300, 650),  # a language model: 20 streams of text, word vectors of 300 numbers
        (100, 3, 3, 900),  # handwriting: the pen's dx, dy and whether it is lifted, three lines at a time
        (192, 64, 5, 40),  # forecasts: a week and a day of hourly values, with the hour, the weekday, …
        (49, 8, 10, 118),  # a keyword spotter: one second of sound in 49 frames
    )
]
"""Sizes of applications at which nothing is tuned: they show whether what is fast at SIZES is so elsewhere."""
QUICK_SIZES = SIZES[:3]


def numbers(T: int, B: int, I: int, H: int, gates: int = 1) -> dict[str, Any]:
    """Return float32 xs (T, B, I), h0 and c0 (B, H), Wc (gates·H, I), Wr (gates·H, H), b (gates·H,)."""
    rng = np.random.default_rng(0)

    def uniform(*shape: int) -> Any:
        return rng.uniform(-(H**-0.5), H**-0.5, shape).astype(np.float32)

    weights = {"Wc": uniform(gates * H, I), "Wr": uniform(gates * H, H), "b": uniform(gates * H)}
    states = {"h0": uniform(B, H), "c0": uniform(B, H)}
    return {"xs": rng.standard_normal((T, B, I)).astype(np.float32), **states, **weights}


def label(size: dict[str, int]) -> str:
    """Return the size as the tables show it: T, B, I, H."""
    return ", ".join(str(n) for n in size.values())
