"""Several arrays to one, and one to several."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ...engine.primitive import JointRule, composed, primitive, primitive_with_outputs
from ...engine.tensor import Tensor
from .shape import atleast_1d, atleast_2d, atleast_3d, axis_in, ndim, ravel, reshape, shape, whole

Array = Any
__all__ = [
    "append",
    "array_split",
    "block",
    "column_stack",
    "concat",
    "concatenate",
    "dsplit",
    "dstack",
    "hsplit",
    "hstack",
    "split",
    "stack",
    "unstack",
    "vsplit",
    "vstack",
]


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


def concatenate(arrays: Sequence[Any], axis: int | None = 0) -> Tensor:
    """The arrays joined along an axis that they have; with `axis=None` all their values in one axis.

    Raises:
        ValueError: there is none, or their other axes differ.
    """
    if not len(arrays):
        raise ValueError("concatenate: arrays: got none, want at least one")
    if isinstance(arrays, Tensor):
        arrays = unstack(arrays)
    if axis is None:
        arrays, axis = [ravel(a) for a in arrays], 0
    return _concatenate(*arrays, axis=axis)


concat = concatenate


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
    return _stack(*(unstack(arrays) if isinstance(arrays, Tensor) else arrays), axis=axis)


def _each(arrays: Sequence[Any], make: Any) -> list[Any]:
    return [make(a) for a in (unstack(arrays) if isinstance(arrays, Tensor) else arrays)]


@composed
def vstack(arrays: Sequence[Any]) -> Tensor:
    """Joined along the first axis; values and vectors are rows."""
    return concatenate(_each(arrays, atleast_2d))


@composed
def hstack(arrays: Sequence[Any]) -> Tensor:
    """Joined along the second axis; values and vectors along the only one."""
    parts = _each(arrays, atleast_1d)
    return concatenate(parts, axis=0 if parts and parts[0].ndim == 1 else 1)


@composed
def dstack(arrays: Sequence[Any]) -> Tensor:
    """Joined along the third axis; shapes (n,) count as (1, n, 1), and (m, n) as (m, n, 1)."""
    return concatenate(_each(arrays, atleast_3d), axis=2)


@composed
def column_stack(arrays: Sequence[Any]) -> Tensor:
    """Joined along the second axis; vectors are columns."""
    return concatenate(_each(arrays, lambda a: a if ndim(a) > 1 else reshape(a, (-1, 1))), axis=1)


@composed
def block(arrays: Any) -> Tensor:
    """One array of nested lists of blocks: the innermost lists are joined along the last axis, and so on outwards.

    Raises:
        ValueError: the lists are nested to different depths, one is empty, or the blocks do not fit.
    """
    depth = _depth(arrays)
    return _block(arrays, depth, max(depth, _most_axes(arrays)))


def _depth(arrays: Any) -> int:
    if not isinstance(arrays, list):
        return 0
    depths = {_depth(part) for part in arrays}
    if len(depths) != 1:
        raise ValueError("block: arrays: want lists nested to the same depth everywhere, and none empty")
    return depths.pop() + 1


def _most_axes(arrays: Any) -> int:
    return max(map(_most_axes, arrays)) if isinstance(arrays, list) else ndim(arrays)


def _block(arrays: Any, depth: int, axes: int) -> Tensor:
    if isinstance(arrays, list):
        return concatenate([_block(part, depth - 1, axes) for part in arrays], axis=-depth)
    before = shape(arrays)
    return reshape(arrays, (1,) * (axes - len(before)) + before)


@composed
def append(x: Any, values: Any, axis: int | None = None) -> Tensor:
    """`values` behind those of `x` along `axis`; without one all values in one axis."""
    return concatenate([x, values], axis=axis)


@primitive_with_outputs
def _unstack(xp: Any, x: Array, axis: int = 0) -> Any:
    lead = (slice(None),) * (axis % x.ndim)
    parts = tuple(x[(*lead, k)].copy() for k in range(x.shape[axis]))
    return parts, (), JointRule(lambda xp, gs, needs: (xp.stack(gs, axis=axis),))


def unstack(x: Any, axis: int = 0) -> tuple[Tensor, ...]:
    """The parts along `axis`, without it, each in memory of its own.

    Their gradients are stacked once, where as many slices would fill an array of the whole's shape each.

    Raises:
        ValueError: there is no axis.
    """
    if not ndim(x):
        raise ValueError("unstack: got shape (), want at least one axis")
    axis = axis_in(axis, ndim(x), "unstack: axis")
    return _unstack(x, axis=axis) if shape(x)[axis] else ()


@primitive_with_outputs
def _split(xp: Any, x: Array, places: tuple[int, ...], axis: int) -> Any:
    """The pieces of `x` between the `places` along `axis`: views. Their gradients are joined once."""
    lead = (slice(None),) * (axis % x.ndim)
    starts, ends = (None, *places), (*places, None)
    pieces = [slice(start, end) for start, end in zip(starts, ends)]
    parts = tuple(x[(*lead, piece)] for piece in pieces)
    if _follow(places, x.shape[axis]):
        return parts, (), JointRule(lambda xp, gs, needs: (xp.concatenate(gs, axis=axis),))

    shape, axis = x.shape, axis % x.ndim

    def overlapping(xp: Any, gs: Any, needs: Any) -> tuple[Array]:
        whole = xp.zeros(shape, dtype=gs[0].dtype)
        for g, piece in zip(gs, pieces):
            start, end, _ = piece.indices(shape[axis])
            tensor_view = [(*shape[:axis], size, *shape[axis + 1 :]) for size in (start, shape[axis] - max(start, end))]
            before, after = (xp.zeros(s, dtype=g.dtype) for s in tensor_view)
            whole = whole + xp.concatenate([before, g, after], axis=axis)
        return (whole,)

    return parts, (), JointRule(overlapping)


def _follow(places: Sequence[int], n: int) -> bool:
    """Whether pieces cut at the places cover n elements once each, in order."""
    ends = [p + n if p < 0 else p for p in places]
    return all(0 <= a <= b <= n for a, b in zip([0, *ends], [*ends, n]))


def array_split(x: Any, indices_or_sections: Any, axis: int = 0) -> list[Tensor]:
    """Cut along `axis` at the given places, or into a number of pieces, the first of which are longer by one where it
    does not come out even. Views."""
    axis = axis_in(axis, ndim(x), "array_split: axis")
    n = shape(x)[axis]
    if isinstance(indices_or_sections, (tuple, list)) or ndim(indices_or_sections):
        return list(_split(x, places=tuple(map(whole, indices_or_sections)), axis=axis))
    sections = int(indices_or_sections)
    if sections < 1:
        raise ValueError(f"split: indices_or_sections: got {sections}, want at least one section")
    each, longer = divmod(n, sections)
    return list(_split(x, places=tuple(k * each + min(k, longer) for k in range(1, sections)), axis=axis))


def split(x: Any, indices_or_sections: Any, axis: int = 0) -> list[Tensor]:
    """Cut along `axis` at the given places, or into a number of equal pieces. Views.

    Raises:
        ValueError: the axis cannot be cut into that many equal pieces.
    """
    axis = axis_in(axis, ndim(x), "split: axis")
    n = shape(x)[axis]
    in_parts = not isinstance(indices_or_sections, (tuple, list)) and not ndim(indices_or_sections)
    if in_parts and (indices_or_sections < 1 or n % indices_or_sections):
        raise ValueError(f"split: got {indices_or_sections} sections of {n} elements, want equal ones")
    return array_split(x, indices_or_sections, axis)


def hsplit(x: Any, indices_or_sections: Any) -> list[Tensor]:
    """`split` along the second axis; of a vector along the only one."""
    return split(_with_axes("hsplit", x, 1), indices_or_sections, axis=1 if ndim(x) > 1 else 0)


def vsplit(x: Any, indices_or_sections: Any) -> list[Tensor]:
    """`split` along the first axis of two or more."""
    return split(_with_axes("vsplit", x, 2), indices_or_sections, axis=0)


def dsplit(x: Any, indices_or_sections: Any) -> list[Tensor]:
    """`split` along the third axis."""
    return split(_with_axes("dsplit", x, 3), indices_or_sections, axis=2)


def _with_axes(name: str, x: Any, wanted: int) -> Any:
    if ndim(x) < wanted:
        raise ValueError(f"{name}: got shape {shape(x)}, want at least {wanted} axes")
    return x
