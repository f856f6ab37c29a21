"""What the lecture's classics share: series in and out, states by name, and a layer's parameters."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

import minigrad as mg
from minigrad import Tensor, nn
from minigrad.backend import backend_of, is_array

State = Any
"""None, one array, or a tuple of arrays, of which any may be None."""
NONLINEARITIES: dict[str | None, Callable[..., Any]] = {
    None: lambda z: z,
    "tanh": mg.tanh,
    "relu": mg.relu,
    "sigmoid": mg.sigmoid,
    "softmax": mg.softmax,
}
"""What may stand for f and g; None is the identity."""


class Classic(nn.Module):
    """The base of the classics: `output, state = net(xs, state)`.

    xs: (T, B, I), or (B, T, I) with batch_first, or (T, I) for one series without a batch axis.
    output: (T, B, O), in the layout of xs.
    state: what the net needs of the past, one array for each of `state_names`: that array where there is one, a tuple
        where there are several, None where there is none. Each is (lags, B, features), oldest first, whatever
        batch_first says, and (lags, features) without a batch axis. None, also as a part of a tuple, is the declared
        initial state: zeros, or a parameter `{name}_init` that is learned. The state returned is the one to hand to
        the next call, which then continues the series.

    Initial weights and biases are uniform in ±1/√n, where n is how many numbers a layer reads, as in `nn.Linear`.
    """

    def __init__(
        self, input_size: int, output_size: int, state_sizes: Mapping[str, tuple[int, int]], batch_first: bool
    ) -> None:
        super().__init__()
        self.input_size, self.output_size, self.batch_first = input_size, output_size, batch_first
        self.state_sizes = {name: size for name, size in state_sizes.items() if size[0]}
        """(lags, features) of each array of the state."""

    @property
    def state_names(self) -> tuple[str, ...]:
        """The state's arrays in their order."""
        return tuple(self.state_sizes)

    # Parameters

    def _make_layer(
        self,
        units: int,
        reads: Mapping[str, int],
        bias: str | None,
        rng: nn.init.Rng,
        dtype: Any,
    ) -> None:
        """A layer's parameters as attributes: a weight (units, columns) for each thing that it reads, and a bias."""
        bound = sum(reads.values()) ** -0.5
        for name, columns in reads.items():
            setattr(self, name, mg.Parameter(nn.init.uniform((units, columns), -bound, bound, rng, dtype)))
        if bias is not None:
            setattr(self, bias, mg.Parameter(nn.init.uniform((units,), -bound, bound, rng, dtype)))

    def _learn_initial(self, name: str, dtype: Any) -> None:
        """A parameter for the initial state, zeros at first: (lags, features), (features,) for one lag."""
        lags, features = self.state_sizes[name]
        shape = (features,) if lags == 1 else (lags, features)
        setattr(self, f"{name}_init", mg.Parameter(np.zeros(shape), dtype=dtype))

    # In and out

    def _series(self, argument: str, xs: Any, features: int) -> tuple[Any, bool]:
        """xs as (T, B, features), and whether it came without a batch axis."""
        name = type(self).__name__
        self._beside_parameters(argument, xs)
        want = f"({'B, T' if self.batch_first else 'T, B'}, {features}) or (T, {features})"
        if xs.ndim not in (2, 3) or xs.shape[-1] != features:
            raise ValueError(f"{name}: {argument}: got shape {tuple(xs.shape)}, want {want}")
        unbatched = xs.ndim == 2
        if unbatched:
            xs = xs[:, None]
        elif self.batch_first:
            xs = xs.swapaxes(0, 1)
        if not xs.shape[0] or not xs.shape[1]:
            raise ValueError(
                f"{name}: {argument}: got T = {xs.shape[0]} steps and B = {xs.shape[1]}, want at least one of each"
            )
        return xs, unbatched

    def _beside_parameters(self, argument: str, x: Any) -> None:
        """Refuse what is no array, of another dtype than the parameters, or on another backend."""
        name, parameter = type(self).__name__, next(self.parameters())
        if not isinstance(x, Tensor) and not is_array(x):
            raise TypeError(f"{name}: {argument}: got {type(x).__name__}, want a Tensor or an array")
        if x.dtype != parameter.dtype:
            raise TypeError(f"{name}: {argument}: got dtype {x.dtype}, want {parameter.dtype} like the parameters")
        got = backend_of(x._data if isinstance(x, Tensor) else x).name
        if got != parameter.backend:
            raise mg.BackendError(
                f"{name}: {argument}: is on {got}, the parameters on {parameter.backend}; move one with .to(...)"
            )

    def _start(self, state: State, batch: int, unbatched: bool) -> dict[str, Tensor]:
        """Each of the state's arrays as (lags, B, features), by name."""
        name, names = type(self).__name__, self.state_names
        parts = (None,) * len(names) if state is None else state if isinstance(state, (tuple, list)) else (state,)
        if len(parts) != len(names):
            want = " and ".join(names) if names else "None: it keeps nothing of the past"
            raise ValueError(f"{name}: state: got {len(parts)} arrays, want {want}")
        start = {}
        for part, called in zip(parts, names):
            lags, features = self.state_sizes[called]
            if part is None:
                start[called] = self._initial(called, batch)
                continue
            self._beside_parameters(f"state: {called}", part)
            want_shape = (lags, features) if unbatched else (lags, batch, features)
            if tuple(part.shape) != want_shape:
                raise ValueError(f"{name}: state: {called}: got shape {tuple(part.shape)}, want {want_shape}")
            part = part if isinstance(part, Tensor) else Tensor(part)
            start[called] = part[:, None] if unbatched else part
        return start

    def _initial(self, called: str, batch: int) -> Tensor:
        """The declared initial state's array `called`, (lags, B, features)."""
        lags, features = self.state_sizes[called]
        learned = getattr(self, f"{called}_init", None)
        if learned is not None:
            return mg.broadcast_to(mg.reshape(learned, (lags, 1, features)), (lags, batch, features))
        return self._zeros(lags, batch, features)

    def _zeros(self, *shape: int) -> Tensor:
        parameter = next(self.parameters())
        return Tensor(backend_of(parameter._data).xp.zeros(shape, dtype=parameter.dtype))

    def _out(self, ys: Tensor, unbatched: bool) -> Tensor:
        """(T, B, O) in the layout in which xs came."""
        if unbatched:
            return ys[:, 0]
        return mg.swapaxes(ys, 0, 1) if self.batch_first else ys

    def _packed(self, finals: Mapping[str, Tensor], unbatched: bool) -> State:
        """The state as the next call takes it."""
        parts = tuple(finals[name][:, 0] if unbatched else finals[name] for name in self.state_names)
        return parts if len(parts) > 1 else parts[0] if parts else None


# Arguments


def whole(name: str, least: int, **arguments: Any) -> None:
    """Refuse what is no whole number of at least `least`."""
    for argument, got in arguments.items():
        if isinstance(got, bool) or not isinstance(got, (int, np.integer)) or got < least:
            raise ValueError(f"{name}: {argument}: got {got!r}, want a whole number of at least {least}")


def one_of(name: str, argument: str, got: Any, wanted: Any) -> None:
    """Refuse what is not among `wanted`."""
    if not (got is None or isinstance(got, str)) or got not in wanted:
        raise ValueError(f"{name}: {argument}: got {got!r}, want one of {list(wanted)}")
