"""unrolled_recurrence runs a recurrence op by op, alone or under a readout, and names what each step computed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

import minigrad as mg
from minigrad import Tensor, nn
from minigrad.validation import as_tensor

from ..cells import Cell, GRUCell, LSTMCell, RNNCell
from ..cells.activations import name_of
from ..cells.lstm import STANDARD
from ..networks.recurrence import Recurrence
from ..seq2seq.io_shapes import ManyToMany, ManyToOne, parts_of, top_rows
from .operation_log import Operation, OperationLog, named
from .unrolled import Arrow, Column, Lane, Quantity, Spot, Unrolled


class CellStep(NamedTuple):
    """One call of a cell's `step`: the state before and after, and the operations in between."""

    before: tuple[Tensor, ...]
    after: tuple[Tensor, ...]
    operations: list[Operation]


def record_steps(net: Recurrence, log: OperationLog, column: Callable[[str, int], int]) -> dict[str, list[CellStep]]:
    """Let each cell of `net` note its steps, in the order in which they run.

    `column(cell's name, number of the call)` is the time step under which the step's operations are recorded.
    """
    return {name: _record_cell(name, getattr(net, name), log, column) for name in net.cell_names}


def _record_cell(name: str, cell: Cell, log: OperationLog, column: Callable[[str, int], int]) -> list[CellStep]:
    steps: list[CellStep] = []
    original = cell.step

    def step(x: Any, state: tuple[Tensor, ...], h: Any) -> Any:
        first = len(log.operations)
        with mg.time_step(column(name, len(steps))):
            new = original(x, state, h)
        after = new if isinstance(new, tuple) else (new,)
        steps.append(CellStep(tuple(state), after, log.operations[first:]))
        return new

    vars(cell)["step"] = step  # this copy of the cell alone
    return steps


def inner_values(cell: Cell, step: CellStep) -> dict[str, tuple[Tensor, tuple[str, ...]]]:
    """The values inside a step that have a name in its equations, and the names of their blocks of rows."""
    operations = step.operations
    found: dict[str, tuple[Tensor, tuple[str, ...]]] = {}
    if isinstance(cell, RNNCell):
        found["z"] = named(operations, "linear_sum")[0], ()
    elif isinstance(cell, LSTMCell):
        found["z"] = named(operations, "linear_sum")[0], ("i", "f", "g", "o")
        if cell.gate_options == STANDARD:
            (i, f, o), g = named(operations, "sigmoid"), named(operations, "tanh")[0]
            found |= {gate: (value, ()) for gate, value in zip("ifgo", (i, f, g, o))}
    elif isinstance(cell, GRUCell) and named(operations, "sigmoid") and named(operations, "tanh"):
        gates, n = named(operations, "sigmoid")[0], named(operations, "tanh")[0]
        adds = [operation for operation in operations if operation.name == "add"]
        found["z_rz"] = adds[0].result, ("r", "z")
        found["z_n"] = adds[1].result, ()
        found |= {"rz": (gates, ("r", "z")), "n": (n, ())}
    return found


def cell_lane(
    net: Recurrence, name: str, label: str, level: int, steps: Sequence[CellStep], columns: Sequence[int], prefix: str
) -> Lane:
    """The lane of one cell, whose k-th step stands in column `columns[k]`."""
    cell: Cell = getattr(net, name)
    values: dict[str, Quantity] = {}
    for column, step in zip(columns, steps):
        inner = inner_values(cell, step)
        states = {part: (value, ()) for part, value in zip(cell.state_names[::-1], step.after[::-1])}
        for part, (value, blocks) in (inner | states).items():
            values.setdefault(part, Quantity(part, {}, blocks)).spots[column] = Spot(value)
    for part, value in zip(cell.state_names, steps[0].before):
        values[part].start = Spot(value)
    own = [f"{prefix}{name}.{short}" for short, _ in cell.named_parameters()]
    names = _written(cell)
    if columns[0] > columns[-1]:
        names["t−1"] = "t+1"
    return Lane(label, "hidden", cell_kind(cell), level, list(values.values()), own, names)


def cell_kind(cell: Cell) -> str:
    """The name of the cell's equations; "cell" where there are none for it with its options."""
    if isinstance(cell, LSTMCell):
        plain = cell.gate_options == STANDARD and cell.p is None and cell.Wp is None
        return "lstm" if plain else "lstm_variant"
    if (
        isinstance(cell, GRUCell)
        and cell.gate_activation == "sigmoid"
        and cell.activation == "tanh"
        and cell.clip is None
    ):
        return "gru" if cell.reset_after else "gru_reset_first"
    return "rnn" if isinstance(cell, RNNCell) else "cell"


def _written(cell: Cell) -> dict[str, str]:
    """What the equations leave open: the function F, and the biases that there are."""
    names = {}
    if isinstance(cell, RNNCell):
        names["F"] = name_of(cell.nonlinearity) if cell.clip is None else "f"
    if isinstance(cell, LSTMCell):
        names["F"] = name_of(cell.gate_options.output_activation)
        if cell.Wp is None:
            names |= {"h(t) = Wp m": "h(t) = m", "dm = dh(t) Wp": "dm = dh(t)"}
    if getattr(cell, "b", None) is None:
        names |= {" + br": "", " + b": "", "db += dz(t)": ""}
    elif cell.br is not None and not isinstance(cell, GRUCell):
        names |= {" + b": " + b + br", "db += dz(t)": "db += dz(t), dbr += dz(t)"}
    return names


