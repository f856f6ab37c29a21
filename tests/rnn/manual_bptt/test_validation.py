"""Arguments of the reference BPTT that do not fit are named."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest

from minigrad_rnn.manual_bptt import reference_bptt
from tests.support.stack_bench import Case, H


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"num_layers": 0}, "num_layers: got 0"),
        ({"num_layers": (1, 0)}, r"num_layers: got \(1, 0\)"),
        ({"lengths": [1, 2]}, r"lengths: got \[1, 2\], want 3 whole numbers"),
        ({"lengths": [1, 2, 5]}, r"lengths: got \[1, 2, 5\]"),
        ({"lengths": [1, 2, 0]}, r"lengths: got \[1, 2, 0\]"),
        ({"lengths": [1.0, 2.0, 3.0]}, "lengths: got"),
        ({"masks": {"forward0": {"c": np.ones((4, 3, H))}}}, r"masks\['forward0'\]: got 'c'"),
        ({"masks": {"forward0": {"h": np.ones((3, H))}}}, r"masks\['forward0'\]\['h'\]: got float64 \(3, 4\)"),
        ({"cut_every": 2}, "cut_every: got 2, want .* to read forward"),
        ({"options": {"nonlinearity": "tanh"}}, r"options: got \['nonlinearity'\]"),
        ({"forward1.Wc": np.zeros((12, 5))}, r"parameters\['forward1.Wc'\]: got float64 \(12, 5\), want .* \(12, 8\)"),
        ({"forward1.Wr": np.zeros((12, 4), np.float32)}, r"parameters\['forward1.Wr'\]: got float32"),
        ({"xs": np.zeros((4, 3, 3), int)}, r"xs: got int64 \(4, 3, 3\)"),
        ({"h_init": np.zeros((4, 3, 5))}, r"initial_state's h: got float64 \(4, 3, 5\), want .* \(4, 3, 4\)"),
    ],
    ids=lambda value: "" if isinstance(value, str) else "-".join(value),
)
def test_arguments_that_do_not_fit_are_named(changed: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=f"manual_bptt: {message}"):
        Case("gru").run(**changed)


def test_a_parameter_that_is_missing_or_unknown_is_named() -> None:
    case = Case("layer_norm_rnn", 1, False)
    for gone, more in itertools.product(("forward0.gain", "forward0.Wc"), (False, True)):
        given = {n: a for n, a in case.values.items() if "." in n and (more or n != gone)}
        if more:
            given["forward0.br"] = np.zeros(H)
        with pytest.raises(ValueError, match=f"manual_bptt: parameters: got {'' if more else 'no '}'"):
            reference_bptt(
                case.cell, given, case.values["xs"], case.values["h_init"], case.divergence_gradient,
                num_layers=1, bidirectional=False,
            )  # fmt: skip


@pytest.mark.parametrize(
    ("cell", "changed", "message"),
    [
        ("rnn", {"options": {"nonlinearity": "gelu"}}, "nonlinearity: got 'gelu', want one of 'tanh', 'relu'"),
        ("rnn", {"num_layers": 3}, "parameters: got no 'forward2.Wc'"),
        ("rnn", {"num_layers": 1}, r"parameters: got \['forward1.Wc', 'forward1.Wr'\], want only those of"),
        ("rnn", {"bidirectional": True}, "parameters: got no 'backward0.Wc'"),
        ("rnn", {"xs": np.zeros((4, 3))}, r"xs: got float64 \(4, 3\), want .* \(T, B, I\)"),
        ("rnn", {"xs": np.zeros((0, 3, 3))}, r"xs: got float64 \(0, 3, 3\)"),
        ("rnn", {"xs": np.zeros((4, 3, 3), int)}, r"xs: got int64 \(4, 3, 3\), want a float32 or float64 array"),
        ("rnn", {"xs": [[[0.0]]]}, "xs: got list"),
        ("rnn", {"xs": np.zeros((4, 3, 9))}, r"parameters\['forward0.Wc'\]: got .* \(4, 3\), want .* \(4, 9\)"),
        ("rnn", {"forward0.Wr": np.zeros((4, 5))}, r"parameters\['forward0.Wr'\]: got .* \(4, 5\), want .* \(4, 4\)"),
        ("lstm", {"forward1.b": np.zeros(16, np.float32)}, r"parameters\['forward1.b'\]: got float32 \(16,\)"),
        ("rnn", {"h_init": np.zeros((2, 2, 4))}, r"initial_state's h: got float64 \(2, 2, 4\), want .* \(2, 3, 4\)"),
        ("rnn", {"h_init": (np.zeros((2, 3, 4)),) * 2}, r"initial_state: got 2 part\(s\), want h"),
        ("rnn", {"ask": lambda output, final: (output[0], final)}, r"the divergence's d_output: got float64 \(3, 4\)"),
        ("rnn", {"ask": lambda output, final: (output, final[0])}, "the divergence's d_final_state's h: got float64"),
    ],
    ids=lambda value: "" if isinstance(value, str) else "-".join(value),
)
def test_arguments_of_a_plain_stack_that_do_not_fit_are_named(cell: str, changed: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=f"manual_bptt: {message}"):
        Case(cell, bidirectional=False).run(**changed)


def test_an_lstm_wants_both_states() -> None:
    values = dict(Case("lstm", bidirectional=False).values)
    xs, h, _ = (values.pop(name) for name in ("xs", "h_init", "c_init"))
    with pytest.raises(ValueError, match=r"initial_state: got 1 part\(s\), want h and c"):
        reference_bptt("lstm", values, xs, h, lambda *seen: seen, num_layers=2, bidirectional=False)


def test_a_parameter_of_another_name_is_named() -> None:
    case = Case("lstm", bidirectional=False)
    case.values["forward1.bias"] = np.zeros(16)
    with pytest.raises(ValueError, match=r"parameters: got 'forward1\.bias', want only Wc Wr b br p Wp"):
        case.run()
