"""ONNX's recurrent nodes brought in: equal to the official node cases, to onnxruntime in every option, and refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

import minigrad as mg
from minigrad_rnn import GRU, LSTM, RNN, export_onnx, recurrence_from_onnx, verify_bptt
from minigrad_rnn.interop import onnx_import

onnx = pytest.importorskip("onnx")
I, H = 3, 4
GATES = {"RNN": 1, "LSTM": 4, "GRU": 3}
ACTIVATIONS = {"RNN": 1, "LSTM": 3, "GRU": 2}
PARAMETERS: dict[str, list[tuple[float, float]]] = {
    # Each activation's alpha and beta: where a random one is drawn from
    "Tanh": [], "Relu": [], "Sigmoid": [], "Softsign": [], "Softplus": [],
    "Affine": [(-1.0, 1.0), (-0.5, 0.5)], "ScaledTanh": [(0.5, 1.5), (0.5, 1.5)],
    "HardSigmoid": [(0.1, 0.5), (0.2, 0.6)],
    "LeakyRelu": [(0.05, 0.5)], "ThresholdedRelu": [(0.1, 0.6)], "Elu": [(0.5, 1.5)],
}  # fmt: skip
PARTS = ("X", "W", "R", "B", "sequence_lens", "initial_h", "initial_c", "P")


class Case:
    """A node with random inputs, as a graph whose weights are constants and whose X, lengths and states are inputs."""

    def __init__(
        self, op: str, seed: int = 0, T: int = 4, B: int = 3, direction: str = "forward", bias: bool = True,
        lengths: bool = False, starts: bool = False, peephole: bool = False, dtype: str = "float32", **attributes: Any,
    ) -> None:  # fmt: skip
        rng = np.random.default_rng(seed)
        D, G = 2 if direction == "bidirectional" else 1, GATES[op]

        def draw(*shape: int) -> Any:
            return (rng.standard_normal(shape) * 0.7).astype(dtype)

        values = {"X": draw(T, B, I), "W": draw(D, G * H, I), "R": draw(D, G * H, H)}
        if bias:
            values["B"] = draw(D, 2 * G * H)
        if lengths:
            values["sequence_lens"] = rng.integers(1, T + 1, B).astype("int32")
        if starts:
            values["initial_h"] = draw(D, B, H)
            if op == "LSTM":
                values["initial_c"] = draw(D, B, H)
        if peephole:
            values["P"] = draw(D, 3 * H)
        self.op, self.values = op, values
        used = [part if part in values else "" for part in PARTS[: 8 if op == "LSTM" else 6]]
        while not used[-1]:
            used.pop()
        self.outputs = ["Y", "Y_h", "Y_c"][: 3 if op == "LSTM" else 2]
        self.node = onnx.helper.make_node(
            op, used, self.outputs, name="it", direction=direction, hidden_size=H, **attributes
        )
        self.feed = {part: a for part, a in values.items() if part in ("X", "sequence_lens", "initial_h", "initial_c")}

    def model(self, *more: Any) -> Any:
        helper = onnx.helper
        info = [
            helper.make_tensor_value_info(part, helper.np_dtype_to_tensor_dtype(a.dtype), a.shape)
            for part, a in self.feed.items()
        ]
        weights = [onnx.numpy_helper.from_array(a, part) for part, a in self.values.items() if part not in self.feed]
        kind = helper.np_dtype_to_tensor_dtype(self.values["X"].dtype)
        outputs = [helper.make_tensor_value_info(name, kind, None) for name in self.outputs]
        graph = helper.make_graph([self.node, *more], "g", info, outputs, weights)
        return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)

    def by_onnxruntime(self) -> list[Any]:
        runtime = pytest.importorskip("onnxruntime")
        session = runtime.InferenceSession(self.model().SerializeToString(), providers=["CPUExecutionProvider"])
        return session.run(None, self.feed)  # type: ignore[no-any-return]


def ours(module: Any, feed: dict[str, Any]) -> list[Any]:
    starts = tuple(feed[f"initial_{part}"] for part in module.cell_type.state_names if f"initial_{part}" in feed)
    with mg.no_grad():
        output, state = module(feed["X"], starts or None, lengths=feed.get("sequence_lens"))
    return [part.numpy() for part in (output, *(state if isinstance(state, tuple) else (state,)))]


def side_by_side(theirs: list[Any]) -> list[Any]:
    """ONNX's Y (T, D, B, H) as (T, B, D·H), and the states."""
    Y, *ends = theirs
    return [np.concatenate([Y[:, d] for d in range(Y.shape[1])], axis=-1), *ends]


