"""TrainingMonitor: what it records, when it speaks, and that training goes on as without it."""

from __future__ import annotations

import json
import logging
from typing import Any

import numpy as np
import pytest

import minigrad as mg
from minigrad_rnn import LSTM, RNN, Elman, ManyToMany, TrainingMonitor, Truncation, checkpointed
from minigrad_rnn.flow import plot_training
from minigrad_rnn.text import CharacterModel

T, B, I, H = 40, 4, 2, 6
XS = np.random.default_rng(0).standard_normal((T, B, I))


def scaled(model: Any, factor: float) -> Any:
    """The net whose recurrent matrix is `factor` times an orthogonal one."""
    Wr = model.forward0.Wr
    Wr.data[...] = factor * np.linalg.qr(np.random.default_rng(1).standard_normal(Wr.shape))[0]
    return model


def rnn(factor: float, nonlinearity: str = "relu") -> Any:
    return scaled(RNN(I, H, nonlinearity=nonlinearity, dtype="float64", rng=0), factor)


def step(model: Any, monitor: TrainingMonitor, every: bool = False) -> None:
    with monitor:
        output, _ = model(XS)
        (output if every else output[-1]).sum().backward()


@pytest.mark.parametrize("every", [False, True], ids=["a loss at the end", "a loss at every step"])
def test_it_says_where_gradients_vanish(caplog: pytest.LogCaptureFixture, every: bool) -> None:
    model = rnn(0.5, "tanh")
    monitor = TrainingMonitor(model)
    with caplog.at_level(logging.WARNING, "minigrad_rnn.flow"):
        step(model, monitor, every)
    (text,) = (record.message for record in caplog.records)
    assert text == monitor.records[0]["findings"][0]
    assert text.startswith("step 0: forward0: the gradient vanishes: a step back leaves 0.")
    assert "on less than 0.001 arrives" in text
    assert text in monitor.report()
    arrives = np.array(monitor.records[0]["layers"]["forward0"]["arrives"])
    lag = int(text.split("from lag ")[1].split()[0])
    assert arrives[lag - 1] < 1e-3 <= arrives[lag - 2]
    assert lag <= 10  # 0.5 ** 10 < 1e-3, and tanh's slope is at most 1


def test_it_says_where_gradients_explode_and_once() -> None:
    """Without tanh's slope the gain of a step is 2 exactly, where every unit is on."""
    model = RNN(1, 2, nonlinearity="relu", dtype="float64", rng=0)
    model.forward0.Wr.data[...] = 2 * np.eye(2)
    messages: list[str] = []
    handler = logging.Handler()
    handler.emit = lambda record: messages.append(record.getMessage())  # type: ignore[method-assign]
    logging.getLogger("minigrad_rnn.flow").addHandler(handler)
    monitor = TrainingMonitor(model, every=2)
    try:
        for _ in range(4):
            with monitor:
                model(np.zeros((20, 1, 1)), np.ones((1, 1, 2)))[0][-1].sum().backward()
        with monitor:
            model(np.zeros((5, 1, 1)), np.ones((1, 1, 2)))[0][-1].sum().backward()
    finally:
        logging.getLogger("minigrad_rnn.flow").removeHandler(handler)
    assert messages == [
        "step 0: forward0: the gradient explodes: a step back makes it 2 times as large, and from lag 10 on more than "
        "1000 times arrives"
    ]
    assert [len(record["findings"]) for record in monitor.records] == [1, 1, 0]
    np.testing.assert_allclose(monitor.records[0]["layers"]["forward0"]["gains"], 2)
    assert "nothing vanishes or explodes at the last measured step\nbefore: 2 findings" in monitor.report()


def test_records_are_the_numbers(caplog: pytest.LogCaptureFixture) -> None:
    model = ManyToMany(LSTM(I, H, 2, dtype="float64", rng=0), mg.nn.Linear(H, 1, dtype="float64", rng=0))
    monitor = TrainingMonitor(model)
    for _ in range(2):
        model.zero_grad()
        with monitor:
            output, _ = model(XS)
            (output**2).sum().backward()
    (record,) = json.loads(json.dumps(monitor.records))
    for name, p in model.named_parameters():
        assert p.grad is not None
        np.testing.assert_allclose(record["parameters"][name], np.linalg.norm(p.grad.numpy()), rtol=1e-12)
    total = np.sqrt(sum(n**2 for n in record["parameters"].values()))
    np.testing.assert_allclose(record["gradient_norm"], total, rtol=1e-12)
    assert list(record["layers"]) == ["recurrence.forward0", "recurrence.forward1"]
    assert {name.rpartition(".")[0] for name in record["contributions"]} == set(record["layers"])
    book = mg.ledger((model(XS)[0] ** 2).sum(), model.recurrence.forward1.Wr)
    want = {str(t): np.linalg.norm(g.numpy()) for t, g in book.by_time_step(model.recurrence.forward1.Wr).items()}
    got = record["contributions"]["recurrence.forward1.Wr"]
    assert got.keys() == want.keys()
    np.testing.assert_allclose([got[t] for t in want], list(want.values()), rtol=1e-10, atol=1e-14)


