"""The activations, clip and coupled gates of ONNX's recurrent nodes, to and from a cell's options."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from ..cells import Cell, GRUCell, LSTMCell, RNNCell
from ..cells.activations import FORMULAS, Activation, name_of, parameters_of

ACTIVATIONS = {
    "Tanh": "tanh", "Relu": "relu", "Sigmoid": "sigmoid", "Affine": "affine", "LeakyRelu": "leaky_relu",
    "ThresholdedRelu": "thresholded_relu", "ScaledTanh": "scaled_tanh", "HardSigmoid": "hard_sigmoid", "Elu": "elu",
    "Softsign": "softsign", "Softplus": "softplus",
}  # fmt: skip
"""Our names of ONNX's activations."""
POSITIONS = {
    "RNN": ("nonlinearity",),
    "GRU": ("gate_activation", "activation"),
    "LSTM": ("gate_activation", "activation", "output_activation"),
}
"""The cell's options in the order in which a node lists its activations."""
DEFAULTS: dict[str, tuple[Activation, ...]]
DEFAULTS = {"RNN": ("tanh",), "GRU": ("sigmoid", "tanh"), "LSTM": ("sigmoid", "tanh", "tanh")}


def gate_attributes(op: str, cells: Sequence[Cell]) -> dict[str, Any]:
    """Return a node's attributes that say how the gates of these cells, one for each direction, are computed.

    Alpha and beta are always written out: runtimes disagree about what they are where they are left out.
    """
    used = [activation for cell in cells for activation in activations_of(cell)]
    attributes: dict[str, Any] = {}
    if op == "RNN" or used != [*DEFAULTS[op]] * len(cells):
        onnx_names = {ours: name for name, ours in ACTIVATIONS.items()}
        attributes["activations"] = [onnx_names[name_of(activation)] for activation in used]
        every = [parameters_of(activation) for activation in used]
        for k, attribute in enumerate(("activation_alpha", "activation_beta")):
            if numbers := [parameters[k] for parameters in every if len(parameters) > k]:
                attributes[attribute] = numbers
    first = cells[0]
    clip = first.gate_options.clip if isinstance(first, LSTMCell) else getattr(first, "clip", None)
    if clip is not None:
        attributes["clip"] = clip
    if isinstance(first, LSTMCell) and first.gate_options.coupled_gates:
        attributes["input_forget"] = 1
    return attributes


def activations_of(cell: Cell) -> tuple[Activation, ...]:
    """The cell's activations in the order of `POSITIONS`."""
    if isinstance(cell, LSTMCell):
        return cell.gate_options[:3]
    if isinstance(cell, GRUCell):
        return cell.gate_activation, cell.activation
    assert isinstance(cell, RNNCell)
    return (cell.nonlinearity,)


def activation_options(caller: str, op: str, attributes: dict[str, Any], directions: int) -> dict[str, Activation]:
    """Return the cell's activations by option, read off a node's attributes.

    Raises ValueError for a wrong number, an unknown name, parameters without a default that are missing, and for two
    directions that differ.
    """
    positions = POSITIONS[op]
    names = attributes.get("activations")
    if names is None:
        return {}
    if len(names) != directions * len(positions):
        want = f"{len(positions)} for each of {directions} direction(s)"
        raise ValueError(f"{caller}: activations: got {len(names)}, want {want}")
    # Each list of parameters is consumed by the activations that have one, in order.
    alphas, betas = (iter(attributes.get(f"activation_{kind}", ())) for kind in ("alpha", "beta"))
    every = [_read(caller, name, alphas, betas) for name in names]
    first, second = every[: len(positions)], every[-len(positions) :]
    if first != second:
        raise ValueError(f"{caller}: activations: got {first} and backward {second}, want the same in both directions")
    options = dict(zip(positions, first))
    if options.get("output_activation") == options.get("activation"):
        options.pop("output_activation", None)
    return options


def _read(caller: str, name: str, alphas: Iterator[float], betas: Iterator[float]) -> Activation:
    """One activation and the parameters that it consumes."""
    known = {onnx_name.lower(): ours for onnx_name, ours in ACTIVATIONS.items()}
    ours = known.get(name.lower())
    if ours is None:
        raise ValueError(f"{caller}: activations: got {name!r}, want one of {', '.join(ACTIVATIONS)}")
    defaults = FORMULAS[ours].defaults
    parameters = [next(numbers, default) for numbers, default in zip((alphas, betas), defaults)]
    if None in parameters:
        raise ValueError(f"{caller}: activations: got {name} without activation_alpha and _beta, want both")
    return (ours, *parameters) if parameters else ours
