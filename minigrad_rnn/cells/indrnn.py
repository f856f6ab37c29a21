"""The independently recurrent cell (Li et al. 2018): every unit sees only its own past.

h(t) = f(Wc x(t) + Wr · h(t−1) + b)

Here Wr is a vector and the product is elementwise; units mix in the next layer.
"""

from __future__ import annotations

from typing import Any

import minigrad as mg
from minigrad import Tensor
from minigrad.validation import check_choice

from .cell import Cell
from .rnn import ACTIVATIONS


class IndRNNCell(Cell):
    """One step of the independently recurrent net (equation above).

    Args:
        nonlinearity: "relu", as published, or "tanh". The others: see `Cell`.

    Parameters: `Wc` (H, I), `Wr` (H,), `b` (H,). State: h (B, H).
    """

    gates = 1
    state_names = ("h",)

    def __init__(
        self, input_size: int, hidden_size: int, bias: bool = True, nonlinearity: str = "relu", **options: Any
    ) -> None:
        check_choice(type(self).__name__, ACTIVATIONS, nonlinearity=nonlinearity)
        super().__init__(input_size, hidden_size, bias, **options)
        self.nonlinearity = nonlinearity

    def make_weights(self, bias: bool, two_biases: bool) -> None:
        super().make_weights(bias, two_biases)
        self.Wr = self.uniform(self.hidden_size)

    def step(self, x: Any, state: tuple[Any, ...], h: Any) -> tuple[Tensor, ...]:
        return (ACTIVATIONS[self.nonlinearity](mg.linear(x, self.Wc, self.b) + self.Wr * h),)
