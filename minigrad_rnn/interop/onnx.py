"""Export recurrent networks to ONNX files, for runtimes that know neither Python nor this package.

Every layer becomes one of ONNX's own nodes: RNN, LSTM or GRU, with both directions in it, Gemm or MatMul and Add,
Gather, Softmax.
"""

from __future__ import annotations

import importlib
import os
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from minigrad import nn
from minigrad.serialize import atomic_write
from minigrad.validation import check_dtype, check_flag, check_integer, check_path

from ..networks.recurrence import Recurrence
from ..seq2seq.io_shapes import ManyToOne, OneToOne
from ..text.model import CharacterModel
from .onnx_graph import CELL_NODES, SINGLE_NODES, Graph, Stage, location, supported_class

OLDEST_OPSET = 17  # the first with LayerNormalization


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
    """Write the model, as it computes in evaluation mode, to an ONNX file; return the ModelProto.

    The graph's input is `xs` (T, B, I), or `ids` (T, B) of int64 if an Embedding comes first, in the batch_first layout
    if the recurrence has that, or `x` (B, I) for a OneToOne. Its outputs are `output`, and `h_n` and `c_n`, the state
    after each sequence's last step (cells, B, H). If several recurrences are stacked, the names of the states start
    with their modules' names. A Linear on one vector per sequence is a Gemm, on every step's a MatMul and an Add.

    Runtimes do not agree about every number (findings/ shows it for onnxruntime 1.32 and onnx 1.23). onnxruntime's LSTM
    and GRU turn a NaN into finite numbers if there is a bias, where our outputs are NaN; it computes recurrent nodes in
    float32 and float16 only; and it takes a length of 0, which we refuse, with h_n = 0 whatever h_0 is. onnx's
    reference evaluator ignores `lengths` and `clip`, and the activations of LSTM and GRU.

    Args:
        model: a Recurrence with RNN, LSTM or GRU cells, a CharacterModel, or a list of modules, each of which reads the
            output of the one before (of a Recurrence, the output without the state). Besides
            recurrences the list may hold Embedding (first), Linear, LayerNorm over the last axis, Dropout, Tanh,
            Sigmoid, ReLU, Identity and Sequential, the functions mg.softmax, log_softmax, tanh, sigmoid and relu, a
            ManyToOne with pool "last" or "mean", or first a OneToOne without a recurrence.
        path: the file; it appears only once it is complete and has passed ONNX's checker.
        sequence_length, batch: fixed T and B; None leaves them open.
        state: whether the initial states, `h_0` and `c_0` (cells, B, H), are inputs. If not, they are what the module
            declares: zeros or learned values.
        lengths: whether `lengths` (B,), int32, is an input: outputs beyond them are zero, as in our call.
        dtype: of the weights in the file, "float32" or "float64", whatever the model's is. onnxruntime's recurrent
            nodes support float32 only.
        opset: the version of ONNX's operators, at least 17.

    Raises:
        ImportError: the package onnx is missing.
        TypeError: a model, or a part of it, of another kind.
        ValueError: an option that no ONNX node has: a projection, zoneout, the layer-normalised and other cells; or
            parts that do not fit together, or an argument out of range. No file is written then.
    """
    try:
        onnx: Any = importlib.import_module("onnx")
    except ImportError as error:
        raise ImportError("export_onnx: the package onnx is missing: pip install onnx") from error
    check_path("export_onnx", path=path)
    check_flag("export_onnx", state=state, lengths=lengths)
    check_integer("export_onnx", opset=opset)
    dtype = check_dtype("export_onnx", dtype)
    sizes = {"sequence_length": sequence_length, "batch": batch}
    check_integer("export_onnx", **{argument: size for argument, size in sizes.items() if size is not None})
    newest = onnx.defs.onnx_opset_version()
    if opset not in range(OLDEST_OPSET, newest + 1):
        raise ValueError(f"export_onnx: opset: got {opset!r}, want {OLDEST_OPSET} to {newest}")
    if dtype not in (np.float32, np.float64):
        raise ValueError(f"export_onnx: dtype: got {dtype}, want float32 or float64")
    stages = list(_stages(model, ""))
    recurrences = [stage for _, stage in stages if isinstance(stage, Recurrence)]
    for argument, flag in (("state", state), ("lengths", lengths)):
        if flag and not recurrences:
            raise ValueError(f"export_onnx: {argument}: got True, want False for a model without a recurrence")
    if len({recurrence.batch_first for recurrence in recurrences}) > 1:
        raise ValueError("export_onnx: model: got recurrences with and without batch_first, want one or the other")
    T: int | str = "T" if sequence_length is None else int(sequence_length)
    B: int | str = "B" if batch is None else int(batch)
    axes = [B, T] if recurrences and recurrences[0].batch_first else [T, B]
    graph = Graph(onnx, dtype, B, state, len(recurrences) > 1)
    x, width = graph.add_model_input(stages, axes)
    if lengths:
        graph.lengths = graph.add_input("lengths", onnx.TensorProto.INT32, [B])
    for name, stage in stages:
        x, width = graph.add_stage(name, stage, x, width)
    graph.add_output("output", x, [*graph.axes, width])
    proto = graph.to_model(opset)
    onnx.checker.check_model(proto, full_check=True)
    with atomic_write(path) as file:
        file.write(proto.SerializeToString())
    return proto


