"""Pooling along the last axis: `torch.nn.functional`'s, on (N, C, L), (C, L), or any number of leading axes."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ...backend import backend_of
from ...engine.primitive import call_in, composed, primitive
from ...engine.tensor import Tensor
from .sliding_windows import Geometry, add_windows

Array = Any
__all__ = ["adaptive_avg_pool1d", "avg_pool1d", "max_pool1d"]

FEW = 32
"""Up to so many places of a window are gone through one by one, each for all windows."""


@primitive
def max_pool1d(
    xp: Any,
    x: Array,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    dilation: Any = 1,
    ceil_mode: bool = False,
) -> Any:
    """The largest value of every window; of equal ones the first gets the gradient. A NaN is the largest.

    Shapes: x (..., L); the result (..., T), with T = (L + 2·padding − dilation·(kernel_size − 1) − 1) / stride + 1,
    rounded up with `ceil_mode` as long as the last window begins before the padding at the end. `stride` is by default
    the size of the window. Padding is never chosen.
    """
    at = _pooling(x, kernel_size, stride, padding, dilation, ceil_mode)
    places = xp.argmax(at.seen(xp, at.spread(xp, x, -math.inf)), axis=-1)
    begins = xp.arange(at.windows) * at.step - at.left
    if at.left:  # where all is -inf, the first place of the window that is not padding
        places = xp.maximum(places, -(begins // at.dilation))
    return (
        call_in(xp, _picked, x, places, at),
        (places,),
        (lambda xp, g, places: call_in(xp, _unpicked, g, places, at=at),),
    )


@primitive
def _picked(xp: Any, x: Array, places: Array, at: Any) -> Any:
    """From every window the value at its own place."""
    begins = xp.arange(at.windows) * at.step - at.left
    value = xp.take_along_axis(x, places * at.dilation + begins, axis=-1)
    return value, (places,), (lambda xp, g, places: call_in(xp, _unpicked, g, places, at=at), None)


@primitive
def _unpicked(xp: Any, g: Array, places: Array, at: Any) -> Any:
    """The adjoint of `picked`: each value added where it was taken from."""
    if at.size <= FEW:
        y = xp.zeros((*g.shape[:-1], at.span), dtype=g.dtype)
        zero = xp.zeros((), dtype=g.dtype)
        for k in range(at.size):
            start = k * at.dilation
            y[..., start : start + (at.windows - 1) * at.step + 1 : at.step] += xp.where(places == k, g, zero)
        value = at.gathered(xp, y)
    else:
        value = xp.zeros((*g.shape[:-1], at.length), dtype=g.dtype)
        rows = value.reshape(-1, at.length)
        begins = xp.arange(at.windows) * at.step - at.left
        columns = (places * at.dilation + begins).reshape(rows.shape[0], at.windows)
        xp.add.at(rows, (xp.arange(rows.shape[0])[:, None], columns), g.reshape(columns.shape))
    return value, (places,), (lambda xp, g, places: call_in(xp, _picked, g, places, at=at), None)


@composed
def avg_pool1d(
    x: Any,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
) -> Tensor:
    """The mean of every window, as `max_pool1d` lays them; zeros at padding count, or do not."""
    at = _pooling(x, kernel_size, stride, padding, 1, ceil_mode)
    total = _window_sums(x, at=at)
    begins = np.arange(at.windows) * at.step - at.left
    around = at.left if count_include_pad else 0
    ends = np.minimum(begins + at.size, at.length + around)
    counts = ends - (begins if count_include_pad else np.maximum(begins, 0))
    if np.all(counts == at.size):
        return total * (1 / at.size)
    return total * Tensor(backend_of(total._data).from_numpy((1 / counts).astype(total.dtype)))


@primitive
def _window_sums(xp: Any, x: Array, at: Any) -> Any:
    y = at.spread(xp, x, 0)
    if at.size <= FEW:
        value = y[..., : (at.windows - 1) * at.step + 1 : at.step]
        for k in range(1, at.size):
            value = value + y[..., k : k + (at.windows - 1) * at.step + 1 : at.step]
        value = value if at.size > 1 else value.copy()
    else:
        value = xp.sum(at.seen(xp, y), axis=-1)
    return value, (), lambda xp, g: call_in(xp, _window_spread, g, at=at)


@primitive
def _window_spread(xp: Any, g: Array, at: Any) -> Any:
    """The adjoint of `window_sums`: each value added to all places of its window."""
    y = xp.zeros((*g.shape[:-1], at.span), dtype=g.dtype)
    add_windows(xp, y, xp.broadcast_to(g[..., None], (*g.shape, at.size)), g.ndim - 1, at.step)
    return at.gathered(xp, y), (), lambda xp, g: call_in(xp, _window_sums, g, at=at)


@primitive
def adaptive_avg_pool1d(xp: Any, x: Array, output_size: Any) -> Any:
    """Means of `output_size` windows that cover the last axis: the k-th from floor(k·L/T) to ceil((k + 1)·L/T)."""
    count, length = _one(output_size), x.shape[-1]
    if count < 1 or length < 1:
        raise ValueError(f"want at least one place and one window, got {length} and {count}")
    parts = [slice(k * length // count, -((-(k + 1) * length) // count)) for k in range(count)]
    if length % count == 0:
        value = xp.mean(x.reshape(*x.shape[:-1], count, length // count), axis=-1)
    else:
        value = xp.stack([xp.mean(x[..., part], axis=-1) for part in parts], axis=-1)
    return value, (), lambda xp, g: call_in(xp, _mean_spread, g, parts=parts, length=length)


@primitive
def _mean_spread(xp: Any, g: Array, parts: Any, length: int) -> Any:
    """The adjoint of `adaptive_avg_pool1d`."""
    x = xp.zeros((*g.shape[:-1], length), dtype=g.dtype)
    for k, part in enumerate(parts):
        x[..., part] += g[..., k : k + 1] * (1 / (part.stop - part.start))
    return x, (), lambda xp, g: call_in(xp, adaptive_avg_pool1d, g, len(parts))


def _one(number: Any) -> int:
    return int(number[0] if isinstance(number, (tuple, list)) else number)


def _pooling(x: Array, size: Any, step: Any, padding: Any, dilation: Any, ceil_mode: bool) -> Geometry:
    size, left, dilation = _one(size), _one(padding), _one(dilation)
    step = size if step is None or step == () or step == [] else _one(step)
    reach = dilation * (size - 1) + 1
    if size < 1 or step < 1 or dilation < 1 or not 0 <= left <= reach // 2:
        raise ValueError(
            f"want a window, a stride and a dilation of 1 or more, and padding of at most half of the window: "
            f"got {size}, {step}, {dilation} and {left}"
        )
    length = x.shape[-1]
    spare = length + 2 * left - reach
    windows = (-(-spare // step) if ceil_mode else spare // step) + 1
    if ceil_mode and (windows - 1) * step >= length + left:
        windows -= 1
    if windows < 1 or spare < 0:
        raise ValueError(
            f"a window that reaches over {reach} does not fit in {length} places and {2 * left} of padding"
        )
    return Geometry(length, size, windows, left, step, dilation)
