"""Any cell through time: layers, two directions, lengths, dropout, states in and out, graph or fused."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from functools import partial
from typing import Any

import numpy as np

import minigrad as mg
from minigrad import Tensor, nn
from minigrad.backend import Backend, backend_of, is_array

from ..cells import NO_MASKS, Cell, CellMasks, Lengths, unroll
from ..cuda import sequence as cuda
from ..cuda.planner import Plan
from ..validation import check_masks, check_probability, check_series, depths_of, options_of

State = Any
Masks = Mapping[str, CellMasks]
"""What dropout multiplies with in one forward pass, by the name of the cell: `forward0`, `backward1`, …"""
IMPLEMENTATIONS = ("auto", "graph", "fused")
MERGES = ("concat", "sum", "mean")


class Recurrence(nn.Module):
    """A cell unrolled over time, in stacked layers and one or two directions.

    The arguments and the calls are those of `torch.nn.RNN`, and more. Layer l's cells are the submodules `forward{l}`
    and, in a bidirectional net, `backward{l}`; so its parameters are named `forward0.Wc`, `forward0.Wr`, `forward0.b`
    and so on. Layer l + 1 reads [h_f; h_b] of layer l. (Slides 54, 73, 105; two directions: Schuster & Paliwal 1997.)

    Args:
        input_size, hidden_size: features I of x(t) and units H of the state.
        num_layers: L; or, for two directions, (L_f, L_b): then two nets of those depths run beside each other, and only
            their tops are merged: the lecture's bidirectional block (slide 105).
        dropout: probability with which a feature is dropped between two layers, in training.
        recurrent_dropout: the same for h(t−1) where it meets the recurrent weights, with one mask for the whole
            sequence: variational dropout (Gal & Ghahramani 2016).
        zoneout: probability with which a unit of the state keeps its value from t−1 (Krueger et al. 2017); for a state
            of several arrays also a tuple, one for each. In evaluation the expected value is taken.
        merge: what becomes of the two directions: "concat", "sum" or "mean".
        impl: the implementation: "graph" runs op by op, so that every step is on the tape; "fused" runs each layer's
            whole sequence as one primitive; "auto" takes the fused one where it serves. `implementation` says which ran
            last. The fused one serves no recurrent dropout, no zoneout and no cell without a `sequence`; naming it for
            those is an error. Its second derivatives run through the graph.
        initial_state: "zeros" or "learned" (slide 69).
        cell_type: the cell, a subclass of `Cell`; the modules RNN, LSTM, GRU and so on have theirs.
        rng: where initial weights and dropout masks are drawn from, on the host, so that a seed gives the same on
            every backend: a generator, a seed, or None for the library's own generator.
        dtype: of the parameters.
        bias and the others: the cell's own options.

    Call: `output, state = rnn(xs, state)`.
        xs: (T, B, I), or (B, T, I) with batch_first, or (T, I) for one sequence without a batch axis.
        state: h (cells, B, H), or the tuple (h, c); None is the initial state. In torch's order: layer 0 forward, layer
            0 backward, layer 1 forward, …; with num_layers=(L_f, L_b) first all forward, then all backward layers.
        lengths: (B,) whole numbers 1 … T, in any order, where the batch is padded: what stands at padding influences
            no output, no state and no gradient, and outputs there are zero.
        masks: dropout masks to use in the place of fresh ones, as `draw_masks` gives them.
        return_states: whether to return, third, the state's arrays of every step, (cells, T, B, H) each, or
            (cells, B, T, H) with batch_first.
        output: (T, B, directions · H), in the layout of xs: the top layer's h(t) for every t.
        The returned state is that after each sequence's last step, in the form that the next call takes.

    Raises:
        ValueError: a shape, T = 0 or B = 0, a length that is not in 1 … T, masks for no cell or where "fused"
            is named and they act inside the steps. TypeError: a dtype that is not the parameters', or lengths that
            are no whole numbers. BackendError: xs or the state is elsewhere than the parameters.
    """

    cell_type: type[Cell]

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int | tuple[int, int] = 1,
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        impl: str = "auto",
        initial_state: str = "zeros",
        recurrent_dropout: float = 0.0,
        zoneout: float | tuple[float, ...] = 0.0,
        merge: str = "concat",
        cell_type: type[Cell] | None = None,
        rng: nn.init.Rng = None,
        dtype: Any = "float32",
        **cell_options: Any,
    ) -> None:
        super().__init__()
        name = type(self).__name__
        if cell_type is not None:
            self.cell_type = cell_type
        if not isinstance(getattr(self, "cell_type", None), type) or not issubclass(self.cell_type, Cell):
            raise TypeError(f"{name}: cell_type: got {cell_type!r}, want a subclass of Cell")
        known = list(options_of(self.cell_type))
        if unknown := sorted(set(cell_options) - set(known)):
            raise TypeError(
                f"{name}: {unknown[0]}: got an option that {self.cell_type.__name__} does not know, want any of {known}"
            )
        depths = depths_of(name, num_layers, bidirectional)
        for argument, p in (("dropout", dropout), ("recurrent_dropout", recurrent_dropout)):
            check_probability(name, argument, p)
        zoned = zoneout if isinstance(zoneout, (tuple, list)) else (zoneout,) * len(self.cell_type.state_names)
        for p in zoned:
            check_probability(name, "zoneout", p)
        zoned = tuple(float(p) for p in zoned)
        if len(zoned) != len(self.cell_type.state_names):
            raise ValueError(
                f"{name}: zoneout: got {len(zoned)} probabilities, want one for each of {self.cell_type.state_names}"
            )
        if dropout and max(depths) == 1:
            warnings.warn(
                f"{name}: dropout={dropout!r} does nothing with num_layers={num_layers!r}: it acts between layers",
                stacklevel=3,
            )
        for argument, got, wanted in (("impl", impl, IMPLEMENTATIONS), ("merge", merge, MERGES)):
            if got not in wanted:
                raise ValueError(f"{name}: {argument}: got {got!r}, want one of {list(wanted)}")
        self.input_size, self.hidden_size, self.num_layers = input_size, hidden_size, num_layers
        self.bias, self.batch_first, self.bidirectional = bias, batch_first, bidirectional
        self.dropout, self.recurrent_dropout, self.zoneout = float(dropout), float(recurrent_dropout), zoned
        self.initial_state, self.merge, self.impl, self.cell_options = initial_state, merge, impl, cell_options
        self.rng = rng = nn.init.as_generator(rng, name)
        self._implementation: str | None = None
        self._plan: Plan | None = None
        self.directions = ("forward", "backward") if bidirectional else ("forward",)
        if impl == "fused" and (why := self.fused_refusal()):
            raise ValueError(f"{name}: impl: got 'fused', but {why}; want 'graph' or 'auto'")
        between = isinstance(num_layers, tuple)
        output_size = None
        for layer in range(max(depths)):
            for direction, depth in zip(self.directions, depths):
                if layer >= depth:
                    continue
                width = input_size
                if output_size is not None:
                    width = output_size * (1 if between or merge != "concat" else len(self.directions))
                cell = self.cell_type(
                    width, hidden_size, bias=bias, initial_state=initial_state, rng=rng, dtype=dtype, **cell_options
                )
                setattr(self, f"{direction}{layer}", cell)
            output_size = cell.state_sizes[0]
        names = [[f"{d}{l}" for l in range(n)] for d, n in zip(self.directions, depths)]
        # A block's directions are merged at its top; each stands in the order of the state's rows.
        self.blocks = [names] if between else [[[name] for name in layer] for layer in zip(*names)]
        self.cell_names = [name for block in self.blocks for stack in block for name in stack]

    def fused_refusal(self) -> str:
        """Why the fused implementation cannot serve these options, or nothing where it can."""
        if self.cell_type.sequence is Cell.sequence:
            return f"{self.cell_type.__name__} defines no sequence"
        if self.recurrent_dropout:
            return f"recurrent_dropout={self.recurrent_dropout!r} acts inside the steps"
        if any(self.zoneout):
            return f"zoneout={self.zoneout!r} acts inside the steps"
        return ""

    @property
    def implementation(self) -> str | None:
        """What ran the last call: "graph" or "fused"; on a device how the last layer's kernels ran, and why:
        "persistent", one launch for all steps; "two launches a step", a product and a kernel; "op by op", none."""
        return self._implementation if self._plan is None else str(self._plan)

    def _weights(self) -> Tensor:
        """A parameter of the first cell: where the network lives, and in which dtype."""
        weights: Tensor = getattr(self, self.cell_names[0]).reference_parameter()
        return weights

    @property
    def cells(self) -> list[Cell]:
        """The cells in the order of the state's rows."""
        return [getattr(self, name) for name in self.cell_names]

    def forward(
        self,
        xs: Any,
        state: State = None,
        lengths: Any = None,
        masks: Masks | None = None,
        return_states: bool = False,
    ) -> Any:
        xs, unbatched = self._checked(xs)
        T, B = int(xs.shape[0]), int(xs.shape[1])
        backend = backend_of(self._weights()._data)
        states = dict(zip(self.cell_names, self._unpacked(state, B, unbatched)))
        spans = None if lengths is None else Lengths(lengths, T, B, backend, type(self).__name__)
        if masks is not None:
            check_masks(type(self).__name__, dict(zip(self.cell_names, self.cells)), masks, T, B)
        placed = self._placed(self.draw_masks(T, B) if masks is None else masks, backend)
        self._implementation, self._plan = self._chosen(placed), None
        made: dict[str, tuple[Tensor, ...]] = {}
        for block in self.blocks:
            tops = [xs] * len(block)
            for level in range(max(map(len, block))):
                beside = [(k, stack[level]) for k, stack in enumerate(block) if level < len(stack)]
                for k, name in beside:
                    mask = placed.get(name, NO_MASKS)
                    if mask.input is not None:
                        hs = tops[k]
                        tops[k] = hs * mask.input if isinstance(hs, Tensor) else mg.multiply(hs, mask.input)
                inputs = [(tops[k], states[name]) for k, name in beside]
                ran = self._run([name for _, name in beside], inputs, spans, placed, return_states, backend)
                for (k, name), outputs in zip(beside, ran):
                    made[name], tops[k] = outputs, outputs[0]
            xs = self.merge_directions(tops)
        parts = len(self.cell_type.state_names)
        finals = [made[name][1 : 1 + parts] for name in self.cell_names]
        every = [(made[name][0], *made[name][1 + parts :]) for name in self.cell_names]
        if unbatched:
            xs = xs[:, 0]
        elif self.batch_first:
            xs = mg.swapaxes(xs, 0, 1)
        final_state = self._packed(finals, unbatched)
        return (xs, final_state, self._every(every, unbatched)) if return_states else (xs, final_state)

    def _run(
        self,
        names: list[str],
        inputs: list[tuple[Any, tuple[Any, ...]]],
        spans: Lengths | None,
        masks: Masks,
        every_state: bool,
        backend: Backend,
    ) -> list[tuple[Tensor, ...]]:
        """One cell, or one of each direction, over xs and an initial state each; for each what `unroll` returns."""
        cells, backward = [getattr(self, name) for name in names], [name.startswith("backward") for name in names]
        if self._implementation == "fused":
            self._plan = cuda.planned(backend, cells, inputs[0][0].shape[1], len(cells))
            if self._plan is not None and self._plan.runs_kernels:
                return cuda.run(backend, self._plan, cells, inputs, backward == [True], spans, every_state)
        ran = []
        for name, cell, reversed_, (xs, state) in zip(names, cells, backward, inputs):
            if self._implementation == "fused":
                ran.append(cell.sequence(xs, state, reversed_, spans, every_state))
                continue
            mask = masks.get(name, NO_MASKS)
            step = partial(unroll, cell.step, len(state), reversed_, lengths=spans, masks=mask)
            ran.append(step(xs, *state, every_state=every_state))
        return ran

    def _chosen(self, masks: Masks) -> str:
        inside = any(m.recurrent is not None or m.zoneout for m in masks.values())
        if self.impl == "fused" and inside:
            raise ValueError(
                f"{type(self).__name__}: masks: got some for recurrent dropout or zoneout, which act inside the steps; "
                "want impl='graph' or 'auto'"
            )
        if self.impl != "auto":
            return self.impl
        return "graph" if inside or self.fused_refusal() else "fused"

    def merge_directions(self, tops: list[Tensor]) -> Tensor:
        """Return the outputs of one or two directions, (…, H) each, as one."""
        if len(tops) == 1:
            return tops[0]
        if self.merge == "concat":
            return mg.concatenate(tops, axis=-1)
        total = tops[0] + tops[1]
        return total if self.merge == "sum" else total * 0.5

    # Dropout

    def draw_masks(self, T: int, B: int, rng: nn.init.Rng = None) -> dict[str, CellMasks]:
        """The masks of one forward pass over T steps of B sequences, on the host, by the name of the cell.

        In evaluation there are none but the probabilities of zoneout. The same generator in the same state gives the
        same masks; handing them to several calls holds the network still, as gradient checks need it.
        """
        if not any(self.zoneout) and not (self.training and (self.dropout or self.recurrent_dropout)):
            return {}
        given = nn.init.as_generator(self.rng if rng is None else rng, "draw_masks")
        rng = nn.init.default_generator() if given is None else given
        cells = dict(zip(self.cell_names, self.cells))
        drawn: dict[str, CellMasks] = {}
        shared: dict[int, Any] = {}
        for name, cell in cells.items():
            layer, dtype = int(name.removeprefix("forward").removeprefix("backward")), cell.reference_parameter().dtype
            inputs = recurrent = None
            zoned: tuple[Any, ...] = ()
            if self.training and self.dropout and layer:
                # Two directions of one layer read the same input; two separate nets each have their own.
                if isinstance(self.num_layers, tuple) or layer not in shared:
                    shared[layer] = nn.dropout_mask((T, B, cell.input_size), self.dropout, rng, dtype)
                inputs = shared[layer]
            if self.training and self.recurrent_dropout:
                recurrent = nn.dropout_mask((B, cell.state_sizes[0]), self.recurrent_dropout, rng, dtype)
            if any(self.zoneout):
                sizes = zip(self.zoneout, cell.state_sizes)
                if self.training:
                    zoned = tuple((rng.random((T, B, size)) < p).astype(dtype) if p else None for p, size in sizes)
                else:
                    zoned = tuple(np.full((T, 1, 1), p, dtype) if p else None for p, _ in sizes)
            if inputs is not None or recurrent is not None or zoned:
                drawn[name] = CellMasks(inputs, recurrent, zoned)
        return drawn

    def _placed(self, masks: Masks, backend: Backend) -> dict[str, CellMasks]:
        """The masks where the network lives."""

        def move(a: Any) -> Any:
            return None if a is None else backend.from_numpy(a) if isinstance(a, np.ndarray) else a

        return {
            name: CellMasks(move(m.input), move(m.recurrent), tuple(move(z) for z in m.zoneout))
            for name, m in masks.items()
        }

    # Shapes in and out

    def _checked(self, xs: Any) -> tuple[Any, bool]:
        """xs as (T, B, I), and whether it came without a batch axis."""
        return check_series(type(self).__name__, "xs", xs, self.input_size, self.batch_first, self._weights())

    def _unpacked(self, state: State, batch: int, unbatched: bool) -> list[tuple[Any, ...]]:
        """Each cell's own state arrays, (B, H), from the stacked state that the caller gave."""
        name, names, every = type(self).__name__, self.cell_type.state_names, self.cells
        if state is None:
            return [cell.initial(batch) for cell in every]
        parts = state if isinstance(state, (tuple, list)) else (state,)
        if len(parts) != len(names):
            raise ValueError(f"{name}: state: got {len(parts)} arrays, want {len(names)}: {', '.join(names)}")
        for part, called, size in zip(parts, names, every[0].state_sizes):
            want = (len(every), size) if unbatched else (len(every), batch, size)
            if not isinstance(part, Tensor) and not is_array(part):
                raise TypeError(f"{name}: state: {called}: got {type(part).__name__}, want a Tensor or an array")
            if tuple(part.shape) != want:
                raise ValueError(f"{name}: state: {called}: got shape {tuple(part.shape)}, want {want}")
            if part.dtype != self._weights().dtype:
                raise TypeError(f"{name}: state: {called}: got dtype {part.dtype}, want {self._weights().dtype}")
            self._beside_weights(f"state: {called}", part)
        if unbatched:
            parts = [part[:, None] for part in parts]
        return [tuple(part[k] for part in parts) for k in range(len(every))]

    def _beside_weights(self, argument: str, x: Any) -> None:
        got, want = (backend_of(a._data if isinstance(a, Tensor) else a).name for a in (x, self._weights()))
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

    def _every(self, every: list[tuple[Tensor, ...]], unbatched: bool) -> State:
        stacked = tuple(mg.stack(parts) for parts in zip(*every))
        if unbatched:
            stacked = tuple(part[:, :, 0] for part in stacked)
        elif self.batch_first:
            stacked = tuple(mg.swapaxes(part, 1, 2) for part in stacked)
        return stacked if len(stacked) > 1 else stacked[0]

    def extra_repr(self) -> str:
        said = [f"{self.input_size}, {self.hidden_size}"]
        if self.num_layers != 1:
            said.append(f"num_layers={self.num_layers}")
        if type(self) is Recurrence:
            said.append(f"cell_type={self.cell_type.__name__}")
        own = options_of(self.cell_type)
        said += [f"{name}={value!r}" for name, value in self.cell_options.items() if value != own[name]]
        said += ["bias=False"] if not self.bias else []
        said += [f"{name}=True" for name in ("batch_first", "bidirectional") if getattr(self, name)]
        said += [f"{name}={p!r}" for name in ("dropout", "recurrent_dropout") if (p := getattr(self, name))]
        said += [f"zoneout={self.zoneout!r}"] if any(self.zoneout) else []
        usual = (("merge", "concat"), ("initial_state", "zeros"), ("impl", "auto"))
        said += [f"{name}={value!r}" for name, default in usual if (value := getattr(self, name)) != default]
        return ", ".join(said)
