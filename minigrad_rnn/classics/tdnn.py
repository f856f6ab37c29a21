"""The time-delay network: a multilayer perceptron on a finite window of past inputs (slides 16–28)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from minigrad import nn
from minigrad.arguments_of import arguments_of
from minigrad.validation import check_integer

from .base import Classic
from .windowed_mlp import WindowedMLP


@arguments_of(Classic)
class TDNN(WindowedMLP):
    """The finite-response predictor Y(t) = f(X(t), X(t−1), …, X(t−N)): an MLP slid over the last N + 1 inputs.

    The same as a convolution over time with a kernel of N + 1 taps. An input influences Y(t) … Y(t+N) and nothing
    later: a longer memory needs a larger net. (Slides 16–28; Waibel, Hanazawa, Hinton, Shikano & Lang 1989.)

    >>> import numpy as np
    >>> from minigrad_rnn import TDNN
    >>> net = TDNN(3, 8, 2, delays=4)
    >>> output, state = net(np.ones((10, 1, 3), np.float32))
    >>> output.shape, state.shape
    ((10, 1, 2), (4, 1, 3))

    Args:
        hidden_size: H, or the sizes of several hidden layers, the one above the window first.
        delays: N.
        nonlinearity: of the hidden layers: "tanh", "relu", "sigmoid", "softmax", or None for the identity.
        output_nonlinearity: the same for the output; by default none, since losses take logits.

    Parameters: `Wc1` (H, (N+1)·I), whose columns meet X(t), X(t−1), …, X(t−N) in this order, `b1` (H,); with
        several hidden layers `Wc2`, `b2`, …; `Wo` (O, H), `bo` (O,).
    State: X(t−N) … X(t−1), (N, B, I), oldest first; zeros before a series. The next call continues from it.
        All steps are computed at once.

    Raises:
        ValueError: a bad argument or shape, T = 0 or B = 0.
        TypeError: xs or the state is not an array of `dtype`.
    """

    def __init__(
        self, input_size: int, hidden_size: int | Sequence[int], output_size: int, delays: int,
        nonlinearity: str | None = "tanh", output_nonlinearity: str | None = None, bias: bool = True,
        batch_first: bool = False, rng: nn.init.Rng = None, dtype: Any = "float32",
    ) -> None:  # fmt: skip
        check_integer("TDNN", input_size=input_size)
        check_integer("TDNN", least=0, delays=delays)
        self.delays = int(delays)
        super().__init__(
            input_size, hidden_size, output_size, self.delays, 0,
            nonlinearity, output_nonlinearity, bias, batch_first, rng, dtype,
        )  # fmt: skip

    def extra_repr(self) -> str:
        return f"{self.input_size}, {self.hidden_size}, {self.output_size}, delays={self.delays}"
