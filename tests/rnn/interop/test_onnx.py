"""ONNX files: they pass the checker, onnxruntime computes our numbers, and what ONNX lacks is refused."""

from __future__ import annotations

import itertools
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

import minigrad as mg
from minigrad import nn
from minigrad_rnn import GRU, LSTM, MGU, RNN, IndRNN, LayerNormGRU, ManyToOne, OneToOne, export_onnx
from minigrad_rnn.interop import onnx_graph
from minigrad_rnn.text.model import CharacterModel

onnx = pytest.importorskip("onnx")
I, H = 4, 3
CELLS: dict[str, tuple[Any, dict[str, Any]]] = {
    "tanh": (RNN, {}),
    "relu": (RNN, {"nonlinearity": "relu"}),
    "two biases": (RNN, {"two_biases": True}),
    "lstm": (LSTM, {}),
    "peephole": (LSTM, {"peephole": True}),
    "gru": (GRU, {}),
    "gru before": (GRU, {"reset_after": False}),
}


def filled(model: Any, seed: int = 0) -> Any:
    """The model with every parameter drawn anew, so that no bias, gain or initial state is zero."""
    rng = np.random.default_rng(seed)
    for parameter in model.parameters():
        parameter.data[...] = rng.standard_normal(parameter.shape) * 0.6
        parameter.written()
    return model.eval()


def recurrence(kind: str, *sizes: Any, **options: Any) -> Any:
    cell, fixed = CELLS[kind]
    return filled(cell(I, H, *sizes, **fixed, **options))


def run(path: Path, **feed: Any) -> list[Any]:
    """What onnxruntime computes."""
    runtime = pytest.importorskip("onnxruntime")
    return runtime.InferenceSession(path, providers=["CPUExecutionProvider"]).run(None, feed)


def draw(model: Any, T: int, B: int, seed: int = 1) -> tuple[Any, dict[str, Any]]:
    """xs and the initial states by their names in the file."""
    rng = np.random.default_rng(seed)
    xs = rng.standard_normal((B, T, I) if model.batch_first else (T, B, I)).astype("float32")
    shape = (len(model.cell_names), B, H)
    return xs, {f"{n}_0": rng.standard_normal(shape).astype("float32") for n in model.cell_type.state_names}


def as_state(starts: dict[str, Any]) -> Any:
    return tuple(starts.values()) if len(starts) > 1 else next(iter(starts.values()), None)


def ours(model: Any, xs: Any, starts: dict[str, Any], lengths: Any = None) -> list[Any]:
    with mg.no_grad():
        output, state = model(xs, as_state(starts), lengths=lengths)
    return [part.numpy() for part in (output, *(state if isinstance(state, tuple) else (state,)))]


def assert_same(theirs: list[Any], ours: list[Any]) -> None:
    assert len(theirs) == len(ours)
    for a, b in zip(theirs, ours):
        assert a.shape == b.shape
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("both", [False, True])
@pytest.mark.parametrize("layers", [1, 3])
@pytest.mark.parametrize(
    ("kind", "bias"), [(kind, bias) for kind in CELLS for bias in (True, False) if bias or kind != "two biases"]
)
def test_a_recurrence_runs_to_the_same_numbers(tmp_path: Path, kind: str, layers: int, both: bool, bias: bool) -> None:
    model = recurrence(kind, layers, bidirectional=both, bias=bias)
    export_onnx(model, tmp_path / "a.onnx", state=True)
    for T, B in ((6, 2), (1, 1)):  # open axes
        xs, starts = draw(model, T, B)
        assert_same(run(tmp_path / "a.onnx", xs=xs, **starts), ours(model, xs, starts))


OPTIONS = list(
    itertools.product((2, (1, 1), (1, 3), (2, 1)), ("concat", "sum", "mean"), (False, True), ("zeros", "learned"))
)


@pytest.mark.parametrize("kind", ["relu", "peephole", "gru", "gru before"])
@pytest.mark.parametrize(("layers", "merge", "batch_first", "initial_state"), OPTIONS)
def test_depths_merges_layouts_lengths_and_learned_states(
    tmp_path: Path, kind: str, layers: Any, merge: str, batch_first: bool, initial_state: str
) -> None:
    model = recurrence(
        kind, layers, bidirectional=True, merge=merge, batch_first=batch_first, initial_state=initial_state
    )
    lengths = np.array([2, 5, 1], "int32")
    xs, starts = draw(model, 5, 3)
    with_padding = xs.copy()
    for b, length in enumerate(lengths):
        with_padding[(b, slice(length, None)) if batch_first else (slice(length, None), b)] = np.nan
    export_onnx(model, tmp_path / "a.onnx", lengths=True)
    assert_same(run(tmp_path / "a.onnx", xs=with_padding, lengths=lengths), ours(model, with_padding, {}, lengths))
    export_onnx(model, tmp_path / "b.onnx", state=True, lengths=True)
    theirs = run(tmp_path / "b.onnx", xs=xs, lengths=lengths, **starts)
    assert_same(theirs, ours(model, xs, starts, lengths))
    export_onnx(model, tmp_path / "a.onnx")
    assert_same(run(tmp_path / "a.onnx", xs=xs), ours(model, xs, {}))


