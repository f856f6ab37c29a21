"""measures says how good predictions of returns are, each day: direction, squared error, and what an investor earns.

`block_bootstrap` gives the means of such days their confidence intervals.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
TRADING_DAYS = 252


class Daily(NamedTuple):
    """What came of a predictor's advice, for each day (D,)."""

    right: Floats
    """The share of stocks of which it said rightly whether they would rise."""
    squared_error: Floats
    """The mean over stocks, in squared standard deviations."""
    gain: Floats
    """The return of the investor, after costs."""


def daily(
    predicted: npt.ArrayLike, invest: npt.ArrayLike, true: npt.ArrayLike, log_returns: Floats, cost: float
) -> Daily:
    """Return what came of each day.

    An equal part of the money is for each stock: it is invested in it for the day, or it is not, and earns nothing.

    Args:
        predicted, true: standardised returns (D, S).
        invest: (D, S) booleans.
        log_returns: (D, S), the true ones.
        cost: of buying or selling, as a part of what is bought or sold.
    """
    invest = np.asarray(invest, bool)
    before = np.concatenate([np.zeros_like(invest[:1]), invest[:-1]])
    earned = invest * np.expm1(log_returns) - cost * (invest != before)
    return Daily(
        np.mean(invest == (log_returns > 0), axis=1),
        np.mean(np.square(np.asarray(predicted, np.float64) - np.asarray(true, np.float64)), axis=1),
        np.mean(earned, axis=1),
    )


def block_bootstrap(days: int, draws: int, block: int, seed: int) -> npt.NDArray[np.int64]:
    """Return days drawn with replacement, (draws, days), in blocks of days that follow each other, in a circle.

    Days next to each other are alike (calm and stormy times), so that drawing single days would give intervals that
    are too narrow. (Politis & Romano 1992.)
    """
    starts = np.random.default_rng(seed).integers(0, days, (draws, -(-days // block), 1))
    return ((starts + np.arange(block)) % days).reshape(draws, -1)[:, :days]


def interval(values: npt.ArrayLike, confidence: float) -> tuple[float, float]:
    """Return the middle part of bootstrapped values that holds so much of them (percentiles)."""
    low, high = np.quantile(np.asarray(values), [(1 - confidence) / 2, (1 + confidence) / 2])
    return float(low), float(high)
