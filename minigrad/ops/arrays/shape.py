"""Operations that give the same values another shape, or their axes another order. Views wherever NumPy gives views."""

from __future__ import annotations

import math
import operator
from collections.abc import Sequence
from typing import Any

import numpy as np

from ...engine.gradient_pool import unbroadcast
from ...engine.primitive import composed, nondifferentiable, primitive
from ...engine.tensor import Tensor

Array = Any
__all__ = [
    "atleast_1d",
    "atleast_2d",
    "atleast_3d",
    "broadcast_arrays",
    "broadcast_to",
    "expand_dims",
    "flatten",
    "flip",
    "fliplr",
    "flipud",
    "matrix_transpose",
    "moveaxis",
    "ndim",
    "permute_dims",
    "ravel",
    "reshape",
    "roll",
    "rollaxis",
    "rot90",
    "shape",
    "size",
    "squeeze",
    "swapaxes",
    "transpose",
]


@nondifferentiable
def shape(x: Any) -> tuple[int, ...]:
    """The length of each axis; of a tensor on the device too, without waiting for it."""
    return tuple(x.shape) if hasattr(x, "shape") else np.shape(x)


@nondifferentiable
def ndim(x: Any) -> int:
    """The number of axes."""
    return len(shape(x))


@nondifferentiable
def size(x: Any, axis: Any = None) -> int:
    """The number of elements, or the length of `axis`, or that of several multiplied."""
    lengths = shape(x)
    return math.prod(lengths if axis is None else (lengths[k] for k in axes_in(axis, len(lengths), "size: axis")))


def whole(value: Any) -> int:
    """A whole number of any kind as Python's. In a device's tensor it is waited for.

    Raises:
        TypeError: it is no whole number, though it may be equal to one.
    """
    return operator.index(value.item() if hasattr(value, "item") else value)


def axes_in(axis: Any, n: int, name: str = "axis") -> tuple[int, ...]:
    """`axis`, a number or several, counted from the front; an error of NumPy's own kind where there is none such."""
    axes = tuple(axis) if isinstance(axis, (tuple, list)) else (axis,)
    for a in axes:
        if not -n <= a < n:
            raise np.exceptions.AxisError(int(a), n, name)
    found = tuple(int(a) % n for a in axes)
    if len(set(found)) < len(found):
        raise ValueError(f"{name}: got {axis}, want each axis once")
    return found


def axis_in(axis: Any, n: int, name: str = "axis") -> int:
    """One axis, counted from the front."""
    return axes_in(operator.index(axis), n, name)[0]


@primitive
def reshape(xp: Any, x: Array, shape: Any, order: str = "C") -> Any:
    """The same values, in row-major order or with `order="F"` in column-major order, under another shape."""
    before = x.shape
    if order == "C":
        return xp.reshape(x, shape), (), (lambda xp, g: xp.reshape(g, before), None)
    if order != "F":
        raise ValueError(f"order: got {order!r}, want 'C' or 'F'")
    return xp.reshape(x, shape, order="F"), (), (lambda xp, g: xp.reshape(g, before, order="F"), None, None)


@composed
def ravel(x: Any, order: str = "C") -> Tensor:
    """All values in one axis."""
    return reshape(x, (-1,)) if order == "C" else reshape(x, (-1,), order=order)


@composed
def flatten(x: Any, order: str = "C") -> Tensor:
    """All values in one axis, as `ravel`: tensors are never written in place, so none needs a copy of its own."""
    return ravel(x, order)


@primitive
def transpose(xp: Any, x: Array, axes: Any = None) -> Any:
    """The axes in another order, reversed where none is given. A view."""
    if axes is None:
        return xp.transpose(x), (), (lambda xp, g: g.T, None)
    y = xp.transpose(x, axes)
    back = tuple(sorted(range(x.ndim), key=lambda k: axes[k] % x.ndim))
    if x.ndim == 2:  # `g` may be the factors of a weight's gradient
        return y, (), ((lambda xp, g: g.T) if back == (1, 0) else (lambda xp, g: g), None)
    return y, (), (lambda xp, g: xp.transpose(g, back), None)


permute_dims = transpose


@primitive
def swapaxes(xp: Any, x: Array, axis1: int, axis2: int) -> Any:
    """Two axes exchanged. A view."""
    return xp.swapaxes(x, axis1, axis2), (), (lambda xp, g: xp.swapaxes(g, axis1, axis2), None, None)


@composed
def matrix_transpose(x: Any) -> Tensor:
    """The last two axes exchanged: every matrix of a stack transposed. A view.

    Raises:
        ValueError: there are fewer than two axes.
    """
    if ndim(x) < 2:
        raise ValueError(f"matrix_transpose: got shape {shape(x)}, want at least two axes")
    return transpose(x) if ndim(x) == 2 else swapaxes(x, -1, -2)


@composed
def moveaxis(x: Any, source: Any, destination: Any) -> Tensor:
    """Some axes moved to other places, the others kept in order. A view."""
    n = ndim(x)
    here, there = axes_in(source, n, "source"), axes_in(destination, n, "destination")
    if len(here) != len(there):
        raise ValueError(f"moveaxis: got {len(here)} axes as source and {len(there)} as destination, want as many")
    order = [k for k in range(n) if k not in here]
    for to, axis in sorted(zip(there, here)):
        order.insert(to, axis)
    return transpose(x, tuple(order))


