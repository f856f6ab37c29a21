"""An example: a valid call, made anew each time, from which one argument at a time is spoilt."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

import minigrad as mg

T, B, I, H, K = 3, 2, 2, 3, 4
XS = np.linspace(-1, 1, T * B * I, dtype=np.float32).reshape(T, B, I)
HS = np.linspace(-1, 1, T * B * H, dtype=np.float32).reshape(T, B, H)
YS = np.linspace(-1, 1, T * B * K, dtype=np.float32).reshape(T, B, K)
IDS = np.arange(T * B).reshape(T, B) % K
LENGTHS = np.array([3, 2])
LOG_PROBS = np.full((T, B, K), -np.log(K), np.float32)
Arguments = dict[str, Any]
MODEL: Arguments = {"rng": 0, "dtype": "float32"}
Example = tuple[Callable[..., Any], Arguments]


def leaf() -> mg.Tensor:
    return mg.tensor([1.0, 2.0], requires_grad=True)


def loss() -> mg.Tensor:
    x = leaf()
    return (x * x).sum()


def square(x: Any) -> Any:
    return (x * x).sum()


def call(make: Callable[[], Any], **arguments: Any) -> Callable[[], Example]:
    """A call of a module."""
    return lambda: (make(), dict(arguments))


def method(make: Callable[[], Any], name: str, **arguments: Any) -> Callable[[], Example]:
    return lambda: (getattr(make(), name), dict(arguments))


class New:
    """An argument that each call gets anew."""

    def __init__(self, make: Callable[[], Any]) -> None:
        self.make = make


def function(_target: Callable[..., Any], **arguments: Any) -> Callable[[], Example]:
    return lambda: (
        _target,
        {key: value.make() if isinstance(value, New) else value for key, value in arguments.items()},
    )
