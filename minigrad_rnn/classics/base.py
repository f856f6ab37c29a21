"""Base class of the lecture's classics: input checks, layouts, named states, parameters and the loop over time."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np

import minigrad as mg
from minigrad import Tensor, nn
from minigrad.backend import get_backend
from minigrad.engine.modes import time_steps
from minigrad.validation import check_dtype, check_flag, check_like

from ..validation import check_series
from .listened_steps import ListenedSteps

State = Any
"""None, one array, or a tuple of arrays, of which any may be None."""
States = dict[str, Tensor]
"""The state's arrays (lags, B, features) by name."""
Past = dict[str, list[Tensor]]
"""The last `lags` steps of each of the state's arrays, (B, features) each, oldest first."""
NONLINEARITIES: dict[str | None, Callable[..., Any]] = {
    None: lambda z: z,
    "tanh": mg.tanh,
    "relu": mg.relu,
    "sigmoid": mg.sigmoid,
    "softmax": mg.softmax,
}
"""The functions that f and g may be, by name; None is the identity."""


class Classic(nn.Module):
    """Base class of the classics.

    Initial weights and biases are uniform in ±1/√n, where n is how many numbers a layer reads, as in `nn.Linear`.
    A subclass implements `_run`.

    Args:
        input_size: features I of X(t).
        hidden_size: units H of the hidden layer.
        output_size: features O of Y(t).
        bias: whether there are biases.
        batch_first: whether xs is (B, T, I).
        rng: source of the initial values: a generator, a seed, or None for the default generator.
        dtype: of the parameters, and so of xs.

    Call: `output, state = net(xs, state)`.
        xs: (T, B, I), or (B, T, I) with batch_first, or (T, I) for one series without a batch axis.
        output: (T, B, O), in the layout of xs.
        state: the past that the net reads, one array for each of `state_names`: the array itself if there is one, a
            tuple for several, None for none. Each is (lags, B, features), oldest first, whatever batch_first says, and
            (lags, features) without a batch axis. None, also as a part of a tuple, is the declared initial state:
            zeros, or a parameter `{name}_init` that is learned. The state returned is the one to pass to the next
            call, which then continues the series.
    """

    _result_name = "y"
    """What the steps of `_unroll` return: the output, or "h"."""

    def __init__(
        self, input_size: int, output_size: int, state_sizes: Mapping[str, tuple[int, int]], batch_first: bool
    ) -> None:
        super().__init__()
        check_flag(type(self).__name__, batch_first=batch_first)
        self.input_size, self.output_size, self.batch_first = input_size, output_size, batch_first
        self.state_sizes = {name: size for name, size in state_sizes.items() if size[0]}
        """(lags, features) of each array of the state."""

    @property
    def state_names(self) -> tuple[str, ...]:
        """The names of the state's arrays, in their order."""
        return tuple(self.state_sizes)

    def forward(self, xs: Any, state: State = None) -> tuple[Tensor, State]:
        xs, unbatched = self._check_series("xs", xs, self.input_size)
        return self._to_layout(*self._run(xs, self._start(state, xs.shape[1], unbatched)), unbatched)

    def _run(self, xs: Any, start: States) -> tuple[Tensor, States]:
        """The output (T, B, O) and the final state, from xs (T, B, I) and the initial state."""
        raise NotImplementedError(f"{type(self).__name__}: a classic defines _run(xs, start)")

    def _unroll(
        self, inputs: Iterable[Any], start: States, step: Callable[[Any, Past], tuple[Tensor, States]]
    ) -> tuple[Tensor, States]:
        """Loop over time; returns the steps' results (T, B, ·) and the final state.

        `step(input, past)` computes one step's result (B, ·) and, by name, what is fed back to the steps after it.
        """
        past: Past = {name: list(mg.unstack(steps)) for name, steps in start.items()}
        inputs = list(inputs)
        results, listened = [], ListenedSteps(self, self._result_name, len(inputs))
        with time_steps() as label:
            for t, x in enumerate(inputs):
                label(t)
                result, fed_back = step(x, past)
                if listened:
                    result, fed_back = listened.step(t, result, fed_back)
                for name, value in fed_back.items():
                    past[name] = [*past[name][1:], value]
                results.append(result)
        outputs, finals = mg.stack(results), {name: mg.stack(steps) for name, steps in past.items()}
        return listened.finished(outputs) if listened else outputs, finals

    # Parameters

    def _check_parameters(self, bias: bool, dtype: Any) -> None:
        """Check what the parameters are made with, before any is drawn."""
        check_flag(type(self).__name__, bias=bias)
        check_dtype(type(self).__name__, dtype)

    def _make_layer(self, units: int, reads: Mapping[str, int], bias: str | None, rng: nn.init.Rng, dtype: Any) -> None:
        """Make a layer's parameters: for each name in `reads` a weight (units, columns), and a bias."""
        bound = sum(reads.values()) ** -0.5
        shapes: dict[str, tuple[int, ...]] = {name: (units, columns) for name, columns in reads.items()}
        for name, shape in (shapes if bias is None else shapes | {bias: (units,)}).items():
            setattr(self, name, mg.Parameter(nn.init.uniform(shape, -bound, bound, rng, dtype)))

    def _learn_initial(self, name: str, dtype: Any) -> None:
        """Make a parameter of the initial state, zeros at first: (lags, features), or (features,) for one lag."""
        lags, features = self.state_sizes[name]
        shape = (features,) if lags == 1 else (lags, features)
        setattr(self, f"{name}_init", mg.Parameter(np.zeros(shape), dtype=dtype))

    # In and out

    def _check_series(self, argument: str, xs: Any, features: int) -> tuple[Any, bool]:
        """xs as (T, B, features), and whether it came without a batch axis."""
        return check_series(type(self).__name__, argument, xs, features, self.batch_first, next(self.parameters()))

    def _start(self, state: State, batch: int, unbatched: bool) -> States:
        """Each of the state's arrays as (lags, B, features)."""
        name, names = type(self).__name__, self.state_names
        parts = (None,) * len(names) if state is None else state if isinstance(state, (tuple, list)) else (state,)
        if len(parts) != len(names):
            want = " and ".join(names) if names else "None: it keeps nothing of the past"
            raise ValueError(f"{name}: state: got {len(parts)} arrays, want {want}")
        start = {}
        for part, (part_name, (lags, features)) in zip(parts, self.state_sizes.items()):
            if part is None:
                start[part_name] = self._initial(part_name, batch)
                continue
            part = check_like(name, f"state: {part_name}", part, next(self.parameters()))
            want_shape = (lags, features) if unbatched else (lags, batch, features)
            if tuple(part.shape) != want_shape:
                raise ValueError(f"{name}: state: {part_name}: got shape {tuple(part.shape)}, want {want_shape}")
            start[part_name] = part[:, None] if unbatched else part
        return start

    def _initial(self, name: str, batch: int) -> Tensor:
        """The declared initial value of one of the state's arrays, (lags, B, features)."""
        lags, features = self.state_sizes[name]
        learned = getattr(self, f"{name}_init", None)
        if learned is not None:
            return mg.broadcast_to(mg.reshape(learned, (lags, 1, features)), (lags, batch, features))
        return self._zeros(lags, batch, features)

    def _zeros(self, *shape: int) -> Tensor:
        parameter = next(self.parameters())
        return Tensor(get_backend(parameter.backend).xp.zeros(shape, dtype=parameter.dtype))

    def _to_layout(self, ys: Tensor, finals: States, unbatched: bool) -> tuple[Tensor, State]:
        """The output (T, B, O) in the layout in which xs came, and the state as the next call takes it."""
        ys = ys[:, 0] if unbatched else mg.swapaxes(ys, 0, 1) if self.batch_first else ys
        return ys, self._packed(finals, unbatched)

    def _packed(self, finals: States, unbatched: bool) -> State:
        """The state as the next call takes it."""
        parts = tuple(finals[name][:, 0] if unbatched else finals[name] for name in self.state_names)
        return parts if len(parts) > 1 else parts[0] if parts else None
