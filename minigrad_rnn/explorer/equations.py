"""explained gives a lane's equations as MathML, forward and back, with the line of the reference BPTT for each."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from importlib import resources
from typing import Any, NamedTuple

from .mathml import mathml


class Equation(NamedTuple):
    """An equation in the lecture's notation, and where the reference BPTT computes it: the start of a line."""

    text: str
    file: str = ""
    function: str = ""
    line: str = ""


LECTURE, CELLS, CLASSICS, GENERAL = "lecture.py", "plain_cells.py", "classics.py", "general_recurrence.py"
FORWARD: dict[str, list[Equation]] = {
    "rnn": [
        Equation("z(t) = Wc x(t) + Wr h(t−1) + b", LECTURE, "RNN_forward", "z[t, l] ="),
        Equation("h(t) = F(z(t))", LECTURE, "RNN_forward", "h[t, l] = activation"),
    ],
    "lstm": [
        Equation("z(t) = Wc x(t) + Wr h(t−1) + b", LECTURE, "LSTM_forward", "z[t, l] ="),
        Equation("i = σ(z_i), f = σ(z_f), g = tanh(z_g), o = σ(z_o)", LECTURE, "LSTM_gates", "return sigma"),
        Equation("c(t) = f ⊙ c(t−1) + i ⊙ g", LECTURE, "LSTM_forward", "c[t, l] ="),
        Equation("h(t) = o ⊙ tanh(c(t))", LECTURE, "LSTM_forward", "h[t, l] = o"),
    ],
    "gru": [
        Equation("z_r = Wc x(t) + b + Wr h(t−1) + br", CELLS, "gru_step", "zr, zz ="),
        Equation("r = σ(z_r), z = σ(z_z)", CELLS, "gru_step", "r, z ="),
        Equation("z_n = Wc x(t) + b + r ⊙ (Wr h(t−1) + br)", CELLS, "gru_step", "zn ="),
        Equation("n = tanh(z_n)", CELLS, "gru_step", "n ="),
        Equation("h(t) = (1 − z) ⊙ n + z ⊙ h(t−1)", CELLS, "gru_step", "return ((1.0 - z)"),
    ],
    "gru_reset_first": [
        Equation("z_r = Wc x(t) + b + Wr h(t−1)", CELLS, "gru_reset_first_step", "zr, zz ="),
        Equation("r = σ(z_r), z = σ(z_z)", CELLS, "gru_reset_first_step", "r, z ="),
        Equation("z_n = Wc x(t) + b + Wr (r ⊙ h(t−1))", CELLS, "gru_reset_first_step", "zn ="),
        Equation("n = tanh(z_n)", CELLS, "gru_reset_first_step", "n ="),
        Equation("h(t) = (1 − z) ⊙ n + z ⊙ h(t−1)", CELLS, "gru_reset_first_step", "return ((1.0 - z)"),
    ],
    "input": [Equation("h(t, 0) = x(t)", LECTURE, "RNN_forward", "h[t, 0] =")],
    "state_output": [Equation("Y(t) = h(t, L)")],
    "merge": [Equation("Y(t) = [h_f(t), h_b(t)]", LECTURE, "bidirectional_forward", "return np.stack")],
    "readout": [Equation("Y(t) = Wo h(t) + bo", LECTURE, "network_forward", "zo =")],
}
BACKWARD: dict[str, list[Equation]] = {
    "rnn": [
        Equation("dz(t) = dh(t) ⊙ F′(z(t))", LECTURE, "RNN_bptt", "dz[t, l] ="),
        Equation("dx(t) += dz(t) Wc", LECTURE, "RNN_bptt", "dh[t, l - 1] +="),
        Equation("dh(t−1) += dz(t) Wr", LECTURE, "RNN_bptt", "dh[t - 1, l] +="),
        Equation("dWc += dz(t)ᵀ x(t)", LECTURE, "RNN_bptt", "dWc[l - 1] +="),
        Equation("dWr += dz(t)ᵀ h(t−1)", LECTURE, "RNN_bptt", "dWr[l - 1] +="),
        Equation("db += dz(t)", LECTURE, "RNN_bptt", "db[l - 1] +="),
    ],
    "lstm": [
        Equation("do = dh(t) ⊙ tanh(c(t))", LECTURE, "LSTM_bptt", "do ="),
        Equation("dc(t) += dh(t) ⊙ o ⊙ (1 − tanh(c(t))²)", LECTURE, "LSTM_bptt", "dc[t, l] +="),
        Equation("di = dc(t) ⊙ g, df = dc(t) ⊙ c(t−1), dg = dc(t) ⊙ i", LECTURE, "LSTM_bptt", "di, df, dg ="),
        Equation("dc(t−1) += dc(t) ⊙ f", LECTURE, "LSTM_bptt", "dc[t - 1, l] +="),
        Equation("dz_i = di ⊙ i ⊙ (1 − i), dz_g = dg ⊙ (1 − g²)", LECTURE, "LSTM_bptt", "dzi, dzf, dzg, dzo ="),
        Equation("dh(t−1) += dz(t) Wr", LECTURE, "LSTM_bptt", "dh[t - 1, l] +="),
        Equation("dx(t) += dz(t) Wc", LECTURE, "LSTM_bptt", "dh[t, l - 1] +="),
        Equation("dWc += dz(t)ᵀ x(t)", LECTURE, "LSTM_bptt", "dWc[l - 1] +="),
        Equation("dWr += dz(t)ᵀ h(t−1)", LECTURE, "LSTM_bptt", "dWr[l - 1] +="),
        Equation("db += dz(t)", LECTURE, "LSTM_bptt", "db[l - 1] +="),
    ],
    "gru": [
        Equation("dz_n = dh(t) ⊙ (1 − z) ⊙ (1 − n²)", CELLS, "gru_back", "dan ="),
        Equation("dz_z = dh(t) ⊙ (h(t−1) − n) ⊙ z ⊙ (1 − z)", CELLS, "gru_back", "daz ="),
        Equation("dz_r = dz_n ⊙ (Wr h(t−1) + br) ⊙ r ⊙ (1 − r)", CELLS, "gru_back", "dar ="),
        Equation("dWc += da(t)ᵀ x(t), dWr += du(t)ᵀ h(t−1)", CELLS, "gru_back", "pool("),
        Equation("dh(t−1) += dh(t) ⊙ z + du(t) Wr", CELLS, "gru_back", "return da"),
    ],
    "gru_reset_first": [
        Equation("dz_n = dh(t) ⊙ (1 − z) ⊙ (1 − n²)", CELLS, "gru_reset_first_back", "dan ="),
        Equation("dz_z = dh(t) ⊙ (h(t−1) − n) ⊙ z ⊙ (1 − z)", CELLS, "gru_reset_first_back", "daz ="),
        Equation("dz_r = (dz_n Wr) ⊙ h(t−1) ⊙ r ⊙ (1 − r)", CELLS, "gru_reset_first_back", "dar ="),
        Equation("dWc += da(t)ᵀ x(t)", CELLS, "gru_reset_first_back", "pool("),
        Equation("dh(t−1) += dh(t) ⊙ z + dz_r Wr + dq ⊙ r", CELLS, "gru_reset_first_back", "return da"),
    ],
    "input": [Equation("dx(t) = dh(t, 0)", LECTURE, "RNN_bptt", "dx[t] =")],
    "state_output": [Equation("dh(t, L) += dY(t)", LECTURE, "RNN_bptt", "dh[t, L] +=")],
    "merge": [Equation("dh_f(t), dh_b(t) = dY(t)", LECTURE, "bidirectional_bptt", "dhf, dhb =")],
    "readout": [
        Equation("dWo += dY(t)ᵀ h(t)", LECTURE, "network_bptt", "dWo +="),
        Equation("dbo += dY(t)", LECTURE, "network_bptt", "dbo +="),
        Equation("dh(t) += dY(t) Wo", LECTURE, "network_bptt", "dh[t, L] +="),
    ],
}
"""The equations of each kind of lane, in the order in which a step computes them. F is the layer's own function."""


