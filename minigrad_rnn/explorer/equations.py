"""explained gives a lane's equations as MathML, forward and back, with the line of the reference BPTT for each."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from html import escape
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
    "lstm_variant": [
        Equation("z(t) = Wc x(t) + Wr h(t−1) + b", CELLS, "lstm_step", "z = x"),
        Equation("c(t) = f ⊙ c(t−1) + i ⊙ g", CELLS, "lstm_step", "c ="),
        Equation("m = o ⊙ F(c(t))", CELLS, "lstm_step", "m ="),
        Equation("h(t) = Wp m", CELLS, "lstm_step", "return (m @"),
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
    "state_space": [
        Equation("z(t) = Wc x(t) + Wr h(t−1) + b", CLASSICS, "_one_hidden_layer", "z[t] ="),
        Equation("h(t) = F(z(t))", CLASSICS, "_one_hidden_layer", "h[t] ="),
    ],
    "jordan": [
        Equation("z(t) = Wc x(t) + Wr m(t) + b", CLASSICS, "jordan_reference", "z[t] ="),
        Equation("h(t) = F(z(t))", CLASSICS, "jordan_reference", "h[t] ="),
    ],
    "jordan_memory": [Equation("m(t+1) = μ m(t) + Y(t)", CLASSICS, "jordan_reference", "m[t + 1] =")],
    "jordan_output": [
        Equation("zo(t) = Wo h(t) + bo", CLASSICS, "jordan_reference", "zo[t] ="),
        Equation("Y(t) = G(zo(t))", CLASSICS, "jordan_reference", "Y[t] ="),
    ],
    "output": [
        Equation("zo(t) = Wo h(t) + bo", CLASSICS, "_one_hidden_layer", "zo[t] ="),
        Equation("Y(t) = G(zo(t))", CLASSICS, "_one_hidden_layer", "Y[t] ="),
    ],
    "narx": [
        Equation("z(t) = Wc [x(t), x(t−1), …] + Wr [Y(t−1), …] + b", CLASSICS, "narx_reference", "z = z +"),
        Equation("h(t) = F(z(t))", CLASSICS, "perceptron", "trace, l ="),
    ],
    "narx_upper": [
        Equation("z(t) = Wc h(t) + b", CLASSICS, "perceptron", "z = affine"),
        Equation("h(t) = F(z(t))", CLASSICS, "perceptron", "trace.append"),
    ],
    "narx_output": [
        Equation("zo(t) = Wo h(t) + bo", CLASSICS, "perceptron", "zo ="),
        Equation("Y(t) = G(zo(t))", CLASSICS, "perceptron", "trace.append((zo"),
    ],
    "general": [
        Equation("z(t) = Σ W k(t−lag) + b", GENERAL, "general_recurrence_reference", "z[layer][t] +="),
        Equation("LAYER(t) = F(z(t))", GENERAL, "general_recurrence_reference", "a[layer][t] ="),
    ],
    "input": [Equation("h(t, 0) = x(t)", LECTURE, "RNN_forward", "h[t, 0] =")],
    "state_output": [Equation("Y(t) = h(t, L)")],
    "embedding": [Equation("e(t) = E_w, w = x(t)")],
    "context_before": [Equation("α_s = softmax_s(score(h(t−1), h_s))"), Equation("c(t) = Σ α_s h_s")],
    "context_after": [Equation("α_s = softmax_s(score(h(t), h_s))"), Equation("c(t) = Σ α_s h_s")],
    "mix": [Equation("m(t) = tanh(Wm [h(t), c(t)] + bm)")],
    "merge": [Equation("Y(t) = [h_f(t), h_b(t)]", LECTURE, "bidirectional_forward", "return np.stack")],
    "other_readout": [Equation("Y(t) = g(h(t))")],
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
    "lstm_variant": [
        Equation("dm = dh(t) Wp", CELLS, "lstm_back", "dm ="),
        Equation("dc(t) += dm ⊙ o ⊙ F′(c(t))", CELLS, "lstm_back", "dc = dc + dm"),
        Equation("dc(t−1) += dc(t) ⊙ f", CELLS, "lstm_back", "dc0 ="),
        Equation("dWc += dz(t)ᵀ x(t), dWr += dz(t)ᵀ h(t−1)", CELLS, "lstm_back", "pool(pooled, Wc"),
        Equation("dx(t) += dz(t) Wc, dh(t−1) += dz(t) Wr", CELLS, "lstm_back", "return dz"),
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
    "state_space": [
        Equation("dh(t) += dzo(t) Wo", CLASSICS, "_one_hidden_layer", "dh[t] += affine_back"),
        Equation("dz(t) = dh(t) ⊙ F′(z(t))", CLASSICS, "_one_hidden_layer", "dz ="),
        Equation("dx(t) += dz(t) Wc, dWc += dz(t)ᵀ x(t)", CLASSICS, "_one_hidden_layer", "dxs[t] +="),
        Equation("dWr += dz(t)ᵀ h(t−1)", CLASSICS, "_one_hidden_layer", "d_before ="),
        Equation("dh(t−1) += dz(t) Wr", CLASSICS, "_one_hidden_layer", "dh[t - 1] +="),
    ],
    "elman": [
        Equation("dh(t) += dzo(t) Wo", CLASSICS, "_one_hidden_layer", "dh[t] += affine_back"),
        Equation("dz(t) = dh(t) ⊙ F′(z(t))", CLASSICS, "_one_hidden_layer", "dz ="),
        Equation("dx(t) += dz(t) Wc, dWc += dz(t)ᵀ x(t)", CLASSICS, "_one_hidden_layer", "dxs[t] +="),
        Equation("dWr += dz(t)ᵀ h(t−1), and nothing for h(t−1)", CLASSICS, "_one_hidden_layer", "d_before ="),
    ],
    "jordan": [
        Equation("dz(t) = dh(t) ⊙ F′(z(t))", CLASSICS, "jordan_reference", "dz ="),
        Equation("dx(t) += dz(t) Wc, dWc += dz(t)ᵀ x(t)", CLASSICS, "jordan_reference", "dxs[t] +="),
        Equation("dm(t) += dz(t) Wr, dWr += dz(t)ᵀ m(t)", CLASSICS, "jordan_reference", "dm[t] += affine_back"),
    ],
    "jordan_memory": [
        Equation("dY(t) += dm(t+1)", CLASSICS, "jordan_reference", "dY ="),
        Equation("dm(t) += μ dm(t+1)", CLASSICS, "jordan_reference", "dm[t] += mu"),
    ],
    "jordan_output": [
        Equation("dzo(t) = dY(t) ⊙ G′(zo(t)), dWo += dzo(t)ᵀ h(t)", CLASSICS, "jordan_reference", "dh = affine_back")
    ],
    "output": [Equation("dzo(t) = dY(t) ⊙ G′(zo(t)), dWo += dzo(t)ᵀ h(t)", CLASSICS, "_one_hidden_layer", "dh[t] +=")],
    "narx": [
        Equation("dz(t) = dh(t) ⊙ F′(z(t))", CLASSICS, "perceptron_back", "return jacobian_product"),
        Equation("dx(t−k) += dz(t) Wc", CLASSICS, "narx_reference", "window_back(dX"),
        Equation("dY(t−k) += dz(t) Wr", CLASSICS, "narx_reference", "window_back(dF"),
    ],
    "narx_upper": [Equation("dz(t) = dh(t) ⊙ F′(z(t))", CLASSICS, "perceptron_back", "dh = affine_back(p, pooled, f")],
    "narx_output": [
        Equation("dh(t) = dzo(t) Wo, dWo += dzo(t)ᵀ h(t)", CLASSICS, "perceptron_back", "dh = affine_back")
    ],
    "general": [
        Equation("dz(t) = dLAYER(t) ⊙ F′(z(t))", GENERAL, "general_recurrence_reference", "dz ="),
        Equation("dk(t−lag) += dz(t) W, dW += dz(t)ᵀ k(t−lag)", GENERAL, "general_recurrence_reference", "da[source]"),
        Equation("db += dz(t)", GENERAL, "general_recurrence_reference", "pooled["),
    ],
    "input": [Equation("dx(t) = dh(t, 0)", LECTURE, "RNN_bptt", "dx[t] =")],
    "embedding": [Equation("dE_w += de(t)")],
    "context_before": [Equation("dα_s = dc(t) · h_s, dh_s += α_s dc(t)")],
    "context_after": [Equation("dα_s = dc(t) · h_s, dh_s += α_s dc(t)")],
    "mix": [Equation("dh(t), dc(t) += (dm(t) ⊙ (1 − m(t)²)) Wm")],
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
    reads backward; "LAYER" is its name.
    """
    lines = []
    kind = "state_space" if cell == "elman" else cell
    for backward, equations in ((False, FORWARD), (True, BACKWARD)):
        for equation in equations.get(cell, equations.get(kind, [])):
            text = equation.text
            for old, new in names.items():
                text = text if old == "LAYER" else text.replace(old, new)
            if not text:
                continue
            number, code = reference_line(equation) if equation.file else (0, "")
            math = mathml(text).replace("LAYER", escape(names.get("LAYER", "")))
            lines.append({
                "backward": backward, "math": math, "file": equation.file, "number": number, "code": code
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
    from importlib import resources  # here, for it takes a quarter of the time of importing all

    text = (resources.files("minigrad_rnn.manual_bptt") / file).read_text(encoding="utf-8")
    return text.splitlines()
