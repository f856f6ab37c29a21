"""Checks of the transformations' arguments, and the recorded pullback that several of them share."""

from __future__ import annotations

import operator
from collections.abc import Sequence
from typing import Any

from .. import ops
from ..backend import backend_of
from ..engine.tensor import Tensor, tensor
from ..pytree import TreeDef, match_structure
from ..validation import check_flag, check_function, is_integer, shown
from .tracing import Trace, function_name, variable_like

Argnums = int | Sequence[int]


def check_options(
    caller: str, function: Any, argnums: Argnums | None = None, has_aux: bool = False, create_graph: bool | None = None
) -> None:
    """Check the arguments that transformations share; whether argnums are in range is seen in the call."""
    if callable(function) and argnums.__class__ is int and has_aux.__class__ is bool and create_graph is None:
        return
    check_function(caller, function=function)
    for n in () if argnums is None else argnums if isinstance(argnums, (tuple, list)) else (argnums,):
        if not is_integer(n):
            raise TypeError(f"{caller}: argnums: got {shown(n)}, want a whole number or a tuple of them")
    check_flag(caller, has_aux=has_aux)
    if create_graph is not None:
        check_flag(caller, create_graph=create_graph)


def is_single(argnums: Argnums) -> bool:
    return not isinstance(argnums, (tuple, list))


def positions_of(caller: str, function: Any, argnums: Argnums, count: int) -> list[int]:
    """Return `argnums` counted from the front, for a call with `count` positional arguments.

    Raises:
        TypeError: not whole numbers. ValueError: out of range, or a repeated one.
    """
    positions = []
    for n in argnums if isinstance(argnums, (tuple, list)) else (argnums,):
        k = operator.index(n)
        if not -count <= k < count:
            raise ValueError(
                f"{caller}: argnums: got {argnums!r}, but {function_name(function)} was called with {count} positional "
                f"argument{'' if count == 1 else 's'}"
            )
        positions.append(k % count)
    if len(set(positions)) < len(positions):
        raise ValueError(f"{caller}: argnums: got {argnums!r}, which names an argument twice")
    return positions


def split_aux(run: Trace, has_aux: bool) -> tuple[Any, Any]:
    """Return (value, other results)."""
    if not has_aux:
        return run.result, None
    if not isinstance(run.result, tuple) or len(run.result) != 2:
        got = f"a tuple of {len(run.result)}" if isinstance(run.result, tuple) else type(run.result).__name__
        raise TypeError(
            f"{run.caller}: has_aux: {function_name(run.function)} returned {got}, want (value, other results)"
        )
    return run.result


def directions(caller: str, name: str, run: Trace, parts: Sequence[Any], numbered: bool = True) -> list[Tensor]:
    """Return a direction for each input, in its shape and dtype. `parts` has one for each differentiated argument."""
    along: list[Tensor] = []
    for k, (tree, part) in enumerate(zip(run.trees, parts)):
        of = [("", x) for x in run.inputs[len(along) : len(along) + tree.num_leaves]]
        along += match_leaves(caller, f"{name}[{k}]" if numbered else name, tree, part, of, "its primal")
    return along


def match_leaves(
    caller: str, name: str, structure: TreeDef, value: Any, others: Sequence[tuple[str, Tensor]], whose: str
) -> list[Tensor]:
    """Return the leaves of `value` as tensors of the shapes and dtypes of the others."""
    leaves: list[Tensor] = []
    for v, (path, x) in zip(match_structure(caller, name, structure, value), others):
        backend = backend_of(x._array)
        if not isinstance(v, Tensor):
            try:
                v = tensor(v, dtype=x.dtype, backend=backend)
            except (TypeError, ValueError) as error:
                raise type(error)(f"{caller}: {name}{path}: got {type(v).__name__}, want numbers: {error}") from None
        if v.shape != x.shape:
            raise ValueError(f"{caller}: {name}{path}: got shape {v.shape}, want {x.shape} like {whose}")
        leaves.append(v if v.dtype == x.dtype else ops.astype(v, dtype=x.dtype))
    return leaves


def on_tape(back: Sequence[Tensor | None], along: Sequence[Tensor]) -> tuple[list[Tensor], list[Tensor]]:
    """The gradients that depend on something on the tape, each with its direction."""
    pairs = [(g, v) for g, v in zip(back, along) if g is not None and g.node is not None]
    return [g for g, _ in pairs], [v for _, v in pairs]


def recorded_pullback(run: Trace, outputs: Sequence[Tensor]) -> tuple[list[Tensor], list[Tensor | None]]:
    """Return variables g, one for each output, and Jᵀg recorded. Its derivative with respect to g is J."""
    weights = []
    for y in outputs:
        xp = backend_of(y._array).xp
        weights.append(Tensor(xp.zeros(y.shape, dtype=y.dtype), variable_like(y.shape, y.dtype, xp)))
    return weights, run.pull_back(outputs, weights, create_graph=True)
