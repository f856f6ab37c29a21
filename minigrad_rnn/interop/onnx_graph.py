"""The ONNX nodes of each part of a network.

ONNX orders the gates' rows differently: i, o, f, c in the LSTM (ours: i, f, g, o) and z, r, h in the GRU (ours: r, z,
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
from .onnx_activations import gate_attributes

Host = np.ndarray[Any, Any]
Stage = tuple[str, Any]
"""A part of the model: its name, with a dot at the end, and the module or function."""

CELL_NODES: dict[type[Cell], tuple[str, list[int]]]
CELL_NODES = {RNNCell: ("RNN", [0]), LSTMCell: ("LSTM", [0, 3, 1, 2]), GRUCell: ("GRU", [1, 0, 2])}
"""ONNX's node for a cell, and the indices of our gates in ONNX's order."""
PEEPHOLES = [0, 2, 1]
"""The indices of our p_i, p_f, p_o in ONNX's order i, o, f."""
SINGLE_NODES: dict[Any, str] = {
    mg.tanh: "Tanh", mg.sigmoid: "Sigmoid", mg.relu: "Relu", mg.softmax: "Softmax", mg.log_softmax: "LogSoftmax",
    nn.Tanh: "Tanh", nn.Sigmoid: "Sigmoid", nn.ReLU: "Relu",
}  # fmt: skip
"""Functions and modules that are one node with one input."""
IDENTITIES = (nn.Dropout, nn.Identity)
"""Modules that do nothing in evaluation mode."""
SUPPORTED: tuple[type[nn.Module], ...] = (Recurrence, CharacterModel, ManyToOne, OneToOne, nn.Sequential)
SUPPORTED += (nn.Embedding, nn.Linear, nn.LayerNorm, nn.Tanh, nn.Sigmoid, nn.ReLU, *IDENTITIES)


