"""Saturated units pass back what is right in compiled sequences, far beyond where 1 − h² and i (1 − i) round to 0."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

import minigrad as mg
from minigrad_rnn import GRU, LSTM, RNN
from tests.support.native_library import require_compiler

DTYPES = {"float32": 1e-6, "float64": 1e-14}
"""With the relative error allowed: the slope itself has four units in the last place, and there are products."""


def slope_of_tanh(z: float) -> float:
    q = math.exp(-2 * abs(z))
    return 4 * q / (1 + q) ** 2


def slope_of_sigmoid(z: float) -> float:
    q = math.exp(-abs(z))
    return q / (1 + q) ** 2


def gradient_of_x(net: Any, z: float, dtype: str, state: int | None = None) -> float:
    """d(h or c) / dx of a net of one unit that reads x = z, all weights but the first gate's being zero."""
    x = mg.tensor(np.full((1, 1, 1), z, dtype), requires_grad=True)
    output, final = net(x)
    mg.sum(output if state is None else final[state]).backward()
    return float(x.grad.item())


def one_unit(kind: Any, first_gate: list[float], b: list[float], dtype: str) -> Any:
    net = kind(1, 1, impl="native", dtype=dtype)
    for name, parameter in net.named_parameters():
        values = {"forward0.Wc": first_gate, "forward0.b": b}.get(name, [0.0] * parameter.size)
        parameter.data = np.array(values, dtype).reshape(parameter.shape)
    return net


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("z", [-40.0, -20.0, -10.0, -6.0, 0.5, 6.0, 10.0, 20.0, 40.0])
def test_saturated_units(z: float, dtype: str) -> None:
    require_compiler()
    tolerance = DTYPES[dtype]
    rnn = one_unit(RNN, [1.0], [0.0], dtype)
    assert gradient_of_x(rnn, z, dtype) == pytest.approx(slope_of_tanh(z), rel=tolerance, abs=0)
    lstm = one_unit(LSTM, [1.0, 0.0, 0.0, 0.0], [0.0, 0.0, 1.0, 0.0], dtype)  # c = i tanh 1
    wanted = slope_of_sigmoid(z) * math.tanh(1.0)
    assert gradient_of_x(lstm, z, dtype, state=1) == pytest.approx(wanted, rel=tolerance, abs=0)
    gru = one_unit(GRU, [0.0, 1.0, 0.0], [0.0, 0.0, 1.0], dtype)  # h = (1 − z) tanh 1
    wanted = -slope_of_sigmoid(z) * math.tanh(1.0)
    assert gradient_of_x(gru, z, dtype) == pytest.approx(wanted, rel=tolerance, abs=0)
