"""Bring the RNN, LSTM and GRU nodes of ONNX files in as recurrences: the mirror of `export_onnx`."""

from __future__ import annotations

import importlib
import os
from collections.abc import Mapping
from typing import Any

import numpy as np

from minigrad import nn
from minigrad.backend import is_array, to_numpy
from minigrad.validation import is_integer

from ..cells.activations import check_clip
from ..networks.named import GRU, LSTM, RNN
from ..networks.recurrence import Recurrence
from .onnx_activations import activation_options
from .onnx_graph import CELL_NODES, PEEPHOLES

Host = np.ndarray[Any, Any]
CALLER = "recurrence_from_onnx"
KINDS: dict[str, type[Recurrence]] = {"RNN": RNN, "LSTM": LSTM, "GRU": GRU}
DIRECTIONS = {"forward": 1, "reverse": 1, "bidirectional": 2}
ATTRIBUTES = ("activations", "activation_alpha", "activation_beta", "clip", "direction", "hidden_size", "layout")
OWN_ATTRIBUTES = {"RNN": (), "LSTM": ("input_forget",), "GRU": ("linear_before_reset",)}
IGNORED = ("output_sequence",)  # of the oldest opsets: whether Y is handed out
INFERRED: tuple[str, ...] = (
    "input_size",
    "hidden_size",
    "num_layers",
    "bias",
    "bidirectional",
    "reverse",
    "peephole",
    "initial_state",
)
INFERRED += ("reset_after", "coupled_gates", "clip", "batch_first", "nonlinearity", "activation", "gate_activation")
INFERRED += ("output_activation", "proj_size")


def recurrence_from_onnx(
    source: Any, arrays: Mapping[str, Any] | None = None, node: str | int | None = None, **options: Any
) -> Recurrence:
    """Return our RNN, LSTM or GRU that computes what an ONNX node does, with the node's weights.

    The output is the node's Y with its directions side by side: (T, B, D·H) instead of ONNX's (T, D, B, H), or
    (B, T, D·H) from (B, T, D, H) with layout 1. The states are Y_h and Y_c, (D, B, H) in either layout. What the
    graph feeds to the node at run time is an argument of our call: sequence_lens is `lengths`, and initial_h and
    initial_c are `state`, if they come from the graph's inputs. A constant initial state, the same for every sequence,
    becomes a learned one. RNN and LSTM have two biases unless the second is zero or `two_biases=False`.

    ONNX says that `clip` bounds the inputs of all activations; we do as onnxruntime does, which does not clip c(t) on
    its way to h(t). Where a node leaves out activation_alpha or _beta, their values are those of ONNX's operators of
    the same name, which onnxruntime's are not for Affine and ThresholdedRelu.

    Args:
        source: the path of a file, an onnx.ModelProto, or an onnx.NodeProto.
        arrays: for a NodeProto its inputs by name: W, R, and B, P and constant initial states, if it has them. For a
            graph, values of inputs that it has no constants for.
        node: of a graph with several recurrent nodes, the name of one or its index among them.
        options: what the node does not determine: two_biases, dropout, dtype, impl, rng and so on. The parameters have
            the weights' dtype unless `dtype` is passed (bfloat16 becomes float32).

    Raises:
        ImportError: the package onnx is missing.
        TypeError: a source of another kind, or an option that the node determines.
        ValueError: the file is no ONNX file or has no such node; weights that are no constants; wrong shapes; an
            attribute, an activation or a use of them that we lack: two directions with different activations, initial
            states that differ between sequences. The message names it.
    """
    try:
        onnx: Any = importlib.import_module("onnx")
    except ImportError as error:
        raise ImportError(f"{CALLER}: the package onnx is missing: pip install onnx") from error
    if inferred := [option for option in options if option in INFERRED]:
        raise TypeError(f"{CALLER}: {inferred[0]}: got {options[inferred[0]]!r}, want it left out: the node decides it")
    if isinstance(source, onnx.NodeProto):
        model, proto = None, source
        if source.op_type not in KINDS:
            raise ValueError(f"{CALLER}: source: got a node {source.op_type!r}, want one of {', '.join(KINDS)}")
    else:
        model = _model(onnx, source)
        proto = _node(model.graph, node)
    return _Node(onnx, proto, *(Constants(onnx, model, arrays or {}, one) for one in (False, True))).recurrence(options)


def _model(onnx: Any, source: Any) -> Any:
    if isinstance(source, onnx.ModelProto):
        return source
    if not isinstance(source, (str, os.PathLike)):
        raise TypeError(f"{CALLER}: source: got {type(source).__name__}, want a path, a ModelProto or a NodeProto")
    undecodable = importlib.import_module("google.protobuf.message").DecodeError
    try:
        return onnx.load(os.fspath(source))
    except undecodable as error:
        raise ValueError(f"{CALLER}: source: got {os.fspath(source)!r}, which is no ONNX file") from error


