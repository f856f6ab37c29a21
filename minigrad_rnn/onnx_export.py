"""Recurrent networks as ONNX files, for runtimes that know neither Python nor this package.

Every layer becomes one of ONNX's own nodes: RNN, LSTM or GRU, with both directions in it, MatMul and Add, Gather. ONNX
has the gate rows in another order: i, o, f, c in the LSTM (ours: i, f, g, o) and z, r, h in the GRU (ours: r, z, n).
"""

from __future__ import annotations

import importlib
import os
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

import minigrad as mg
from minigrad import nn
from minigrad.serialize import whole_or_not_at_all

from .cells import Cell, GRUCell, LSTMCell, RNNCell
from .character_model import CharacterModel
from .recurrence import Recurrence

Host = np.ndarray[Any, Any]
Stage = tuple[str, Any]
"""A part of the model that reads the part before it: its name with a dot behind, and the module or function."""

NODES: dict[type[Cell], tuple[str, list[int]]]
NODES = {RNNCell: ("RNN", [0]), LSTMCell: ("LSTM", [0, 3, 1, 2]), GRUCell: ("GRU", [1, 0, 2])}
"""ONNX's node for a cell, and which of our gates comes first, second, … there."""
PEEPHOLES = [0, 2, 1]
"""ONNX's order i, o, f of our p_i, p_f, p_o."""
SIMPLE: dict[Any, str] = {
    mg.tanh: "Tanh", mg.sigmoid: "Sigmoid", mg.relu: "Relu", mg.softmax: "Softmax", mg.log_softmax: "LogSoftmax",
    nn.Tanh: "Tanh", nn.Sigmoid: "Sigmoid", nn.ReLU: "Relu",
}  # fmt: skip
"""Functions and modules that are one node of one input."""
SILENT = (nn.Dropout, nn.Identity)
"""What does nothing in evaluation."""
LAYERS = (nn.Embedding, nn.Linear, nn.LayerNorm, nn.Tanh, nn.Sigmoid, nn.ReLU, *SILENT)
KINDS: tuple[type[nn.Module], ...] = (Recurrence, CharacterModel, nn.Sequential, *LAYERS)
OLDEST_OPSET = 17  # LayerNormalization came with it


def export_onnx(
    model: nn.Module | Sequence[Any],
    path: str | os.PathLike[str],
    *,
    sequence_length: int | None = None,
    batch: int | None = None,
    state: bool = False,
    lengths: bool = False,
    dtype: Any = "float32",
    opset: int = OLDEST_OPSET,
) -> Any:
    """Write the model, as it computes in evaluation, to an ONNX file; returns the ModelProto too.

    The graph reads `xs` (T, B, I), or `ids` (T, B) of int64 where an Embedding comes first, in the batch_first layout
    where the recurrence has that, and gives `output`, and `h_n` and `c_n`, the state after each sequence's last step
    (cells, B, H). Where several recurrences are stacked, the names of the states start with their modules' names.

    Args:
        model: a Recurrence with RNN, LSTM or GRU cells, a CharacterModel, or a list of modules in the order in which
            they read each other; a Recurrence in it hands on its output. Besides recurrences it may hold Embedding
            (first), Linear, LayerNorm over the last axis, Dropout, Tanh, Sigmoid, ReLU, Identity and Sequential, and
            the functions mg.softmax, log_softmax, tanh, sigmoid and relu.
        path: the file; it appears when it is complete and has passed ONNX's checker.
        sequence_length, batch: T and B where they are to be fixed; None leaves them open.
        state: whether the graph reads the initial states, `h_0` and `c_0` (cells, B, H). If not, they are what the
            module declares: zeros, or what was learned.
        lengths: whether the graph reads `lengths` (B,), int32: outputs past them are zero, as in our call.
        dtype: of the weights in the file, "float32" or "float64", whatever the model's is. onnxruntime's recurrent
            nodes know float32 only.
        opset: the version of ONNX's operators, at least 17.

    Raises:
        ImportError: the package onnx is missing.
        TypeError: a model, or a part of it, of another kind.
        ValueError: an option that no node of ONNX has: a projection, zoneout, the layer-normalised and other cells; or
            parts that do not fit each other, or an argument out of range. No file has been written then.
    """
    onnx = _package()
    for argument, size in (("sequence_length", sequence_length), ("batch", batch)):
        if size is not None and (isinstance(size, bool) or not isinstance(size, (int, np.integer)) or size < 1):
            raise ValueError(f"export_onnx: {argument}: got {size!r}, want a whole number of at least 1, or None")
    newest = onnx.defs.onnx_opset_version()
    if opset not in range(OLDEST_OPSET, newest + 1):
        raise ValueError(f"export_onnx: opset: got {opset!r}, want {OLDEST_OPSET} to {newest}")
    if np.dtype(dtype) not in (np.float32, np.float64):
        raise ValueError(f"export_onnx: dtype: got {np.dtype(dtype)}, want float32 or float64")
    stages = list(_stages(model, ""))
    recurrences = [stage for _, stage in stages if isinstance(stage, Recurrence)]
    for argument, wanted in (("state", state), ("lengths", lengths)):
        if wanted and not recurrences:
            raise ValueError(f"export_onnx: {argument}: got True, want False for a model without a recurrence")
    if len({recurrence.batch_first for recurrence in recurrences}) > 1:
        raise ValueError("export_onnx: model: got recurrences with and without batch_first, want one or the other")
    T: int | str = "T" if sequence_length is None else int(sequence_length)
    B: int | str = "B" if batch is None else int(batch)
    axes = [B, T] if recurrences and recurrences[0].batch_first else [T, B]
    graph = Graph(onnx, np.dtype(dtype), B, state, len(recurrences) > 1)
    x, width = graph.read_sequence(stages, axes)
    if lengths:
        graph.lengths = graph.read("lengths", onnx.TensorProto.INT32, [B])
    for name, stage in stages:
        x, width = graph.stage(name, stage, x, width)
    graph.write("output", x, [*axes, width])
    made = graph.model(opset)
    onnx.checker.check_model(made, full_check=True)
    with whole_or_not_at_all(path) as file:
        file.write(made.SerializeToString())
    return made


