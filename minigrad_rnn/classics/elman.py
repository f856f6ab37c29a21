"""Elman's network: the hidden state one step back, cloned; no gradient crosses that link (slide 48)."""

from __future__ import annotations

from typing import Any

import minigrad as mg
from minigrad import Tensor, nn

from .base import State
from .linear_over_time import linear_over_time
from .one_hidden_layer import SimpleNet


class Elman(SimpleNet):
    """A hidden layer that reads X(t) and its own clone of one step back, through a fixed weight 1 (slide 48; Elman
    1990).

        h(t) = f(Wc X(t) + Wr clone(h(t−1)) + b),  Y(t) = g(Wo h(t) + bo)

    In training no gradient crosses the link from h(t−1) to its clone: each step learns as a net of one step whose
    context happens to be an input, and the current error does not influence the past. `StateSpace` is the same net
    with the gradient.

    >>> import numpy as np
    >>> from minigrad_rnn import Elman
    >>> net = Elman(3, 8, 2)
    >>> output, state = net(np.ones((10, 1, 3), np.float32))
    >>> output.shape, state.shape, state.requires_grad
    ((10, 1, 2), (1, 1, 8), False)

    Args:
        input_size, hidden_size, output_size: I, H and O.
        nonlinearity: f: "tanh", "relu", "sigmoid", "softmax", or None for the identity.
        output_nonlinearity: g; by default none, since losses take logits.
        bias, batch_first, rng, dtype: as in `TDNN`.

    Parameters: `Wc` (H, I), `Wr` (H, H), `b` (H,), `Wo` (O, H), `bo` (O,).
    State: the context units, (1, B, H), zeros before a series. What comes out is a clone, a constant; a state that
        goes in on the tape receives no gradient.
    Call: xs (T, B, I) gives (output (T, B, O), state); other layouts: see `Classic`.

    Raises:
        ValueError: an argument, a shape, T = 0 or B = 0. TypeError: xs or the state is no array, or of another dtype.
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        output_size: int,
        nonlinearity: str | None = "tanh",
        output_nonlinearity: str | None = None,
        bias: bool = True,
        batch_first: bool = False,
        rng: nn.init.Rng = None,
        dtype: Any = "float32",
    ) -> None:
        super().__init__(
            input_size, hidden_size, output_size, hidden_size, {"h": (1, hidden_size)},
            nonlinearity, output_nonlinearity, bias, batch_first, rng, dtype,
        )  # fmt: skip

    def forward(self, xs: Any, state: State = None) -> tuple[Tensor, State]:
        xs, unbatched = self._series("xs", xs, self.input_size)
        h = self._start(state, xs.shape[1], unbatched)["h"][0]
        hs = []
        for t, z in enumerate(mg.unstack(linear_over_time(xs, self.Wc, self.b))):
            with mg.time_step(t):
                context = h.detach()  # the link of weight 1, which no gradient crosses
                h = self._f(z + mg.linear(context, self.Wr))
            hs.append(h)
        context = mg.stack([h.detach()])
        return self._out(self._outputs(hs), unbatched), self._packed({"h": context}, unbatched)