def assert_same(a: list[Any], b: list[Any], tolerance: float = 1e-5) -> None:
    for x, y in zip(a, b, strict=True):
        np.testing.assert_allclose(x, y, rtol=tolerance, atol=tolerance)


def gates(op: str, names: list[str], directions: int, seed: int = 0) -> dict[str, Any]:
    """The attributes of these activations in each direction, with random parameters."""
    rng = np.random.default_rng(seed)
    parameters = [[rng.uniform(*bounds) for bounds in PARAMETERS[name]] for name in names]
    attributes: dict[str, Any] = {"activations": names * directions}
    for k, attribute in enumerate(("activation_alpha", "activation_beta")):
        if numbers := [p[k] for p in parameters if len(p) > k]:
            attributes[attribute] = numbers * directions
    return attributes


DIRECTIONS = ("forward", "reverse", "bidirectional")


@pytest.mark.parametrize("op", GATES)
@pytest.mark.parametrize("direction", DIRECTIONS)
@pytest.mark.parametrize("form", ["plain", "no bias", "lengths and states", "own options"])
def test_random_weights_give_onnxruntimes_numbers(op: str, direction: str, form: str) -> None:
    options: dict[str, Any] = {
        "plain": {},
        "no bias": {"bias": False},
        "lengths and states": {"lengths": True, "starts": True},
        "own options": {
            "RNN": {"clip": 0.6},
            "LSTM": {"peephole": True, "clip": 0.9},
            "GRU": {"linear_before_reset": 1},
        }[op],
    }[form]
    case = Case(op, direction=direction, **options)
    module = recurrence_from_onnx(case.model())
    assert_same(side_by_side(case.by_onnxruntime()), ours(module, case.feed))


@pytest.mark.parametrize(
    ("op", "k", "name"), [(op, k, name) for op, n in ACTIVATIONS.items() for k in range(n) for name in PARAMETERS]
)
def test_every_activation_in_every_place(op: str, k: int, name: str) -> None:
    names = {"RNN": ["Tanh"], "GRU": ["Sigmoid", "Tanh"], "LSTM": ["Sigmoid", "Tanh", "Tanh"]}[op]
    names[k] = name
    case = Case(op, 5, direction="bidirectional", **gates(op, names, 2))
    assert_same(side_by_side(case.by_onnxruntime()), ours(recurrence_from_onnx(case.model()), case.feed))


@settings(max_examples=25)
@given(
    op=st.sampled_from([*GATES]),
    direction=st.sampled_from(DIRECTIONS),
    clip=st.sampled_from([None, 0.4, 1.3]),
    flags=st.tuples(*[st.booleans()] * 5),
    names=st.lists(st.sampled_from([*PARAMETERS]), min_size=3, max_size=3),
    seed=st.integers(0, 99),
)
def test_options_together(op: str, direction: str, clip: float | None, flags: Any, names: list[str], seed: int) -> None:
    bias, lengths, starts, own, standard = flags
    attributes: dict[str, Any] = {} if clip is None else {"clip": clip}
    if not standard:
        attributes |= gates(op, names[: ACTIVATIONS[op]], 2 if direction == "bidirectional" else 1, seed)
    if own:
        attributes |= {"RNN": {}, "LSTM": {"peephole": True}, "GRU": {"linear_before_reset": 1}}[op]
    case = Case(op, seed, direction=direction, bias=bias, lengths=lengths, starts=starts, **attributes)
    module = recurrence_from_onnx(case.model())
    assert_same(side_by_side(case.by_onnxruntime()), ours(module, case.feed), 3e-5)


