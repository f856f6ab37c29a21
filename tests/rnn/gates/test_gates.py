"""The gate equations as plain C on vectors: they compile, and each derivative is that of the value beside it."""

from __future__ import annotations

import ctypes
import itertools
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from minigrad_rnn import gates

HEADERS = Path(gates.__file__).parent
LANES = 4
FUNCTIONS = r"""
#include <math.h>
typedef SCALAR Real __attribute__((vector_size(4 * sizeof(SCALAR))));
#define EQUATION static inline __attribute__((always_inline))
#define EACH(name, of, result) \
    EQUATION Real name(Real of) { \
        Real y; \
        for (int j = 0; j < 4; ++j) y[j] = result; \
        return y; \
    }
EACH(sigmoid_kept, z, 1 / (1 + exp(-z[j])))
EACH(tanh_kept, z, tanh(z[j]))
EACH(relu, z, z[j] < 0 ? 0 : z[j])
EQUATION Real sigmoid_value(Real kept) { return kept; }
EQUATION Real sigmoid_value_of_minus(Real kept) { return 1 - kept; }
EQUATION Real sigmoid_slope(Real kept) { return kept * (1 - kept); }
EQUATION Real tanh_value(Real kept) { return kept; }
EQUATION Real tanh_slope(Real kept) { return 1 - kept * kept; }
EQUATION Real relu_gradient(Real h, Real dh) { return (Real)((h > 0) & (__typeof__(h > 0))dh); }
"""
# Of every cell: from its inputs x its outputs y, and from the gradients dy of these those of the inputs, dx.
CELLS = r"""
void rnn_tanh(const Real* x, Real* y) { Real kept; y[0] = rnn_tanh_value(x[0], &kept); }
void rnn_tanh_back(const Real* x, const Real* dy, Real* dx) {
    Real kept;
    rnn_tanh_value(x[0], &kept);
    dx[0] = rnn_tanh_derivative(rnn_tanh_factor(kept), dy[0]);
}

void rnn_relu(const Real* x, Real* y) { y[0] = rnn_relu_value(x[0]); }
void rnn_relu_back(const Real* x, const Real* dy, Real* dx) {
    dx[0] = rnn_relu_derivative(rnn_relu_value(x[0]), dy[0]);
}

// x: z_i, z_f, z_g, z_o, c(t−1); y: h(t), c(t)
void lstm(const Real* x, Real* y) { Real kept[4]; y[0] = lstm_value(x, 0, x[4], &y[1], kept); }
void lstm_back(const Real* x, const Real* dy, Real* dx) {
    Real kept[4], c;
    lstm_value(x, 0, x[4], &c, kept);
    dx[4] = dy[1];
    lstm_derivative(lstm_factors(kept, x[4], c), 0, dy[0], &dx[4], dx);
}

// x: also p_i, p_f, p_o, whose gradients are the callers' to form
void lstm_peephole(const Real* x, Real* y) { Real kept[4]; y[0] = lstm_value(x, x + 5, x[4], &y[1], kept); }
void lstm_peephole_back(const Real* x, const Real* dy, Real* dx) {
    Real kept[4], c;
    lstm_value(x, x + 5, x[4], &c, kept);
    dx[4] = dy[1];
    lstm_derivative(lstm_factors(kept, x[4], c), x + 5, dy[0], &dx[4], dx);
    dx[5] = dx[0] * x[4], dx[6] = dx[1] * x[4], dx[7] = dx[3] * c;
}

// x: a_r, a_z, a_n, y_r, y_z, y_n, h(t−1); y: h(t)
void gru(const Real* x, Real* y) { Real kept[4]; y[0] = gru_value(x[0] + x[3], x[1] + x[4], x[2], x[5], x[6], kept); }
void gru_back(const Real* x, const Real* dy, Real* dx) {
    Real kept[4];
    gru_value(x[0] + x[3], x[1] + x[4], x[2], x[5], x[6], kept);
    gru_derivative(gru_factors(kept, x[6]), dy[0], dx, &dx[5], &dx[6]);
    dx[3] = dx[0], dx[4] = dx[1];
}

// x: z_r, z_z, a_n, h(t−1), with Wr_n = 3; y: h(t)
void gru_reset_first(const Real* x, Real* y) {
    Real kept[3];
    const Real q = reset_first_gates(x[0], x[1], x[3], kept);
    y[0] = reset_first_value(x[2] + 3 * q, kept[1], x[3], &kept[2]);
}
void gru_reset_first_back(const Real* x, const Real* dy, Real* dx) {
    Real kept[3];
    const Real q = reset_first_gates(x[0], x[1], x[3], kept);
    reset_first_value(x[2] + 3 * q, kept[1], x[3], &kept[2]);
    candidate_derivative(candidate_factors(kept[1], kept[2], x[3]), dy[0], &dx[2], &dx[1], &dx[3]);
    dx[3] += reset_first_gates_derivative(kept[0], x[3] * sigmoid_slope(kept[0]), 3 * dx[2], &dx[0]);
}
"""
SIZES = {
    "rnn_tanh": (1, 1),
    "rnn_relu": (1, 1),
    "lstm": (5, 2),
    "lstm_peephole": (8, 2),
    "gru": (7, 1),
    "gru_reset_first": (4, 1),
}
"""How many inputs and outputs a cell has."""
FAULTS = {
    "rnn_relu": ("relu_gradient(h, dh)", "relu_gradient(h + 1, dh)"),
    "rnn_tanh": ("dh * factor", "dh"),
    "lstm": (": d * k.f;", ": d;"),
    "lstm_peephole": ("return p ? d + p[2] * dz[3] : d;", "return d;"),
    "gru": ("*dy_n = da[2] * k.r;", "*dy_n = da[2] + k.r;"),
    "gru_reset_first": ("return dq * sigmoid_value(kept_r);", "return dq;"),
}


