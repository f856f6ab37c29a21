"""The lecture's six networks as predictors of the next day's returns; linear autoregressions to compare them with."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

import minigrad as mg
import minigrad_rnn as mr
from minigrad import Tensor, nn

from .series import StockSeries

LAGS = 10
"""Days that the TDNN, the NARX and the linear autoregressions look back."""
CALENDAR = 5
State = Any


class Predictor(nn.Module):
    """A net that reads the returns of day t and the weekday of day t + 1.

    Call: `predicted, state = model(returns, calendar, state)`: returns (T, B, S), calendar (T, B, 5), and predicted
        (T, B, S), those of the days after. The state returned continues the series.
    """

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net = net

    def forward(self, returns: Any, calendar: Any, state: State = None) -> tuple[Tensor, State]:
        predicted, state = self.net(mg.concatenate([returns, calendar], axis=-1), state)
        return predicted, state


class NARXPredictor(Predictor):
    """A NARX: only the weekday is an input. Its outputs are the returns, and it is told the true ones of before.

    Y(t) is the return of day t + 1; so Y(t − 1), …, Y(t − K) are the returns of day t and the days before.
    """

    def forward(self, returns: Any, calendar: Any, state: State = None) -> tuple[Tensor, State]:
        net: Any = self.net
        K = net.output_lags
        before = mg.concatenate([returns[:1] * 0.0] * K) if state is None else state
        before = mg.concatenate([before[1:], returns[:1]])  # Y(−K), …, Y(−1)
        # The last of these true outputs is not known yet, and read by no step of this call.
        predicted, _ = net(calendar, before, targets=mg.concatenate([returns[1:], returns[-1:]]))
        return predicted, mg.concatenate([before, returns[1:]])[-K:]


def _recurrent(network: type[mr.Recurrence]) -> Callable[[int, int, int], Predictor]:
    def make(stocks: int, hidden: int, seed: int) -> Predictor:
        rng = np.random.default_rng(seed)
        recurrence = network(stocks + CALENDAR, hidden, rng=rng)
        return Predictor(mr.ManyToMany(recurrence, nn.Linear(hidden, stocks, rng=rng)))

    return make


NETWORKS: dict[str, Callable[[int, int, int], Predictor]] = {
    "TDNN": lambda S, H, seed: Predictor(mr.TDNN(S + CALENDAR, H, S, delays=LAGS - 1, rng=seed)),
    "NARX": lambda S, H, seed: NARXPredictor(
        mr.NARX(CALENDAR, H, S, input_lags=0, output_lags=LAGS, initial="zeros", rng=seed)
    ),
    "Jordan": lambda S, H, seed: Predictor(mr.Jordan(S + CALENDAR, H, S, mu=0.5, rng=seed)),
    "Elman": lambda S, H, seed: Predictor(mr.Elman(S + CALENDAR, H, S, rng=seed)),
    "RNN": _recurrent(mr.RNN),
    "LSTM": _recurrent(mr.LSTM),
}
"""Functions of (stocks, hidden units, seed), by the name of the network."""


class LinearAutoregression:
    """Least squares on the last `LAGS` days and the weekday: of the stock itself, or of all stocks.

    Args:
        series: the training period.
        own: whether a stock's prediction reads its own past only.
    """

    def __init__(self, series: StockSeries, own: bool) -> None:
        self.own = own
        S = len(series.names)
        of_stocks = range(S) if own else [slice(None)]
        self.weights = [
            np.linalg.lstsq(self._inputs(series.returns, series.calendar, k)[LAGS:], series.targets[LAGS:, k])[0]
            for k in of_stocks
        ]

    def predict(self, returns: npt.ArrayLike, calendar: npt.ArrayLike) -> npt.NDArray[np.float64]:
        """Return the predictions (T, S) from returns (T, S) and weekdays (T, 5); before the first day returns are 0."""
        r, c = np.asarray(returns, np.float64), np.asarray(calendar, np.float64)
        if not self.own:
            return self._inputs(r, c, slice(None)) @ self.weights[0]
        return np.stack([self._inputs(r, c, k) @ w for k, w in enumerate(self.weights)], axis=1)

    def _inputs(self, returns: Any, calendar: Any, stock: Any) -> npt.NDArray[np.float64]:
        columns = returns[:, stock].reshape(len(returns), -1)
        padded = np.concatenate([np.zeros((LAGS - 1, columns.shape[1])), columns])
        windows = np.lib.stride_tricks.sliding_window_view(padded, LAGS, axis=0)
        # The five weekdays add up to the constant 1.
        return np.concatenate([windows.reshape(len(returns), -1), calendar], axis=1)


def closed_loop(
    step: Callable[[Any, Any, State], tuple[Any, State]], today: Any, calendar: Any, state: State, days: int
) -> Any:
    """Return `days` predictions, each of which is read as the returns of the next day.

    Args:
        step: (returns, calendar, state) → (prediction, state), for one day.
        today: the last true returns. calendar: (days, 5), known in advance. state: that before `today` is read.
    """
    path = []
    for day in range(days):
        today, state = step(today, calendar[day], state)
        path.append(today)
    return path
