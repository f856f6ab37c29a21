"""Join several arrays into one, and split one into several."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate, pairwise
from typing import Any

from ...engine.primitive import JointRule, composed, primitive, primitive_with_outputs
from ...engine.tensor import Tensor
from .shape import along, as_int, atleast_1d, atleast_2d, atleast_3d, axis_in, ndim, ravel, reshape, shape, with_length

Array = Any
__all__ = ["append", "array_split", "block", "column_stack", "concat", "concatenate", "dsplit", "dstack", "hsplit"]
__all__ += ["hstack", "split", "stack", "unstack", "vsplit", "vstack"]


@primitive
def _concatenate(xp: Any, *arrays: Array, axis: int = 0) -> Any:
    joined = xp.concatenate(arrays, axis=axis)
    axis = axis % joined.ndim
    ends = tuple(accumulate(array.shape[axis] for array in arrays))
    parts = [along(axis, slice(start, end)) for start, end in zip((0, *ends), ends)]
    return joined, (), tuple(lambda xp, g, part=part: g[part] for part in parts)


def concatenate(arrays: Sequence[Any], axis: int | None = 0) -> Tensor:
    """Join arrays along an existing axis; with `axis=None` flatten them first.

    Raises:
        ValueError: there are no arrays, or their other axes differ.
    """
    if not len(arrays):
        raise ValueError("concatenate: arrays: got none, want at least one")
    arrays = _sequence(arrays)
    if axis is None:
        arrays, axis = [ravel(a) for a in arrays], 0
    return _concatenate(*arrays, axis=axis)


concat = concatenate


@primitive
def _stack(xp: Any, *arrays: Array, axis: int = 0) -> Any:
    joined = xp.stack(arrays, axis=axis)
    lead = (slice(None),) * (axis % joined.ndim)
    return joined, (), tuple(lambda xp, g, part=(*lead, k): g[part] for k in range(len(arrays)))


def stack(arrays: Sequence[Any], axis: int = 0) -> Tensor:
    """Join arrays of one shape along a new axis.

    Raises:
        ValueError: there are no arrays, or their shapes differ.
    """
    if not len(arrays):
        raise ValueError("stack: arrays: got none, want at least one")
    return _stack(*_sequence(arrays), axis=axis)


def _sequence(arrays: Sequence[Any]) -> Sequence[Any]:
    """The arrays to join: those of a list, or the parts of a tensor along its first axis."""
    return unstack(arrays) if isinstance(arrays, Tensor) else arrays


@composed
def vstack(arrays: Sequence[Any]) -> Tensor:
    """Join along the first axis; single values and vectors are rows."""
    return concatenate([atleast_2d(a) for a in _sequence(arrays)])


@composed
def hstack(arrays: Sequence[Any]) -> Tensor:
    """Join along the second axis; single values and vectors along their only axis."""
    parts = [atleast_1d(a) for a in _sequence(arrays)]
    return concatenate(parts, axis=0 if parts and parts[0].ndim == 1 else 1)


@composed
def dstack(arrays: Sequence[Any]) -> Tensor:
    """Join along the third axis; shapes (n,) count as (1, n, 1), and (m, n) as (m, n, 1)."""
    return concatenate([atleast_3d(a) for a in _sequence(arrays)], axis=2)


@composed
def column_stack(arrays: Sequence[Any]) -> Tensor:
    """Join along the second axis; single values and vectors are columns."""
    return concatenate([a if ndim(a) > 1 else reshape(a, (-1, 1)) for a in _sequence(arrays)], axis=1)


@composed
def block(arrays: Any) -> Tensor:
    """Assemble an array from nested lists of blocks: join the innermost lists along the last axis, and so on outwards.

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
    return reshape(arrays, (1,) * (axes - ndim(arrays)) + shape(arrays))


@composed
def append(x: Any, values: Any, axis: int | None = None) -> Tensor:
    """Join `values` to the end of `x` along `axis`; with `axis=None` flatten both first."""
    return concatenate([x, values], axis=axis)


@primitive_with_outputs
def _unstack(xp: Any, x: Array, axis: int = 0) -> Any:
    lead = (slice(None),) * (axis % x.ndim)
    parts = tuple(x[(*lead, k)].copy() for k in range(x.shape[axis]))
    return parts, (), JointRule(lambda xp, gs, needs: (xp.stack(gs, axis=axis),))


