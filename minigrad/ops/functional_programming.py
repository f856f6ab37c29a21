"""A function of vectors or numbers, applied all over an array."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from functools import wraps
from typing import Any

import numpy as np

from ..engine.primitive import composed
from ..engine.tensor import Tensor, tensor
from .arrays.joining import stack, unstack
from .arrays.shape import broadcast_arrays, expand_dims, moveaxis, ndim, ravel, reshape, shape

__all__ = ["apply_along_axis", "apply_over_axes", "vectorize"]


@composed
def apply_along_axis(func1d: Callable[..., Any], axis: int, x: Any, *args: Any, **options: Any) -> Tensor:
    """`func1d(vector, *args, **options)` of every vector along `axis`; what it gives, of any shape, is put there.

    One call for each vector: for whole arrays at once look for a function with an `axis`.
    """
    axis = axis % ndim(x)
    vectors = moveaxis(x, axis, -1)
    apart = vectors.shape[:-1]
    made = [func1d(v, *args, **options) for v in unstack(reshape(vectors, (math.prod(apart), vectors.shape[-1])))]
    if not made:
        raise ValueError(f"apply_along_axis: got shape {shape(x)}, want at least one vector along axis {axis}")
    found = stack([y if hasattr(y, "dtype") else tensor(y, dtype=vectors.dtype) for y in made])
    inner = found.shape[1:]
    places = range(len(apart), len(apart) + len(inner))
    return moveaxis(reshape(found, (*apart, *inner)), tuple(places), tuple(range(axis, axis + len(inner))))


@composed
def apply_over_axes(func: Callable[[Any, int], Any], x: Any, axes: Any) -> Any:
    """`func(x, axis)` for one axis after the other; where it drops the axis, it is put back with length one."""
    n = ndim(x)
    for axis in axes if isinstance(axes, Iterable) else (axes,):
        axis = int(axis) % n
        y = func(x, axis)
        x = expand_dims(y, axis) if ndim(y) == n - 1 else y
        if ndim(x) != n:
            raise ValueError(f"apply_over_axes: func gave shape {shape(y)} for {n} axes, want as many or one less")
    return x


def vectorize(pyfunc: Callable[..., Any]) -> Callable[..., Any]:
    """A function of numbers as one of arrays, which broadcast: one call, and its entries on the tape, per element.

    Made for convenience, as NumPy's, not for speed. Where `pyfunc` gives a tuple, so does the new function.
    """

    @wraps(pyfunc)
    def over_elements(*args: Any, **options: Any) -> Any:
        arrays = broadcast_arrays(*args)
        whole = arrays[0].shape
        made = [pyfunc(*values, **options) for values in zip(*(unstack(ravel(a)) for a in arrays))]
        if not made:
            raise ValueError(f"vectorize: got arrays of shape {whole}, want at least one element")
        if isinstance(made[0], tuple):
            return tuple(_joined(parts, arrays, whole) for parts in zip(*made))
        return _joined(made, arrays, whole)

    return over_elements


def _joined(parts: Any, arrays: Any, whole: tuple[int, ...]) -> Tensor:
    dtype = np.result_type(*(a.dtype for a in arrays))
    return reshape(stack([p if hasattr(p, "dtype") else tensor(p, dtype=dtype) for p in parts]), whole)
