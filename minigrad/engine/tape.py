"""The tape: one node for every recorded operation. `backward_pass` runs it backwards.

A `Node` knows its inputs' nodes and how a gradient passes back to them. It never holds its own output, so reference
counting frees a graph as soon as it is not needed. Serial numbers grow as the tape is written: from high to low, every
node comes after all of its uses, without recursion. This file depends on no array library.
"""

from __future__ import annotations

import itertools
import os
import threading
from collections import deque
from collections.abc import Callable, Collection, Iterable, Sequence
from contextvars import ContextVar
from itertools import repeat
from operator import itemgetter
from typing import Any

Array = Any
Rule = Callable[..., Any]


class GraphError(RuntimeError):
    """A backward pass is impossible: the graph was consumed or never recorded, or a saved array has changed."""


serials = itertools.count(1)
running_variables: ContextVar[frozenset[int]] = ContextVar("minigrad variables", default=frozenset())
"""The serial numbers of the variables of all transformations whose function is running now, in this thread or task."""


held: dict[int, int] = {}
"""By the serial number of a node how many holds are on it: a backward pass does not consume a node that is held."""
_holding = threading.Lock()


class Hold:
    """Keep nodes from being consumed by backward passes until `release`: several passes will go through them.

    Args:
        held_serials: of the nodes. They may be held by others too.
    """

    def __init__(self, held_serials: Iterable[int]) -> None:
        self._serials = tuple(held_serials)
        with _holding:
            for serial in self._serials:
                held[serial] = held.get(serial, 0) + 1

    def release(self) -> None:
        """Let the next backward pass consume the nodes; a second call does nothing."""
        with _holding:
            released, self._serials = self._serials, ()
            for serial in released:
                held[serial] -= 1
                if not held[serial]:
                    del held[serial]


class Node:
    """The record of one operation.

    `parents` are the inputs' nodes (None where an input needs no gradient), `rules` either one rule per input,
    `rule(xp, g, *saved)`, or a single joint rule for all of them, `rule(xp, g, needs, *saved)`. `sources` has for each
    saved array its position among inputs and outputs (None: neither), by which a recorded backward pass ties it to its
    node again. `xp` is the namespace that computed it. `rules` is None once a backward pass has
    consumed the node.
    """

    __slots__ = (
        "dtype",
        "metadata",
        "op",
        "parents",
        "rules",
        "saved",
        "serial",
        "shape",
        "sources",
        "time_step",
        "xp",
    )
    serial: int
    op: str
    parents: Sequence[Node | None]
    rules: tuple[Rule, ...] | Rule | None
    saved: tuple[Array, ...]
    sources: Sequence[int | None]
    shape: tuple[int, ...]
    dtype: Any
    xp: Any
    time_step: int | None
    metadata: Any
    """The hooks, source line and module of the node (`metadata.NodeMetadata`); not set on most nodes."""
    # Defaults of attributes that only some kinds of node have:
    outputs: Any = None
    picks: Any = ()
    slot: Any = None
    keeps_factors: Any = False
    """Whether to keep the factors of a contribution: for a weight, or the transpose of one."""

    def __repr__(self) -> str:
        at = "" if self.time_step is None else f", t={self.time_step}"
        return f"<{self.op} #{self.serial} {self.shape} {self.dtype}{at}>"


class ManyNode(Node):
    """The node of an operation with several outputs, whose (shape, dtype) it lists. Each output has a `Pick`."""

    __slots__ = ("needs_limits", "outputs", "picks")
    outputs: tuple[tuple[tuple[int, ...], Any], ...]
    picks: tuple[int, ...]
    """The serial number of each output's `Pick`, the same however often the `Pick` is created."""
    needs_limits: tuple[int, ...]
    """The outputs whose gradients the rule can only pass on in a recorded pass; not set on most nodes."""
    last_of_limits = 0
    """The serial number of the latest node with `needs_limits`."""


class Pick(Node):
    """The node of output number `slot` of its only parent, a `ManyNode`."""

    __slots__ = ("slot",)
    slot: int


class TransposeNode(Node):
    """The node of `W.T`: it passes the factors of a contribution on to the weight, exchanged."""

    __slots__ = ()
    keeps_factors = True


class UserNode(Node):
    """The node of an operation defined outside the library, whose rules are given arrays and never NumPy's scalars."""

    __slots__ = ()


class Leaf(Node):
    """The node of a tensor made by the user: no parents; holds the gradient, and when its array was last written."""

    __slots__ = ("grad", "written_at")
    keeps_factors = True
    grad: Any
    written_at: int
    """The serial number when the library last wrote into the array, as an optimizer does."""


def new_leaf(shape: tuple[int, ...], dtype: Any, xp: Any) -> Leaf:
    """Return the node of a new leaf."""
    leaf = Leaf()
    leaf.serial = next(serials)
    leaf.op, leaf.parents, leaf.rules, leaf.saved, leaf.sources = "leaf", (), (), (), ()
    leaf.shape, leaf.dtype, leaf.xp, leaf.time_step = shape, dtype, xp, None
    leaf.grad, leaf.written_at = None, 0
    return leaf


_first = itemgetter(0)
_depositing = threading.RLock()  # a finaliser may run a backward pass inside a deposit


def deposit(items: Collection[Any], new_grads: Callable[[Collection[Any]], Sequence[Any]]) -> None:
    """Replace the `.grad` of all leaves at once, so that neither an error nor Ctrl-C can come between two of them.

    Threads that share leaves take turns, so that no gradient is lost.

    Args:
        items: tuples that begin with a leaf.
        new_grads: returns the leaves' new gradients.
    """
    with _depositing:
        grads = new_grads(items)
        deque(map(setattr, map(_first, items), repeat("grad"), grads), maxlen=0)  # in C


def _renew_lock() -> None:
    """Forget the threads that the parent process had: in a forked one nobody would release their lock."""
    global _depositing, _holding
    _depositing, _holding = threading.RLock(), threading.Lock()


if hasattr(os, "register_at_fork"):  # not on Windows
    os.register_at_fork(after_in_child=_renew_lock)


def is_traced(node: Node | None) -> bool:
    """Return whether a node depends on a variable of a transformation whose function is running now."""
    variables = running_variables.get()
    if node is None or not variables:
        return False
    oldest = min(variables)
    seen, stack = {node.serial}, [node]
    while stack:
        node = stack.pop()
        if node.serial in variables:
            return True
        for parent in node.parents:
            if parent is not None and parent.serial >= oldest and parent.serial not in seen:
                seen.add(parent.serial)
                stack.append(parent)
    return False


def output_of(node: Node, k: int) -> Node:
    """Return the node of output k: the node itself, or a `Pick` if there are several outputs."""
    if node.outputs is None:
        return node
    pick = Pick()
    pick.serial = node.picks[k]
    pick.op, pick.parents, pick.rules, pick.saved, pick.sources = node.op, (node,), (), (), ()
    (pick.shape, pick.dtype), pick.xp, pick.time_step = node.outputs[k], node.xp, node.time_step
    pick.slot = k
    return pick
