"""Operations that move values without changing them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..pool import unbroadcast
from ..primitive import primitive
from ..tensor import Tensor

Array = Any
__all__ = ["broadcast_to", "concatenate", "expand_dims", "flip", "reshape", "squeeze", "stack", "swapaxes", "transpose"]


@primitive
def reshape(xp: Any, x: Array, shape: Any) -> Any:
    """The same values in row-major order under another shape."""
    before = x.shape
    return xp.reshape(x, shape), (), (lambda xp, g: xp.reshape(g, before), None)


@primitive
def transpose(xp: Any, x: Array, axes: Any = None) -> Any:
    """The axes in another order, reversed where none is given. A view."""
    if axes is None:
        return xp.transpose(x), (), (lambda xp, g: g.T, None)
    back = tuple(sorted(range(x.ndim), key=lambda k: axes[k] % x.ndim))
    if x.ndim == 2:  # `g` may be the factors of a weight's gradient
        return xp.transpose(x, axes), (), ((lambda xp, g: g.T) if back == (1, 0) else (lambda xp, g: g), None)
    return xp.transpose(x, axes), (), (lambda xp, g: xp.transpose(g, back), None)


@primitive
def swapaxes(xp: Any, x: Array, axis1: int, axis2: int) -> Any:
    """Two axes exchanged. A view."""
    return xp.swapaxes(x, axis1, axis2), (), (lambda xp, g: xp.swapaxes(g, axis1, axis2), None, None)


@primitive
def broadcast_to(xp: Any, x: Array, shape: Any) -> Any:
    """`x` stretched to a larger shape by NumPy's rules. A view."""
    before = x.shape
    return xp.broadcast_to(x, shape), (), (lambda xp, g: unbroadcast(xp, g, before, defer=False), None)


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


@primitive
def flip(xp: Any, x: Array, axis: Any = None) -> Any:
    """In reverse order along `axis`. A view."""
    return xp.flip(x, axis=axis), (), (lambda xp, g: xp.flip(g, axis=axis), None)


@primitive
def _concatenate(xp: Any, *arrays: Array, axis: int = 0) -> Any:
    joined = xp.concatenate(arrays, axis=axis)
    axis = axis % joined.ndim
    lead = (slice(None),) * axis
    rules = []
    start = 0
    for array in arrays:
        piece = (*lead, slice(start, start + array.shape[axis]))
        rules.append(lambda xp, g, piece=piece: g[piece])
        start += array.shape[axis]
    return joined, (), tuple(rules)


def concatenate(arrays: Sequence[Any], axis: int = 0) -> Tensor:
    """The arrays joined along an axis that they have.

    Raises:
        ValueError: there is none, or their other axes differ.
    """
    if not len(arrays):
        raise ValueError("concatenate: arrays: got none, want at least one")
    return _concatenate(*arrays, axis=axis)


@primitive
def _stack(xp: Any, *arrays: Array, axis: int = 0) -> Any:
    joined = xp.stack(arrays, axis=axis)
    lead = (slice(None),) * (axis % joined.ndim)
    rules = tuple(lambda xp, g, piece=(*lead, k): g[piece] for k in range(len(arrays)))
    return joined, (), rules


def stack(arrays: Sequence[Any], axis: int = 0) -> Tensor:
    """Arrays of one shape joined along a new axis.

    Raises:
        ValueError: there is none, or their shapes differ.
    """
    if not len(arrays):
        raise ValueError("stack: arrays: got none, want at least one")
    return _stack(*arrays, axis=axis)