class Graph:
    """An ONNX graph in the making: each method adds nodes and returns the names of the values that they compute."""

    def __init__(self, onnx: Any, dtype: Any, batch: int | str, state: bool, named_states: bool) -> None:
        self.onnx, self.dtype, self.batch, self.state, self.named_states = onnx, dtype, batch, state, named_states
        self.float = onnx.helper.np_dtype_to_tensor_dtype(dtype)
        self.nodes: list[Any] = []
        self.arrays: dict[str, Any] = {}
        self.inputs: list[Any] = []
        self.outputs: list[Any] = []
        self.lengths = ""

    def read(self, name: str, kind: int, shape: list[Any]) -> str:
        """An input of the graph."""
        self.inputs.append(self.onnx.helper.make_tensor_value_info(name, kind, shape))
        return name

    def write(self, name: str, value: str, shape: list[Any]) -> None:
        """An output of the graph, under its name."""
        self.add("Identity", [value], name)
        self.outputs.append(self.onnx.helper.make_tensor_value_info(name, self.float, shape))

    def array(self, name: str, value: Any) -> str:
        """An array in the file; numbers of floating point in the graph's dtype."""
        value = np.asarray(value)
        value = value.astype(self.dtype if value.dtype.kind == "f" else np.int64)
        self.arrays[name] = self.onnx.numpy_helper.from_array(np.ascontiguousarray(value), name)
        return name

    def add(self, op: str, inputs: list[str], *outputs: str, **attributes: Any) -> str:
        """A node; returns the name of its first output."""
        while not inputs[-1]:  # optional inputs that are left out
            inputs = inputs[:-1]
        self.nodes.append(self.onnx.helper.make_node(op, inputs, outputs, name=outputs[0], **attributes))
        return outputs[0]

    def model(self, opset: int) -> Any:
        """The whole, in the oldest file format that knows the opset; what was written last comes out first."""
        helper, outputs = self.onnx.helper, [self.outputs[-1], *self.outputs[:-1]]
        made = helper.make_graph(self.nodes, "minigrad_rnn", self.inputs, outputs, [*self.arrays.values()])
        versions = [helper.make_opsetid("", opset)]
        return helper.make_model(
            made, producer_name="minigrad_rnn", opset_imports=versions,
            ir_version=helper.find_min_ir_version_for(versions),
        )  # fmt: skip

    def read_sequence(self, stages: list[Stage], axes: list[Any]) -> tuple[str, int | None]:
        """The model's input, and how many features it has (None for ids)."""
        if stages and isinstance(stages[0][1], nn.Embedding):
            return self.read("ids", self.onnx.TensorProto.INT64, axes), None
        width = next((w for _, stage in stages if (w := _width(stage)) is not None), None)
        if width is None:
            raise ValueError("export_onnx: model: got no part that says how many features it reads, want at least one")
        return self.read("xs", self.float, [*axes, width]), width

    def stage(self, name: str, stage: Any, x: str, width: int | None) -> tuple[str, int | None]:
        """One part of the model on x (T, B, width); its value and how many features that has."""
        wanted = _width(stage)
        if isinstance(stage, nn.Embedding):
            if width is not None:
                raise ValueError(f"{_said(name, stage)}: got {width} features to read, want it as the first part")
            rows = self.add("Gather", [self.array(f"{name}weight", stage.weight.numpy()), x], f"{name}rows")
            return rows, stage.embedding_dim
        if wanted is not None and wanted != width:
            raise ValueError(f"{_said(name, stage)}: got {width} features from the part before, want {wanted}")
        if isinstance(stage, Recurrence):
            return self.recurrence(name, stage, x)
        if isinstance(stage, nn.Linear):
            y = self.add("MatMul", [x, self.array(f"{name}weight", stage.weight.numpy().T)], f"{name}product")
            if stage.bias is not None:
                y = self.add("Add", [y, self.array(f"{name}bias", stage.bias.numpy())], f"{name}sum")
            return y, stage.out_features
        if isinstance(stage, nn.LayerNorm):
            weight = np.ones(stage.normalized_shape) if stage.weight is None else stage.weight.numpy()
            bias = "" if stage.bias is None else self.array(f"{name}bias", stage.bias.numpy())
            inputs = [x, self.array(f"{name}weight", weight), bias]
            return self.add("LayerNormalization", inputs, f"{name}normalised", axis=-1, epsilon=stage.eps), width
        if isinstance(stage, SILENT):
            return x, width
        op = SIMPLE[_kind(stage) if isinstance(stage, nn.Module) else stage]
        axis = {"axis": -1} if op in ("Softmax", "LogSoftmax") else {}
        return self.add(op, [x], f"{name}{op.lower()}", **axis), width

    def recurrence(self, name: str, module: Recurrence, x: str) -> tuple[str, int]:
        """A whole recurrence: its output, (T, B, H · directions) or (B, T, …); its states become outputs."""
        states = module.cell_type.state_names
        starts = self.initial_states(name, module, x)
        if module.batch_first:
            x = self.add("Transpose", [x], f"{name}time_major", perm=[1, 0, 2])
        finals: list[list[str]] = [[] for _ in states]

        def run(label: str, names: list[str], direction: str, x: str) -> str:
            hs, *ends = self.layer(f"{name}{label}", module, names, direction, x, next(starts))
            for column, end in zip(finals, ends):
                column.append(end)
            return hs

        for k, block in enumerate(module.blocks):
            if all(len(stack) == 1 for stack in block):
                direction = "bidirectional" if len(block) == 2 else "forward"
                hs = run(f"layer{k}", [stack[0] for stack in block], direction, x)
                x = self.directions_merged(f"{name}layer{k}", module, hs)
                continue
            tops = []
            for direction, stack in zip(("forward", "reverse"), block):
                top = x
                for cell in stack:
                    hs = run(cell, [cell], direction, top)
                    top = self.add("Squeeze", [hs, self.array(f"{name}{cell}.axis", [1])], f"{name}{cell}.hs")
                tops.append(top)
            x = self.tops_merged(f"{name}merged", module, tops)
        if module.batch_first:
            x = self.add("Transpose", [x], f"{name}batch_major", perm=[1, 0, 2])
        for part, column in zip(states, finals):
            end = column[0] if len(column) == 1 else self.add("Concat", column, f"{name}all_{part}", axis=0)
            self.write(self.state_name(name, f"{part}_n"), end, self.state_shape(module))
        return x, module.hidden_size * (len(module.directions) if module.merge == "concat" else 1)

    def state_name(self, name: str, part: str) -> str:
        return f"{name}{part}" if self.named_states else part

    def state_shape(self, module: Recurrence) -> list[Any]:
        return [len(module.cell_names), self.batch, module.hidden_size]

    def initial_states(self, name: str, module: Recurrence, x: str) -> Iterator[list[str]]:
        """For each node in turn the names of its initial states (directions, B, H); "" stands for zeros."""
        sizes = [len(block) for block in module.blocks]
        if any(len(stack) > 1 for block in module.blocks for stack in block):
            sizes = [1] * len(module.cell_names)
        cells, columns = module.every_cell(), []
        for part in module.cell_type.state_names:
            if not self.state and cells[0].initial_state == "zeros":
                columns.append([""] * len(sizes))
                continue
            if self.state:
                start = self.read(self.state_name(name, f"{part}_0"), self.float, self.state_shape(module))
            else:
                learned = np.stack([getattr(cell, f"{part}_init").numpy() for cell in cells])[:, None]
                start = self.learned(f"{name}{part}", learned, x, 0 if module.batch_first else 1)
            if len(sizes) == 1:
                columns.append([start])
                continue
            pieces = [f"{name}{part}_0.{k}" for k in range(len(sizes))]
            self.add("Split", [start, self.array(f"{name}{part}_0.sizes", sizes)], *pieces, axis=0)
            columns.append(pieces)
        yield from map(list, zip(*columns))

    def learned(self, name: str, values: Host, x: str, axis: int) -> str:
        """A learned initial state (cells, 1, H) for every sequence: (cells, B, H)."""
        B = self.add("Shape", [x], f"{name}_batch", start=axis, end=axis + 1)
        one = self.array(f"{name}_one", [1])
        shape = self.add("Concat", [one, B, one], f"{name}_shape", axis=0)
        return self.add("Expand", [self.array(f"{name}_init", values), shape], f"{name}_start")

    def layer(
        self, name: str, module: Recurrence, names: list[str], direction: str, x: str, starts: list[str]
    ) -> list[str]:
        """One node: hs (T, directions, B, H) and the final states (directions, B, H)."""
        cells: list[Any] = [getattr(module, cell) for cell in names]
        op, order = NODES[type(cells[0])]
        attributes: dict[str, Any] = {"hidden_size": module.hidden_size, "direction": direction}
        if op == "RNN":
            attributes["activations"] = [{"tanh": "Tanh", "relu": "Relu"}[cell.nonlinearity] for cell in cells]
        if op == "GRU":
            attributes["linear_before_reset"] = int(cells[0].reset_after)

        def both(part: str, rows: list[Host]) -> str:
            return self.array(f"{name}.{part}", np.stack(rows))

        W = both("W", [_gates(cell.Wc.numpy(), order) for cell in cells])
        R = both("R", [_gates(cell.Wr.numpy(), order) for cell in cells])
        B = both("B", [_biases(cell, order) for cell in cells]) if module.bias else ""
        inputs = [x, W, R, B, self.lengths, *starts]
        if op == "LSTM" and cells[0].peephole:
            inputs.append(both("P", [_gates(cell.p.numpy(), PEEPHOLES) for cell in cells]))
        parts = [f"{name}.Y", *(f"{name}.Y_{part}" for part in module.cell_type.state_names)]
        self.add(op, inputs, *parts, **attributes)
        return parts

    def directions_merged(self, name: str, module: Recurrence, hs: str) -> str:
        """A node's hs (T, directions, B, H) as (T, B, features)."""
        if not module.bidirectional:
            return self.add("Squeeze", [hs, self.array(f"{name}.axis", [1])], f"{name}.hs")
        if module.merge == "concat":
            side_by_side = self.add("Transpose", [hs], f"{name}.turned", perm=[0, 2, 1, 3])
            return self.add("Reshape", [side_by_side, self.array(f"{name}.shape", [0, 0, -1])], f"{name}.hs")
        total = self.add("ReduceSum", [hs, self.array(f"{name}.axis", [1])], f"{name}.total", keepdims=0)
        return self.halved(name, total, module)

    def tops_merged(self, name: str, module: Recurrence, tops: list[str]) -> str:
        """The outputs (T, B, H) of a forward and a backward net of their own depths as one."""
        if module.merge == "concat":
            return self.add("Concat", tops, f"{name}.hs", axis=-1)
        total = self.add("Add", tops, f"{name}.total")
        return self.halved(name, total, module)

    def halved(self, name: str, total: str, module: Recurrence) -> str:
        """The sum of two directions, or their mean."""
        if module.merge == "sum":
            return total
        return self.add("Mul", [total, self.array(f"{name}.half", 0.5)], f"{name}.mean")


