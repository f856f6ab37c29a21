"""examples/invest.py: no look into the future, closed loops, measures by hand, a series that can be predicted."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import invest
import numpy as np
import pytest
from datasets import DataError, Stocks, stocks
from invest_parts.measures import block_bootstrap, daily
from invest_parts.models import LAGS, NETWORKS, LinearAutoregression
from invest_parts.series import StockSeries, stock_series

FLAGS = ("--seeds", "1", "--draws", "200", "--horizon", "8")


def days_of(count: int) -> Any:
    """Weekdays from the beginning of 2000 on."""
    days = np.datetime64("2000-01-03") + np.arange(2 * count)
    return days[np.is_busday(days)][:count]


def series_of(S: int = 3, T: int = 400, seed: int = 0, ar: float = 0.0) -> StockSeries:
    days, prices = prices_of(S, T, seed, ar)
    return stock_series(days, tuple("ABCDE"[:S]), prices, "2000-01-03", str(days[T // 2]), str(days[3 * T // 4]))


def prices_of(S: int, T: int, seed: int, ar: float) -> Any:
    """Prices whose daily returns follow r(t + 1) = ar · r(t) + noise."""
    returns = np.random.default_rng(seed).normal(0, 0.01, (T, S))
    for t in range(1, T):
        returns[t] += ar * returns[t - 1]
    return days_of(T), 100 * np.exp(np.cumsum(returns, axis=0))


def test_targets_are_the_next_days_returns_in_units_of_the_training_period() -> None:
    days, prices = prices_of(2, 400, 0, 0.0)
    series = stock_series(days, ("A", "B"), prices, str(days[10]), str(days[200]), str(days[300]))
    r = np.log(prices[1:] / prices[:-1])  # r[t] is that of days[t + 1]
    t = 57
    place = int(np.flatnonzero(series.dates == days[t])[0])
    np.testing.assert_allclose(series.log_returns(series.targets[place]), r[t - 1], atol=1e-7)
    np.testing.assert_allclose(series.log_returns(series.returns[place]), r[t - 2], atol=1e-7)
    np.testing.assert_array_equal(series.changes[place], np.log(prices[t]) - np.log(prices[t - 1]))
    assert series.calendar[place].argmax() == days[t].astype(object).weekday()
    for split, first in (("validation", 200), ("test", 300)):
        assert series.part(split).dates[0] == days[first]
    later = prices.copy()
    later[200:] *= np.linspace(1, 9, 200)[:, None]
    changed = stock_series(days, ("A", "B"), later, str(days[10]), str(days[200]), str(days[300]))
    np.testing.assert_array_equal(changed.part("train").returns, series.part("train").returns)


def test_a_split_without_days_and_a_missing_price_are_refused() -> None:
    days, prices = prices_of(2, 400, 0, 0.0)
    with pytest.raises(ValueError, match="test: got 0 days, want at least 60"):
        stock_series(days, ("A", "B"), prices, "2000-01-03", str(days[200]), "2100-01-01")
    prices[7, 1] = np.nan
    with pytest.raises(ValueError, match="missing or not positive"):
        stock_series(days, ("A", "B"), prices, "2000-01-03", str(days[200]), str(days[300]))


@pytest.mark.parametrize("name", NETWORKS)
def test_no_network_sees_the_future_and_parts_of_a_series_continue_it(name: str) -> None:
    series, rng = series_of(T=300), np.random.default_rng(0)
    model = NETWORKS[name](3, 4, 0).eval()
    returns, calendar = series.returns[:40, None], series.calendar[:40, None]
    whole = model(returns, calendar)[0].numpy()
    first, state = model(returns[:15], calendar[:15])
    second, _ = model(returns[15:], calendar[15:], state)
    np.testing.assert_allclose(np.concatenate([first.numpy(), second.numpy()]), whole, atol=1e-6)
    changed = returns.copy()
    changed[25:] = rng.normal(size=changed[25:].shape)
    other = model(changed, calendar)[0].numpy()
    np.testing.assert_array_equal(other[:25], whole[:25])
    assert (other[25] != whole[25]).any()


def test_a_closed_loop_of_the_narx_is_its_own_forecast() -> None:
    series, start, days = series_of(T=300), 50, 12
    model: Any = NETWORKS["NARX"](3, 4, 0)
    past = series.returns[start - LAGS + 1 : start + 1, None]
    ahead, _ = model.net.forecast(days, past, series.calendar[start : start + days, None])
    loop = invest.loop_of(model, series, start, days)
    np.testing.assert_allclose(loop, ahead.numpy()[:, 0], atol=1e-6)


@pytest.mark.parametrize("own", [True, False])
def test_the_linear_autoregression_finds_the_coefficient(own: bool) -> None:
    series = series_of(T=6000, ar=0.4)
    train, test = series.part("train"), series.part("test")
    model = LinearAutoregression(train, own)
    predicted = model.predict(series.returns, series.calendar)[series.splits["test"]]
    explained = 1 - np.mean((predicted - test.targets) ** 2) / np.mean(test.targets**2)
    assert explained == pytest.approx(0.4**2, abs=0.03)
    one = invest.linear_loop(model, series, 100, 5)
    np.testing.assert_allclose(one[0], model.predict(series.returns[71:101], series.calendar[71:101])[-1], atol=1e-12)


def test_right_days_errors_and_gains_by_hand() -> None:
    returns = np.log([[1.1, 0.9], [0.8, 1.5], [1.0, 1.2]])
    invests = np.array([[True, True], [False, True], [False, False]])
    result = daily(np.ones((3, 2)), invests, np.array([[1, 0], [3, 1], [1, 1.0]]), returns, cost=0.01)
    np.testing.assert_allclose(result.right, [0.5, 1, 0.5])
    np.testing.assert_allclose(result.squared_error, [0.5, 2, 0])
    # Day 0 buys both (0.1 − 0.1, less 2 %), day 1 sells the first (0.5, less 1 %), day 2 the second (less 1 %).
    np.testing.assert_allclose(result.gain, [-0.01, 0.245, -0.005])


def test_the_bootstrap_draws_blocks_and_is_wider_where_days_are_alike() -> None:
    drawn = block_bootstrap(500, 400, 20, seed=0)
    assert drawn.shape == (400, 500)
    assert (np.diff(drawn[:, :20], axis=1) % 500 == 1).all()
    noise = np.random.default_rng(0).normal(size=500)
    alike = np.convolve(noise, np.ones(10), "full")[:500]
    single = block_bootstrap(500, 400, 1, seed=0)
    assert 0.8 < noise[drawn].mean(1).std() / noise[single].mean(1).std() < 1.25
    assert alike[drawn].mean(1).std() > 2 * alike[single].mean(1).std()


def planted(monkeypatch: pytest.MonkeyPatch, ar: float) -> None:
    """Stocks of 22 years whose returns follow those of the day before."""
    days, prices = prices_of(3, 5900, 0, ar)
    monkeypatch.setattr(invest, "stocks", lambda: Stocks(days, ("A", "B", "C"), prices))


def main(folder: Path, *arguments: str) -> int:
    return invest.run(invest.main, invest.PARSER, [*FLAGS, "--out", str(folder), *arguments])


def test_a_series_that_can_be_predicted_is_and_the_verdict_says_so(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    planted(monkeypatch, ar=0.5)
    assert main(tmp_path, "--networks", "TDNN", "--epochs", "6", "--lr", "0.01", "--cost", "0") == 0
    printed = capsys.readouterr().out
    verdict = printed.split("better than always invest: ")[1]
    assert "TDNN in direction; TDNN in squared error; TDNN in gain" in verdict
    for name in ("closed_loop.png", "gains.png"):
        assert (tmp_path / name).stat().st_size > 10_000


def test_real_stocks(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    try:
        real = stocks()
    except DataError as error:
        pytest.skip(f"the stocks cannot be downloaded here: {error}")
    assert real.prices.shape == (8313, 20)
    assert main(tmp_path, "--networks", "LSTM", "--epochs", "1") == 0
    rows = {line[:20].strip(): line[20:] for line in capsys.readouterr().out.splitlines() if "%" in line}
    logs = np.log(real.prices[real.dates >= np.datetime64("2015-12-31")])
    assert rows["always invest"].split()[0] == f"{np.mean(np.diff(logs, axis=0) > 0):.1%}" == "52.1%"
    assert "LSTM" in rows
