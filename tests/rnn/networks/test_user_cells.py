"""A user's own cells in a `Recurrence`, with parameters and options of their own, and what a net's repr shows."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import minigrad as mg
from minigrad_rnn import GRU, LSTM, RNN, Cell, IndRNN, Recurrence

I, H = 4, 3


class Leaky(Cell):
    """A user's cell with a step and no fused sequence: h(t) = h(t−1) / 2 + Wc x(t) + Wr h(t−1)."""

    gates = 1
    state_names = ("h",)

    def step(self, x: Any, state: tuple[Any, ...], h: Any) -> tuple[mg.Tensor, ...]:
        return (state[0] * 0.5 + mg.linear(x, self.Wc, self.b) + mg.linear(h, self.Wr),)


class LeakyNet(Recurrence):
    cell_type = Leaky


def test_auto_takes_the_graph_where_a_cell_has_no_fused_sequence() -> None:
    net = LeakyNet(I, H, 2, bidirectional=True)
    output, _ = net(np.ones((3, 2, I), np.float32))
    assert net.implementation == "graph"
    assert output.shape == (3, 2, 2 * H)
    with pytest.raises(ValueError, match="LeakyNet: impl: got 'fused', but Leaky defines no sequence"):
        LeakyNet(I, H, impl="fused")


class Gaussian(Cell):
    """A user's cell with parameters and options of its own: h(t) = exp(−width (U x(t) + V h(t−1))²)."""

    gates, state_names = 1, ("h",)

    def __init__(self, input_size: int, hidden_size: int, bias: bool = True, *, width: float = 1.0, **rest: Any):
        self.width = width
        super().__init__(input_size, hidden_size, bias, **rest)

    def make_weights(self, bias: bool, two_biases: bool) -> None:
        self.U = self.uniform(self.hidden_size, self.input_size)
        self.V = self.uniform(self.hidden_size, self.hidden_size)

    def step(self, x: Any, state: tuple[Any, ...], h: Any) -> tuple[mg.Tensor, ...]:
        return (mg.exp(-self.width * mg.square(mg.linear(x, self.U) + mg.linear(h, self.V))),)


@pytest.mark.parametrize("start", ["zeros", "learned"])
def test_a_cell_may_have_parameters_and_options_of_its_own(start: str) -> None:
    net = Recurrence(
        I, H, 2, cell_type=Gaussian, width=0.5, bidirectional=True, initial_state=start, dtype="float64",
        dropout=0.1, recurrent_dropout=0.1, zoneout=0.1,
    )  # fmt: skip
    assert net.forward1.width == 0.5
    xs = np.random.default_rng(0).standard_normal((5, 2, I))
    output, state = net(xs, lengths=[5, 3])
    assert (output.dtype, output.shape) == (np.float64, (5, 2, 2 * H))
    (output * output).sum().backward()
    assert all(np.abs(p.grad.numpy()).max() > 0 for p in net.parameters())
    net(xs, state)
    with pytest.raises(TypeError, match="Recurrence: state: h: got dtype float32, want float64"):
        net(xs, np.zeros((4, 2, H), np.float32))
    h, _ = net.forward0(xs[0])
    np.testing.assert_allclose(h.numpy(), np.exp(-0.5 * (xs[0] @ net.forward0.U.numpy().T) ** 2), rtol=1e-13)
    assert repr(net.forward0) == "Gaussian(4, 3)"


@pytest.mark.parametrize(
    ("net", "message"),
    [
        (lambda: GRU(3, 4, reset_after=False), "GRU(3, 4, reset_after=False"),
        (lambda: GRU(3, 4, reset_after=True), "GRU(3, 4\n"),
        (lambda: IndRNN(3, 4, nonlinearity="tanh"), "IndRNN(3, 4, nonlinearity='tanh'"),
        (lambda: IndRNN(3, 4, nonlinearity="relu"), "IndRNN(3, 4\n"),
        (lambda: LSTM(3, 4, forget_bias=0.0, proj_size=2), "LSTM(3, 4, proj_size=2, forget_bias=0.0"),
        (lambda: RNN(3, 4, nonlinearity="relu", two_biases=True), "RNN(3, 4, nonlinearity='relu', two_biases=True"),
        (lambda: Recurrence(3, 4, cell_type=Gaussian, width=2.0), "Recurrence(3, 4, cell_type=Gaussian, width=2.0"),
    ],
)
def test_a_net_shows_the_options_that_are_not_the_usual_ones(net: Any, message: str) -> None:
    assert repr(net()).startswith(message)