def unstack(x: Any, axis: int = 0) -> tuple[Tensor, ...]:
    """The parts of `x` along `axis`, without that axis. Copies.

    Their gradients are stacked once. Slicing instead would allocate an array of the shape of `x` for each part.

    Raises:
        ValueError: `x` has no axis.
    """
    if not ndim(x):
        raise ValueError("unstack: got shape (), want at least one axis")
    axis = axis_in(axis, ndim(x), "unstack: axis")
    return _unstack(x, axis=axis) if shape(x)[axis] else ()


@primitive_with_outputs
def _split(xp: Any, x: Array, cuts: tuple[int, ...], axis: int) -> Any:
    """The pieces of `x` between the positions `cuts` along `axis`. Views; their gradients are joined once."""
    shape, n = x.shape, x.shape[axis]
    pieces = [slice(start, end) for start, end in zip((None, *cuts), (*cuts, None))]
    parts = tuple(x[along(axis, piece)] for piece in pieces)
    bounds = [0, *(cut + n if cut < 0 else cut for cut in cuts), n]
    if all(0 <= a <= b <= n for a, b in pairwise(bounds)):  # the pieces cover x once, in order
        return parts, (), JointRule(lambda xp, gs, needs: (xp.concatenate(gs, axis=axis),))

    def overlapping(xp: Any, gs: Any, needs: Any) -> tuple[Array]:
        total = xp.zeros(shape, dtype=gs[0].dtype)
        for g, piece in zip(gs, pieces):
            start, end, _ = piece.indices(n)
            zeros = [xp.zeros(with_length(shape, axis, m), dtype=g.dtype) for m in (start, n - max(start, end))]
            total = total + xp.concatenate([zeros[0], g, zeros[1]], axis=axis)
        return (total,)

    return parts, (), JointRule(overlapping)


def array_split(x: Any, indices_or_sections: Any, axis: int = 0) -> list[Tensor]:
    """Split along `axis` at the given positions, or into a number of sections, of which the first are longer by one
    where the length is not a multiple. Views."""
    axis = axis_in(axis, ndim(x), "array_split: axis")
    if not _is_count(indices_or_sections):
        return list(_split(x, cuts=tuple(map(as_int, indices_or_sections)), axis=axis))
    sections = int(indices_or_sections)
    if sections < 1:
        raise ValueError(f"split: indices_or_sections: got {sections}, want at least one section")
    each, longer = divmod(shape(x)[axis], sections)
    return list(_split(x, cuts=tuple(k * each + min(k, longer) for k in range(1, sections)), axis=axis))


def split(x: Any, indices_or_sections: Any, axis: int = 0) -> list[Tensor]:
    """Split along `axis` at the given positions, or into a number of equal sections. Views.

    Raises:
        ValueError: the axis cannot be split into that many equal sections.
    """
    n = shape(x)[axis_in(axis, ndim(x), "split: axis")]
    if _is_count(indices_or_sections) and (indices_or_sections < 1 or n % indices_or_sections):
        raise ValueError(f"split: got {indices_or_sections} sections of {n} elements, want sections of equal length")
    return array_split(x, indices_or_sections, axis)


def _is_count(indices_or_sections: Any) -> bool:
    return not isinstance(indices_or_sections, (tuple, list)) and not ndim(indices_or_sections)


def hsplit(x: Any, indices_or_sections: Any) -> list[Tensor]:
    """`split` along the second axis; a vector along its only axis."""
    return _split_axis("hsplit", x, indices_or_sections, 1 if ndim(x) > 1 else 0, least=1)


def vsplit(x: Any, indices_or_sections: Any) -> list[Tensor]:
    """`split` along the first of at least two axes."""
    return _split_axis("vsplit", x, indices_or_sections, 0, least=2)


def dsplit(x: Any, indices_or_sections: Any) -> list[Tensor]:
    """`split` along the third axis."""
    return _split_axis("dsplit", x, indices_or_sections, 2, least=3)


def _split_axis(name: str, x: Any, indices_or_sections: Any, axis: int, least: int) -> list[Tensor]:
    if ndim(x) < least:
        raise ValueError(f"{name}: got shape {shape(x)}, want at least {least} axes")
    return split(x, indices_or_sections, axis)
