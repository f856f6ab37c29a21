"""Rows that describe the recorded graph of a result, for `tape_table`, `draw` and `profile`."""

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
from ..foreign_arrays import type_name

Array = Any
Names = Any
"""A dict of tensors by name, or a module, whose `named_parameters()` are used."""


class Row(NamedTuple):
    """One node of the recorded graph."""

    number: int
    """Counted from 1: first the leaves, then the operations in the order of recording."""
    time_step: int | None
    op: str
    """The operation, or "leaf"."""
    name: str
    """The tensor's name, if `names` has one."""
    shapes: tuple[tuple[int, ...], ...]
    """Of the output, or of each output."""
    dtype: str
    nbytes: int
    """The size of all outputs together."""
    saved: tuple[tuple[int, ...], ...]
    """The shapes of the arrays that are kept for the rule."""
    saved_nbytes: int
    inputs: tuple[int | None, ...]
    """The numbers of the inputs' rows; None for a constant. Options, such as an axis, are not inputs."""
    slots: tuple[int | None, ...]
    """For each input that is one of several outputs of its row, which one; else None."""

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of the first output."""
        return self.shapes[0]

    @property
    def title(self) -> str:
        """The name of a leaf, or the operation with the name of its output if there is one."""
        if self.op == "leaf":
            return self.name or "leaf"
        return self.op + (f" → {self.name}" if self.name else "")


def rows_of(caller: str, result: Tensor, names: Names = None) -> tuple[list[Row], list[Node]]:
    """Return the rows of a result's graph, leaves first, and the nodes that they describe.

    Raises:
        GraphError: the graph was consumed by a backward pass. TypeError: `result` is not a tensor on the tape.
    """
    if not isinstance(result, Tensor):
        raise TypeError(f"{caller}: result: got {type_name(result)}, want a Tensor")
    if result.node is None:
        raise TypeError(f"{caller}: result: the tensor of shape {result.shape} is not on the tape")
    name_of = names_by_serial(caller, names)
    try:
        reached = reachable([result.node])
    except GraphError as error:
        raise GraphError(str(error).replace("backward", caller, 1)) from None
    nodes = [node for _, node in sorted(reached.items()) if node.slot is None]
    nodes.sort(key=lambda node: bool(node.parents))  # stable: leaves first, else the order of recording
    numbers = {node.serial: k for k, node in enumerate(nodes, 1)}
    return [_row(node, numbers, name_of) for node in nodes], nodes


def names_by_serial(caller: str, names: Names) -> dict[int, str]:
    """Return the names by the serial numbers of the nodes that they stand for."""
    if names is None:
        return {}
    if isinstance(names, Mapping):
        pairs = names.items()
    elif hasattr(names, "named_parameters"):
        pairs = names.named_parameters()
    else:
        raise TypeError(f"{caller}: names: got {type(names).__name__}, want a dict of tensors by name, or a Module")
    return {x.node.serial: name for name, x in pairs if isinstance(x, Tensor) and x.node is not None}


def _row(node: Node, numbers: dict[int, int], name_of: dict[int, str]) -> Row:
    inputs = [node.parents[k] for k in inputs_of(node)]
    outputs = node.outputs or ((tuple(node.shape), node.dtype),)
    saved = kept_arrays(node)
    name = name_of.get(node.serial, "") or ", ".join(name_of[k] for k in node.picks if k in name_of)
    return Row(
        number=numbers[node.serial],
        time_step=node.time_step,
        op=node.op,
        name=name,
        shapes=tuple(shape for shape, _ in outputs),
        dtype=str(node.dtype),
        nbytes=sum(math.prod(shape) * dtype.itemsize for shape, dtype in outputs),
        saved=tuple(tuple(a.shape) for a in saved),
        saved_nbytes=sum(a.nbytes for a in saved),
        inputs=tuple(None if p is None else numbers[operation_node(p).serial] for p in inputs),
        slots=tuple(None if p is None else p.slot for p in inputs),
    )


def inputs_of(node: Node) -> list[int]:
    """Return the positions of the arguments that are inputs: those with a node, a rule or a saved array."""
    ruled = node.rules if isinstance(node.rules, tuple) else ()
    saved = {k for array, k in zip(node.saved, node.sources) if is_array(array)}
    return [
        k
        for k, parent in enumerate(node.parents)
        if parent is not None or (k < len(ruled) and ruled[k] is not None) or k in saved
    ]


def kept_arrays(node: Node) -> list[Array]:
    """Return the arrays that a node keeps for its rule, each once: saved ones and those in the rule's closure."""
    return list({id(array): array for array in _arrays((node.saved, node.rules), 4)}.values())


def _arrays(value: Any, depth: int) -> Iterator[Array]:
    """Yield the arrays in tuples, lists, dicts, closures and partial functions, down to `depth` levels.

    An object that keeps arrays for a rule says which with a method `kept_arrays`.
    """
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
            except ValueError:  # an empty cell
                continue
    elif (kept := getattr(type(value), "kept_arrays", None)) is not None:
        yield from kept(value)
    elif isinstance(value, partial):
        yield from _arrays((value.func, value.args, value.keywords), depth)


def distinct_nbytes(arrays: list[Array]) -> int:
    """Return the bytes of memory behind the arrays; views count as the array they view, once."""
    memory: dict[int, int] = {}
    for a in arrays:
        base = getattr(a, "base", None)
        owner = base if base is not None and hasattr(base, "nbytes") else a
        memory[id(owner)] = owner.nbytes
    return sum(memory.values())