def _node(graph: Any, which: str | int | None) -> Any:
    """The recurrent node that is meant."""
    nodes = [node for node in graph.node if node.op_type in KINDS]
    names = [f"{node.op_type} {node.name!r}" for node in nodes]
    if which is None and len(nodes) == 1:
        return nodes[0]
    matching = [node for k, node in enumerate(nodes) if which in (k if is_integer(which) else node.name,)]
    if which is None or len(matching) != 1:
        got = f"a graph with {len(nodes)} recurrent nodes" if which is None else repr(which)
        raise ValueError(f"{CALLER}: node: got {got}, want the name or the index of one: {', '.join(names) or 'none'}")
    return matching[0]


class Constants:
    """The constant values of a graph: initializers, Constant nodes, and what is computed from these alone.

    Args:
        model: a ModelProto, or None.
        arrays: further values by name.
        one_sequence: whether a Shape of what is no constant counts as one, with 1 for every axis: then what a graph
            repeats for each sequence of the batch has the value that it has for a batch of one.
    """

    def __init__(self, onnx: Any, model: Any, arrays: Mapping[str, Any], one_sequence: bool = False) -> None:
        self.onnx, self.values = onnx, {name: _host(name, value) for name, value in arrays.items()}
        self.one_sequence = one_sequence
        self.initializers = {} if model is None else {tensor.name: tensor for tensor in model.graph.initializer}
        nodes = () if model is None else model.graph.node
        self.producers = {name: node for node in nodes for name in node.output if name}
        self.opsets = {} if model is None else {opset.domain: opset.version for opset in model.opset_import}

    def value(self, name: str) -> Host | None:
        """The value called `name`, or None if it depends on the graph's inputs."""
        if name not in self.values and name in self.initializers:
            self.values[name] = _widened(self.onnx.numpy_helper.to_array(self.initializers[name]))
        if name not in self.values and name in self.producers:
            producer = self.producers[name]
            inputs = {part: self.value(part) for part in producer.input if part}
            if producer.op_type == "Shape" and self.one_sequence:
                inputs = {part: np.zeros((1, 1, 1)) if a is None else a for part, a in inputs.items()}
            if producer.op_type in KINDS or any(part is None for part in inputs.values()):
                return None
            evaluate = importlib.import_module("onnx.reference").ReferenceEvaluator(producer, opsets=self.opsets)
            results = evaluate.run(None, inputs)
            self.values |= {part: _widened(np.asarray(a)) for part, a in zip(producer.output, results)}
        return self.values.get(name)


