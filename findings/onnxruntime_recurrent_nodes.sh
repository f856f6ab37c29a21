#!/usr/bin/env bash
# onnxruntime's RNN, LSTM and GRU nodes. With an input B, be it zeros, a NaN in X comes out of LSTM and GRU as finite
# numbers (without B as NaN). A sequence of length 0 ends in 0 and not in its initial_h. ThresholdedRelu and Affine
# without activation_alpha are not those of ONNX's operators, whose alpha is 1. clip is not applied to the input of the
# LSTM's activation h. Exits with 0 if all of it is seen.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q onnx==1.23.2 onnxruntime==1.32.0 numpy
"$folder/venv/bin/python" - <<'PYTHON'
import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper

print("onnxruntime", onnxruntime.__version__, "onnx", onnx.__version__)
F = np.float32
GATES = {"RNN": 1, "LSTM": 4, "GRU": 3}


def run(op, X, W=1.0, R=0.0, B=None, lengths=None, initial_h=None, **attributes):
    """Y and Y_h (and Y_c) of a node with one unit and constant weights."""
    G = GATES[op]
    values = {"X": np.asarray(X, F).reshape(-1, 1, 1), "W": np.full((1, G, 1), W, F), "R": np.full((1, G, 1), R, F)}
    if B is not None:
        values["B"] = np.asarray([*B, *[0] * G], F)[None]
    if lengths is not None:
        values["L"] = np.asarray(lengths, np.int32)
    if initial_h is not None:
        values["h"] = np.full((1, 1, 1), initial_h, F)
    names = [name if name in values else "" for name in ("X", "W", "R", "B", "L", "h")]
    while not names[-1]:
        names.pop()
    outputs = ["Y", "Y_h", "Y_c"][: 3 if op == "LSTM" else 2]
    node = helper.make_node(op, names, outputs, hidden_size=1, **attributes)
    inputs = [
        helper.make_tensor_value_info(n, helper.np_dtype_to_tensor_dtype(a.dtype), a.shape) for n, a in values.items()
    ]
    infos = [helper.make_tensor_value_info(n, TensorProto.FLOAT, [None] * (4 if n == "Y" else 3)) for n in outputs]
    graph = helper.make_graph([node], "g", inputs, infos)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(model)
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    return [a.ravel() for a in session.run(None, values)]


seen = []
for op in GATES:
    without, with_bias = run(op, [np.nan])[1], run(op, [np.nan], B=[0] * GATES[op])[1]
    print(f"{op}: X = NaN gives Y_h = {without} without B, and {with_bias} with a B of zeros")
    if op != "RNN":
        seen.append(np.isnan(without[0]) and np.isfinite(with_bias[0]))
for op in GATES:
    Y_h = run(op, [1.0], lengths=[0], initial_h=0.5)[1]
    print(f"{op}: length 0 and initial_h = 0.5 give Y_h = {Y_h}")
    seen.append(Y_h[0] == 0)
for name, want in (("ThresholdedRelu", 0.0), ("Affine", 0.5)):
    Y_h = run("RNN", [0.5], activations=[name])[1]
    print(f"RNN: {name} without activation_alpha at 0.5 gives {Y_h}; ONNX's operator gives {want}")
    seen.append(abs(Y_h[0] - want) > 0.4)
linear = {"activations": ["Sigmoid", "Affine", "Affine"], "activation_alpha": [1.0, 1.0], "activation_beta": [0.0, 0.0]}
_, Y_h, Y_c = run("LSTM", np.zeros(6), W=0.0, B=[9, 9, 9, 2], clip=3.0, **linear)
print(f"LSTM: clip = 3, c = {Y_c}, h = o · c = {Y_h}; with c limited to 3 h is below 3")
seen.append(Y_h[0] > 3)
raise SystemExit(0 if all(seen) else 1)
PYTHON
