"""Any cell through time: layers, two directions, states in and out, and the road that a sequence takes."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np

import minigrad as mg
from minigrad import Tensor, nn
from minigrad.backend import backend_of, is_array

from .cells import Cell, LSTMCell, RNNCell, unroll

State = Any
IMPLEMENTATIONS = ("auto", "graph", "fused")


class Recurrence(nn.Module):
    """A cell unrolled over time, in stacked layers and one or two directions.

    The arguments and the calls are those of `torch.nn.RNN`. Layer l's cells are the submodules `forward{l}` and, in a
    bidirectional net, `backward{l}`; so its parameters are named `forward0.Wc`, `forward0.Wr`, `forward0.b` and so on.
    Layer l + 1 reads [h_f; h_b] of layer l. (Slides 54, 73, 105.)

    Call: `output, state = rnn(xs, state)`.
        xs: (T, B, I), or (B, T, I) with batch_first, or (T, I) for one sequence without a batch axis.
        state: h (layers · directions, B, H), or the tuple (h, c); None is the initial state. In torch's order:
            layer 0 forward, layer 0 backward, layer 1 forward, …
        output: (T, B, directions · H), in the layout of xs: the top layer's h(t) for every t.
        The returned state is that after the last step, in the form that the next call takes.

    Roads: `impl="graph"` runs op by op, so that every step is on the tape; "fused" runs each layer's whole sequence
    as one primitive; "auto" takes the fused road where the cell has one. `road` says which was taken last.

    Raises:
        ValueError: a shape, T = 0 or B = 0; TypeError: a dtype that is not the parameters'.
    """

    cell_type: type[Cell]
    road: str | None

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        impl: str = "auto",
        initial_state: str = "zeros",
        rng: np.random.Generator | None = None,
        dtype: Any = "float32",
        **cell_options: Any,
    ) -> None:
        super().__init__()
        name = type(self).__name__
        if isinstance(num_layers, bool) or not isinstance(num_layers, (int, np.integer)) or num_layers < 1:
            raise ValueError(f"{name}: num_layers: got {num_layers!r}, want a whole number of at least 1")
        if not isinstance(dropout, (int, float)) or not 0 <= dropout < 1:
            raise ValueError(f"{name}: dropout: got {dropout!r}, want a probability in [0, 1)")
        if dropout and num_layers == 1:
            warnings.warn(
                f"{name}: dropout={dropout!r} does nothing with num_layers=1: it acts between layers", stacklevel=3
            )
        if impl not in IMPLEMENTATIONS:
            raise ValueError(f"{name}: impl: got {impl!r}, want one of {list(IMPLEMENTATIONS)}")
        if impl == "fused" and self.cell_type.sequence is Cell.sequence:
            raise ValueError(
                f"{name}: impl: got 'fused', but {self.cell_type.__name__} defines no sequence; want 'graph'"
            )
        self.input_size, self.hidden_size, self.num_layers = input_size, hidden_size, num_layers
        self.bias, self.batch_first, self.bidirectional = bias, batch_first, bidirectional
        self.initial_state, self.impl, self.cell_options = initial_state, impl, cell_options
        self.road = None
        self.directions = ("forward", "backward") if bidirectional else ("forward",)
        width = input_size
        for layer in range(num_layers):
            for direction in self.directions:
                cell = self.cell_type(
                    width, hidden_size, bias=bias, initial_state=initial_state, rng=rng, dtype=dtype, **cell_options
                )
                setattr(self, f"{direction}{layer}", cell)
            width = hidden_size * len(self.directions)
        self.between = nn.Dropout(dropout, rng=rng)

    @property
    def dropout(self) -> float:
        """The probability with which a feature is dropped between two layers in training."""
        return float(self.between.p)

    def cells(self, layer: int) -> list[Cell]:
        """The layer's cells: the forward one, and the backward one where there are two directions."""
        return [getattr(self, f"{direction}{layer}") for direction in self.directions]

    def forward(self, xs: Any, state: State = None) -> tuple[Tensor, State]:
        xs, unbatched = self._checked(xs)
        states = self._unpacked(state, xs.shape[1], unbatched)
        fused = self.impl == "fused" or (self.impl == "auto" and self.cell_type.sequence is not Cell.sequence)
        self.road = "fused" if fused else "graph"
        finals: list[tuple[Tensor, ...]] = []
        for layer in range(self.num_layers):
            if layer:
                xs = self.between(xs)
            outputs = []
            for direction, cell in zip(self.directions, self.cells(layer)):
                hs, final = self._run(cell, xs, states[len(finals)], direction == "backward")
                outputs.append(hs)
                finals.append(final)
            xs = outputs[0] if len(outputs) == 1 else mg.concatenate(outputs, axis=-1)
        if unbatched:
            xs = xs[:, 0]
        elif self.batch_first:
            xs = mg.swapaxes(xs, 0, 1)
        return xs, self._packed(finals, unbatched)

    def _run(self, cell: Cell, xs: Any, state: tuple[Any, ...], backward: bool) -> tuple[Tensor, tuple[Tensor, ...]]:
        """One cell over the whole sequence, last step first if `backward` (slide 108): (hs (T, B, H), final state)."""
        if self.road == "fused":
            hs, *final = cell.sequence(xs, state, backward)
        else:
            hs, *final = unroll(cell.step, len(state), backward, xs, *state)
        return hs, tuple(final)

    # Shapes in and out

    def _checked(self, xs: Any) -> tuple[Any, bool]:
        """xs as (T, B, I), and whether it came without a batch axis."""
        name, I = type(self).__name__, self.input_size
        if not isinstance(xs, Tensor) and not is_array(xs):
            raise TypeError(f"{name}: xs: got {type(xs).__name__}, want a Tensor or an array")
        want = f"({'B, T' if self.batch_first else 'T, B'}, {I}) or (T, {I})"
        if xs.ndim not in (2, 3) or xs.shape[-1] != I:
            raise ValueError(f"{name}: xs: got shape {tuple(xs.shape)}, want {want}")
        weights = self.cells(0)[0].Wc
        if xs.dtype != weights.dtype:
            raise TypeError(
                f"{name}: xs: got dtype {xs.dtype}, want {weights.dtype} like the parameters; convert with "
                "xs.astype(...) or the module with .to(dtype=...)"
            )
        self._beside_weights("xs", xs)
        unbatched = xs.ndim == 2
        if unbatched:
            xs = xs[:, None]
        elif self.batch_first:
            xs = xs.swapaxes(0, 1)
        if not xs.shape[0] or not xs.shape[1]:
            raise ValueError(
                f"{name}: xs: got T = {xs.shape[0]} steps and B = {xs.shape[1]}, want at least one of each"
            )
        return xs, unbatched

    def _unpacked(self, state: State, batch: int, unbatched: bool) -> list[tuple[Any, ...]]:
        """Each cell's own state arrays, (B, H), from the stacked state that the caller gave."""
        name, names = type(self).__name__, self.cell_type.state_names
        count = self.num_layers * len(self.directions)
        every = [cell for layer in range(self.num_layers) for cell in self.cells(layer)]
        if state is None:
            return [cell.initial(batch) for cell in every]
        parts = state if isinstance(state, (tuple, list)) else (state,)
        want = (count, self.hidden_size) if unbatched else (count, batch, self.hidden_size)
        if len(parts) != len(names):
            raise ValueError(f"{name}: state: got {len(parts)} arrays, want {len(names)}: {', '.join(names)}")
        for part, called in zip(parts, names):
            if not isinstance(part, Tensor) and not is_array(part):
                raise TypeError(f"{name}: state: {called}: got {type(part).__name__}, want a Tensor or an array")
            if tuple(part.shape) != want:
                raise ValueError(f"{name}: state: {called}: got shape {tuple(part.shape)}, want {want}")
            if part.dtype != every[0].Wc.dtype:
                raise TypeError(f"{name}: state: {called}: got dtype {part.dtype}, want {every[0].Wc.dtype}")
            self._beside_weights(f"state: {called}", part)
        if unbatched:
            parts = [part[:, None] for part in parts]
        return [tuple(part[k] for part in parts) for k in range(count)]

    def _beside_weights(self, argument: str, x: Any) -> None:
        got, want = (backend_of(a._data if isinstance(a, Tensor) else a).name for a in (x, self.cells(0)[0].Wc))
        if got != want:
            raise mg.BackendError(
                f"{type(self).__name__}: {argument}: is on {got}, the parameters on {want}; move one with .to(...)"
            )

    def _packed(self, finals: list[tuple[Tensor, ...]], unbatched: bool) -> State:
        if len(finals) == 1:
            stacked = tuple(part if unbatched else part[None] for part in finals[0])
        else:
            stacked = tuple(mg.stack(parts) for parts in zip(*finals))
            if unbatched:
                stacked = tuple(part[:, 0] for part in stacked)
        return stacked if len(stacked) > 1 else stacked[0]

    def extra_repr(self) -> str:
        said = [f"{self.input_size}, {self.hidden_size}"]
        if self.num_layers > 1:
            said.append(f"num_layers={self.num_layers}")
        said += [f"{name}={value!r}" for name, value in self.cell_options.items() if value != "tanh"]
        said += ["bias=False"] if not self.bias else []
        said += [f"{name}=True" for name in ("batch_first", "bidirectional") if getattr(self, name)]
        said += [f"initial_state={self.initial_state!r}"] if self.initial_state != "zeros" else []
        said += [f"impl={self.impl!r}"] if self.impl != "auto" else []
        return ", ".join(said)


class RNN(Recurrence):
    """The simple recurrent net: h(t, l) = tanh(Wc(l) h(t, l−1) + Wr(l) h(t−1, l) + b(l)) (slide 73).

    Arguments, call and roads: see `Recurrence`; here also `nonlinearity`, "tanh" or "relu". State: h.
    """

    cell_type = RNNCell

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        nonlinearity: str = "tanh",
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        **options: Any,
    ) -> None:
        super().__init__(
            input_size, hidden_size, num_layers, bias, batch_first, dropout, bidirectional,
            nonlinearity=nonlinearity, **options,
        )  # fmt: skip


class LSTM(Recurrence):
    """Long short-term memory in layers and directions; equations in `minigrad_rnn.cells.lstm`.

    Arguments, call and roads: see `Recurrence`. State: (h, c).
    """

    cell_type = LSTMCell