@pytest.mark.parametrize("kind", CELLS)
def test_one_that_reads_backward_only(tmp_path: Path, kind: str) -> None:
    model = recurrence(kind, 2, reverse=True)
    proto = export_onnx(model, tmp_path / "a.onnx", state=True, lengths=True)
    directions = [a.s for node in proto.graph.node for a in node.attribute if a.name == "direction"]
    assert directions == [b"reverse"] * 2
    xs, starts = draw(model, 5, 3)
    lengths = np.array([2, 5, 1], "int32")
    assert_same(run(tmp_path / "a.onnx", xs=xs, lengths=lengths, **starts), ours(model, xs, starts, lengths))


@settings(max_examples=25)
@given(
    kind=st.sampled_from([*CELLS]),
    sizes=st.tuples(st.integers(1, 5), st.integers(1, 5), st.integers(1, 3)),
    both=st.booleans(),
    T=st.integers(1, 7),
    B=st.integers(1, 4),
)
def test_every_size_runs(
    tmp_path_factory: Any, kind: str, sizes: tuple[int, int, int], both: bool, T: int, B: int
) -> None:
    cell, fixed = CELLS[kind]
    model = filled(cell(*sizes, bidirectional=both, **fixed))
    xs = np.random.default_rng(2).standard_normal((T, B, sizes[0])).astype("float32")
    path = tmp_path_factory.mktemp("sizes") / "a.onnx"
    export_onnx(model, path)
    assert_same(run(path, xs=xs), ours(model, xs, {}))


@pytest.mark.parametrize("kind", ["lstm", "peephole", "gru", "gru before", "tanh"])
def test_in_float64_onnxs_own_evaluator_agrees_to_the_last_digits(tmp_path: Path, kind: str) -> None:
    reference = pytest.importorskip("onnx.reference")
    model = recurrence(kind, 2, dtype="float64", initial_state="learned")
    export_onnx(model, tmp_path / "a.onnx", dtype="float64")
    xs = np.random.default_rng(1).standard_normal((5, 2, I))
    theirs = reference.ReferenceEvaluator(str(tmp_path / "a.onnx")).run(None, {"xs": xs})
    for a, b in zip(theirs, ours(model, xs, {}), strict=True):
        np.testing.assert_allclose(a, b, rtol=0, atol=1e-12)


@pytest.mark.parametrize("opset", range(17, min(onnx.defs.onnx_opset_version(), 23) + 1))
def test_every_opset_runs(tmp_path: Path, opset: int) -> None:
    stack = [recurrence("lstm", (1, 2), bidirectional=True, merge="mean"), filled(nn.LayerNorm(H)), mg.log_softmax]
    proto = export_onnx(stack, tmp_path / "a.onnx", opset=opset, state=True)
    assert [(o.domain, o.version) for o in proto.opset_import] == [("", opset)]
    xs, starts = draw(stack[0], 4, 2)
    hs, *ends = ours(stack[0], xs, starts)
    assert_same(run(tmp_path / "a.onnx", xs=xs, **starts), [mg.log_softmax(stack[1](hs)).numpy(), *ends])


@pytest.mark.parametrize("cell", ["rnn", "lstm", "gru"])
def test_a_character_model_goes_on_where_it_stopped(tmp_path: Path, cell: str) -> None:
    model = filled(CharacterModel(11, cell, 5, H, num_layers=2, dropout=0.5)).train()
    export_onnx(model, tmp_path / "a.onnx", state=True)
    model.eval()
    ids = np.random.default_rng(0).integers(0, 11, (6, 2))
    names = model.recurrence.cell_type.state_names
    state: Any = None
    theirs = [np.zeros((2, 2, H), "float32") for _ in names]
    for piece in (ids[:4], ids[4:]):
        logits, state = model(piece, state)
        feed = {f"{n}_0": s for n, s in zip(names, theirs)}
        output, *theirs = run(tmp_path / "a.onnx", ids=piece, **feed)
        assert_same([output, *theirs], [p.numpy() for p in (logits, *(state if len(names) > 1 else (state,)))])


