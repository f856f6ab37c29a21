"""Pad an array: constants, edge values, reflections, ramps and statistics."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ...engine.primitive import composed, primitive
from ...engine.tensor import Tensor
from ...validation import check_choice
from ..arrays.conversion import backend_at, to_tensor
from ..arrays.joining import concatenate
from ..arrays.shape import along, broadcast_to, ndim, shape, vector_shape, with_length
from ..elementwise.arithmetic import astype
from ..elementwise.nondifferentiable import floor, rint
from ..indexing.gather import take
from ..reductions.quantiles import median
from ..reductions.reductions import max, mean, min

Array = Any
__all__ = ["pad"]

STATISTICS: dict[str, Any] = {"maximum": max, "mean": mean, "median": median, "minimum": min}
MIRRORS = ("reflect", "symmetric", "wrap")
OPTIONS = {
    **dict.fromkeys(("edge", "wrap")),
    **dict.fromkeys(("reflect", "symmetric"), "reflect_type"),
    **dict.fromkeys(STATISTICS, "stat_length"),
    "constant": "constant_values",
    "linear_ramp": "end_values",
}
"""The modes, and the option that each one takes."""


@primitive
def _pad_constant(xp: Any, x: Array, widths: tuple[tuple[int, int], ...], value: Any) -> Any:
    """One number around `x`, or a pair of numbers for each axis."""
    inner = tuple(slice(before, before + n) for (before, _), n in zip(widths, x.shape))
    if isinstance(value, tuple):
        y = xp.pad(x, widths, mode="constant", constant_values=value)
    else:
        padded = tuple(before + n + after for (before, after), n in zip(widths, x.shape))
        y = xp.full(padded, value, dtype=x.dtype) if value else xp.zeros(padded, dtype=x.dtype)
        y[inner] = x
    return y, (), lambda xp, g: g[inner]


@composed
def pad(
    x: Any,
    pad_width: Any,
    mode: str = "constant",
    *,
    constant_values: Any = None,
    end_values: Any = None,
    stat_length: Any = None,
    reflect_type: str | None = None,
) -> Tensor:
    """Pad `x` with `pad_width` values before and after it: one number for all axes, a pair, or a pair per axis.

    Modes: "constant" (`constant_values`, 0), "edge", "reflect", "symmetric" (both also with `reflect_type="odd"`),
    "wrap", "linear_ramp" (towards `end_values`, 0), and "maximum", "mean", "median", "minimum" (of `stat_length` values
    at the edge, or of all). Gradients flow to the values of the options, and to `x` from all padding made of it. The
    dtype is that of `x`: a mean of integers is rounded.

    Raises:
        ValueError: the mode is unknown, an option belongs to another mode, a width is negative, or an axis is empty
            and the mode needs its values.
    """
    n = ndim(x)
    widths = _widths(pad_width, n)
    check_choice("pad", sorted(OPTIONS), mode=mode)
    options = {"constant_values": constant_values, "end_values": end_values, "stat_length": stat_length}
    for name, value in {**options, "reflect_type": reflect_type}.items():
        if value is not None and name != OPTIONS[mode]:
            raise ValueError(f"pad: {name}: mode {mode!r} does not take this option")
    if mode == "constant":
        constant_values = 0 if constant_values is None else constant_values
        if _is_number(constant_values):
            return _pad_constant(x, widths=widths, value=constant_values)
        pairs = _pairs(constant_values, n)
        if all(_is_number(v) for pair in pairs for v in pair):
            return _pad_constant(x, widths=widths, value=pairs)
    elif mode in STATISTICS:
        pairs = _pairs(stat_length, n)
    elif mode == "linear_ramp":
        pairs = _pairs(0 if end_values is None else end_values, n)
    else:
        pairs = ((reflect_type or "even",) * 2,) * n
    for axis, (width, pair) in enumerate(zip(widths, pairs)):
        if any(width):
            x = _pad_axis(x, axis, width, mode, pair)
    return to_tensor(x)


def _widths(pad_width: Any, n: int) -> tuple[tuple[int, int], ...]:
    """`pad_width` as a pair of numbers for each of n axes."""
    if isinstance(pad_width, dict):
        by_axis: Any = [(0, 0)] * n
        for axis, width in pad_width.items():
            by_axis[axis] = width if isinstance(width, (tuple, list)) else (width, width)
        pad_width = by_axis
    if np.asarray(pad_width).dtype.kind != "i":
        raise TypeError(f"pad: pad_width: got {pad_width}, want whole numbers")
    try:
        widths = np.broadcast_to(np.asarray(pad_width), (n, 2)).tolist()
    except ValueError:
        raise ValueError(f"pad: pad_width: got {pad_width}, want a number, a pair, or {n} pairs") from None
    if any(w < 0 for pair in widths for w in pair):
        raise ValueError(f"pad: pad_width: got {pad_width}, want numbers of at least 0")
    return tuple((before, after) for before, after in widths)


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float, np.number)) and not isinstance(value, np.ndarray)


def _is_single(value: Any) -> bool:
    return value is None or (not isinstance(value, (tuple, list)) and ndim(value) == 0)


def _pairs(values: Any, n: int) -> tuple[tuple[Any, Any], ...]:
    """One value, a pair of values, or a pair for each axis, as a pair for each of n axes."""
    if _is_single(values):
        return ((values, values),) * n
    values = list(values)
    if all(map(_is_single, values)):
        return ((values[0], values[-1]),) * n
    pairs = tuple((pair, pair) if _is_single(pair) else (pair[0], pair[-1]) for pair in values)
    if len(pairs) not in (1, n):
        raise ValueError(f"pad: got {len(pairs)} pairs of values for {n} axes, want one or {n}")
    return pairs * n if len(pairs) == 1 else pairs


def _pad_axis(x: Any, axis: int, width: tuple[int, int], mode: str, pair: Sequence[Any]) -> Tensor:
    if not shape(x)[axis] and mode != "constant":
        raise ValueError(f"pad: axis {axis} of shape {shape(x)} is empty: it has no values for mode {mode!r}")
    if mode in MIRRORS:
        before, after = _mirrored(x, axis, width, mode, pair[0])
    elif mode in STATISTICS:
        before, after = _statistics(x, axis, width, mode, pair)
    else:
        before, after = (_filled(x, axis, side, width[side], mode, pair[side]) for side in (0, 1))
    return concatenate([part for part, w in ((before, width[0]), (x, 1), (after, width[1])) if w], axis=axis)


def _filled(x: Any, axis: int, side: int, width: int, mode: str, value: Any) -> Any:
    """The padding before (side 0) or after (side 1) `x` in the modes "constant", "edge" and "linear_ramp"."""
    padding = with_length(shape(x), axis, width)
    backend = backend_at(x)
    if mode == "constant":
        if _is_number(value):
            return backend.xp.full(padding, value, dtype=x.dtype)
        return broadcast_to(astype(value, x.dtype), padding)
    edge = x[along(axis, slice(0, 1) if side == 0 else slice(-1, None))]
    if mode == "edge":
        return broadcast_to(edge, padding)
    dtype = x.dtype if x.dtype.kind in "fc" else np.dtype(np.float64)
    steps = np.arange(width) if side == 0 else np.arange(width)[::-1]
    steps = steps.astype(dtype).reshape(vector_shape(axis, ndim(x)))
    edge = astype(edge, dtype) if dtype != x.dtype else edge
    return _in_dtype_of(x, value + backend.from_numpy(steps) * ((edge - value) / (width or 1)), floor)


def _in_dtype_of(x: Any, y: Tensor, rounded: Any) -> Tensor:
    """`y` in the dtype of `x`, rounded by a function if that is an integer dtype."""
    return y if y.dtype == x.dtype else astype(rounded(y) if x.dtype.kind in "iu" else y, x.dtype)


def _statistics(x: Any, axis: int, width: Sequence[int], mode: str, lengths: Sequence[Any]) -> list[Any]:
    n = shape(x)[axis]
    values: dict[Any, Any] = {}  # by the slice, so that both sides share the statistic of all values
    padding = []
    for side, length in enumerate(lengths):
        if length is not None and length < 1:
            raise ValueError(f"pad: stat_length: got {length}, want at least 1")
        length = n if length is None or length > n else length
        bounds = (0, length) if side == 0 else (n - length, n)
        if bounds not in values:
            statistic = STATISTICS[mode](x[along(axis, slice(*bounds))], axis=axis, keepdims=True)
            values[bounds] = _in_dtype_of(x, statistic, rint)
        padding.append(broadcast_to(values[bounds], with_length(shape(x), axis, width[side])))
    return padding


def _mirrored(x: Any, axis: int, width: tuple[int, int], mode: str, kind: str) -> tuple[Any, Any]:
    n = shape(x)[axis]
    to_device = backend_at(x).from_numpy
    ids = np.pad(np.arange(n), width, mode=mode)  # type: ignore[call-overload]
    sides = (slice(0, width[0]), slice(n + width[0], None))
    before, after = (take(x, to_device(ids[side]), axis) for side in sides)
    if kind == "even" or (n == 1 and mode == "reflect"):
        return before, after
    # Each reflection at an end value e turns y to 2e − y: an even number of them adds a multiple of last − first.
    period = n - 1 if mode == "reflect" else n
    reflections = np.arange(-width[0], n + width[1]) // period
    first, last = x[along(axis, slice(0, 1))], x[along(axis, slice(-1, None))]

    def odd(part: Any, q: Any) -> Any:
        sign, of_first, of_last = np.where(q % 2, -1, 1), np.where(q % 2, 1 - q, -q), np.where(q % 2, q + 1, q)
        numbers = (c.astype(x.dtype).reshape(vector_shape(axis, ndim(x))) for c in (sign, of_first, of_last))
        signs, firsts, lasts = map(to_device, numbers)
        return part * signs + first * firsts + last * lasts

    return odd(before, reflections[sides[0]]), odd(after, reflections[sides[1]])