def recurrence_lanes(
    net: Recurrence,
    steps: dict[str, list[CellStep]],
    first_column: int,
    T: int,
    source: str,
    prefix: str,
    level: int,
    label_prefix: str = "",
) -> tuple[list[Lane], list[Arrow], list[str]]:
    """The lanes and arrows of all cells above lane `source`, and the lanes of the top layer.

    Lanes are called after the cells, with `label_prefix` before them, and parameters begin with `prefix`; the first
    lane stands at `level`.
    """
    lanes: list[Lane] = []
    arrows: list[Arrow] = []
    below = [source]
    for block in net.blocks:
        tops = []
        for stack in block:
            reads = below
            for name in stack:
                cell: Cell = getattr(net, name)
                columns = list(range(first_column, first_column + T))
                lag = -1 if name.startswith("backward") else 1
                label = f"{label_prefix}{name}"
                lanes.append(cell_lane(net, name, label, level, steps[name], columns[::lag], prefix))
                level += 1
                arrows += [Arrow(lane, label, 0, f"{prefix}{name}.Wc") for lane in reads]
                arrows.append(Arrow(label, label, lag, f"{prefix}{name}.Wr", carries="h"))
                arrows += [Arrow(label, label, lag, "", "copy", carries=part) for part in cell.state_names[1:]]
                reads = [label]
            tops.append(reads[0])
        below = tops
    return lanes, arrows, below


def unrolled_recurrence(model: Recurrence | ManyToMany | ManyToOne, xs: Tensor, state: Any) -> Unrolled:
    """Run `model`, a copy that may be changed: a `Recurrence`, `ManyToMany` or `ManyToOne`; xs (T, B, I) is a leaf."""
    net: Recurrence = model if isinstance(model, Recurrence) else model.recurrence
    net.impl, net.batch_first = "graph", False
    T = xs.shape[0]
    prefix = "" if net is model else "recurrence."
    columns = [Column(f"t = {t}") for t in range(T)]

    def column(name: str, call: int) -> int:
        return T - 1 - call if name.startswith("backward") else call

    log = OperationLog()
    leaves: list[Tensor] = []
    if state is not None or net.initial_state == "zeros":
        leaves = _on_tape(net, state, xs.shape[1])
        state = leaves[0] if len(leaves) == 1 else tuple(leaves)
    with log:
        steps = record_steps(net, log, column)
        hs, final = net(xs, state)
        lanes, arrows, tops = recurrence_lanes(net, steps, 0, T, "x", prefix, 1)
        top_lanes = [lane for lane in lanes if lane.name in tops]
        # h(t) of each step by itself: from one of these a backward pass goes through the steps before it only
        separate = [net.merge_directions([lane.quantity("h").spots[t].tensor for lane in top_lanes]) for t in range(T)]
        output, output_columns, above, separate = _read_out(model, hs, final, separate)
    rows = Lane("x", "input", "input", 0, [Quantity("x", {t: Spot(xs, t) for t in range(T)})])
    parameters = dict(model.named_parameters())
    top = Lane("Y", "output", "", len(lanes) + 1, [])
    top.quantities = [Quantity("Y", {t: Spot(output, k) for k, t in enumerate(output_columns)})]
    if isinstance(model, Recurrence):
        top.cell = "merge" if len(tops) > 1 else "state_output"
        arrows += [Arrow(lane, "Y", 0, "", "copy") for lane in tops]
    else:
        top.cell = "readout" if isinstance(model.readout, nn.Linear) else "other_readout"
        top.parameters = [name for name in parameters if name.startswith("readout.")]
        weight = next((name for name in top.parameters if parameters[name].ndim == 2), "")
        arrows += above(tops, weight)
    unrolled = Unrolled(columns, [rows, *lanes, top], arrows, output, output_columns, parameters)
    unrolled.separate, unrolled.leaves = separate, leaves
    return unrolled


def _on_tape(net: Recurrence, state: Any, B: int) -> list[Tensor]:
    """The state before the first step as leaves, so that dh(−1) comes out; zeros where it is None."""
    parameter = net.cells[0].reference_parameter()
    if state is None:
        shapes = [(len(net.cells), B, size) for size in net.cells[0].state_sizes]
        zeros = (np.zeros(shape, parameter.dtype) for shape in shapes)
        state = tuple(mg.tensor(part, backend=parameter.backend) for part in zeros)
    return [mg.tensor(as_tensor("explore", "state", part)._array, requires_grad=True) for part in parts_of(state)]


def _read_out(
    model: Any, hs: Tensor, final: Any, each: list[Tensor]
) -> tuple[Tensor, list[int], Callable[..., list[Arrow]], list[Tensor]]:
    """Y (n, B, O), its columns, a function that returns the arrows into it, and each Y by itself."""
    T = len(each)
    if isinstance(model, Recurrence):
        return hs, list(range(T)), lambda tops, weight: [], each
    if isinstance(model, ManyToMany):
        ys = []
        for t in range(T):  # step by step, so that each step's share of the readout's gradient has its label
            with mg.time_step(t):
                ys.append(model.readout(each[t]))
        return mg.stack(ys), list(range(T)), lambda tops, weight: [Arrow(lane, "Y", 0, weight) for lane in tops], ys
    assert isinstance(model, ManyToOne)
    net = model.recurrence
    with mg.time_step(T - 1):
        if model.pool == "last":
            h = parts_of(final)[0]
            pooled = net.merge_directions([h[row] for row in top_rows(net)])
        else:
            pooled = model._over_time(hs, None)
        y = model.readout(pooled)

    def arrows(tops: list[str], weight: str) -> list[Arrow]:
        if model.pool != "last":
            return [Arrow(lane, "Y", 0, weight, only=(t, T - 1)) for lane in tops for t in range(T)]
        ends = [0 if "backward" in lane else T - 1 for lane in tops]
        return [Arrow(lane, "Y", 0, weight, only=(end, T - 1)) for lane, end in zip(tops, ends)]

    return y[None], [T - 1], arrows, [y]