def test_a_stack_of_everything(tmp_path: Path) -> None:
    parts = [
        nn.Embedding(9, I, padding_idx=0), nn.Dropout(0.4), recurrence("gru", 2, bidirectional=True),
        nn.Sequential(nn.Linear(2 * H, 5), nn.Tanh(), nn.LayerNorm(5, elementwise_affine=False), nn.Identity()),
        filled(LSTM(5, H)), nn.LayerNorm(H, bias=False), nn.Linear(H, 4, bias=False), nn.ReLU(),
        nn.Sequential(nn.Linear(4, 6), nn.Sigmoid()), mg.tanh, mg.sigmoid, mg.relu, mg.softmax,
    ]  # fmt: skip
    for part in parts:
        if isinstance(part, nn.Module):
            filled(part, 7)
    export_onnx(parts, tmp_path / "a.onnx", lengths=True)
    ids, lengths = np.random.default_rng(0).integers(0, 9, (5, 3)), np.array([5, 2, 3], "int32")
    x: Any = ids
    ends: list[Any] = []
    for part in parts:
        x = part(x, lengths=lengths) if isinstance(part, (GRU, LSTM)) else part(x)
        if isinstance(x, tuple):
            x, state = x
            ends += state if isinstance(state, tuple) else [state]
    assert_same(run(tmp_path / "a.onnx", ids=ids, lengths=lengths), [x.numpy(), *(end.numpy() for end in ends)])
    written = onnx.load(tmp_path / "a.onnx").graph
    assert [value.name for value in written.output] == ["output", "2.h_n", "4.h_n", "4.c_n"]


@pytest.mark.parametrize("pool", ["last", "mean"])
@pytest.mark.parametrize(("layers", "merge"), [(1, None), (2, "concat"), (2, "mean"), ((2, 1), "sum")])
@pytest.mark.parametrize("batch_first", [False, True])
@pytest.mark.parametrize("kind", ["lstm", "gru"])
def test_many_to_one_ends_in_a_gemm(
    tmp_path: Path, kind: str, batch_first: bool, layers: Any, merge: str | None, pool: str
) -> None:
    both: dict[str, Any] = {} if merge is None else {"bidirectional": True, "merge": merge}
    net = recurrence(kind, layers, batch_first=batch_first, **both)
    read = nn.Sequential(nn.Linear(2 * H if merge == "concat" else H, 5), nn.Tanh(), nn.Linear(5, 2, bias=False))
    model = ManyToOne(net, filled(read), pool)
    xs, _ = draw(net, 6, 3)
    for lengths in (None, np.array([2, 6, 1], "int32")):
        proto = export_onnx([model, mg.softmax], tmp_path / "a.onnx", lengths=lengths is not None)
        ops = [node.op_type for node in proto.graph.node]
        assert (ops.count("Gemm"), ops.count("MatMul"), ops.count("Softmax")) == (2, 0, 1)
        feed = {"xs": xs} if lengths is None else {"xs": xs, "lengths": lengths}
        _, state = net(xs, lengths=lengths)
        ends = state if isinstance(state, tuple) else (state,)
        want = mg.softmax(model(xs, lengths=lengths))
        assert_same(run(tmp_path / "a.onnx", **feed), [want.numpy(), *(end.numpy() for end in ends)])


def test_a_classifier_of_ids(tmp_path: Path) -> None:
    parts = [filled(nn.Embedding(9, I)), ManyToOne(recurrence("gru"), filled(nn.Linear(H, 4))), mg.log_softmax]
    export_onnx(parts, tmp_path / "a.onnx")
    ids = np.random.default_rng(0).integers(0, 9, (5, 3))
    want = mg.log_softmax(parts[1](parts[0](ids)))
    np.testing.assert_allclose(run(tmp_path / "a.onnx", ids=ids)[0], want.numpy(), rtol=1e-4, atol=1e-5)


def test_one_step_without_a_recurrence_is_gemms(tmp_path: Path) -> None:
    model = OneToOne(None, filled(nn.Sequential(nn.Linear(I, 5), nn.Tanh(), nn.Linear(5, 2))))
    proto = export_onnx([model, mg.softmax], tmp_path / "a.onnx")
    assert [node.op_type for node in proto.graph.node] == ["Gemm", "Tanh", "Gemm", "Softmax", "Identity"]
    x = np.random.default_rng(0).standard_normal((3, I)).astype("float32")
    assert_same(run(tmp_path / "a.onnx", x=x), [mg.softmax(model(x)[0]).numpy()])


