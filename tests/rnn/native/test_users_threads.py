"""Several threads of the user's call one net, or go back through one graph: each gets its own right numbers."""

from __future__ import annotations

import copy
import ctypes
import threading
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import minigrad as mg
from minigrad_rnn.native import run, sequence
from tests.support.native_cells import KINDS, Results, different, drawn_batch, made_net, results
from tests.support.native_library import num_threads, require_compiler, split_small_calls

PATIENCE = 60.0


@pytest.fixture(autouse=True)
def _compiler() -> None:
    require_compiler()


def at_once(functions: list[Callable[[], Any]]) -> list[Any]:
    """Run the functions on a thread each, all from the same moment, and return what they return."""
    start, found = threading.Barrier(len(functions), timeout=PATIENCE), [None] * len(functions)

    def run(k: int) -> None:
        start.wait()
        found[k] = functions[k]()

    threads = [threading.Thread(target=run, args=(k,)) for k in range(len(functions))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE)
    return found


@pytest.mark.parametrize("kind", KINDS)
def test_threads_that_share_a_model(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    split_small_calls(monkeypatch)
    net = made_net(kind, 9, 33, "float32", bidirectional=True)
    batches = [drawn_batch(net, 20, 4, seed=k) for k in range(3)]
    with num_threads(2):
        want = [results(net, batch) for batch in batches]

        def repeated(k: int) -> Callable[[], bool]:
            return lambda: all(not different(results(net, batches[k]), want[k]) for _ in range(10))

        assert at_once([repeated(k) for k in range(3)]) == [True] * 3


@pytest.mark.parametrize("kind", ["rnn_tanh", "lstm_both", "gru_reset_first"])
def test_threads_that_go_back_through_one_graph(kind: str) -> None:
    net = made_net(kind, 9, 33)
    xs = mg.tensor(drawn_batch(net, 30, 4).xs, requires_grad=True)
    output, _ = net(xs)
    losses = [(output * output).sum(), mg.sin(output).sum(), (output * 3).sum()]
    leaves = [xs, *net.parameters()]

    def gradients(k: int) -> Results:
        return {str(n): g.numpy().copy() for n, g in enumerate(mg.gradients(losses[k], leaves, retain_graph=True))}

    want = [gradients(k) for k in range(3)]

    def repeated(k: int) -> Callable[[], bool]:
        return lambda: all(not different(gradients(k), want[k]) for _ in range(10))

    assert at_once([repeated(k) for k in range(3)]) == [True] * 3


@pytest.mark.parametrize("function", ["forward", "bptt"])
@pytest.mark.parametrize("kind", ["rnn_tanh", "lstm_both", "gru_reset_first"])
def test_a_call_while_another_runs(kind: str, function: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another thread calls the same net: what the first call lent to C is kept until it returns."""
    net = KINDS[kind](3, 50, impl="native", rng=0, dtype="float64")
    batch = drawn_batch(net, 6, 4)
    parameters = list(net.parameters())
    run_all, waiting = sequence.run_all, []

    def interleaved(runs: Any, name: str) -> None:
        if waiting and name == function:
            at_once([waiting.pop()])
            _taken = [np.full(n, 7.0) for n in (50, 100, 150, 200, 400, 2500, 7500, 10_000) * 20]
        run_all(runs, name)

    monkeypatch.setattr(sequence, "run_all", interleaved)
    whole = results(net, batch)
    for first_with_dx in (False, True):
        twin = copy.deepcopy(net)
        own = list(twin.parameters())
        waiting.append(lambda twin=twin: results(twin, batch))
        xs = mg.tensor(batch.xs, requires_grad=first_with_dx)
        output, _ = twin(xs, batch.state if len(batch.state) > 1 else batch.state[0])
        found = mg.gradients([output], own, [batch.gradients[0]])
        output, _ = net(batch.xs, batch.state if len(batch.state) > 1 else batch.state[0])
        want = mg.gradients([output], parameters, [batch.gradients[0]])
        assert not waiting
        for got, wanted in zip(found, want, strict=True):
            assert got.numpy().tobytes() == wanted.numpy().tobytes()
    assert not different(results(net, batch), whole)


@pytest.mark.parametrize("function", ["pack_forward", "pack_backward", "differs", "forward", "backward"])
def test_two_calls_whose_packed_weights_are_dropped(function: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Packed weights that are heavy are dropped after each pass, also by a call on another thread in between."""
    monkeypatch.setattr(run, "LARGE", 0)
    net = KINDS["lstm_both"](3, 50, impl="native", rng=0, dtype="float64")
    batch = drawn_batch(net, 6, 1)
    want = results(copy.deepcopy(net), batch)
    if function == "differs":  # is asked where the user can write into the weights
        for p in net.parameters():
            _ = p.data
    compiled = sequence.load_library("float64")
    original, calls = getattr(compiled, function), []

    def interleaved(*args: Any) -> int:
        calls.append(1)
        if len(calls) == 1:
            assert at_once([lambda: different(results(net, batch), want)]) == [[]]
            _taken = [np.full(n, 7.0) for n in (50, 100, 150, 200, 400, 1600, 2500, 6800, 7500, 10_000) * 20]
        result: int = original(*args)
        return result

    monkeypatch.setattr(compiled, function, interleaved)
    state = batch.state
    with mg.no_grad():
        outputs = [net(batch.xs, state)[0].numpy() for _ in range(3)]
    assert all(output.tobytes() == want["output"].tobytes() for output in outputs)
    for _ in range(3):
        calls.clear()
        assert not different(results(net, batch), want)
    assert function == "differs" or calls


class OutOfMemory:
    """In the place of a library and of a call of two parts, one of which fails, while the other still runs."""

    parts, call = 2, ctypes.c_long()

    def __init__(self, fails: int) -> None:
        self.weights = self.compiled = self
        self.fails, self.begun = fails, threading.Barrier(2, timeout=PATIENCE)

    def new_team(self) -> None:
        """The parts share nothing."""

    def forward(self, call: Any, part: int, parts: int) -> int:
        self.begun.wait()
        if part != self.fails:
            time.sleep(0.05)
        return int(part == self.fails)


@pytest.mark.parametrize("fails", [0, 1])
def test_no_memory_in_one_of_the_threads(fails: int) -> None:
    """Whichever thread ends last, the failure is told."""
    call: Any = OutOfMemory(fails)
    with num_threads(2), pytest.raises(MemoryError, match="forward of a sequence in C"):
        sequence.run_all([call], "forward")
