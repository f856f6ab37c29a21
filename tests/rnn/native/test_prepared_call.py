"""Calls like the last one, off the tape: the same bits as any other, and never those of a cell that changed."""

from __future__ import annotations

import copy
import pickle
import threading
from typing import Any

import numpy as np
import pytest

import minigrad as mg
import minigrad_rnn as rnn
from minigrad import optim
from minigrad_rnn.native.prepared_call import PreparedCall
from tests.support.native_library import require_compiler

I, H = 5, 7
KINDS: dict[str, dict[str, Any]] = {
    "RNN": {}, "LSTM": {}, "GRU": {}, "LSTM peephole": {"peephole": True, "proj_size": 3},
    "RNN relu": {"nonlinearity": "relu"}, "GRU reset first": {"reset_after": False}, "LSTM reverse": {"reverse": True},
    "GRU no bias": {"bias": False}, "LSTM learned": {"initial_state": "learned"},
    "RNN two biases": {"two_biases": True},
}  # fmt: skip


@pytest.fixture(autouse=True)
def compiler() -> None:
    require_compiler()


def network(kind: str, **options: Any) -> Any:
    return getattr(rnn, kind.split()[0])(I, H, rng=0, dtype="float64", **KINDS[kind], **options)


def drawn(*shape: int) -> np.ndarray[Any, Any]:
    return np.random.default_rng(1).standard_normal(shape)


def flat(result: Any) -> list[np.ndarray[Any, Any]]:
    output, state = result
    return [part.numpy() for part in (output, *(state if isinstance(state, tuple) else (state,)))]


def expected(net: Any, xs: Any, state: Any = None) -> list[np.ndarray[Any, Any]]:
    """As a network computes it that never ran before."""
    fresh = copy.deepcopy(net)
    assert not any("_prepared_call" in vars(cell) and vars(cell)["_prepared_call"] for cell in fresh.cells)
    with mg.no_grad():
        return flat(fresh(xs, state))


def check(net: Any, xs: Any, state: Any = None) -> None:
    for got, want in zip(flat(net(xs, state)), expected(net, xs, state), strict=True):
        np.testing.assert_array_equal(got, want)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("T", [1, 4])
def test_the_same_bits(kind: str, T: int, monkeypatch: pytest.MonkeyPatch) -> None:
    net, repeated = network(kind), []
    run = PreparedCall.run
    monkeypatch.setattr(PreparedCall, "run", lambda *args: repeated.append(1) or run(*args))
    with mg.no_grad():
        state = None
        for k in range(4):
            xs = drawn(T, 2, I) + k
            check(net, xs, state)
            state = net(mg.tensor(xs), state)[1]
            assert net.implementation == "native"
    assert len(repeated) >= (0 if kind == "RNN two biases" else 6)


def test_outputs_belong_to_the_caller() -> None:
    net = network("LSTM")
    with mg.no_grad():
        results = [flat(net(drawn(1, 2, I) * k)) for k in range(3)]
        again = [flat(net(drawn(1, 2, I) * k)) for k in range(3)]
    for a, b in zip(results, again):
        for got, want in zip(a, b):
            np.testing.assert_array_equal(got, want)


def changes(net: Any) -> Any:
    cell = net.forward0
    held = cell.Wr.data
    yield lambda: cell.Wc.data.__setitem__(0, 3.0)
    yield lambda: held.__imul__(0.5)
    yield lambda: setattr(cell, "Wr", mg.Parameter(drawn(*cell.Wr.shape)))
    yield lambda: setattr(cell, "b", mg.Parameter(drawn(*cell.b.shape)))
    yield lambda: cell.b.data.__iadd__(1.0)
    yield lambda: setattr(cell.b, "data", drawn(*cell.b.shape))
    yield lambda: setattr(cell, "b", None)
    yield lambda: cell.load_state_dict({name: drawn(*p.shape) for name, p in cell.named_parameters()})
    yield lambda: setattr(net, "forward0", type(cell)(I, H, rng=9, dtype="float64"))


@pytest.mark.parametrize("kind", ["RNN", "LSTM", "GRU"])
def test_changed_weights_are_seen(kind: str) -> None:
    net, xs = network(kind), drawn(1, 2, I)
    with mg.no_grad():
        state = net(xs)[1]
        for k, change in enumerate(changes(net)):
            before = flat(net(xs, state))
            change()
            check(net, xs, state)
            assert not np.array_equal(flat(net(xs, state))[0], before[0]), k
    for optimizer in (optim.SGD(net.parameters(), lr=0.1), optim.Adam(net.parameters(), lr=0.1)):
        net(xs)[0].sum().backward()
        optimizer.step()
        with mg.no_grad():
            check(net, xs, state)


