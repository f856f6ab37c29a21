"""What a recurrence is given, checked."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any

import numpy as np

from minigrad import Tensor
from minigrad.backend import is_array
from minigrad.validation import check_like

from .cells import Cell, CellMasks


def as_tensor(name: str, argument: str, value: Any) -> Tensor:
    """The value itself, or a constant that holds it.

    Raises:
        TypeError: neither a tensor nor an array.
    """
    if isinstance(value, Tensor):
        return value
    if is_array(value):
        return Tensor(value)
    raise TypeError(f"{name}: {argument}: got {type(value).__name__}, want a Tensor or an array")


def check_whole(name: str, argument: str, value: Any) -> None:
    """Refuse, with a ValueError, what is no whole number or is below 1."""
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or value < 1:
        raise ValueError(f"{name}: {argument}: got {value!r}, want a whole number of at least 1")


GIVEN = ("self", "input_size", "hidden_size", "bias", "initial_state", "rng", "dtype")
"""What a recurrence itself gives each of its cells."""


def options_of(cell_type: type[Cell]) -> dict[str, Any]:
    """The options that the cell's constructors take beside those that the recurrence gives, and their defaults."""
    found: dict[str, Any] = {}
    for kind in cell_type.__mro__[: cell_type.__mro__.index(Cell) + 1]:
        if "__init__" in vars(kind):
            for p in inspect.signature(vars(kind)["__init__"]).parameters.values():
                if p.name not in GIVEN and p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD):
                    found.setdefault(p.name, p.default)
    return found


def check_probability(name: str, argument: str, p: Any) -> None:
    if isinstance(p, bool) or not isinstance(p, (int, float, np.floating)) or not 0 <= p < 1:
        raise ValueError(f"{name}: {argument}: got {p!r}, want a probability in [0, 1)")


def depths_of(name: str, num_layers: Any, bidirectional: bool) -> tuple[int, ...]:
    """How many layers each direction has."""
    several = isinstance(num_layers, tuple)
    depths = num_layers if several else (num_layers,) * (2 if bidirectional else 1)
    for depth in depths:
        if isinstance(depth, bool) or not isinstance(depth, (int, np.integer)) or depth < 1:
            raise ValueError(f"{name}: num_layers: got {num_layers!r}, want a whole number of at least 1, or two")
    if several and (not bidirectional or len(depths) != 2):
        raise ValueError(f"{name}: num_layers: got {num_layers!r}, want a whole number, or (L_f, L_b) if bidirectional")
    return tuple(int(depth) for depth in depths)


def check_masks(name: str, cells: Mapping[str, Cell], masks: Any, T: int, B: int) -> None:
    """Masks for cells that there are, in the parameters' dtype, and of the shapes that `CellMasks` says.

    Zoneout's may be (T, 1, 1), as they are in evaluation.
    """
    if not isinstance(masks, Mapping) or not all(isinstance(mask, CellMasks) for mask in masks.values()):
        raise TypeError(f"{name}: masks: got {type(masks).__name__}, want CellMasks by the name of a cell")
    if unknown := sorted(set(masks) - set(cells)):
        raise ValueError(f"{name}: masks: got {unknown}, want names among {list(cells)}")
    for called, mask in masks.items():
        cell = cells[called]
        sizes, dtype = cell.state_sizes, cell.reference_parameter().dtype
        if len(mask.zoneout) not in (0, len(sizes)):
            raise ValueError(
                f"{name}: masks: {called}: zoneout: got {len(mask.zoneout)}, want one for each of {cell.state_names}"
            )
        found: list[tuple[str, Any, list[tuple[int, ...]]]]
        found = [("input", mask.input, [(T, B, cell.input_size)]), ("recurrent", mask.recurrent, [(B, sizes[0])])]
        found += [("zoneout", zone, [(T, B, size), (T, 1, 1)]) for zone, size in zip(mask.zoneout, sizes)]
        for part, a, shapes in found:
            if a is not None and tuple(a.shape) not in shapes:
                want = " or ".join(map(str, shapes))
                raise ValueError(f"{name}: masks: {called}: {part}: got shape {tuple(a.shape)}, want {want}")
            if a is not None and a.dtype != dtype:
                raise TypeError(f"{name}: masks: {called}: {part}: got dtype {a.dtype}, want {dtype}")


def check_series(
    caller: str, argument: str, xs: Any, features: int, batch_first: bool, parameter: Tensor
) -> tuple[Any, bool]:
    """`xs` as (T, B, features), and whether it came without a batch axis.

    Raises:
        TypeError: no tensor and no array, or another dtype than the parameter's. BackendError: on another backend.
        ValueError: another shape, T = 0 or B = 0.
    """
    shape = tuple(as_tensor(caller, argument, xs).shape)
    if len(shape) not in (2, 3) or shape[-1] != features:
        want = f"({'B, T' if batch_first else 'T, B'}, {features}) or (T, {features})"
        raise ValueError(f"{caller}: {argument}: got shape {shape}, want {want}")
    check_like(caller, argument, xs, parameter)
    unbatched = len(shape) == 2
    xs = xs[:, None] if unbatched else xs.swapaxes(0, 1) if batch_first else xs
    T, B = xs.shape[:2]
    if not T or not B:
        raise ValueError(f"{caller}: {argument}: got T = {T} steps and B = {B}, want at least one of each")
    return xs, unbatched
