"""Pooling along the last axis, as in `torch.nn.functional`: (N, C, L), (C, L), or any number of leading axes."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ...backend import backend_of
from ...engine.primitive import call_in, composed, primitive
from ...engine.tensor import Tensor
from .sliding_windows import Geometry, add_windows, single

Array = Any
__all__ = ["adaptive_avg_pool1d", "avg_pool1d", "max_pool1d"]

FEW = 32
"""Windows of up to this many values are processed value by value, each for all windows at once."""


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
    """The largest value of every window; the first of equal ones gets the gradient. A NaN is the largest.

    Shapes: x (..., L); the result (..., T), with T = (L + 2·padding − dilation·(kernel_size − 1) − 1) / stride + 1,
    rounded up with `ceil_mode` if the last window starts before the padding at the end. `stride` is by default the size
    of the window. Padding is never chosen.
    """
    at = _geometry(x, kernel_size, stride, padding, dilation, ceil_mode)
    offsets = xp.argmax(at.view(xp, at.to_span(xp, x, -math.inf)), axis=-1)
    if at.left:  # if all values are -inf, the first offset in the window that is not padding
        offsets = xp.maximum(offsets, -(at.starts(xp) // at.dilation))
    y = xp.take_along_axis(x, offsets * at.dilation + at.starts(xp), axis=-1)
    return y, (offsets,), (lambda xp, g, offsets: call_in(xp, _max_pool1d_adjoint, g, offsets, at=at),)


@primitive
def _max_pool1d_adjoint(xp: Any, g: Array, offsets: Array, at: Any) -> Any:
    """The adjoint of `max_pool1d`: each value added at its offset in its window."""
    array_xp = xp
    if at.size <= FEW:
        y = xp.zeros((*g.shape[:-1], at.span), dtype=g.dtype)
        zero = xp.zeros((), dtype=g.dtype)
        for k in range(at.size):
            start = k * at.dilation
            y[..., start : start + (at.windows - 1) * at.step + 1 : at.step] += xp.where(offsets == k, g, zero)
        dx = at.from_span(xp, y)
    else:
        dx = xp.zeros((*g.shape[:-1], at.length), dtype=g.dtype)
        rows = dx.reshape(-1, at.length)
        columns = (offsets * at.dilation + at.starts(xp)).reshape(rows.shape[0], at.windows)
        xp.add.at(rows, (xp.arange(rows.shape[0])[:, None], columns), g.reshape(columns.shape))

    def by_g(xp: Any, g: Array) -> Array:
        return xp.take_along_axis(g, offsets * at.dilation + at.starts(array_xp), axis=-1)

    return dx, (), (by_g, None)


@composed
def avg_pool1d(
    x: Any,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
) -> Tensor:
    """The mean of every window. Shapes as in `max_pool1d`; `count_include_pad` counts the zeros of the padding."""
    at = _geometry(x, kernel_size, stride, padding, 1, ceil_mode)
    total = _window_sums(x, at=at)
    starts, counted = at.starts(np), at.left if count_include_pad else 0
    counts = np.minimum(starts + at.size, at.length + counted) - np.maximum(starts, -counted)
    if np.all(counts == at.size):
        return total * (1 / at.size)
    return total * Tensor(backend_of(total._array).from_numpy((1 / counts).astype(total.dtype)))


@primitive
def _window_sums(xp: Any, x: Array, at: Any) -> Any:
    span = at.to_span(xp, x, 0)
    if at.size <= FEW:
        y = span[..., : (at.windows - 1) * at.step + 1 : at.step]
        for k in range(1, at.size):
            y = y + span[..., k : k + (at.windows - 1) * at.step + 1 : at.step]
        y = y if at.size > 1 else y.copy()
    else:
        y = xp.sum(at.view(xp, span), axis=-1)
    return y, (), lambda xp, g: call_in(xp, _window_spread, g, at=at)


@primitive
def _window_spread(xp: Any, g: Array, at: Any) -> Any:
    """The adjoint of `_window_sums`: each value added to all positions of its window."""
    y = xp.zeros((*g.shape[:-1], at.span), dtype=g.dtype)
    add_windows(xp, y, xp.broadcast_to(g[..., None], (*g.shape, at.size)), g.ndim - 1, at.step)
    return at.from_span(xp, y), (), lambda xp, g: call_in(xp, _window_sums, g, at=at)


@primitive
def adaptive_avg_pool1d(xp: Any, x: Array, output_size: Any) -> Any:
    """The means of `output_size` windows that cover the last axis: the k-th from floor(k·L/T) to ceil((k + 1)·L/T)."""
    count, length = single(output_size), x.shape[-1]
    if count < 1 or length < 1:
        raise ValueError(f"want at least one value and one window, got {length} and {count}")
    parts = [slice(k * length // count, -((-(k + 1) * length) // count)) for k in range(count)]
    if length % count == 0:
        y = xp.mean(x.reshape(*x.shape[:-1], count, length // count), axis=-1)
    else:
        y = xp.stack([xp.mean(x[..., part], axis=-1) for part in parts], axis=-1)
    return y, (), lambda xp, g: call_in(xp, _mean_spread, g, parts=parts, length=length)


@primitive
def _mean_spread(xp: Any, g: Array, parts: Any, length: int) -> Any:
    """The adjoint of `adaptive_avg_pool1d`."""
    dx = xp.zeros((*g.shape[:-1], length), dtype=g.dtype)
    for k, part in enumerate(parts):
        dx[..., part] += g[..., k : k + 1] * (1 / (part.stop - part.start))
    return dx, (), lambda xp, g: call_in(xp, adaptive_avg_pool1d, g, len(parts))


def _geometry(x: Array, size: Any, step: Any, padding: Any, dilation: Any, ceil_mode: bool) -> Geometry:
    size, left, dilation = single(size), single(padding), single(dilation)
    step = size if step is None or step == () or step == [] else single(step)
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
        raise ValueError(f"got {length} values and {2 * left} of padding, want {reach} or more for one window")
    return Geometry(length, size, windows, left, step, dilation)
