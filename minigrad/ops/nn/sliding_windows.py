"""Sliding windows along an axis, and their adjoint, which adds overlapping windows up."""

from __future__ import annotations

from typing import Any, NamedTuple

from ...engine.primitive import call_in, composed, primitive
from ...engine.tensor import Tensor
from ..arrays.shape import along, with_length

Array = Any
__all__ = ["sliding_window_view"]


class Geometry(NamedTuple):
    """The layout of windows of `size` values on a last axis of `length`; the first starts `left` before the axis."""

    length: int
    size: int
    windows: int
    left: int
    step: int
    dilation: int
    groups: int = 1
    """Of a convolution's channels."""

    @property
    def span(self) -> int:
        """The length from the start of the first window to the end of the last."""
        return (self.windows - 1) * self.step + (self.size - 1) * self.dilation + 1

    @property
    def inside(self) -> tuple[slice, slice]:
        """The part of the span that lies on the axis, and the same part counted on the axis."""
        end = max(min(self.length, self.span - self.left), 0)
        return slice(self.left, self.left + end), slice(0, end)

    def starts(self, xp: Any) -> Array:
        """The position on the axis where each window starts; negative in the padding."""
        return xp.arange(self.windows) * self.step - self.left

    def to_span(self, xp: Any, x: Array, filling: float) -> Array:
        """`x` on the span of the windows: cut, or padded at both ends."""
        on_span, on_x = self.inside
        if not self.left and on_span.stop == self.span:
            return x
        y = xp.full((*x.shape[:-1], self.span), filling, dtype=x.dtype)
        y[..., on_span] = x[..., on_x]
        return y

    def from_span(self, xp: Any, y: Array) -> Array:
        """The adjoint of `to_span`: the part of `y` on the axis, zeros where no window reaches."""
        on_span, on_x = self.inside
        if on_x.stop == self.length:
            return y[..., on_span]
        x = xp.zeros((*y.shape[:-1], self.length), dtype=y.dtype)
        x[..., on_x] = y[..., on_span]
        return x

    def view(self, xp: Any, y: Array) -> Array:
        """The windows (…, windows, size) of `y`, which lies on the span. A view."""
        return window_view(xp, y, self.windows, self.size, y.ndim - 1, self.step, self.dilation)


def single(number: Any) -> int:
    """An integer, or the only entry of a tuple, as torch's one-dimensional functions take it."""
    return int(number[0] if isinstance(number, (tuple, list)) else number)


@primitive
def _windows(xp: Any, x: Array, size: int, axis: int, step: int = 1, dilation: int = 1) -> Any:
    """The windows of `size` values, `dilation` apart, along `axis`, one every `step` values.

    The axis then counts windows, and a new last axis runs within one. A view.
    """
    n, axis = x.shape[axis], axis % x.ndim
    count = window_count(n, size, step, dilation)
    rule = lambda xp, g: call_in(xp, _overlap_add, g, n=n, axis=axis, step=step, dilation=dilation)  # noqa: E731
    return window_view(xp, x, count, size, axis, step, dilation), (), rule


@primitive
def _overlap_add(xp: Any, g: Array, n: int, axis: int, step: int = 1, dilation: int = 1) -> Any:
    """The adjoint of `_windows`: windows added up along an axis of length n."""
    size, axis = g.shape[-1], axis % (g.ndim - 1)
    rule = lambda xp, g: call_in(xp, _windows, g, size=size, axis=axis, step=step, dilation=dilation)  # noqa: E731
    y = xp.zeros(with_length(g.shape[:-1], axis, n), dtype=g.dtype)
    add_windows(xp, y, g, axis, step, dilation)
    return y, (), rule


def window_count(n: int, size: int, step: int, dilation: int) -> int:
    """The number of windows that fit in an axis of length n.

    Raises:
        ValueError: no window fits, or a number is out of range.
    """
    if size < 0 or step < 1 or dilation < 1:
        raise ValueError(f"got size, step and dilation {size, step, dilation}, want size ≥ 0, step ≥ 1, dilation ≥ 1")
    count = (n - (dilation * (size - 1) + 1 if size else 0)) // step + 1
    if count < 1:
        raise ValueError(f"a window of {size} values, {dilation} apart, does not fit in an axis of {n}")
    return count


def window_view(xp: Any, x: Array, count: int, size: int, axis: int, step: int, dilation: int) -> Array:
    """The first `count` windows along `axis`, with a new last axis. A view."""
    stride = x.strides[axis]
    shape = (*with_length(x.shape, axis, count), size)
    strides = (*with_length(x.strides, axis, stride * step), stride * dilation)
    return xp.lib.stride_tricks.as_strided(x, shape, strides)


def add_windows(xp: Any, y: Array, g: Array, axis: int, step: int = 1, dilation: int = 1) -> None:
    """Add windows, as `window_view` lays them out, into the array `y`."""
    count, size = g.shape[axis], g.shape[-1]
    if step >= dilation * (size - 1) + 1:  # no overlap
        windows = window_view(xp, y, count, size, axis, step, dilation)
        windows += g
    elif size <= count:  # the k-th values of all windows at once
        for k in range(size):
            start = k * dilation
            y[along(axis, slice(start, start + (count - 1) * step + 1, step))] += g[..., k]
    else:  # window by window
        parts = xp.moveaxis(g, -1, axis + 1)
        for k in range(count):
            start = k * step
            y[along(axis, slice(start, start + (size - 1) * dilation + 1, dilation))] += parts[along(axis, k)]


@composed
def sliding_window_view(x: Any, window_shape: Any, axis: Any = None) -> Tensor:
    """Windows of `window_shape` that slide by one along `axis`, by default along all axes, as NumPy's function.

    The axes of `x` shrink to the number of windows, and new last axes run within a window. A view. Its gradient
    adds overlapping windows up.
    """
    sizes = tuple(window_shape) if hasattr(window_shape, "__iter__") else (window_shape,)
    axes = tuple(range(x.ndim)) if axis is None else tuple(axis) if hasattr(axis, "__iter__") else (axis,)
    if len(sizes) != len(axes):
        raise ValueError(f"sliding_window_view: got window_shape {sizes}, want a size for each of the axes {axes}")
    axes = tuple(k % x.ndim for k in axes)
    for size, k in zip(sizes, axes):
        x = _windows(x, size=int(size), axis=k)
    return x  # type: ignore[no-any-return]
