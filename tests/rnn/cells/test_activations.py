"""Activations, clip and coupled gates: ONNX's formulas, the reference BPTT, and what has no fused sequence."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import minigrad as mg
from minigrad.backend import Backend
from minigrad_rnn import GRU, LSTM, RNN, GRUCell, IndRNN, LSTMCell, RNNCell, verify_bptt
from minigrad_rnn.cells import activations
from minigrad_rnn.manual_bptt.activations import activation_of

ONNX: dict[Any, Callable[[float], float]] = {
    # The formulas of ONNX's specification of RNN, LSTM and GRU, in Python's math
    "tanh": math.tanh,
    "relu": lambda x: max(0.0, x),
    "sigmoid": lambda x: 1 / (1 + math.exp(-x)),
    "affine": lambda x: x,
    ("affine", 0.4, -0.2): lambda x: 0.4 * x - 0.2,
    "leaky_relu": lambda x: x if x >= 0 else 0.01 * x,
    ("leaky_relu", 0.3): lambda x: x if x >= 0 else 0.3 * x,
    "thresholded_relu": lambda x: x if x >= 1.0 else 0.0,
    ("thresholded_relu", 0.35): lambda x: x if x >= 0.35 else 0.0,
    ("scaled_tanh", 1.7, 0.6): lambda x: 1.7 * math.tanh(0.6 * x),
    "hard_sigmoid": lambda x: min(max(0.2 * x + 0.5, 0.0), 1.0),
    ("hard_sigmoid", 1 / 6, 0.5): lambda x: min(max(x / 6 + 0.5, 0.0), 1.0),
    "elu": lambda x: x if x >= 0 else math.exp(x) - 1,
    ("elu", 0.7): lambda x: x if x >= 0 else 0.7 * (math.exp(x) - 1),
    "softsign": lambda x: x / (1 + abs(x)),
    "softplus": lambda x: math.log(1 + math.exp(x)),
}
POINTS = [-7.0, -2.6, -1.1, -0.3, 0.2, 0.4, 0.9, 1.3, 2.4, 6.1]
every = pytest.mark.parametrize("activation", list(ONNX), ids=str)


def clipped(f: Callable[[float], float], clip: float | None) -> Callable[[float], float]:
    return f if clip is None else lambda x: f(min(max(x, -clip), clip))


@every
@pytest.mark.parametrize("clip", [None, 1.2])
def test_values_and_slopes_on_the_tape(activation: Any, clip: float | None, xp: Any) -> None:
    f, h = clipped(ONNX[activation], clip), 1e-6
    x = mg.tensor(np.array(POINTS), requires_grad=True)
    y = activations.on_tape(activation, clip)(x)
    np.testing.assert_allclose(y.numpy(), [f(a) for a in POINTS], rtol=1e-13, atol=1e-15)
    y.sum().backward()
    slopes = [(f(a + h) - f(a - h)) / (2 * h) for a in POINTS]
    np.testing.assert_allclose(x.grad.numpy(), slopes, rtol=1e-6, atol=1e-9)
    by_hand = activation_of("nonlinearity", activation, clip)
    np.testing.assert_allclose(by_hand(np.array(POINTS)), y.numpy(), rtol=1e-13, atol=1e-15)
    np.testing.assert_allclose(by_hand.slope(np.array(POINTS)), x.grad.numpy(), rtol=1e-12, atol=1e-15)


@every
def test_the_slope_from_the_value(activation: Any, xp: Any) -> None:
    z = xp.array(np.array(POINTS))
    formula, parameters = activations.FORMULAS[activations.name_of(activation)], activations.parameters_of(activation)
    got = mg.tensor(formula.slope(xp.xp, formula.value(xp.xp, z, *parameters), *parameters)).numpy()
    want = activation_of("nonlinearity", activation).slope(np.array(POINTS))
    np.testing.assert_allclose(got, want, rtol=1e-10, atol=1e-14)


@every
@pytest.mark.parametrize("dtype", ["float16", "float32"])
def test_the_dtype_stays(activation: Any, dtype: str) -> None:
    xs = np.random.default_rng(0).standard_normal((3, 2, 4)).astype(dtype)
    for impl in ("graph", "fused"):
        model = RNN(4, 3, nonlinearity=activation, impl=impl, dtype=dtype)
        output, _ = model(xs)
        output.sum().backward()
        assert {str(output.dtype), *(str(p.grad.dtype) for p in model.parameters())} == {dtype}


def draw(*shape: int) -> Any:
    return np.random.default_rng(3).standard_normal(shape)


@every
def test_verify_bptt_of_an_rnn(activation: Any) -> None:
    result = verify_bptt(
        RNN(3, 4, 2, nonlinearity=activation, rng=1, bidirectional=True), draw(5, 2, 3), lengths=[5, 3]
    )
    assert result.passed, str(result)
    assert result.rows[0].fused_reference is not None


GATED = [
    {"gate_activation": "hard_sigmoid"},
    {"activation": "relu", "clip": 1.1},
    {"gate_activation": ("hard_sigmoid", 1 / 6, 0.5), "activation": ("scaled_tanh", 1.2, 0.8)},
    {"clip": 0.7},
]


@pytest.mark.parametrize(
    ("kind", "options"),
    [
        *((GRU, {**o, "reset_after": after}) for o in GATED for after in (True, False)),
        *((LSTM, {**o, "peephole": peephole}) for o in GATED for peephole in (True, False)),
        *((LSTM, {"coupled_gates": True, "peephole": peephole}) for peephole in (True, False)),
        (LSTM, {"output_activation": "softsign", "proj_size": 2, "two_biases": True}),
        (RNN, {"clip": 0.6, "two_biases": True}),
        (RNN, {"nonlinearity": ("leaky_relu", -0.4)}),
        (IndRNN, {"nonlinearity": "softplus"}),
    ],
    ids=str,
)
def test_verify_bptt_of_every_option(kind: Any, options: dict[str, Any]) -> None:
    model = kind(3, 4, bidirectional=True, rng=2, **options)
    result = verify_bptt(model, draw(4, 2, 3), lengths=[4, 2])
    assert result.passed, str(result)
    if kind is IndRNN:
        return
    assert result.rows[0].fused_reference is None
    model(np.ones((2, 1, 3), "float32"))
    assert model.implementation == "graph"
    with pytest.raises(ValueError, match=r"impl: got 'fused', but .*(has no fused sequence|inside|does not determine)"):
        kind(3, 4, impl="fused", **options)
    with pytest.raises(
        ValueError, match=r"impl: got 'native', but .*(has no fused sequence|inside|does not determine)"
    ):
        kind(3, 4, impl="native", **options)


@pytest.mark.parametrize("kind", [LSTM, GRU])
def test_second_derivatives(kind: Any) -> None:
    model = kind(2, 3, gate_activation="softsign", activation="softplus", dtype="float64", rng=4)
    xs = draw(3, 1, 2)
    Wr = model.forward0.Wr
    f = lambda scale: (model(xs * scale)[0] ** 2).sum()  # noqa: E731
    x = mg.tensor(1.3, requires_grad=True, dtype="float64")
    (first,) = mg.gradients(f(x), [x], create_graph=True)
    (second,) = mg.gradients(first, [x])
    h = 1e-4
    want = (float(f(1.3 + h)) - 2 * float(f(1.3)) + float(f(1.3 - h))) / h**2
    assert float(second) == pytest.approx(want, rel=1e-5)
    assert Wr.grad is None


def test_a_wrong_slope_and_a_wrong_clip_are_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    model, xs = RNN(3, 4, nonlinearity="softsign", rng=1), draw(4, 2, 3)
    assert verify_bptt(model, xs).passed
    right = activations.FORMULAS["softsign"]
    wrong = activations.Formula(right.value, lambda xp, y: right.slope(xp, y) * 1.001)
    with monkeypatch.context() as patch:
        patch.setitem(activations.FORMULAS, "softsign", wrong)
        result = verify_bptt(model, xs)
        assert not result.passed
        assert max(row.fused_reference or 0.0 for row in result.rows) > 1e-5
    clipping = LSTM(3, 4, clip=0.3, rng=1)
    assert verify_bptt(clipping, xs).passed
    with monkeypatch.context() as patch:
        patch.setattr(activations.mg, "clip", lambda z, low, high: z)
        activations._composed.cache_clear()
        assert not verify_bptt(clipping, xs).passed
    activations._composed.cache_clear()


def test_a_device_with_kernels_runs_it_op_by_op(kernels_on_cpu: Backend) -> None:
    xs = draw(4, 2, 3)
    for options, ran in (
        ({"nonlinearity": "softsign"}, "no kernel serves nonlinearity='softsign'"),
        ({"clip": 0.5}, "graph"),
    ):
        on_numpy, on_device = (RNN(3, 4, rng=1, dtype="float64", **options) for _ in range(2))
        want, _ = on_numpy(xs, lengths=[4, 2])
        got, _ = on_device.to("strict")(kernels_on_cpu.from_numpy(xs), lengths=[4, 2])
        assert ran in on_device.implementation
        mg.sin(want).sum().backward()
        mg.sin(got).sum().backward()
        for p, q in zip((got, on_device.forward0.Wr.grad), (want, on_numpy.forward0.Wr.grad)):
            np.testing.assert_allclose(p.numpy(), q.numpy(), atol=1e-13)


def test_options_show_in_the_repr() -> None:
    assert repr(LSTM(3, 4, gate_activation="hard_sigmoid", clip=2)).startswith(
        "LSTM(3, 4, gate_activation='hard_sigmoid', clip=2"
    )
    assert repr(LSTMCell(3, 4, activation=("elu",), coupled_gates=True)) == (
        "LSTMCell(3, 4, activation='elu', output_activation='elu', coupled_gates=True)"
    )


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: RNNCell(3, 4, nonlinearity="gelu"), "RNNCell: nonlinearity: got 'gelu', want one of"),
        (lambda: LSTMCell(3, 4, gate_activation=3), "LSTMCell: gate_activation: got 3, want one of"),
        (lambda: LSTMCell(3, 4, activation=()), r"LSTMCell: activation: got \(\), want one of"),
        (
            lambda: GRUCell(3, 4, activation=("tanh", 1.0)),
            r"activation: got \('tanh', 1.0\), want 'tanh' with no param",
        ),
        (lambda: GRUCell(3, 4, activation="scaled_tanh"), "activation: got 'scaled_tanh', want .* with alpha and beta"),
        (lambda: GRUCell(3, 4, activation=("elu", "1")), r"activation: got \('elu', '1'\), want 'elu' with alpha"),
        (lambda: LSTM(3, 4, clip=0), "LSTMCell: clip: got 0, want a positive number, or None"),
        (lambda: RNN(3, 4, clip="2"), "RNNCell: clip: got '2', want a positive number, or None"),
    ],
)
def test_what_is_no_activation_or_clip_is_named(make: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()


def test_a_threshold_below_zero_passes_the_gradient_at_zero() -> None:
    """The value 0 is z = 0 there, or a z below the threshold: the slope 1 cannot be told from it."""
    net = RNN(1, 1, bias=False, dtype="float64", nonlinearity=("thresholded_relu", -0.5))
    xs = mg.tensor(np.zeros((1, 1, 1)), requires_grad=True)
    net(xs)[0].sum().backward()
    assert xs.grad.item() == net.forward0.Wc.item()
    assert net.implementation == "graph"
