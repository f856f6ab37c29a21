"""To invest or not to invest: six networks predict the next day's returns of twenty stocks, beside simple rules.

The lecture's predictors (slides 10, 15–29) read the vector of the stocks' returns day by day:
TDNN, NARX, Jordan, Elman, RNN and LSTM. Days are split by time: a network never sees a day after those it is tried on.

    python examples/invest.py                    six networks, three seeds each
    python examples/invest.py --networks LSTM    one of them

Expect no riches: the table says, with confidence intervals, how far each is from "always invest".
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

import numpy as np
from command_line import example_parser, fit, number, run, whole
from datasets import stocks
from invest_parts.measures import TRADING_DAYS, Daily, block_bootstrap, daily, interval
from invest_parts.models import NETWORKS, LinearAutoregression, Predictor, closed_loop
from invest_parts.pictures import draw_closed_loops, draw_strategies
from invest_parts.series import StockSeries, stock_series

import minigrad as mg
from minigrad import losses, optim
from minigrad.backend import get_backend
from minigrad_rnn.data import Batches
from minigrad_rnn.training import Trainer, load_weights

FIRST, VALIDATION, TEST = "2000-01-01", "2012-01-01", "2016-01-01"
"""Before 2000 some prices in the data, adjusted for splits, are so low that rounding moves them by up to 0.7 %."""
WINDOW, STRIDE, UNCOUNTED = 120, 10, 20
"""Days of a training sequence, from one to the next, and those at its beginning that only fill the state."""


def windows(series: StockSeries, batch_size: int, seed: int) -> Batches:
    """Batches of stretches of the training period: returns (T, B, S), weekdays (T, B, 5) and targets (T, B, S)."""
    starts = np.arange(0, len(series.returns) - WINDOW + 1, STRIDE)
    days = starts[:, None] + np.arange(WINDOW)
    columns = tuple(array[days] for array in (series.returns, series.calendar, series.targets))
    return Batches(columns, batch_size, seed=seed, collate=lambda parts: tuple(p.swapaxes(0, 1) for p in parts))


def predict(model: Predictor, series: StockSeries) -> Any:
    """The predictions (T, S) of a whole series, read from its first day to its last."""
    xp = get_backend(next(model.parameters()).backend)
    with mg.no_grad():
        predicted, _ = model(*(xp.from_numpy(a[:, None]) for a in (series.returns, series.calendar)))
    return predicted.numpy()[:, 0]


def train(name: str, series: StockSeries, seed: int, options: argparse.Namespace) -> Predictor:
    """Train a network on the training period until the validation period's error is no longer smaller."""
    model = NETWORKS[name](len(series.names), options.hidden_size, seed).to(options.backend)
    backend, train_part, days = get_backend(options.backend), series.part("train"), series.splits["validation"]

    def divergence(model: Predictor, batch: Any) -> mg.Tensor:
        returns, calendar, targets = (backend.from_numpy(array) for array in batch)
        predicted, _ = model(returns, calendar)
        return losses.mse(predicted[UNCOUNTED:], targets[UNCOUNTED:])

    def evaluate(model: Predictor) -> dict[str, float]:
        known = series._replace(returns=series.returns[: days.stop], calendar=series.calendar[: days.stop])
        return {"validation": float(np.mean((predict(model, known)[days] - series.targets[days]) ** 2))}

    folder = Path(options.out) / f"{name}-{seed}"
    trainer = Trainer(
        model, optim.AdamW(model.parameters(), lr=options.lr, weight_decay=0.1),
        windows(train_part, 32, seed), divergence, clip_norm=1.0, evaluate=evaluate, patience=4, folder=folder,
        progress=False,
    )  # fmt: skip
    if isinstance(options.resume, str):
        raise ValueError(f"--resume: got {options.resume}, want no file: all runs in --out are continued")
    resume = True if options.resume and (folder / "checkpoint.npz").exists() else None
    fit(trainer, argparse.Namespace(**{**vars(options), "resume": resume}))
    model.load_state_dict(load_weights(folder / "best.npz")[0])
    best = trainer.best or {}
    print(f"{name}, seed {seed}: error {best['value']:.4f} after {best['update']} updates", flush=True)
    return model.eval()


def loop_of(model: Predictor, series: StockSeries, start: int, days: int) -> Any:
    """A closed loop of `days` predictions from day `start` on: the model reads its own outputs; (days, S)."""
    backend = get_backend(next(model.parameters()).backend)

    def on_backend(array: Any) -> Any:
        return mg.tensor(backend.from_numpy(np.ascontiguousarray(array)))

    with mg.no_grad():
        _, state = model(on_backend(series.returns[:start, None]), on_backend(series.calendar[:start, None]))
        calendar = on_backend(series.calendar[start : start + days, None, None])
        path = closed_loop(model, on_backend(series.returns[start, None, None]), calendar, state, days)
        return mg.concatenate(path).numpy()[:, 0]


def linear_loop(model: LinearAutoregression, series: StockSeries, start: int, days: int) -> Any:
    """The same of a linear autoregression, whose state is the returns so far."""

    def step(today: Any, weekday: Any, past: Any) -> tuple[Any, Any]:
        past = np.concatenate([past, today[None]])
        return model.predict(past, np.tile(weekday, (len(past), 1)))[-1], past

    past = series.returns[start - 30 : start]
    return np.stack(closed_loop(step, series.returns[start], series.calendar[start : start + days], past, days))


