"""Differences of neighbouring values, and derivatives by finite differences."""

from __future__ import annotations

from typing import Any

import numpy as np

from ...engine.primitive import call_in, composed, primitive
from ...engine.tensor import Tensor
from ..arrays.conversion import array_like, to_tensor
from ..arrays.joining import concatenate
from ..arrays.shape import along, axes_in, broadcast_to, reshape, vector_shape, with_length
from ..elementwise.arithmetic import astype
from ..indexing.gather import getitem

Array = Any
__all__ = ["diff", "ediff1d", "gradient"]


@primitive
def _diff(xp: Any, a: Array, n: int, axis: int) -> Any:
    y = xp.diff(a, n=n, axis=axis)
    length = a.shape[axis]
    return y, (), lambda xp, g: call_in(xp, _diff_back, g, n=n, axis=axis, length=length)


@primitive
def _diff_back(xp: Any, g: Array, n: int, axis: int, length: int) -> Any:
    """The adjoint of n differences: (−1)^n times the n-th differences of `g` between n zeros on each side."""
    axis, count = axis % g.ndim, g.shape[axis]
    y = xp.zeros(with_length(g.shape, axis, length + n if count else length), dtype=g.dtype)
    if count:
        y[along(axis, slice(n, n + count))] = -g if n % 2 else g
        y = xp.diff(y, n=n, axis=axis)
    return y, (), lambda xp, g: call_in(xp, _diff, g, n=n, axis=axis)


@composed
def diff(a: Any, n: int = 1, axis: int = -1, prepend: Any = None, append: Any = None) -> Tensor:
    """The n-th differences of neighbours along an axis, after values are prepended or appended."""
    a = to_tensor(a)
    if n == 0 or (prepend is None and append is None):
        return a if n == 0 else _diff(a, n=n, axis=axis)
    if not a.ndim:
        raise ValueError("diff: a: got a number, want at least one axis")
    edge = with_length(a.shape, axis % a.ndim, 1)
    ends = [None if end is None else _tensor_like(end, a) for end in (prepend, append)]
    before, after = (end if end is None or end.ndim else broadcast_to(end, edge) for end in ends)
    return _diff(concatenate([part for part in (before, a, after) if part is not None], axis), n=n, axis=axis)


@composed
def ediff1d(ary: Any, to_end: Any = None, to_begin: Any = None) -> Tensor:
    """The differences of neighbours in the flattened array, between `to_begin` and `to_end`."""
    ary = to_tensor(ary)
    if ary.dtype == bool:
        raise TypeError("ediff1d: ary: got booleans, want numbers")
    y = _diff(reshape(ary, (-1,)), n=1, axis=0) if ary.size else reshape(ary, (-1,))
    begin, end = (None if part is None else reshape(_tensor_like(part, ary), (-1,)) for part in (to_begin, to_end))
    parts = [part for part in (begin, y, end) if part is not None]
    return concatenate(parts) if len(parts) > 1 else y


@primitive
def _slopes(xp: Any, f: Array, axis: int, edge_order: int) -> Any:
    """`gradient` along one axis with a spacing of 1."""
    value = xp.gradient(f, axis=axis, edge_order=edge_order)
    return value, (), lambda xp, g: call_in(xp, _slopes_back, g, axis=axis, edge_order=edge_order)


@primitive
def _slopes_back(xp: Any, g: Array, axis: int, edge_order: int) -> Any:
    """The adjoint of `_slopes`."""
    lead = (slice(None),) * (axis % g.ndim)
    y = xp.zeros(g.shape, dtype=g.dtype)
    inner = g[(*lead, slice(1, -1))] * 0.5
    y[(*lead, slice(2, None))] += inner
    y[(*lead, slice(None, -2))] -= inner
    for k, weight in enumerate((-1.0, 1.0) if edge_order == 1 else (-1.5, 2.0, -0.5)):
        y[(*lead, k)] += g[(*lead, 0)] * weight
        y[(*lead, -1 - k)] -= g[(*lead, -1)] * weight
    return y, (), lambda xp, g: call_in(xp, _slopes, g, axis=axis, edge_order=edge_order)


@composed
def gradient(f: Any, *varargs: Any, axis: Any = None, edge_order: int = 1) -> Any:
    """The gradient of `f` by central differences, and by differences of `edge_order` at the ends, as NumPy's.

    `varargs` are the spacings: one number for all axes, or for each axis a number or coordinates, to which gradients
    flow too. For several axes (all by default) the result is a tuple.
    """
    f = to_tensor(f)
    axes = tuple(range(f.ndim)) if axis is None else axes_in(axis, f.ndim, "gradient: axis")
    if len(varargs) not in (0, 1, len(axes)) or (len(varargs) == 1 < len(axes) and not _is_number(varargs[0])):
        raise TypeError(f"gradient: varargs: got {len(varargs)} spacings, want one number or one for each of {axes}")
    if edge_order not in (1, 2):
        raise ValueError(f"gradient: edge_order: got {edge_order}, want 1 or 2")
    spacings = varargs * len(axes) if len(varargs) == 1 else varargs or (1.0,) * len(axes)
    slopes = []
    for k, spacing in zip(axes, spacings):
        if _is_number(spacing):
            y = _slopes(f, axis=int(k), edge_order=edge_order)
            y = y if type(spacing) in (int, float) and spacing == 1 else y / spacing
        else:
            y = _slopes_at(f, _tensor_like(spacing, f), int(k) % f.ndim, edge_order)
        slopes.append(astype(y, f.dtype) if f.dtype.kind in "fc" and y.dtype != f.dtype else y)
    return slopes[0] if len(slopes) == 1 else tuple(slopes)


def _slopes_at(f: Tensor, x: Tensor, axis: int, edge_order: int) -> Tensor:
    """`gradient` along one axis at the coordinates `x`: at each value a weighted mean of the slopes on both sides."""
    if x.ndim != 1 or x.shape[0] != f.shape[axis] or x.shape[0] <= edge_order:
        raise ValueError(
            f"gradient: got coordinates of shape {x.shape} for axis {axis} of {f.shape}, want {f.shape[axis]} of them, "
            f"and more than the edge_order, {edge_order}"
        )
    steps = reshape(_diff(x, n=1, axis=0), vector_shape(0, f.ndim - axis))
    slopes = _diff(f, n=1, axis=axis) / steps

    def part(start: int | None, stop: int | None) -> tuple[Tensor, Tensor]:
        return getitem(slopes, along(axis, slice(start, stop))), getitem(steps, slice(start, stop))

    (first, first_step), (last, last_step) = part(None, 1), part(-1, None)
    if x.shape[0] == 2:
        return concatenate([first, last], axis)
    (before, before_step), (after, after_step) = part(None, -1), part(1, None)
    inner = (before * after_step + after * before_step) / (before_step + after_step)
    if edge_order == 2:
        (second, second_step), (next_last, next_last_step) = part(1, 2), part(-2, -1)
        first = first + (first - second) * (first_step / (first_step + second_step))
        last = last + (last - next_last) * (last_step / (last_step + next_last_step))
    return concatenate([first, inner, last], axis)


def _is_number(spacing: Any) -> bool:
    return isinstance(spacing, (int, float, np.generic)) or getattr(spacing, "ndim", None) == 0


def _tensor_like(value: Any, a: Tensor) -> Tensor:
    return to_tensor(array_like(value, a))
