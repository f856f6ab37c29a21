"""Calls of a few steps take shorter ways through the library; they give what the longer ways give."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import minigrad as mg
import minigrad_rnn as rnn
from minigrad import GraphError
from tests.support.native_library import fastest

KINDS: list[type[rnn.Recurrence]] = [rnn.RNN, rnn.LSTM, rnn.GRU]
I, H = 3, 4


def arrays(value: Any) -> list[np.ndarray[Any, Any]]:
    parts = value if isinstance(value, tuple) else (value,)
    return [array for part in parts for array in (arrays(part) if isinstance(part, tuple) else [part.numpy()])]


def a_state(net: rnn.Recurrence, batch: tuple[int, ...], dtype: str = "float64") -> Any:
    rng, cells = np.random.default_rng(3), net.cells
    parts = tuple(rng.standard_normal((len(cells), *batch, n)).astype(dtype) for n in cells[0].state_sizes)
    return parts if len(parts) > 1 else parts[0]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("options", [{}, {"num_layers": 2}, {"bidirectional": True}, {"batch_first": True}])
@pytest.mark.parametrize("batch", [(), (1,), (3,)])
@pytest.mark.parametrize("T", [1, 2])
def test_a_call_gives_the_same_recorded_or_not(kind: Any, options: Any, batch: tuple[int, ...], T: int) -> None:
    net = kind(I, H, dtype="float64", rng=0, **options)
    shape = (*batch, T, I) if net.batch_first else (T, *batch, I)
    xs = np.random.default_rng(1).standard_normal(shape)
    as_arrays = a_state(net, batch)
    as_tensors = mg.pytree.tree_map(mg.tensor, as_arrays)
    on_tape = mg.pytree.tree_map(lambda a: mg.tensor(a, requires_grad=True), as_arrays)
    for given in (None, as_arrays):
        recorded = arrays(net(xs, given, return_states=True))
        for state in (given,) if given is None else (as_arrays, as_tensors, on_tape):
            again = arrays(net(mg.tensor(xs), state, return_states=True))
            with mg.no_grad():
                unrecorded = [arrays(net(x, state, return_states=True)) for x in (xs, mg.tensor(xs))]
            with mg.no_grad(), mg.profile():
                observed = arrays(net(mg.tensor(xs), state, return_states=True))
            for other in (again, *unrecorded, observed):
                assert [a.shape for a in other] == [a.shape for a in recorded]
                assert all(np.array_equal(a, b) for a, b in zip(other, recorded, strict=True))


@pytest.mark.parametrize("kind", KINDS)
def test_a_state_that_was_written_into_is_noticed(kind: Any) -> None:
    net = kind(I, H, rng=0)
    xs = mg.tensor(np.ones((2, 1, I), np.float32))
    state = mg.pytree.tree_map(mg.tensor, a_state(net, (1,), "float32"))
    first = state[0] if isinstance(state, tuple) else state
    held = first.data
    y, _ = net(xs, state)
    held[...] = 5
    with pytest.raises(GraphError, match="was written into since"):
        y.sum().backward()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("shape", [(2, 1, H), (1, 2, H), (1, 1, H + 1), (1, H)])
def test_a_state_of_another_shape_is_refused(kind: Any, shape: tuple[int, ...]) -> None:
    net = kind(I, H, rng=0)
    good = [mg.tensor(np.ones((1, 1, H), np.float32)) for _ in net.cell_type.state_names]
    bad = [*good[:-1], mg.tensor(np.ones(shape, np.float32))]
    name = net.cell_type.state_names[-1]
    with pytest.raises(ValueError, match=rf"state: {name}: got shape .*, want \(1, 1, 4\)"):
        net(np.ones((1, 1, I), np.float32), tuple(bad) if len(bad) > 1 else bad[0])


def test_a_state_without_a_batch_axis_belongs_to_an_input_without_one() -> None:
    net = rnn.GRU(I, H, rng=0)
    with pytest.raises(ValueError, match=r"got shape \(1, 1, 4\), want \(1, 4\)"):
        net(np.ones((2, I), np.float32), mg.tensor(np.ones((1, 1, H), np.float32)))


def test_what_changes_between_two_calls_is_honoured() -> None:
    """Options, cells, a cell's class and its hooks are asked at every call."""
    net = rnn.GRU(I, H, rng=0)
    xs = np.ones((2, 1, I), np.float32)
    calls: list[str] = []

    def implementation() -> str | None:
        with mg.no_grad():
            net(xs)
        return net.implementation

    assert implementation() == fastest()
    net.impl = "graph"
    assert implementation() == "graph"
    net.impl = "auto"
    net.zoneout = (0.5,)
    assert implementation() == "graph"
    net.zoneout = (0.0,)
    net.dropout, net.recurrent_dropout = 0.0, 0.5
    assert implementation() == "graph"
    net.eval()
    assert implementation() == "graph"
    net.recurrent_dropout = 0.0
    assert implementation() == fastest()
    with net.forward0.register_forward_hook(lambda *_: calls.append("hook")):
        assert implementation() == "graph"
    assert implementation() == fastest()
    assert calls == ["hook", "hook"]

    class Own(rnn.GRUCell):
        pass

    net.forward0 = Own(I, H, rng=1)
    assert implementation() == fastest()
    Own.step = lambda self, x, state, h: (calls.append("step"), rnn.GRUCell.step(self, x, state, h))[1]  # type: ignore[assignment, method-assign]
    assert implementation() == "graph"
    assert calls[2:] == ["step", "step"]
    assert net.fused_refusal() == "Own defines a step, and no sequence for it"
    net.forward0 = rnn.GRUCell(I, H, rng=1, clip=1.0)
    assert implementation() == "graph"
    assert net.fused_refusal() == "clip=1.0 has no fused sequence"


def test_parameters_that_are_replaced_or_moved_count_at_the_next_call() -> None:
    net, xs = rnn.LSTM(I, H, rng=0), np.ones((1, 1, I), np.float32)
    with mg.no_grad():
        before, state = net(xs)
        net.forward0.Wc = mg.Parameter(np.zeros((4 * H, I), np.float32))
        net.forward0.b.data[...] = 0
        after, _ = net(xs)
        assert np.any(before.numpy() != 0)
        assert np.all(after.numpy() == 0)
        net.to(dtype="float64")
        with pytest.raises(TypeError, match=r"LSTM: xs: got dtype float32, want float64"):
            net(xs)
        with pytest.raises(TypeError, match=r"LSTM: state: h: got dtype float32, want float64"):
            net(xs.astype("float64"), state)
        assert net(xs.astype("float64"))[0].dtype == np.float64
