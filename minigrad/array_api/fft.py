"""Fourier transforms with the array API's arguments."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from .. import ops
from ..engine.tensor import Tensor
from .creation import asarray


def fftfreq(n: int, /, *, d: float = 1.0, dtype: Any = None, device: str | None = None) -> Tensor:
    """Return the frequencies of the n values of `fft` for samples d apart, in float32 by default."""
    return asarray(ops.fft.fftfreq(n, d), dtype=np.float32 if dtype is None else dtype, device=device)


def rfftfreq(n: int, /, *, d: float = 1.0, dtype: Any = None, device: str | None = None) -> Tensor:
    """Return the frequencies of the values of `rfft` for n samples d apart, in float32 by default."""
    return asarray(ops.fft.rfftfreq(n, d), dtype=np.float32 if dtype is None else dtype, device=device)


if TYPE_CHECKING:

    def __getattr__(name: str) -> Any: ...

else:
    globals().update({name: getattr(ops.fft, name) for name in ops.fft.__all__ if name not in globals()})
