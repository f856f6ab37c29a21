"""Differences between neighbours, and slopes by finite differences."""

from __future__ import annotations

from typing import Any

import numpy as np

from ...backend import backend_of, is_array
from ...engine.primitive import call_in, composed, primitive
from ...engine.tensor import Tensor, tensor
from ..arrays.joining import concatenate
from ..arrays.shape import axes_in, broadcast_to, reshape
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
    """The adjoint of n differences: the differences of `g` between zeros, times (−1)^n."""
    lead, count = (*g.shape[: axis % g.ndim],), g.shape[axis]
    rest = g.shape[axis % g.ndim + 1 :]
    if count:
        y = xp.zeros((*lead, length + n, *rest), dtype=g.dtype)
        y[(*(slice(None),) * len(lead), slice(n, n + count))] = -g if n % 2 else g
        y = xp.diff(y, n=n, axis=len(lead))
    else:
        y = xp.zeros((*lead, length, *rest), dtype=g.dtype)
    return y, (), lambda xp, g: call_in(xp, _diff, g, n=n, axis=axis)


@composed
def diff(a: Any, n: int = 1, axis: int = -1, prepend: Any = None, append: Any = None) -> Tensor:
    """The n-th differences of neighbours along an axis, which what is prepended or appended makes longer first."""
    a = _tensor(a)
    if n == 0 or (prepend is None and append is None):
        return a if n == 0 else _diff(a, n=n, axis=axis)
    if not a.ndim:
        raise ValueError("diff: a: got a number, want at least one axis")
    tensor_view = [None if end is None else _like(end, a) for end in (prepend, append)]
    edge = tuple(1 if k == axis % a.ndim else m for k, m in enumerate(a.shape))
    before, after = (end if end is None or end.ndim else broadcast_to(end, edge) for end in tensor_view)
    return _diff(concatenate([part for part in (before, a, after) if part is not None], axis), n=n, axis=axis)


@composed
def ediff1d(ary: Any, to_end: Any = None, to_begin: Any = None) -> Tensor:
    """The differences of neighbours in the flattened array, with what stands before and after them."""
    ary = _tensor(ary)
    if ary.dtype == bool:
        raise TypeError("ediff1d: ary: got truth values, of which there are no differences")
    y = _diff(reshape(ary, (-1,)), n=1, axis=0) if ary.size else reshape(ary, (-1,))
    begin, end = (None if part is None else reshape(_like(part, ary), (-1,)) for part in (to_begin, to_end))
    if begin is None and end is None:
        return y
    return concatenate([part for part in (begin, y, end) if part is not None])


@primitive
def _slopes(xp: Any, f: Array, axis: int, edge_order: int) -> Any:
    """`gradient` along one axis where neighbours are 1 apart."""
    value = xp.gradient(f, axis=axis, edge_order=edge_order)
    return value, (), lambda xp, g: call_in(xp, _slopes_back, g, axis=axis, edge_order=edge_order)


@primitive
def _slopes_back(xp: Any, g: Array, axis: int, edge_order: int) -> Any:
    """The adjoint of `slopes`."""
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
    """Slopes of `f` by second-order differences, at the ends by differences of `edge_order`: NumPy's `gradient`.

    `varargs` says how far values are apart: one number for all axes, or for each a number or its coordinates. It may
    require a gradient itself. Along several axes (all by default) the result is a tuple.
    """
    f = _tensor(f)
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
            y = _slopes_at(f, _like(spacing, f), int(k) % f.ndim, edge_order)
        slopes.append(astype(y, f.dtype) if f.dtype.kind in "fc" and y.dtype != f.dtype else y)
    return slopes[0] if len(slopes) == 1 else tuple(slopes)


def _slopes_at(f: Tensor, x: Tensor, axis: int, edge_order: int) -> Tensor:
    """Between neighbours the slope is a difference quotient; at a value the two beside it are weighed."""
    if x.ndim != 1 or x.shape[0] != f.shape[axis] or x.shape[0] <= edge_order:
        raise ValueError(
            f"gradient: got coordinates of shape {x.shape} for axis {axis} of {f.shape}, want {f.shape[axis]} of them, "
            f"and more than the edge_order, {edge_order}"
        )
    apart = reshape(_diff(x, n=1, axis=0), (-1, *(1,) * (f.ndim - axis - 1)))
    s = _diff(f, n=1, axis=axis) / apart
    lead = (slice(None),) * axis

    def at(start: int | None, stop: int | None) -> tuple[Tensor, Tensor]:
        return getitem(s, (*lead, slice(start, stop))), getitem(apart, slice(start, stop))

    (first, first_apart), (last, last_apart) = at(None, 1), at(-1, None)
    if x.shape[0] == 2:
        return concatenate([first, last], axis)
    (before, before_apart), (after, after_apart) = at(None, -1), at(1, None)
    inner = (before * after_apart + after * before_apart) / (before_apart + after_apart)
    if edge_order == 2:
        (second, second_apart), (next_last, next_apart) = at(1, 2), at(-2, -1)
        first = first + (first - second) * (first_apart / (first_apart + second_apart))
        last = last + (last - next_last) * (last_apart / (last_apart + next_apart))
    return concatenate([first, inner, last], axis)


def _is_number(spacing: Any) -> bool:
    return isinstance(spacing, (int, float, np.generic)) or getattr(spacing, "ndim", None) == 0


def _tensor(a: Any) -> Tensor:
    return a if isinstance(a, Tensor) else Tensor(a) if is_array(a) else tensor(a)


def _like(value: Any, a: Tensor) -> Tensor:
    """A tensor or array as it is; numbers and lists of them in the dtype of `a` and on its backend."""
    if isinstance(value, Tensor) or is_array(value):
        return _tensor(value)
    return Tensor(backend_of(a._data).from_numpy(np.asarray(value, a.dtype)))
