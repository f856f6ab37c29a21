"""Linear algebra with the array API's arguments."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from .. import ops
from ..engine.tensor import Tensor


def pinv(x: Tensor, /, *, rtol: Any = None) -> Tensor:
    """Return the pseudo-inverse; singular values up to `rtol` times the largest count as 0.

    `rtol` is by default the larger side times the dtype's eps.
    """
    smallest = max(x.shape[-2:]) * float(np.finfo(x.dtype).eps)
    return ops.linalg.pinv(x, smallest if rtol is None else rtol)


def trace(x: Tensor, /, *, offset: int = 0, dtype: Any = None) -> Tensor:
    """Return the sum along a diagonal of every matrix of a stack, computed in `dtype`."""
    return ops.linalg.trace(x if dtype is None else ops.astype(x, dtype), offset)


if TYPE_CHECKING:

    def __getattr__(name: str) -> Any: ...

else:
    globals().update({name: getattr(ops.linalg, name) for name in ops.linalg.__all__ if name not in globals()})
