"""What the transformations ask of their arguments, and the recorded pullback that several of them walk."""

from __future__ import annotations

import operator
from collections.abc import Sequence
from typing import Any

from .. import ops
from ..backend import backend_of
from ..engine.tensor import Tensor, tensor
from ..pytree import TreeDef, match_structure
from .tracing import Trace, function_name, variable_like

Argnums = int | Sequence[int]


def check_function(caller: str, function: Any) -> None:
    if not callable(function):
        raise TypeError(f"{caller}: function: got {type(function).__name__}, want a function")


def is_single(argnums: Argnums) -> bool:
    return not isinstance(argnums, (tuple, list))


def positions_of(caller: str, function: Any, argnums: Argnums, given: int) -> list[int]:
    """`argnums` counted from the front.

    Raises:
        TypeError: no whole numbers. ValueError: out of range, or one twice.
    """
    positions = []
    for n in argnums if isinstance(argnums, (tuple, list)) else (argnums,):
        try:
            k = operator.index(n)
        except TypeError:
            raise TypeError(f"{caller}: argnums: got {argnums!r}, want a whole number or a tuple of them") from None
        if not -given <= k < given:
            raise ValueError(
                f"{caller}: argnums: got {argnums!r}, but {function_name(function)} was called with {given} positional "
                f"argument{'' if given == 1 else 's'}"
            )
        positions.append(k % given)
    if len(set(positions)) < len(positions):
        raise ValueError(f"{caller}: argnums: got {argnums!r}, which names an argument twice")
    return positions


def parted(run: Trace, has_aux: bool) -> tuple[Any, Any]:
    """(value, other results)."""
    if not has_aux:
        return run.made, None
    if not isinstance(run.made, tuple) or len(run.made) != 2:
        got = f"a tuple of {len(run.made)}" if isinstance(run.made, tuple) else type(run.made).__name__
        raise TypeError(
            f"{run.caller}: has_aux: {function_name(run.function)} returned {got}, want (value, other results)"
        )
    return run.made


def directions(caller: str, name: str, run: Trace, given: Sequence[Any], numbered: bool = True) -> list[Tensor]:
    """A direction for each input, in its shape and dtype."""
    along: list[Tensor] = []
    for k, (tree, part) in enumerate(zip(run.trees, given)):
        of = [("", x) for x in run.inputs[len(along) : len(along) + tree.num_leaves]]
        along += match_leaves(caller, f"{name}[{k}]" if numbered else name, tree, part, of, "its primal")
    return along


def match_leaves(
    caller: str, name: str, structure: TreeDef, value: Any, others: Sequence[tuple[str, Tensor]], whose: str
) -> list[Tensor]:
    """The leaves of `value` as tensors of the shapes and dtypes of the others."""
    match_leaves: list[Tensor] = []
    for v, (path, x) in zip(match_structure(caller, name, structure, value), others):
        backend = backend_of(x._data)
        if not isinstance(v, Tensor):
            try:
                v = tensor(v, dtype=x.dtype, backend=backend)
            except TypeError as error:
                raise TypeError(f"{caller}: {name}{path}: got {type(v).__name__}, want numbers: {error}") from None
        if v.shape != x.shape:
            raise ValueError(f"{caller}: {name}{path}: got shape {v.shape}, want {x.shape} like {whose}")
        match_leaves.append(v if v.dtype == x.dtype else ops.astype(v, dtype=x.dtype))
    return match_leaves


def moving(back: Sequence[Tensor | None], along: Sequence[Tensor]) -> tuple[list[Tensor], list[Tensor]]:
    """The gradients that move with what they were computed from, each with its direction."""
    pairs = [(g, v) for g, v in zip(back, along) if g is not None and g.node is not None]
    return [g for g, _ in pairs], [v for _, v in pairs]


def recorded_pullback(run: Trace, outputs: Sequence[Tensor]) -> tuple[list[Tensor], list[Tensor | None]]:
    """Variables g, one for each output, and Jᵀg recorded, whose derivative with respect to g is J."""
    weights = []
    for y in outputs:
        xp = backend_of(y._data).xp
        weights.append(Tensor(xp.zeros(y.shape, dtype=y.dtype), variable_like(y.shape, y.dtype, xp)))
    return weights, run.walk(outputs, weights, create_graph=True)
