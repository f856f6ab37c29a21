"""The independently recurrent cell (Li et al. 2018): every unit sees only its own past.

h(t) = f(Wc x(t) + Wr · h(t−1) + b)

Here Wr is a vector and the product is elementwise; units mix in the next layer.
"""

from __future__ import annotations

from typing import Any

import minigrad as mg
from minigrad import Tensor
from minigrad.arguments_of import arguments_of

from .activations import Activation, check_activation, on_tape
from .cell import Cell


@arguments_of(Cell, without=("two_biases",))
class IndRNNCell(Cell):
    """One step of the independently recurrent net (Li et al. 2018): every unit sees only its own past.

    Equations:
        h(t) = f(Wc x(t) + Wr · h(t−1) + b), where Wr is a vector and the product elementwise

    Args:
        nonlinearity: "relu", as published, or another of "tanh", "sigmoid", "affine", "leaky_relu", "softsign",
            "softplus", "thresholded_relu", "scaled_tanh", "hard_sigmoid" and "elu", or a tuple of the name and its
            parameters, such as ("hard_sigmoid", 0.25, 0.5).

    Parameters: `Wc` (H, I), `Wr` (H,), `b` (H,). State: h (B, H).
    """

    gates = 1
    state_names = ("h",)

    def __init__(
        self, input_size: int, hidden_size: int, bias: bool = True, nonlinearity: Activation = "relu", **options: Any
    ) -> None:
        (self.nonlinearity,) = check_activation(type(self).__name__, nonlinearity=nonlinearity)
        super().__init__(input_size, hidden_size, bias, **options)

    def make_weights(self, bias: bool, two_biases: bool) -> None:
        super().make_weights(bias, two_biases)
        self.Wr = self.uniform(self.hidden_size)

    def step(self, x: Any, state: tuple[Any, ...], h: Any) -> tuple[Tensor, ...]:
        return (on_tape(self.nonlinearity)(mg.linear(x, self.Wc, self.b) + self.Wr * h),)
