#!/usr/bin/env bash
# onnx.reference.ReferenceEvaluator: RNN, LSTM and GRU ignore sequence_lens and clip, and LSTM and GRU the attribute
# activations, without a word. Exits with 0 if that is seen.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q onnx==1.23.2 numpy
"$folder/venv/bin/python" - <<'PYTHON'
import numpy as np
import onnx
from onnx import TensorProto, helper
from onnx.reference import ReferenceEvaluator

print("onnx", onnx.__version__)
T, B, I, H = 4, 2, 3, 2


def run(op, gates, lengths=None, **attributes):
    """Y_h of a node with the same random weights in every call."""
    rng = np.random.default_rng(1)
    shapes = {"X": (T, B, I), "W": (1, gates * H, I), "R": (1, gates * H, H)}
    values = {name: rng.standard_normal(shape).astype("float32") for name, shape in shapes.items()}
    infos = [helper.make_tensor_value_info(name, TensorProto.FLOAT, a.shape) for name, a in values.items()]
    inputs = ["X", "W", "R"]
    if lengths is not None:
        values["L"] = np.array(lengths, "int32")
        infos.append(helper.make_tensor_value_info("L", TensorProto.INT32, [B]))
        inputs += ["", "L"]
    node = helper.make_node(op, inputs, ["", "Y_h"], hidden_size=H, **attributes)
    graph = helper.make_graph([node], "g", infos, [helper.make_tensor_value_info("Y_h", TensorProto.FLOAT, [1, B, H])])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
    onnx.checker.check_model(model)
    return ReferenceEvaluator(model).run(None, values)[0]


seen = []
for op, gates in (("RNN", 1), ("LSTM", 4), ("GRU", 3)):
    plain = run(op, gates)
    changed = {"sequence_lens = [4, 1]": run(op, gates, [4, 1]), "clip = 0.01": run(op, gates, clip=0.01)}
    if op != "RNN":
        changed["activations all Relu"] = run(op, gates, activations=["Relu"] * (3 if op == "LSTM" else 2))
    for what, Y_h in changed.items():
        ignored = np.array_equal(Y_h, plain)
        print(f"{op}: {what}: {'ignored' if ignored else 'changes Y_h'}")
        seen.append(ignored)
raise SystemExit(0 if all(seen) else 1)
PYTHON
