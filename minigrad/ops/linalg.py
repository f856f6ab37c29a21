"""Linear algebra, under the names of `numpy.linalg`."""

from __future__ import annotations

from typing import Any

Array = Any
__all__: list[str] = []
