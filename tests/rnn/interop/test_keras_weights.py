"""Keras' weights: equal to Keras' documented equations written out in NumPy, and to Keras itself where it is there."""

from __future__ import annotations

import os
from typing import Any

import numpy as np
import pytest

import minigrad as mg
from minigrad import nn
from minigrad_rnn import GRU, LSTM, MGU, RNN, GRUCell, load_keras_weights

B, T, I, H = 2, 5, 3, 4


def sigmoid(z: Any) -> Any:
    return 1 / (1 + np.exp(-z))


def hard_sigmoid(z: Any) -> Any:
    """That of Keras 3: relu6(z + 3) / 6."""
    return np.clip(z + 3, 0, 6) / 6


def relu(z: Any) -> Any:
    return np.maximum(z, 0)


# Keras' cells (keras/src/layers/rnn), in NumPy: x (B, I), kernel (I, G·H), recurrent_kernel (H, G·H)


def simple_rnn(x: Any, state: Any, kernel: Any, recurrent: Any, bias: Any = 0.0, *, activation: Any = np.tanh) -> Any:
    h = activation(x @ kernel + bias + state[0] @ recurrent)
    return [h]


def lstm(
    x: Any, state: Any, kernel: Any, recurrent: Any, bias: Any = 0.0, *, activation: Any = np.tanh, gate: Any = sigmoid
) -> Any:
    h, c = state
    z0, z1, z2, z3 = np.split(x @ kernel + h @ recurrent + bias, 4, axis=1)
    c = gate(z1) * c + gate(z0) * activation(z2)
    return [gate(z3) * activation(c), c]


def gru(
    x: Any, state: Any, kernel: Any, recurrent: Any, bias: Any = None, *, activation: Any = np.tanh,
    gate: Any = sigmoid, reset_after: bool = True,
) -> Any:  # fmt: skip
    (h,) = state
    bias = np.zeros((2, kernel.shape[1])) if bias is None else bias
    input_bias, recurrent_bias = bias if reset_after else (bias, np.zeros(kernel.shape[1]))
    if bias.ndim == 2 and not reset_after:
        input_bias = bias[0]
    x_z, x_r, x_h = np.split(x @ kernel + input_bias, 3, axis=1)
    k_z, k_r, k_h = np.split(recurrent, 3, axis=1)
    b_z, b_r, b_h = np.split(recurrent_bias, 3)
    z, r = gate(x_z + h @ k_z + b_z), gate(x_r + h @ k_r + b_r)
    inner = r * (h @ k_h + b_h) if reset_after else (r * h) @ k_h
    return [z * h + (1 - z) * activation(x_h + inner)]


def run(cell: Any, xs: Any, weights: list[Any], states: int, backward: bool = False, **options: Any) -> Any:
    """Every output (B, T, H) in the order of time, and the last state."""
    state, outputs = [np.zeros((len(xs), weights[1].shape[0]))] * states, {}
    for t in range(xs.shape[1])[:: -1 if backward else 1]:
        state = cell(xs[:, t], state, *weights, **options)
        outputs[t] = state[0]
    return np.stack([outputs[t] for t in range(xs.shape[1])], axis=1), state


def draw(*shapes: tuple[int, ...], seed: int = 0) -> list[Any]:
    rng = np.random.default_rng(seed)
    return [rng.standard_normal(shape) * 0.6 for shape in shapes]


def weights_of(gates: int, bias: str, width: int = I, seed: int = 0) -> list[Any]:
    shapes: list[tuple[int, ...]] = [(width, gates * H), (H, gates * H)]
    shapes += {"none": [], "one": [(gates * H,)], "two": [(2, gates * H)]}[bias]
    return draw(*shapes, seed=seed)


