"""StockSeries holds the daily returns of stocks, standardised, with the calendar of the day that is to be predicted."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]
Days = npt.NDArray[np.datetime64]


SPLITS = ("train", "validation", "test")
"""One after the other in time."""


class StockSeries(NamedTuple):
    """T days of S stocks. Row t is what is known at the end of day t, and what is to be predicted then.

    Today's numbers come first: `returns` (T, S), log returns divided by each stock's standard deviation in the training
    period, from which its mean was taken. Then `calendar` (T, 5), the weekday of day t + 1, one-hot, known in advance.
    Last `targets` (T, S), the returns of day t + 1 in the same units.
    """

    names: tuple[str, ...]
    dates: Days
    """Of day t + 1, the day whose return is the target."""
    returns: Floats
    calendar: Floats
    targets: Floats
    changes: npt.NDArray[np.float64]
    """(T, S), the log returns of day t + 1 as they are: on some days a price does not change at all."""
    mean: Floats
    deviation: Floats
    """(S,): a target times `deviation` plus `mean` is a log return."""
    splits: dict[str, slice]
    """The days of each of `SPLITS`."""

    def part(self, split: str) -> StockSeries:
        """Return the days of a split."""
        days = self.splits[split]
        return self._replace(
            dates=self.dates[days],
            returns=self.returns[days],
            calendar=self.calendar[days],
            targets=self.targets[days],
            changes=self.changes[days],
        )

    def log_returns(self, standardised: npt.ArrayLike) -> npt.NDArray[np.float64]:
        """Return standardised numbers (…, S) as log returns."""
        return np.asarray(standardised, np.float64) * self.deviation + self.mean


def stock_series(
    dates: Days, names: tuple[str, ...], prices: npt.NDArray[np.float64], first: str, validation: str, test: str
) -> StockSeries:
    """Make the series of closing prices (days, S).

    Args:
        dates: (days,), ascending.
        first, validation, test: the first days of the training period and of the two after it, such as "2012-01-01".

    Raises:
        ValueError: a split has fewer than 60 days, or a price is missing or not positive.
    """
    if not (np.isfinite(prices).all() and (prices > 0).all()):
        raise ValueError("stock_series: prices: got some that are missing or not positive, want positive numbers")
    start = int(np.searchsorted(dates, np.datetime64(first)))
    target_dates, changes = dates[start + 2 :], np.diff(np.log(prices[start:]), axis=0)
    bounds = [0, *np.searchsorted(target_dates, np.array([validation, test], "datetime64[D]")), len(target_dates)]
    splits = {name: slice(int(a), int(b)) for name, a, b in zip(SPLITS, bounds, bounds[1:])}
    for name, days in splits.items():
        if days.stop - days.start < 60:
            raise ValueError(f"stock_series: {name}: got {max(0, days.stop - days.start)} days, want at least 60")
    known = changes[: splits["train"].stop + 1]  # all that was known when the training period ended
    mean, deviation = known.mean(0), known.std(0)
    standardised = ((changes - mean) / deviation).astype(np.float32)
    weekdays = (target_dates.astype("datetime64[D]").astype(np.int64) + 3) % 7  # 1970 began on a Thursday
    calendar = np.eye(7, 5, dtype=np.float32)[weekdays]
    return StockSeries(
        names, target_dates, standardised[:-1], calendar, standardised[1:], changes[1:],
        mean.astype(np.float32), deviation.astype(np.float32), splits,
    )  # fmt: skip
