"""Compiled sequences interrupted, run again, after fork, copied, and a thousand times."""

from __future__ import annotations

import copy
import gc
import os
import pickle
import signal
import subprocess
import sys
import threading
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import minigrad as mg
from minigrad_rnn.native import sequence
from tests.support.interrupts import interrupts
from tests.support.native_cells import KINDS, Results, different, drawn_batch, made_net, results
from tests.support.native_library import num_threads, require_compiler, split_small_calls

PATIENCE = 60.0
LENGTHS = [6, 2, 6, 5]


@pytest.fixture(autouse=True)
def _compiler() -> None:
    require_compiler()


def recorded(kind: str, dtype: str = "float64", **options: Any) -> tuple[Any, Callable[[], Results]]:
    """A net that has run, and what computes its gradients; more than once."""
    net = made_net(kind, 3, 5, dtype, **options)
    batch = drawn_batch(net, 6, 4, LENGTHS)
    leaves = [mg.tensor(a, requires_grad=True) for a in (batch.xs, *batch.state)]
    output, _ = net(leaves[0], tuple(leaves[1:]) if len(leaves) > 2 else leaves[1], lengths=batch.lengths)
    names = ["xs", *net.cells[0].state_names, *(name for name, _ in net.named_parameters())]
    leaves += net.parameters()

    def gradients() -> Results:
        found = mg.gradients([output], leaves, [batch.gradients[0]], retain_graph=True)
        return {name: g.numpy().copy() for name, g in zip(names, found)}

    return net, gradients


# Again


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("kind", KINDS)
def test_a_graph_is_gone_back_through_again(kind: str, dtype: str) -> None:
    """BPTT writes in the place of what it reads, so a second pass first runs forward once more."""
    for options in ({}, {"bidirectional": True, "num_layers": 2}):
        net, gradients = recorded(kind, dtype, **options)
        first = gradients()
        for _ in range(3):
            assert not different(gradients(), first)
        assert not different(recorded(kind, dtype, **options)[1](), first)
        assert net.implementation == "native"


@pytest.mark.parametrize("kind", KINDS)
def test_a_ledger_outlives_other_passes(kind: str) -> None:
    """Shares are computed when they are asked for, from memory that another pass must not have written into."""
    net = made_net(kind, 3, 5)
    batch = drawn_batch(net, 6, 4, LENGTHS)
    output, _ = net(batch.xs, lengths=batch.lengths)
    loss = (output * np.where(np.isnan(batch.gradients[0]), 0, batch.gradients[0])).sum()
    parameters = list(net.parameters())
    early = mg.ledger(loss, parameters, retain_graph=True)
    mg.gradients(mg.sin(output).sum(), parameters, retain_graph=True)
    late = mg.ledger(loss, parameters)
    for p in parameters:
        for (step, share), (other, again) in zip(early[p], late[p], strict=True):
            assert step == other
            assert share.numpy().tobytes() == again.numpy().tobytes()


def test_changed_weights_are_caught() -> None:
    for kind in KINDS:
        net, gradients = recorded(kind)
        want = gradients()
        for name, parameter in net.named_parameters():
            before = parameter.numpy().copy()
            parameter.data[...] = before * 2
            if kind == "lstm_both" and name.endswith((".b", ".br")):  # only their sum was read
                assert not different(gradients(), want)
            else:
                with pytest.raises(mg.GraphError, match="'native_sequences' saved a tensor"):
                    gradients()
            parameter.data[...] = before
            assert not different(gradients(), want), name


