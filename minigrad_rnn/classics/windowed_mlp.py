"""A multilayer perceptron slid along a series: what the TDNN and the NARX are above their first layer's inputs."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import minigrad as mg
from minigrad import Tensor, nn

from .base import NONLINEARITIES, Classic, one_of, whole


class SlidingPerceptron(Classic):
    """The layers: Wc1 and others of the first one (`reads`), then Wc2, …, then Wo; biases b1, b2, …, bo.

    Layers are numbered as on the slides: hidden layers l = 1 … L. `hidden_size` is H of the only one, or all of them.
    """

    Wo: mg.Parameter

    def __init__(
        self,
        input_size: int,
        hidden_size: int | Sequence[int],
        output_size: int,
        reads: Mapping[str, int],
        state_sizes: Mapping[str, tuple[int, int]],
        nonlinearity: str | None,
        output_nonlinearity: str | None,
        bias: bool,
        batch_first: bool,
        rng: nn.init.Rng,
        dtype: Any,
    ) -> None:
        super().__init__(input_size, output_size, state_sizes, batch_first)
        name = type(self).__name__
        rng = nn.init.as_generator(rng, name)
        hidden = tuple(hidden_size) if isinstance(hidden_size, (tuple, list)) else (hidden_size,)
        if not hidden:
            raise ValueError(f"{name}: hidden_size: got no layers, want at least one")
        for size in hidden:
            whole(name, 1, hidden_size=size)
        whole(name, 1, output_size=output_size)
        one_of(name, "nonlinearity", nonlinearity, NONLINEARITIES)
        one_of(name, "output_nonlinearity", output_nonlinearity, NONLINEARITIES)
        self.hidden_size, self.bias = hidden_size, bias
        self.nonlinearity, self.output_nonlinearity = nonlinearity, output_nonlinearity
        self.hidden_layers = len(hidden)
        self._make_layer(hidden[0], reads, "b1" if bias else None, rng, dtype)
        for l in range(2, self.hidden_layers + 1):
            self._make_layer(hidden[l - 1], {f"Wc{l}": hidden[l - 2]}, f"b{l}" if bias else None, rng, dtype)
        self._make_layer(output_size, {"Wo": hidden[-1]}, "bo" if bias else None, rng, dtype)

    def _bias(self, name: str) -> mg.Parameter | None:
        return getattr(self, name) if self.bias else None

    def _above(self, z: Any, product: Callable[..., Tensor]) -> Tensor:
        """Y from the first layer's z; `product(x, W, b)` is that of one step or of all."""
        f, g = NONLINEARITIES[self.nonlinearity], NONLINEARITIES[self.output_nonlinearity]
        for l in range(2, self.hidden_layers + 1):
            z = product(f(z), getattr(self, f"Wc{l}"), self._bias(f"b{l}"))
        y: Tensor = g(product(f(z), self.Wo, self._bias("bo")))
        return y