def explained(cell: str, names: Mapping[str, str]) -> list[dict[str, Any]]:
    """Return the equations of a kind of lane, forward and back: MathML, and file, number and text of the line.

    `names` maps what an equation leaves open to what this lane has: F, its function, or "t−1" to "t+1" for one that
    reads backward.
    """
    lines = []
    for backward, equations in ((False, FORWARD), (True, BACKWARD)):
        for equation in equations.get(cell, []):
            text = equation.text
            for old, new in names.items():
                text = text.replace(old, new)
            number, code = reference_line(equation) if equation.file else (0, "")
            lines.append({
                "backward": backward, "math": mathml(text), "file": equation.file, "number": number, "code": code
            })  # fmt: skip
    return lines


def reference_line(equation: Equation) -> tuple[int, str]:
    """The number and the text of the equation's line in the reference BPTT.

    Raises:
        LookupError: there is no such line.
    """
    lines = _lines(equation.file)
    start = next((k for k, line in enumerate(lines) if line.startswith(f"def {equation.function}(")), len(lines))
    for k in range(start + 1, len(lines)):
        if lines[k].startswith("def "):
            break
        if lines[k].strip().startswith(equation.line):
            return k + 1, lines[k].strip()
    raise LookupError(f"explorer: {equation.file}: {equation.function} has no line {equation.line!r}")


@lru_cache(maxsize=16)
def _lines(file: str) -> list[str]:
    text = (resources.files("minigrad_rnn.manual_bptt") / file).read_text(encoding="utf-8")
    return text.splitlines()
