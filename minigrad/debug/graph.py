"""What the tape of a result holds, entry by entry: the rows that `tape`, `draw` and `profile` show."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from functools import partial
from types import FunctionType
from typing import Any, NamedTuple

from ..backend import is_array
from ..engine.backward_pass import reachable
from ..engine.metadata import operation_node
from ..engine.tape import GraphError, Node
from ..engine.tensor import Tensor

Array = Any
Names = Any
"""Tensors by their names, or a module, whose parameters have names."""


class Row(NamedTuple):
    """One entry of a tape."""

    number: int
    """From 1 on: first the leaves, then the operations in the order in which they were recorded."""
    time_step: int | None
    op: str
    """The operation, or "leaf"."""
    name: str
    """What the tensor is called, if it was said."""
    shapes: tuple[tuple[int, ...], ...]
    """Of the output, or of each output."""
    dtype: str
    nbytes: int
    """Of the outputs."""
    saved: tuple[tuple[int, ...], ...]
    """The shapes of the arrays that are kept for the rule."""
    saved_nbytes: int
    inputs: tuple[int | None, ...]
    """The numbers of the inputs' rows; None for a constant. Options, such as an axis, are no inputs."""
    slots: tuple[int | None, ...]
    """Of an input that is one of several outputs of its row: which."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Of the output, or of the first one."""
        return self.shapes[0]


def rows_of(caller: str, result: Tensor, names: Names = None) -> tuple[list[Row], list[Node]]:
    """The rows of a result's tape, leaves first, and the entries that they are of.

    Raises:
        GraphError: the tape was walked before. TypeError: `result` is no tensor, or is not on the tape.
    """
    if not isinstance(result, Tensor):
        raise TypeError(f"{caller}: result: got {type(result).__name__}, want a Tensor")
    if result.node is None:
        raise TypeError(f"{caller}: result: the tensor of shape {result.shape} is not on the tape")
    called = names_by_serial(caller, names)
    try:
        nodes = reachable([result.node])
    except GraphError as error:
        raise GraphError(str(error).replace("backward", caller, 1)) from None
    entries = [node for _, node in sorted(nodes.items()) if node.slot is None]
    entries = [n for n in entries if not n.parents] + [n for n in entries if n.parents]
    numbers = {node.serial: k for k, node in enumerate(entries, 1)}
    return [_row(node, numbers, called) for node in entries], entries


def names_by_serial(caller: str, names: Names) -> dict[int, str]:
    """Names by the serial numbers of the entries that they are for."""
    if names is None:
        return {}
    pairs = names.items() if isinstance(names, Mapping) else None
    if pairs is None and hasattr(names, "named_parameters"):
        pairs = names.named_parameters()
    if pairs is None:
        raise TypeError(f"{caller}: names: got {type(names).__name__}, want a dict of tensors by name, or a Module")
    return {x.node.serial: name for name, x in pairs if isinstance(x, Tensor) and x.node is not None}


def _row(node: Node, numbers: dict[int, int], called: dict[int, str]) -> Row:
    inputs = [node.parents[k] for k in inputs_of(node)]
    outputs = node.outputs or ((tuple(node.shape), node.dtype),)
    kept = kept_arrays(node)
    name = called.get(node.serial, "") or ", ".join(called[k] for k in node.picks if k in called)
    return Row(
        number=numbers[node.serial],
        time_step=node.time_step,
        op=node.op,
        name=name,
        shapes=tuple(shape for shape, _ in outputs),
        dtype=str(node.dtype),
        nbytes=sum(math.prod(shape) * dtype.itemsize for shape, dtype in outputs),
        saved=tuple(tuple(a.shape) for a in kept),
        saved_nbytes=sum(a.nbytes for a in kept),
        inputs=tuple(None if p is None else numbers[operation_node(p).serial] for p in inputs),
        slots=tuple(None if p is None else p.slot for p in inputs),
    )


def inputs_of(node: Node) -> list[int]:
    """The places of the inputs: what has an entry, or a rule of its own, or was saved. The others are options."""
    ruled = node.rules if isinstance(node.rules, tuple) else ()
    saved = {k for array, k in zip(node.saved, node.sources) if is_array(array)}
    return [
        k
        for k, parent in enumerate(node.parents)
        if parent is not None or (k < len(ruled) and ruled[k] is not None) or k in saved
    ]


def kept_arrays(node: Node) -> list[Array]:
    """The arrays that an entry keeps for its rule, each once: those that it saved and those in the rule itself."""
    found: dict[int, Array] = {}
    for array in _arrays((node.saved, node.rules), 4):
        found.setdefault(id(array), array)
    return list(found.values())


def _arrays(value: Any, depth: int) -> Iterator[Array]:
    """The arrays in tuples, lists and dicts, and in what functions closed over."""
    if is_array(value):
        yield value
    elif not depth:
        return
    elif isinstance(value, (tuple, list)):
        for part in value:
            yield from _arrays(part, depth - 1)
    elif isinstance(value, dict):
        yield from _arrays(list(value.values()), depth)
    elif type(value) is FunctionType:
        for cell in value.__closure__ or ():
            try:
                yield from _arrays(cell.cell_contents, depth - 1)
            except ValueError:  # not filled yet
                continue
    elif isinstance(value, partial):
        yield from _arrays((value.func, value.args, value.keywords), depth)


def distinct_nbytes(arrays: list[Array]) -> int:
    """The memory of arrays that may share it: views count as what they are views of, once."""
    memory: dict[int, int] = {}
    for a in arrays:
        base = getattr(a, "base", None)
        owner = base if base is not None and hasattr(base, "nbytes") else a
        memory[id(owner)] = owner.nbytes
    return sum(memory.values())