def compiled(folder: Path, compiler: str, scalar: str, change: Callable[[str], str] = str) -> ctypes.CDLL:
    """Build the equations, each header edited by `change`, with every warning as an error."""
    headers = "".join((HEADERS / f"{name}.h").read_text("utf-8") for name in ("rnn", "lstm", "gru", "gru_reset_first"))
    source, library = folder / "gates.c", folder / "gates.so"
    text = FUNCTIONS.replace("SCALAR", scalar) + change(headers.replace("#pragma once\n", "")) + CELLS
    source.write_text(text, "utf-8")
    command = [compiler, "-std=gnu11", "-O1", "-Wall", "-Werror", "-Wno-psabi", "-fPIC", "-shared"]
    subprocess.run([*command, str(source), "-o", str(library), "-lm"], check=True, capture_output=True, text=True)
    return ctypes.CDLL(str(library))


def aligned(count: int, dtype: Any) -> np.ndarray[Any, Any]:
    """Zeros (count, LANES), at an address that a vector may have."""
    size = LANES * np.dtype(dtype).itemsize
    memory = np.zeros(count * size + 64, np.uint8)
    start = -memory.ctypes.data % 64
    vectors: np.ndarray[Any, Any] = memory[start : start + count * size].view(dtype).reshape(count, LANES)
    return vectors


def called(function: Any, *arrays: np.ndarray[Any, Any]) -> None:
    function(*(ctypes.c_void_p(a.ctypes.data) for a in arrays))


def farthest(library: ctypes.CDLL, cell: str, dtype: Any, step: float) -> float:
    """How far the gradients lie from central differences, at most."""
    n, m = SIZES[cell]
    rng = np.random.default_rng(0)
    x, dy, y, dx = (aligned(count, dtype) for count in (n, m, m, n))
    x[:], dy[:] = rng.normal(size=x.shape), rng.normal(size=dy.shape)
    called(library[f"{cell}_back"], x, dy, dx)
    distance = 0.0
    for k in range(n):
        sides = []
        for sign in (1, -1):
            there = aligned(n, dtype)
            there[:] = x
            there[k] += sign * step
            called(library[cell], there, y)
            sides.append(y.astype(np.float64))
        slope = (dy * (sides[0] - sides[1])).sum(0) / (2 * step)
        distance = max(distance, float(abs(slope - dx[k]).max()))
    return distance


@pytest.fixture(params=["gcc", "clang"])
def compiler(request: pytest.FixtureRequest) -> str:
    if not shutil.which(request.param):
        pytest.skip(f"C: {request.param} is missing")
    return str(request.param)


def test_each_derivative_is_that_of_its_value(tmp_path: Path, compiler: str) -> None:
    for (scalar, dtype, step, tolerance), cell in itertools.product(
        [("double", np.float64, 1e-5, 1e-9), ("float", np.float32, 1e-2, 1e-3)], SIZES
    ):
        folder = tmp_path / f"{scalar}_{cell}"
        folder.mkdir()
        assert farthest(compiled(folder, compiler, scalar), cell, dtype, step) < tolerance, (cell, scalar)


@pytest.mark.parametrize("cell", FAULTS)
def test_a_wrong_derivative_is_seen(tmp_path: Path, compiler: str, cell: str) -> None:
    right, wrong = FAULTS[cell]

    def change(text: str) -> str:
        assert text.count(right) == 1
        return text.replace(right, wrong)

    assert farthest(compiled(tmp_path, compiler, "double", change), cell, np.float64, 1e-5) > 1e-3


def test_a_nan_stays_in_its_lane(tmp_path: Path, compiler: str) -> None:
    """As in NumPy: something is NaN where an argument is, and what stands in one lane touches no other."""
    library = compiled(tmp_path, compiler, "double")
    for cell, (n, m) in SIZES.items():
        for k, wrong in itertools.product(range(n), (np.nan, np.inf, -np.inf)):
            x, y, clean = aligned(n, np.float64), aligned(m, np.float64), aligned(m, np.float64)
            x[:] = np.linspace(-1, 1, x.size).reshape(x.shape)
            called(library[cell], x, clean)
            x[k, 1] = wrong
            called(library[cell], x, y)
            np.testing.assert_array_equal(y[:, [0, 2, 3]], clean[:, [0, 2, 3]])
            assert not np.isnan(wrong) or np.isnan(y[:, 1]).any(), (cell, k)