class _Node:
    """One recurrent node: what its attributes and inputs say."""

    def __init__(self, onnx: Any, proto: Any, constants: Constants, repeated: Constants) -> None:
        self.op, self.constants, self.repeated = proto.op_type, constants, repeated
        self.attributes = {a.name: _attribute(onnx, a) for a in proto.attribute}
        parts = ("X", "W", "R", "B", "sequence_lens", "initial_h", *(("initial_c", "P") if self.op == "LSTM" else ()))
        self.inputs = {part: name for part, name in zip(parts, proto.input) if name}
        known = (*ATTRIBUTES, *OWN_ATTRIBUTES[self.op])
        if unknown := sorted(set(self.attributes) - {*known, *IGNORED}):
            self.fail(f"{unknown[0]}: got an attribute that is not known, want only {', '.join(known)}")
        self.direction = self.attributes.get("direction", "forward")
        if self.direction not in DIRECTIONS:
            self.fail(f"direction: got {self.direction!r}, want one of {', '.join(DIRECTIONS)}")
        self.D = DIRECTIONS[self.direction]
        self.layout = self.attributes.get("layout", 0)

    def fail(self, message: str) -> None:
        raise ValueError(f"{CALLER}: {self.op}: {message}")

    def constant(self, part: str, ndim: int) -> Host:
        """The value of an input that must be constant."""
        name = self.inputs.get(part)
        value = None if name is None else self.constants.value(name)
        if value is None:
            got = "none" if name is None else f"{name!r}, which is no constant of the graph"
            self.fail(f"{part}: got {got}, want the weights; pass them in arrays={{{name or part!r}: …}}")
        assert value is not None
        if value.ndim != ndim or value.dtype.kind != "f":
            self.fail(f"{part}: got {value.dtype} {value.shape}, want {ndim} axes of real numbers")
        return value

    def array(self, part: str, shape: tuple[int, ...]) -> Host:
        """The value of an input that must be constant and of this shape."""
        value = self.constant(part, len(shape))
        if value.shape != shape:
            self.fail(f"{part}: got shape {value.shape}, want {shape}")
        return value

    def recurrence(self, options: dict[str, Any]) -> Recurrence:
        W, R = self.constant("W", 3), self.constant("R", 3)
        kind = KINDS[self.op]
        G, H, I = kind.cell_type.gates, R.shape[2], W.shape[2]
        if W.shape != (self.D, G * H, I):
            self.fail(f"W: got shape {W.shape}, want {(self.D, G * H, I)}, as R has {H} columns")
        self.array("R", (self.D, G * H, H))
        if (declared := self.attributes.get("hidden_size", H)) != H:
            self.fail(f"hidden_size: got {declared}, want {H}, the columns of R")
        if self.layout not in (0, 1):
            self.fail(f"layout: got {self.layout}, want 0 or 1")
        has_bias = "B" in self.inputs
        B = self.array("B", (self.D, 2 * G * H)) if has_bias else np.zeros((self.D, 2 * G * H), W.dtype)
        peepholes = self.array("P", (self.D, 3 * H)) if "P" in self.inputs else None
        own: dict[str, Any] = activation_options(f"{CALLER}: {self.op}", self.op, self.attributes, self.D)
        if "clip" in self.attributes:
            own["clip"] = check_clip(f"{CALLER}: {self.op}", self.attributes["clip"])
        if self.op == "GRU":
            own["reset_after"] = bool(self.attributes.get("linear_before_reset", 0))
        else:
            options = {"two_biases": bool(B[:, G * H :].any()), **options}
        if self.op == "LSTM":
            own |= {"coupled_gates": bool(self.attributes.get("input_forget", 0)), "peephole": peepholes is not None}
        starts = self.initial_states(kind.cell_type.state_names, H)
        rng = nn.init.as_generator(options.pop("rng", None), CALLER)
        module = kind(
            I, H,
            bias=has_bias,
            batch_first=self.layout == 1,
            bidirectional=self.D == 2,
            reverse=self.direction == "reverse",
            initial_state="learned" if starts else "zeros",
            rng=np.random.default_rng(0),  # no generator that the user holds advances: the weights are replaced below
            **{"dtype": W.dtype, **own, **options},
        )  # fmt: skip
        module.rng = rng
        state: dict[str, Host] = {}
        for k, (name, cell) in enumerate(zip(module.cell_names, module.cells)):
            Wb, Rb = (_in_our_order(self.op, half) for half in np.split(B[k], 2))
            parts = {"Wc": _in_our_order(self.op, W[k]), "Wr": _in_our_order(self.op, R[k])}
            if has_bias:
                parts |= {"b": Wb, "br": Rb} if cell.br is not None else {"b": Wb + Rb}
            if peepholes is not None:
                parts["p"] = _inverse(peepholes[k], PEEPHOLES)
            parts |= {f"{part}_init": values[k] for part, values in starts.items()}
            state |= {f"{name}.{part}": value for part, value in parts.items()}
        module.load_state_dict(state)
        return module

    def initial_states(self, parts: tuple[str, ...], H: int) -> dict[str, Host]:
        """The constant initial states (D, H) by part, unless all of them are zero or given at run time."""
        states = {}
        for part in parts:
            name = self.inputs.get(f"initial_{part}")
            value = None if name is None else self.repeated.value(name)
            if value is None or not value.any():
                continue
            value = value.swapaxes(0, 1) if self.layout else value
            if value.ndim != 3 or value.shape[::2] != (self.D, H):
                self.fail(f"initial_{part}: got shape {value.shape}, want ({self.D}, B, {H})")
            if not (value == value[:, :1]).all():
                want = "the same for every sequence, or pass it as the call's state"
                self.fail(f"initial_{part}: got values that differ between the sequences of a batch, want {want}")
            states[part] = value[:, 0]
        zeros = np.zeros((self.D, H))
        return {part: states.get(part, zeros) for part in parts} if states else {}


def _attribute(onnx: Any, attribute: Any) -> Any:
    value = onnx.helper.get_attribute_value(attribute)
    if isinstance(value, bytes):
        return value.decode()
    return [v.decode() if isinstance(v, bytes) else v for v in value] if not np.isscalar(value) else value


def _inverse(rows: Host, order: list[int]) -> Host:
    """Blocks of rows in ONNX's order, brought into ours: the inverse of the export's."""
    blocks = np.split(rows, len(order))
    return np.concatenate([blocks[order.index(k)] for k in range(len(order))])


def _in_our_order(op: str, rows: Host) -> Host:
    return _inverse(rows, next(order for name, order in CELL_NODES.values() if name == op))


def _host(name: str, value: Any) -> Host:
    """An array of the caller's as a NumPy array."""
    value = getattr(value, "_array", value)
    if not is_array(value) and not isinstance(value, (list, tuple)):
        raise TypeError(f"{CALLER}: arrays: {name}: got {type(value).__name__}, want an array")
    return _widened(to_numpy(value) if is_array(value) else np.asarray(value))


def _widened(a: Host) -> Host:
    """bfloat16, which NumPy lacks, as float32."""
    return a.astype(np.float32) if a.dtype.name == "bfloat16" else a
