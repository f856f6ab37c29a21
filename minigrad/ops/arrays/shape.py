"""Change the shape of arrays and the order of their axes. Results are views wherever NumPy's are."""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ...backend import scalar
from ...engine.gradient_pool import unbroadcast
from ...engine.primitive import composed, nondifferentiable, primitive
from ...engine.tensor import Tensor

Array = Any
__all__ = ["atleast_1d", "atleast_2d", "atleast_3d", "broadcast_arrays", "broadcast_to", "expand_dims", "flatten"]
__all__ += ["flip", "fliplr", "flipud", "matrix_transpose", "moveaxis", "ndim", "permute_dims", "ravel", "reshape"]
__all__ += ["roll", "rollaxis", "rot90", "shape", "size", "squeeze", "swapaxes", "transpose"]


@nondifferentiable
def shape(x: Any) -> tuple[int, ...]:
    """The length of each axis. Does not synchronise with the device."""
    return tuple(x.shape) if hasattr(x, "shape") else np.shape(x)


@nondifferentiable
def ndim(x: Any) -> int:
    """The number of axes."""
    return len(shape(x))


@nondifferentiable
def size(x: Any, axis: Any = None) -> int:
    """The number of elements, or the length of `axis`, or the product of the lengths of several axes."""
    lengths = shape(x)
    return math.prod(lengths if axis is None else (lengths[k] for k in axes_in(axis, len(lengths), "size: axis")))


def as_int(value: Any) -> int:
    """An integer of any type as a Python int. Synchronises with the device if it is in a tensor there.

    Raises:
        TypeError: `value` is not of an integer type, even if it is equal to an integer.
    """
    return operator.index(scalar(value))


def axes_in(axis: Any, n: int, name: str = "axis") -> tuple[int, ...]:
    """One or several axes as a tuple, counted from the front.

    Raises:
        AxisError: there is no such axis.
        ValueError: an axis is named twice.
    """
    axes = tuple(axis) if isinstance(axis, (tuple, list)) else (axis,)
    for a in axes:
        if not -n <= a < n:
            raise np.exceptions.AxisError(int(a), n, name)
    axes = tuple(int(a) % n for a in axes)
    if len(set(axes)) < len(axes):
        raise ValueError(f"{name}: got {axis}, want each axis once")
    return axes


def axis_in(axis: Any, n: int, name: str = "axis") -> int:
    """One axis, counted from the front."""
    return axes_in(operator.index(axis), n, name)[0]


def along(axis: int, part: Any) -> tuple[Any, ...]:
    """The index that picks `part`, a slice or a position, along one axis and everything along the axes before it."""
    return (*(slice(None),) * axis, part)


def vector_shape(axis: int, ndim: int) -> tuple[int, ...]:
    """The shape (1, …, −1, …, 1) that lays a vector along `axis` of `ndim` axes."""
    return (*(1,) * axis, -1, *(1,) * (ndim - axis - 1))


def with_length(shape: tuple[int, ...], axis: int, n: int) -> tuple[int, ...]:
    """`shape` with the length `n` along `axis`, which is counted from the front."""
    return (*shape[:axis], n, *shape[axis + 1 :])


@primitive
def reshape(xp: Any, x: Array, shape: Any, order: str = "C") -> Any:
    """The same values in another shape, read and written in row-major order, or column-major with `order="F"`."""
    x_shape = x.shape
    if order == "C":
        return xp.reshape(x, shape), (), (lambda xp, g: xp.reshape(g, x_shape), None)
    if order != "F":
        raise ValueError(f"order: got {order!r}, want 'C' or 'F'")
    return xp.reshape(x, shape, order="F"), (), (lambda xp, g: xp.reshape(g, x_shape, order="F"), None, None)


@composed
def ravel(x: Any, order: str = "C") -> Tensor:
    """All values along one axis."""
    return reshape(x, (-1,)) if order == "C" else reshape(x, (-1,), order=order)


@composed
def flatten(x: Any, order: str = "C") -> Tensor:
    """All values along one axis, as `ravel`: tensors are never written in place, so no copy is needed."""
    return ravel(x, order)


@primitive
def transpose(xp: Any, x: Array, axes: Any = None) -> Any:
    """Reorder the axes; reverse them if `axes` is None. A view."""
    if axes is None:
        return xp.transpose(x), (), (lambda xp, g: g.T, None)
    y = xp.transpose(x, axes)
    back = tuple(sorted(range(x.ndim), key=lambda k: axes[k] % x.ndim))
    if x.ndim == 2:  # `g` may be an OuterProduct, which has only `.T`
        return y, (), ((lambda xp, g: g.T) if back == (1, 0) else (lambda xp, g: g), None)
    return y, (), (lambda xp, g: xp.transpose(g, back), None)


permute_dims = transpose


@primitive
def swapaxes(xp: Any, x: Array, axis1: int, axis2: int) -> Any:
    """Exchange two axes. A view."""
    return xp.swapaxes(x, axis1, axis2), (), (lambda xp, g: xp.swapaxes(g, axis1, axis2), None, None)


@composed
def matrix_transpose(x: Any) -> Tensor:
    """Exchange the last two axes: transpose every matrix of a stack. A view.

    Raises:
        ValueError: there are fewer than two axes.
    """
    if ndim(x) < 2:
        raise ValueError(f"matrix_transpose: got shape {shape(x)}, want at least two axes")
    return transpose(x) if ndim(x) == 2 else swapaxes(x, -1, -2)