def test_a_model_without_recurrence_and_a_sequential_that_ends_in_one(tmp_path: Path) -> None:
    plain = filled(nn.Sequential(nn.Linear(I, 5), nn.Tanh(), nn.Linear(5, 2)))
    export_onnx(plain, tmp_path / "a.onnx")
    xs = np.ones((3, 2, I), "float32")
    assert_same(run(tmp_path / "a.onnx", xs=xs), [plain(xs).numpy()])
    ending = nn.Sequential(filled(nn.Linear(I, I)), recurrence("lstm"))
    export_onnx(ending, tmp_path / "a.onnx")
    output, (h, c) = ending(xs)
    assert_same(run(tmp_path / "a.onnx", xs=xs), [output.numpy(), h.numpy(), c.numpy()])


def test_a_layer_is_one_node_and_axes_are_open_or_fixed(tmp_path: Path) -> None:
    model = recurrence("lstm", 2, bidirectional=True, batch_first=True)
    graph = export_onnx(model, tmp_path / "a.onnx").graph
    layers = [node for node in graph.node if node.op_type == "LSTM"]
    assert [a.s for node in layers for a in node.attribute if a.name == "direction"] == [b"bidirectional"] * 2
    shape = graph.input[0].type.tensor_type.shape.dim
    assert [d.dim_param or d.dim_value for d in shape] == ["B", "T", I]
    graph = export_onnx(model, tmp_path / "a.onnx", sequence_length=5, batch=2, state=True).graph
    for value, want in zip([*graph.input, *graph.output], [[2, 5, I], *[[4, 2, H]] * 2, [2, 5, 2 * H]]):
        assert [d.dim_value for d in value.type.tensor_type.shape.dim] == want, value.name
    xs, starts = draw(model, 5, 2)
    assert_same(run(tmp_path / "a.onnx", xs=xs, **starts), ours(model, xs, starts))


def test_a_model_of_doubles_on_any_backend_goes_out_in_float32(tmp_path: Path, xp: Any) -> None:
    with mg.use_backend("numpy"):
        model = recurrence("gru", dtype="float64").to(xp.name)
    export_onnx(model, tmp_path / "a.onnx")
    xs = np.random.default_rng(1).standard_normal((3, 2, I))
    with mg.no_grad():
        want = [part.numpy() for part in model(xp.array(xs))]
    assert_same(run(tmp_path / "a.onnx", xs=xs.astype("float32")), want)


# What is refused, and that nothing is written then


class OwnForward(nn.Module):
    def forward(self, x: Any) -> Any:
        return x


class OwnLSTM(LSTM):
    def forward(self, *args: Any, **options: Any) -> Any:
        return super().forward(*args, **options)