KERAS3 = ("hard_sigmoid", 1 / 6, 0.5)
CASES: list[tuple[Any, Any, dict[str, Any], dict[str, Any], str]] = [
    (RNN, simple_rnn, {}, {}, "one"),
    (RNN, simple_rnn, {"nonlinearity": "relu"}, {"activation": relu}, "none"),
    (LSTM, lstm, {}, {}, "one"),
    (LSTM, lstm, {"gate_activation": KERAS3, "activation": "relu"}, {"gate": hard_sigmoid, "activation": relu}, "one"),
    (LSTM, lstm, {"two_biases": True}, {}, "one"),
    (GRU, gru, {}, {}, "two"),
    (GRU, gru, {"reset_after": False}, {"reset_after": False}, "one"),
    (GRU, gru, {"reset_after": False, "gate_activation": KERAS3}, {"reset_after": False, "gate": hard_sigmoid}, "none"),
]
every = pytest.mark.parametrize(("kind", "cell", "options", "keras", "bias"), CASES)


@every
@pytest.mark.parametrize("direction", ["forward", "reverse", "both", "two layers"])
def test_the_documented_equations(
    kind: Any, cell: Any, options: Any, keras: Any, bias: str, direction: str, xp: Any
) -> None:
    made = {"reverse": {"reverse": True}, "both": {"bidirectional": True}, "two layers": {"num_layers": 2}}
    with mg.use_backend("numpy"):
        module = kind(
            I, H, bias=bias != "none", batch_first=True, dtype="float64", **made.get(direction, {}), **options
        ).to(xp.name)
    (xs,) = draw((B, T, I), seed=9)
    states, first = len(module.cell_type.state_names), weights_of(module.cell_type.gates, bias, seed=1)
    second = weights_of(module.cell_type.gates, bias, H if direction == "two layers" else I, seed=2)
    load_keras_weights(module, first + (second if direction in ("both", "two layers") else []))
    want, state = run(cell, xs, first, states, backward=direction == "reverse", **keras)
    if direction == "both":
        want = np.concatenate([want, run(cell, xs, second, states, backward=True, **keras)[0]], axis=-1)
    elif direction == "two layers":
        want, state = run(cell, want, second, states, **keras)
    output, final = module(xp.array(xs))
    np.testing.assert_allclose(output.numpy(), want, atol=1e-12)
    row = 1 if direction == "two layers" else 0
    for part, end in zip(final if isinstance(final, tuple) else (final,), state, strict=True):
        np.testing.assert_allclose(part.numpy()[row], end, atol=1e-12)


def import_keras() -> Any:
    os.environ.setdefault("KERAS_BACKEND", "numpy")
    return pytest.importorskip("keras")


@pytest.mark.filterwarnings("ignore")  # Keras' own
@pytest.mark.parametrize("bidirectional", ["no", "concat", "sum", "ave"])
@pytest.mark.parametrize(
    ("kind", "layer", "options", "theirs_options"),
    [
        (RNN, "SimpleRNN", {}, {}),
        (RNN, "SimpleRNN", {"nonlinearity": "softsign", "bias": False}, {"activation": "softsign", "use_bias": False}),
        (LSTM, "LSTM", {}, {}),
        (
            LSTM,
            "LSTM",
            {"gate_activation": KERAS3, "activation": "elu"},
            {"recurrent_activation": "hard_sigmoid", "activation": "elu"},
        ),
        (GRU, "GRU", {}, {}),
        (GRU, "GRU", {"reset_after": False}, {"reset_after": False}),
        (GRU, "GRU", {"activation": "affine", "bias": False}, {"activation": "linear", "use_bias": False}),
    ],
)
def test_keras_itself(kind: Any, layer: str, options: Any, theirs_options: Any, bidirectional: str) -> None:
    keras = import_keras()
    to_numpy, layers = keras.ops.convert_to_numpy, keras.layers
    theirs = getattr(layers, layer)(H, return_sequences=True, **theirs_options)
    if bidirectional != "no":
        theirs = layers.Bidirectional(theirs, merge_mode=bidirectional)
    xs = draw((B, T, I))[0].astype("float32")
    theirs(xs)
    theirs.set_weights([a.astype("float32") for a in draw(*(a.shape for a in theirs.get_weights()), seed=5)])
    merge = {"ave": "mean", "no": "concat"}.get(bidirectional, bidirectional)
    module = kind(I, H, batch_first=True, bidirectional=bidirectional != "no", merge=merge, **options)
    load_keras_weights(module, theirs.get_weights())
    np.testing.assert_allclose(module(xs)[0].numpy(), to_numpy(theirs(xs)), rtol=1e-6, atol=1e-6)


