"""draw_closed_loops and draw_strategies draw what the networks forecast, and what would have come of their advice."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from .series import StockSeries

SHOWN = 6
"""Stocks in the picture of closed loops."""
BEFORE = 60
"""Days before the forecast that are drawn."""


def draw_closed_loops(series: StockSeries, start: int, loops: Mapping[str, npt.ArrayLike], path: Path) -> None:
    """Draw prices, 100 at the day before the forecast, and each predictor's closed loop from day `start` on.

    Args:
        loops: standardised returns (days, S) by the name of the predictor.
    """
    pyplot = _pyplot()
    figure, axes = pyplot.subplots(2, SHOWN // 2, figsize=(13, 7), layout="constrained", sharex=True)
    true = series.changes
    for k, axis in zip(np.linspace(0, len(series.names) - 1, SHOWN).astype(int), axes.flat):
        days = len(np.asarray(next(iter(loops.values()))))
        path_of = np.concatenate([[0.0], np.cumsum(true[start - BEFORE : start + days, k])])
        axis.plot(np.arange(-BEFORE, days + 1), 100 * np.exp(path_of - path_of[BEFORE]), color="black", label="true")
        for name, loop in loops.items():
            line = np.concatenate([[0.0], np.cumsum(series.log_returns(loop)[:, k])])
            axis.plot(np.arange(days + 1), 100 * np.exp(line), label=name, linewidth=1.2)
        axis.axvline(0, color="gray", linewidth=0.8, linestyle=":")
        axis.set_title(series.names[k])
    figure.supxlabel(f"trading days from {series.dates[start - 1]}; from there on every net reads its own outputs")
    figure.supylabel("price, 100 at the beginning of the forecast")
    handles, labels = axes.flat[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper center", ncols=len(labels))
    _save(figure, pyplot, path)


def draw_strategies(test: StockSeries, gains: Mapping[str, npt.NDArray[np.float64]], path: Path) -> None:
    """Draw what 100 become for each investor, from daily gains (D,)."""
    pyplot = _pyplot()
    figure, axis = pyplot.subplots(figsize=(11, 6), layout="constrained")
    for name, gain in gains.items():
        style: dict[str, Any] = {"color": "black", "linewidth": 2} if name == "always invest" else {"linewidth": 1}
        axis.plot(test.dates, 100 * np.cumprod(1 + gain), label=name, **style)
    axis.set_ylabel("value of 100, after costs")
    axis.set_yscale("log")
    axis.minorticks_off()
    low, high = axis.get_ylim()
    ticks = [value for value in (25, 50, 75, 100, 150, 200, 300, 400) if low < value < high]
    axis.set_yticks(ticks, map(str, ticks))
    axis.legend(ncols=2)
    _save(figure, pyplot, path)


def _pyplot() -> Any:
    try:
        import matplotlib

        matplotlib.use("Agg")
        from matplotlib import pyplot
    except ImportError:
        raise SystemExit("the pictures need matplotlib: pip install matplotlib") from None
    return pyplot


def _save(figure: Any, pyplot: Any, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=110)
    pyplot.close(figure)
    print(f"wrote {path}")
