"""Unroll any cell over time: layers, two directions, lengths, dropout, states in and out, graph or fused."""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal, overload

import minigrad as mg
from minigrad import Tensor, nn
from minigrad.backend import NUMPY, Backend, backend_of
from minigrad.engine.modes import mode
from minigrad.validation import check_choice, check_flag, check_integer, check_probability

from ..cells import NO_MASKS, Cell, CellMasks, Lengths
from ..cells.step_gradients import StepGradients, listeners
from ..cells.unroll import unroll
from ..cuda import sequence as cuda
from ..cuda.planner import Plan
from ..native import sequence as native, shared_library
from ..native.prepared_call import PreparedCall
from ..validation import check_cell_type, check_masks, check_series, check_sizes, check_zoneout, options_of
from .cell_calls import run_layer
from .implementations import IMPLEMENTATIONS, check_impl, native_refusal
from .masks import Masks, draw_masks, to_backend
from .states import of_one_cell, stacked, stacked_over_time, unstacked

State = Any
MERGES = ("concat", "sum", "mean")


class Recurrence(nn.Module):
    """A cell unrolled over time, in stacked layers and one or two directions.

    Arguments and calls are those of `torch.nn.RNN`, with additions. Layer l's cells are the submodules `forward{l}`
    and, in a bidirectional net, `backward{l}`; so parameters are named `forward0.Wc`, `forward0.Wr`, `forward0.b` and
    so on. Layer l + 1 reads [h_f; h_b] of layer l. (Slides 54, 73, 105; two directions: Schuster & Paliwal 1997.)

    Args:
        input_size: features I of x(t).
        hidden_size: units H of the state.
        num_layers: L; or, for two directions, (L_f, L_b): two separate nets of those depths, of which only the tops are
            merged: the lecture's bidirectional block (slide 105).
        bias: whether there is a b.
        batch_first: whether xs and the output are (B, T, features) instead of (T, B, features).
        dropout: probability with which a feature is dropped between two layers, in training.
        bidirectional: whether a second net reads every sequence from its last step to its first.
        recurrent_dropout: probability with which a unit of h(t−1) is dropped where it meets the recurrent weights, with
            one mask for the whole sequence: variational dropout (Gal & Ghahramani 2016).
        zoneout: probability with which a unit of the state keeps its value from t−1 (Krueger et al. 2017); for a state
            of several arrays also a tuple, one for each. In evaluation the expected value is taken.
        merge: how the two directions' outputs are combined: "concat", "sum" or "mean".
        reverse: whether the one direction is backward: every layer reads from a sequence's last step to its first, and
            its cells are named `backward{l}`. Outputs stay in the order of xs; the state is that after step 0.
        impl: "graph" runs op by op, so that every step is on the tape; "fused" runs each layer's whole sequence as one
            primitive, in NumPy or on a device in kernels; "native" does so in C on the CPU, for RNN, LSTM and GRU,
            compiled at first use; "auto" takes the fastest that can. `implementation` names the one that ran last.
            "fused" and "native" raise an error for recurrent dropout, zoneout, a cell without a `sequence`, and options
            that its sequence does not know. Their second derivatives run through the graph. With "native" outputs,
            states and gradients, but for the weights', are bitwise the same in any batch, with any number of threads.
        initial_state: "zeros", or "learned": h(−1) is a parameter `h_init` (H,) of each cell, one for every sequence
            (slide 69), and so is every other array of the state.
        cell_type: the cell, a subclass of `Cell`; the modules RNN, LSTM, GRU and so on set their own.
        rng: draws initial weights and dropout masks, the same on every backend: a generator, a seed, or None for the
            library's own generator.
        dtype: of the parameters, and so of xs and the state.
        **cell_options: the other arguments of the cell's constructor.

    Call: `output, state = rnn(xs, state)`.
        xs: (T, B, I), or (B, T, I) with batch_first, or (T, I) for one sequence without a batch axis.
        state: h (cells, B, H), or the tuple (h, c); None is the initial state. In torch's order: layer 0 forward, layer
            0 backward, layer 1 forward, …; with num_layers=(L_f, L_b) first all forward, then all backward layers.
        lengths: (B,) whole numbers 1 … T where the batch is padded: padding influences nothing, outputs there are 0.
        masks: dropout masks to use instead of fresh ones, as `draw_masks` returns them.
        return_states: whether to return, third, the state's arrays of every step, (cells, T, B, H) each, or
            (cells, B, T, H) with batch_first.
        output: (T, B, directions · H), in the layout of xs: the top layer's h(t) for every t. Its gradient,
            `minigrad.gradients(loss, [output])`, is the direct term: what h(t) does to the loss through later steps is
            not in it.
        The returned state is that after each sequence's last step, in the form that the next call takes.

    Raises:
        ValueError: a bad shape, T = 0 or B = 0, a length that is not in 1 … T, masks for an unknown cell, or masks
            that act inside the steps with impl="fused".
        TypeError: a dtype that is not the parameters', or lengths that are not whole numbers.
        BackendError: xs or the state is on another backend than the parameters, or impl="native" on another than numpy.
        NativeError: impl="native" where the C source cannot be compiled; with the compiler's words.
    """

    cell_type: type[Cell]

    if TYPE_CHECKING:

        def __getattr__(self, name: str) -> Cell:
            """The cells: `forward0`, `backward0`, `forward1` and so on."""

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
        reverse: bool = False,
        cell_type: type[Cell] | None = None,
        rng: nn.init.Rng = None,
        dtype: Any = "float32",
        **cell_options: Any,
    ) -> None:
        super().__init__()
        name = type(self).__name__
        if cell_type is not None:
            self.cell_type = cell_type
        check_cell_type(name, getattr(self, "cell_type", None), cell_options, inspect.signature(Recurrence).parameters)
        check_flag(name, bias=bias, batch_first=batch_first, bidirectional=bidirectional, reverse=reverse)
        depths, dtype = check_sizes(name, input_size, hidden_size, num_layers, bidirectional, dtype)
        check_probability(name, dropout=dropout, recurrent_dropout=recurrent_dropout)
        self.zoneout = check_zoneout(name, zoneout, self.cell_type.state_names)
        if dropout and max(depths) == 1:
            warnings.warn(
                f"{name}: dropout={dropout!r} does nothing with num_layers={num_layers!r}: it acts between layers",
                stacklevel=3,
            )
        check_choice(name, IMPLEMENTATIONS, impl=impl)
        check_choice(name, MERGES, merge=merge)
        if reverse and bidirectional:
            raise ValueError(f"{name}: reverse: got True with bidirectional=True, want one or the other")
        self.input_size, self.hidden_size, self.num_layers = input_size, hidden_size, num_layers
        self.bias, self.batch_first, self.bidirectional, self.reverse = bias, batch_first, bidirectional, bool(reverse)
        self.dropout, self.recurrent_dropout = float(dropout), float(recurrent_dropout)
        self.initial_state, self.merge, self.impl, self.cell_options = initial_state, merge, impl, cell_options
        self.rng = rng = nn.init.as_generator(rng, name)
        self._implementation: str | None = None
        self._plan: Plan | None = None
        self.directions = ("forward", "backward") if bidirectional else ("backward",) if reverse else ("forward",)
        separate = isinstance(num_layers, tuple)
        output_size = None
        for layer in range(max(depths)):
            for direction, depth in zip(self.directions, depths):
                if layer >= depth:
                    continue
                width = input_size
                if output_size is not None:
                    width = output_size * (1 if separate or merge != "concat" else len(self.directions))
                cell = self.cell_type(
                    width, hidden_size, bias=bias, initial_state=initial_state, rng=rng, dtype=dtype, **cell_options
                )
                setattr(self, f"{direction}{layer}", cell)
            output_size = cell.state_sizes[0]
        names = [[f"{d}{l}" for l in range(n)] for d, n in zip(self.directions, depths)]
        # blocks[k][direction] is a stack of cell names, bottom first; a block's directions are merged at its top.
        self.blocks = [names] if separate else [[[name] for name in layer] for layer in zip(*names)]
        self.cell_names = [name for block in self.blocks for stack in block for name in stack]
        if impl in ("fused", "native"):
            check_impl(self, impl)

    def fused_refusal(self) -> str:
        """Why the fused implementation does not support these options; "" if it does."""
        first: Cell = getattr(self, self.cell_names[0])
        if why := first.fused_refusal() or self._hooks_refusal():
            return why
        if self.recurrent_dropout:
            return f"recurrent_dropout={self.recurrent_dropout!r} acts inside the steps"
        if any(self.zoneout):
            return f"zoneout={self.zoneout!r} acts inside the steps"
        return ""

    def _hooks_refusal(self) -> str:
        for name in self.cell_names:
            if getattr(self, name)._hooks:
                return f"{name} has hooks, which are called at every step"
        return ""

    @property
    def implementation(self) -> str | None:
        """What ran the last call: "graph", "fused" or "native"; with "auto" and NumPy "fused (native: …)" says why it
        was not native. On a device with kernels how the last layer ran, and why: "persistent", one launch for all
        steps; "two launches a step", a product and a kernel; "op by op", no kernel."""
        if self._implementation == "fused" and self.impl == "auto" and self._host() and (why := native_refusal(self)):
            return f"fused (native: {why.splitlines()[0]})"
        return self._implementation if self._plan is None else str(self._plan)

    def _host(self) -> bool:
        return backend_of(self.cells[0].reference_parameter()._array) is NUMPY

    @property
    def cells(self) -> list[Cell]:
        """The cells in the order of the state's rows."""
        return [getattr(self, name) for name in self.cell_names]

    @overload
    def forward(
        self, xs: Any, state: State = None, lengths: Any = None, masks: Masks | None = None,
        return_states: Literal[False] = False,
    ) -> tuple[Tensor, State]: ...  # fmt: skip
    @overload
    def forward(
        self, xs: Any, state: State = None, lengths: Any = None, masks: Masks | None = None,
        *, return_states: Literal[True],
    ) -> tuple[Tensor, State, tuple[Tensor, ...]]: ...  # fmt: skip
    @overload
    def forward(
        self, xs: Any, state: State = None, lengths: Any = None, masks: Masks | None = None, return_states: bool = False
    ) -> Any: ...
    def forward(
        self, xs: Any, state: State = None, lengths: Any = None, masks: Masks | None = None, return_states: bool = False
    ) -> Any:
        name = type(self).__name__
        if type(return_states) is not bool:
            check_flag(name, return_states=return_states)
        if lengths is None and masks is None and not return_states and (repeated := self._repeated(xs, state)):
            return repeated
        cells = self.cells
        parameter = cells[0].reference_parameter()
        backend = backend_of(parameter._array)
        if backend.kernels is not None:
            cuda.refuse_capture(backend, name)
        xs, unbatched = check_series(name, "xs", xs, self.input_size, self.batch_first, parameter)
        T, B, _ = xs._array.shape if type(xs) is Tensor else xs.shape
        each_state = unstacked(name, self.cell_type.state_names, cells, state, B, unbatched, parameter)
        spans = None if lengths is None else Lengths(lengths, T, B, backend, name)
        if masks is None:
            masks = self.draw_masks(T, B)
        else:
            check_masks(name, dict(zip(self.cell_names, cells)), masks, T, B)
        masks = to_backend(masks, backend) if masks else {}
        self._note(self._choose(masks, backend), None)
        if len(cells) == 1:
            mask = masks.get(self.cell_names[0], NO_MASKS).input
            if mask is not None:
                xs = mg.multiply(xs, mask)
            inputs = [(xs, each_state[0])]
            results = run_layer(self, self.cell_names, inputs, spans, masks, return_states, backend)
            xs = results[0][0]
        else:
            states = dict(zip(self.cell_names, each_state))
            xs, results = self._run_layers(xs, states, spans, masks, return_states, backend)
        # A cell's result: its outputs, the last of each state array, and the other state arrays of every step
        if unbatched:
            xs = xs[:, 0]
        elif self.batch_first:
            xs = mg.swapaxes(xs, 0, 1)
        parts = 1 + len(each_state[0])
        final_state = stacked([result[1:parts] for result in results], unbatched)
        if not return_states:
            return xs, final_state
        every_state = [(result[0], *result[parts:]) for result in results]
        return xs, final_state, stacked_over_time(every_state, unbatched, self.batch_first)

    def _repeated(self, xs: Any, state: State) -> tuple[Tensor, State] | None:
        """The result of a call like the last one, off the tape, by one compiled cell; None where it is made anew."""
        now, names = mode(), self.cell_names
        if now.recording or now.observer is not None or len(names) > 1 or self.batch_first or self.impl == "graph":
            return None
        cell: Cell = getattr(self, names[0])
        prepared: PreparedCall | None = vars(cell).get("_prepared_call")
        if prepared is None or self.impl == "fused" or any(self.zoneout) or self.recurrent_dropout or listeners.get():
            return None
        serves = prepared.reads_backward is names[0].startswith("backward") and prepared.serves(cell)
        result: tuple[Tensor, State] | None = prepared.run(xs, state) if serves else None
        if result is not None:
            self._note("native", None)
        return result

    def _run_layers(
        self, xs: Any, states: dict[str, tuple[Any, ...]], spans: Lengths | None, masks: Masks, every_state: bool,
        backend: Backend,
    ) -> tuple[Tensor, list[tuple[Tensor, ...]]]:  # fmt: skip
        """Run several cells from the bottom to the top; return the outputs, and each cell's result as `_run` does."""
        results: dict[str, tuple[Tensor, ...]] = {}
        for block in self.blocks:
            tops = [xs] * len(block)
            for level in range(max(map(len, block))):
                layer = [(k, stack[level]) for k, stack in enumerate(block) if level < len(stack)]
                for k, cell_name in layer:
                    mask = masks.get(cell_name, NO_MASKS)
                    if mask.input is not None:
                        tops[k] = mg.multiply(tops[k], mask.input)
                inputs = [(tops[k], states[cell_name]) for k, cell_name in layer]
                outputs = run_layer(self, [n for _, n in layer], inputs, spans, masks, every_state, backend)
                for (k, cell_name), result in zip(layer, outputs):
                    results[cell_name], tops[k] = result, result[0]
            xs = self.merge_directions(tops)
        return xs, [results[cell_name] for cell_name in self.cell_names]

    def _note(self, implementation: str, plan: Plan | None) -> None:
        """Set what `implementation` names; a module's own way of setting attributes would take a microsecond each."""
        own = vars(self)
        own["_implementation"], own["_plan"] = implementation, plan

    def _run(
        self, names: list[str], inputs: list[tuple[Any, tuple[Any, ...]]], spans: Lengths | None, masks: Masks,
        every_state: bool, backend: Backend, step_gradients: Sequence[StepGradients] = (),
    ) -> list[tuple[Tensor, ...]]:  # fmt: skip
        """Run one cell, or one of each direction, over xs and an initial state each; returns what `unroll` does."""
        kept: Sequence[Any] = step_gradients or (None, None)
        layer = [(name, name.startswith("backward"), getattr(self, name)) for name in names]
        if self._implementation == "native":
            cells = [cell for _, _, cell in layer]
            return native.run_sequences(
                cells, inputs, len(layer) == 1 and layer[0][1], spans, every_state, step_gradients
            )
        if len(layer) == 1:
            inputs = [(inputs[0][0], of_one_cell(inputs[0][1]))]
        if self._implementation == "fused":
            if backend.kernels is not None:
                cells = [cell for _, _, cell in layer]
                plan = cuda.planned(backend, cells, inputs[0][0].shape[1], len(cells))
                self._note("fused", plan)
                if plan is not None and plan.runs_kernels:
                    backward = len(layer) == 1 and layer[0][1]
                    return cuda.run(backend, plan, cells, inputs, backward, spans, every_state, step_gradients)
            return [
                cell.sequence(xs, state, backward, spans, every_state, **({} if k is None else {"step_gradients": k}))
                for (_, backward, cell), (xs, state), k in zip(layer, inputs, kept)
            ]
        return [
            unroll(
                cell.one_hooked_step if cell._hooks else cell.one_step(), len(state), backward, xs, *state,
                lengths=spans, masks=masks.get(name, NO_MASKS), every_state=every_state, own_output=bool(cell._hooks),
                step_gradients=k,
            )
            for (name, backward, cell), (xs, state), k in zip(layer, inputs, kept)
        ]  # fmt: skip

    def _choose(self, masks: Masks, backend: Backend) -> str:
        """The implementation of a call with these masks."""
        inside_steps = bool(masks) and any(m.recurrent is not None or m.zoneout for m in masks.values())
        impl = self.impl
        if impl == "auto":
            if inside_steps or self.fused_refusal():
                return "graph"
            cell: Cell = getattr(self, self.cell_names[0])
            if backend is not NUMPY or native.refusal(cell) or shared_library.refusal(cell.reference_parameter().dtype):
                return "fused"
            return "native"
        if impl == "graph":
            return impl
        if inside_steps:
            raise ValueError(
                f"{type(self).__name__}: masks: got some for recurrent dropout or zoneout, which act inside the steps; "
                "want impl='graph' or 'auto'"
            )
        check_impl(self, impl)
        if impl == "native" and backend is not NUMPY:
            raise mg.BackendError(f"{type(self).__name__}: impl: got 'native' on {backend.name}, want 'auto' or numpy")
        return impl

    def merge_directions(self, tops: list[Tensor]) -> Tensor:
        """Return `tops`, the outputs of one or two directions, (…, H) each, as one."""
        if len(tops) == 1:
            return tops[0]
        if self.merge == "concat":
            return mg.concatenate(tops, axis=-1)
        total = tops[0] + tops[1]
        return total if self.merge == "sum" else total * 0.5

    # Dropout

    def draw_masks(self, T: int, B: int, rng: nn.init.Rng = None) -> dict[str, CellMasks]:
        """Draw the masks of one forward pass over T steps of B sequences, on the host, by the name of the cell.

        In evaluation the only masks are zoneout's probabilities. The same generator `rng` (None: the module's own) in
        the same state gives the same masks; passing them to several calls makes the network deterministic, as gradient
        checks need it.
        """
        if type(T) is not int or type(B) is not int or T < 1 or B < 1 or rng is not None:
            check_integer("draw_masks", T=T, B=B)
            nn.init.as_generator(rng, "draw_masks")
        if not any(self.zoneout) and not (self.training and (self.dropout or self.recurrent_dropout)):
            return {}
        generator = nn.init.as_generator(self.rng if rng is None else rng, "draw_masks")
        rng = nn.init.default_generator() if generator is None else generator
        return draw_masks(self, T, B, rng)

    def extra_repr(self) -> str:
        defaults: dict[str, Any] = {
            "num_layers": 1, "bias": True, "batch_first": False, "bidirectional": False, "dropout": 0.0,
            "recurrent_dropout": 0.0, "zoneout": (0.0,) * len(self.zoneout), "merge": "concat",
            "reverse": False, "initial_state": "zeros", "impl": "auto",
        }  # fmt: skip
        options = {name: value for name, default in defaults.items() if (value := getattr(self, name)) != default}
        num_layers = options.pop("num_layers", None)
        of_cell = options_of(self.cell_type)
        shown = [f"{self.input_size}, {self.hidden_size}"]
        if num_layers is not None:
            shown.append(f"num_layers={num_layers}")
        if type(self) is Recurrence:
            shown.append(f"cell_type={self.cell_type.__name__}")
        shown += [f"{name}={value!r}" for name, value in self.cell_options.items() if value != of_cell[name]]
        return ", ".join([*shown, *(f"{name}={value!r}" for name, value in options.items())])
