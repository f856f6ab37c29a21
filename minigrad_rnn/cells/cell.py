"""What every cell has: its parameters under the lecture's names, an initial state, and one step of time."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

import minigrad as mg
from minigrad import Tensor, nn
from minigrad.backend import backend_of, is_array

State = Any
"""h (B, H) for a cell with one state array, a tuple such as (h, c) for one with several."""


class Cell(nn.Module):
    """One step of a recurrence: `output, state = cell(x, state)`; `state=None` is the cell's initial state.

    A subclass names its state arrays, says how many gate rows its weights have, and defines `step`.
    """

    gates: int
    """How many blocks of H rows `Wc`, `Wr` and `b` hold."""
    state_names: tuple[str, ...]
    """The state's arrays, the output first: ("h",) or ("h", "c")."""

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        bias: bool,
        initial_state: str,
        rng: np.random.Generator | None,
        dtype: Any,
    ) -> None:
        super().__init__()
        name = type(self).__name__
        for argument, size in (("input_size", input_size), ("hidden_size", hidden_size)):
            if isinstance(size, bool) or not isinstance(size, (int, np.integer)) or size < 1:
                raise ValueError(f"{name}: {argument}: got {size!r}, want a whole number of at least 1")
        if initial_state not in ("zeros", "learned"):
            raise ValueError(f"{name}: initial_state: got {initial_state!r}, want 'zeros' or 'learned'")
        rng = rng if rng is not None else nn.init.default_generator()
        bound = hidden_size**-0.5
        rows = self.gates * hidden_size
        self.input_size = input_size
        self.hidden_size = hidden_size
        self.initial_state = initial_state
        self.Wc = mg.Parameter(rng.uniform(-bound, bound, (rows, input_size)), dtype=dtype)
        self.Wr = mg.Parameter(rng.uniform(-bound, bound, (rows, hidden_size)), dtype=dtype)
        self.b = mg.Parameter(rng.uniform(-bound, bound, rows), dtype=dtype) if bias else None
        if initial_state == "learned":
            for part in self.state_names:
                setattr(self, f"{part}_init", mg.Parameter(np.zeros(hidden_size), dtype=dtype))

    def step(self, x: Any, state: tuple[Any, ...]) -> tuple[Tensor, ...]:
        """The state's arrays at t from x(t) (B, I) and the state's arrays at t−1; the first is the output."""
        raise NotImplementedError(f"{type(self).__name__}: a cell defines step(x, state)")

    def sequence(self, xs: Any, state: tuple[Any, ...], backward: bool) -> tuple[Tensor, ...]:
        """The whole sequence as one primitive: (outputs (T, B, H), *final state); see `fused`."""
        raise NotImplementedError(f"{type(self).__name__}: this cell has no fused sequence; use impl='graph'")

    def initial(self, batch: int) -> tuple[Tensor, ...]:
        """The state before the first step, (B, H) each: zeros where the weights live, or what was learned."""
        if self.initial_state == "learned":
            shape = (batch, self.hidden_size)
            return tuple(mg.broadcast_to(getattr(self, f"{part}_init"), shape) for part in self.state_names)
        xp = backend_of(self.Wc._data).xp
        return tuple(Tensor(xp.zeros((batch, self.hidden_size), dtype=self.Wc.dtype)) for _ in self.state_names)

    def forward(self, x: Any, state: State = None) -> tuple[Tensor, State]:
        """One step. x (B, I); returns the output h(t) (B, H) and the state to hand to the next step.

        Raises:
            ValueError: x or the state has the wrong shape.
            TypeError: it is no array, or its dtype is not the parameters'.
        """
        name, dtype = type(self).__name__, self.Wc.dtype
        if not isinstance(x, Tensor) and not is_array(x):
            raise TypeError(f"{name}: x: got {type(x).__name__}, want a Tensor or an array")
        if x.ndim != 2 or x.shape[1] != self.input_size:
            raise ValueError(f"{name}: x: got shape {tuple(x.shape)}, want (B, {self.input_size})")
        if x.dtype != dtype:
            raise TypeError(f"{name}: x: got dtype {x.dtype}, want {dtype} like the parameters")
        if state is None:
            parts = self.initial(x.shape[0])
        else:
            parts = tuple(state) if isinstance(state, (tuple, list)) else (state,)
            want = (x.shape[0], self.hidden_size)
            for part in parts:
                if not isinstance(part, Tensor) and not is_array(part):
                    raise TypeError(f"{name}: state: got {type(part).__name__}, want a Tensor or an array")
            if len(parts) != len(self.state_names) or any(tuple(p.shape) != want for p in parts):
                got = ", ".join(str(tuple(p.shape)) for p in parts)
                raise ValueError(f"{name}: state: got {got}, want {' and '.join(self.state_names)} of shape {want}")
            if any(p.dtype != dtype for p in parts):
                got = ", ".join(str(p.dtype) for p in parts)
                raise TypeError(f"{name}: state: got dtype {got}, want {dtype} like the parameters")
        new = self.step(x, parts)
        return new[0], new if len(new) > 1 else new[0]

    def extra_repr(self) -> str:
        return f"{self.input_size}, {self.hidden_size}" + ("" if self.b is not None else ", bias=False")


def unroll(
    step: Callable[..., tuple[Tensor, ...]], states: int, backward: bool, xs: Any, *inputs: Any, **options: Any
) -> tuple[Tensor, ...]:
    """`step(x(t), state, *weights, **options) -> state` over time, op by op; from T − 1 to 0 if `backward`.

    Args:
        states: how many of `inputs` are the initial state's arrays (B, H); the rest are the weights.
        xs: (T, B, I).

    Returns:
        (the outputs (T, B, H), *the state's arrays after the last step). Every step's entries carry its time step.
    """
    state, weights = tuple(inputs[:states]), inputs[states:]
    outputs: list[Tensor] = []
    for t in range(xs.shape[0])[:: -1 if backward else 1]:
        with mg.time_step(t):
            state = step(xs[t], state, *weights, **options)
        outputs.append(state[0])
    return mg.stack(outputs[:: -1 if backward else 1]), *state


def rule_through_graph(
    sequence: Callable[..., tuple[Tensor, ...]], inputs: tuple[Any, ...], gs: tuple[Any, ...], needs: tuple[bool, ...]
) -> tuple[Any, ...]:
    """The rule of a fused sequence when the walk is recorded: run it op by op, and let the tape differentiate that.

    `sequence(*inputs)` gives the same outputs as the fused primitive. Costs as much as the graph road, forward and
    backward; correct at every order.
    """
    # Fresh entries for the inputs: the walk ends there, and gives this sequence's share alone.
    cut = [None if x is None else mg.reshape(x, x.shape) for x in inputs]
    wanted = [x for x, need in zip(cut, needs) if need and x is not None]
    shares = iter(mg.gradients(sequence(*cut), wanted, gs, create_graph=True, allow_unused=True))
    return tuple(next(shares) if need else None for need in needs)