@composed
def moveaxis(x: Any, source: Any, destination: Any) -> Tensor:
    """Move axes to other positions; the remaining axes keep their order. A view."""
    n = ndim(x)
    sources, targets = axes_in(source, n, "source"), axes_in(destination, n, "destination")
    if len(sources) != len(targets):
        raise ValueError(f"moveaxis: got {len(sources)} axes as source and {len(targets)} as destination, want equal")
    order = [k for k in range(n) if k not in sources]
    for target, axis in sorted(zip(targets, sources)):
        order.insert(target, axis)
    return transpose(x, tuple(order))


@composed
def rollaxis(x: Any, axis: int, start: int = 0) -> Tensor:
    """Move one axis until it lies before position `start`; `moveaxis` is clearer. A view."""
    n = ndim(x)
    axis = axis_in(axis, n)
    if not -n <= start <= n:
        raise np.exceptions.AxisError(f"'start' arg requires {-n} <= start < {n + 1}, but {start} was passed in")
    start = start + n if start < 0 else int(start)
    return moveaxis(x, axis, start - 1 if axis < start else start)


@primitive
def broadcast_to(xp: Any, x: Array, shape: Any) -> Any:
    """Broadcast `x` to a larger shape. A view."""
    x_shape = x.shape
    return xp.broadcast_to(x, shape), (), (lambda xp, g: unbroadcast(xp, g, x_shape, defer=False), None)


@composed
def broadcast_arrays(*arrays: Any) -> tuple[Tensor, ...]:
    """Broadcast arrays to their common shape. Views."""
    common = np.broadcast_shapes(*map(shape, arrays))
    return tuple(broadcast_to(x, common) for x in arrays)


@primitive
def squeeze(xp: Any, x: Array, axis: Any = None) -> Any:
    """Remove axes of length one. A view."""
    shape = x.shape
    return xp.squeeze(x, axis=axis), (), (lambda xp, g: xp.reshape(g, shape), None)


@primitive
def expand_dims(xp: Any, x: Array, axis: Any) -> Any:
    """Insert a new axis of length one. A view."""
    shape = x.shape
    return xp.expand_dims(x, axis), (), (lambda xp, g: xp.reshape(g, shape), None)


def _at_least(arrays: Sequence[Any], wider: Callable[[tuple[int, ...]], tuple[int, ...]]) -> Any:
    """Each array in the shape `wider(shape)`: one tensor for one array, else a tuple, as in NumPy."""
    shapes = [(x, wider(shape(x))) for x in arrays]
    tensors = tuple(x if isinstance(x, Tensor) and x.shape == wide else reshape(x, wide) for x, wide in shapes)
    return tensors[0] if len(tensors) == 1 else tensors


@composed
def atleast_1d(*arrays: Any) -> Any:
    """A single value as an array of length one; other arrays unchanged."""
    return _at_least(arrays, lambda shape: shape or (1,))


@composed
def atleast_2d(*arrays: Any) -> Any:
    """Single values and vectors as matrices of one row; other arrays unchanged."""
    return _at_least(arrays, lambda shape: (1,) * (2 - len(shape)) + shape)


@composed
def atleast_3d(*arrays: Any) -> Any:
    """Arrays of at least three axes: (n,) becomes (1, n, 1), and (m, n) becomes (m, n, 1)."""
    return _at_least(arrays, lambda s: (s or (1,)) if len(s) > 2 else {0: (1, 1, 1), 1: (1, *s, 1), 2: (*s, 1)}[len(s)])


@primitive
def flip(xp: Any, x: Array, axis: Any = None) -> Any:
    """Reverse the order of the elements along `axis`. A view."""
    return xp.flip(x, axis=axis), (), (lambda xp, g: xp.flip(g, axis=axis), None)


@composed
def flipud(x: Any) -> Tensor:
    """Reverse the first axis. A view."""
    return flip(x, 0)


@composed
def fliplr(x: Any) -> Tensor:
    """Reverse the second axis. A view.

    Raises:
        ValueError: there are fewer than two axes.
    """
    if ndim(x) < 2:
        raise ValueError(f"fliplr: got shape {shape(x)}, want at least two axes")
    return flip(x, 1)


@composed
def rot90(x: Any, k: int = 1, axes: Any = (0, 1)) -> Tensor:
    """Rotate the plane of two axes by `k` times 90 degrees, from the first axis towards the second. A view."""
    a, b = axes_in(axes, ndim(x), "axes")
    k = k % 4
    if k == 2:
        return flip(x, (a, b))
    if k == 1:
        return swapaxes(flip(x, b), a, b)
    return flip(swapaxes(x, a, b), b) if k else reshape(x, shape(x))


@primitive
def roll(xp: Any, x: Array, shift: Any, axis: Any = None) -> Any:
    """Shift the elements by `shift` positions (one shift per axis), from the end of an axis round to its start."""
    shifts = tuple(
        int(scalar(n)) for n in (shift if isinstance(shift, (tuple, list)) or ndim(shift) == 1 else (shift,))
    )
    if axis is None:
        total = sum(shifts)
        return xp.roll(x, total), (), (lambda xp, g: xp.roll(g, -total), None, None)
    axes = tuple(int(scalar(k)) for k in (axis if isinstance(axis, (tuple, list)) else (axis,)))
    axes, shifts = axes * (len(shifts) if len(axes) == 1 else 1), shifts * (len(axes) if len(shifts) == 1 else 1)
    return xp.roll(x, shifts, axes), (), (lambda xp, g: xp.roll(g, tuple(-n for n in shifts), axes), None, None)