@composed
def rollaxis(x: Any, axis: int, start: int = 0) -> Tensor:
    """One axis moved until it lies before the place `start`; `moveaxis` says it more plainly. A view."""
    n = ndim(x)
    axis = axis_in(axis, n)
    if not -n <= start <= n:
        raise np.exceptions.AxisError(f"'start' arg requires {-n} <= start < {n + 1}, but {start} was passed in")
    start = start + n if start < 0 else int(start)
    return moveaxis(x, axis, start - 1 if axis < start else start)


@primitive
def broadcast_to(xp: Any, x: Array, shape: Any) -> Any:
    """`x` stretched to a larger shape by NumPy's rules. A view."""
    before = x.shape
    return xp.broadcast_to(x, shape), (), (lambda xp, g: unbroadcast(xp, g, before, defer=False), None)


@composed
def broadcast_arrays(*arrays: Any) -> tuple[Tensor, ...]:
    """All of them stretched to the shape that they have in common by NumPy's rules. Views."""
    whole = np.broadcast_shapes(*map(shape, arrays))
    return tuple(broadcast_to(x, whole) for x in arrays)


@primitive
def squeeze(xp: Any, x: Array, axis: Any = None) -> Any:
    """Without the axes of length one. A view."""
    before = x.shape
    return xp.squeeze(x, axis=axis), (), (lambda xp, g: xp.reshape(g, before), None)


@primitive
def expand_dims(xp: Any, x: Array, axis: Any) -> Any:
    """With a new axis of length one. A view."""
    before = x.shape
    return xp.expand_dims(x, axis), (), (lambda xp, g: xp.reshape(g, before), None)


def _each(arrays: Sequence[Any], wider: Any) -> Any:
    """One array gives one tensor, several give a tuple, as NumPy has it."""
    shapes = [(x, wider(shape(x))) for x in arrays]
    made = tuple(x if isinstance(x, Tensor) and x.shape == wide else reshape(x, wide) for x, wide in shapes)
    return made[0] if len(made) == 1 else made


@composed
def atleast_1d(*arrays: Any) -> Any:
    """A single value as an array of length one; all others as they are."""
    return _each(arrays, lambda shape: shape or (1,))


@composed
def atleast_2d(*arrays: Any) -> Any:
    """Values and vectors as matrices of one row; all others as they are."""
    return _each(arrays, lambda shape: (1,) * (2 - len(shape)) + shape)


@composed
def atleast_3d(*arrays: Any) -> Any:
    """With three axes at least: (n,) becomes (1, n, 1), and (m, n) becomes (m, n, 1)."""
    return _each(arrays, lambda s: (s or (1,)) if len(s) > 2 else {0: (1, 1, 1), 1: (1, *s, 1), 2: (*s, 1)}[len(s)])


@primitive
def flip(xp: Any, x: Array, axis: Any = None) -> Any:
    """In reverse order along `axis`. A view."""
    return xp.flip(x, axis=axis), (), (lambda xp, g: xp.flip(g, axis=axis), None)


@composed
def flipud(x: Any) -> Tensor:
    """The rows in reverse order: the first axis flipped. A view."""
    return flip(x, 0)


@composed
def fliplr(x: Any) -> Tensor:
    """The columns in reverse order: the second axis flipped. A view.

    Raises:
        ValueError: there are fewer than two axes.
    """
    if ndim(x) < 2:
        raise ValueError(f"fliplr: got shape {shape(x)}, want at least two axes")
    return flip(x, 1)


@composed
def rot90(x: Any, k: int = 1, axes: Any = (0, 1)) -> Tensor:
    """The plane of two axes turned `k` times by 90 degrees, from the first of them towards the second. A view."""
    a, b = axes_in(axes, ndim(x), "axes")
    k = k % 4
    if k == 2:
        return flip(x, (a, b))
    if k == 1:
        return swapaxes(flip(x, b), a, b)
    return flip(swapaxes(x, a, b), b) if k else reshape(x, shape(x))


@primitive
def roll(xp: Any, x: Array, shift: Any, axis: Any = None) -> Any:
    """Moved along by `shift` places (several shifts for several axes); what falls off one end comes in at the other."""
    shifts = tuple(shift) if isinstance(shift, (tuple, list)) or ndim(shift) == 1 else (shift,)
    if axis is None:
        shift = sum(int(s) for s in shifts)
        return xp.roll(x, shift), (), (lambda xp, g: xp.roll(g, -shift), None, None)
    axes = tuple(axis) if isinstance(axis, (tuple, list)) else (axis,)
    axes, shifts = axes * (len(shifts) if len(axes) == 1 else 1), shifts * (len(axes) if len(shifts) == 1 else 1)
    shift, axis = tuple(int(s) for s in shifts), tuple(int(a) for a in axes)
    return xp.roll(x, shift, axis), (), (lambda xp, g: xp.roll(g, tuple(-s for s in shift), axis), None, None)
