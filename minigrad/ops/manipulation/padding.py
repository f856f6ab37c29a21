"""Values put around an array."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ...engine.primitive import composed, primitive
from ...engine.tensor import Tensor
from ..arrays.joining import concatenate
from ..arrays.shape import broadcast_to, ndim, shape
from ..elementwise.arithmetic import astype
from ..elementwise.nondifferentiable import floor, rint
from ..indexing.gather import backend_at, take
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
"""The modes, and what else may be said of each."""


@primitive
def _pad_constant(xp: Any, x: Array, widths: tuple[tuple[int, int], ...], value: Any) -> Any:
    """One number around `x`, or a pair of numbers for each axis."""
    inner = tuple(slice(before, before + n) for (before, _), n in zip(widths, x.shape))
    if isinstance(value, tuple):
        y = xp.pad(x, widths, mode="constant", constant_values=value)
    else:
        whole = tuple(before + n + after for (before, after), n in zip(widths, x.shape))
        y = xp.full(whole, value, dtype=x.dtype) if value else xp.zeros(whole, dtype=x.dtype)
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
    """`x` with values around it: `pad_width` of them in front and behind, one number for all, a pair, or a pair per
    axis.

    Modes: "constant" (`constant_values`, 0), "edge", "reflect", "symmetric" (both also with `reflect_type="odd"`),
    "wrap", "linear_ramp" (towards `end_values`, 0), and "maximum", "mean", "median", "minimum" (of `stat_length` values
    at the edge, or of all). The values that are given, and those of `x` that are used again, receive their gradients.
    The dtype is that of `x`: a mean of whole numbers is rounded.

    Raises:
        ValueError: the mode is none of these, an option is not the mode's, a width is negative, or there is nothing to
            take values from.
    """
    n = ndim(x)
    widths = _widths(pad_width, n)
    if mode not in OPTIONS:
        raise ValueError(f"pad: mode: got {mode!r}, want one of {sorted(OPTIONS)}")
    given = {"constant_values": constant_values, "end_values": end_values, "stat_length": stat_length}
    for name, value in {**given, "reflect_type": reflect_type}.items():
        if value is not None and name != OPTIONS[mode]:
            raise ValueError(f"pad: {name}: mode {mode!r} has no such option")
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
    return x if isinstance(x, Tensor) else Tensor(x)


def _widths(given: Any, n: int) -> tuple[tuple[int, int], ...]:
    if isinstance(given, dict):
        whole: Any = [(0, 0)] * n
        for axis, width in given.items():
            whole[axis] = width if isinstance(width, (tuple, list)) else (width, width)
        given = whole
    if np.asarray(given).dtype.kind != "i":
        raise TypeError(f"pad: pad_width: got {given}, want whole numbers")
    try:
        widths = np.broadcast_to(np.asarray(given), (n, 2)).tolist()
    except ValueError:
        raise ValueError(f"pad: pad_width: got {given}, want a number, a pair, or {n} pairs") from None
    if any(w < 0 for pair in widths for w in pair):
        raise ValueError(f"pad: pad_width: got {given}, want no negative number")
    return tuple((before, after) for before, after in widths)


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float, np.number)) and not isinstance(value, np.ndarray)


def _is_single(value: Any) -> bool:
    return value is None or (not isinstance(value, (tuple, list)) and ndim(value) == 0)


def _pairs(given: Any, n: int) -> tuple[tuple[Any, Any], ...]:
    """A value, a pair of them, or a pair for each axis, as a pair for each axis."""
    if _is_single(given):
        return ((given, given),) * n
    given = list(given)
    if all(map(_is_single, given)):
        return ((given[0], given[-1]),) * n
    pairs = tuple((pair, pair) if _is_single(pair) else (pair[0], pair[-1]) for pair in given)
    if len(pairs) not in (1, n):
        raise ValueError(f"pad: got {len(pairs)} pairs of values for {n} axes")
    return pairs * n if len(pairs) == 1 else pairs


def _pad_axis(x: Any, axis: int, width: tuple[int, int], mode: str, pair: Sequence[Any]) -> Tensor:
    n = shape(x)[axis]
    if not n and mode != "constant":
        raise ValueError(f"pad: axis {axis} of shape {shape(x)} is empty: there are no values for mode {mode!r}")
    if mode in MIRRORS:
        before, after = _mirrored(x, axis, width, mode, pair[0])
    elif mode in STATISTICS:
        before, after = _statistics(x, axis, width, mode, pair)
    else:
        before, after = (_filled(x, axis, k, width[k], mode, pair[k]) for k in (0, 1))
    return concatenate([part for part, w in ((before, width[0]), (x, 1), (after, width[1])) if w], axis=axis)


def _part(x: Any, axis: int, piece: slice) -> Any:
    return x[(slice(None),) * axis + (piece,)]


def _long(x: Any, axis: int, n: int) -> tuple[int, ...]:
    """The shape of `x` with another length along `axis`."""
    return (*shape(x)[:axis], n, *shape(x)[axis + 1 :])


def _filled(x: Any, axis: int, side: int, width: int, mode: str, value: Any) -> Any:
    long = _long(x, axis, width)
    if mode == "constant":
        xp = backend_at(x).xp
        if _is_number(value):
            return xp.full(long, value, dtype=x.dtype)
        return broadcast_to(astype(value, x.dtype), long)
    edge = _part(x, axis, slice(0, 1) if side == 0 else slice(-1, None))
    if mode == "edge":
        return broadcast_to(edge, long)
    whole = x.dtype.kind not in "fc"
    steps = np.arange(width) if side == 0 else np.arange(width)[::-1]
    steps = steps.astype(np.float64 if whole else x.dtype).reshape([-1 if k == axis else 1 for k in range(ndim(x))])
    edge = astype(edge, np.float64) if whole else edge
    return _like(x, value + backend_at(x).from_numpy(steps) * ((edge - value) / (width or 1)), floor)


def _like(x: Any, y: Tensor, rounded: Any) -> Tensor:
    """`y` in the dtype of `x`, and whole where that is."""
    return y if y.dtype == x.dtype else astype(rounded(y) if x.dtype.kind in "iu" else y, x.dtype)


def _statistics(x: Any, axis: int, width: Sequence[int], mode: str, lengths: Sequence[Any]) -> list[Any]:
    n = shape(x)[axis]
    made: dict[Any, Any] = {}
    for side, length in enumerate(lengths):
        if length is not None and length < 1:
            raise ValueError(f"pad: stat_length: got {length}, want at least 1")
        whole = length is None or length >= n
        piece = slice(None) if whole else (slice(0, length) if side == 0 else slice(n - length, None))
        key = None if whole else side
        if key not in made:
            made[key] = _like(x, STATISTICS[mode](_part(x, axis, piece), axis=axis, keepdims=True), rint)
        made[side, "filled"] = broadcast_to(made[key], _long(x, axis, width[side]))
    return [made[0, "filled"], made[1, "filled"]]


def _mirrored(x: Any, axis: int, width: tuple[int, int], mode: str, kind: str) -> tuple[Any, Any]:
    n = shape(x)[axis]
    place = backend_at(x).from_numpy
    ids = np.pad(np.arange(n), width, mode=mode)  # type: ignore[call-overload]
    sides = (slice(0, width[0]), slice(n + width[0], None))
    parts = tuple(take(x, place(ids[side]), axis) for side in sides)
    if kind == "even" or (n == 1 and mode == "reflect"):
        return parts[0], parts[1]
    # Each reflection at an end value e turns y to 2e − y: an even number of them adds a multiple of last − first.
    period = n - 1 if mode == "reflect" else n
    turns = np.arange(-width[0], n + width[1]) // period
    first, last = _part(x, axis, slice(0, 1)), _part(x, axis, slice(-1, None))
    along = [-1 if k == axis else 1 for k in range(ndim(x))]

    def odd(part: Any, q: Any) -> Any:
        sign, of_first, of_last = np.where(q % 2, -1, 1), np.where(q % 2, 1 - q, -q), np.where(q % 2, q + 1, q)
        signs, firsts, lasts = (place(c.astype(x.dtype).reshape(along)) for c in (sign, of_first, of_last))
        return part * signs + first * firsts + last * lasts

    return odd(parts[0], turns[sides[0]]), odd(parts[1], turns[sides[1]])
