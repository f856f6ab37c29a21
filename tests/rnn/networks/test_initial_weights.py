"""Starts for long memories: what is set, on every backend, and that the gradient then comes back over many steps."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import minigrad as mg
import minigrad_rnn as mr
from minigrad_rnn import chrono_init, identity_init, independent_init

H, STEPS = 6, 200


def first_over_last(net: mr.Recurrence, name: str = "h") -> float:
    """‖∂L/∂h(0)‖ / ‖∂L/∂h(T−1)‖ of a loss at the last step, over STEPS steps of small noise."""
    xs = np.random.default_rng(1).normal(0, 0.01, (STEPS, 4, 2))
    with mr.GradientFlow(net) as flow:
        (net(xs)[0][-1]).sum().backward()
    norms = flow[flow.layers[0]].norms(name)
    return float(norms[0] / norms.max())


def test_chrono_biases_of_an_lstm_spread_memories_up_to_the_longest(xp: Any) -> None:
    net = mr.LSTM(2, 400, num_layers=2, bidirectional=True, two_biases=True, rng=0).to(xp.name)
    before = {name: p.numpy() for name, p in net.named_parameters()}
    chrono_init(net, 100, rng=0)
    for cell in net.cells:
        i, f, g, o = np.split(cell.b.numpy(), 4)
        np.testing.assert_array_equal(i, -f)
        assert not g.any()
        assert not o.any()
        assert not cell.br.numpy().any()
        memory = 1 + np.exp(f.astype(np.float64))  # 1 / (1 − σ(f)), uniform in [2, 100]
        assert 2 <= memory.min() < 5
        assert 95 < memory.max() <= 100 + 1e-3
        assert abs(memory.mean() - 51) < 5  # of 400 draws, a standard deviation of 1.4
    assert len({cell.b.numpy().tobytes() for cell in net.cells}) == 4
    for name, p in net.named_parameters():
        assert ".b" in name or np.array_equal(p.numpy(), before[name])


def test_chrono_biases_of_a_gru_keep_its_state() -> None:
    net = mr.GRU(2, H, dtype="float64", rng=0)
    usual = first_over_last(net)
    chrono_init(net, 10 * STEPS, rng=0)
    assert usual < 1e-12
    assert first_over_last(net) > 1e-2
    r, z, n = np.split(net.forward0.b.numpy(), 3)
    assert (z > 0).all()
    assert not r.any()
    assert not n.any()


def test_chrono_lets_an_lstms_gradient_through() -> None:
    net = mr.LSTM(2, H, dtype="float64", rng=0)
    usual = first_over_last(net, "c")
    chrono_init(net, 10 * STEPS, rng=0)
    assert usual < 1e-12
    assert first_over_last(net, "c") > 1e-2


def test_an_identity_keeps_the_state_and_the_gradient(xp: Any) -> None:
    net = mr.RNN(2, H, nonlinearity="relu", num_layers=2, rng=0).to(xp.name)
    identity_init(net, 0.5)
    for cell in net.cells:
        np.testing.assert_array_equal(cell.Wr.numpy(), 0.5 * np.eye(H))
        assert not cell.b.numpy().any()


def test_an_irnn_carries_the_gradient_of_what_is_on() -> None:
    net = mr.RNN(2, H, nonlinearity="relu", dtype="float64", rng=0)
    usual = first_over_last(net)
    identity_init(net)
    xs = np.abs(np.random.default_rng(1).normal(0, 0.01, (STEPS, 4, 2)))
    with mg.no_grad():
        net.forward0.Wc *= 0.0
        net.forward0.Wc += 0.1  # every unit grows and stays on
    with mr.GradientFlow(net) as flow:
        net(xs)[0][-1].sum().backward()
    norms = flow["forward0"].norms()
    assert usual < 1e-12
    np.testing.assert_allclose(norms, norms[-1], rtol=1e-12)


def test_an_independent_net_at_most_doubles_its_gradient(xp: Any) -> None:
    net = mr.IndRNN(2, 300, 2, rng=0).to(xp.name)
    independent_init(net, STEPS, shortest=0.9, rng=0)
    for cell in net.cells:
        u = cell.Wr.numpy().astype(np.float64)
        assert 0.9 <= u.min() < 0.91
        assert u.max() ** STEPS <= 2 + 1e-3
        assert u.max() > 1
    assert not np.array_equal(net.cells[0].Wr.numpy(), net.cells[1].Wr.numpy())


@pytest.mark.parametrize(
    ("start", "net", "words"),
    [
        (chrono_init, mr.RNN(2, 3), "chrono_init: network: got cells RNNCell, want LSTM or GRU"),
        (identity_init, mr.LSTM(2, 3), "identity_init: network: got cells LSTMCell, want RNN"),
        (identity_init, mr.IndRNN(2, 3), "identity_init: network: got cells IndRNNCell, want RNN"),
        (independent_init, mr.RNN(2, 3), "independent_init: network: got cells RNNCell, want IndRNN"),
    ],
)
def test_cells_that_they_are_not_for(start: Any, net: Any, words: str) -> None:
    arguments = () if start is identity_init else (50,)
    with pytest.raises(TypeError, match=words):
        start(net, *arguments)


def test_values_that_make_no_sense_change_nothing() -> None:
    net = mr.IndRNN(2, 3, rng=0)
    before = net.forward0.Wr.numpy().copy()
    with pytest.raises(ValueError, match=r"shortest: got 1.5, want a number from 0 to 1"):
        independent_init(net, 10, shortest=1.5)
    with pytest.raises(ValueError, match="longest: got 2, want a whole number of at least 3"):
        chrono_init(mr.GRU(2, 3), 2)
    with pytest.raises(ValueError, match="without biases"):
        chrono_init(mr.LSTM(2, 3, bias=False), 9)
    np.testing.assert_array_equal(net.forward0.Wr.numpy(), before)
