"""Repeat an array, its parts, or its values until they fill a shape."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ...engine.primitive import composed, primitive
from ...engine.summation import accurate_sum
from ...engine.tensor import Tensor
from ..arrays.conversion import as_host_array, backend_at
from ..arrays.joining import concatenate
from ..arrays.shape import as_int, ndim, ravel, reshape, size
from ..indexing.gather import take

Array = Any
__all__ = ["repeat", "resize", "tile"]


@primitive
def tile(xp: Any, x: Array, reps: Any) -> Any:
    """`x` repeated `reps` times along each axis; missing axes of `x` or entries of `reps` are added in front."""
    counts = tuple(map(as_int, reps)) if isinstance(reps, (tuple, list)) or ndim(reps) else (as_int(reps),)
    n, shape = max(x.ndim, len(counts)), x.shape
    counts, sizes = (1,) * (n - len(counts)) + counts, (1,) * (n - x.ndim) + shape
    split_shape = [k for pair in zip(counts, sizes) for k in pair]

    def rule(xp: Any, g: Array) -> Array:
        return xp.reshape(accurate_sum(xp.reshape(g, split_shape), tuple(range(0, 2 * n, 2))), shape)

    return xp.tile(x, counts), (), (rule, None)


@primitive
def _repeat(xp: Any, x: Array, repeats: int, axis: int | None) -> Any:
    shape, lead = x.shape, 0 if axis is None else axis % x.ndim
    split_shape = (x.size, repeats) if axis is None else (*shape[: lead + 1], repeats, *shape[lead + 1 :])
    rule = lambda xp, g: xp.reshape(accurate_sum(xp.reshape(g, split_shape), lead + 1), shape)  # noqa: E731
    return xp.repeat(x, repeats, axis=axis), (), rule


def repeat(x: Any, repeats: Any, axis: int | None = None) -> Tensor:
    """Repeat each part of `x` along `axis`: all equally often, or with one number for each part.

    With `axis=None` `x` is flattened first. Synchronises with the device if the numbers are there.
    """
    if axis is not None and not ndim(x):
        x = reshape(x, (1,))  # NumPy gives a number an axis 0
    if not isinstance(repeats, (list, tuple)) and not ndim(repeats):
        return _repeat(x, repeats=as_int(repeats), axis=axis)
    ids = np.repeat(np.arange(size(x, axis)), as_host_array(repeats))
    return take(x, backend_at(x).from_numpy(ids), axis)


@composed
def resize(x: Any, new_shape: Any) -> Tensor:
    """The values of `x` in row-major order in another shape, repeated from the start if there are too few."""
    new_shape = tuple(new_shape) if isinstance(new_shape, (tuple, list)) else (new_shape,)
    n, available, flat = math.prod(new_shape), size(x), ravel(x)
    if not available:  # an empty array is resized to zeros
        flat, available = concatenate([flat, backend_at(x).xp.zeros((1,), dtype=x.dtype)]), 1
    return reshape((flat if n <= available else tile(flat, -(-n // available)))[:n], new_shape)
