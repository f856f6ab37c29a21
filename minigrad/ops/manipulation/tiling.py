"""The same values several times over."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ...backend import is_array, to_numpy
from ...engine.primitive import composed, primitive
from ...engine.tensor import Tensor
from ..arrays.joining import concatenate
from ..arrays.shape import ndim, ravel, reshape, size, whole
from ..indexing.gather import backend_at, take

Array = Any
__all__ = ["repeat", "resize", "tile"]


@primitive
def tile(xp: Any, x: Array, reps: Any) -> Any:
    """`x` laid side by side `reps` times along each axis; missing axes are put in front, of either."""
    counts = tuple(map(whole, reps)) if isinstance(reps, (tuple, list)) or ndim(reps) else (whole(reps),)
    n = max(x.ndim, len(counts))
    counts, sizes = (1,) * (n - len(counts)) + counts, (1,) * (n - x.ndim) + x.shape
    before, apart = x.shape, [k for pair in zip(counts, sizes) for k in pair]

    def rule(xp: Any, g: Array) -> Array:
        return xp.reshape(xp.sum(xp.reshape(g, apart), axis=tuple(range(0, 2 * n, 2))), before)

    return xp.tile(x, counts), (), (rule, None)


@primitive
def _repeat(xp: Any, x: Array, repeats: int, axis: int | None) -> Any:
    before = x.shape
    place = 0 if axis is None else axis % x.ndim
    apart = (*before[: place + 1], repeats, *before[place + 1 :]) if axis is not None else (x.size, repeats)
    rule = lambda xp, g: xp.reshape(xp.sum(xp.reshape(g, apart), axis=place + 1), before)  # noqa: E731
    return xp.repeat(x, repeats, axis=axis), (), rule


def repeat(x: Any, repeats: Any, axis: int | None = None) -> Tensor:
    """Each part of `x` along `axis` several times in a row: as often for all, or one number for each part.

    Without an axis the elements are repeated, as one axis. Numbers in a device's tensor are waited for.
    """
    if axis is not None and not ndim(x):
        x = reshape(x, (1,))  # a number has an axis 0 to NumPy
    if not isinstance(repeats, (list, tuple)) and not ndim(repeats):
        return _repeat(x, repeats=whole(repeats), axis=axis)
    counts = repeats._data if isinstance(repeats, Tensor) else repeats
    counts = to_numpy(counts) if is_array(counts) else np.asarray(counts)
    ids = np.repeat(np.arange(size(x, axis)), counts)
    return take(x, backend_at(x).from_numpy(ids), axis)


@composed
def resize(x: Any, new_shape: Any) -> Tensor:
    """The values of `x` in row-major order, from the beginning again as often as it takes, under another shape."""
    wanted = tuple(new_shape) if isinstance(new_shape, (tuple, list)) else (new_shape,)
    n, there = math.prod(wanted), size(x)
    flat = ravel(x)
    if not there:  # zeros: there is nothing to repeat
        flat, there = concatenate([flat, backend_at(x).xp.zeros((1,), dtype=x.dtype)]), 1
    return reshape((flat if n <= there else tile(flat, -(-n // there)))[:n], wanted)
