"""The base class of every cell: parameters under the lecture's names, an initial state, and one time step."""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np

import minigrad as mg
from minigrad import Tensor, nn
from minigrad.backend import backend_of
from minigrad.validation import as_tensor, check_choice, check_dtype, check_flag, check_integer, is_integer

from .lengths import Lengths
from .step_gradients import StepGradients
from .step_result import check_state_names, check_step_result

State = Any
"""h (B, H) for a cell with one state array, a tuple such as (h, c) for one with several."""
Parts = tuple[Any, ...]
"""The state's arrays, the output first, whether there are several or one."""


class KernelSpec(NamedTuple):
    """Description of a cell, from which a kernel can run its whole sequence."""

    kind: str
    """The cell's name among the kernels, one of `cuda.planner.CELLS`."""
    refused: str
    """Why no CUDA kernel serves the cell's options, or ""."""
    weights: Callable[[], tuple[Any, ...]]
    """Returns Wc, Wr, b and, for a cell that adds a bias only to Wr h(t−1), br; the biases may be None. An LSTM with
    peepholes or a projection adds p and Wp, one of which may be None."""
    step: Callable[..., tuple[Tensor, ...]]
    """`step(x, state, h, *weights)`: one step op by op."""
    refused_in_c: str = ""
    """Why no compiled sequence serves the cell's options, or ""."""


