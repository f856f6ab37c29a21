"""Apply a function of vectors or numbers all over an array."""

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
    """Replace every vector along `axis` by `func1d(vector, *args, **options)`, which may have any shape.

    Calls `func1d` once per vector: a function with an `axis` argument is faster.
    """
    axis = axis % ndim(x)
    vectors = moveaxis(x, axis, -1)
    *outer, n = vectors.shape
    results = [func1d(v, *args, **options) for v in unstack(reshape(vectors, (math.prod(outer), n)))]
    if not results:
        raise ValueError(f"apply_along_axis: got shape {shape(x)}, want at least one vector along axis {axis}")
    y = _stacked(results, vectors.dtype)
    inner = y.shape[1:]
    last_axes = range(len(outer), len(outer) + len(inner))
    return moveaxis(reshape(y, (*outer, *inner)), tuple(last_axes), tuple(range(axis, axis + len(inner))))


@composed
def apply_over_axes(func: Callable[[Any, int], Any], x: Any, axes: Any) -> Any:
    """Apply `func(x, axis)` for one axis after the other; an axis that it removes is put back with length one."""
    n = ndim(x)
    for axis in axes if isinstance(axes, Iterable) else (axes,):
        axis = int(axis) % n
        y = func(x, axis)
        x = expand_dims(y, axis) if ndim(y) == n - 1 else y
        if ndim(x) != n:
            raise ValueError(f"apply_over_axes: func returned shape {shape(y)}, want {n} axes or one less")
    return x


def vectorize(pyfunc: Callable[..., Any]) -> Callable[..., Any]:
    """Turn a function of numbers into a function of arrays, which broadcast. A tuple of results stays a tuple.

    As NumPy's, it is for convenience, not for speed: it calls `pyfunc`, and records its operations, for every element.
    """

    @wraps(pyfunc)
    def over_elements(*args: Any, **options: Any) -> Any:
        arrays = broadcast_arrays(*args)
        shape, dtype = arrays[0].shape, np.result_type(*(a.dtype for a in arrays))
        results = [pyfunc(*values, **options) for values in zip(*(unstack(ravel(a)) for a in arrays))]
        if not results:
            raise ValueError(f"vectorize: got arrays of shape {shape}, want at least one element")
        if isinstance(results[0], tuple):
            return tuple(reshape(_stacked(parts, dtype), shape) for parts in zip(*results))
        return reshape(_stacked(results, dtype), shape)

    return over_elements


def _stacked(results: Iterable[Any], dtype: Any) -> Tensor:
    """Results stacked along a new first axis, Python numbers in `dtype`."""
    return stack([y if hasattr(y, "dtype") else tensor(y, dtype=dtype) for y in results])