@pytest.mark.parametrize("peephole", [False, True])
def test_coupled_gates(peephole: bool) -> None:
    case = Case("LSTM", direction="bidirectional", input_forget=1, peephole=peephole)
    module = recurrence_from_onnx(case.model(), dtype="float64")
    assert module.forward0.gate_options.coupled_gates
    W, R, B = (case.values[part].astype("float64") for part in "WRB")
    P = case.values["P"].astype("float64") if peephole else np.zeros((2, 3 * H))
    X, sigma = case.values["X"].astype("float64"), lambda z: 1 / (1 + np.exp(-z))
    Y = np.zeros((4, 2, 3, H))
    for d in range(2):  # ONNX's equations, gates in its order i, o, f, c
        h = c = np.zeros((3, H))
        for t in range(4)[:: 1 - 2 * d]:
            i, o, _, g = np.split(X[t] @ W[d].T + h @ R[d].T + B[d, : 4 * H] + B[d, 4 * H :], 4, axis=1)
            p_i, p_o, _ = np.split(P[d], 3)
            i = sigma(i + p_i * c)
            c = (1 - i) * c + i * np.tanh(g)
            h = sigma(o + p_o * c) * np.tanh(c)
            Y[t, d] = h
    output, _ = module(X)
    np.testing.assert_allclose(output.numpy(), side_by_side([Y])[0], atol=1e-12)
    assert_same(side_by_side(case.by_onnxruntime()), ours(recurrence_from_onnx(case.model()), case.feed))