class Cell(nn.Module):
    """One step of a recurrence: `output, state = cell(x, state)`; `state=None` is the cell's initial state.

    A subclass names its state arrays, says how many gate rows its weights have, and defines `step`. That is enough
    for `Recurrence` to run it in layers and directions, with lengths, dropout, zoneout and learned initial states:

    >>> import numpy as np
    >>> import minigrad as mg
    >>> from minigrad_rnn import Cell, Recurrence
    >>> class LeakyCell(Cell):
    ...     gates, state_names = 1, ("h",)
    ...     def step(self, x, state, h):
    ...         z = mg.linear_sum(x, self.Wc, h, self.Wr, self.b)
    ...         return (0.9 * state[0] + 0.1 * mg.tanh(z),)
    >>> rnn = Recurrence(3, 4, 2, bidirectional=True, cell_type=LeakyCell, zoneout=0.1, recurrent_dropout=0.2)
    >>> output, state = rnn(np.ones((7, 2, 3), np.float32), lengths=[7, 5])
    >>> output.shape, state.shape
    ((7, 2, 8), (4, 2, 4))

    Args:
        input_size: features I of x(t).
        hidden_size: units H of the state.
        bias: whether there is a b.
        initial_state: "zeros", or "learned": h(−1) is the parameter `h_init` (H,), one for every sequence (slide 69),
            and so is every other array of the state.
        rng: draws the initial weights, uniform in ±1/√H: a generator, a seed, or None for the library's own generator.
        dtype: of the parameters.
        two_biases: whether there is a second bias `br` beside b, as in torch, added to Wr h(t−1); RNN and LSTM only.

    Call: `output, state = cell(x, state)`.
        x: x(t), (B, I).
        state: h(t−1) (B, H), or a tuple of the state's arrays such as (h, c); None is the initial state.
        h: h(t−1) as the recurrent weights see it, if recurrent dropout leaves only a part of the state's.
        output: h(t), (B, H); the state returned is the one for the next step.

    Raises:
        ValueError: a size that is not a positive whole number, or an array of another shape.
        TypeError: something is not an array of the parameters' dtype.
    """

    gates: int
    """How many blocks of H rows `Wc`, `Wr` and `b` hold."""
    state_names: tuple[str, ...]
    """The state's arrays, the output first: ("h",) or ("h", "c")."""

    Wc: mg.Parameter
    Wr: mg.Parameter
    b: Any
    """A Parameter, or None without biases."""
    takes_two_biases = False
    """Whether `step` knows a second bias."""

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        bias: bool = True,
        initial_state: str = "zeros",
        rng: nn.init.Rng = None,
        dtype: Any = "float32",
        two_biases: bool = False,
    ) -> None:
        super().__init__()
        name = type(self).__name__
        check_state_names(name, getattr(self, "state_names", None))
        check_integer(name, input_size=input_size, hidden_size=hidden_size)
        check_choice(name, ("zeros", "learned"), initial_state=initial_state)
        check_flag(name, bias=bias, two_biases=two_biases)
        if two_biases and not self.takes_two_biases:
            raise ValueError(f"{name}: two_biases: got True, want False: this cell has one bias")
        if two_biases and not bias:
            raise ValueError(f"{name}: two_biases: got True with bias=False, want one or the other")
        self.input_size, self.hidden_size, self.initial_state = input_size, hidden_size, initial_state
        generator = nn.init.as_generator(rng, name)
        self._rng = nn.init.default_generator() if generator is None else generator
        self._bound, self._dtype = hidden_size**-0.5, check_dtype(name, dtype)
        self.make_weights(bias, two_biases)
        if initial_state == "learned":
            for part, size in zip(self.state_names, self.state_sizes):
                setattr(self, f"{part}_init", mg.Parameter(np.zeros(size), dtype=self._dtype))
        del self._rng

    def make_weights(self, bias: bool, two_biases: bool) -> None:
        """Create Wc (G·H, I), Wr (G·H, H), b and br (G·H,); a cell with other parameters creates its own here.

        It draws them with `uniform`. Wc and b are needed only where `step` uses them. `bias` and `two_biases` are the
        constructor's.
        """
        gates: Any = getattr(self, "gates", None)
        if not is_integer(gates) or gates < 1:
            name, want = type(self).__name__, "how many blocks of H rows Wc, Wr and b hold"
            raise TypeError(f"{name}: gates: got {gates!r}, want a number: {want}")
        rows: int = gates * self.hidden_size
        self.Wc = self.uniform(rows, self.input_size)
        self.Wr = self.uniform(rows, self.state_sizes[0])
        self.b = self.uniform(rows) if bias else None
        self.br = self.uniform(rows) if two_biases else None

    def total_bias(self) -> Any:
        """b, or b + br where there are two: both are added to the same z(t)."""
        return self.b if self.br is None else self.b + self.br

    def uniform(self, *shape: int) -> mg.Parameter:
        """A parameter of this `shape` drawn uniformly from ±1/√H; available in `make_weights` only."""
        return mg.Parameter(self._rng.uniform(-self._bound, self._bound, shape), dtype=self._dtype)

    def reference_parameter(self) -> mg.Parameter:
        """One of the cell's parameters, whose backend and dtype all of them share."""
        Wc: mg.Parameter | None = getattr(self, "Wc", None)
        return next(self.parameters()) if Wc is None else Wc

    @property
    def state_sizes(self) -> tuple[int, ...]:
        """The number of features of each state array; the first is the output's."""
        return (self.hidden_size,) * len(self.state_names)

    def step(self, x: Any, state: Parts, h: Any) -> tuple[Tensor, ...]:
        """Return the state's arrays at t from x(t) (B, I) and the state's arrays at t−1; the first is the output.

        `h` is h(t−1) as the recurrent weights see it: `state[0]`, or what recurrent dropout leaves of it. A state of
        one array may also be returned without a tuple.
        """
        raise NotImplementedError(f"{type(self).__name__}: a cell defines step(x, state, h)")

    def sequence(
        self, xs: Any, state: Parts, backward: bool = False, lengths: Lengths | None = None, every_state: bool = False,
        step_gradients: StepGradients | None = None,
    ) -> tuple[Tensor, ...]:  # fmt: skip
        """Run the whole sequence as one primitive.

        Args:
            xs: (T, B, I).
            state: the state's arrays before the first step read, (B, H) each.
            backward: whether time runs from T − 1 to 0.
            lengths: of the batch's sequences, or None if all have T steps.
            every_state: whether to return all state arrays of every step, not only the first.
            step_gradients: what is told the gradients of every step's state arrays; None for nothing.

        Returns:
            The outputs (T, B, H), the state's arrays after each sequence's last step, and with `every_state` the other
            arrays of every step (T, B, H).
        """
        raise NotImplementedError(f"{type(self).__name__}: this cell has no fused sequence; use impl='graph'")

    def fused_refusal(self) -> str:
        """Why the cell has no fused sequence, or not with its options; "" if it has."""
        kind: Any = type(self)
        return _sequence_refusal(kind, kind.sequence, kind.step)

    def kernel_spec(self) -> KernelSpec | None:
        """The cell's description for a kernel; None where no kernel is written for it."""
        return None

    def initial(self, batch: int) -> tuple[Tensor, ...]:
        """The state of `batch` sequences before the first step, (batch, H) each: zeros on the weights' backend, or the
        learned values."""
        if type(batch) is not int or not 0 <= batch <= sys.maxsize:
            check_integer(f"{type(self).__name__}.initial", 0, batch=batch)
        names, sizes = self.state_names, self.state_sizes
        if len(sizes) != len(names):
            raise TypeError(f"{type(self).__name__}: state_sizes: got {sizes}, want one for each of {names}")
        if self.initial_state == "learned":
            parts = zip(names, sizes)
            return tuple(mg.broadcast_to(getattr(self, f"{part}_init"), (batch, size)) for part, size in parts)
        weights = self.reference_parameter()._array
        zeros, dtype = backend_of(weights).xp.zeros, weights.dtype
        return tuple([Tensor(zeros((batch, size), dtype)) for size in sizes])

    def forward(self, x: Any, state: State = None, h: Any = None) -> tuple[Tensor, State]:
        """Run one step: from x (B, I) return the output h(t) (B, H) and the state for the next step.

        `h` is h(t−1) as the recurrent weights see it, if recurrent dropout leaves only a part of the state's.

        Raises:
            ValueError: x, the state or what `step` returns has the wrong shape.
            TypeError: one of them is not an array, or its dtype is not the parameters'.
        """
        name, dtype = type(self).__name__, self.reference_parameter().dtype
        x = x if isinstance(x, Tensor) else as_tensor(name, "x", x)
        if x.ndim != 2 or x.shape[1] != self.input_size:
            raise ValueError(f"{name}: x: got shape {x.shape}, want (B, {self.input_size})")
        if x.dtype != dtype:
            raise TypeError(f"{name}: x: got dtype {x.dtype}, want {dtype} like the parameters")
        if state is None:
            parts = self.initial(x.shape[0])
        else:
            given = state if isinstance(state, (tuple, list)) else (state,)
            parts = tuple(as_tensor(name, "state", part) for part in given)
            want = [(x.shape[0], size) for size in self.state_sizes]
            if [part.shape for part in parts] != want:
                got = ", ".join(str(part.shape) for part in parts)
                shapes = " and ".join(f"{part} of shape {shape}" for part, shape in zip(self.state_names, want))
                raise ValueError(f"{name}: state: got {got}, want {shapes}")
            if any(part.dtype != dtype for part in parts):
                got = ", ".join(str(part.dtype) for part in parts)
                raise TypeError(f"{name}: state: got dtype {got}, want {dtype} like the parameters")
        new = check_step_result(
            f"{name}: step", self.state_names, self.step(x, parts, parts[0] if h is None else h), parts
        )
        return new[0], new if len(new) > 1 else new[0]

    def one_step(self) -> Callable[[Any, Parts, Any], tuple[Tensor, ...]]:
        """`step` for one sequence: what it returns is checked at the first step, and is a tuple at every one."""
        name, names, step = type(self).__name__, self.state_names, self.step
        count, checked = len(names), False

        def run(x: Any, state: Parts, h: Any) -> tuple[Tensor, ...]:
            nonlocal checked
            new = step(x, state, h)
            if not checked or type(new) is not tuple or len(new) != count:
                new, checked = check_step_result(f"{name}: step", names, new, state), True
            return new

        return run

    def one_hooked_step(self, x: Any, state: Parts, h: Any) -> tuple[Tensor, ...]:
        """A step with the cell's hooks, which may replace arguments and results; returns the state and the output.

        The hooks see the call `cell(x, state)`, or `cell(x, state, h)` where recurrent dropout masks h(t−1).
        """
        name, packed = type(self).__name__, state if len(state) > 1 else state[0]
        result = self(x, packed) if h is state[0] else self(x, packed, h)
        if not isinstance(result, tuple) or len(result) != 2:
            raise TypeError(f"{name}: a forward hook returned {type(result).__name__}, want (output, state)")
        output, after = result
        new = check_step_result(f"{name}: a forward hook", self.state_names, after, state)
        return *new, *check_step_result(f"{name}: a forward hook", ("output",), output, state[:1])

    def extra_repr(self) -> str:
        no_bias = getattr(self, "b", self) is None  # a cell with parameters of its own may have no b
        return f"{self.input_size}, {self.hidden_size}" + (", bias=False" if no_bias else "")


@lru_cache(maxsize=256)
def _sequence_refusal(kind: Any, sequence: Callable[..., Any], step: Callable[..., Any]) -> str:
    """Why the class's `sequence` does not run its `step`, or ""; both are arguments since a class may be changed."""
    if sequence is Cell.sequence:
        return f"{kind.__name__} defines no sequence"
    for base in kind.__mro__:
        if "sequence" in vars(base):
            break
        if "step" in vars(base):
            return f"{base.__name__} defines a step, and no sequence for it"
    return ""
