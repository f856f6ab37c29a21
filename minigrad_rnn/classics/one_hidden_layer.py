"""Base class of Jordan's, Elman's and the state-space net: one hidden layer that reads a memory of the past."""

from __future__ import annotations

from typing import Any, ClassVar

import minigrad as mg
from minigrad import Tensor, nn
from minigrad.validation import check_choice, check_integer

from .base import NONLINEARITIES, Classic, Past, States
from .linear_over_time import linear_over_time


class OneHiddenLayer(Classic):
    """h(t) = f(Wc X(t) + Wr p(t) + b),  Y(t) = g(Wo h(t) + bo), where the memory p(t) is h(t−1) or a subclass's own."""

    Wc: mg.Parameter
    Wr: mg.Parameter
    b: mg.Parameter | None = None
    Wo: mg.Parameter
    bo: mg.Parameter | None = None
    memory: ClassVar[str] = "h"
    """The name of the state's array: "h", of the hidden layer's size, or "m", of the output's."""
    _result_name = "h"

    def __init__(
        self, input_size: int, hidden_size: int, output_size: int, nonlinearity: str | None = "tanh",
        output_nonlinearity: str | None = None, bias: bool = True, batch_first: bool = False, rng: nn.init.Rng = None,
        dtype: Any = "float32",
    ) -> None:  # fmt: skip
        name = type(self).__name__
        check_integer(name, input_size=input_size, hidden_size=hidden_size, output_size=output_size)
        check_choice(name, NONLINEARITIES, nonlinearity=nonlinearity, output_nonlinearity=output_nonlinearity)
        memory_size = hidden_size if self.memory == "h" else output_size
        super().__init__(input_size, output_size, {self.memory: (1, memory_size)}, batch_first)
        self._check_parameters(bias, dtype)
        rng = nn.init.as_generator(rng, name)
        self.hidden_size, self.bias = hidden_size, bias
        self.nonlinearity, self.output_nonlinearity = nonlinearity, output_nonlinearity
        self._make_layer(hidden_size, {"Wc": input_size, "Wr": memory_size}, "b" if bias else None, rng, dtype)
        self._make_layer(output_size, {"Wo": hidden_size}, "bo" if bias else None, rng, dtype)

    def _run(self, xs: Any, start: States) -> tuple[Tensor, States]:
        zs = mg.unstack(linear_over_time(xs, self.Wc, self.b))
        results, finals = self._unroll(zs, start, self._step)
        return self._outputs(results), finals

    def _step(self, z: Tensor, past: Past) -> tuple[Tensor, States]:
        """h(t) from z = Wc X(t) + b, and what is fed back."""
        h = self._f(z + mg.linear(past["h"][-1], self.Wr))
        return h, {"h": self._feedback(h)}

    def _feedback(self, h: Tensor) -> Tensor:
        """What the next step reads of h(t)."""
        return h

    def _outputs(self, hs: Tensor) -> Tensor:
        """Y(t) of all steps at once, since none of them is fed back."""
        return self._g(linear_over_time(hs, self.Wo, self.bo))

    def _f(self, z: Tensor) -> Tensor:
        h: Tensor = NONLINEARITIES[self.nonlinearity](z)
        return h

    def _g(self, zo: Tensor) -> Tensor:
        y: Tensor = NONLINEARITIES[self.output_nonlinearity](zo)
        return y

    def extra_repr(self) -> str:
        return f"{self.input_size}, {self.hidden_size}, {self.output_size}"
