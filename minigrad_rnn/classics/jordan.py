"""Jordan's network: memory units average past outputs with fixed weights (slide 47)."""

from __future__ import annotations

from typing import Any

import minigrad as mg
from minigrad import Tensor, nn
from minigrad.arguments_of import arguments_of
from minigrad.validation import check_probability

from .base import Classic, Past, States
from .one_hidden_layer import OneHiddenLayer


@arguments_of(Classic)
class Jordan(OneHiddenLayer):
    """A hidden layer that reads X(t) and a running average m(t) of past outputs (slide 47; Jordan 1986).

        m(t) = μ m(t−1) + Y(t−1),  h(t) = f(Wc X(t) + Wr m(t) + b),  Y(t) = g(Wo h(t) + bo)

    The weights into the memory, μ and 1, are fixed and no parameters. Jordan trained with the error of each step
    alone: the memory was an input like any other, and the current error did not reach the past (slide 49). Here the
    gradient flows through Y(t−1) and m(t−1) into the past, as in BPTT; to train as Jordan did, call the net one step
    at a time with `state.detach()` between the calls.

    >>> import numpy as np
    >>> from minigrad_rnn import Jordan
    >>> net = Jordan(3, 8, 2, mu=0.9)
    >>> output, state = net(np.ones((10, 1, 3), np.float32))
    >>> output.shape, state.shape
    ((10, 1, 2), (1, 1, 2))
    >>> [name for name, _ in net.named_parameters()]
    ['Wc', 'Wr', 'b', 'Wo', 'bo']

    Args:
        mu: μ in [0, 1), the share of the memory that remains after a step.
        nonlinearity: f: "tanh", "relu", "sigmoid", "softmax", or None for the identity.
        output_nonlinearity: g, before the output goes into the memory; by default none, since losses take logits.

    Parameters: `Wc` (H, I), `Wr` (H, O), `b` (H,), `Wo` (O, H), `bo` (O,).
    State: the memory m that the next step reads, (1, B, O); zeros before a series.

    Raises:
        ValueError: a bad argument or shape, T = 0 or B = 0.
        TypeError: xs or the state is not an array of `dtype`.
    """

    memory = "m"
    _result_name = "y"

    def __init__(
        self, input_size: int, hidden_size: int, output_size: int, mu: float = 0.5, nonlinearity: str | None = "tanh",
        output_nonlinearity: str | None = None, bias: bool = True, batch_first: bool = False, rng: nn.init.Rng = None,
        dtype: Any = "float32",
    ) -> None:  # fmt: skip
        check_probability("Jordan", mu=mu)
        super().__init__(
            input_size, hidden_size, output_size, nonlinearity, output_nonlinearity, bias, batch_first, rng, dtype
        )  # fmt: skip
        self.mu = float(mu)

    def _step(self, z: Tensor, past: Past) -> tuple[Tensor, States]:
        m = past["m"][-1]
        h = self._f(z + mg.linear(m, self.Wr))
        y = self._g(mg.linear(h, self.Wo, self.bo))
        return y, {"m": self.mu * m + y}

    def _outputs(self, hs: Tensor) -> Tensor:
        return hs  # every step has computed its output already

    def extra_repr(self) -> str:
        return f"{super().extra_repr()}, mu={self.mu:g}"
