"""On a task with long lags the ledger shows what the lecture says: an RNN's gradient vanishes, an LSTM's need not."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import minigrad as mg
import minigrad_rnn as mr

LAGS, SYMBOLS, B = 100, 4, 8


def contributions(model: Any, impl: str) -> dict[str, Any]:
    """The norms by step, from the first to the last, of recalling the first symbol after `LAGS` others.

    The symbols between are noise; only the last output is asked.
    """
    net, readout = (
        model(SYMBOLS, 32, impl=impl, rng=0, dtype="float64"),
        mg.nn.Linear(32, SYMBOLS, rng=1, dtype="float64"),
    )
    ids = np.random.default_rng(2).integers(0, SYMBOLS, (LAGS + 1, B))
    ys, _ = net(np.eye(SYMBOLS)[ids])
    with mg.record_ledger(net, keep="norms") as book:
        mg.cross_entropy(readout(ys[-1]), ids[0]).backward()
    return {name: np.array(list(book.norms(f"forward0.{name}").values())) for name in ("Wc", "Wr", "b")}


@pytest.mark.parametrize("impl", ["graph", "fused", "native"])
def test_an_rnns_contributions_vanish_and_an_lstms_that_remembers_do_not(impl: str) -> None:
    rnn = contributions(mr.RNN, impl)
    remembers = contributions(lambda *a, **o: mr.LSTM(*a, forget_bias=3.0, **o), impl)
    forgets = contributions(mr.LSTM, impl)
    for name in ("Wc", "Wr", "b"):
        first = 1 if name == "Wr" else 0  # h(−1) = 0: the recurrent weights contribute nothing at the first step
        assert len(rnn[name]) == LAGS + 1
        assert 0 < rnn[name][first] < 1e-12 * rnn[name].max()
        assert remembers[name][first:].min() > remembers[name].max() / 100
        assert forgets[name][first] < 1e-6 * forgets[name].max()  # with its default bias it vanishes too