@pytest.mark.parametrize(
    ("make", "options", "error", "message"),
    [
        (lambda: LSTM(I, H, proj_size=2), {}, ValueError, "LSTM: proj_size: got 2, want 0"),
        (lambda: GRU(I, H, zoneout=0.2), {}, ValueError, r"GRU: zoneout: got \(0\.2,\), want 0\.0"),
        (lambda: LayerNormGRU(I, H), {}, ValueError, "cell_type: got LayerNormGRUCell, want .* RNNCell, LSTMCell, GRU"),
        (lambda: MGU(I, H), {}, ValueError, "MGU: cell_type: got MGUCell"),
        (lambda: [nn.Tanh(), IndRNN(I, H)], {}, ValueError, "model at 1: IndRNN: cell_type: got IndRNNCell"),
        (OwnForward, {}, TypeError, "model: got OwnForward, want a Recurrence"),
        (lambda: OwnLSTM(I, H), {}, TypeError, "model: got OwnLSTM, want a Recurrence"),
        (lambda: [RNN(I, H), mg.exp], {}, TypeError, "model at 1: got exp, want a Recurrence"),
        (lambda: nn.Sequential(RNN(I, H), nn.Tanh()), {}, ValueError, "model at 0: RNN: got a recurrence that hands"),
        (lambda: [RNN(I, H), nn.Linear(I, 2)], {}, ValueError, "model at 1: Linear: got 3 features .*, want 4"),
        (lambda: [nn.Linear(2, I), nn.Embedding(5, 2)], {}, ValueError, "model at 1: Embedding: got 4 features"),
        (lambda: [RNN(I, H), RNN(H, H, batch_first=True)], {}, ValueError, "with and without batch_first"),
        (lambda: nn.LayerNorm((2, I)), {}, ValueError, r"normalized_shape: got \(2, 4\), want one axis"),
        (
            lambda: ManyToOne(RNN(I, H), nn.Linear(H, 2), "max"),
            {},
            ValueError,
            "ManyToOne: pool: got 'max', want 'last'",
        ),
        (lambda: OneToOne(RNN(I, H), nn.Linear(H, 2)), {}, ValueError, "OneToOne: recurrence: got RNN, want None"),
        (lambda: [nn.Linear(2, I), OneToOne(None, nn.Tanh())], {}, ValueError, "model at 1: OneToOne: got 4 features"),
        (
            lambda: [ManyToOne(RNN(I, H), nn.Linear(H, I)), RNN(I, H)],
            {},
            ValueError,
            "model at 1: RNN: got one vector per sequence as input, want every step's",
        ),
        (nn.Tanh, {}, ValueError, "got no part with a fixed number of input features"),
        (list, {}, ValueError, "got no part with a fixed number of input features"),
        (lambda: nn.Linear(I, 2), {"state": True}, ValueError, "state: got True, want False"),
        (lambda: nn.Linear(I, 2), {"lengths": True}, ValueError, "lengths: got True, want False"),
        (lambda: RNN(I, H), {"opset": 16}, ValueError, "opset: got 16, want 17 to"),
        (lambda: RNN(I, H), {"opset": 999}, ValueError, "opset: got 999, want 17 to"),
        (lambda: RNN(I, H), {"batch": 0}, ValueError, "batch: got 0, want a whole number"),
        (lambda: RNN(I, H), {"sequence_length": 2.5}, ValueError, "sequence_length: got 2.5, want a whole number"),
        (lambda: RNN(I, H), {"dtype": "float16"}, ValueError, "dtype: got float16, want float32 or float64"),
    ],
)
def test_what_onnx_lacks_is_named_and_nothing_written(
    tmp_path: Path, make: Any, options: dict[str, Any], error: type[Exception], message: str
) -> None:
    (tmp_path / "a.onnx").write_bytes(b"as it was")
    with pytest.raises(error, match=f"export_onnx: .*{message}"):
        export_onnx(make(), tmp_path / "a.onnx", **options)
    assert [p.name for p in tmp_path.iterdir()] == ["a.onnx"]
    assert (tmp_path / "a.onnx").read_bytes() == b"as it was"


def test_a_missing_package_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(ImportError, match="pip install onnx"):
        export_onnx(RNN(I, H), tmp_path / "a.onnx")


# The comparison catches what could go wrong


@pytest.mark.parametrize(
    ("kind", "name", "change"),
    [
        ("lstm", "layer0.W", lambda w: w.reshape(1, 4, H, I)[:, [0, 2, 1, 3]].reshape(w.shape)),  # gates in our order
        ("gru", "layer0.R", lambda w: w.reshape(1, 3, H, H)[:, [1, 0, 2]].reshape(w.shape)),
        ("gru", "layer0.B", lambda b: b.reshape(1, 2, 3 * H)[:, ::-1].reshape(b.shape)),  # the two biases swapped
        ("peephole", "layer0.P", lambda p: p.reshape(1, 3, H)[:, [0, 2, 1]].reshape(p.shape)),
    ],
)
def test_a_planted_fault_is_caught(tmp_path: Path, kind: str, name: str, change: Any) -> None:
    model = recurrence(kind)
    proto = export_onnx(model, tmp_path / "a.onnx", state=True)
    (tensor,) = (t for t in proto.graph.initializer if t.name == name)
    tensor.CopyFrom(
        onnx.numpy_helper.from_array(np.ascontiguousarray(change(onnx.numpy_helper.to_array(tensor))), name)
    )
    onnx.save(proto, tmp_path / "b.onnx")
    xs, starts = draw(model, 4, 2)
    want = ours(model, xs, starts)
    assert_same(run(tmp_path / "a.onnx", xs=xs, **starts), want)
    with pytest.raises(AssertionError):
        assert_same(run(tmp_path / "b.onnx", xs=xs, **starts), want)


def test_the_wrong_rows_of_the_state_are_caught(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(onnx_graph, "top_rows", lambda net: [-1, -2])
    with pytest.raises(AssertionError):
        test_many_to_one_ends_in_a_gemm(tmp_path, "lstm", False, 2, "concat", "last")


def test_the_other_form_of_the_gru_is_told_apart(tmp_path: Path) -> None:
    model = recurrence("gru")
    proto = export_onnx(model, tmp_path / "a.onnx", state=True)
    (flag,) = (a for node in proto.graph.node for a in node.attribute if a.name == "linear_before_reset")
    flag.i = 0
    onnx.save(proto, tmp_path / "b.onnx")
    xs, starts = draw(model, 4, 2)
    with pytest.raises(AssertionError):
        assert_same(run(tmp_path / "b.onnx", xs=xs, **starts), ours(model, xs, starts))
