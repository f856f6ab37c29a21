"""Elman's network: the hidden layer reads a clone of its last state; no gradient crosses that link (slide 48)."""

from __future__ import annotations

from typing import Any

from minigrad import Tensor
from minigrad.arguments_of import arguments_of

from .base import Classic, States
from .one_hidden_layer import OneHiddenLayer


@arguments_of(Classic)
class Elman(OneHiddenLayer):
    """A hidden layer that reads X(t) and a clone of its state of one step back (slide 48; Elman 1990).

        h(t) = f(Wc X(t) + Wr clone(h(t−1)) + b),  Y(t) = g(Wo h(t) + bo)

    The link to the clone has the fixed weight 1, and in training no gradient crosses it: each step learns as a net of
    one step whose context is an input, and the current error does not influence the past. `StateSpace` is the same net
    with the gradient.

    >>> import numpy as np
    >>> from minigrad_rnn import Elman
    >>> net = Elman(3, 8, 2)
    >>> output, state = net(np.ones((10, 1, 3), np.float32))
    >>> output.shape, state.shape, state.requires_grad
    ((10, 1, 2), (1, 1, 8), False)

    Args:
        nonlinearity: f: "tanh", "relu", "sigmoid", "softmax", or None for the identity.
        output_nonlinearity: g; by default none, since losses take logits.

    Parameters: `Wc` (H, I), `Wr` (H, H), `b` (H,), `Wo` (O, H), `bo` (O,).
    State: the context units, (1, B, H), zeros before a series. The state returned is a clone, a constant; a state
        passed in receives no gradient.

    Raises:
        ValueError: a bad argument or shape, T = 0 or B = 0.
        TypeError: xs or the state is not an array of `dtype`.
    """

    def _run(self, xs: Any, start: States) -> tuple[Tensor, States]:
        return super()._run(xs, {"h": self._feedback(start["h"])})

    def _feedback(self, h: Tensor) -> Tensor:
        return h.detach()  # the link of weight 1, which no gradient crosses