def strided(a: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    return np.repeat(a, 2, axis=-1)[..., ::2]


@pytest.mark.parametrize("parts", [("b", "br", "p"), ("Wc", "Wr", "Wp")], ids=["biases", "weights"])
@pytest.mark.parametrize("kind", KINDS)
def test_a_graph_keeps_what_it_read(kind: str, parts: tuple[str, ...]) -> None:
    """Calls of the same net later on, whose weights are copies since C cannot read the user's array."""
    net = KINDS[kind](3, 50, impl="native", rng=0, dtype="float64")
    for name in parts:
        if (parameter := getattr(net.forward0, name, None)) is not None:
            parameter.data = strided(parameter.numpy())
    batch = drawn_batch(net, 6, 4)
    graphs = []
    for _ in range(6):
        leaves = [mg.tensor(a, requires_grad=True) for a in (batch.xs, *batch.state)]
        output, _ = net(leaves[0], tuple(leaves[1:]) if len(leaves) > 2 else leaves[1])
        graphs.append((output, [*leaves, *net.parameters()]))
        gc.collect()
        _taken = [np.full(n, 7.0) for n in (50, 150, 200) * 20]  # the memory of whatever is gone
    want = None
    for _ in range(2):
        for output, leaves in graphs:
            found = mg.gradients([output], leaves, [batch.gradients[0]], retain_graph=True)
            named = {str(k): g.numpy().copy() for k, g in enumerate(found)}
            want = want or named
            assert not different(named, want)


# Ctrl-C


def test_an_interrupt_anywhere_loses_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    split_small_calls(monkeypatch)
    with num_threads(2):
        net, gradients = recorded("lstm_both", bidirectional=True)
        want = gradients()
        points = 0
        for point in interrupts(gradients, "minigrad_rnn/native"):
            assert not different(gradients(), want), point
            points += 1
        assert points > 100
        batch = drawn_batch(net, 6, 4)
        whole = results(net, batch)
        for point in interrupts(lambda: net(batch.xs), "minigrad_rnn/native"):
            assert net(batch.xs)[0].numpy().tobytes() == net(batch.xs)[0].numpy().tobytes(), point
        assert not different(results(net, batch), whole)


def test_a_lost_forward_pass_would_be_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    """A planted fault: a second pass that takes memory without numbers for the forward pass's."""
    _, gradients = recorded("lstm")
    want = gradients()
    monkeypatch.setattr(sequence, "run_all", lambda runs, function: None)
    gradients()  # as when Ctrl-C comes before the sequences run again
    monkeypatch.undo()
    assert not different(gradients(), want)
    forget = sequence._bptt

    def fault(runs: Any, *rest: Any) -> Any:
        for each in runs:
            each.new_Z()
            each.Z[...] = 0
            each.holds_gradients = False
        return forget(runs, *rest)

    monkeypatch.setattr(sequence, "_bptt", fault)
    assert different(gradients(), want)


@pytest.mark.skipif(os.name != "posix", reason="signals: POSIX only")
def test_a_signal_during_a_long_call() -> None:
    """Ctrl-C while C runs: raised when it returns, and the call can be made again."""
    net = made_net("lstm", 64, 128, "float32")
    batch = drawn_batch(net, 400, 8)
    leaves = [mg.tensor(batch.xs, requires_grad=True), *net.parameters()]
    output, _ = net(leaves[0])

    def gradients() -> list[Any]:
        found = mg.gradients([output], leaves, [batch.gradients[0]], retain_graph=True)
        return [g.numpy().copy() for g in found]

    want = gradients()
    interrupted = 0
    for delay in (0.001, 0.004, 0.01, 0.02, 0.03):
        timer = threading.Timer(delay, os.kill, (os.getpid(), signal.SIGINT))
        try:
            timer.start()
            for _ in range(1000):
                gradients()
        except KeyboardInterrupt:
            interrupted += 1
        timer.join()
        assert all(a.tobytes() == b.tobytes() for a, b in zip(gradients(), want, strict=True))
    assert interrupted == 5


# Fork, copies, and many calls


def fork_once() -> None:
    """Go on in a forked child and in its parent; in a small process of its own, which a fork can copy anywhere."""
    split_small_calls(pytest.MonkeyPatch())
    with num_threads(2):
        gradients = recorded("lstm_both", bidirectional=True)[1]
        want = gradients()
        child = os.fork()
        if not child:
            status = 1
            try:
                again = recorded("lstm_both", bidirectional=True)[1]
                status = int(bool(different(gradients(), want) or different(again(), want)))
            finally:
                os._exit(status)
        assert os.waitpid(child, 0)[1] == 0
        assert not different(gradients(), want)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="fork: POSIX only")
def test_a_forked_child_goes_on() -> None:
    root = Path(__file__).resolve().parents[3]
    code = "from tests.rnn.native.test_repeated_use import fork_once; fork_once()"
    ran = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True, timeout=120)
    assert ran.returncode == 0, ran.stderr


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda net: pickle.loads(pickle.dumps(net))], ids=["copy", "pickle"])
@pytest.mark.parametrize("kind", KINDS)
def test_copies_of_a_net_that_has_run(kind: str, copied: Callable[[Any], Any]) -> None:
    net = made_net(kind, 3, 5, bidirectional=True)
    batch = drawn_batch(net, 6, 4, LENGTHS)
    want = results(net, batch)
    twin = copied(net)
    assert not different(results(twin, batch), want)
    assert twin.implementation == "native"
    for p in twin.parameters():
        p.data[...] *= 2
    assert not different(results(net, batch), want)
    assert different(results(twin, batch), want)


def test_a_thousand_calls_keep_no_memory() -> None:
    net = made_net("lstm_both", 3, 5, "float32")
    batch = drawn_batch(net, 6, 4, LENGTHS)

    def blocks_after(calls: int) -> int:
        for _ in range(calls):
            results(net, batch)
            with mg.no_grad():
                net(batch.xs, lengths=batch.lengths)
        gc.collect()
        return len(tracemalloc.take_snapshot().traces)

    tracemalloc.start()
    try:
        before = blocks_after(100)
        assert blocks_after(1000) - before < 800  # Python's own lists of free objects fill up
    finally:
        tracemalloc.stop()


def test_the_library_keeps_no_memory() -> None:
    """What C allocates, which tracemalloc does not see: the process does not grow."""
    resource = pytest.importorskip("resource")
    net = made_net("gru_reset_first", 64, 128, "float32")
    batch = drawn_batch(net, 20, 16)

    def peak(n: int) -> int:
        for _ in range(n):
            results(net, batch)
        size: int = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return size

    before = peak(30)
    one_call = 16 * 2 * 128 * 4 // 1024  # KiB that a leak of one working block would cost
    assert peak(300) - before < 300 * one_call / 2
