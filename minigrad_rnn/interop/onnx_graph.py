"""The nodes of ONNX that a network becomes.

ONNX has the gate rows in another order: i, o, f, c in the LSTM (ours: i, f, g, o) and z, r, h in the GRU (ours: r, z,
n).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

import minigrad as mg
from minigrad import nn

from ..cells import Cell, GRUCell, LSTMCell, RNNCell
from ..networks.recurrence import Recurrence
from ..seq2seq.io_shapes import ManyToOne, OneToOne, top_rows
from ..text.model import CharacterModel

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
KINDS: tuple[type[nn.Module], ...] = (Recurrence, CharacterModel, ManyToOne, OneToOne, nn.Sequential, *LAYERS)


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
        self.axes: list[Any] = []
        """Of the value made last, all but its features."""
        self.last_h = ""
        """The state h of the recurrence made last, (cells, B, H)."""

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
        self.arrays[name] = self.onnx.numpy_helper.from_array(np.asarray(value, order="C"), name)
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
        one_step = bool(stages) and isinstance(stages[0][1], OneToOne)
        self.axes = [self.batch] if one_step else axes
        if stages and isinstance(stages[0][1], nn.Embedding):
            return self.read("ids", self.onnx.TensorProto.INT64, axes), None
        width = next((w for _, stage in stages if (w := width_of(stage)) is not None), None)
        if width is None:
            raise ValueError("export_onnx: model: got no part that says how many features it reads, want at least one")
        return self.read("x" if one_step else "xs", self.float, [*self.axes, width]), width

    def stage(self, name: str, stage: Any, x: str, width: int | None) -> tuple[str, int | None]:
        """One part of the model on x (*axes, width); its value and how many features that has."""
        wanted = width_of(stage)
        if isinstance(stage, nn.Embedding):
            if width is not None:
                raise ValueError(f"{said(name, stage)}: got {width} features to read, want it as the first part")
            rows = self.add("Gather", [self.array(f"{name}weight", stage.weight.numpy()), x], f"{name}rows")
            return rows, stage.embedding_dim
        if wanted is not None and wanted != width:
            raise ValueError(f"{said(name, stage)}: got {width} features from the part before, want {wanted}")
        if isinstance(stage, Recurrence):
            if len(self.axes) == 1:
                raise ValueError(f"{said(name, stage)}: got one vector for each sequence to read, want every step's")
            return self.recurrence(name, stage, x)
        if isinstance(stage, ManyToOne):
            return self.pooled(name, stage, x), width
        if isinstance(stage, nn.Linear) and len(self.axes) == 1:
            arrays = [self.array(f"{name}{part}", p.numpy()) for part, p in stage.named_parameters()]
            return self.add("Gemm", [x, *arrays], f"{name}sum", transB=1), stage.out_features
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
        if isinstance(stage, OneToOne) and self.nodes:
            raise ValueError(f"{said(name, stage)}: got {width} features to read, want it as the first part")
        if isinstance(stage, (*SILENT, OneToOne)):
            return x, width
        op = SIMPLE[kind_of(stage) if isinstance(stage, nn.Module) else stage]
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
            self.last_h = end if part == states[0] else self.last_h
        return x, module.hidden_size * (len(module.directions) if module.merge == "concat" else 1)

    def pooled(self, name: str, model: ManyToOne, hs: str) -> str:
        """What is left of a sequence, (B, F): the top layer's last h, or the mean of hs over time."""
        net, self.axes = model.recurrence, [self.batch]
        if model.pool == "last":
            tops = [
                self.add("Gather", [self.last_h, self.array(f"{name}row{k}", row)], f"{name}top{k}", axis=0)
                for k, row in enumerate(top_rows(net))
            ]
            return tops[0] if len(tops) == 1 else self.tops_merged(f"{name}last", net, tops)
        time = int(net.batch_first)
        total = self.add("ReduceSum", [hs, self.array(f"{name}time", [time])], f"{name}total", keepdims=0)
        steps = self.add("Shape", [hs], f"{name}steps", start=time, end=time + 1)
        if self.lengths:
            steps = self.add("Unsqueeze", [self.lengths, self.array(f"{name}features", [1])], f"{name}own_steps")
        return self.add("Div", [total, self.add("Cast", [steps], f"{name}count", to=self.float)], f"{name}mean")

    def state_name(self, name: str, part: str) -> str:
        return f"{name}{part}" if self.named_states else part

    def state_shape(self, module: Recurrence) -> list[Any]:
        return [len(module.cell_names), self.batch, module.hidden_size]

    def initial_states(self, name: str, module: Recurrence, x: str) -> Iterator[list[str]]:
        """For each node in turn the names of its initial states (directions, B, H); "" stands for zeros."""
        sizes = [len(block) for block in module.blocks]
        if any(len(stack) > 1 for block in module.blocks for stack in block):
            sizes = [1] * len(module.cell_names)
        cells, columns = module.cells, []
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


def kind_of(model: Any) -> type[nn.Module] | None:
    """The class whose forward the model runs; None for one with a forward of its own, and for what is no module."""
    return next((kind for kind in KINDS if isinstance(model, kind) and type(model).forward is kind.forward), None)


def width_of(stage: Any) -> int | None:
    """How many features a part reads; None for one that takes any, and for ids."""
    if isinstance(stage, Recurrence):
        return stage.input_size
    if isinstance(stage, nn.Linear):
        return stage.in_features
    return stage.normalized_shape[0] if isinstance(stage, nn.LayerNorm) else None


def said(name: str, part: Any = None) -> str:
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