def _stages(model: Any, name: str) -> Iterator[Stage]:
    """The parts in the order in which they read each other, each checked to be one that ONNX has."""
    if isinstance(model, (list, tuple)):
        for k, part in enumerate(model):
            yield from _stages(part, f"{name}{k}.")
        return
    kind = _kind(model)
    if kind is nn.Sequential:
        for k, part in enumerate(model):
            inner = list(_stages(part, f"{name}{k}."))
            if k + 1 < len(model) and any(isinstance(stage, Recurrence) for _, stage in inner):
                raise ValueError(
                    f"{_said(f'{name}{k}.', part)}: got a recurrence that hands (output, state) to the next part of a "
                    "Sequential, want it last, or a list in the Sequential's place"
                )
            yield from inner
    elif kind is CharacterModel:
        for part in ("embedding", "recurrence", "readout"):
            yield from _stages(getattr(model, part), f"{name}{part}.")
    elif kind is not None or any(model is function for function in SIMPLE):
        if isinstance(model, Recurrence):
            _refuse(model, name)
        if isinstance(model, nn.LayerNorm) and len(model.normalized_shape) > 1:
            raise ValueError(f"{_said(name, model)}: normalized_shape: got {model.normalized_shape}, want one axis")
        yield name, model
    else:
        got = getattr(model, "__name__", type(model).__name__)
        raise TypeError(
            f"{_said(name)}: got {got}, want a Recurrence, CharacterModel, Sequential, a layer of minigrad.nn, or a "
            "list of these in the order in which they read each other"
        )


