"""Parts put between others, or left out, at places that are known on the host."""

from __future__ import annotations

from typing import Any

import numpy as np

from ...backend import is_array, to_numpy
from ...engine.primitive import composed
from ...engine.tensor import Tensor
from ..arrays.joining import concatenate
from ..arrays.shape import axis_in, broadcast_to, moveaxis, ndim, ravel, reshape, shape
from ..elementwise.arithmetic import astype
from ..indexing.gather import backend_at, take

Array = Any
__all__ = ["delete", "insert"]


def _places(obj: Any) -> Any:
    """Where, on the host: a number, a slice or an array."""
    obj = obj._data if isinstance(obj, Tensor) else obj
    return to_numpy(obj) if is_array(obj) else obj


@composed
def delete(x: Any, obj: Any, axis: int | None = None) -> Tensor:
    """`x` without its parts at `obj` (a number, a slice, several numbers or a mask) along `axis`.

    Without an axis the elements count as one. A device is waited for where `obj` is there.
    """
    if axis is None:
        x, axis = ravel(x), 0
    axis = axis_in(axis, ndim(x), "delete: axis")
    n, places = shape(x)[axis], _places(obj)
    if isinstance(places, (int, np.integer)) and -n <= places < n:
        lead = (slice(None),) * axis
        start = int(places) % n
        return concatenate([x[(*lead, slice(0, start))], x[(*lead, slice(start + 1, None))]], axis=axis)
    return take(x, backend_at(x).from_numpy(np.delete(np.arange(n), places)), axis)


@composed
def insert(x: Any, obj: Any, values: Any, axis: int | None = None) -> Tensor:
    """`x` with `values` put before its parts at `obj` (a number, a slice, several numbers or a mask) along `axis`.

    Without an axis the elements count as one. A device is waited for where `obj` is there.
    """
    if axis is None:
        x, axis = ravel(x), 0
    axis = axis_in(axis, ndim(x), "insert: axis")
    n, places = shape(x)[axis], _places(obj)
    indices = np.arange(n)[places] if isinstance(places, slice) or _is_mask(places) else np.asarray(places)
    values = values if hasattr(values, "dtype") else backend_at(x).from_numpy(np.asarray(values, dtype=x.dtype))
    if values.dtype != x.dtype:
        values = astype(values, x.dtype)
    count = indices.size
    if count == 1:
        values = reshape(values, (1,) * (ndim(x) - ndim(values)) + shape(values))
        if not indices.ndim:  # the values' axes are then those of x[…, place] = values
            values = moveaxis(values, 0, axis)
        count = shape(values)[axis]
    values = broadcast_to(values, (*shape(x)[:axis], count, *shape(x)[axis + 1 :]))
    if indices.size == 1 and -n <= (place := int(indices.reshape(-1)[0])) <= n:
        lead, place = (slice(None),) * axis, place + n if place < 0 else place
        return concatenate([x[(*lead, slice(0, place))], values, x[(*lead, slice(place, None))]], axis=axis)
    order = np.insert(np.arange(n), places, np.arange(n, n + count))
    return take(concatenate([x, values], axis=axis), backend_at(x).from_numpy(order), axis)


def _is_mask(places: Any) -> bool:
    return bool(np.asarray(places).dtype == bool)
