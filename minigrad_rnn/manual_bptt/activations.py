"""Activations of the reference BPTT and their derivatives by z, by hand, with a clip of z before them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from .lecture import Array, sigma

FUNCTIONS: dict[str, tuple[Callable[..., Array], Callable[..., Array], tuple[Any, ...]]] = {
    "tanh": (lambda z: np.tanh(z), lambda z: 1.0 - np.tanh(z) ** 2, ()),
    "relu": (lambda z: np.maximum(z, 0.0), lambda z: z > 0.0, ()),
    "sigmoid": (sigma, lambda z: sigma(z) * (1.0 - sigma(z)), ()),
    "affine": (lambda z, a, b: a * z + b, lambda z, a, b: np.full(z.shape, a), (1.0, 0.0)),
    "leaky_relu": (lambda z, a: np.where(z > 0.0, z, a * z), lambda z, a: np.where(z > 0.0, 1.0, a), (0.01,)),
    "thresholded_relu": (lambda z, a: np.where(z > a, z, 0.0), lambda z, a: z > a, (1.0,)),
    "scaled_tanh": (lambda z, a, b: a * np.tanh(b * z), lambda z, a, b: a * b / np.cosh(b * z) ** 2, (None, None)),
    "hard_sigmoid": (
        lambda z, a, b: np.minimum(1.0, np.maximum(0.0, a * z + b)),
        lambda z, a, b: a * ((a * z + b >= 0.0) & (a * z + b <= 1.0)),
        (0.2, 0.5),
    ),
    "elu": (
        lambda z, a: np.where(z > 0.0, z, a * (np.exp(np.minimum(z, 0.0)) - 1.0)),
        lambda z, a: np.where(z > 0.0, 1.0, a * np.exp(np.minimum(z, 0.0))),
        (1.0,),
    ),
    "softsign": (lambda z: z / (1.0 + np.abs(z)), lambda z: 1.0 / (1.0 + np.abs(z)) ** 2, ()),
    "softplus": (lambda z: np.log1p(np.exp(-np.abs(z))) + np.maximum(z, 0.0), sigma, ()),
}
"""f(z), df/dz, and the parameters' values where they are left out."""


@dataclass(frozen=True)
class Activation:
    """h = f(q) with q = z limited to ±clip: `f(z)` gives h, and `f.slope(z)` gives dh/dz."""

    name: str
    parameters: tuple[float, ...] = ()
    clip: float = np.inf

    def __call__(self, z: Array) -> Array:
        value = FUNCTIONS[self.name][0]
        return np.asarray(value(np.clip(z, -self.clip, self.clip), *self.parameters), z.dtype)

    def slope(self, z: Array) -> Array:
        derivative = FUNCTIONS[self.name][1]
        inside = np.abs(z) <= self.clip
        return np.asarray(derivative(np.clip(z, -self.clip, self.clip), *self.parameters) * inside, z.dtype)


def activation_of(option: str, value: Any, clip: Any = None) -> Activation:
    """Return the activation: `value` is a name, or a tuple of a name and its parameters. ValueError for any other."""
    name, *parameters = value if isinstance(value, tuple) and value else (value,)
    if not isinstance(name, str) or name not in FUNCTIONS:
        raise ValueError(f"manual_bptt: {option}: got {value!r}, want one of {', '.join(map(repr, FUNCTIONS))}")
    defaults = FUNCTIONS[name][2]
    parameters = [*parameters, *defaults[len(parameters) :]]
    if len(parameters) != len(defaults) or None in parameters:
        raise ValueError(f"manual_bptt: {option}: got {value!r}, want {name!r} with {len(defaults)} parameters")
    if clip is not None and not clip > 0:
        raise ValueError(f"manual_bptt: clip: got {clip!r}, want a positive number, or None")
    return Activation(name, tuple(parameters), np.inf if clip is None else clip)


TANH, SIGMOID = Activation("tanh"), Activation("sigmoid")
