"""Errors of a recurrence and of a cell: each names the module, the argument, what it got and what it wants."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from minigrad_rnn import LSTM, RNN, LSTMCell, RNNCell

I, H = 4, 3


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda m: m(np.zeros((3, 2, I + 1))), ValueError, r"LSTM: xs: got shape \(3, 2, 5\), want \(T, B, 4\)"),
        (lambda m: m(np.zeros(I)), ValueError, "LSTM: xs: got shape"),
        (lambda m: m(np.zeros((0, 2, I))), ValueError, "LSTM: xs: got T = 0 steps"),
        (lambda m: m(np.zeros((3, 0, I))), ValueError, "B = 0"),
        (lambda m: m(np.zeros((3, 2, I), np.float32)), TypeError, "LSTM: xs: got dtype float32, want float64"),
        (lambda m: m([[1.0]]), TypeError, "LSTM: xs: got list"),
        (lambda m: m(np.zeros((3, 2, I)), np.zeros((1, 2, H))), ValueError, "state: got 1 arrays, want 2: h, c"),
        (
            lambda m: m(np.zeros((3, 2, I)), (np.zeros((1, 2, H)), np.zeros((1, 3, H)))),
            ValueError,
            r"state: c: got shape \(1, 3, 3\), want \(1, 2, 3\)",
        ),
        (
            lambda m: m(np.zeros((3, 2, I)), (np.zeros((1, 2, H)), np.zeros((1, 2, H), np.float32))),
            TypeError,
            "state: c: got dtype float32",
        ),
    ],
)
def test_errors_of_a_call_name_module_argument_got_and_wanted(call: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        call(LSTM(I, H, dtype="float64"))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: RNN(0, 3), "input_size: got 0"),
        (lambda: RNN(3, -1), "hidden_size: got -1"),
        (lambda: RNN(3, 3, num_layers=0), "RNN: num_layers: got 0"),
        (lambda: RNN(3, 3, nonlinearity="sine"), "nonlinearity: got 'sine'"),
        (lambda: LSTM(3, 3, dropout=1.5), "LSTM: dropout: got 1.5"),
        (lambda: LSTM(3, 3, impl="fast"), "LSTM: impl: got 'fast'"),
        (lambda: LSTM(3, 3, initial_state="ones"), "initial_state: got 'ones'"),
    ],
)
def test_errors_of_a_constructor(make: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()


@pytest.mark.parametrize(
    ("cell", "x", "state"), [(RNNCell, (2, 5), None), (RNNCell, (2, 4), (2, 4)), (LSTMCell, (4,), None)]
)
def test_errors_of_a_cell(cell: Any, x: Any, state: Any) -> None:
    with pytest.raises(ValueError, match=f"{cell.__name__}: (x|state): got"):
        cell(I, H, dtype="float64")(np.zeros(x), None if state is None else np.zeros(state))


def test_dropout_with_one_layer_says_that_it_does_nothing() -> None:
    with pytest.warns(UserWarning, match=r"RNN: dropout=0.5 does nothing with num_layers=1"):
        RNN(I, H, dropout=0.5)


@pytest.mark.parametrize(
    ("x", "state", "message"),
    [
        (np.ones((2, I)), None, "RNNCell: x: got dtype float64, want float32"),
        ([[1.0]], None, "RNNCell: x: got list"),
        (np.ones((2, I), np.float32), np.ones((2, H)), "RNNCell: state: got dtype float64, want float32"),
        (np.ones((2, I), np.float32), "h", "RNNCell: state: got str"),
    ],
)
def test_a_cell_wants_the_parameters_dtype(x: Any, state: Any, message: str) -> None:
    with pytest.raises(TypeError, match=message):
        RNNCell(I, H)(x, state)
