"""Base class of the TDNN and the NARX: a multilayer perceptron that reads a window of past inputs and outputs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import minigrad as mg
from minigrad import Tensor, nn
from minigrad.validation import check_choice, check_integer

from .base import NONLINEARITIES, Classic, Past, States
from .linear_over_time import lagged, last_steps, linear_over_time


class WindowedMLP(Classic):
    """Y(t) = f(X(t), X(t−1), …, X(t−L), Y(t−1), …, Y(t−K)).

    `hidden_size` is H of the only hidden layer, or the sizes of several, numbered from 1 as on the slides. The first
    reads the inputs through Wc1 and the outputs fed back through Wr; then come Wc2, …, and Wo; the biases are b1, b2,
    …, bo.
    """

    Wc1: mg.Parameter
    Wr: mg.Parameter
    Wo: mg.Parameter

    def __init__(
        self, input_size: int, hidden_size: int | Sequence[int], output_size: int, input_lags: int, output_lags: int,
        nonlinearity: str | None, output_nonlinearity: str | None, bias: bool, batch_first: bool, rng: nn.init.Rng,
        dtype: Any,
    ) -> None:  # fmt: skip
        L, K = int(input_lags), int(output_lags)
        super().__init__(input_size, output_size, {"x": (L, input_size), "y": (K, output_size)}, batch_first)
        name = type(self).__name__
        self._check_parameters(bias, dtype)
        rng = nn.init.as_generator(rng, name)
        hidden = tuple(hidden_size) if isinstance(hidden_size, (tuple, list)) else (hidden_size,)
        if not hidden:
            raise ValueError(f"{name}: hidden_size: got no layers, want at least one")
        for size in hidden:
            check_integer(name, hidden_size=size)
        check_integer(name, output_size=output_size)
        check_choice(name, NONLINEARITIES, nonlinearity=nonlinearity, output_nonlinearity=output_nonlinearity)
        self.hidden_size, self.bias = hidden_size, bias
        self.nonlinearity, self.output_nonlinearity = nonlinearity, output_nonlinearity
        self.input_lags, self.output_lags, self.hidden_layers = L, K, len(hidden)
        reads = {"Wc1": (L + 1) * input_size, "Wr": K * output_size}
        self._make_layer(hidden[0], {W: n for W, n in reads.items() if n}, "b1" if bias else None, rng, dtype)
        for l in range(2, self.hidden_layers + 1):
            self._make_layer(hidden[l - 1], {f"Wc{l}": hidden[l - 2]}, f"b{l}" if bias else None, rng, dtype)
        self._make_layer(output_size, {"Wo": hidden[-1]}, "bo" if bias else None, rng, dtype)

    def _run(self, xs: Any, start: States, targets: Any = None) -> tuple[Tensor, States]:
        """Feed back `targets` (T, B, O) or, without any, the net's own outputs.

        Only a loop through the net's own outputs runs step by step; otherwise all steps are computed at once.
        """
        T, L, K = xs.shape[0], self.input_lags, self.output_lags
        finals: States = {}
        zs: Any = None
        if self.input_size:
            series = mg.concatenate([start["x"], xs]) if L else xs
            zs = linear_over_time(lagged(series, range(L + 1), T), self.Wc1, self._bias("b1"))
            if L:
                finals["x"] = last_steps(series, L)
        if not K:
            return self._upper_layers(zs, linear_over_time), finals
        b = None if self.input_size else self._bias("b1")
        if targets is not None:
            series = mg.concatenate([start["y"], targets])
            fed_back = linear_over_time(lagged(series, range(1, K + 1), T), self.Wr, b)
            finals["y"] = last_steps(series, K)
            return self._upper_layers(fed_back if zs is None else zs + fed_back, linear_over_time), finals

        def step(z: Any, past: Past) -> tuple[Tensor, States]:
            fed_back = mg.linear(mg.concatenate(past["y"][::-1], axis=-1), self.Wr, b)
            y = self._upper_layers(fed_back if z is None else z + fed_back, mg.linear)
            return y, {"y": y}

        inputs = [None] * T if zs is None else mg.unstack(zs)
        ys, last_outputs = self._unroll(inputs, {"y": start["y"]}, step)
        return ys, finals | last_outputs

    def _bias(self, name: str) -> mg.Parameter | None:
        return getattr(self, name) if self.bias else None

    def _upper_layers(self, z: Any, linear: Callable[..., Tensor]) -> Tensor:
        """Y from the first layer's z; `linear(x, W, b)` computes a layer for one step or for all."""
        f, g = NONLINEARITIES[self.nonlinearity], NONLINEARITIES[self.output_nonlinearity]
        for l in range(2, self.hidden_layers + 1):
            z = linear(f(z), getattr(self, f"Wc{l}"), self._bias(f"b{l}"))
        y: Tensor = g(linear(f(z), self.Wo, self._bias("bo")))
        return y
