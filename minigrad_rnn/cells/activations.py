"""Activation functions of recurrent cells, by name: those of ONNX's recurrent nodes, and the clip before them.

An activation is a name, such as "tanh", or a name and its parameters: ("hard_sigmoid", 0.25, 0.5) is
max(0, min(1, 0.25 z + 0.5)). Parameters that are left out are ONNX's. Derivatives at a kink are those of minigrad's
functions.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import minigrad as mg
from minigrad import Tensor, ops
from minigrad.validation import check_choice, is_number, shown

Array = Any
Activation = str | tuple[Any, ...]
"""A name in `FORMULAS`, or a tuple of the name and its parameters, which are Python floats."""


@dataclass(frozen=True)
class Formula:
    """y = value(xp, z, *parameters), on arrays and on the tape; dy/dz = slope(xp, y, *parameters), on arrays."""

    value: Callable[..., Any]
    slope: Callable[..., Any]
    defaults: tuple[float | None, ...] = ()
    """The parameters' values where they are left out; None where there is none."""


FORMULAS = {
    "tanh": Formula(lambda xp, z: xp.tanh(z), lambda xp, y: 1 - y * y),
    "relu": Formula(lambda xp, z: mg.call_in(xp, mg.relu, z), lambda xp, y: xp.sign(y)),
    "sigmoid": Formula(lambda xp, z: mg.call_in(xp, mg.sigmoid, z), lambda xp, y: y - y * y),
    "affine": Formula(lambda xp, z, a, b: a * z + b, lambda xp, y, a, b: xp.full_like(y, a), (1.0, 0.0)),
    "leaky_relu": Formula(
        lambda xp, z, a: mg.call_in(xp, mg.leaky_relu, z, a),
        lambda xp, y, a: xp.where(y > 0, xp.ones_like(y), xp.full_like(y, a)),
        (0.01,),
    ),
    "thresholded_relu": Formula(
        lambda xp, z, a: mg.call_in(xp, mg.threshold, z, a, 0.0), lambda xp, y, a: xp.abs(xp.sign(y)), (1.0,)
    ),
    "scaled_tanh": Formula(
        lambda xp, z, a, b: a * xp.tanh(b * z), lambda xp, y, a, b: b * (a - y * y / a), (None, None)
    ),
    "hard_sigmoid": Formula(
        lambda xp, z, a, b: xp.clip(a * z + b, 0.0, 1.0),
        lambda xp, y, a, b: a * xp.where((y > 0) & (y < 1), xp.ones_like(y), xp.zeros_like(y)),
        (0.2, 0.5),
    ),
    "elu": Formula(
        lambda xp, z, a: mg.call_in(xp, mg.elu, z, a), lambda xp, y, a: xp.where(y > 0, xp.ones_like(y), y + a), (1.0,)
    ),
    "softsign": Formula(lambda xp, z: mg.call_in(xp, mg.softsign, z), lambda xp, y: xp.square(1 - xp.abs(y))),
    "softplus": Formula(lambda xp, z: xp.logaddexp(z, xp.zeros_like(z)), lambda xp, y: -xp.expm1(-y)),
}
"""The activations, with ONNX's parameters alpha and beta in this order."""
ON_TAPE: dict[Activation, Callable[[Any], Tensor]] = {"tanh": mg.tanh, "relu": mg.relu, "sigmoid": mg.sigmoid}
"""Those that are one operation."""


def check_activation(caller: str, **arguments: Any) -> list[Activation]:
    """Return each argument as an `Activation` with all of its parameters, or with none of them.

    Raises ValueError for an unknown name, or parameters that are no numbers, too many, or missing without a default.
    """
    result: list[Activation] = []
    for argument, value in arguments.items():
        name, *parameters = value if isinstance(value, (tuple, list)) and value else (value,)
        check_choice(caller, [*FORMULAS], **{argument: name})
        defaults = FORMULAS[name].defaults
        values = (*parameters, *defaults[len(parameters) :])
        if len(values) != len(defaults) or not all(is_number(number) for number in values):
            wanted = " and ".join(("alpha", "beta")[: len(defaults)]) or "no parameters"
            raise ValueError(f"{caller}: {argument}: got {value!r}, want {name!r} with {wanted}")
        result.append((name, *map(float, values)) if parameters else name)
    return result


def check_clip(caller: str, clip: Any) -> float | None:
    """Return the clip as a float, or None. Raises ValueError for anything but a positive number or None."""
    if clip is not None and (not is_number(clip) or not clip > 0):
        raise ValueError(f"{caller}: clip: got {shown(clip)}, want a positive number, or None")
    return None if clip is None else float(clip)


def parameters_of(activation: Activation) -> tuple[Any, ...]:
    """All parameters of the activation."""
    return FORMULAS[activation].defaults if isinstance(activation, str) else activation[1:]


def name_of(activation: Activation) -> str:
    return activation if isinstance(activation, str) else str(activation[0])


def on_tape(activation: Activation, clip: float | None = None) -> Callable[[Any], Tensor]:
    """Return the function of tensors: the activation of z, limited to ±clip first."""
    if clip is None and activation in ON_TAPE:
        return ON_TAPE[activation]
    return _composed(activation, clip)


@lru_cache
def _composed(activation: Activation, clip: float | None) -> Callable[[Any], Tensor]:
    value, parameters = FORMULAS[name_of(activation)].value, parameters_of(activation)
    if clip is None:
        return lambda z: value(ops, z, *parameters)
    return lambda z: value(ops, mg.clip(z, -clip, clip), *parameters)


def slope_refusal(activation: Activation) -> str:
    """Why the slope cannot be computed from the activation's value, as fused sequences do; "" if it can."""
    name, parameters = name_of(activation), parameters_of(activation)
    unclear = name in ("leaky_relu", "elu", "scaled_tanh") and not parameters[0] > 0
    if unclear or (name == "thresholded_relu" and parameters[0] < 0):  # whose value 0 may be z itself
        return f"the value of {activation!r} does not determine its slope"
    return ""