def test_other_calls_in_between() -> None:
    net = network("GRU")
    with mg.no_grad():
        check(net, drawn(1, 2, I))
        check(net, drawn(3, 1, I))
        check(net, drawn(1, 2, I))
        net(drawn(4, 2, I), lengths=[4, 2])
        check(net, drawn(1, 2, I))
        strided = drawn(1, 2, 2 * I)[:, :, ::2]
        check(net, strided)
        check(net, drawn(2, I)[:, None].transpose(1, 0, 2))
    xs = mg.tensor(drawn(1, 2, I), requires_grad=True)
    net(xs)[0].sum().backward()
    assert xs.grad is not None


def test_the_options_count() -> None:
    net, xs = network("GRU"), drawn(1, 2, I)
    with mg.no_grad():
        net(xs)
        net(xs)
        net.impl = "graph"
        net(xs)
        assert net.implementation == "graph"
        net.impl = "fused"
        net(xs)
        assert net.implementation == "fused"
        net.impl = "auto"
        net(xs)
        assert net.implementation == "native"
        net.zoneout = (0.5,)
        net(xs)
        assert net.implementation == "graph"
        net.zoneout = (0.0,)
        seen: list[Any] = []
        with net.forward0.register_forward_hook(lambda *args: seen.append(1)):
            net(xs)
        assert seen == [1]
    plain, rectified = network("RNN"), network("RNN", nonlinearity="relu")
    with mg.no_grad():
        plain(xs)
        plain.forward0.nonlinearity = "relu"
        np.testing.assert_array_equal(flat(plain(xs))[0], flat(rectified(xs))[0])


@pytest.mark.parametrize(
    ("xs", "state", "error"),
    [
        (drawn(1, 2, I + 1), None, ValueError), (drawn(1, 2, I).astype("f4"), None, TypeError), ("no", None, TypeError),
        (drawn(1, 2, I), drawn(1, 2, H + 1), ValueError), (drawn(1, 2, I), drawn(1, 3, H), ValueError),
        (drawn(1, 2, I), (drawn(1, 2, H),) * 2, ValueError), (drawn(1, 2, I), drawn(1, 2, H).astype("f4"), TypeError),
    ],
)  # fmt: skip
def test_errors_are_those_of_the_first_call(xs: Any, state: Any, error: type[Exception]) -> None:
    with mg.no_grad():
        with pytest.raises(error) as first:
            network("RNN")(xs, state)
        net = network("RNN")
        net(drawn(1, 2, I))
        with pytest.raises(error) as later:
            net(xs, state)
    assert str(later.value) == str(first.value)


@pytest.mark.parametrize("kind", ["RNN", "LSTM", "GRU"])
def test_a_cell_of_two_networks_that_read_in_two_directions(kind: str) -> None:
    forward, backward = network(kind), network(kind, reverse=True)
    backward.backward0 = forward.forward0
    xs = drawn(4, 2, I)
    with mg.no_grad():
        for _ in range(3):
            check(forward, xs)
            check(backward, xs)
        assert not np.array_equal(flat(forward(xs))[0], flat(backward(xs))[0])


def test_threads_do_not_share_memory() -> None:
    net, wrong = network("LSTM"), []
    inputs = [drawn(1, 2, I) * k for k in range(4)]
    with mg.no_grad():
        wants = [flat(net(xs)) for xs in inputs]

    def work(k: int) -> None:
        with mg.no_grad():
            for _ in range(300):
                if not all(np.array_equal(a, b) for a, b in zip(flat(net(inputs[k])), wants[k])):
                    wrong.append(k)

    threads = [threading.Thread(target=work, args=(k,)) for k in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def test_copies_prepare_their_own() -> None:
    net, xs = network("LSTM"), drawn(1, 2, I)
    with mg.no_grad():
        want = flat(net(xs))
        for other in (copy.deepcopy(net), pickle.loads(pickle.dumps(net)), copy.copy(net)):
            for got, expected_part in zip(flat(other(xs)), want, strict=True):
                np.testing.assert_array_equal(got, expected_part)