def _stages(model: Any, name: str) -> Iterator[Stage]:
    """Yield the parts in the order of computation; each is checked to be one that ONNX supports."""
    if isinstance(model, (list, tuple)):
        for k, part in enumerate(model):
            yield from _stages(part, f"{name}{k}.")
        return
    kind = supported_class(model)
    if kind is nn.Sequential:
        for k, part in enumerate(model):
            inner = list(_stages(part, f"{name}{k}."))
            if k + 1 < len(model) and any(isinstance(stage, Recurrence) for _, stage in inner):
                got = "a recurrence that hands (output, state) to the next part of a Sequential"
                where = location(f"{name}{k}.", part)
                raise ValueError(f"{where}: got {got}, want it last, or a list in place of the Sequential")
            yield from inner
    elif kind is ManyToOne:
        if model.pool == "max":
            raise ValueError(f"{location(name, model)}: pool: got 'max', want 'last' or 'mean'")
        yield from _stages(model.recurrence, f"{name}recurrence.")
        yield name, model
        yield from _stages(model.readout, f"{name}readout.")
    elif kind is OneToOne:
        if model.recurrence is not None:
            raise ValueError(f"{location(name, model)}: recurrence: got {type(model.recurrence).__name__}, want None")
        yield name, model
        yield from _stages(model.readout, f"{name}readout.")
    elif kind is CharacterModel:
        for part in ("embedding", "recurrence", "readout"):
            yield from _stages(getattr(model, part), f"{name}{part}.")
    elif kind is not None or any(model is function for function in SINGLE_NODES):
        if kind is Recurrence:
            _check_supported(model, location(name, model))
        if isinstance(model, nn.LayerNorm) and len(model.normalized_shape) > 1:
            raise ValueError(f"{location(name, model)}: normalized_shape: got {model.normalized_shape}, want one axis")
        yield name, model
    else:
        got = getattr(model, "__name__", type(model).__name__)
        want = "a Recurrence, CharacterModel, Sequential, a layer of minigrad.nn, or a list of these"
        raise TypeError(f"{location(name)}: got {got}, want {want}, each reading the output of the one before")


def _check_supported(module: Recurrence, where: str) -> None:
    """Raise ValueError for a recurrence that no ONNX node computes."""
    kind = module.cell_type
    if kind not in CELL_NODES:
        known = ", ".join(cell.__name__ for cell in CELL_NODES)
        raise ValueError(f"{where}: cell_type: got {kind.__name__}, want one that ONNX has a node for: {known}")
    if proj_size := getattr(module.cells[0], "proj_size", 0):
        raise ValueError(f"{where}: proj_size: got {proj_size}, want 0: ONNX's LSTM has no projection")
    if any(module.zoneout):
        raise ValueError(f"{where}: zoneout: got {module.zoneout}, want 0.0: no ONNX node mixes h(t) with h(t−1)")
