"""Insert parts into an array along an axis, and delete parts."""

from __future__ import annotations

from typing import Any

import numpy as np

from ...backend import is_array
from ...engine.primitive import composed
from ...engine.tensor import Tensor
from ..arrays.conversion import array_like, as_host_array, backend_at
from ..arrays.joining import concatenate
from ..arrays.shape import along, axis_in, broadcast_to, moveaxis, ndim, ravel, reshape, shape, with_length
from ..elementwise.arithmetic import astype
from ..indexing.gather import take

__all__ = ["delete", "insert"]


@composed
def delete(x: Any, obj: Any, axis: int | None = None) -> Tensor:
    """`x` without the parts at `obj` (a position, a slice, several positions or a mask) along `axis`.

    With `axis=None` `x` is flattened first. Synchronises with the device if `obj` is there.
    """
    x, axis, obj = _prepared("delete", x, obj, axis)
    n = shape(x)[axis]
    if isinstance(obj, (int, np.integer)) and -n <= obj < n:
        start = int(obj) % n
        return concatenate([x[along(axis, slice(0, start))], x[along(axis, slice(start + 1, None))]], axis=axis)
    return take(x, backend_at(x).from_numpy(np.delete(np.arange(n), obj)), axis)


@composed
def insert(x: Any, obj: Any, values: Any, axis: int | None = None) -> Tensor:
    """`x` with `values` inserted before the parts at `obj` (a position, a slice, several positions or a mask).

    With `axis=None` `x` is flattened first. Synchronises with the device if `obj` is there.
    """
    x, axis, obj = _prepared("insert", x, obj, axis)
    n = shape(x)[axis]
    is_mask = not isinstance(obj, slice) and np.asarray(obj).dtype == bool
    positions = np.arange(n)[obj] if isinstance(obj, slice) or is_mask else np.asarray(obj)
    values = array_like(values, x)
    if values.dtype != x.dtype:
        values = astype(values, x.dtype)
    count = positions.size
    if count == 1:
        values = reshape(values, (1,) * (ndim(x) - ndim(values)) + shape(values))
        if not positions.ndim:  # the values then have the axes of x[…, position]
            values = moveaxis(values, 0, axis)
        count = shape(values)[axis]
    values = broadcast_to(values, with_length(shape(x), axis, count))
    if positions.size == 1 and -n <= (start := int(positions.reshape(-1)[0])) <= n:
        start = start + n if start < 0 else start
        before, after = x[along(axis, slice(0, start))], x[along(axis, slice(start, None))]
        return concatenate([before, values, after], axis=axis)
    order = np.insert(np.arange(n), obj, np.arange(n, n + count))
    return take(concatenate([x, values], axis=axis), backend_at(x).from_numpy(order), axis)


def _prepared(name: str, x: Any, obj: Any, axis: int | None) -> tuple[Any, int, Any]:
    """`x`, flattened without an axis, the axis counted from the front, and `obj` on the host."""
    if axis is None:
        x, axis = ravel(x), 0
    obj = as_host_array(obj) if isinstance(obj, Tensor) or is_array(obj) else obj
    return x, axis_in(axis, ndim(x), f"{name}: axis"), obj
