"""`profile`: counts and times by operation, step and module, and its table, with a clock that ticks once per call."""

from __future__ import annotations

import asyncio
import contextvars
import dataclasses
import itertools
import threading
from typing import Any

import numpy as np
import pytest

import minigrad as mg
from minigrad import nn
from minigrad.backend import BY_ARRAY_TYPE, get_backend
from minigrad_rnn import LSTM, RNN


def leaf(*shape: int) -> mg.Tensor:
    return mg.tensor(np.ones(shape), requires_grad=True)


@pytest.fixture
def ticking(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every look at the clock takes a millisecond."""
    ticks = itertools.count()
    monkeypatch.setattr(mg.profile, "_clock", staticmethod(lambda: next(ticks) * 1e-3))


@pytest.mark.usefixtures("ticking")
def test_the_table() -> None:
    x = leaf(4, 4)
    with mg.profile() as p:
        mg.tanh(mg.tanh(x) @ x).sum().backward()
    assert repr(p) == (
        "operation               calls  forward ms  backward ms  saved bytes   share\n"
        "tanh                        2       2.000        2.000          512   44.4%\n"
        "matmul                      1       1.000        2.000          256   33.3%\n"
        "sum                         1       1.000        1.000            0   22.2%\n"
        "total                       4       4.000        5.000          768  100.0%\n"
        "between the operations  10.000 ms of 19.000 ms"
    )
    assert p.table("module").splitlines()[1].startswith("no module ")
    assert p.table("time step").splitlines()[1].startswith("no time step ")
    assert [s.backward_calls for s in p.by()] == [2, 1, 1]


@pytest.mark.usefixtures("ticking")
def test_in_a_recorded_walk_no_time_counts_twice() -> None:
    x = leaf(3)
    with mg.profile() as p:
        (g,) = mg.gradients(mg.tanh(x).sum(), [x], create_graph=True)
        g.sum().backward()
    assert sum(s.seconds for s in p.by()) == pytest.approx(p.total.seconds)
    assert p.total.seconds < p.wall
    assert {s.name for s in p.by()} >= {"tanh", "multiply", "sum"}
    assert all(s.backward >= 0 for s in p.by())


@pytest.mark.parametrize("impl", ["graph", "fused", "native"])
@pytest.mark.parametrize("kind", [RNN, LSTM])
def test_its_bytes_are_the_tapes(kind: Any, impl: str) -> None:
    rnn = kind(2, 3, impl=impl)
    with mg.profile(rnn) as p:
        hs, _ = rnn(np.ones((6, 2, 2), np.float32))
        loss = (hs * hs).sum()
    table = mg.tape_table(loss)
    on_the_tape = {row.op for row in table.rows}
    by_op: dict[str, int] = {}
    for row in table.rows:
        by_op[row.op] = by_op.get(row.op, 0) + row.saved_nbytes
    result = {s.name: s.saved_nbytes for s in p.by() if s.name in on_the_tape}
    assert {op: n for op, n in by_op.items() if op != "leaf"} == result
    assert table.saved_nbytes == sum(result.values()) > 0


def test_by_time_step_and_by_module() -> None:
    class Model(nn.Module):
        def __init__(self) -> None:
            self.rnn = RNN(2, 3, impl="graph", dtype="float64")
            self.head = nn.Linear(3, 1, dtype="float64")

        def forward(self, xs: Any) -> Any:
            return mg.tanh(self.head(self.rnn(xs)[0]))

    model = Model()
    with mg.profile(model) as p:
        model(np.ones((4, 1, 2))).sum().backward()
    assert [s.name for s in p.by("time step")] == ["0", "1", "2", "3", "no time step"]
    assert len({s.calls for s in p.by("time step")[:4]}) == 1
    assert all(s.backward_calls == 2 for s in p.by("time step")[:4])  # but for the getitem of a constant
    by_module = {s.name: s for s in p.by("module")}
    assert set(by_module) == {"rnn", "head", "Model", "no module"}
    assert by_module["head"].calls == by_module["head"].backward_calls == 1
    assert by_module["Model"].calls == 1
    assert by_module["no module"].calls == 1  # the sum
    with mg.profile() as p:
        model(np.ones((4, 1, 2)))
    assert {s.name for s in p.by("module")} == {"RNN", "Linear", "Model"}
    with pytest.raises(ValueError, match=r"profile\.by: what: got 'line', want one of"):
        p.by("line")


def test_what_is_off_the_tape_saves_nothing() -> None:
    with mg.profile() as p, mg.no_grad():
        mg.exp(leaf(100))
    assert [(s.name, s.calls, s.saved_nbytes) for s in p.by()] == [("exp", 1, 0)]


def test_devices_are_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    from tests.support import strict_device  # noqa: F401  registers it

    strict = get_backend("strict")
    waits: list[int] = []
    spied = dataclasses.replace(strict, synchronize=lambda: waits.append(1))
    monkeypatch.setitem(BY_ARRAY_TYPE, strict.array_type, spied)
    x = mg.tensor(np.ones(3), requires_grad=True, backend="strict")
    with mg.profile():
        y = mg.tanh(x)
        before = len(waits)
        y.sum().backward()
        assert len(waits) > before > 0
    waits.clear()
    mg.tanh(x)
    assert not waits


def test_an_operation_that_fails_leaves_no_trace() -> None:
    with mg.profile() as p:
        with pytest.raises(ValueError, match="matmul"):
            leaf(2, 3) @ leaf(2, 3)
        mg.exp(leaf(2))
    assert [(s.name, s.calls) for s in p.by()] == [("exp", 1)]


def test_anomalies_and_hooks_beside_a_profile() -> None:
    x = leaf(3)
    with mg.profile() as p, mg.detect_anomaly():
        h = mg.tanh(x)
        h.register_hook(lambda g: g * 2.0)
        h.sum().backward()
        with pytest.raises(mg.AnomalyError):
            mg.log(x - 1.0)
        nn.Linear(3, 1, dtype="float64")(x)
    assert x.grad is not None
    assert {s.name for s in p.by()} == {"tanh", "sum", "multiply", "subtract", "linear"}
    assert {s.name for s in p.by("module")} == {"Linear", "no module"}


def test_threads_and_tasks() -> None:
    def work(n: int) -> None:
        for _ in range(n):
            mg.tanh(leaf(2)).sum().backward()

    with mg.profile() as p:
        thread = threading.Thread(target=work, args=(5,))  # a thread begins with nothing of ours
        thread.start()
        thread.join()
    assert p.by() == []
    with mg.profile() as p:
        context = [contextvars.copy_context() for _ in range(4)]
        threads = [threading.Thread(target=c.run, args=(work, 50)) for c in context]
        for t in threads:
            t.start()
        for t in threads:
            t.join()
    assert {s.name: (s.calls, s.backward_calls) for s in p.by()} == {"tanh": (200, 200), "sum": (200, 200)}

    async def own(n: int) -> int:
        with mg.profile() as p:
            await asyncio.sleep(0)
            work(n)
            await asyncio.sleep(0)
        return p.total.calls

    async def both() -> list[int]:
        return await asyncio.gather(own(1), own(2), own(3))

    assert asyncio.run(both()) == [2, 4, 6]


def test_twice_the_same_profile_adds_up() -> None:
    p = mg.profile()
    for _ in range(2):
        with p:
            mg.exp(leaf(2))
    assert p.total.calls == 2
    assert p.saved_nbytes == 32
