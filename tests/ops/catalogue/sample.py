"""One way to call an operation, and how the same is written elsewhere."""

from __future__ import annotations

import zlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest

from minigrad.engine.primitive import REGISTRY


@dataclass(frozen=True)
class Sample:
    """One way to call a primitive: `call(m, *inputs)`, where `m` is minigrad or another array library.

    `inputs` are arrays (integers and booleans are constants) or shapes, filled with `low + |noise|` where `low` is
    given, else with normal noise. `numpy` and `torch` say how the same is written there; None where it is as in
    `call`, False where there is nothing to compare with.
    """

    name: str
    call: Callable[..., Any]
    inputs: tuple[Any, ...]
    low: float | None = None
    numpy: Any = None
    torch: Any = False
    autograd: bool = False
    waits: bool = False
    label: str = ""

    @property
    def id(self) -> str:
        return f"{self.name}-{self.label}" if self.label else self.name

    def arrays(self, dtype: Any = np.float64) -> list[np.ndarray]:
        rng = np.random.default_rng(zlib.crc32(self.id.encode()))
        arrays = []
        for source in self.inputs:
            if isinstance(source, tuple):
                noise = rng.standard_normal(source)
                arrays.append(np.asarray(noise if self.low is None else self.low + np.abs(noise), dtype))
            else:
                array = np.asarray(source)
                arrays.append(array.astype(dtype) if array.dtype.kind == "f" else array)
        return arrays

    def of(self, *inputs: Any) -> Sample:
        """The same on other inputs."""
        return replace(self, inputs=inputs, low=None)


A, B, V = (3, 4), (4, 2), (4,)


def unary(name: str, low: float | None = None, **how: Any) -> Sample:
    return Sample(name, lambda m, x: getattr(m, name)(x), (A,), low, **{"torch": None, "autograd": True, **how})


def binary(name: str, low: float | None = None, **how: Any) -> Sample:
    return Sample(
        name, lambda m, a, b: getattr(m, name)(a, b), (A, (4,)), low, **{"torch": None, "autograd": True, **how}
    )


def own(m: Any, name: str) -> Any:
    """A primitive without a public name, under another library's stand-in for it."""
    return REGISTRY[name]


def scipy_special(name: str) -> Any:
    """`scipy.special`'s function, as a sample's `numpy`."""
    return lambda m, *args: getattr(pytest.importorskip("scipy.special"), name)(*args)


def reduction(name: str, axis: Any, keepdims: bool, **how: Any) -> Sample:
    return Sample(
        name,
        lambda m, x: getattr(m, name)(x, axis=axis, keepdims=keepdims),
        ((2, 3, 4),),
        label=f"{axis}-{keepdims}",
        **{"autograd": True, **how},
    )


def shaper(name: str, *args: Any, shape: tuple[int, ...] = (2, 3, 4), label: str = "", **how: Any) -> Sample:
    return Sample(name, lambda m, x: getattr(m, name)(x, *args), (shape,), label=label or str(args), **how)
