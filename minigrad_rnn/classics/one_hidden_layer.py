"""One hidden layer beside what it reads of the past: what Jordan's, Elman's and the state-space net have in common."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import minigrad as mg
from minigrad import Tensor, nn

from .base import NONLINEARITIES, Classic, one_of, whole
from .linear_over_time import linear_over_time


class SimpleNet(Classic):
    """h(t) = f(Wc X(t) + Wr p(t) + b),  Y(t) = g(Wo h(t) + bo), where p(t), of the past, is the subclass's matter."""

    Wc: mg.Parameter
    Wr: mg.Parameter
    b: mg.Parameter | None = None
    Wo: mg.Parameter
    bo: mg.Parameter | None = None

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        output_size: int,
        past_size: int,
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
        whole(name, 1, input_size=input_size, hidden_size=hidden_size, output_size=output_size)
        one_of(name, "nonlinearity", nonlinearity, NONLINEARITIES)
        one_of(name, "output_nonlinearity", output_nonlinearity, NONLINEARITIES)
        self.hidden_size, self.bias = hidden_size, bias
        self.nonlinearity, self.output_nonlinearity = nonlinearity, output_nonlinearity
        self._make_layer(hidden_size, {"Wc": input_size, "Wr": past_size}, "b" if bias else None, rng, dtype)
        self._make_layer(output_size, {"Wo": hidden_size}, "bo" if bias else None, rng, dtype)

    def _f(self, z: Any) -> Tensor:
        h: Tensor = NONLINEARITIES[self.nonlinearity](z)
        return h

    def _g(self, zo: Any) -> Tensor:
        y: Tensor = NONLINEARITIES[self.output_nonlinearity](zo)
        return y

    def _outputs(self, hs: list[Tensor]) -> Tensor:
        """Y(t) of all steps at once, (T, B, O), where none of them is fed back."""
        return self._g(linear_over_time(mg.stack(hs), self.Wo, self.bo))

    def extra_repr(self) -> str:
        return f"{self.input_size}, {self.hidden_size}, {self.output_size}"
