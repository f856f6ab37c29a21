"""Recurrent cells with layer normalisation (Ba, Kiros & Hinton 2016): LN(a) = (a − mean) / √(variance + ε) of each row.

RNN   h(t) = tanh(gain · LN(Wc x(t) + Wr h(t−1)) + b)                                                     (their eq. 4)
LSTM  z(t) = gain_c · LN(Wc x(t)) + gain_r · LN(Wr h(t−1)) + b;  i f g o and c(t) as in an LSTM;
      h(t) = o · tanh(gain_h · LN(c(t)) + shift_h)                                                        (eq. 20–22)
GRU   r and z from gain_c · LN(Wc x(t)) + gain_r · LN(Wr h(t−1)) + b, their rows normalised together;
      n = tanh(gain_c · LN(Wc_n x(t)) + b_n + r · (gain_r · LN(Wr_n h(t−1)) + br));  h(t) as in a GRU     (eq. 23–25)
"""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np

import minigrad as mg
from minigrad import Tensor
from minigrad.arguments_of import arguments_of
from minigrad.nn import normalization

from .cell import Cell

normalised = partial(normalization.normalised, axes=-1, eps=1e-5)
"""LN(a) of each row of (B, F), without gain and shift."""


class LayerNormCell(Cell):
    """The base of the three cells: gains that start at 1."""

    def ones(self, size: int) -> mg.Parameter:
        """A gain (size,) of ones."""
        return mg.Parameter(np.ones(size), dtype=self._dtype)


@arguments_of(Cell)
class LayerNormRNNCell(LayerNormCell):
    """One step of the simple recurrent net with layer normalisation (Ba, Kiros & Hinton 2016, equation 4).

    Equations:
        h(t) = tanh(gain · LN(Wc x(t) + Wr h(t−1)) + b), where LN(a) = (a − mean) / √(variance + 1e-5) of each row

    Parameters: `Wc` (H, I), `Wr` (H, H), `b` (H,), `gain` (H,). State: h (B, H).
    """

    gates = 1
    state_names = ("h",)

    def make_weights(self, bias: bool, two_biases: bool) -> None:
        super().make_weights(bias, two_biases)
        self.gain = self.ones(self.hidden_size)

    def step(self, x: Any, state: tuple[Any, ...], h: Any) -> tuple[Tensor, ...]:
        z = self.gain * normalised(mg.linear_sum(x, self.Wc, h, self.Wr))
        return (mg.tanh(z if self.b is None else z + self.b),)


@arguments_of(Cell)
class LayerNormLSTMCell(LayerNormCell):
    """One step of the LSTM with layer normalisation (Ba, Kiros & Hinton 2016, equations 20–22).

    Equations:
        z(t) = gain_c · LN(Wc x(t)) + gain_r · LN(Wr h(t−1)) + b, where LN(a) = (a − mean) / √(variance + 1e-5)
        i, f, g, o and c(t) as in an LSTM;  h(t) = o · tanh(gain_h · LN(c(t)) + shift_h)

    Parameters: `Wc` (4H, I), `Wr` (4H, H), `b` (4H,), rows i, f, g, o; `gain_c` and `gain_r` (4H,), `gain_h` (H,) and,
    with a bias, `shift_h` (H,). State: h and c (B, H).
    """

    gates = 4
    state_names = ("h", "c")

    def make_weights(self, bias: bool, two_biases: bool) -> None:
        super().make_weights(bias, two_biases)
        H = self.hidden_size
        self.gain_c, self.gain_r, self.gain_h = self.ones(4 * H), self.ones(4 * H), self.ones(H)
        self.shift_h = mg.Parameter(np.zeros(H), dtype=self._dtype) if bias else None

    def step(self, x: Any, state: tuple[Any, ...], h: Any) -> tuple[Tensor, ...]:
        H = self.hidden_size
        z = self.gain_c * normalised(mg.linear(x, self.Wc)) + self.gain_r * normalised(mg.linear(h, self.Wr))
        if self.b is not None:
            z = z + self.b
        i, f, g, o = (z[:, k * H : (k + 1) * H] for k in range(4))
        c = mg.sigmoid(f) * state[1] + mg.sigmoid(i) * mg.tanh(g)
        scaled_c = self.gain_h * normalised(c)
        return mg.sigmoid(o) * mg.tanh(scaled_c if self.shift_h is None else scaled_c + self.shift_h), c


@arguments_of(Cell)
class LayerNormGRUCell(LayerNormCell):
    """One step of the GRU with layer normalisation (Ba, Kiros & Hinton 2016, equations 23–25).

    Equations:
        r and z from gain_c · LN(Wc x(t)) + gain_r · LN(Wr h(t−1)) + b, their rows normalised together
        n = tanh(gain_c · LN(Wc_n x(t)) + b_n + r · (gain_r · LN(Wr_n h(t−1)) + br));  h(t) as in a GRU
        LN(a) = (a − mean) / √(variance + 1e-5) of each row

    Parameters: `Wc` (3H, I), `Wr` (3H, H), `b` (3H,), rows r, z, n; `gain_c` and `gain_r` (3H,) and, with a bias, `br`
    (H,). State: h (B, H).
    """

    gates = 3
    state_names = ("h",)

    def make_weights(self, bias: bool, two_biases: bool) -> None:
        super().make_weights(bias, two_biases)
        H = self.hidden_size
        self.gain_c, self.gain_r = self.ones(3 * H), self.ones(3 * H)
        self.br = self.uniform(H) if bias else None

    def step(self, x: Any, state: tuple[Any, ...], h: Any) -> tuple[Tensor, ...]:
        H = self.hidden_size
        gates, n_rows = slice(2 * H), slice(2 * H, None)
        current, recurrent = mg.linear(x, self.Wc), mg.linear(h, self.Wr)
        z = self.gain_c[gates] * normalised(current[:, gates]) + self.gain_r[gates] * normalised(recurrent[:, gates])
        by_x = self.gain_c[n_rows] * normalised(current[:, n_rows])
        by_h = self.gain_r[n_rows] * normalised(recurrent[:, n_rows])
        if self.b is not None:
            z, by_x, by_h = z + self.b[gates], by_x + self.b[n_rows], by_h + self.br
        r_z = mg.sigmoid(z)
        n = mg.tanh(by_x + r_z[:, :H] * by_h)
        return (n + r_z[:, H:] * (state[0] - n),)
