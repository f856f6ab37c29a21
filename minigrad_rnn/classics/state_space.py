"""The state-space model with one hidden layer, the lecture's "fully recurrent" net (slides 51–53)."""

from __future__ import annotations

from typing import Any

import minigrad as mg
from minigrad import nn
from minigrad.arguments_of import arguments_of
from minigrad.validation import check_choice

from .base import Classic
from .one_hidden_layer import OneHiddenLayer


@arguments_of(Classic)
class StateSpace(OneHiddenLayer):
    """h(t) = f(Wc X(t) + Wr h(t−1) + b),  Y(t) = g(Wo h(t) + bo) (slides 51–53; Williams & Zipser 1989).

    The state h summarises the whole past, and gradients flow back through it to the first step.

    >>> import numpy as np
    >>> from minigrad_rnn import StateSpace
    >>> net = StateSpace(3, 8, 2, initial_state="learned")
    >>> output, state = net(np.ones((10, 1, 3), np.float32))
    >>> output.shape, state.shape, net.h_init.shape
    ((10, 1, 2), (1, 1, 8), (8,))

    Args:
        nonlinearity: f: "tanh", "relu", "sigmoid", "softmax", or None for the identity, a linear system.
        output_nonlinearity: g; by default none, since losses take logits.
        initial_state: "zeros", or "learned": h(−1) is the parameter `h_init` (H,) (slide 69).

    Parameters: `Wc` (H, I), `Wr` (H, H), `b` (H,), `Wo` (O, H), `bo` (O,).
    State: h (1, B, H), as `RNN` of one layer has it.

    Raises:
        ValueError: a bad argument or shape, T = 0 or B = 0.
        TypeError: xs or the state is not an array of `dtype`.
    """

    h_init: mg.Parameter

    def __init__(
        self, input_size: int, hidden_size: int, output_size: int, nonlinearity: str | None = "tanh",
        output_nonlinearity: str | None = None, initial_state: str = "zeros", bias: bool = True,
        batch_first: bool = False, rng: nn.init.Rng = None, dtype: Any = "float32",
    ) -> None:  # fmt: skip
        check_choice("StateSpace", ("zeros", "learned"), initial_state=initial_state)
        super().__init__(
            input_size, hidden_size, output_size, nonlinearity, output_nonlinearity, bias, batch_first, rng, dtype
        )  # fmt: skip
        self.initial_state = initial_state
        if initial_state == "learned":
            self._learn_initial("h", dtype)

    def extra_repr(self) -> str:
        return super().extra_repr() + ("" if self.initial_state == "zeros" else ", initial_state='learned'")
