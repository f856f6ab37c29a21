"""Argument checks of the recurrent networks: cells and their options, layers, probabilities, masks."""

from __future__ import annotations

import inspect
from collections.abc import Collection, Mapping
from typing import Any

import numpy as np

from minigrad import Tensor
from minigrad.backend import is_array
from minigrad.foreign_arrays import import_array
from minigrad.validation import (
    as_tensor,
    check_dtype,
    check_integer,
    check_like,
    check_probability,
    closest,
    is_integer,
    shown,
)

from .cells import Cell, CellMasks
from .cells.step_result import check_state_names

RECURRENCE_OPTIONS = ("self", "input_size", "hidden_size", "bias", "initial_state", "rng", "dtype")
"""The parameters of a cell's constructor that a recurrence passes by itself."""


def options_of(cell_type: type[Cell]) -> dict[str, Any]:
    """The other options of the cell's constructors, and their defaults."""
    options: dict[str, Any] = {}
    for kind in cell_type.__mro__[: cell_type.__mro__.index(Cell) + 1]:
        if "__init__" in vars(kind):
            for p in inspect.signature(vars(kind)["__init__"]).parameters.values():
                if p.name not in RECURRENCE_OPTIONS and p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD):
                    options.setdefault(p.name, p.default)
    return options


def check_cell_type(name: str, cell_type: Any, options: Mapping[str, Any], own: Collection[str]) -> None:
    """Raise TypeError unless cell_type is a subclass of Cell that knows these options; `own` are the recurrence's."""
    if not isinstance(cell_type, type) or not issubclass(cell_type, Cell):
        raise TypeError(f"{name}: cell_type: got {shown(cell_type)}, want a subclass of Cell")
    check_state_names(cell_type.__name__, getattr(cell_type, "state_names", None))
    known = list(options_of(cell_type))
    if unknown := sorted(set(options) - set(known)):
        hint = closest(unknown[0], [*known, *own])
        raise TypeError(
            f"{name}: {unknown[0]}: got an option that {cell_type.__name__} does not know, want any of {known}{hint}"
        )


def check_sizes(
    name: str, input_size: Any, hidden_size: Any, num_layers: Any, bidirectional: bool, dtype: Any
) -> tuple[tuple[int, ...], np.dtype[Any]]:
    """Return the number of layers of each direction, and the dtype; raise unless they and the sizes are right."""
    check_integer(name, input_size=input_size, hidden_size=hidden_size)
    return check_depths(name, num_layers, bidirectional), check_dtype(name, dtype)


def check_depths(name: str, num_layers: Any, bidirectional: bool) -> tuple[int, ...]:
    """Return the number of layers of each direction. Raises ValueError for anything but L, or (L_f, L_b) for two."""
    several = isinstance(num_layers, tuple)
    depths = num_layers if several else (num_layers,) * (2 if bidirectional else 1)
    if not all(is_integer(depth) and depth >= 1 for depth in depths):
        got = num_layers if several else shown(num_layers)
        raise ValueError(f"{name}: num_layers: got {got}, want a whole number of at least 1, or two")
    check_integer(name, num_layers=max(depths, default=1))
    if several and (not bidirectional or len(depths) != 2):
        raise ValueError(f"{name}: num_layers: got {num_layers!r}, want a whole number, or (L_f, L_b) if bidirectional")
    return tuple(int(depth) for depth in depths)


def check_zoneout(name: str, zoneout: Any, state_names: tuple[str, ...]) -> tuple[float, ...]:
    """Return a probability for each of the state's arrays. Raises ValueError for a bad one or a wrong number."""
    probabilities = zoneout if isinstance(zoneout, (tuple, list)) else (zoneout,) * len(state_names)
    for p in probabilities:
        check_probability(name, zoneout=p)
    if len(probabilities) != len(state_names):
        raise ValueError(f"{name}: zoneout: got {len(probabilities)} probabilities, want one for each of {state_names}")
    return tuple(float(p) for p in probabilities)


def check_masks(name: str, cells: Mapping[str, Cell], masks: Any, T: int, B: int) -> None:
    """Check that masks are for existing cells, in the parameters' dtype, and of the shapes that `CellMasks` names.

    Zoneout's may be (T, 1, 1), as they are in evaluation.

    Raises:
        ValueError: an unknown cell, a bad shape, a wrong number of zoneout masks.
        TypeError: masks of another kind, or another dtype.
    """
    if not isinstance(masks, Mapping) or not all(isinstance(mask, CellMasks) for mask in masks.values()):
        raise TypeError(f"{name}: masks: got {type(masks).__name__}, want CellMasks by the name of a cell")
    if unknown := sorted(set(masks) - set(cells)):
        raise ValueError(f"{name}: masks: got {unknown}, want names among {list(cells)}")
    for cell_name, mask in masks.items():
        cell = cells[cell_name]
        where = f"{name}: masks: {cell_name}"
        sizes, dtype = cell.state_sizes, cell.reference_parameter().dtype
        if len(mask.zoneout) not in (0, len(sizes)):
            raise ValueError(f"{where}: zoneout: got {len(mask.zoneout)}, want one for each of {cell.state_names}")
        parts: list[tuple[str, Any, list[tuple[int, ...]]]] = [
            ("input", mask.input, [(T, B, cell.input_size)]),
            ("recurrent", mask.recurrent, [(B, sizes[0])]),
        ]
        parts += [("zoneout", zone, [(T, B, size), (T, 1, 1)]) for zone, size in zip(mask.zoneout, sizes)]
        for part, a, shapes in parts:
            if a is not None and tuple(a.shape) not in shapes:
                want = " or ".join(map(str, shapes))
                raise ValueError(f"{where}: {part}: got shape {tuple(a.shape)}, want {want}")
            if a is not None and a.dtype != dtype:
                raise TypeError(f"{where}: {part}: got dtype {a.dtype}, want {dtype}")


def check_series(
    caller: str, argument: str, xs: Any, features: int, batch_first: bool, parameter: Tensor
) -> tuple[Any, bool]:
    """`xs` as (T, B, features), and whether it came without a batch axis.

    Raises:
        TypeError: not a tensor or an array, or another dtype than the parameter's. BackendError: on another backend.
        ValueError: another shape, T = 0 or B = 0.
    """
    if type(xs) is Tensor and not batch_first:  # the common case is told at once
        array, like = xs._array, parameter._array
        shape, fits = array.shape, array.dtype == like.dtype and type(array) is type(like)
        if fits and len(shape) == 3 and shape[0] and shape[1] and shape[2] == features:
            return xs, False
    xs = xs if isinstance(xs, Tensor) else import_array(caller, argument, xs)
    array = xs._array if isinstance(xs, Tensor) else xs if is_array(xs) else as_tensor(caller, argument, xs)
    shape = tuple(array.shape)
    if len(shape) not in (2, 3) or shape[-1] != features:
        want = f"({'B, T' if batch_first else 'T, B'}, {features}) or (T, {features})"
        raise ValueError(f"{caller}: {argument}: got shape {shape}, want {want}")
    if array.dtype != parameter.dtype or type(array) is not type(parameter._array):
        xs = check_like(caller, argument, xs, parameter)
    unbatched = len(shape) == 2
    xs = xs[:, None] if unbatched else xs.swapaxes(0, 1) if batch_first else xs
    T, B = xs.shape[:2]
    if not T or not B:
        raise ValueError(f"{caller}: {argument}: got T = {T} steps and B = {B}, want at least one of each")
    return xs, unbatched