@pytest.mark.filterwarnings("ignore")
def test_keras_itself_going_backwards() -> None:
    keras = import_keras()
    theirs = keras.layers.GRU(H, return_sequences=True, return_state=True, go_backwards=True)
    xs = draw((B, T, I))[0].astype("float32")
    output, state = theirs(xs)
    module = GRU(I, H, batch_first=True, reverse=True)
    load_keras_weights(module, theirs.get_weights())
    got, final = module(xs)
    np.testing.assert_allclose(got.numpy()[:, ::-1], keras.ops.convert_to_numpy(output), rtol=1e-6, atol=1e-6)
    np.testing.assert_allclose(final.numpy()[0], keras.ops.convert_to_numpy(state), rtol=1e-6, atol=1e-6)


def test_a_wrong_gate_order_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    from minigrad_rnn.interop import keras_weights

    for kind, order in ((LSTM, [0, 1, 3, 2]), (GRU, [0, 1, 2])):
        monkeypatch.setitem(keras_weights.GATES, kind.cell_type, order)
        module, weights = kind(I, H, batch_first=True, dtype="float64"), weights_of(kind.cell_type.gates, "one")
        if kind is GRU:
            weights = weights_of(3, "two")
        load_keras_weights(module, weights)
        (xs,) = draw((B, T, I))
        want, _ = run(lstm if kind is LSTM else gru, xs, weights, len(kind.cell_type.state_names))
        assert np.abs(module(xs)[0].numpy() - want).max() > 1e-2


def test_a_cell() -> None:
    cell, weights = GRUCell(I, H, dtype="float64"), weights_of(3, "two")
    load_keras_weights(cell, weights)
    (x,) = draw((B, I))
    np.testing.assert_allclose(cell(x)[0].numpy(), gru(x, [np.zeros((B, H))], *weights)[0], atol=1e-14)


@pytest.mark.parametrize(
    ("module", "weights", "error", "message"),
    [
        (nn.Linear(2, 3), [], TypeError, "module: got Linear, want an RNN, LSTM or GRU, or one of their cells"),
        (MGU(I, H), [], TypeError, "module: got a MGUCell, want RNNCell, LSTMCell or GRUCell"),
        (GRU(I, H), np.ones(3), TypeError, "weights: got ndarray, want a list of arrays"),
        (GRU(I, H), [1, 2, 3], TypeError, r"weights\[0\]: got int, want an array of real numbers"),
        (
            GRU(I, H),
            weights_of(3, "none"),
            ValueError,
            "weights: got 2 arrays, want 3: kernel, recurrent_kernel, bias of",
        ),
        (GRU(I, H, bidirectional=True), weights_of(3, "two"), ValueError, "weights: got 3 arrays, want 6: .* 2 cell"),
        (GRU(I, H), weights_of(3, "one"), ValueError, r"weights\[2\]: bias: got shape \(12,\), .*reset_after=False"),
        (
            GRU(I, H, reset_after=False),
            weights_of(3, "two"),
            ValueError,
            "bias: got shape .*the Keras layer has reset_after=T",
        ),
        (LSTM(I, H), weights_of(4, "one", 7), ValueError, r"weights\[0\]: kernel: got shape \(7, 16\), want \(3, 16\)"),
        (LSTM(I, H, peephole=True), [], ValueError, "LSTMCell: peephole: got True, want False, which Keras has"),
        (LSTM(I, H, clip=1.0), [], ValueError, "LSTMCell: clip: got 1.0, want None, which Keras has"),
        (LSTM(I, H, output_activation="relu"), [], ValueError, "output_activation: got 'relu', want 'tanh'"),
        (RNN(I, H, zoneout=0.1), [], ValueError, "RNN: zoneout: got"),
    ],
)
def test_what_does_not_fit_is_named_and_nothing_written(module: Any, weights: Any, error: Any, message: str) -> None:
    before = module.state_dict()
    with pytest.raises(error, match=f"load_keras_weights: .*{message}"):
        load_keras_weights(module, weights)
    assert all(np.array_equal(before[name], a) for name, a in module.state_dict().items())