class Graph:
    """An ONNX graph under construction: methods add nodes and return the names of the values that these compute."""

    def __init__(self, onnx: Any, dtype: Any, batch: int | str, state: bool, named_states: bool) -> None:
        self.onnx, self.dtype, self.batch, self.state, self.named_states = onnx, dtype, batch, state, named_states
        self.float = onnx.helper.np_dtype_to_tensor_dtype(dtype)
        self.nodes: list[Any] = []
        self.arrays: dict[str, Any] = {}
        self.inputs: list[Any] = []
        self.outputs: list[Any] = []
        self.lengths = ""
        self.axes: list[Any] = []
        """The axes of the latest value, without the features."""
        self.last_h = ""
        """The final state h of the latest recurrence, (cells, B, H)."""

    def add_input(self, name: str, kind: int, shape: list[Any]) -> str:
        """Add an input of the graph."""
        self.inputs.append(self.onnx.helper.make_tensor_value_info(name, kind, shape))
        return name

    def add_output(self, name: str, value: str, shape: list[Any]) -> None:
        """Add an output of the graph under this name."""
        self.add_node("Identity", [value], name)
        self.outputs.append(self.onnx.helper.make_tensor_value_info(name, self.float, shape))

    def add_array(self, name: str, value: Any) -> str:
        """Add a constant array; floating point is converted to the graph's dtype, integers to int64."""
        value = np.asarray(value)
        value = value.astype(self.dtype if value.dtype.kind == "f" else np.int64)
        self.arrays[name] = self.onnx.numpy_helper.from_array(np.asarray(value, order="C"), name)
        return name

    def add_node(self, op: str, inputs: list[str], *outputs: str, **attributes: Any) -> str:
        """Add a node; return the name of its first output."""
        while not inputs[-1]:  # trailing optional inputs that are left out
            inputs = inputs[:-1]
        self.nodes.append(self.onnx.helper.make_node(op, inputs, outputs, name=outputs[0], **attributes))
        return outputs[0]

    def to_model(self, opset: int) -> Any:
        """Return the ModelProto, in the oldest file format that supports the opset; the last output comes first."""
        helper, outputs = self.onnx.helper, [self.outputs[-1], *self.outputs[:-1]]
        graph = helper.make_graph(self.nodes, "minigrad_rnn", self.inputs, outputs, [*self.arrays.values()])
        versions = [helper.make_opsetid("", opset)]
        file_format = helper.find_min_ir_version_for(versions)
        return helper.make_model(graph, producer_name="minigrad_rnn", opset_imports=versions, ir_version=file_format)

    def add_model_input(self, stages: list[Stage], axes: list[Any]) -> tuple[str, int | None]:
        """Add the input that the first stage reads; return its name and number of features (None for ids)."""
        one_step = bool(stages) and isinstance(stages[0][1], OneToOne)
        self.axes = [self.batch] if one_step else axes
        if stages and isinstance(stages[0][1], nn.Embedding):
            return self.add_input("ids", self.onnx.TensorProto.INT64, axes), None
        width = next((w for _, stage in stages if (w := input_width(stage)) is not None), None)
        if width is None:
            raise ValueError("export_onnx: model: got no part with a fixed number of input features, want at least one")
        return self.add_input("x" if one_step else "xs", self.float, [*self.axes, width]), width

    def add_stage(self, name: str, stage: Any, x: str, width: int | None) -> tuple[str, int | None]:
        """Add one part of the model, which reads x (*axes, width); return its value and number of features."""
        expected = input_width(stage)
        if isinstance(stage, nn.Embedding):
            if width is not None:
                raise ValueError(f"{location(name, stage)}: got {width} features as input, want it as the first part")
            weight = self.add_array(f"{name}weight", stage.weight.numpy())
            return self.add_node("Gather", [weight, x], f"{name}rows"), stage.embedding_dim
        if expected is not None and expected != width:
            raise ValueError(f"{location(name, stage)}: got {width} features from the part before, want {expected}")
        if isinstance(stage, Recurrence):
            if len(self.axes) == 1:
                raise ValueError(f"{location(name, stage)}: got one vector per sequence as input, want every step's")
            return self.add_recurrence(name, stage, x)
        if isinstance(stage, ManyToOne):
            return self.add_pool(name, stage, x), width
        if isinstance(stage, nn.Linear) and len(self.axes) == 1:
            arrays = [self.add_array(f"{name}{part}", p.numpy()) for part, p in stage.named_parameters()]
            return self.add_node("Gemm", [x, *arrays], f"{name}sum", transB=1), stage.out_features
        if isinstance(stage, nn.Linear):
            weight = self.add_array(f"{name}weight", stage.weight.numpy().T)
            y = self.add_node("MatMul", [x, weight], f"{name}product")
            if stage.bias is not None:
                y = self.add_node("Add", [y, self.add_array(f"{name}bias", stage.bias.numpy())], f"{name}sum")
            return y, stage.out_features
        if isinstance(stage, nn.LayerNorm):
            gain = np.ones(stage.normalized_shape) if stage.weight is None else stage.weight.numpy()
            bias = "" if stage.bias is None else self.add_array(f"{name}bias", stage.bias.numpy())
            inputs, y = [x, self.add_array(f"{name}weight", gain), bias], f"{name}normalised"
            return self.add_node("LayerNormalization", inputs, y, axis=-1, epsilon=stage.eps), width
        if isinstance(stage, OneToOne) and self.nodes:
            raise ValueError(f"{location(name, stage)}: got {width} features as input, want it as the first part")
        if isinstance(stage, (*IDENTITIES, OneToOne)):
            return x, width
        op = SINGLE_NODES[supported_class(stage) if isinstance(stage, nn.Module) else stage]
        axis = {"axis": -1} if op in ("Softmax", "LogSoftmax") else {}
        return self.add_node(op, [x], f"{name}{op.lower()}", **axis), width

    def add_recurrence(self, name: str, module: Recurrence, x: str) -> tuple[str, int]:
        """Add a recurrence; its final states become outputs. Return hs, (T, B, F) or (B, T, F), and F."""
        states = module.cell_type.state_names
        starts = self.initial_states(name, module, x)
        if module.batch_first:
            x = self.add_node("Transpose", [x], f"{name}time_major", perm=[1, 0, 2])
        finals: list[list[str]] = []  # for each node one value per part of the state

        def add_layer(label: str, cells: list[str], direction: str, x: str) -> str:
            hs, *ends = self.add_layer(f"{name}{label}", module, cells, direction, x, next(starts))
            finals.append(ends)
            return hs

        for k, block in enumerate(module.blocks):
            if all(len(stack) == 1 for stack in block):  # one layer, whose directions are merged: one node
                direction = "bidirectional" if len(block) == 2 else "reverse" if module.reverse else "forward"
                hs = add_layer(f"layer{k}", [stack[0] for stack in block], direction, x)
                x = self.merge_directions(f"{name}layer{k}", module, hs)
                continue
            tops = []
            for direction, stack in zip(("forward", "reverse"), block):
                top = x
                for cell in stack:
                    hs = add_layer(cell, [cell], direction, top)
                    top = self.squeeze(f"{name}{cell}", hs)
                tops.append(top)
            x = self.merge_tops(f"{name}merged", module, tops)
        if module.batch_first:
            x = self.add_node("Transpose", [x], f"{name}batch_major", perm=[1, 0, 2])
        for part, *values in zip(states, *finals):
            end = values[0] if len(values) == 1 else self.add_node("Concat", values, f"{name}all_{part}", axis=0)
            self.add_output(self.state_name(name, f"{part}_n"), end, self.state_shape(module))
            self.last_h = end if part == states[0] else self.last_h
        return x, module.hidden_size * (len(module.directions) if module.merge == "concat" else 1)

    def add_pool(self, name: str, model: ManyToOne, hs: str) -> str:
        """Add a ManyToOne's pool, (B, F): the top layer's last h, or the mean of hs over time."""
        net, self.axes = model.recurrence, [self.batch]
        if model.pool == "last":
            tops = [
                self.add_node("Gather", [self.last_h, self.add_array(f"{name}row{k}", row)], f"{name}top{k}", axis=0)
                for k, row in enumerate(top_rows(net))
            ]
            return tops[0] if len(tops) == 1 else self.merge_tops(f"{name}last", net, tops)
        time = int(net.batch_first)
        total = self.add_node("ReduceSum", [hs, self.add_array(f"{name}time", [time])], f"{name}total", keepdims=0)
        steps = self.add_node("Shape", [hs], f"{name}steps", start=time, end=time + 1)
        if self.lengths:
            axis = self.add_array(f"{name}features", [1])
            steps = self.add_node("Unsqueeze", [self.lengths, axis], f"{name}own_steps")
        count = self.add_node("Cast", [steps], f"{name}count", to=self.float)
        return self.add_node("Div", [total, count], f"{name}mean")

    def state_name(self, name: str, part: str) -> str:
        return f"{name}{part}" if self.named_states else part

    def state_shape(self, module: Recurrence) -> list[Any]:
        return [len(module.cell_names), self.batch, module.hidden_size]

    def initial_states(self, name: str, module: Recurrence, x: str) -> Iterator[list[str]]:
        """Yield for each node the names of its initial states (directions, B, H); "" stands for zeros."""
        sizes = [len(block) for block in module.blocks]
        if any(len(stack) > 1 for block in module.blocks for stack in block):
            sizes = [1] * len(module.cell_names)
        cells, columns = module.cells, []
        for part in module.cell_type.state_names:
            if self.state:
                start = self.add_input(self.state_name(name, f"{part}_0"), self.float, self.state_shape(module))
            elif cells[0].initial_state == "zeros":
                start = ""
            else:
                learned = np.stack([getattr(cell, f"{part}_init").numpy() for cell in cells])[:, None]
                start = self.expand_learned(f"{name}{part}", learned, x, 0 if module.batch_first else 1)
            pieces = [start] * len(sizes)
            if start and len(sizes) > 1:
                pieces = [f"{name}{part}_0.{k}" for k in range(len(sizes))]
                self.add_node("Split", [start, self.add_array(f"{name}{part}_0.sizes", sizes)], *pieces, axis=0)
            columns.append(pieces)
        yield from map(list, zip(*columns))

    def expand_learned(self, name: str, values: Host, x: str, axis: int) -> str:
        """Repeat a learned initial state (cells, 1, H) for every sequence: (cells, B, H), B read off x."""
        B = self.add_node("Shape", [x], f"{name}_batch", start=axis, end=axis + 1)
        one = self.add_array(f"{name}_one", [1])
        shape = self.add_node("Concat", [one, B, one], f"{name}_shape", axis=0)
        return self.add_node("Expand", [self.add_array(f"{name}_init", values), shape], f"{name}_start")

    def add_layer(
        self, name: str, module: Recurrence, cell_names: list[str], direction: str, x: str, starts: list[str]
    ) -> list[str]:
        """Add one recurrent node; return hs (T, directions, B, H) and the final states (directions, B, H)."""
        cells: list[Any] = [getattr(module, cell) for cell in cell_names]
        op, order = CELL_NODES[type(cells[0])]
        attributes: dict[str, Any] = {"hidden_size": module.hidden_size, "direction": direction}
        attributes |= gate_attributes(op, cells)
        if op == "GRU":
            attributes["linear_before_reset"] = int(cells[0].reset_after)

        def stacked(part: str, rows: list[Host]) -> str:
            return self.add_array(f"{name}.{part}", np.stack(rows))

        W = stacked("W", [_reorder(cell.Wc.numpy(), order) for cell in cells])
        R = stacked("R", [_reorder(cell.Wr.numpy(), order) for cell in cells])
        B = stacked("B", [_biases(cell, order) for cell in cells]) if module.bias else ""
        inputs = [x, W, R, B, self.lengths, *starts]
        if op == "LSTM" and cells[0].peephole:
            inputs.append(stacked("P", [_reorder(cell.p.numpy(), PEEPHOLES) for cell in cells]))
        outputs = [f"{name}.Y", *(f"{name}.Y_{part}" for part in module.cell_type.state_names)]
        self.add_node(op, inputs, *outputs, **attributes)
        return outputs

    def squeeze(self, name: str, hs: str) -> str:
        """A one-directional node's hs (T, 1, B, H) as (T, B, H)."""
        return self.add_node("Squeeze", [hs, self.add_array(f"{name}.axis", [1])], f"{name}.hs")

    def merge_directions(self, name: str, module: Recurrence, hs: str) -> str:
        """A node's hs (T, directions, B, H) as (T, B, F)."""
        if not module.bidirectional:
            return self.squeeze(name, hs)
        if module.merge == "concat":
            swapped = self.add_node("Transpose", [hs], f"{name}.swapped", perm=[0, 2, 1, 3])
            return self.add_node("Reshape", [swapped, self.add_array(f"{name}.shape", [0, 0, -1])], f"{name}.hs")
        total = self.add_node("ReduceSum", [hs, self.add_array(f"{name}.axis", [1])], f"{name}.total", keepdims=0)
        return self.sum_or_mean(name, total, module)

    def merge_tops(self, name: str, module: Recurrence, tops: list[str]) -> str:
        """Merge the outputs of the forward and the backward stack, (T, B, H) or (B, H) each."""
        if module.merge == "concat":
            return self.add_node("Concat", tops, f"{name}.hs", axis=-1)
        return self.sum_or_mean(name, self.add_node("Add", tops, f"{name}.total"), module)

    def sum_or_mean(self, name: str, total: str, module: Recurrence) -> str:
        """The sum of two directions, or with merge="mean" half of it."""
        if module.merge == "sum":
            return total
        return self.add_node("Mul", [total, self.add_array(f"{name}.half", 0.5)], f"{name}.mean")