def test_training_goes_on_as_without_it() -> None:
    results = []
    for watched in (False, True):
        model = CharacterModel(7, "lstm", 5, 6, rng=0)
        optimizer, monitor = mg.optim.Adam(model.parameters(), lr=0.01), TrainingMonitor(model, every=2)
        for _ in range(4):
            ids = np.arange(24).reshape(12, 2) % 7
            with monitor if watched else mg.enable_grad():
                optimizer.zero_grad()
                logits, _ = model(ids)
                mg.cross_entropy(logits, ids).backward()
            optimizer.step()
        results.append([p.numpy() for p in model.parameters()])
        assert len(monitor.records) == 2 * watched
    for a, b in zip(*results):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-7)


def test_windows_classics_and_blocks_that_fail() -> None:
    model = rnn(0.9)
    monitor = TrainingMonitor(model, every=1)
    with monitor:
        for window in Truncation(10).windows(model, XS):
            window.output.sum().backward()
    assert len(monitor.records[0]["layers"]["forward0"]["norms"]["h"]) == 10
    with pytest.raises(ZeroDivisionError), monitor:
        raise ZeroDivisionError
    with monitor:  # nothing was computed
        pass
    assert [record["step"] for record in monitor.records] == [0, 2]
    assert monitor.records[1]["layers"] == {}
    with monitor, pytest.raises(RuntimeError, match="a block inside its own block"), monitor:
        pass
    elman = TrainingMonitor(net := Elman(I, H, 2, dtype="float64", rng=0), every=1)
    step(net, elman)
    assert elman.records[0]["findings"] == [
        "step 0: Elman: the gradient vanishes: a step back leaves 0 of it, and from lag 1 on less than 0.001 arrives"
    ]


def test_segments_of_a_checkpoint() -> None:
    """The last segment in time is looked at, which runs again first."""
    model = rnn(0.9)
    monitor, whole = TrainingMonitor(model), TrainingMonitor(model)
    step(model, whole)
    with monitor:
        output, _ = checkpointed(model, 4)(XS)
        output[-1].sum().backward()
    norms, want = (m.records[0]["layers"]["forward0"]["norms"]["h"] for m in (monitor, whole))
    assert len(norms) == T // 4
    np.testing.assert_allclose(norms, want[: T // 4], rtol=1e-12)


def test_what_is_not_finite_is_said() -> None:
    model = rnn(0.9)
    monitor = TrainingMonitor(model)
    with monitor:
        (model(XS)[0] * np.nan).sum().backward()
    (record,) = json.loads(json.dumps(monitor.records, allow_nan=False))
    assert record["gradient_norm"] is None
    assert record["findings"] == ["step 0: forward0: ∂L/∂h is not finite from lag 0 on"]
    assert "not finite" in repr(monitor)


def test_bad_arguments() -> None:
    with pytest.raises(ValueError, match=r"vanishing: got 2\.0, want less than exploding = 1\.0"):
        TrainingMonitor(rnn(1.0), vanishing=2.0, exploding=1.0)
    with pytest.raises(TypeError, match="got Linear, in which nothing recurs"):
        TrainingMonitor(mg.nn.Linear(2, 3))
    with pytest.raises(ValueError, match="got one that has measured nothing"):
        plot_training(TrainingMonitor(rnn(1.0)))


@pytest.mark.parametrize("bias", [1.0, 5.0])
def test_losses_at_every_step_do_not_hide_how_old_gradients_fare(bias: float) -> None:
    """A new ∂L/∂h shrinks on its way to the cell, at every step anew; what the last loss alone leaves is the truth."""
    model = LSTM(I, 16, forget_bias=bias, dtype="float64", rng=0)
    arrives = []
    for every in (False, True):
        monitor = TrainingMonitor(model)
        with monitor:
            output, _ = model(XS)
            ((output if every else output[-1]) ** 2).sum().backward()
        arrives.append(np.array(monitor.records[0]["layers"]["forward0"]["arrives"]))
        assert bool(monitor.records[0]["findings"]) == (bias < 5)
    for lag in (5, 20, T - 2):
        assert 0.1 < arrives[1][lag] / arrives[0][lag] < 10  # an estimate; with the newest terms 1e-5
