"""The reference implementation's cells, in the variants that its tests cover."""

from __future__ import annotations

from typing import Any

CELLS: dict[str, tuple[str, dict[str, Any], set[str]]] = {
    "rnn": ("rnn", {}, set()),
    "rnn relu, two biases": ("rnn", {"nonlinearity": "relu"}, {"b", "br"}),
    "lstm": ("lstm", {}, {"b"}),
    "lstm, all": ("lstm", {}, {"b", "br", "p", "Wp"}),
    "lstm, peephole": ("lstm", {}, {"p"}),
    "lstm, projection": ("lstm", {}, {"b", "br", "Wp"}),
    "lstm, coupled": (
        "lstm",
        {"coupled_gates": True, "gate_activation": "hard_sigmoid", "output_activation": "softsign"},
        {"b", "p"},
    ),
    "gru": ("gru", {}, {"b", "br"}),
    "gru, reset first": ("gru", {"reset_after": False}, {"b"}),
    "gru, clipped": ("gru", {"activation": ("elu", 0.7), "clip": 1.1}, {"b", "br"}),
    "layer_norm_rnn": ("layer_norm_rnn", {}, {"b"}),
    "layer_norm_lstm": ("layer_norm_lstm", {}, {"b", "shift_h"}),
    "layer_norm_gru": ("layer_norm_gru", {}, {"b", "br"}),
    "mgu": ("mgu", {}, {"b"}),
    "indrnn": ("indrnn", {"nonlinearity": "tanh"}, {"b"}),
    "indrnn relu, no bias": ("indrnn", {}, set()),
}
"""By a name for the case: cell, options, and which of the optional parameters it has."""