def _kind(model: Any) -> type[nn.Module] | None:
    """The class whose forward the model runs; None for one with a forward of its own, and for what is no module."""
    return next((kind for kind in KINDS if isinstance(model, kind) and type(model).forward is kind.forward), None)


def _width(stage: Any) -> int | None:
    """How many features a part reads; None for one that takes any, and for ids."""
    if isinstance(stage, Recurrence):
        return stage.input_size
    if isinstance(stage, nn.Linear):
        return stage.in_features
    return stage.normalized_shape[0] if isinstance(stage, nn.LayerNorm) else None


def _refuse(module: Recurrence, name: str) -> None:
    """What no node of ONNX computes."""
    said, kind = _said(name, module), module.cell_type
    if kind not in NODES:
        known = ", ".join(cell.__name__ for cell in NODES)
        raise ValueError(f"{said}: cell_type: got {kind.__name__}, want one that ONNX has a node for: {known}")
    if proj_size := getattr(module.every_cell()[0], "proj_size", 0):
        raise ValueError(f"{said}: proj_size: got {proj_size}, want 0: ONNX's LSTM has no projection")
    if any(module.zoneout):
        raise ValueError(f"{said}: zoneout: got {module.zoneout}, want 0.0: no node of ONNX mixes h(t) with h(t−1)")


def _said(name: str, part: Any = None) -> str:
    """How an error begins: where in the model, and what is there."""
    where = "export_onnx: model" + (f" at {name.rstrip('.')}" if name else "")
    return where if part is None else f"{where}: {type(part).__name__}"


def _gates(rows: Host, order: list[int]) -> Host:
    """The blocks of rows in another order."""
    return np.concatenate([np.split(rows, len(order))[k] for k in order])


def _biases(cell: Any, order: list[int]) -> Host:
    """ONNX's two biases, one behind the other; the second is zero where the cell has one."""
    b, br = cell.b.numpy(), None if cell.br is None else cell.br.numpy()
    return np.concatenate([_gates(b, order), np.zeros_like(b) if br is None else _gates(br, order)])


def _package() -> Any:
    try:
        return importlib.import_module("onnx")
    except ImportError as error:
        raise ImportError("export_onnx: the package onnx is missing: pip install minigrad-rnn[onnx]") from error