def official_cases(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """ONNX's own node cases by name: node, inputs and outputs, as its generator hands them out."""
    from onnx.backend.test.case.node import gru, lstm, rnn

    result: dict[str, Any] = {}
    for module, kind in ((rnn, rnn.RNN), (lstm, lstm.LSTM), (gru, gru.GRU)):
        monkeypatch.setattr(
            module, "expect", lambda node, inputs, outputs, name: result.update({name: (node, inputs, outputs)})
        )
        for name in vars(kind):
            if name.startswith("export"):
                getattr(kind, name)()
    return result


def test_the_official_node_cases(monkeypatch: pytest.MonkeyPatch) -> None:
    cases = official_cases(monkeypatch)
    assert len(cases) >= 15
    for name, (node, inputs, outputs) in cases.items():
        values = dict(zip([part for part in node.input if part], inputs))
        module = recurrence_from_onnx(node, values)
        lengths = values.get(node.input[4]) if len(node.input) > 4 else None
        got = ours(module, {"X": values["X"], "sequence_lens": None if lengths is None else lengths.astype("int32")})
        wanted = dict(zip([k for k, key in enumerate(node.output) if key], outputs))
        if module.batch_first:  # layout 1: (B, T, D, H) and (B, D, H)
            wanted = {
                k: want.swapaxes(0, 1) if k else np.concatenate(np.moveaxis(want, 2, 0), -1)
                for k, want in wanted.items()
            }
        elif 0 in wanted:
            wanted[0] = side_by_side([wanted[0]])[0]
        for k, want in wanted.items():
            np.testing.assert_allclose(got[k], want, rtol=1e-5, atol=1e-6, err_msg=name)


@pytest.mark.parametrize("op", GATES)
def test_a_wrong_gate_order_is_caught(op: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if op == "RNN":
        return
    case = Case(op, direction="bidirectional")
    want = side_by_side(case.by_onnxruntime())
    orders = {kind: (name, order[::-1]) for kind, (name, order) in onnx_import.CELL_NODES.items()}
    monkeypatch.setattr(onnx_import, "CELL_NODES", orders)
    with pytest.raises(AssertionError):
        assert_same(want, ours(recurrence_from_onnx(case.model()), case.feed))


@pytest.mark.parametrize(
    ("kind", "options"),
    [
        (RNN, {"nonlinearity": ("leaky_relu", 0.2), "clip": 0.7, "two_biases": True}),
        (RNN, {"bias": False, "reverse": True}),
        (LSTM, {"peephole": True, "initial_state": "learned", "bidirectional": True}),
        (
            LSTM,
            {"gate_activation": "hard_sigmoid", "output_activation": "softsign", "clip": 0.8, "coupled_gates": True},
        ),
        (GRU, {"reset_after": False, "activation": ("scaled_tanh", 1.1, 0.9), "reverse": True}),
        (GRU, {"bidirectional": True, "initial_state": "learned"}),
    ],
    ids=str,
)
def test_what_export_onnx_wrote_comes_back(tmp_path: Path, kind: Any, options: dict[str, Any]) -> None:
    model = kind(I, H, **options)
    rng = np.random.default_rng(1)
    for parameter in model.parameters():
        parameter.data[...] = rng.standard_normal(parameter.shape)
        parameter.written()
    export_onnx(model, tmp_path / "a.onnx")
    back = recurrence_from_onnx(tmp_path / "a.onnx")
    state, want = back.state_dict(), model.state_dict()
    assert state.keys() == want.keys()
    assert all(np.array_equal(state[name], want[name]) for name in want)
    xs = rng.standard_normal((5, 2, I)).astype("float32")
    output = model(xs)[0].numpy()
    np.testing.assert_array_equal(back(xs)[0].numpy(), output)
    runtime = pytest.importorskip("onnxruntime")
    session = runtime.InferenceSession(tmp_path / "a.onnx", providers=["CPUExecutionProvider"])
    assert_same([session.run(None, {"xs": xs})[0]], [output])


def test_what_came_in_can_be_trained_and_verified() -> None:
    case = Case("LSTM", direction="reverse", clip=0.9, **gates("LSTM", ["HardSigmoid", "Softsign", "Relu"], 1))
    result = verify_bptt(recurrence_from_onnx(case.model(), rng=1), case.values["X"], lengths=[4, 2, 3])
    assert result.passed, str(result)


def test_constants_are_computed_and_states_learned() -> None:
    """Weights behind a Constant, a Transpose and a DequantizeLinear; a constant initial state."""
    case = Case("GRU", starts=True)
    del case.feed["initial_h"]
    case.values["initial_h"][:] = case.values["initial_h"][:, :1]
    model = case.model()
    graph = model.graph
    helper, arrays = onnx.helper, {t.name: t for t in graph.initializer}
    turned = np.ascontiguousarray(case.values["W"].transpose(2, 1, 0))
    quantized = np.round(case.values["R"] * 50).astype("int8")
    graph.initializer.remove(arrays["W"])
    graph.initializer.remove(arrays["R"])
    graph.initializer.append(onnx.numpy_helper.from_array(quantized, "Q"))
    graph.initializer.append(onnx.numpy_helper.from_array(np.float32(0.02), "scale"))
    before = [
        helper.make_node("Constant", [], ["T"], value=onnx.numpy_helper.from_array(turned)),
        helper.make_node("Transpose", ["T"], ["W"], perm=[2, 1, 0]),
        helper.make_node("DequantizeLinear", ["Q", "scale"], ["R"]),
    ]
    node = graph.node.pop()
    graph.node.extend([*before, node])
    module = recurrence_from_onnx(model)
    assert module.initial_state == "learned"
    np.testing.assert_array_equal(module.forward0.h_init.numpy(), case.values["initial_h"][0, 0])
    case.model = lambda: model  # type: ignore[method-assign]
    assert_same(side_by_side(case.by_onnxruntime()), ours(module, case.feed))


def test_states_that_the_graph_computes_from_its_inputs_are_the_callers() -> None:
    case = Case("GRU", starts=True)
    model = case.model(onnx.helper.make_node("Neg", ["initial_h"], ["negative"]))
    model.graph.node[0].input[5] = "negative"
    module = recurrence_from_onnx(model)
    assert module.initial_state == "zeros"


def test_a_graph_of_several_nodes_and_files_of_doubles(tmp_path: Path) -> None:
    model = LSTM(I, H, 2, dtype="float64", initial_state="learned")
    for parameter in model.parameters():
        parameter.data[...] = np.random.default_rng(2).standard_normal(parameter.shape)
        parameter.written()
    export_onnx(model, tmp_path / "a.onnx", dtype="float64")
    with pytest.raises(
        ValueError, match=r"node: got a graph with 2 recurrent nodes, want the name or .*: LSTM 'layer0.Y'"
    ):
        recurrence_from_onnx(tmp_path / "a.onnx")
    below, above = (recurrence_from_onnx(tmp_path / "a.onnx", node=node) for node in (0, "layer1.Y"))
    xs = np.random.default_rng(0).standard_normal((4, 2, I))
    np.testing.assert_array_equal(above(below(xs)[0])[0].numpy(), model(xs)[0].numpy())
    half = Case("GRU", dtype="float16")
    assert recurrence_from_onnx(half.model()).forward0.Wc.dtype == np.float16
    assert recurrence_from_onnx(half.model(), dtype="float32").forward0.Wc.dtype == np.float32
