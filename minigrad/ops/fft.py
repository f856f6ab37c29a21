"""Discrete Fourier transforms, under the names of `numpy.fft`."""

from __future__ import annotations

from typing import Any

Array = Any
__all__: list[str] = []