def rules(series: StockSeries) -> dict[str, tuple[Any, Any]]:
    """The rules to compare with: their predictions (T, S), and whether they invest (T, S)."""
    zeros = np.zeros_like(series.targets)
    linear = {
        "linear, own past": LinearAutoregression(series.part("train"), own=True),
        "linear, all stocks": LinearAutoregression(series.part("train"), own=False),
    }
    predicted = {name: model.predict(series.returns, series.calendar) for name, model in linear.items()}
    today = np.concatenate([series.log_returns(series.returns[:1]), series.changes[:-1]])
    no_change = zeros - series.mean / series.deviation  # persistence: tomorrow's price is today's
    return {
        "always invest": (zeros, zeros == 0),  # and predict the mean of the training period
        "no change": (no_change, zeros != 0),
        "as today": (series.returns, today > 0),
        **{name: (p, series.log_returns(p) > 0) for name, p in predicted.items()},
    }


def report(results: dict[str, list[Daily]], networks: int, options: argparse.Namespace) -> None:
    """Print every predictor's measures with intervals, each the mean over its seeds, and what follows from them."""
    means = {name: Daily(*(np.mean(values, axis=0) for values in zip(*seeds))) for name, seeds in results.items()}
    base = means["always invest"]
    drawn = block_bootstrap(len(base.gain), options.draws, options.block, options.seed)
    confidence = 1 - 0.05 / max(1, networks)
    print(f"\n{'':20}{'direction right':>24}{'squared error':>26}{'gain a year':>30}{'against always invest':>28}")
    better = []
    for name, one in means.items():
        right = interval(one.right[drawn].mean(1), 0.95)
        error = one.squared_error.mean() / base.squared_error.mean()
        errors = interval(one.squared_error[drawn].mean(1) / base.squared_error[drawn].mean(1), 0.95)
        gain = interval(TRADING_DAYS * one.gain[drawn].mean(1), 0.95)
        more = TRADING_DAYS * (one.gain - base.gain)
        mores = interval(more[drawn].mean(1), 0.95)
        print(
            f"{name:20}{one.right.mean():>8.1%} [{right[0]:.1%}, {right[1]:.1%}]"
            f"{error:>12.3f} [{errors[0]:.3f}, {errors[1]:.3f}]"
            f"{TRADING_DAYS * one.gain.mean():>+12.1%} [{gain[0]:+.1%}, {gain[1]:+.1%}]"
            f"{more.mean():>+11.1%} [{mores[0]:+.1%}, {mores[1]:+.1%}]"
        )
        if name in NETWORKS:
            tests = {
                "direction": interval((one.right - base.right)[drawn].mean(1), confidence)[0] > 0,
                "squared error": interval((one.squared_error - base.squared_error)[drawn].mean(1), confidence)[1] < 0,
                "gain": interval(more[drawn].mean(1), confidence)[0] > 0,
            }
            better += [f"{name} in {what}" for what, is_better in tests.items() if is_better]
    print(
        f"\nIntervals hold 95 % of {options.draws:,} block bootstraps over the {len(base.gain):,} test days. With "
        f"{networks} networks compared at once, each at {confidence:.1%}:"
    )
    print("better than always invest: " + ("; ".join(better) if better else "none of the networks, in nothing."))


PARSER = example_parser(__doc__, "invest", epochs=40)
PARSER.add_argument("--networks", nargs="+", choices=NETWORKS, default=list(NETWORKS), help="which (all)")
PARSER.add_argument("--seeds", type=whole(1), default=3, help="trainings of each, from --seed on (%(default)s)")
PARSER.add_argument("--hidden-size", type=whole(1), default=16, help="hidden units (%(default)s)")
PARSER.add_argument("--lr", type=number(above=0), default=2e-3, help="learning rate (%(default)s)")
PARSER.add_argument("--cost", type=number(0), default=5.0, help="of a trade, in hundredths of a percent (%(default)s)")
PARSER.add_argument("--draws", type=whole(100), default=2000, help="of the bootstrap (%(default)s)")
PARSER.add_argument("--block", type=whole(1), default=20, help="days of the bootstrap's blocks (%(default)s)")
PARSER.add_argument("--horizon", type=whole(1), default=60, help="days of the closed loop (%(default)s)")


def main(options: argparse.Namespace) -> None:
    dates, tickers, prices = stocks()
    series = stock_series(dates, tickers, prices, FIRST, VALIDATION, TEST)
    test = series.part("test")
    print(", ".join(f"{name} {series.part(name).dates[0]} to {series.part(name).dates[-1]}" for name in series.splits))
    models = {
        name: [train(name, series, options.seed + k, options) for k in range(options.seeds)]
        for name in options.networks
    }

    def judged(predicted: Any, invest: Any) -> Daily:
        days = series.splits["test"]
        return daily(predicted[days], invest[days], test.targets, test.changes, options.cost / 10_000)

    results = {name: [judged(*rule)] for name, rule in rules(series).items()}
    for name, seeds in models.items():
        outputs = [predict(model, series) for model in seeds]
        results[name] = [judged(p, series.log_returns(p) > 0) for p in outputs]
    report(results, len(models), options)

    start = series.splits["test"].start
    linear = LinearAutoregression(series.part("train"), own=True)
    loops = {"linear, own past": linear_loop(linear, series, start, options.horizon)}
    loops |= {name: loop_of(seeds[0], series, start, options.horizon) for name, seeds in models.items()}
    draw_closed_loops(series, start, loops, Path(options.out) / "closed_loop.png")
    draw_strategies(test, {name: seeds[0].gain for name, seeds in results.items()}, Path(options.out) / "gains.png")


if __name__ == "__main__":
    sys.exit(run(main, PARSER))