def supported_class(model: Any) -> type[nn.Module] | None:
    """Return the class whose forward the model runs; None for a forward of its own and for anything but a module."""
    return next((kind for kind in SUPPORTED if isinstance(model, kind) and type(model).forward is kind.forward), None)


def input_width(stage: Any) -> int | None:
    """Return how many features a part reads; None for one that takes any number, and for ids."""
    if isinstance(stage, Recurrence):
        return stage.input_size
    if isinstance(stage, nn.Linear):
        return stage.in_features
    return stage.normalized_shape[0] if isinstance(stage, nn.LayerNorm) else None


def location(name: str, part: Any = None) -> str:
    """Return the beginning of an error message: where in the model, and which part."""
    where = "export_onnx: model" + (f" at {name.rstrip('.')}" if name else "")
    return where if part is None else f"{where}: {type(part).__name__}"


def _reorder(rows: Host, order: list[int]) -> Host:
    """The gates' blocks of rows in another order."""
    return np.concatenate([np.split(rows, len(order))[k] for k in order])


def _biases(cell: Any, order: list[int]) -> Host:
    """ONNX's two biases, one after the other; the second is zero if the cell has only one."""
    b = cell.b.numpy()
    br = np.zeros_like(b) if cell.br is None else cell.br.numpy()
    return np.concatenate([_reorder(b, order), _reorder(br, order)])
